//! The journal against its promises.

mod basics;
