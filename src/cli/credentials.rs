//! `tasktally credentials`: entries of the credentials file, made and checked. Talks to no server.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::failure::{EXIT_LOCAL, EXIT_REFUSED};
use super::{print, say};
use crate::access::{self, AccessError, Role, Scope, issue};

#[derive(Debug, Subcommand)]
pub enum CredentialsCommand {
    /// Make a token: its entry goes to standard output, the token itself, once, to standard error.
    New(NewArgs),
    /// Check a credentials file as the server would, and list who is in it.
    Check(CheckArgs),
}

#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tasktally credentials new --name wallboard --roles read >> credentials.toml
  tasktally serve --credentials credentials.toml
A running server takes the file over when it changes.")]
pub struct NewArgs {
    /// Name for people and logs, such as the program that will use the token.
    #[arg(long, value_parser = |text: &str| access::book::checked_name(text).map(String::from))]
    pub name: String,

    /// Account whose workspaces the token is for (AC…), or all.
    #[arg(long, default_value = "all", value_parser = |text: &str| access::book::scope(text))]
    pub account: Scope,

    /// What the token may do: read (statistics), ingest (events), admin (forget a workspace, back up).
    #[arg(long, required = true, value_name = "ROLE,…", value_delimiter = ',', value_parser = role)]
    pub roles: Vec<Role>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Exit codes: 0 the server takes the file; 1 it refuses it, or nobody is in it; 5 the file cannot be read.")]
pub struct CheckArgs {
    /// The credentials file.
    pub file: PathBuf,
}

fn role(text: &str) -> Result<Role, String> {
    Role::named(text).ok_or_else(|| format!("must be of: {}", Role::ALL.map(Role::name).join(", ")))
}

/// Runs one command to its end.
pub fn run(command: CredentialsCommand) -> ExitCode {
    let (text, code) = match command {
        CredentialsCommand::New(args) => match issue::new_token() {
            Ok(made) => {
                say(format_args!("token of {}, shown this once: {}", args.name, made.token));
                (entry(&args, &made.sha256), 0)
            }
            Err(error) => {
                say(format_args!("error: {error}"));
                return ExitCode::from(EXIT_LOCAL);
            }
        },
        CredentialsCommand::Check(args) => match checked(&args) {
            Ok(listing) => (listing, 0),
            Err((why, code)) => {
                say(format_args!("error: {why}"));
                return ExitCode::from(code);
            }
        },
    };
    match print(text) {
        Ok(()) => ExitCode::from(code),
        Err(failure) => {
            say(format_args!("error: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Who is in the file, or what is wrong and the exit code for it.
fn checked(args: &CheckArgs) -> Result<String, (String, u8)> {
    match access::read_credentials(&args.file).map(|book| listing(&book)) {
        Ok(listing) if listing.is_empty() => {
            let why = "0 credentials: nobody can use a server with this file, but by signed tokens (--jwt-jwks)";
            Err((format!("{}: {why}", args.file.display()), EXIT_REFUSED))
        }
        Ok(listing) => {
            if listing.contains("auth_token\n") && access::auth_token::is_open_to_all(&args.file) {
                let file = args.file.display();
                say(format_args!("warning: {file}: everybody on this host can read the auth tokens in it: chmod o-r"));
            }
            Ok(listing)
        }
        Err(error @ AccessError::Read { .. }) => Err((error.to_string(), EXIT_LOCAL)),
        Err(error) => Err((error.to_string(), EXIT_REFUSED)),
    }
}

fn entry(args: &NewArgs, sha256: &str) -> String {
    let roles = args.roles.iter().map(|role| format!("\"{}\"", role.name())).collect::<Vec<_>>().join(", ");
    let (name, account) = (&args.name, account(args.account));
    format!("[[credential]]\nname = \"{name}\"\naccount = \"{account}\"\nroles = [{roles}]\nsha256 = \"{sha256}\"\n\n")
}

fn account(scope: Scope) -> String {
    match scope {
        Scope::All => "all".to_owned(),
        Scope::Account(account) => account.to_string(),
    }
}

fn listing(book: &access::book::Book) -> String {
    let line = |one: &access::book::Credential| {
        let roles = Role::ALL.into_iter().filter(|role| one.caller.may(*role)).map(Role::name);
        let roles = roles.collect::<Vec<_>>().join(",");
        format!("{:<24} {:<34} {:<18} {}\n", one.name, account(one.caller.scope), roles, one.kind())
    };
    let mut tokens: Vec<_> = book.auth_tokens().collect();
    tokens.sort_by_key(|token| token.name.clone());
    // A valid signature is the ingest credential of its account.
    let signer = |token: &&access::auth_token::AuthToken| {
        let roles = Role::Ingest.name();
        format!("{:<24} {:<34} {:<18} auth_token\n", token.name, token.account, roles)
    };
    book.credentials().map(line).chain(tokens.iter().map(signer)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_wrong_is_told_from_one_that_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("credentials.toml");
        let refused = || checked(&CheckArgs { file: file.clone() }).unwrap_err();
        assert_eq!(refused().1, EXIT_LOCAL);
        std::fs::write(&file, "# nobody yet\n").unwrap();
        let (why, code) = refused();
        assert!(code == EXIT_REFUSED && why.contains("0 credentials: nobody can use"), "{why}");
        std::fs::write(&file, "[[credential]]\nroles = 7\n").unwrap();
        assert_eq!(refused().1, EXIT_REFUSED);
    }

    #[test]
    fn what_is_made_is_what_the_server_takes() {
        let args = NewArgs {
            name: "wallboard".to_owned(),
            account: access::book::scope("AC000000000000000000000000000000aa").unwrap(),
            roles: vec![Role::Read, Role::Admin],
        };
        let two = NewArgs { name: "pump".to_owned(), account: Scope::All, roles: vec![Role::Ingest] };
        let text = [&args, &two].map(|args| entry(args, &issue::new_token().unwrap().sha256)).concat();
        let book = access::book::Book::parse(&text).unwrap_or_else(|fault| panic!("{fault:?}\n{text}"));
        let listed = listing(&book);
        let words: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
        let first = ["wallboard", "AC000000000000000000000000000000aa", "read,admin", "sha256"];
        assert_eq!(words, [first, ["pump", "all", "ingest", "sha256"]]);
    }
}
