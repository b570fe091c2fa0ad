//! Events as the task router sends them, into the real binary.

mod common;

mod taskrouter_in {
    mod bad;
    mod durable;
    mod room;
    mod sent;
    mod signed;
    mod taken;
}
