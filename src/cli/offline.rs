//! The commands that work on a data directory itself, with no server in between.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::client::now_ms;
use super::failure::{EXIT_REFUSED, Failure};
use super::progress::Progress;
use super::text::{count, counted};
use super::{finish, json, print, say};
use crate::api::encode;
use crate::config::duration_within;
use crate::event::Millis;
use crate::limits;
use crate::upkeep::{self, Exported, Listener, OpenError, ReadError, Rebuilt, Report, UpkeepError};

/// Ranges of positions that are listed one by one.
const MOST_RANGES: usize = 20;

#[derive(Debug, Subcommand)]
pub enum OfflineCommand {
    /// Look for damage in a data directory: what is damaged, what is safe, what a start would do.
    Verify(VerifyArgs),
    /// Write the events of a data directory as newline-delimited JSON, which `ingest` takes back.
    Export(ExportArgs),
    /// Throw the checkpoints of a data directory away and derive a fresh one from the log.
    Rebuild(RebuildArgs),
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Reads and decodes everything: SQLite's own check, every row's checksums, blocks, carry-overs and checkpoints; tries a start \
without writing; and, where there is a checkpoint, derives the state from the log alone and compares the figures of every \
workspace and channel. Takes about the memory of two servers. Changes nothing but the LOCK file, which it holds meanwhile.

Exit codes: 0 nothing is damaged; 1 something is; 5 it cannot be looked at (not there, in use, unreadable).")]
pub struct VerifyArgs {
    /// The data directory; no server may have it.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    #[command(flatten)]
    pub retention: RetentionArgs,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Each line is a tasktally.v1.Event in canonical protobuf JSON, in the order of acceptance: what admission accepted, with \
every field. `tasktally ingest` into an empty server gives equal statistics, as far as there are events. Not in them:
 - events older than --retention: an ingest refuses them. --all exports them as well;
 - what is carried over from rows that were dropped: workers, activities and ends of tasks whose last events are older \
   than the retention. They have no events any more; the command says how many there are. A backup keeps them;
 - events of a workspace from before it was forgotten.

Exit codes: 0 done; 1 done, but damaged rows were skipped; 5 damage without --skip-damaged, or the directory cannot be \
read, or the output cannot be written.")]
pub struct ExportArgs {
    /// The data directory; no server may have it.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    /// File to write, which must not be there yet [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Export events older than the retention too.
    #[arg(long)]
    pub all: bool,

    /// Pass over what is damaged and say what it was, rather than stop there.
    #[arg(long)]
    pub skip_damaged: bool,

    #[command(flatten)]
    pub retention: RetentionArgs,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Reads the whole log first; the old checkpoints go once the new one is on disk. The figures are the same before and after, \
unless a checkpoint was wrong.

Exit codes: 0 done; 5 the log is damaged, the directory is in use or cannot be written: nothing was changed.")]
pub struct RebuildArgs {
    /// The data directory; no server may have it.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,

    #[command(flatten)]
    pub retention: RetentionArgs,
}

#[derive(Args, Clone, Debug)]
pub struct RetentionArgs {
    /// The retention that the server is started with. Where a checkpoint is read, it says so itself.
    #[arg(long, env = "TASKTALLY_RETENTION", value_name = "DURATION", default_value = "30d", value_parser = retention)]
    pub retention: Duration,
}

impl RetentionArgs {
    fn as_ms(&self) -> i64 {
        i64::try_from(self.retention.as_millis()).unwrap_or(i64::MAX)
    }
}

fn retention(text: &str) -> Result<Duration, String> {
    duration_within(text, limits::RETENTION_MIN, limits::RETENTION_MAX)
}

/// Runs one command to its end.
pub fn run(command: OfflineCommand) -> ExitCode {
    let outcome = match command {
        OfflineCommand::Verify(args) => verify(&args),
        OfflineCommand::Export(args) => export(&args),
        OfflineCommand::Rebuild(args) => rebuild(&args),
    };
    finish(outcome, None)
}

/// Shows progress; findings go where the command's own lines go.
pub(super) struct Teller {
    progress: Progress,
    /// Whether findings are the command's output, and not beside it.
    findings_out: bool,
}

impl Listener for Teller {
    fn progress(&mut self, position: u64, of: u64) {
        if self.progress.is_due() {
            self.progress.set_total(of);
            self.progress.show(position, format!("position {} of {}", count(position), count(of)));
        }
    }

    fn finding(&mut self, words: String) {
        // A closed standard output shows at the summary.
        let out = self.findings_out;
        self.progress.beside(|| if out { drop(print(format!("{words}\n"))) } else { say(words) });
    }
}

pub(super) fn teller(findings_out: bool) -> Teller {
    Teller { progress: Progress::new(Some(0), "{pos}/{len}"), findings_out }
}

pub(super) fn failed(dir: &Path, error: UpkeepError) -> Failure {
    let shown = dir.display();
    let words = error.to_string();
    // Most errors name the file, which is in the directory.
    let named = |words: String| if words.contains(&shown.to_string()) { words } else { format!("{shown}: {words}") };
    Failure::Data(match error {
        UpkeepError::Sink(error) => return Failure::local("the output", error),
        UpkeepError::Open(OpenError::Io { doing: "read", source, .. })
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            let why = if dir.is_dir() { "there is no journal.db in it" } else { "there is no such directory" };
            format!("{shown} is not a data directory: {why}")
        }
        UpkeepError::Open(OpenError::Held { .. }) => {
            format!("{words}\n  to copy the data of a server that runs: tasktally backup DEST")
        }
        UpkeepError::Taken(_) => format!("{words}: choose another name"),
        UpkeepError::Open(OpenError::Damaged(_))
        | UpkeepError::Read(ReadError::Damaged(_))
        | UpkeepError::Recover(_) => {
            format!("{}\n  {}", named(words), way_on(dir))
        }
        UpkeepError::Damaged { .. } | UpkeepError::Undecoded { .. } => {
            format!("{}\n  or restore a backup: tasktally serve --data-dir BACKUP", named(words))
        }
        _ => named(words),
    })
}

/// What to do about a log that is damaged.
fn way_on(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "restore a backup (tasktally serve --data-dir BACKUP), or take out what is sound: \
         tasktally export {dir} --all --skip-damaged -o events.ndjson"
    )
}

fn verify(args: &VerifyArgs) -> Result<u8, Failure> {
    let mut teller = teller(true);
    let report = upkeep::verify(&args.dir, Millis(now_ms()), args.retention.as_ms(), &mut teller);
    teller.progress.finish();
    let report = report.map_err(|error| failed(&args.dir, error))?;
    print(summary(&report) + &next_step(&args.dir, &report))?;
    Ok(if report.findings > 0 || report.start.is_err() { EXIT_REFUSED } else { 0 })
}

fn next_step(dir: &Path, report: &Report) -> String {
    match (&report.start, report.findings) {
        (Ok(_), 0) => String::new(),
        (Err(_), _) => format!("next: {}\n", way_on(dir)),
        (Ok(_), _) => format!(
            "next: where only a checkpoint is damaged: tasktally rebuild {}; else {}\n",
            dir.display(),
            way_on(dir)
        ),
    }
}

fn summary(report: &Report) -> String {
    let Report { end, rows, safe, dropped, lost, carries, checkpoint, findings, start } = report;
    let mut text = String::new();
    let said = end.map_or("damaged".to_owned(), |end| format!("position {end}"));
    let _ = writeln!(text, "end         {said}");
    let checkpoint = checkpoint.map_or("none".to_owned(), |position| format!("of position {position}"));
    let _ = writeln!(text, "checkpoint  {checkpoint}");
    let _ = writeln!(text, "rows        {} sound, {}", count(*rows), counted(*carries, "carry-over"));
    let positions: u64 = safe.iter().map(|(first, last)| last - first + 1).sum();
    let listed = safe.iter().take(MOST_RANGES).map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>();
    let more =
        if safe.len() > MOST_RANGES { format!(" and {} more ranges", safe.len() - MOST_RANGES) } else { String::new() };
    let _ = writeln!(text, "safe        {}: {}{more}", counted(positions, "position"), listed.join(" "));
    let _ = writeln!(text, "gone        {} dropped past the retention, {} lost earlier", count(*dropped), count(*lost));
    let _ = match start {
        Ok(words) => writeln!(text, "a start     {words}"),
        Err(why) => writeln!(text, "a start     is refused: {why}"),
    };
    let _ = match findings {
        0 => writeln!(text, "nothing is damaged"),
        many => writeln!(text, "{} of damage, above", counted(*many, "finding")),
    };
    text
}

fn export(args: &ExportArgs) -> Result<u8, Failure> {
    let exported = match &args.output {
        None => write_events(args, io::stdout().lock()),
        Some(path) => {
            let failed = |error| Failure::local(path.display().to_string(), error);
            let file = File::create_new(path).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    Failure::Data(format!("{} is there already: choose another name", path.display()))
                }
                _ => failed(error),
            })?;
            // What is only a part must not be taken for the whole.
            write_events(args, &file)
                .and_then(|exported| file.sync_all().map_err(failed).map(|()| exported))
                .inspect_err(|_| {
                    let _best_effort = std::fs::remove_file(path);
                })
        }
    }?;
    tell_exported(&exported, args.all);
    Ok(if exported.skipped > 0 { EXIT_REFUSED } else { 0 })
}

fn write_events(args: &ExportArgs, out: impl Write) -> Result<Exported, Failure> {
    let mut teller = teller(false);
    let mut out = BufWriter::with_capacity(1 << 18, out);
    let oldest = if args.all { Millis::MIN } else { Millis(now_ms()).minus(args.retention.as_ms()) };
    let exported = upkeep::export(&args.dir, oldest, args.skip_damaged, &mut teller, &mut |event| {
        let line = json::terse_line("Event", &encode::event(event));
        writeln!(out, "{}", line.map_err(|failure| io::Error::other(failure.to_string()))?)
    });
    teller.progress.finish();
    let exported = exported.and_then(|exported| {
        out.flush().map_err(UpkeepError::Sink)?;
        Ok(exported)
    });
    exported.map_err(|error| failed(&args.dir, error))
}

fn tell_exported(exported: &Exported, all: bool) {
    let Exported { events, too_old, forgotten, skipped, carried, carried_workers, carried_activities } = *exported;
    say(format_args!("{} exported", counted(events, "event")));
    if too_old > 0 && !all {
        say(format_args!(
            "{} older than the retention left out; --all exports them, an ingest refuses them",
            counted(too_old, "event")
        ));
    }
    if forgotten > 0 {
        say(format_args!("{} of workspaces forgotten later left out", counted(forgotten, "event")));
    }
    if carried > 0 {
        say(format_args!(
            "not exported: what is carried over from rows that are gone, of {}, {} and {} {}; \
             a backup keeps it",
            counted(carried, "workspace"),
            counted(carried_workers, "worker"),
            count(carried_activities),
            if carried_activities == 1 { "activity" } else { "activities" }
        ));
    }
    if skipped > 0 {
        say(format_args!("{} skipped, see above", counted(skipped, "damaged place")));
    }
}

fn rebuild(args: &RebuildArgs) -> Result<u8, Failure> {
    let mut teller = teller(false);
    let rebuilt = upkeep::rebuild(&args.dir, args.retention.as_ms(), &mut teller);
    teller.progress.finish();
    let Rebuilt { position, workspaces, .. } = rebuilt.map_err(|error| failed(&args.dir, error))?;
    print(format!("a checkpoint of position {position}, {}\n", counted(workspaces as u64, "workspace")))?;
    Ok(0)
}
