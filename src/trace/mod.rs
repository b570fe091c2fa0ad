//! What one call went through, for whoever looks at it from outside: a span for the call, children for its parts, and
//! the ids that log lines carry.
//!
//! A caller says with W3C trace context (`traceparent`) which trace its call belongs to ([`parent`]). While a call is
//! polled it is the thread's [`current`] one, so that rooms need not hand it on: a log line finds the ids there, and
//! who does a part of the work measures it ([`time`], [`passage`]). Spans leave for a collector by [`export`], where that
//! is wished for; without it there are none, and all that a call costs is to look whether it has a `traceparent`.
//!
//! It knows nothing of what calls ask for.

mod call;
mod current;
pub mod export;
mod parent;
pub mod passage;
#[cfg(test)]
mod tests;

pub use call::{Call, Subject, Traces};
pub use current::{Current, Entered, Mark, Timing, current, time};
