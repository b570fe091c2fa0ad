//! What every process tells of itself, by the names that the client libraries of Prometheus have for it.

use std::fmt::Error;

use procfs::process::{LimitValue, Process};
use procfs::{ProcResult, WithCurrentSystemInfo as _};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::sheet::{In, Sheet, one};

/// As the kernel says; nothing where it does not.
#[derive(Debug)]
pub struct ProcessFigures(Option<Figures>);

#[derive(Debug)]
struct Figures {
    cpu_s: f64,
    start_s: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
    open_files: f64,
    most_files: Option<f64>,
}

impl ProcessFigures {
    pub fn read() -> ProcessFigures {
        ProcessFigures(read().ok())
    }
}

fn read() -> ProcResult<Figures> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let ticks_a_second = procfs::ticks_per_second() as f64;
    let started_after_boot_s = stat.starttime as f64 / ticks_a_second;
    let most_files = match process.limits()?.max_open_files.soft_limit {
        LimitValue::Value(most) => Some(most as f64),
        LimitValue::Unlimited => None,
    };
    Ok(Figures {
        cpu_s: (stat.utime + stat.stime) as f64 / ticks_a_second,
        start_s: procfs::boot_time_secs()? as f64 + started_after_boot_s,
        resident_bytes: stat.rss_bytes().get() as f64,
        virtual_bytes: stat.vsize as f64,
        open_files: process.fd_count()? as f64,
        most_files,
    })
}

impl Collector for ProcessFigures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut sheet = Sheet(encoder);
        let figure = |figure: fn(&Figures) -> f64| self.0.as_ref().map(figure).and_then(one);
        sheet.counters(("process_cpu", In::Seconds, "CPU time of the process."), figure(|it| it.cpu_s))?;
        sheet.gauges(
            ("process_start_time", In::Seconds, "When the process began, in seconds since 1970."),
            figure(|it| it.start_s),
        )?;
        sheet
            .gauges(("process_resident_memory", In::Bytes, "Memory that is in use."), figure(|it| it.resident_bytes))?;
        sheet.gauges(("process_virtual_memory", In::Bytes, "Memory that is mapped."), figure(|it| it.virtual_bytes))?;
        sheet.gauges(("process_open_fds", In::Numbers, "Files that are open."), figure(|it| it.open_files))?;
        let most_files = self.0.as_ref().and_then(|it| it.most_files).and_then(one);
        sheet.gauges(("process_max_fds", In::Numbers, "Files that may be open."), most_files)
    }
}
