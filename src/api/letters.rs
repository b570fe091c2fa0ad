//! Dead letters: looked at, sent again, dropped.

use tonic::{Request, Status};

use super::decode::{self, LetterPage, Refused, Sids, letter_token};
use super::proto::v1;
use super::status::ApiError;
use super::{Api, caller, caller_name, encode, permit};
use crate::event::Event;
use crate::letters::{Again, Form, Kept, Reach, Reason};
use crate::limits;
use crate::pipeline::{Caller, Clock, Patience, Role, Roles, Scope, SystemClock};

/// How an event that came in over HTTP is read: by the same code as when it came, which the rooms above this one know.
pub type ReadRaw = fn(Form, &[u8]) -> Result<Event, Refused>;

pub(super) async fn list(
    api: &Api,
    request: Request<v1::ListDeadLettersRequest>,
) -> Result<v1::ListDeadLettersResponse, Status> {
    let caller = caller(&request);
    let (LetterPage { which, rows, after }, raw) =
        decode::list_letters(request.into_inner()).map_err(ApiError::BadFields)?;
    permit(&caller, Role::Admin)?;
    let rows = rows.min(api.limits.max_page_rows);
    let reach = Reach { after, rows, raw_bytes: raw.then_some(limits::DEAD_LETTER_PAGE_BYTES) };
    let kept = api.letters.list(caller.scope, which.clone(), reach).await.map_err(ApiError::Letters)?;
    let next_page_token = match kept.last() {
        Some(last) => {
            let beyond = Reach { after: last.id, rows: 1, raw_bytes: None };
            let beyond = api.letters.list(caller.scope, which, beyond).await.map_err(ApiError::Letters)?;
            if beyond.is_empty() { String::new() } else { letter_token(last.id) }
        }
        None => String::new(),
    };
    let totals = api.letters.totals(caller.scope).await.map_err(ApiError::Letters)?;
    Ok(v1::ListDeadLettersResponse {
        dead_letters: kept.into_iter().map(encode::dead_letter).collect(),
        next_page_token,
        total_count: totals.letters.cast_signed(),
        total_bytes: totals.bytes.cast_signed(),
        pushed_out_count: totals.pushed_out.cast_signed(),
    })
}

pub(super) async fn drop_those(
    api: &Api,
    request: Request<v1::DropDeadLettersRequest>,
) -> Result<v1::DropDeadLettersResponse, Status> {
    let (caller, by) = (caller(&request), caller_name(&request));
    let which = decode::drop_letters(request.into_inner()).map_err(ApiError::BadFields)?;
    permit(&caller, Role::Admin)?;
    let (mut dropped, mut more) = (0, true);
    while more && dropped < limits::DEAD_LETTER_DROPS {
        let at_once = limits::DEAD_LETTER_DROPS_AT_ONCE;
        let gone = api.letters.discard(caller.scope, which.clone(), at_once).await.map_err(ApiError::Letters)?;
        dropped += gone;
        more = gone == at_once;
    }
    tracing::info!(dropped, ?by, "dropped dead letters");
    Ok(v1::DropDeadLettersResponse { dropped: dropped as i64, more })
}

pub(super) async fn resend(
    api: &Api,
    request: Request<v1::ResendDeadLettersRequest>,
) -> Result<v1::ResendDeadLettersResponse, Status> {
    let (caller, by) = (caller(&request), caller_name(&request));
    let LetterPage { which, rows, after } =
        decode::resend_letters(request.into_inner()).map_err(ApiError::BadFields)?;
    permit(&caller, Role::Admin)?;
    let reach = Reach { after, rows, raw_bytes: Some(limits::DEAD_LETTER_RESEND_BYTES) };
    let kept = api.letters.list(caller.scope, which, reach).await.map_err(ApiError::Letters)?;
    let next_page_token = kept.last().map(|last| letter_token(last.id)).unwrap_or_default();
    let mut answer = v1::ResendDeadLettersResponse { next_page_token, ..Default::default() };
    for (scope, letters) in by_scope(kept) {
        send(api, scope, letters, &mut answer).await?;
    }
    // An event goes before what depends on it, so the answer has them in that order again.
    answer.refused.sort_by_key(|letter| letter.id);
    let v1::ResendDeadLettersResponse { accepted, duplicates, refused, .. } = &answer;
    if accepted + duplicates > 0 || !refused.is_empty() {
        tracing::info!(accepted, duplicates, refused = refused.len(), ?by, "sent dead letters again");
    }
    Ok(answer)
}

/// The letters of each account, which are sent on its behalf.
fn by_scope(letters: Vec<Kept>) -> Vec<(Scope, Vec<Kept>)> {
    let mut all: Vec<(Scope, Vec<Kept>)> = Vec::new();
    for kept in letters {
        match all.iter_mut().find(|(scope, _)| *scope == kept.letter.scope) {
            Some((_, of_scope)) => of_scope.push(kept),
            None => all.push((kept.letter.scope, vec![kept])),
        }
    }
    all
}

/// Sends the letters of one account, and settles them: a letter goes only once its event is durable.
async fn send(
    api: &Api,
    scope: Scope,
    letters: Vec<Kept>,
    answer: &mut v1::ResendDeadLettersResponse,
) -> Result<(), ApiError> {
    let (mut events, mut refused, mut sids) = (Vec::new(), Vec::new(), Sids::default());
    for (index, kept) in (0..).zip(&letters) {
        sids.push(&kept.letter.event_sid);
        match (api.read_raw)(kept.letter.form, &kept.letter.raw) {
            Ok(event) => events.push((index, event)),
            Err(why) => refused.push((index, why)),
        }
    }
    let caller = Caller { scope, roles: Roles::from_iter([Role::Ingest]) };
    let submitted = api.pipeline.submit(&caller, events, Patience::Refuse).await.map_err(ApiError::Ingest)?;
    let ingested = submitted.settled().await.map_err(ApiError::Ingest)?;
    let sent = encode::ingested(&sids, refused, ingested);
    let at = SystemClock.now();
    let again: Vec<(usize, Again)> = sent
        .rejected
        .into_iter()
        .filter_map(|rejected| {
            let index = usize::try_from(rejected.index).ok()?;
            let v1::RejectedEvent { reason: number, field, message, .. } = rejected;
            Some((index, Again { id: letters.get(index)?.id, reason: Reason { number, field, message }, at }))
        })
        .collect();
    let stay: Vec<i64> = again.iter().map(|(_, again)| again.id).collect();
    let gone = letters.iter().map(|kept| kept.id).filter(|id| !stay.contains(id)).collect();
    let updates = again.iter().map(|(_, again)| again.clone()).collect();
    api.letters.settle(gone, updates).await.map_err(ApiError::Letters)?;
    answer.accepted += sent.accepted;
    answer.duplicates += sent.duplicates;
    answer.revision = answer.revision.max(sent.revision);
    answer
        .refused
        .extend(again.into_iter().filter_map(|(index, again)| Some(refused_again(letters.get(index)?, again))));
    Ok(())
}

/// As a list shows it from now on, without the event.
fn refused_again(kept: &Kept, again: Again) -> v1::DeadLetter {
    let mut kept = kept.clone();
    kept.letter.raw = Vec::new();
    kept.letter.reason = again.reason;
    kept.letter.at = again.at;
    kept.attempts += 1;
    encode::dead_letter(kept)
}
