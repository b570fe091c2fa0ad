//! What was measured, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::load::Run;

/// All figures of one run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub version: &'static str,
    /// What the bare service shares with the server and what not.
    pub bare: Option<&'static str>,
    pub measurements: Vec<Measurement>,
    pub watch: Watch,
}

/// The same calls to the server and to the bare service.
#[derive(Debug, Serialize)]
pub struct Measurement {
    pub name: String,
    pub tasktally: Figures,
    pub bare: Option<Figures>,
    pub ratios: Ratios,
}

#[derive(Debug, Serialize)]
pub struct Figures {
    pub calls: u64,
    /// Events acknowledged, of an ingest.
    pub events: u64,
    pub seconds: f64,
    pub calls_per_second: f64,
    pub events_per_second: f64,
    /// `None` where the CPU of the process cannot be read.
    pub cpu_us_per_call: Option<f64>,
    pub cpu_us_per_event: Option<f64>,
    pub latency: Latency,
}

/// The server's figure by the bare service's.
#[derive(Debug, Serialize)]
pub struct Ratios {
    pub cpu: Option<f64>,
    pub calls_per_second: Option<f64>,
}

/// In microseconds.
#[derive(Debug, Serialize)]
pub struct Latency {
    pub p50_us: u64,
    pub p90_us: u64,
    pub p99_us: u64,
    pub p99_9_us: u64,
    pub max_us: u64,
}

/// From an acknowledgement to the message that shows it.
#[derive(Debug, Serialize)]
pub struct Watch {
    pub changes: u64,
    /// Events a second that another workspace took meanwhile.
    pub load_events_per_second: f64,
    pub latency: Latency,
}

impl Latency {
    pub fn of(histogram: &Histogram<u64>) -> Latency {
        Latency {
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            p99_9_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        }
    }
}

impl Figures {
    /// Of calls with so many events each, 0 for questions.
    pub fn of(run: &Run, events_a_call: usize) -> Figures {
        let events = run.calls * events_a_call as u64;
        let each = |count: u64| run.cpu_us.filter(|_| count > 0).map(|cpu_us| cpu_us / count as f64);
        Figures {
            calls: run.calls,
            events,
            seconds: run.seconds,
            calls_per_second: run.calls as f64 / run.seconds,
            events_per_second: events as f64 / run.seconds,
            cpu_us_per_call: each(run.calls),
            cpu_us_per_event: each(events),
            latency: Latency::of(&run.latency),
        }
    }
}

impl Measurement {
    pub fn new(name: String, tasktally: Figures, bare: Option<Figures>) -> Measurement {
        let ratio = |ours: Option<f64>, bare: Option<f64>| {
            ours.zip(bare).filter(|(_, bare)| *bare > 0.0).map(|(ours, bare)| ours / bare)
        };
        let of_bare = |figure: fn(&Figures) -> Option<f64>| bare.as_ref().and_then(figure);
        let ratios = Ratios {
            cpu: ratio(tasktally.cpu_us_per_call, of_bare(|bare| bare.cpu_us_per_call)),
            calls_per_second: ratio(Some(tasktally.calls_per_second), of_bare(|bare| Some(bare.calls_per_second))),
        };
        Measurement { name, tasktally, bare, ratios }
    }
}

impl Report {
    pub fn as_text(&self) -> String {
        let mut text = String::new();
        let mut line = |what: &str, figures: [String; 8]| {
            let [rate, events, cpu, p50, p90, p99, p99_9, max] = figures;
            // Writing to a string cannot fail.
            let _written = writeln!(
                text,
                "{what:<34} {rate:>9} {events:>9} {cpu:>9} {p50:>9} {p90:>9} {p99:>9} {p99_9:>9} {max:>9}"
            );
        };
        line("", ["calls/s", "events/s", "CPU µs", "p50 µs", "p90", "p99", "p99.9", "max"].map(str::to_owned));
        for Measurement { name, tasktally, bare, ratios } in &self.measurements {
            line(name, row(tasktally));
            if let Some(bare) = bare {
                line("  bare service", row(bare));
                let times = |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!("{ratio:.2} ×"));
                let none = String::new;
                let figures = [times(ratios.calls_per_second), none(), times(ratios.cpu)];
                let [rate, events, cpu] = figures;
                line("  ratio", [rate, events, cpu, none(), none(), none(), none(), none()]);
            }
        }
        let Watch { changes, load_events_per_second, latency } = &self.watch;
        let load = format!("{load_events_per_second:.0}");
        line(&format!("watch: {changes} changes seen, under load"), with(String::new(), load, String::new(), latency));
        text.push_str("\nCPU is the server's: of an event where events are sent, else of a call. The watch's latency is from the acknowledgement.\n");
        if let Some(bare) = self.bare {
            text.push_str(bare);
            text.push('\n');
        }
        text
    }
}

fn row(figures: &Figures) -> [String; 8] {
    let cpu = figures.cpu_us_per_event.or(figures.cpu_us_per_call);
    let events = if figures.events > 0 { format!("{:.0}", figures.events_per_second) } else { String::new() };
    let cpu = cpu.map_or_else(|| "unknown".to_owned(), |cpu| format!("{cpu:.2}"));
    with(format!("{:.0}", figures.calls_per_second), events, cpu, &figures.latency)
}

fn with(rate: String, events: String, cpu: String, latency: &Latency) -> [String; 8] {
    let Latency { p50_us, p90_us, p99_us, p99_9_us, max_us } = latency;
    let [p50, p90, p99, p99_9, max] = [p50_us, p90_us, p99_us, p99_9_us, max_us].map(u64::to_string);
    [rate, events, cpu, p50, p90, p99, p99_9, max]
}
