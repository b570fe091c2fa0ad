//! Settings of `tasktally bench`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::{ConnectionArgs, Output, number_within};
use crate::event::AccountSid;
use crate::limits;

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  tasktally bench                                   a server of its own, beside a bare service
  tasktally bench --events 1000000 --seconds 30     longer, and so steadier
  tasktally bench --batch 100 --connections 8 --in-flight 32
  tasktally bench --output json > figures.json
  tasktally bench --running --address stats.example:50051 --token-file token --account AC…

Without --running it starts this very program as a server, with its data in a temporary directory that it removes in the \
end, and a bare service: tonic and prost with nothing behind them. It sends both the same messages over loopback, one \
after the other, so the ratios of one run are worth more than its absolute figures, which hang on the machine and on what \
else it does. CPU is that of the server's process, user and system; latency is the whole call as the client sees it. The \
bare service shares this program's allocator; the one of `cargo bench --bench service` has the system's, which is slower.

The watch row is about one watcher of a workspace of its own while another workspace is loaded with half of what the \
largest batch brought: the time from an event's acknowledgement to the message that shows it.

--running sends made-up events to a server that is there already, into workspaces that it has not seen before, and it keeps \
them: `tasktally forget` removes such a workspace.")]
pub struct BenchArgs {
    /// Events of each ingest measurement, at most.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = events)]
    pub events: usize,

    /// Questions of each kind, at most.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = events)]
    pub calls: usize,

    /// Time of each measurement, at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = seconds)]
    pub seconds: usize,

    /// Events of one call, each a measurement of its own.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1000,100,1", value_parser = batch)]
    pub batch: Vec<usize>,

    /// Connections to the server.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = connections)]
    pub connections: usize,

    /// Calls in flight at a time, over all connections; calls of more than 100 events take an eighth of it.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = in_flight)]
    pub in_flight: usize,

    /// text for people, json for programs: the same figures, and each ingest's counts.
    #[arg(long, short, value_enum, default_value = "text")]
    pub output: Output,

    /// Where the temporary data directory is made: on a disk like the one that a server would have [default: the
    /// system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Drive the server that runs at --address, rather than one of its own. It keeps the events.
    #[arg(long, conflicts_with = "dir")]
    pub running: bool,

    /// Process id of the server of --running, where it is on this machine, to read its CPU.
    #[arg(long, value_name = "PID", requires = "running")]
    pub pid: Option<u32>,

    /// Account of the events (AC…) rather than one made up: a token of one account may send nothing else.
    #[arg(long, value_name = "ACCOUNT_SID", value_parser = account)]
    pub account: Option<AccountSid>,

    /// Be the bare service; ends with standard input.
    #[arg(long, hide = true)]
    pub bare: bool,

    #[command(flatten)]
    pub connection: ConnectionArgs,
}

fn events(text: &str) -> Result<usize, String> {
    number_within(text, limits::BENCH_EVENTS_MAX)
}

fn batch(text: &str) -> Result<usize, String> {
    number_within(text, limits::EVENTS_PER_CALL)
}

fn connections(text: &str) -> Result<usize, String> {
    number_within(text, limits::CLIENT_CONNECTIONS_MAX)
}

fn in_flight(text: &str) -> Result<usize, String> {
    number_within(text, limits::CLIENT_IN_FLIGHT_MAX)
}

fn seconds(text: &str) -> Result<usize, String> {
    number_within(text, 3_600)
}

fn account(text: &str) -> Result<AccountSid, String> {
    AccountSid::parse(text).map_err(|malformed| malformed.to_string())
}
