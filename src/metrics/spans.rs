//! What becomes of spans on their way to the collector.

use std::fmt::Error;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Sources;
use super::sheet::{In, Labels, Sheet, one};

/// Nothing but zeros where none are exported.
#[derive(Debug, Default)]
pub struct Spans {
    exported: f64,
    dropped: f64,
    failed: f64,
}

impl Spans {
    pub fn read(sources: &Sources) -> Spans {
        let Some(counters) = &sources.spans else { return Spans::default() };
        let [exported, dropped, failed] =
            [&counters.exported, &counters.dropped, &counters.failed].map(|count| count.load(Ordering::Relaxed) as f64);
        Spans { exported, dropped, failed }
    }
}

impl Collector for Spans {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut sheet = Sheet(encoder);
        sheet.counters(
            ("tasktally_trace_spans_exported", In::Numbers, "Spans that the collector has taken."),
            one(self.exported),
        )?;
        let lost = [([("reason", "queue_full")], self.dropped), ([("reason", "export_failed")], self.failed)];
        sheet.counters(
            ("tasktally_trace_spans_lost", In::Numbers, "Spans that do not reach the collector."),
            lost.iter().map(|(labels, spans)| (&labels[..] as Labels<'_>, *spans)),
        )
    }
}
