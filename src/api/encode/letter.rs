//! Dead letters.

use super::timestamp;
use crate::api::proto::v1;
use crate::letters::{Form, Kept, Letter, Reason};
use crate::pipeline::Scope;

pub fn dead_letter(kept: Kept) -> v1::DeadLetter {
    let Kept { id, letter, first, attempts } = kept;
    let Letter { scope, form, raw, event_sid, event_type, workspace_sid, reason, at } = letter;
    let Reason { number, field, message } = reason;
    let form = match form {
        Form::Callback => v1::DeadLetterForm::Callback,
        Form::Stream => v1::DeadLetterForm::Stream,
    };
    v1::DeadLetter {
        id,
        form: form.into(),
        account_sid: match scope {
            Scope::All => String::new(),
            Scope::Account(account) => account.to_string(),
        },
        event_sid,
        event_type,
        workspace_sid,
        reason: number,
        field,
        message,
        first_refused_time: Some(timestamp(first)),
        last_refused_time: Some(timestamp(at)),
        attempts,
        raw,
    }
}
