//! `tasktally completions` and `tasktally man`: from the command line's own definition, so that they know what it knows.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use clap_complete::Shell;

use super::failure::Failure;
use super::{finish, print};
use crate::config::definition;

#[derive(Debug, Subcommand)]
pub enum ManualCommand {
    /// Print a script by which a shell completes commands and flags, as in `tasktally completions bash >
    /// /usr/local/share/bash-completion/completions/tasktally`.
    Completions {
        /// Shell that the script is for.
        shell: Shell,
    },
    /// Print the manual page, as in `tasktally man | man -l -`.
    Man {
        /// Write the page, and one for each command, into this folder instead, which is created if missing; such as
        /// /usr/local/share/man/man1.
        dir: Option<PathBuf>,
    },
}

/// Runs one of the commands to its end.
pub fn run(command: ManualCommand) -> ExitCode {
    let outcome = match command {
        ManualCommand::Completions { shell } => print(completions(shell)),
        ManualCommand::Man { dir: None } => page().and_then(print),
        ManualCommand::Man { dir: Some(dir) } => pages(&dir),
    };
    finish(outcome.map(|()| 0), None)
}

fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition(), "tasktally", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

fn page() -> Result<String, Failure> {
    let mut text = Vec::new();
    // Of `tasktally help` there is no page to point at.
    let rendered = clap_mangen::Man::new(definition().disable_help_subcommand(true)).render(&mut text);
    rendered.map_err(|error| Failure::local("the manual page", error))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A page for the program and for each command: `tasktally.1`, `tasktally-serve.1`.
fn pages(dir: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::local(dir.display().to_string(), error);
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(definition(), dir).map_err(failed)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    /// Of every command, whole: `dead-letters list`.
    fn commands(of: &clap::Command, before: &str, found: &mut Vec<String>) {
        for command in of.get_subcommands() {
            let name = format!("{before}{}", command.get_name());
            commands(command, &format!("{name} "), found);
            found.push(name);
        }
    }

    fn all() -> Vec<String> {
        let mut found = Vec::new();
        commands(&definition(), "", &mut found);
        found
    }

    #[test]
    fn every_shell_completes_every_command() {
        for shell in Shell::value_variants() {
            let script = completions(*shell);
            for command in all() {
                let last = command.rsplit(' ').next().unwrap_or_default();
                assert!(script.contains(last), "{shell}: {command}");
            }
        }
    }

    #[test]
    fn every_command_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("man1");
        pages(&made).unwrap();
        for command in all() {
            let page = made.join(format!("tasktally-{}.1", command.replace(' ', "-")));
            assert!(page.exists(), "{}", page.display());
        }
        assert_eq!(page().unwrap(), std::fs::read_to_string(made.join("tasktally.1")).unwrap());
    }
}
