//! Families written one after the other, each whole.

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use crate::measure::Counts;

/// The labels of one sample: names and values, in order.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// What is written on.
pub struct Sheet<'a>(pub DescriptorEncoder<'a>);

/// In what a family is measured; its name ends so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum In {
    Numbers,
    Seconds,
    Bytes,
    Ratio,
}

impl In {
    fn unit(self) -> Option<Unit> {
        match self {
            In::Numbers => None,
            In::Seconds => Some(Unit::Seconds),
            In::Bytes => Some(Unit::Bytes),
            In::Ratio => Some(Unit::Other("ratio".to_owned())),
        }
    }
}

impl Sheet<'_> {
    /// Counts that only grow while the process lives.
    pub fn counters<'l>(
        &mut self,
        (name, unit, help): (&str, In, &str),
        samples: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> Result<(), Error> {
        self.family((name, unit, help), MetricType::Counter, samples, |encoder, value| {
            encoder.encode_counter::<NoLabelSet, f64, f64>(value, None)
        })
    }

    pub fn gauges<'l>(
        &mut self,
        (name, unit, help): (&str, In, &str),
        samples: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> Result<(), Error> {
        self.family((name, unit, help), MetricType::Gauge, samples, |encoder, value| encoder.encode_gauge(value))
    }

    /// `per` is how many of what was counted are one of the unit.
    pub fn histograms<'l>(
        &mut self,
        (name, unit, help): (&str, In, &str),
        per: f64,
        samples: impl IntoIterator<Item = (Labels<'l>, Counts)>,
    ) -> Result<(), Error> {
        self.family((name, unit, help), MetricType::Histogram, samples, |encoder, counts| {
            let bounds = counts.bounds.iter().map(|bound| *bound as f64 / per).chain([f64::MAX]);
            let buckets: Vec<(f64, u64)> = bounds.zip(counts.counts.iter().copied()).collect();
            encoder.encode_histogram::<NoLabelSet>(counts.sum as f64 / per, counts.number(), &buckets, None)
        })
    }

    /// What the labels say, once.
    pub fn info(&mut self, name: &str, help: &str, labels: Labels<'_>) -> Result<(), Error> {
        self.0.encode_descriptor(name, help, None, MetricType::Info)?.encode_info(&labels)
    }

    fn family<'l, T>(
        &mut self,
        (name, unit, help): (&str, In, &str),
        metric_type: MetricType,
        samples: impl IntoIterator<Item = (Labels<'l>, T)>,
        mut write: impl FnMut(&mut MetricEncoder<'_>, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let unit = unit.unit();
        let mut encoder = self.0.encode_descriptor(name, help, unit.as_ref(), metric_type)?;
        for (labels, value) in samples {
            if labels.is_empty() {
                write(&mut encoder, &value)?;
            } else {
                write(&mut encoder.encode_family(&labels)?, &value)?;
            }
        }
        Ok(())
    }
}

/// One sample without labels.
pub fn one<T>(value: T) -> Option<(Labels<'static>, T)> {
    Some((&[], value))
}
