//! The journal against its promises.

mod basics;
mod checkpoints;
mod damage;
mod kill;
mod model;
