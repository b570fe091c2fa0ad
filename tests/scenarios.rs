//! The rules of the statistics, one scenario each; its name is the rule. Every scenario runs on the engine, on a
//! pipeline and on the naive model, and whatever it asks, all three must answer alike.

mod scenarios {
    mod channels;
    mod cumulative;
    mod ends;
    mod events;
    mod tasks;
    mod workers;
}
mod support;
