//! The journal against its promises.

mod basics;
mod checkpoints;
mod copies;
mod damage;
mod kill;
mod model;
