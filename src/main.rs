//! The binary: arguments → logs → the command → exit code. Everything else is in the library.

use std::io::ErrorKind;
use std::process::ExitCode;

use tasktally::config::{self, Command};
use tasktally::{cli, logging, run};

/// Events come as many small strings, made on one thread and freed on another; the system's allocator spends a fifth of
/// the server's time on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Usage errors and --help end the process in here, with clap's own exit codes (2 and 0).
    let arguments = config::parse();
    if let Err(error) = logging::init(&arguments.log) {
        eprintln!("error: cannot start logging: {error}");
        return ExitCode::from(cli::EXIT_LOCAL);
    }
    match arguments.command {
        Command::Serve(config) => run::serve(*config).unwrap_or_else(|error| {
            tracing::error!("{error}");
            if error.is_bad_usage() { ExitCode::from(cli::EXIT_USAGE) } else { ExitCode::FAILURE }
        }),
        Command::Config(shown) => match shown.write(&mut std::io::stdout().lock()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                eprintln!("error: cannot write: {error}");
                ExitCode::from(cli::EXIT_LOCAL)
            }
            _ => ExitCode::SUCCESS,
        },
        Command::Client(command) => cli::run(*command),
        Command::Credentials(command) => cli::credentials::run(command),
        Command::Offline(command) => cli::offline::run(command),
        Command::Manual(command) => cli::manual::run(command),
    }
}
