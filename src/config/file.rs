//! Settings of `serve` from a TOML file, by the names of its flags:
//!
//! ```toml
//! listen = "0.0.0.0:50051"
//! max-watchers = 100
//! http-cors-origin = ["https://wall.example"]
//! ```
//!
//! They become arguments, so that each is read and checked exactly as its flag is. What was said by a flag or by a variable
//! is not taken from the file.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::de::{DeTable, DeValue};

/// A larger file is not one of settings.
const MOST_BYTES: u64 = 1 << 20;

/// What a file added.
#[derive(Debug)]
pub struct FromFile {
    pub path: PathBuf,
    /// The settings that are in force by it, by the names of their flags.
    pub names: BTreeSet<String>,
}

impl FromFile {
    /// What is to be said beside a complaint about a flag that the file has set, since nobody gave that flag.
    pub fn note(&self, complaint: &str) -> Option<String> {
        let is_named =
            |name: &&String| complaint.contains(&format!("--{name} ")) || complaint.contains(&format!("--{name}'"));
        let name = self.names.iter().find(is_named)?;
        Some(format!("note: `{name}` comes from {}\n", self.path.display()))
    }
}

/// The arguments with those of the file that `--config` or its variable names, if one does, and what they are. `command` is
/// the built command line, `at` where the name of the command stands.
///
/// # Errors
/// A sentence: the file cannot be read, or is not one of settings.
pub fn extended(
    command: &Command,
    given: &ArgMatches,
    mut arguments: Vec<OsString>,
    at: usize,
) -> Result<(Vec<OsString>, Option<FromFile>), String> {
    let Some(path) = given.get_one::<PathBuf>("config") else { return Ok((arguments, None)) };
    let text = read(path).map_err(|why| format!("cannot read {}: {why}", path.display()))?;
    let added = settings(command, &text).map_err(|(line, what)| format!("{}, line {line}: {what}", path.display()))?;
    let is_said = |name: &str| {
        let source = given.value_source(&name.replace('-', "_"));
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    let (added, names) = added.into_iter().filter(|(name, _)| !is_said(name)).fold(
        (Vec::new(), BTreeSet::new()),
        |(mut arguments, mut names), (name, argument)| {
            arguments.extend(argument.map(OsString::from));
            names.insert(name);
            (arguments, names)
        },
    );
    arguments.splice(at + 1..at + 1, added);
    Ok((arguments, Some(FromFile { path: path.clone(), names })))
}

fn read(path: &Path) -> Result<String, String> {
    let kind = std::fs::metadata(path).map_err(|error| error.to_string())?;
    // A pipe would be waited for, and has no end that anybody promises.
    if !kind.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!("more than {MOST_BYTES} bytes, which no file of settings has"));
    }
    Ok(text)
}

/// A setting's name, and what says it on the command line: nothing for a switch that is off.
type Setting = (String, Option<String>);

/// What is wrong, and on which line.
type Fault = (usize, String);

fn settings(command: &Command, text: &str) -> Result<Vec<Setting>, Fault> {
    let line = |at: usize| 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        (line(at), format!("not TOML: {}", error.message()))
    })?;
    let mut pairs: Vec<_> = document.get_ref().iter().collect();
    // In the order of the text, so that the first thing that is wrong is what is told.
    pairs.sort_by_key(|(key, _)| key.span().start);
    let all = pairs.into_iter().map(|(key, value)| {
        setting(command, key.get_ref(), value.get_ref()).map_err(|what| (line(key.span().start), what))
    });
    all.collect()
}

fn setting(command: &Command, key: &str, value: &DeValue<'_>) -> Result<Setting, String> {
    let name = key.replace('_', "-");
    let argument = command.get_arguments().find(|argument| is_setting(argument) && argument.get_long() == Some(&name));
    let argument =
        argument.ok_or_else(|| format!("there is no setting `{key}`: `tasktally config` shows all that there are"))?;
    let said = if matches!(argument.get_action(), ArgAction::SetTrue) {
        let is_on = value.as_bool().ok_or_else(|| format!("`{key}` is true or false"))?;
        is_on.then(|| format!("--{name}"))
    } else {
        Some(format!("--{name}={}", text(argument, value).map_err(|what| format!("`{key}` {what}"))?))
    };
    Ok((name, said))
}

/// Whether a flag is a setting: all but those that ask for help, and the one that names the file.
pub fn is_setting(argument: &Arg) -> bool {
    let is_question = matches!(
        argument.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    );
    !is_question && argument.get_long().is_some() && argument.get_id() != "config" && argument.get_id() != "output"
}

fn text(argument: &Arg, value: &DeValue<'_>) -> Result<String, String> {
    match (value, argument.get_value_delimiter()) {
        (DeValue::String(text), _) => Ok(text.to_string()),
        (DeValue::Integer(number), _) => Ok(number.as_str().replace('_', "")),
        (DeValue::Float(number), _) => Ok(number.as_str().replace('_', "")),
        (DeValue::Array(all), Some(delimiter)) => {
            let all: Result<Vec<_>, _> = all.iter().map(|one| text(argument, one.get_ref())).collect();
            Ok(all?.join(&delimiter.to_string()))
        }
        (_, Some(_)) => Err("is a text, or a list of texts".to_owned()),
        (_, None) => Err("is a text or a number, written as for its flag".to_owned()),
    }
}
