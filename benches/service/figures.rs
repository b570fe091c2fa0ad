//! How figures are taken and printed: medians, each beside its ratio to something of the same run.

use std::hint::black_box;
use std::time::Instant;

/// How often a figure is taken where it is cheap to.
pub const ROUNDS: usize = 5;

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Nanoseconds a step of a loop of dependent multiplications and loads, to compare machines by; the same loop as in the
/// bench of the history.
pub fn calibration() -> f64 {
    let table: Vec<u64> = (0..1 << 15).map(|index: u64| index.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    median((0..ROUNDS).map(|_| {
        let begin = Instant::now();
        let mut value = 1u64;
        for _ in 0..10_000_000 {
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(table[(value >> 49) as usize]);
        }
        black_box(value);
        begin.elapsed().as_nanos() as f64 / 1e7
    }))
}

/// Prints the table as it comes about: a full run takes minutes.
pub struct Table {
    unit_ns: f64,
}

impl Table {
    pub fn begin(title: &str) -> Table {
        let unit_ns = calibration();
        println!("\n{title} (calibration: {unit_ns:.2} ns a step)");
        println!("| {:<50} | {:>14} | {:>14} | {:>7} | {:>12} |", "what", "tasktally", "bare", "ratio", "calibrated");
        println!("|{:-<52}|{:-<15}:|{:-<15}:|{:-<8}:|{:-<13}:|", "", "", "", "", "");
        Table { unit_ns }
    }

    /// CPU time in microseconds; the ratio is ours to the bare service's.
    pub fn cpu(&self, what: &str, ours_us: f64, bare_us: f64) {
        self.row(what, &format!("{ours_us:.2} µs"), &format!("{bare_us:.2} µs"), ours_us / bare_us, ours_us);
    }

    /// Calls or events a second by the clock; the ratio is ours to the bare service's.
    pub fn rate(&self, what: &str, ours: f64, bare: f64) {
        let unit = |value: f64| format!("{value:.0} /s");
        self.row(what, &unit(ours), &unit(bare), ours / bare, 1e6 / ours);
    }

    /// Bytes of memory; the ratio is ours to the bare service's.
    pub fn bytes(&self, what: &str, ours: f64, bare: f64) {
        let (ours_text, bare_text, ratio) = (format!("{ours:.0} B"), format!("{bare:.0} B"), ours / bare);
        println!("| {what:<50} | {ours_text:>14} | {bare_text:>14} | {ratio:>6.2}× | {:>12} |", "");
    }

    /// A figure without a counterpart.
    pub fn alone(&self, what: &str, figure: &str) {
        println!("| {what:<50} | {figure:>14} | {:>14} | {:>7} | {:>12} |", "", "", "");
    }

    fn row(&self, what: &str, ours: &str, bare: &str, ratio: f64, ours_us: f64) {
        let steps = format!("{:.0} steps", ours_us * 1000.0 / self.unit_ns);
        println!("| {what:<50} | {ours:>14} | {bare:>14} | {ratio:>6.2}× | {steps:>12} |");
    }
}
