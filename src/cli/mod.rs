//! The client commands: what people and scripts ask a server for. Each is one file with one `run`; what they share is
//! the way to a server ([`client`]), sending until it is settled ([`delivery`]), and how trouble is told ([`failure`]).

// They panic where nobody reads standard error any more; `say` does not.
#![cfg_attr(not(test), deny(clippy::print_stderr))]

pub mod args;
mod backup;
pub mod client;
pub mod credentials;
pub mod delivery;
pub mod failure;
mod forget;
mod get;
mod handshake;
mod healthcheck;
pub mod import;
mod ingest;
#[doc(hidden)] // open for fuzz/
pub mod json;
pub mod letters;
#[doc(hidden)] // open for fuzz/
pub mod lines;
pub mod manual;
pub mod offline;
pub mod progress;
mod render;
mod status;
pub mod text;
pub mod token;
mod trust;
pub mod watch;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use args::{ClientCommand, ConnectionArgs};
use failure::Failure;
pub use failure::{EXIT_LOCAL, EXIT_USAGE};

use crate::{bench, simulate};

/// Runs one command to its end.
pub fn run(command: ClientCommand) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return finish(Err(Failure::local("starting threads", error)), None),
    };
    let connection = command.connection().clone();
    let outcome = runtime.block_on(async {
        let outcome = match command {
            ClientCommand::Simulate(args) => simulate::run(args).await,
            ClientCommand::Bench(args) => bench::run(*args).await,
            ClientCommand::Ingest(args) => ingest::run(args).await,
            ClientCommand::Import(args) => import::run(*args).await,
            ClientCommand::Healthcheck(args) => {
                healthcheck::run(args).await.and_then(|(line, code)| print(line).map(|()| code))
            }
            ClientCommand::Get(args) => get::statistics(args).await.and_then(print).map(|()| 0),
            ClientCommand::Cumulative(args) => get::cumulative(args).await.and_then(print).map(|()| 0),
            ClientCommand::Watch(args) => watch::run(*args).await,
            ClientCommand::Status(args) => status::run(args).await.and_then(print).map(|()| 0),
            ClientCommand::Backup(args) => backup::run(args).await.and_then(print).map(|()| 0),
            ClientCommand::Forget(args) => forget::run(args).await.and_then(print).map(|()| 0),
            ClientCommand::Letters(command) => letters::run(command).await,
        };
        match outcome {
            Err(failure) => Err(handshake::explained(failure, &connection).await),
            done => done,
        }
    });
    // A thread may be blocked on standard input for ever.
    runtime.shutdown_background();
    finish(outcome, Some(&connection))
}

/// The exit code of a command, whose failure is told; the connection is that of a client.
fn finish(outcome: Result<u8, Failure>, connection: Option<&ConnectionArgs>) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            let code = failure.exit_code();
            say(format_args!("error: {failure}"));
            if let Some(advice) = connection.and_then(|connection| failure.advice(connection)) {
                say(format_args!("  {advice}"));
            }
            // The transport does not say whom it could not reach.
            if let Some(connection) = connection
                .filter(|_| code == failure::EXIT_UNAVAILABLE && !matches!(failure, Failure::SourceGone { .. }))
            {
                say(format_args!("  server: {}", connection.address));
            }
            ExitCode::from(code)
        }
    }
}

/// Prints a line to standard error. That nobody reads it any more is no reason to end in another way.
pub(crate) fn say(line: impl Display) {
    let _unread = writeln!(io::stderr().lock(), "{line}");
}

/// Prints to standard output, whole and at once.
pub(crate) fn print(text: String) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| Failure::local("standard output", error))
}

/// Waits until the user asks for an end; a second request ends the process at once, whatever is still to be done.
#[expect(clippy::disallowed_methods, reason = "a client has nothing to lose")]
pub async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler the signal ends the process by itself.
        return std::future::pending().await;
    }
    tokio::spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(i32::from(EXIT_INTERRUPTED));
        }
    });
}

/// The exit code of a program that a signal ended, as shells have it.
pub const EXIT_INTERRUPTED: u8 = 130;

#[cfg(test)]
mod tests;
