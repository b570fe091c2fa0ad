//! What this service tells of itself.

use std::fmt::Error;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Sources;
use super::sheet::{In, Labels, Sheet, one};
use crate::api::rejections;
use crate::journal::OnDisk;
use crate::letters::Totals;
use crate::measure::{LIMITS, refusals};
use crate::pipeline::{Clock as _, PROGRESS, Reading, SystemClock, free_bytes};

/// Microseconds in a second.
const US: f64 = 1e6;

/// Everything as it was at one moment.
#[derive(Debug)]
pub struct Service {
    now_s: f64,
    /// `None` before the start.
    pipeline: Option<Reading>,
    rejected: Vec<(&'static str, u64)>,
    recovered: f64,
    is_stopping: bool,
    watchers: f64,
    sent: f64,
    conflated: f64,
    letters: Option<Totals>,
    disk: Option<OnDisk>,
    free_bytes: Option<u64>,
    tls: Option<Tls>,
}

#[derive(Debug)]
struct Tls {
    not_after_s: f64,
    done: f64,
    failed: f64,
    reloads: f64,
    reloads_failed: f64,
}

impl Service {
    pub fn read(sources: &Sources, letters: Option<Totals>) -> Service {
        let dir = sources.data_dir.as_deref();
        let pipeline = sources.pipeline.reading();
        Service {
            now_s: SystemClock.now().0 as f64 / 1_000.0,
            rejected: rejections().collect(),
            recovered: if pipeline.is_some() { 1.0 } else { PROGRESS.ratio() },
            pipeline,
            is_stopping: sources.stop.is_cancelled(),
            watchers: sources.seats.watchers() as f64,
            sent: sources.seats.sent() as f64,
            conflated: sources.seats.conflated() as f64,
            letters,
            disk: dir.and_then(|dir| OnDisk::of(dir).ok()),
            free_bytes: dir.and_then(|dir| free_bytes(dir).ok()),
            tls: sources.tls.as_ref().map(|counters| {
                let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed) as f64;
                Tls {
                    not_after_s: counters.not_after_s.load(Ordering::Relaxed) as f64,
                    done: read(&counters.handshakes_done),
                    failed: read(&counters.handshakes_failed),
                    reloads: read(&counters.reloads),
                    reloads_failed: read(&counters.reloads_failed),
                }
            }),
        }
    }

    fn number(&self, number: impl FnOnce(&Reading) -> u64) -> Option<(Labels<'static>, f64)> {
        one(number(self.pipeline.as_ref()?) as f64)
    }

    fn life(&self, sheet: &mut Sheet<'_>) -> Result<(), Error> {
        sheet.info("tasktally_build", "What this is.", &[("version", env!("CARGO_PKG_VERSION"))])?;
        let is_writable = self.pipeline.as_ref().is_some_and(|reading| reading.is_writable);
        let is_serving = is_writable && !self.is_stopping;
        sheet.gauges(
            (
                "tasktally_serving",
                In::Numbers,
                "1 while events and questions are taken; 0 while it starts, stops, or cannot write.",
            ),
            one(f64::from(u8::from(is_serving))),
        )?;
        sheet.gauges(
            ("tasktally_journal_writable", In::Numbers, "0 while no event can be made durable."),
            self.number(|reading| u64::from(reading.is_writable)),
        )?;
        sheet.gauges(
            ("tasktally_recovery_progress", In::Ratio, "How much of the journal a start has replayed."),
            one(self.recovered),
        )?;
        sheet.gauges(
            ("tasktally_revision", In::Numbers, "Events that are durable and in the answers, ever."),
            self.number(|reading| reading.revision),
        )
    }

    fn events(&self, sheet: &mut Sheet<'_>) -> Result<(), Error> {
        sheet.counters(
            ("tasktally_events_accepted", In::Numbers, "Events that were accepted and are durable."),
            self.number(|reading| reading.accepted),
        )?;
        sheet.counters(
            ("tasktally_events_duplicate", In::Numbers, "Events that were there already."),
            self.number(|reading| reading.duplicates),
        )?;
        let rejected: Vec<([(&str, &str); 1], f64)> =
            self.rejected.iter().map(|(reason, events)| ([("reason", *reason)], *events as f64)).collect();
        sheet.counters(
            ("tasktally_events_rejected", In::Numbers, "Events that were refused, by the reason in the answer."),
            rejected.iter().map(|(labels, events)| (&labels[..], *events)),
        )?;
        sheet.counters(
            ("tasktally_events_late", In::Numbers, "Accepted events that were over a minute old."),
            self.number(|reading| reading.late),
        )?;
        let newest = self.pipeline.as_ref().and_then(|reading| reading.newest).map(|newest| newest.0 as f64 / 1_000.0);
        sheet.gauges(
            (
                "tasktally_newest_event_timestamp",
                In::Seconds,
                "The newest timestamp of an accepted event, in seconds since 1970.",
            ),
            newest.and_then(one),
        )?;
        sheet.gauges(
            ("tasktally_behind", In::Seconds, "The server's clock minus the newest timestamp of an accepted event."),
            newest.and_then(|newest| one(self.now_s - newest)),
        )?;
        let refused: Vec<([(&str, &str); 1], u64)> =
            LIMITS.iter().zip(refusals()).map(|(limit, refused)| ([("limit", *limit)], refused)).collect();
        sheet.counters(
            ("tasktally_refusals", In::Numbers, "Calls, events and connections that were refused by a bound."),
            refused.iter().map(|(labels, refused)| (&labels[..], *refused as f64)),
        )
    }

    fn state(&self, sheet: &mut Sheet<'_>) -> Result<(), Error> {
        sheet.gauges(
            ("tasktally_workspaces", In::Numbers, "Workspaces."),
            self.number(|reading| reading.held.workspaces),
        )?;
        sheet.gauges(
            ("tasktally_active_tasks", In::Numbers, "Tasks that are active, in all workspaces."),
            self.number(|reading| reading.held.active_tasks),
        )?;
        sheet.gauges(
            ("tasktally_workers", In::Numbers, "Workers that are there, in all workspaces."),
            self.number(|reading| reading.held.workers),
        )?;
        sheet.gauges(
            ("tasktally_retained_events", In::Numbers, "Events that can be queried."),
            self.number(|reading| reading.held.retained_events),
        )?;
        sheet.gauges(
            ("tasktally_retained_events_memory", In::Bytes, "Memory of the retained events, by an estimate."),
            self.number(|reading| reading.held.retained_bytes),
        )?;
        sheet.gauges(
            ("tasktally_queue_events", In::Numbers, "Events that are queued or under way."),
            self.number(|reading| reading.queued_events),
        )?;
        sheet.gauges(
            ("tasktally_queue_questions", In::Numbers, "Questions that are queued or under way."),
            self.number(|reading| reading.queued_questions),
        )?;
        sheet.gauges(
            ("tasktally_watchers", In::Numbers, "Watches that are open, over gRPC and HTTP."),
            one(self.watchers),
        )?;
        sheet.counters(
            ("tasktally_updates_sent", In::Numbers, "Messages of all watches, heartbeats included."),
            one(self.sent),
        )?;
        sheet.counters(
            (
                "tasktally_updates_conflated",
                In::Numbers,
                "Changes that a watch skipped, since there was a newer one when it could take a message.",
            ),
            one(self.conflated),
        )
    }

    fn journal(&self, sheet: &mut Sheet<'_>) -> Result<(), Error> {
        let reading = self.pipeline.as_ref();
        sheet.histograms(
            ("tasktally_commit_events", In::Numbers, "Events of one group commit."),
            1.0,
            reading.and_then(|reading| one(reading.commit_events.clone())),
        )?;
        sheet.histograms(
            ("tasktally_commit_duration", In::Seconds, "How long a group commit took, its fsync included."),
            US,
            reading.and_then(|reading| one(reading.commits_us.clone())),
        )?;
        sheet.counters(
            ("tasktally_commits_failed", In::Numbers, "Group commits that the journal refused."),
            self.number(|reading| reading.commits_failed),
        )?;
        sheet.histograms(
            ("tasktally_checkpoint_duration", In::Seconds, "How long a checkpoint took."),
            US,
            reading.and_then(|reading| one(reading.checkpoints_us.clone())),
        )?;
        sheet.counters(
            ("tasktally_checkpoints_failed", In::Numbers, "Checkpoints that could not be written."),
            self.number(|reading| reading.checkpoints_failed),
        )?;
        sheet.gauges(
            ("tasktally_checkpoint_revision", In::Numbers, "The revision that the newest checkpoint covers."),
            self.number(|reading| reading.checkpoint_position),
        )?;
        let disk = self.disk.as_ref();
        sheet.gauges(
            ("tasktally_checkpoint_age", In::Seconds, "How long ago the newest checkpoint was written."),
            disk.and_then(|disk| disk.checkpoint_age).and_then(|age| one(age.as_secs_f64())),
        )?;
        let files = disk.map(|disk| {
            let OnDisk { journal_bytes, wal_bytes, checkpoint_bytes, .. } = *disk;
            let files = [("journal", journal_bytes), ("wal", wal_bytes), ("checkpoint", checkpoint_bytes)];
            files.map(|(file, bytes)| ([("file", file)], bytes as f64))
        });
        sheet.gauges(
            ("tasktally_disk_usage", In::Bytes, "Sizes of the files in the data directory."),
            files.iter().flatten().map(|(labels, bytes)| (&labels[..] as Labels<'_>, *bytes)),
        )?;
        sheet.gauges(
            ("tasktally_disk_free", In::Bytes, "Free space of the data directory's disk."),
            self.free_bytes.and_then(|bytes| one(bytes as f64)),
        )
    }

    fn besides(&self, sheet: &mut Sheet<'_>) -> Result<(), Error> {
        let letters = |number: fn(&Totals) -> u64| self.letters.as_ref().and_then(|totals| one(number(totals) as f64));
        sheet.gauges(
            ("tasktally_dead_letters", In::Numbers, "Refused events that are kept."),
            letters(|it| it.letters),
        )?;
        sheet.gauges(("tasktally_dead_letters_size", In::Bytes, "Their size."), letters(|it| it.bytes))?;
        sheet.gauges(
            ("tasktally_dead_letters_pushed_out", In::Numbers, "Dead letters that had to go to make room, ever."),
            letters(|it| it.pushed_out),
        )?;
        let tls = |number: fn(&Tls) -> f64| self.tls.as_ref().and_then(|tls| one(number(tls)));
        sheet.gauges(
            (
                "tasktally_tls_certificate_not_after_timestamp",
                In::Seconds,
                "The end of the certificate in force, in seconds since 1970.",
            ),
            tls(|it| it.not_after_s),
        )?;
        sheet.gauges(
            ("tasktally_tls_certificate_expiry", In::Seconds, "How long the certificate in force is still valid."),
            self.tls.as_ref().and_then(|tls| one(tls.not_after_s - self.now_s)),
        )?;
        sheet
            .counters(("tasktally_tls_handshakes", In::Numbers, "TLS handshakes that were done."), tls(|it| it.done))?;
        sheet.counters(
            ("tasktally_tls_handshakes_failed", In::Numbers, "TLS handshakes that failed."),
            tls(|it| it.failed),
        )?;
        sheet.counters(
            ("tasktally_tls_reloads", In::Numbers, "Changes of the TLS files that were taken."),
            tls(|it| it.reloads),
        )?;
        sheet.counters(
            ("tasktally_tls_reloads_failed", In::Numbers, "Changes of the TLS files that were not good."),
            tls(|it| it.reloads_failed),
        )
    }
}

impl Collector for Service {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut sheet = Sheet(encoder);
        self.life(&mut sheet)?;
        self.events(&mut sheet)?;
        self.state(&mut sheet)?;
        self.journal(&mut sheet)?;
        self.besides(&mut sheet)
    }
}
