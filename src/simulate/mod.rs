//! A lawful, seeded contact centre, and the way of its events to a server.
//!
//! [`Centre`] makes events, endlessly and in the order of their time, out of a seed: it does no I/O and reads no clock,
//! so that tests and benches can use it as they like. [`Disturbed`] delays and repeats some of them.

pub mod args;
mod centre;
mod disturb;
mod draw;
mod offer;
mod staff;
mod task;
mod workspace;

pub use centre::{Centre, Settings};
pub use disturb::{Delivery, Disturbance, Disturbed, timestamp_ms};

#[cfg(test)]
mod tests;
