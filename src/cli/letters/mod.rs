//! `tasktally dead-letters`: events that came in over HTTP and were refused, looked at and sent again.

pub mod args;

use std::fmt::Write as _;

use super::args::{DisplayArgs, Output};
use super::client::{Server, answer};
use super::delivery::{Backoff, reason_name};
use super::failure::{EXIT_REFUSED, Failure};
use super::progress::Progress;
use super::text::{Clock, count, counted, printable};
use super::{json, print, say};
use crate::api::proto::v1::{
    DeadLetter, DeadLetterForm, DeadLetterSelection, DropDeadLettersRequest, ListDeadLettersRequest,
    ListDeadLettersResponse, ResendDeadLettersRequest,
};
use crate::limits;
use args::{DropArgs, LettersCommand, ListArgs, ResendArgs, ShowArgs};

/// Bytes of an answer with raw events: one event may be as large as a server's requests.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Letters that one call sends again: each page is told as progress.
const RESENT_AT_A_TIME: i32 = 500;

pub async fn run(command: LettersCommand) -> Result<u8, Failure> {
    match command {
        LettersCommand::List(args) => list(args).await.map(|()| 0),
        LettersCommand::Show(args) => show(args).await.map(|()| 0),
        LettersCommand::Resend(args) => resend(args).await,
        LettersCommand::Drop(args) => discard(args).await.and_then(print).map(|()| 0),
    }
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let server = Server::new(&args.connection)?;
    let (mut left, mut page_token) = (args.most, String::new());
    let clock = Clock::new(args.display.utc);
    loop {
        let request = ListDeadLettersRequest {
            selection: Some(args.which.selection()),
            with_raw: false,
            page_size: left.min(limits::PAGE_SIZE_MAX) as i32,
            page_token,
        };
        let page = answer(server.admin().list_dead_letters(server.request(request)).await)?;
        left = left.saturating_sub(page.dead_letters.len());
        for letter in &page.dead_letters {
            print(match args.display.output {
                Output::Json => json::line("DeadLetter", letter)? + "\n",
                Output::Text => row(letter, clock),
            })?;
        }
        page_token = page.next_page_token.clone();
        if page_token.is_empty() || left == 0 {
            say(summary(&page, !page_token.is_empty()));
            return Ok(());
        }
    }
}

fn row(letter: &DeadLetter, clock: Clock) -> String {
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { printable(text) };
    format!(
        "{}  {}  {}  {}  {}\n    {}: {}\n",
        letter.id,
        clock.show(letter.last_refused_time),
        or_dash(&letter.event_type),
        or_dash(&letter.event_sid),
        or_dash(&letter.workspace_sid),
        reason_name(letter.reason),
        printable(&letter.message)
    )
}

fn summary(page: &ListDeadLettersResponse, more: bool) -> String {
    let ListDeadLettersResponse { total_count, total_bytes, pushed_out_count, .. } = *page;
    let mut text =
        format!("{} in all, {} bytes", counted(total_count.unsigned_abs(), "dead letter"), count(total_bytes));
    if pushed_out_count > 0 {
        let _ = write!(text, "; {} had to go to make room", count(pushed_out_count));
    }
    if more {
        text.push_str("; there are more to list: --most N");
    }
    text
}

async fn show(args: ShowArgs) -> Result<(), Failure> {
    let server = Server::new(&args.connection)?;
    let selection = DeadLetterSelection { ids: vec![args.id], ..DeadLetterSelection::default() };
    let request =
        ListDeadLettersRequest { selection: Some(selection), with_raw: true, ..ListDeadLettersRequest::default() };
    let mut admin = server.admin().max_decoding_message_size(ANSWER_BYTES);
    let page = answer(admin.list_dead_letters(server.request(request)).await)?;
    let Some(letter) = page.dead_letters.into_iter().next() else {
        return Err(Failure::Usage(format!("there is no dead letter {} that your credentials may see", args.id)));
    };
    let raw = String::from_utf8_lossy(&letter.raw).into_owned();
    print(match args.display.output {
        _ if args.raw => raw,
        Output::Json => json::line("DeadLetter", &letter)? + "\n",
        Output::Text => described(&letter, &raw, Clock::new(args.display.utc)),
    })
}

fn described(letter: &DeadLetter, raw: &str, clock: Clock) -> String {
    let form = letter.form().as_str_name().trim_start_matches("DEAD_LETTER_FORM_");
    let account = if letter.account_sid.is_empty() { "all accounts" } else { &letter.account_sid };
    let mut text = String::new();
    for (name, value) in [
        ("id", letter.id.to_string()),
        ("form", form.to_owned()),
        ("brought by", format!("credentials of {account}")),
        ("type", printable(&letter.event_type)),
        ("sid", printable(&letter.event_sid)),
        ("workspace", printable(&letter.workspace_sid)),
        ("reason", reason_name(letter.reason)),
        ("field", letter.field.clone()),
        ("message", printable(&letter.message)),
        ("first refused", clock.show(letter.first_refused_time)),
        ("last refused", clock.show(letter.last_refused_time)),
        ("refused", format!("{} times", count(letter.attempts))),
    ] {
        let _ = writeln!(text, "{name:<14} {value}");
    }
    let _ = writeln!(text, "\nAs it came:\n{}", printable(raw));
    if letter.form() == DeadLetterForm::Callback {
        let _ = writeln!(text, "\nField by field:");
        for (name, value) in form_fields(&letter.raw) {
            let _ = writeln!(text, "  {} = {}", printable(&name), printable(&value));
        }
    }
    text
}

/// The fields of a form, as far as they can be read: for people's eyes.
fn form_fields(raw: &[u8]) -> Vec<(String, String)> {
    let decoded = |part: &[u8]| {
        let mut bytes = Vec::with_capacity(part.len());
        let mut rest = part;
        while let Some((&byte, after)) = rest.split_first() {
            let escaped =
                after.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
            match (byte, escaped) {
                (b'%', Some(escaped)) => {
                    bytes.push(escaped);
                    rest = &after[2..];
                    continue;
                }
                (b'+', _) => bytes.push(b' '),
                _ => bytes.push(byte),
            }
            rest = after;
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let fields = raw.split(|byte| *byte == b'&').filter(|field| !field.is_empty());
    fields
        .map(|field| {
            let mut parts = field.splitn(2, |byte| *byte == b'=');
            (decoded(parts.next().unwrap_or_default()), decoded(parts.next().unwrap_or_default()))
        })
        .collect()
}

/// Page by page, so that many are told as they go.
async fn resend(args: ResendArgs) -> Result<u8, Failure> {
    let server = Server::new(&args.connection)?;
    let totals = ListDeadLettersRequest { page_size: 1, ..ListDeadLettersRequest::default() };
    let totals = answer(server.admin().list_dead_letters(server.request(totals)).await)?;
    let total =
        if args.chosen.ids.is_empty() { totals.total_count.unsigned_abs() } else { args.chosen.ids.len() as u64 };
    let mut progress = Progress::new(Some(total), "{pos}/{len}");
    let (mut accepted, mut duplicates, mut refused) = (0, 0, 0);
    let mut backoff = Backoff::new(args.patience);
    for selection in args.chosen.selections() {
        let mut page_token = String::new();
        loop {
            let request = ResendDeadLettersRequest {
                selection: Some(selection.clone()),
                page_size: RESENT_AT_A_TIME,
                page_token: page_token.clone(),
            };
            let sent = match server.admin().resend_dead_letters(server.request(request)).await {
                Ok(sent) => sent.into_inner(),
                Err(status) => {
                    tokio::time::sleep(backoff.pause(status)?).await;
                    continue;
                }
            };
            backoff.reset();
            accepted += sent.accepted;
            duplicates += sent.duplicates;
            refused += sent.refused.len() as i64;
            let done = (accepted + duplicates + refused).unsigned_abs();
            progress.show(done, format!("{} letters", count(done)));
            for letter in &sent.refused {
                progress.beside(|| tell_refused(letter, &args.display))?;
            }
            page_token = sent.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
    }
    progress.finish();
    say(format_args!(
        "{} accepted, {} duplicates, {} refused again",
        count(accepted),
        count(duplicates),
        count(refused)
    ));
    Ok(if refused > 0 { EXIT_REFUSED } else { 0 })
}

fn tell_refused(letter: &DeadLetter, display: &DisplayArgs) -> Result<(), Failure> {
    print(match display.output {
        Output::Json => json::line("DeadLetter", letter)? + "\n",
        Output::Text => row(letter, Clock::new(display.utc)),
    })
}

async fn discard(args: DropArgs) -> Result<String, Failure> {
    let server = Server::new(&args.connection)?;
    let mut dropped = 0;
    for selection in args.chosen.selections() {
        loop {
            let request = DropDeadLettersRequest { selection: Some(selection.clone()) };
            let gone = answer(server.admin().drop_dead_letters(server.request(request)).await)?;
            dropped += gone.dropped.unsigned_abs();
            if !gone.more {
                break;
            }
        }
    }
    Ok(format!("{} dropped\n", counted(dropped, "dead letter")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_shown_field_by_field() {
        let fields = form_fields(b"Name=A+B%C3%BC&Empty=&Odd=%zz&&Alone");
        let shown: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["Name=A Bü", "Empty=", "Odd=%zz", "Alone="]);
    }
}
