//! `tasktally config`: every setting of `serve` as it would be in force, and where it comes from.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, Command, ValueEnum};
use serde::Serialize;

use super::ServeConfig;
use super::file::{FromFile, is_setting};

/// Takes every flag and variable of `serve`, and starts nothing.
#[derive(Args, Debug)]
pub struct ConfigCommand {
    #[command(flatten)]
    pub serve: ServeConfig,

    /// A table, JSON, or a file that --config takes.
    #[arg(long, value_enum, default_value = "text", value_name = "FORM", help_heading = "Output")]
    pub output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Text,
    Json,
    Toml,
}

/// A setting that follows another: its name, that one's, and its value; of a switch, 1 where it is on.
pub type Fitted = (&'static str, &'static str, usize);

/// The settings, to be written.
#[derive(Debug)]
pub struct Shown {
    form: Form,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    setting: String,
    /// As its flag takes it; none where nothing is set.
    value: Option<String>,
    from: From,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip)]
    is_switch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum From {
    Default,
    File,
    Variable,
    Flag,
    /// Not given, and lowered to a bound that is.
    Follows,
}

impl Shown {
    pub(super) fn new(
        form: Form,
        command: &Command,
        given: &ArgMatches,
        file: Option<&FromFile>,
        fitted: &[Fitted],
    ) -> Shown {
        let fitted: BTreeMap<_, _> = fitted.iter().map(|(name, other, value)| (*name, (*other, *value))).collect();
        let row = |argument: &clap::Arg| {
            let (id, name) = (argument.get_id().as_str(), argument.get_long().unwrap_or_default());
            let is_switch = matches!(argument.get_action(), ArgAction::SetTrue);
            let raw = given.get_raw(id).map(|all| {
                let all: Vec<_> = all.map(|value| value.to_string_lossy().into_owned()).collect();
                all.join(",")
            });
            let value = if is_switch { Some(given.get_flag(id).to_string()) } else { raw };
            let mut row = Row { setting: name.to_owned(), value, from: From::Default, detail: None, is_switch };
            let in_file = file.filter(|file| file.names.contains(name));
            (row.from, row.detail) = match (given.value_source(id), in_file, fitted.get(id)) {
                (_, Some(file), _) => (From::File, Some(file.path.display().to_string())),
                (Some(ValueSource::CommandLine), ..) => (From::Flag, Some(format!("--{name}"))),
                (Some(ValueSource::EnvVariable), ..) => {
                    (From::Variable, argument.get_env().map(|name| name.to_string_lossy().into_owned()))
                }
                (.., Some((other, value))) => {
                    row.value = Some(if is_switch { (*value == 1).to_string() } else { value.to_string() });
                    (From::Follows, Some(format!("--{}", other.replace('_', "-"))))
                }
                _ => (From::Default, None),
            };
            row
        };
        Shown { form, rows: command.get_arguments().filter(|argument| is_setting(argument)).map(row).collect() }
    }

    /// # Errors
    /// Of the output.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self.form {
            Form::Text => self.write_table(out),
            Form::Json => {
                serde_json::to_writer_pretty(&mut *out, &self.rows)?;
                writeln!(out)
            }
            Form::Toml => self.rows.iter().try_for_each(|row| row.write_toml(out)),
        }
    }

    fn write_table(&self, out: &mut impl Write) -> io::Result<()> {
        let width = |of: fn(&Row) -> usize| self.rows.iter().map(of).max().unwrap_or_default();
        let (names, values) = (width(|row| row.setting.len()), width(|row| row.value.as_deref().unwrap_or("-").len()));
        writeln!(out, "{:names$}  {:values$}  from", "setting", "value")?;
        for Row { setting, value, from, detail, .. } in &self.rows {
            let value = value.as_deref().unwrap_or("-");
            let from = match (from, detail) {
                (From::File, Some(path)) => format!("file {path}"),
                (From::Follows, Some(other)) => format!("follows {other}"),
                (From::Flag | From::Variable, Some(name)) => name.clone(),
                _ => "default".to_owned(),
            };
            writeln!(out, "{setting:names$}  {value:values$}  {from}")?;
        }
        Ok(())
    }
}

impl Row {
    /// As a line of a file; what nobody has set is a comment, so that it stays unset: bounds that are set do not follow
    /// others, and some settings ask for more beside them.
    fn write_toml(&self, out: &mut impl Write) -> io::Result<()> {
        let Row { setting, value, from, is_switch, .. } = self;
        let comment = if matches!(from, From::Default | From::Follows) { "# " } else { "" };
        let value = value.as_deref().unwrap_or_default();
        // A JSON string is a TOML string.
        let value = if *is_switch { value.to_owned() } else { serde_json::json!(value).to_string() };
        writeln!(out, "{comment}{setting} = {value}")
    }
}
