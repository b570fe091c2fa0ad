//! Every setting, as flags and `TASKTALLY_*` variables, checked once: what comes out of [`parse`] is good to run.
//! A complaint names its flag. The settings of the client commands are in [`crate::cli::args`].

mod access;
mod bounds;
mod connections;
mod file;
mod http;
mod serve;
mod shown;
#[cfg(test)]
mod tests;
mod tls;
mod trace;

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::cli::args::ClientCommand;
use crate::cli::credentials::CredentialsCommand;
use crate::cli::manual::ManualCommand;
use crate::cli::offline::OfflineCommand;

use file::FromFile;
use shown::{ConfigCommand, Fitted};

pub use access::{AccessConfig, Reflection};
pub use bounds::BoundsConfig;
#[doc(hidden)] // open for fuzz/
pub use bounds::bytes_or_none as parse_bytes;
pub use connections::ConnectionSettings;
#[doc(hidden)] // likewise
pub use duration_within as parse_duration;
pub use serve::{ServeConfig, reachable};
pub use shown::{Form, Shown};
pub use tls::{ClientAuth, TlsSettings};
pub use trace::TraceSettings;

/// What the process was asked to do.
#[derive(Debug)]
pub struct Arguments {
    pub log: LogConfig,
    pub command: Command,
}

#[derive(Debug)]
pub enum Command {
    Serve(Box<ServeConfig>),
    /// The settings of `serve`, to be written rather than used.
    Config(Shown),
    Client(Box<ClientCommand>),
    Credentials(CredentialsCommand),
    Offline(OfflineCommand),
    Manual(ManualCommand),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub format: LogFormat,
    /// A level, or tracing's directives (`tasktally=debug,h2=info`); checked.
    pub level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// No line is longer than a terminal of 80 columns takes: what clap has to wrap here loses its columns.
const EXAMPLES: &str = "\
Examples:
  tasktally                            serve on 127.0.0.1:50051, data in
                                       ./tasktally-data
  tasktally --demo                     a first look: with a simulated centre
  tasktally --ephemeral                try it without disk
  tasktally simulate --backfill 1h     an hour of a contact centre's events
  tasktally get                        the statistics, or the workspaces
  tasktally cumulative WS... --minutes 480 --split 5,30
  tasktally watch WS...                a live view
  tasktally ingest events.ndjson       load events, one JSON object a line
  tasktally import-taskrouter WS...    the last 30 days, from TaskRouter's API
  tasktally dead-letters list          events over HTTP that were refused
  tasktally healthcheck                for probes
  tasktally status                     how a server is, for who runs it
  tasktally config                     every setting, and where it comes from
  tasktally credentials new --name pump --roles ingest >> credentials.toml
  tasktally backup /backup/monday      of the running server; restore:
                                       serve --data-dir /backup/monday
  tasktally verify DIR                 looks for damage, server stopped
  tasktally export DIR -o events.ndjson

Exit codes:
  0  done
  1  events were refused (ingest, simulate, import-taskrouter, dead-letters
     resend), NOT_SERVING (healthcheck), the server failed (serve), damage was
     found (verify) or skipped (export), something is wrong in the file
     (credentials check)
  2  bad usage; TLS on one side only; of healthcheck also: unreachable
  3  the server refuses the request as it is: do not repeat it unchanged
  4  the server cannot be reached, is overloaded or too slow: try again later
  5  something on this side failed: a file, the terminal
  6  we and the server do not know each other, or we may not do this: see
     --token-file, --tls-ca, --tls-cert
130  stopped by a second signal, or Ctrl-C while loading

Where its --help names a variable, a flag can also be set by that; flags win
over variables, and both over the file of serve --config.";

#[derive(Parser)]
#[command(
    name = "tasktally",
    version,
    about = "Exact, pushed, durable statistics for task routers, over gRPC, over HTTP, and on the wall",
    after_help = EXAMPLES,
    // As `with_command` has it.
    override_usage = "tasktally [OPTIONS] [COMMAND]",
    subcommand_required = true,
    max_term_width = 110
)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Args)]
struct LogArgs {
    /// Form of the log lines on standard error.
    #[arg(long, env = "TASKTALLY_LOG_FORMAT", value_enum, default_value = "human", global = true)]
    log_format: LogFormat,

    /// error, warn, info, debug or trace, or directives such as tasktally=debug,h2=info [default: RUST_LOG, or warn for
    /// the commands that talk to a server and info for the others]
    #[arg(long, env = "TASKTALLY_LOG_LEVEL", value_name = "LEVEL", global = true, value_parser = log_level)]
    log_level: Option<String>,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Run the server; also what `tasktally` alone does.
    Serve(Box<ServeConfig>),
    /// Show what every setting of `serve` would be, and where it comes from; takes its flags, variables and file.
    Config(Box<ConfigCommand>),
    #[command(flatten)]
    Client(Box<ClientCommand>),
    /// Make and check the credentials that a server knows its callers by.
    #[command(subcommand)]
    Credentials(CredentialsCommand),
    #[command(flatten)]
    Offline(OfflineCommand),
    #[command(flatten)]
    Manual(ManualCommand),
}

/// The command line's definition, as its manual is made of.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// The arguments of this process. Ends the process on --help and on bad usage.
pub fn parse() -> Arguments {
    let rust_log = std::env::var("RUST_LOG").ok().filter(|level| !level.is_empty());
    try_parse(std::env::args_os(), rust_log).unwrap_or_else(|error| error.exit())
}

/// Likewise, of any arguments; the first is the program's name.
///
/// # Errors
/// Bad usage, or a request for --help or --version, which clap counts as errors.
pub fn try_parse(
    arguments: impl IntoIterator<Item = OsString>,
    rust_log: Option<String>,
) -> Result<Arguments, clap::Error> {
    let (arguments, file) = with_file(with_command(arguments.into_iter().collect()))?;
    let matches = Cli::command().try_get_matches_from(arguments).map_err(|error| noted(error, file.as_ref()))?;
    let cli = Cli::from_arg_matches(&matches)?;
    // What reads a whole journal says how far it is.
    let default_level = if matches!(cli.command, CliCommand::Client(_)) { "warn" } else { "info" };
    let level = match (cli.log.log_level, rust_log) {
        (Some(level), _) => level,
        (None, Some(level)) => log_level(&level)
            .map_err(|why| Cli::command().error(ErrorKind::ValueValidation, format!("invalid RUST_LOG: {why}")))?,
        (None, None) => default_level.to_owned(),
    };
    let command = match cli.command {
        CliCommand::Serve(config) => Command::Serve(checked(config, matches.subcommand_matches("serve"))?.0),
        CliCommand::Config(command) => shown(*command, matches.subcommand_matches("config"), file.as_ref())?,
        CliCommand::Client(command) => Command::Client(command),
        CliCommand::Credentials(command) => Command::Credentials(command),
        CliCommand::Offline(command) => Command::Offline(command),
        CliCommand::Manual(command) => Command::Manual(command),
    };
    Ok(Arguments { log: LogConfig { format: cli.log.log_format, level }, command })
}

/// What holds between settings; also which of them follow others.
fn checked(
    mut config: Box<ServeConfig>,
    given: Option<&ArgMatches>,
) -> Result<(Box<ServeConfig>, Vec<Fitted>), clap::Error> {
    let is_given = |name: &str| given.is_some_and(|given| given.value_source(name) != Some(ValueSource::DefaultValue));
    let mut fitted = config.bounds.fit(is_given);
    fitted.extend(config.connections.fit(is_given));
    if config.demo && !config.ephemeral && !is_given("data_dir") {
        config.ephemeral = true;
        fitted.push(("ephemeral", "demo", usize::from(true)));
    }
    let contradiction = config.bounds.contradiction().or_else(|| config.connections.contradiction());
    match contradiction.or_else(|| config.demo_contradiction()) {
        None => Ok((config, fitted)),
        Some(why) => Err(built("serve").error(ErrorKind::ArgumentConflict, why)),
    }
}

/// A command with all its flags, and its own usage rather than that of the whole program.
fn built(name: &str) -> clap::Command {
    let mut cli = Cli::command();
    cli.build();
    cli.find_subcommand(name).cloned().unwrap_or(cli)
}

fn shown(command: ConfigCommand, given: Option<&ArgMatches>, file: Option<&FromFile>) -> Result<Command, clap::Error> {
    let (_, fitted) = checked(Box::new(command.serve), given)?;
    let none = ArgMatches::default();
    Ok(Command::Config(Shown::new(command.output, &built("config"), given.unwrap_or(&none), file, &fitted)))
}

/// The complaint, with the file that its setting comes from.
fn noted(error: clap::Error, file: Option<&FromFile>) -> clap::Error {
    let note = file.filter(|_| error.use_stderr()).and_then(|file| file.note(&error.to_string()));
    match note {
        None => error,
        Some(note) => {
            let text = error.to_string();
            let sentence = text.strip_prefix("error: ").unwrap_or(&text);
            let end = ["\n\nUsage", "\n\nFor more"].iter().filter_map(|next| sentence.find(next)).min();
            let sentence = sentence.get(..end.unwrap_or(sentence.len())).unwrap_or(sentence);
            built("serve").error(error.kind(), format!("{sentence}\n\n{note}"))
        }
    }
}

/// The arguments with those of the file of settings, where one is named. It is looked for in arguments that need not be
/// right, which the file may make them.
fn with_file(arguments: Vec<OsString>) -> Result<(Vec<OsString>, Option<FromFile>), clap::Error> {
    let looked = Cli::command().ignore_errors(true).try_get_matches_from(&arguments);
    let found =
        looked.as_ref().ok().and_then(ArgMatches::subcommand).filter(|(name, _)| ["serve", "config"].contains(name));
    let Some((name, given)) = found else { return Ok((arguments, None)) };
    let at = arguments.iter().position(|argument| argument == name).unwrap_or_default();
    let command = built(name);
    file::extended(&command, given, arguments, at).map_err(|why| built(name).error(ErrorKind::ValueValidation, why))
}

/// Puts `serve` where no command is: nothing at all was given, or only flags. Done here rather than by flags on the
/// top level, so that the help of each command shows its own flags only, and a variable of the server that is wrong
/// does not stop a client.
fn with_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_command = |argument: &OsStr| {
        argument.to_str().is_some_and(|text| text == "help" || Cli::command().find_subcommand(text).is_some())
    };
    let asks = |argument: &OsStr| ["-h", "--help", "-V", "--version"].iter().any(|flag| argument == *flag);
    let given = arguments.get(1..).unwrap_or_default();
    let only_flags = given.first().is_none_or(|first| first.as_encoded_bytes().starts_with(b"-") && !asks(first));
    if only_flags && !given.iter().any(|argument| is_command(argument)) {
        let program = usize::from(!arguments.is_empty());
        arguments.insert(program, "serve".into());
    }
    arguments
}

/// A duration as people write it (`90s`, `15min`, `30d`), within bounds that are both allowed.
pub fn duration_within(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (min..=max).contains(&duration) {
        Ok(duration)
    } else {
        Err(format!("must be {} to {}", humantime::format_duration(min), humantime::format_duration(max)))
    }
}

fn log_level(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
