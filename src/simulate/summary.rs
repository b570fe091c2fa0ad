//! What `tasktally simulate` says before it begins and after it ends.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::Centre;
use super::args::SimulateArgs;
use crate::cli::args::{ConnectionArgs, TlsArgs};
use crate::cli::delivery::{Tally, reason_name};
use crate::cli::text::{count, events_a_second, in_shell, rfc3339, table};

/// Workspaces listed at most.
const LISTED: usize = 10;

#[derive(Debug)]
pub(super) struct Summary {
    account_sid: String,
    workspace_sids: Vec<String>,
    connection: ConnectionArgs,
    seed: u64,
    start: String,
    workers: usize,
    rate: f64,
}

impl Summary {
    pub fn new(centre: &Centre, args: &SimulateArgs, start_ms: i64) -> Summary {
        Summary {
            account_sid: centre.account_sid().to_owned(),
            workspace_sids: centre.workspace_sids(),
            connection: args.connection.clone(),
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
        // What is posted is answered without one.
        if tally.revision > 0 {
            rows.push(vec!["revision".to_owned(), tally.revision.to_string()]);
        }
        text.push_str(&table(&rows));
        for example in examples.values() {
            let _ = writeln!(text, "  for example {example}");
        }
        // Of a workspace that the server does not know there is nothing to see.
        if tally.accepted + tally.duplicates > 0 {
            text.push_str(&self.sids());
            text.push_str(&tries(self.workspace_sids.first(), &self.connection));
        }
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
}

/// What to look at next, by the way that the events went. A token itself is not repeated.
fn tries(workspace_sid: Option<&String>, connection: &ConnectionArgs) -> String {
    let Some(sid) = workspace_sid else { return String::new() };
    let authority = connection.address.split_once("://").map_or("", |(_, authority)| authority);
    let mut theirs = if connection.address.starts_with("https://") { "" } else { " -plaintext" }.to_owned();
    let TlsArgs { tls_ca, tls_cert, tls_key } = &connection.tls;
    for (flag, file) in [("-cacert", tls_ca), ("-cert", tls_cert), ("-key", tls_key)] {
        if let Some(file) = file {
            let _ = write!(theirs, " {flag} {}", in_shell(file));
        }
    }
    let mut head = "Try:";
    if let Some(file) = &connection.token.token_file {
        let _ = write!(theirs, " -H \"authorization: Bearer $(cat {})\"", in_shell(file));
    } else if connection.token.token.is_some() {
        head = "Try, with the token in TASKTALLY_TOKEN:";
        theirs.push_str(" -H \"authorization: Bearer $TASKTALLY_TOKEN\"");
    }
    let ours = connection.flags();
    format!(
        "{head}\n  tasktally get{ours} {sid}\n  tasktally watch{ours} {sid}\n  \
         grpcurl{theirs} -d '{{\"workspace_sid\":\"{sid}\"}}' {authority} \
         tasktally.v1.StatisticsService/GetStatistics\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(flags: &str) -> ConnectionArgs {
        let line = format!("tasktally simulate {flags}");
        match crate::config::try_parse(line.split(' ').map(Into::into), None).unwrap().command {
            crate::config::Command::Client(command) => command.connection().clone(),
            _ => panic!("{line} is a client command"),
        }
    }

    #[test]
    fn what_to_try_takes_the_same_way_and_tells_no_token() {
        let sid = "WS1".to_owned();
        let flags = "--address https://stats:7 --tls-ca ca.pem --tls-cert me.pem --tls-key me's.key --token-file token";
        let text = tries(Some(&sid), &connection(flags));
        let shown = flags.replace("me's.key", "'me'\\''s.key'");
        assert!(
            text.starts_with(&format!("Try:\n  tasktally get {shown} WS1\n  tasktally watch {shown} WS1\n")),
            "{text}"
        );
        assert!(text.contains("-cacert ca.pem -cert me.pem") && text.contains("Bearer $(cat token)"), "{text}");
        let text = tries(Some(&sid), &connection("--token tt_secret"));
        assert!(text.contains("TASKTALLY_TOKEN") && !text.contains("tt_secret"), "{text}");
    }

    #[test]
    fn what_failed_outright_has_nothing_to_try() {
        let summary = Summary {
            account_sid: "AC1".to_owned(),
            workspace_sids: vec!["WS1".to_owned()],
            connection: connection("--address stats:7"),
            seed: 1,
            start: String::new(),
            workers: 1,
            rate: 1.0,
        };
        let rejected = Tally { rejected: BTreeMap::from([(4, 3)]), ..Tally::default() };
        for tally in [Tally::default(), rejected] {
            let text = summary.closing(&tally, &BTreeMap::new(), Duration::from_secs(2));
            assert!(!text.contains("Try") && !text.contains("WS1"), "{text}");
        }
    }

    #[test]
    fn the_end_says_what_became_of_the_events_and_what_to_try() {
        let summary = Summary {
            account_sid: "AC1".to_owned(),
            workspace_sids: vec!["WS1".to_owned(), "WS2".to_owned()],
            connection: connection("--address stats:7"),
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
