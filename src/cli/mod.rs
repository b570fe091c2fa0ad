//! The client commands: what people and scripts ask a server for. Each is one file with one `run`; what they share is
//! the way to a server ([`client`]), sending until it is settled ([`delivery`]), and how trouble is told ([`failure`]).

pub mod args;
mod backup;
pub mod client;
pub mod delivery;
pub mod failure;
mod forget;
mod get;
mod healthcheck;
mod ingest;
#[doc(hidden)] // open for fuzz/
pub mod json;
#[doc(hidden)] // open for fuzz/
pub mod lines;
pub mod offline;
pub mod progress;
mod render;
pub mod text;
mod trust;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;

use args::ClientCommand;
pub use failure::EXIT_LOCAL;
use failure::Failure;

use crate::simulate;

/// Runs one command to its end.
pub fn run(command: ClientCommand) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return finish(Err(Failure::local("starting threads", error)), ""),
    };
    let address = command.connection().address.clone();
    let outcome = runtime.block_on(async {
        match command {
            ClientCommand::Simulate(args) => simulate::run(args).await,
            ClientCommand::Ingest(args) => ingest::run(args).await,
            ClientCommand::Healthcheck(args) => {
                healthcheck::run(args).await.and_then(|(line, code)| print(line).map(|()| code))
            }
            ClientCommand::Get(args) => get::statistics(args).await.and_then(print).map(|()| 0),
            ClientCommand::Cumulative(args) => get::cumulative(args).await.and_then(print).map(|()| 0),
            ClientCommand::Watch(args) => watch::run(args).await,
            ClientCommand::Backup(args) => backup::run(args).await.and_then(print).map(|()| 0),
            ClientCommand::Forget(args) => forget::run(args).await.and_then(print).map(|()| 0),
        }
    });
    // A thread may be blocked on standard input for ever.
    runtime.shutdown_background();
    finish(outcome, &address)
}

fn finish(outcome: Result<u8, Failure>, address: &str) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            let code = failure.exit_code();
            eprintln!("error: {failure}");
            // The transport does not say whom it could not reach.
            if code == failure::EXIT_UNAVAILABLE {
                eprintln!("  server: {address}");
            }
            ExitCode::from(code)
        }
    }
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
