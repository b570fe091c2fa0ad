//! The identity of an event that was sent without one: made from what it says, so that a retry has the same.

use ring::digest::{Context, SHA256};

use crate::event::EventSid;

/// Sums up the fields of an event, in whatever order they come.
#[derive(Default)]
pub struct Identity {
    sum: u128,
    fields: u64,
}

impl Identity {
    pub fn add(&mut self, name: &str, value: &str) {
        let mut context = Context::new(&SHA256);
        // The length keeps a name apart from its value.
        context.update(&(name.len() as u64).to_le_bytes());
        context.update(name.as_bytes());
        context.update(value.as_bytes());
        self.sum = self.sum.wrapping_add(first_half(context));
        self.fields += 1;
    }

    /// `EV` and 32 digits.
    pub fn sid(self) -> String {
        let mut context = Context::new(&SHA256);
        context.update(b"tasktally: the sid of an event without one");
        context.update(&self.sum.to_le_bytes());
        context.update(&self.fields.to_le_bytes());
        EventSid::from_bytes(first_half(context).to_be_bytes()).to_string()
    }
}

fn first_half(context: Context) -> u128 {
    let mut half = [0; 16];
    half.copy_from_slice(&context.finish().as_ref()[..16]);
    u128::from_be_bytes(half)
}
