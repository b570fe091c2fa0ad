//! What `tasktally simulate` says before it begins and after it ends.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::Centre;
use super::args::SimulateArgs;
use crate::cli::client::Server;
use crate::cli::delivery::{Tally, reason_name};
use crate::cli::text::{count, events_a_second, rfc3339, table};

/// Workspaces listed at most.
const LISTED: usize = 10;

#[derive(Debug)]
pub(super) struct Summary {
    account_sid: String,
    workspace_sids: Vec<String>,
    authority: String,
    is_tls: bool,
    seed: u64,
    start: String,
    workers: usize,
    rate: f64,
}

impl Summary {
    pub fn new(centre: &Centre, args: &SimulateArgs, start_ms: i64, server: &Server) -> Summary {
        Summary {
            account_sid: centre.account_sid().to_owned(),
            workspace_sids: centre.workspace_sids(),
            authority: server.authority().to_owned(),
            is_tls: server.is_tls(),
            seed: args.seed,
            start: rfc3339(start_ms),
            workers: args.workers,
            rate: args.rate,
        }
    }

    pub fn opening(&self) -> String {
        let workspaces = self.workspace_sids.len();
        format!(
            "Centre of seed {} from {}: {} {}, {} workers each, {} tasks a second\n{}",
            self.seed,
            self.start,
            count(workspaces as u64),
            if workspaces == 1 { "workspace" } else { "workspaces" },
            count(self.workers as u64),
            self.rate,
            self.sids()
        )
    }

    pub fn closing(&self, tally: &Tally, examples: &BTreeMap<i32, String>, elapsed: Duration) -> String {
        let settled = tally.settled();
        let mut text = format!(
            "Settled {} events in {:.1}s: {}; {} requests, {} retries\n",
            count(settled),
            elapsed.as_secs_f64(),
            events_a_second(settled, elapsed),
            count(tally.calls),
            count(tally.retries)
        );
        let mut rows = vec![
            vec!["accepted".to_owned(), count(tally.accepted)],
            vec!["duplicates".to_owned(), count(tally.duplicates)],
            vec!["rejected".to_owned(), count(tally.rejected_total())],
        ];
        rows.extend(
            tally.rejected.iter().map(|(&reason, &events)| vec![format!("  {}", reason_name(reason)), count(events)]),
        );
        rows.push(vec!["revision".to_owned(), tally.revision.to_string()]);
        text.push_str(&table(&rows));
        for example in examples.values() {
            let _ = writeln!(text, "  for example {example}");
        }
        text.push_str(&self.sids());
        text.push_str(&self.tries());
        text
    }

    fn sids(&self) -> String {
        let mut text = String::new();
        for sid in self.workspace_sids.iter().take(LISTED) {
            let _ = writeln!(text, "  workspace {sid} of account {}", self.account_sid);
        }
        if self.workspace_sids.len() > LISTED {
            let _ = writeln!(text, "  … and {} more", self.workspace_sids.len() - LISTED);
        }
        text
    }

    fn tries(&self) -> String {
        let Some(sid) = self.workspace_sids.first() else { return String::new() };
        let authority = &self.authority;
        let (address, security) = if self.is_tls {
            (format!(" --address https://{authority} --tls-ca CA.pem"), "-cacert CA.pem")
        } else if authority == "127.0.0.1:50051" {
            (String::new(), "-plaintext")
        } else {
            (format!(" --address {authority}"), "-plaintext")
        };
        format!(
            "Try:\n  tasktally get{address} {sid}\n  tasktally watch{address} {sid}\n  \
             grpcurl {security} -d '{{\"workspace_sid\":\"{sid}\"}}' {authority} \
             tasktally.v1.StatisticsService/GetStatistics\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_says_what_became_of_the_events_and_what_to_try() {
        let summary = Summary {
            account_sid: "AC1".to_owned(),
            workspace_sids: vec!["WS1".to_owned(), "WS2".to_owned()],
            authority: "stats:7".to_owned(),
            is_tls: false,
            seed: 1,
            start: "2026-01-31T08:00:00.000Z".to_owned(),
            workers: 60,
            rate: 1.0,
        };
        let tally = Tally {
            calls: 2,
            retries: 1,
            accepted: 1_990,
            duplicates: 7,
            rejected: BTreeMap::from([(4, 3)]),
            revision: 42,
        };
        let examples = BTreeMap::from([(4, "EV1 TOO_OLD: timestamp: 31 days".to_owned())]);
        assert_eq!(
            summary.closing(&tally, &examples, Duration::from_secs(2)),
            "\
Settled 2,000 events in 2.0s: 1,000 events/s; 2 requests, 1 retries
  accepted    1,990
  duplicates      7
  rejected        3
    TOO_OLD       3
  revision       42
  for example EV1 TOO_OLD: timestamp: 31 days
  workspace WS1 of account AC1
  workspace WS2 of account AC1
Try:
  tasktally get --address stats:7 WS1
  tasktally watch --address stats:7 WS1
  grpcurl -plaintext -d '{\"workspace_sid\":\"WS1\"}' stats:7 tasktally.v1.StatisticsService/GetStatistics
"
        );
    }
}
