//! What is asked of dead letters.

use tonic_types::FieldViolation;

use super::Violations;
use crate::api::proto::v1::{self, RejectionReason};
use crate::event::WorkspaceSid;
use crate::letters::Which;
use crate::limits;

/// A page of letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterPage {
    pub which: Which,
    /// From 1 to 1,000.
    pub rows: usize,
    /// The last letter of the page before, or 0.
    pub after: i64,
}

/// Answers whether the raw events are wanted, too.
pub fn list_letters(request: v1::ListDeadLettersRequest) -> Result<(LetterPage, bool), Vec<FieldViolation>> {
    let v1::ListDeadLettersRequest { selection, with_raw, page_size, page_token } = request;
    let mut bad = Violations::default();
    let which = bad.letters(selection.unwrap_or_default());
    let page = LetterPage { which, rows: bad.rows(page_size), after: bad.last_letter(&page_token) };
    bad.or((page, with_raw))
}

pub fn resend_letters(request: v1::ResendDeadLettersRequest) -> Result<LetterPage, Vec<FieldViolation>> {
    let v1::ResendDeadLettersRequest { selection, page_size, page_token } = request;
    let mut bad = Violations::default();
    let which = bad.chosen_letters(selection);
    let page = LetterPage { which, rows: bad.rows(page_size), after: bad.last_letter(&page_token) };
    bad.or(page)
}

pub fn drop_letters(request: v1::DropDeadLettersRequest) -> Result<Which, Vec<FieldViolation>> {
    let v1::DropDeadLettersRequest { selection } = request;
    let mut bad = Violations::default();
    let which = bad.chosen_letters(selection);
    bad.or(which)
}

impl Violations {
    /// Where something is done to letters, that all are meant has to be said.
    fn chosen_letters(&mut self, selection: Option<v1::DeadLetterSelection>) -> Which {
        let selection = selection.unwrap_or_default();
        let all = selection.all;
        let which = self.letters(selection);
        if which == Which::default() && !all && self.0.is_empty() {
            self.add("selection", "must name ids, a workspace_sid or a reason, or say all");
        }
        which
    }

    fn letters(&mut self, selection: v1::DeadLetterSelection) -> Which {
        let v1::DeadLetterSelection { ids, workspace_sid, reason, all: _ } = selection;
        let most = limits::DEAD_LETTER_IDS;
        if ids.len() > most {
            self.add("selection.ids", format!("must be at most {most}, not {}", ids.len()));
        }
        if !workspace_sid.is_empty()
            && let Err(malformed) = WorkspaceSid::parse(&workspace_sid)
        {
            self.add("selection.workspace_sid", malformed.to_string());
        }
        if RejectionReason::try_from(reason).is_err() {
            self.add("selection.reason", "is not a reason of this version of the service");
        }
        Which {
            ids,
            workspace_sid: (!workspace_sid.is_empty()).then_some(workspace_sid),
            reason: (reason != 0).then_some(reason),
        }
    }
}
