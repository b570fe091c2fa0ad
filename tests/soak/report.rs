//! What a run says: a line now and then, the table at its end, and the verdict on growth.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::measure::{Sample, Trend};
use super::world::World;

/// Lives of the server.
#[derive(Default)]
pub struct Lives {
    pub begun: u64,
    pub stopped: u64,
    pub killed: u64,
}

const MIB: f64 = 1024.0 * 1024.0;

/// Something that must not grow: what is allowed over the hours that are judged is noise of the measurement.
struct Bound {
    name: &'static str,
    figure: fn(&Sample) -> f64,
    /// Of what it was at first.
    share: f64,
    /// At least this.
    bytes: f64,
}

const BOUNDS: [Bound; 3] = [
    // It moves by a third within seconds; in a run of five minutes on a quiet machine the medians of hours moved by
    // 1.3 MiB, on a busy one by up to 25.
    Bound { name: "resident memory", figure: |sample| sample.resident_bytes as f64, share: 0.25, bytes: 24.0 * MIB },
    Bound { name: "journal", figure: |sample| sample.journal_bytes as f64, share: 0.10, bytes: MIB },
    // Ends of tasks are remembered for two days and twice the retention, so that it is not full within a run.
    Bound { name: "checkpoint", figure: |sample| sample.checkpoint_bytes as f64, share: 0.40, bytes: MIB },
];

/// So many times as much is allowed where the machine was too slow for the load for most of the time, and the hours differ
/// by what is retained.
const UNEVEN: f64 = 4.0;

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

pub fn progress(world: &World, lives: &Lives, sample: &Sample, elapsed: Duration) {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counts = &world.counts;
    println!(
        "{:4} s, hour {:5.2}: life {}, {} events, {} duplicates, {} watches, {} comparisons; {:.1} MiB resident, {} \
         descriptors, {} threads, {:.1} MiB journal, {} retained",
        elapsed.as_secs(),
        sample.hour,
        lives.begun,
        read(&counts.accepted),
        read(&counts.duplicates),
        read(&counts.watches),
        read(&counts.comparisons),
        mib(sample.resident_bytes),
        sample.descriptors,
        sample.threads,
        mib(sample.journal_bytes),
        sample.retained,
    );
}

/// The table at the end.
pub fn print(world: &World, lives: &Lives, samples: &[Sample], elapsed: Duration) {
    let counts = &world.counts;
    let rows: [(&str, &AtomicU64); 13] = [
        ("events accepted", &counts.accepted),
        ("duplicates", &counts.duplicates),
        ("refused, as they must be", &counts.refused),
        ("sent late", &counts.late),
        ("batches", &counts.batches),
        ("of these over streams", &counts.streamed),
        ("sent again after a failure", &counts.repeated),
        ("left before the answer", &counts.broken),
        ("connections", &counts.connections),
        ("watches", &counts.watches),
        ("messages to watchers", &counts.messages),
        ("questions", &counts.questions),
        ("channels of workspaces compared", &counts.comparisons),
    ];
    println!("\nafter {} s:", elapsed.as_secs());
    for (name, counter) in rows {
        println!("  {name:<32} {:>10}", counter.load(Ordering::Relaxed));
    }
    println!("  {:<32} {:>10}", "lives", lives.begun);
    println!("  {:<32} {:>10}", "ended by SIGTERM", lives.stopped);
    println!("  {:<32} {:>10}", "ended by SIGKILL", lives.killed);
    for (name, sample) in [("first sample of the long life", samples.first()), ("last", samples.last())] {
        let Some(sample) = sample else { continue };
        println!(
            "  {name:<32} hour {:.1}: {:.1} MiB resident, {} descriptors, {} threads, {:.1} MiB journal, {:.2} MiB \
             checkpoint, {} retained",
            sample.hour,
            mib(sample.resident_bytes),
            sample.descriptors,
            sample.threads,
            mib(sample.journal_bytes),
            mib(sample.checkpoint_bytes),
            sample.retained,
        );
    }
}

/// Fails when something has grown over the long life, but for its first quarter, in which the server fills up; and when
/// that cannot be told.
pub fn judge(samples: &[Sample]) {
    let judged = &samples[samples.len() / 4..];
    let mut findings = Vec::new();
    for Bound { name, figure, share, bytes } in BOUNDS {
        let Some(trend) = Trend::of(judged, figure) else {
            findings.push(format!("{name}: too few hours to tell whether it grows; four minutes suffice"));
            continue;
        };
        let uneven = if trend.even { 1.0 } else { UNEVEN };
        let allowed = (trend.hours[0] * share).max(bytes) * uneven;
        let hours: Vec<String> = trend.hours.iter().map(|bytes| format!("{:.2}", bytes / MIB)).collect();
        let line = format!(
            "{name}: {} MiB in the hours judged, a trend of {:+.2} MiB over them, {:.2} allowed",
            hours.join(" "),
            trend.growth / MIB,
            allowed / MIB
        );
        println!("  {line}");
        if trend.growth > allowed {
            findings.push(line);
        }
    }
    assert!(findings.is_empty(), "growth: {findings:#?}");
}
