//! The client commands.
pub mod args;
pub const EXIT_LOCAL: u8 = 5;
pub fn run(command: args::ClientCommand) -> std::process::ExitCode {
    let _ = command;
    std::process::ExitCode::SUCCESS
}
