//! The rules of the statistics, one scenario each; its name is the rule. Every scenario runs on the engine, on a
//! pipeline and on the naive model, and whatever it asks, all three must answer alike.

mod scenarios {
    mod ends;
}
mod support;
