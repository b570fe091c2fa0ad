//! `tasktally ingest`: events from newline-delimited JSON, each refused line by its number.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::args::IngestArgs;
use super::client::Server;
use super::delivery::{Courier, Receipt, Tally, describe_rejection};
use super::failure::{EXIT_REFUSED, Failure};
use super::lines::{Line, Lines};
use super::progress::Progress;
use super::text::{count, events_a_second};
use super::{EXIT_INTERRUPTED, interrupt, json, say};
use crate::api::proto::v1::Event;
use crate::limits;

/// Lines that travel together from the reading thread.
const GROUP_LINES: usize = 256;

/// How long an event of a slow pipe waits for others to share its request.
const LINGER: Duration = Duration::from_millis(100);

/// A line as the reading thread leaves it.
struct Parsed {
    number: u64,
    end: u64,
    /// `None` for a blank line.
    event: Option<Result<Event, String>>,
}

/// Events of one request, with their lines.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    lines: Vec<u64>,
    bytes: usize,
    /// Where the last line read so far ends.
    end: u64,
}

/// A request under way.
struct Flight {
    lines: Vec<u64>,
    end: u64,
    call: JoinHandle<Result<Receipt, Failure>>,
}

/// The state of one load.
struct Load<Out> {
    courier: Courier,
    in_flight: usize,
    flights: VecDeque<Flight>,
    batch: Batch,
    tally: Tally,
    unparsable: u64,
    /// The first line that is not settled yet.
    next_line: u64,
    progress: Progress,
    started: Instant,
    out: Out,
}

pub async fn run(args: IngestArgs) -> Result<u8, Failure> {
    let server = Server::new(&args.connection)?;
    let (input, total) = open(&args.file)?;
    load(args, server, input, total, io::stdout()).await
}

/// Loads everything that can be read; the length is known for files only.
pub(super) async fn load(
    args: IngestArgs,
    server: Server,
    input: Box<dyn Read + Send>,
    total: Option<u64>,
    out: impl Write,
) -> Result<u8, Failure> {
    let mut load = Load {
        courier: Courier { server, patience: args.send.patience },
        in_flight: args.send.in_flight,
        flights: VecDeque::new(),
        batch: Batch::default(),
        tally: Tally::default(),
        unparsable: 0,
        next_line: args.from_line,
        progress: Progress::new(total, "{bytes}/{total_bytes}"),
        started: Instant::now(),
        out,
    };
    let outcome = load.take_all(read_lines(input, args.from_line), args.send.batch).await;
    load.summarise();
    let interrupted = outcome.inspect_err(|_| load.say_where_to_go_on())?;
    if interrupted {
        load.say_where_to_go_on();
        return Ok(EXIT_INTERRUPTED);
    }
    Ok(if load.unparsable + load.tally.rejected_total() > 0 { EXIT_REFUSED } else { 0 })
}

fn open(file: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if file == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let trouble = |error| Failure::local(file.display().to_string(), error);
    let opened = File::open(file).map_err(trouble)?;
    let metadata = opened.metadata().map_err(trouble)?;
    if metadata.is_dir() {
        return Err(trouble(io::ErrorKind::IsADirectory.into()));
    }
    Ok((Box::new(opened), metadata.is_file().then_some(metadata.len())))
}

/// Reads and parses on a thread of its own, which may block on its input for ever and is left behind then.
fn read_lines(input: Box<dyn Read + Send>, from_line: u64) -> mpsc::Receiver<io::Result<Vec<Parsed>>> {
    let (groups, received) = mpsc::channel(8);
    std::thread::spawn(move || {
        let mut lines = Lines::new(BufReader::with_capacity(256 * 1024, input), limits::LINE_BYTES);
        let mut group = Vec::new();
        loop {
            match lines.next_line() {
                Ok(Some(line)) if line.number < from_line => continue,
                Ok(Some(line)) => group.push(parse(line)),
                Ok(None) => break,
                Err(error) => {
                    // The receiver is gone only when nobody wants to know any more; likewise below.
                    let _ = groups.blocking_send(Ok(group));
                    let _ = groups.blocking_send(Err(error));
                    return;
                }
            }
            // What was read must not wait for what a pipe may bring some day.
            let may_block = lines.input().buffer().is_empty();
            if (may_block || group.len() >= GROUP_LINES)
                && groups.blocking_send(Ok(std::mem::take(&mut group))).is_err()
            {
                return;
            }
        }
        let _ = groups.blocking_send(Ok(group));
    });
    received
}

fn parse(line: Line) -> Parsed {
    let event = match &line.text {
        None => Some(Err(format!("(unread) TOO_LONG: a line has at most {} bytes", limits::LINE_BYTES))),
        Some(text) if text.trim_ascii().is_empty() => None,
        Some(text) => Some(json::event(text).map_err(|why| {
            let sid = json::sid(text);
            format!("{} NOT_AN_EVENT: {why}", if sid.is_empty() { "(no sid)" } else { &sid })
        })),
    };
    Parsed { number: line.number, end: line.end, event }
}

impl<Out: Write> Load<Out> {
    /// Takes lines until there are no more, or the user interrupts: then true.
    async fn take_all(
        &mut self,
        mut groups: mpsc::Receiver<io::Result<Vec<Parsed>>>,
        largest: usize,
    ) -> Result<bool, Failure> {
        let mut interrupt = std::pin::pin!(interrupt());
        let mut interrupted = false;
        loop {
            let group = tokio::select! {
                group = groups.recv() => group,
                () = tokio::time::sleep(LINGER), if !self.batch.events.is_empty() => {
                    self.send().await?;
                    continue;
                }
                () = &mut interrupt => {
                    interrupted = true;
                    None
                }
            };
            let Some(group) = group else { break };
            for parsed in group.map_err(|error| Failure::local("reading the events", error))? {
                self.take(parsed)?;
                if self.batch.events.len() >= largest || self.batch.bytes >= limits::CLIENT_BATCH_BYTES {
                    self.send().await?;
                }
            }
        }
        if !interrupted {
            self.send().await?;
        }
        while !self.flights.is_empty() {
            self.settle_oldest().await?;
        }
        Ok(interrupted)
    }

    fn take(&mut self, parsed: Parsed) -> Result<(), Failure> {
        self.batch.end = parsed.end;
        match parsed.event {
            None => {}
            Some(Ok(event)) => {
                self.batch.bytes += event.encoded_len() + 5;
                self.batch.events.push(event);
                self.batch.lines.push(parsed.number);
            }
            Some(Err(why)) => {
                self.unparsable += 1;
                self.report(parsed.number, &why)?;
            }
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.batch);
        if batch.events.is_empty() {
            return Ok(());
        }
        while self.flights.len() >= self.in_flight {
            self.settle_oldest().await?;
        }
        let courier = self.courier.clone();
        let call = tokio::spawn(async move { courier.deliver(batch.events).await });
        self.flights.push_back(Flight { lines: batch.lines, end: batch.end, call });
        Ok(())
    }

    /// Waits for the request that was sent first, so that everything before [`Load::next_line`] is settled.
    async fn settle_oldest(&mut self) -> Result<(), Failure> {
        let Some(flight) = self.flights.front_mut() else { return Ok(()) };
        let joined = (&mut flight.call).await;
        let receipt = joined.map_err(|error| Failure::local("sending", io::Error::other(error)))??;
        let Some(flight) = self.flights.pop_front() else { return Ok(()) };
        self.tally.add(&receipt);
        for rejected in &receipt.response.rejected {
            let line = usize::try_from(rejected.index).ok().and_then(|index| flight.lines.get(index));
            self.report(line.copied().unwrap_or(0), &describe_rejection(rejected))?;
        }
        self.next_line = flight.lines.last().map_or(self.next_line, |last| last + 1);
        let rate = events_a_second(self.tally.settled(), self.started.elapsed());
        self.progress.show(flight.end, format!("{} events, {rate}", count(self.tally.settled())));
        Ok(())
    }

    fn report(&mut self, line: u64, why: &str) -> Result<(), Failure> {
        let written = self.progress.beside(|| writeln!(self.out, "line {line}: {why}"));
        written.map_err(|error| Failure::local("standard output", error))
    }

    fn summarise(&self) {
        let tally = &self.tally;
        let refused = self.unparsable + tally.rejected_total();
        self.progress.beside(|| {
            say(format_args!(
                "{} events accepted, {} duplicates, {} lines refused; {}, {} retries, revision {}",
                count(tally.accepted),
                count(tally.duplicates),
                count(refused),
                events_a_second(tally.settled(), self.started.elapsed()),
                count(tally.retries),
                tally.revision,
            ));
        });
    }

    fn say_where_to_go_on(&self) {
        say(format_args!("not finished: go on with --from-line {}", self.next_line));
    }
}
