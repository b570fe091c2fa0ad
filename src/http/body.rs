//! A request's body, read within bounds: charged to the room that all ingest shares before it is read, in time, and never
//! longer than it may be.

use axum::body::Body;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, timeout_at};
use tokio_stream::StreamExt as _;

use super::problem::{Problem, problem};
use crate::api::intake::{Charge, Intake};
use crate::api::status::ApiError;
use crate::limits;

/// What a body may be.
#[derive(Clone, Copy)]
pub struct Kind {
    pub types: &'static [&'static str],
    pub most_bytes: usize,
}

/// That the head says a body that will be read: of a type that is known, in UTF-8, as it is, and not too long.
///
/// # Errors
/// What is wrong with it first.
pub fn expect(headers: &HeaderMap, kind: Kind) -> Result<(), Problem> {
    let text = |name| headers.get(name).map_or(Some(""), |value| value.to_str().ok());
    let content_type = text(CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let (essence, parameters) = content_type.split_once(';').unwrap_or((&content_type, ""));
    if !kind.types.contains(&essence.trim()) {
        return Err(unsupported(format!("content-type must be {}", kind.types.join(" or "))));
    }
    let charset = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("charset="));
    if charset.is_some_and(|charset| charset.trim_matches('"') != "utf-8") {
        return Err(unsupported("content-type: charset must be utf-8".to_owned()));
    }
    if !matches!(text(CONTENT_ENCODING), Some("" | "identity")) {
        return Err(unsupported("content-encoding must be identity: send the body uncompressed".to_owned()));
    }
    if length(headers).is_some_and(|length| length > kind.most_bytes) {
        return Err(too_large(kind));
    }
    Ok(())
}

fn unsupported(message: String) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
}

fn too_large(kind: Kind) -> Problem {
    problem(ApiError::TooLarge { most_bytes: kind.most_bytes })
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads the body. Strangers share a part of the room, so that they never take what those have who are known.
///
/// # Errors
/// There is no room for it, it is too long, does not come to its end in time, or breaks off.
pub async fn read(
    intake: &Intake,
    headers: &HeaderMap,
    body: Body,
    kind: Kind,
    is_stranger: bool,
) -> Result<(Vec<u8>, Charge), Problem> {
    let until = Instant::now() + limits::EVENTS_BODY_TIMEOUT;
    let mut charge = intake.admit(length(headers).unwrap_or(0), is_stranger).map_err(problem)?;
    let (mut whole, mut pieces) = (Vec::new(), body.into_data_stream());
    while let Some(piece) = timeout_at(until, pieces.next()).await.map_err(|_| problem(ApiError::TooSlow))? {
        let piece = piece.map_err(|_| Problem::invalid("the body broke off"))?;
        let bytes = whole.len() + piece.len();
        if bytes > kind.most_bytes {
            return Err(too_large(kind));
        }
        if let Some(more) = bytes.checked_sub(charge.bytes()).filter(|more| *more > 0) {
            charge.add(intake.admit(more, is_stranger).map_err(problem)?);
        }
        whole.extend_from_slice(&piece);
    }
    charge.settle(whole.len());
    Ok((whole, charge))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const FORM: Kind = Kind { types: &["application/x-www-form-urlencoded"], most_bytes: 100 };

    fn status(pairs: &[(&'static str, &'static str)]) -> u16 {
        let headers =
            pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
        expect(&headers.collect(), FORM).map_or_else(|problem| problem.status.as_u16(), |()| 200)
    }

    #[test]
    fn the_head_says_what_will_not_be_read() {
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(status(&[form]), 200);
        assert_eq!(status(&[("content-type", "Application/X-WWW-Form-URLencoded; charset=\"UTF-8\"")]), 200);
        assert_eq!(status(&[form, ("content-encoding", "identity"), ("content-length", "100")]), 200);
        assert_eq!(status(&[form, ("content-length", "101")]), 413);
        for wrong in ["", "application/json", "application/x-www-form-urlencoded; charset=latin1"] {
            assert_eq!(status(&[("content-type", wrong)]), 415, "{wrong}");
        }
        assert_eq!(status(&[]), 415);
        assert_eq!(status(&[form, ("content-encoding", "gzip")]), 415);
    }
}
