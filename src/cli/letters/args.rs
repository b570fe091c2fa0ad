//! Settings of `tasktally dead-letters`, and what to do about each reason.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::api::proto::v1::{DeadLetterSelection, RejectionReason};
use crate::cli::args::{ConnectionArgs, DisplayArgs, patience};
use crate::limits;

#[derive(Debug, Subcommand)]
#[command(after_help = WHAT_TO_DO)]
pub enum LettersCommand {
    /// List them, oldest first, with the reason of each.
    #[command(after_help = WHAT_TO_DO)]
    List(ListArgs),
    /// Show one with everything that is known, and the event as it came.
    #[command(after_help = AS_IT_CAME)]
    Show(ShowArgs),
    /// Send them again, once what was wrong is mended. Those that are taken, or were taken before, are gone.
    #[command(after_help = WHAT_TO_DO)]
    Resend(ResendArgs),
    /// Drop them for good.
    Drop(DropArgs),
}

const WHAT_TO_DO: &str = "\
What to do, by the reason:
  ACCOUNT_MISMATCH  The workspace belongs to another account. If the first event
                    bound it wrongly: tasktally forget WS..., then resend. If
                    the credentials are another account's, send the event with
                    the right ones, and drop the letter.
  TOO_NEW           Its time was over 5 minutes ahead of the server's clock.
                    Resend once that time has come; set the clocks right.
  TOO_OLD           Older than the retention: it can count nowhere. Drop it.
  LIMIT_EXCEEDED    The message names the bound. Restart the server with a
                    higher one (serve --help), then resend.
  MISSING_FIELD, MALFORMED_FIELD
                    Show it, mend what came and post that again, then drop the
                    letter; or mend the sender and drop it.
  UNKNOWN_TYPE      Not an event of TaskRouter, or of a later version of it:
                    drop it, or resend after an upgrade of the server.

Resending is always safe: what was taken before counts once.";

const AS_IT_CAME: &str = "\
With --raw standard output is the event alone, as it came. Mended, post it again:
  tasktally dead-letters show ID --raw > event
  curl -u user:TOKEN --data-binary @event https://HOST/v1/events/callback
or, where the form is STREAM:
  curl -u user:TOKEN -H 'content-type: application/json' \\
      --data-binary @event https://HOST/v1/events/stream
then drop the letter: tasktally dead-letters drop ID";

impl LettersCommand {
    pub fn connection(&self) -> &ConnectionArgs {
        match self {
            LettersCommand::List(args) => &args.connection,
            LettersCommand::Show(args) => &args.connection,
            LettersCommand::Resend(args) => &args.connection,
            LettersCommand::Drop(args) => &args.connection,
        }
    }
}

/// Which letters.
#[derive(Args, Clone, Debug, Default)]
pub struct WhichArgs {
    /// Only those of this workspace (WS…).
    #[arg(long, value_name = "SID")]
    pub workspace: Option<String>,

    /// Only those that were refused for this reason, such as account-mismatch.
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub reason: Option<RejectionReason>,
}

#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    pub which: WhichArgs,

    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub most: usize,

    #[command(flatten)]
    pub display: DisplayArgs,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    /// Id of the letter, as `list` has it.
    #[arg(value_name = "ID")]
    pub id: i64,

    /// The event alone, as it came, and nothing else.
    #[arg(long, conflicts_with = "output")]
    pub raw: bool,

    #[command(flatten)]
    pub display: DisplayArgs,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Letters that something is done to: that all are meant has to be said.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct ChosenArgs {
    /// Ids, as `list` has them.
    #[arg(value_name = "ID", required_unless_present_any = ["workspace", "reason", "all"])]
    pub ids: Vec<i64>,

    #[command(flatten)]
    pub which: WhichArgs,

    /// All that your credentials may see.
    #[arg(long, conflicts_with_all = ["ids", "workspace", "reason"])]
    pub all: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ResendArgs {
    #[command(flatten)]
    pub chosen: ChosenArgs,

    /// Go on trying for this long while the server takes nothing (unavailable or overloaded), then give up.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = patience)]
    pub patience: Duration,

    #[command(flatten)]
    pub display: DisplayArgs,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

#[derive(Args, Clone, Debug)]
pub struct DropArgs {
    #[command(flatten)]
    pub chosen: ChosenArgs,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// `account-mismatch`, `ACCOUNT_MISMATCH`.
fn reason(text: &str) -> Result<RejectionReason, String> {
    let name = format!("REJECTION_REASON_{}", text.to_uppercase().replace('-', "_"));
    match RejectionReason::from_str_name(&name) {
        Some(reason) if reason != RejectionReason::Unspecified => Ok(reason),
        _ => Err("must be missing-field, malformed-field, unknown-type, too-old, too-new, account-mismatch or \
                  limit-exceeded"
            .to_owned()),
    }
}

impl WhichArgs {
    pub fn selection(&self) -> DeadLetterSelection {
        DeadLetterSelection {
            ids: Vec::new(),
            workspace_sid: self.workspace.clone().unwrap_or_default(),
            reason: self.reason.map_or(0, i32::from),
            all: false,
        }
    }
}

impl ChosenArgs {
    /// Several, where there are more ids than a call takes.
    pub fn selections(&self) -> Vec<DeadLetterSelection> {
        let one = DeadLetterSelection { all: self.all, ..self.which.selection() };
        if self.ids.is_empty() {
            return vec![one];
        }
        let of_ids = |ids: &[i64]| DeadLetterSelection { ids: ids.to_vec(), ..one.clone() };
        self.ids.chunks(limits::DEAD_LETTER_IDS).map(of_ids).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_named_as_people_write_them() {
        assert_eq!(reason("account-mismatch"), Ok(RejectionReason::AccountMismatch));
        assert_eq!(reason("TOO_NEW"), Ok(RejectionReason::TooNew));
        for text in ["", "unspecified", "too"] {
            assert!(reason(text).unwrap_err().contains("limit-exceeded"), "{text}");
        }
    }

    #[test]
    fn help_fits_into_a_terminal() {
        assert!(WHAT_TO_DO.lines().chain(AS_IT_CAME.lines()).all(|line| line.chars().count() <= 81));
    }
}
