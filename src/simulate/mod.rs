//! A lawful, seeded contact centre, and the way of its events to a server.
//!
//! [`Centre`] makes events, endlessly and in the order of their time, out of a seed: it does no I/O and reads no clock,
//! so that tests and benches can use it as they like. [`Disturbed`] delays and repeats some of them. `feed` waits for
//! the time of each, as far as it is not past, and `send` brings them to the server until each is settled.

pub mod args;
mod centre;
pub mod demo;
mod disturb;
mod draw;
mod events_api;
mod feed;
mod offer;
mod post;
mod send;
mod staff;
mod summary;
mod task;
mod workspace;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::cli::client::{Server, now_ms};
use crate::cli::delivery::{Courier, Receipt, Tally, describe_rejection};
use crate::cli::failure::{EXIT_REFUSED, Failure};
use crate::cli::progress::Progress;
use crate::cli::text::{count, duration, events_a_second, rfc3339};
use crate::cli::{interrupt, print, say};
use args::{Form, SimulateArgs};
pub use centre::{Centre, Settings};
pub use disturb::{Delivery, Disturbance, Disturbed, timestamp_ms};
use feed::Plan;
use post::{Poster, Signer};
use send::Carrier;

/// Runs `tasktally simulate`: makes events, sends them, and says what became of them.
///
/// # Errors
/// The server refuses a call as a whole, or takes nothing for as long as `--patience` allows.
pub async fn run(args: SimulateArgs) -> Result<u8, Failure> {
    args.check().map_err(Failure::Usage)?;
    let now_ms = now_ms();
    let start_ms = start_ms(&args, now_ms)?;
    let account_sid = args.account.map(|account| account.to_string());
    let centre = Centre::of_account(args.seed, args.settings(start_ms), account_sid);
    let summary = summary::Summary::new(&centre, &args, start_ms);
    say(summary.opening());

    if args.form == Form::EventsApi {
        let token = signer(&args)?.map_or_else(String::new, |signer| signer.token.into());
        events_api::serve(centre, args.listen, &token, args.until.map(|until| until.as_millis(now_ms))).await?;
        return Ok(0);
    }

    let disturbance = Disturbance {
        duplicates: args.duplicates,
        late: args.late,
        late_by_ms: u64::try_from(args.late_by.as_millis()).unwrap_or(u64::MAX),
    };
    let stop = CancellationToken::new();
    let until_ms = until_ms(&args, now_ms)?;
    let plan = Plan { until_ms, batch: args.batch() };
    let deliveries = Disturbed::new(centre, args.seed, disturbance);
    let (batches, reached_ms) = feed::start(deliveries, plan, stop.clone());

    let receipts = send::start(carriers(&args)?, args.in_flight(), batches);

    let span_ms = until_ms.map(|until_ms| u64::try_from(until_ms - start_ms).unwrap_or(0));
    let mut account = Account::new(span_ms);
    let follow = account.follow(receipts, &stop, || reached_ms.load(Ordering::Relaxed) - start_ms, start_ms);
    let outcome = follow.await;
    account.progress.finish();
    let printed = print(summary.closing(&account.tally, &account.examples, account.started.elapsed()));
    outcome.and(printed)?;
    Ok(if account.tally.rejected_total() > 0 { EXIT_REFUSED } else { 0 })
}

fn start_ms(args: &SimulateArgs, now_ms: i64) -> Result<i64, Failure> {
    let backfill_ms = args.backfill.map_or(0, |backfill| i64::try_from(backfill.as_millis()).unwrap_or(i64::MAX));
    match args.start {
        Some(start) if start.as_millis(now_ms) > now_ms => Err(Failure::Usage("--start is yet to come".to_owned())),
        // As given: whoever names a start wants the events of that start, refused or not.
        Some(start) => Ok(start.as_millis(now_ms)),
        None => Ok((now_ms - backfill_ms).max(feed::oldest_ms(now_ms))),
    }
}

fn until_ms(args: &SimulateArgs, now_ms: i64) -> Result<Option<i64>, Failure> {
    if let Some(until) = args.until {
        let until_ms = until.as_millis(now_ms);
        return if until_ms > now_ms {
            Err(Failure::Usage("--until is yet to come: --duration goes on live".to_owned()))
        } else {
            Ok(Some(until_ms))
        };
    }
    let live_ms = args.duration.map(|live| i64::try_from(live.as_millis()).unwrap_or(i64::MAX));
    Ok(match live_ms {
        Some(live_ms) => Some(now_ms.saturating_add(live_ms)),
        None => (!args.goes_live()).then_some(now_ms),
    })
}

/// One for each connection.
fn carriers(args: &SimulateArgs) -> Result<Vec<Carrier>, Failure> {
    let patience = args.send.patience;
    let signer = signer(args)?;
    (0..args.connections)
        .map(|_| {
            let server = Server::new(&args.connection)?;
            Ok(match args.form {
                Form::Grpc if args.stream => Carrier::Streams(Courier { server, patience }),
                Form::Grpc => Carrier::Calls(Courier { server, patience }),
                Form::Callbacks | Form::Streams | Form::EventsApi => Carrier::Posts(Poster {
                    server,
                    patience,
                    is_stream: args.form == Form::Streams,
                    signer: signer.clone(),
                }),
            })
        })
        .collect()
}

fn signer(args: &SimulateArgs) -> Result<Option<Signer>, Failure> {
    let public_url = args.public_url.as_ref().unwrap_or(&args.connection.address);
    args.auth_token_file.as_ref().map(|file| Signer::read(file, public_url)).transpose()
}

/// What has been settled so far.
struct Account {
    tally: Tally,
    /// The first refusal of each reason.
    examples: BTreeMap<i32, String>,
    progress: Progress,
    started: Instant,
}

impl Account {
    fn new(span_ms: Option<u64>) -> Account {
        let progress = Progress::new(span_ms, "");
        Account { tally: Tally::default(), examples: BTreeMap::new(), progress, started: Instant::now() }
    }

    /// Takes receipts until there are no more; the first failure stops the feed, and the rest is still counted.
    async fn follow(
        &mut self,
        mut receipts: tokio::sync::mpsc::Receiver<Result<Receipt, Failure>>,
        stop: &CancellationToken,
        reached_ms: impl Fn() -> i64,
        start_ms: i64,
    ) -> Result<(), Failure> {
        let mut outcome = Ok(());
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        let mut interrupt = std::pin::pin!(interrupt());
        loop {
            tokio::select! {
                receipt = receipts.recv() => match receipt {
                    Some(Ok(receipt)) => self.take(&receipt),
                    Some(Err(failure)) => {
                        stop.cancel();
                        outcome = outcome.and(Err(failure));
                    }
                    None => return outcome,
                },
                _ = tick.tick() => self.show(reached_ms(), start_ms),
                () = &mut interrupt, if !stop.is_cancelled() => {
                    self.progress.beside(|| say("stopping: what was sent is being settled; Ctrl-C again ends at once"));
                    stop.cancel();
                }
            }
        }
    }

    fn take(&mut self, receipt: &Receipt) {
        self.tally.add(receipt);
        for rejected in &receipt.response.rejected {
            self.examples.entry(rejected.reason).or_insert_with(|| describe_rejection(rejected));
        }
    }

    fn show(&mut self, reached_ms: i64, start_ms: i64) {
        if !self.progress.is_due() {
            return;
        }
        let settled = self.tally.settled();
        let mut message =
            format!("{} events settled, {}", count(settled), events_a_second(settled, self.started.elapsed()));
        let behind_s = (now_ms() - start_ms - reached_ms) / 1000;
        if reached_ms > 0 && behind_s > 1 {
            let behind = duration(Some(prost_types::Duration { seconds: behind_s, nanos: 0 }));
            message.push_str(&format!(", at {} ({behind} ago)", rfc3339(start_ms + reached_ms)));
        }
        if self.tally.retries > 0 {
            message.push_str(&format!(", {} retries", count(self.tally.retries)));
        }
        self.progress.show(u64::try_from(reached_ms).unwrap_or(0), message);
    }
}

#[cfg(test)]
mod tests;
