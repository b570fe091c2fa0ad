//! `tasktally import-taskrouter`: TaskRouter's own record of the last 30 days, into ingest.
//!
//! Time is read in windows, oldest first, each from its newest page to its oldest. A window has an end in the past of the
//! import, so that new events never shift its pages; its length follows what is in it, so that paging stays shallow. It is
//! done once every event of it is settled by the server, and only then the resume file says so: whatever ends the import,
//! at most one window is read again, which changes nothing.

pub mod args;
mod source;
mod state;

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use prost::Message as _;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::client::{Server, now_ms};
use super::delivery::{Courier, Receipt, Tally, describe_rejection};
use super::failure::{EXIT_REFUSED, Failure};
use super::progress::Progress;
use super::text::{count, duration, events_a_second, printable, rfc3339};
use super::{EXIT_INTERRUPTED, interrupt, say};
use crate::api::decode::Refused;
use crate::api::proto::v1::{Event, RejectedEvent, RejectionReason};
use crate::event::WorkspaceSid;
use crate::limits;
use crate::taskrouter;
use args::ImportArgs;
use source::{Page, Source};
use state::State;

/// One import, under way.
struct Import {
    args: ImportArgs,
    source: Source,
    courier: Courier,
    flights: VecDeque<JoinHandle<Result<Receipt, Failure>>>,
    state: State,
    tally: Tally,
    /// Events that were read, and those of them that were refused before they were sent.
    read: u64,
    unsendable: u64,
    progress: Progress,
    started: Instant,
    /// What is to do, and what was done when this run began, in seconds of all workspaces.
    span_s: i64,
    begun_s: i64,
}

pub async fn run(args: ImportArgs) -> Result<u8, Failure> {
    for workspace in &args.workspaces {
        WorkspaceSid::parse(workspace).map_err(|bad| Failure::Usage(format!("{}: {bad}", printable(workspace))))?;
    }
    let state = begin(&args)?;
    let courier = Courier { server: Server::new(&args.connection)?, patience: args.send.patience };
    let source = Source::new(&args.source, args.send.patience)?;
    let mut import = Import {
        source,
        courier,
        flights: VecDeque::new(),
        tally: Tally::default(),
        read: 0,
        unsendable: 0,
        progress: Progress::new(Some(0), ""),
        started: Instant::now(),
        span_s: 0,
        begun_s: 0,
        state,
        args,
    };
    import.span_s = (import.state.until_s - import.state.since_s).max(0) * import.args.workspaces.len() as i64;
    import.begun_s = import.done_s();
    import.progress.set_total(import.span_s.unsigned_abs());
    let mut stop = std::pin::pin!(interrupt());
    let outcome = tokio::select! {
        outcome = import.all() => outcome.map(|()| false),
        // What is under way is cut off: its window is read again.
        () = &mut stop => Ok(true),
    };
    import.summarise();
    if outcome.inspect_err(|_| import.say_how_to_go_on())? {
        import.say_how_to_go_on();
        return Ok(EXIT_INTERRUPTED);
    }
    Ok(if import.refused() > 0 { EXIT_REFUSED } else { 0 })
}

/// Where to begin, by the arguments and the resume file, which is made if it is not there: that it cannot be written
/// should be known at once.
fn begin(args: &ImportArgs) -> Result<State, Failure> {
    let now = now_ms();
    let since_s = args.since.as_millis(now).div_euclid(1000);
    // The end is a whole second that has passed or begun.
    let until_s = args.until.as_millis(now).min(now).div_euclid(1000) + 1;
    if since_s >= until_s {
        return Err(Failure::Usage("--since is not before --until".to_owned()));
    }
    let source = &args.source;
    let fresh = State::new(
        &source.base_url,
        &source.account_sid,
        &args.connection.address,
        (since_s, until_s),
        &args.workspaces,
    );
    let Some(file) = &args.resume else { return Ok(fresh) };
    let state = match state::load(file)? {
        None => fresh,
        Some(earlier) => fresh.resumed(earlier).map_err(|why| state::bad(file, &why))?,
    };
    state::save(file, &state)?;
    Ok(state)
}

impl Import {
    async fn all(&mut self) -> Result<(), Failure> {
        for workspace in self.args.workspaces.clone() {
            let mut window_s = self.args.source.window.as_secs() as i64;
            loop {
                let start_s = self.state.done_s(&workspace);
                let end_s = (start_s + window_s).min(self.state.until_s);
                if start_s >= end_s {
                    break;
                }
                let pages = self.window(&workspace, start_s, end_s).await?;
                self.settle(0).await?;
                self.state.set_done(&workspace, end_s);
                if let Some(file) = &self.args.resume {
                    state::save(file, &self.state)?;
                }
                self.show_progress();
                window_s = next_window_s(window_s, pages);
            }
        }
        Ok(())
    }

    /// Reads a window and hands in its events. Answers how many pages it had.
    ///
    /// It is never paged into deeply: after some pages the next one is the first of what is older than all that was read.
    async fn window(&mut self, workspace: &str, start_s: i64, end_s: i64) -> Result<u32, Failure> {
        let mut end_s = end_s;
        let mut next = Some(self.source.first_page(workspace, start_s, end_s));
        let (mut pages, mut depth) = (0, 0);
        while let Some(url) = next {
            let page = self.source.page(&url).await.map_err(|failure| failure.about(workspace))?;
            (pages, depth) = (pages + 1, depth + 1);
            if pages > limits::IMPORT_PAGES_MAX || page.next.as_ref() == Some(&url) {
                let at = rfc3339(start_s * 1000);
                return Err(Failure::Source(format!("{workspace}: the pages of the time from {at} do not end")));
            }
            next = page.next.clone();
            // Both ends of a window belong to it, so what is of the same second is read again.
            let oldest_s = page.oldest_ms().map_or(end_s, |oldest| oldest.div_euclid(1000) + 1);
            if next.is_some() && depth >= limits::IMPORT_PAGES_MANY && (start_s..end_s).contains(&oldest_s) {
                (end_s, depth) = (oldest_s, 0);
                next = Some(self.source.first_page(workspace, start_s, end_s));
            }
            self.take(page).await?;
            self.show_progress();
        }
        Ok(pages)
    }

    async fn take(&mut self, page: Page) -> Result<(), Failure> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for resource in page.events.iter().rev() {
            self.read += 1;
            match sendable(resource, &self.args.source.account_sid) {
                Ok(event) => {
                    bytes += event.encoded_len() + 5;
                    batch.push(event);
                }
                Err(refused) => {
                    self.unsendable += 1;
                    *self.tally.rejected.entry(refused.reason).or_default() += 1;
                    self.tell(&refused)?;
                }
            }
            if batch.len() >= self.args.send.batch || bytes >= limits::CLIENT_BATCH_BYTES {
                self.send(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
        }
        self.send(batch).await
    }

    async fn send(&mut self, events: Vec<Event>) -> Result<(), Failure> {
        if events.is_empty() || self.args.dry_run {
            return Ok(());
        }
        self.settle(self.args.send.in_flight - 1).await?;
        let courier = self.courier.clone();
        self.flights.push_back(tokio::spawn(async move { courier.deliver(events).await }));
        Ok(())
    }

    /// Waits until at most so many requests are under way.
    async fn settle(&mut self, most: usize) -> Result<(), Failure> {
        while self.flights.len() > most {
            let Some(flight) = self.flights.front_mut() else { break };
            let receipt = flight.await.map_err(|error| Failure::local("sending", io::Error::other(error)))??;
            self.flights.pop_front();
            self.tally.add(&receipt);
            for rejected in &receipt.response.rejected {
                self.tell(rejected)?;
            }
        }
        Ok(())
    }

    fn tell(&self, rejected: &RejectedEvent) -> Result<(), Failure> {
        let line = describe_rejection(rejected);
        let told = self.progress.beside(|| writeln!(io::stdout(), "{line}"));
        told.map_err(|error| Failure::local("standard output", error))
    }

    fn refused(&self) -> u64 {
        self.tally.rejected_total()
    }

    /// Seconds of all workspaces that are done.
    fn done_s(&self) -> i64 {
        let done = |sid: &String| (self.state.done_s(sid) - self.state.since_s).max(0);
        self.args.workspaces.iter().map(done).sum()
    }

    fn show_progress(&mut self) {
        if !self.progress.is_due() {
            return;
        }
        let done_s = self.done_s();
        let left = remaining(self.started.elapsed(), done_s - self.begun_s, self.span_s - done_s);
        let left = left.map_or(String::new(), |left| {
            let left = prost_types::Duration { seconds: left.as_secs() as i64, nanos: 0 };
            format!(", {} left", duration(Some(left)))
        });
        let message = format!(
            "{} events, {}, {} requests{left}",
            count(self.read),
            events_a_second(self.read, self.started.elapsed()),
            count(self.source.requests)
        );
        self.progress.show(done_s.unsigned_abs(), message);
    }

    fn summarise(&self) {
        let Import { tally, source, .. } = self;
        let rate = events_a_second(self.read, self.started.elapsed());
        let asked = format!("{} requests, {} of them again", count(source.requests), count(source.retries));
        self.progress.beside(|| {
            if self.args.dry_run {
                let (read, refused) = (count(self.read), count(self.unsendable));
                say(format_args!("{read} events read, {refused} would be refused, nothing sent; {rate}, {asked}"));
            } else {
                say(format_args!(
                    "{} events accepted, {} duplicates, {} refused; {rate}, {asked}, revision {}",
                    count(tally.accepted),
                    count(tally.duplicates),
                    count(self.refused()),
                    tally.revision
                ));
            }
        });
    }

    fn say_how_to_go_on(&self) {
        match &self.args.resume {
            Some(file) => say(format_args!("not finished: the same command goes on, by {}", file.display())),
            None => say("not finished: the same command begins anew, which changes nothing but takes its time"),
        }
    }
}

/// The event to send, or why ingest would refuse what it could not even be told. An event of another account would, if
/// it came first, bind the workspace to that.
fn sendable(resource: &Value, account: &str) -> Result<Event, RejectedEvent> {
    let reading = taskrouter::rest::read(resource).map_err(Refused::from);
    let judged = reading.and_then(|reading| {
        let event = reading.event.clone();
        taskrouter::judge(reading)?;
        if event.account_sid.eq_ignore_ascii_case(account) {
            return Ok(event);
        }
        let message = format!("account_sid is not {account}, whose workspace it is");
        Err(Refused { reason: RejectionReason::AccountMismatch, field: "account_sid", message })
    });
    judged.map_err(|refused| RejectedEvent {
        index: 0,
        event_sid: resource["sid"].as_str().unwrap_or_default().to_owned(),
        reason: refused.reason.into(),
        field: refused.field.to_owned(),
        message: refused.message,
    })
}

/// Shorter after many pages, longer after few.
fn next_window_s(window_s: i64, pages: u32) -> i64 {
    let (least, most) = (limits::IMPORT_WINDOW_MIN.as_secs() as i64, limits::IMPORT_WINDOW_MAX.as_secs() as i64);
    let wanted = match pages {
        limits::IMPORT_PAGES_MANY.. => window_s / 2,
        ..=limits::IMPORT_PAGES_FEW => window_s * 2,
        _ => window_s,
    };
    wanted.clamp(least, most)
}

/// At the pace so far.
fn remaining(elapsed: Duration, done_s: i64, left_s: i64) -> Option<Duration> {
    if done_s <= 0 {
        return None;
    }
    Some(elapsed.mul_f64(left_s.max(0) as f64 / done_s as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_what_is_in_them() {
        assert_eq!(next_window_s(3_600, 1), 7_200);
        assert_eq!(next_window_s(3_600, 5), 3_600);
        assert_eq!(next_window_s(3_600, 8), 1_800);
        assert_eq!(next_window_s(61, 100), 60, "no shorter than the shortest");
        assert_eq!(next_window_s(80_000, 0), 86_400, "no longer than the longest");
    }

    #[test]
    fn the_time_left_is_told_by_the_pace_of_this_run() {
        assert_eq!(remaining(Duration::from_secs(10), 0, 100), None);
        assert_eq!(remaining(Duration::from_secs(10), 50, 100), Some(Duration::from_secs(20)));
    }
}
