//! What a client asks, as bytes: each is refused with every bad field, or good for a question.

use prost::Message;
use tasktally::api::decode::{self, Pace};
use tasktally::api::proto::v1;
use tasktally::engine::Workspace;
use tasktally::event::{AccountSid, DAY_MS};
use tasktally::limits;

use super::data::NOW;

/// The first byte says which question the rest is.
pub fn question(input: &[u8]) {
    let Some((which, message)) = input.split_first() else { return };
    match which % 8 {
        0 => read(message, decode::realtime).map(drop),
        1 => read(message, decode::cumulative).map(|asked| cumulative(&asked)),
        2 => read(message, decode::statistics).map(|asked| cumulative(&asked)),
        3 => read(message, decode::watch_realtime).map(|asked| pace(asked.pace)),
        6 => read(message, decode::series).map(|asked| {
            assert!(asked.bucket_s >= 1);
            cumulative(&asked.of);
        }),
        7 => read(message, decode::watch_statistics).map(|asked| {
            pace(asked.pace);
            cumulative(&asked.of);
        }),
        4 => read(message, |request: v1::ListWorkspacesRequest| {
            decode::workspace_page(request.clone()).inspect(|page| {
                assert!((1..=limits::PAGE_SIZE_MAX).contains(&page.rows));
                if let Some(after) = page.after {
                    assert_eq!(decode::workspace_token(after), request.page_token, "one place has one token");
                }
            })
        })
        .map(drop),
        _ => read(message, |request: v1::ListTaskChannelsRequest| {
            decode::channel_page(request.clone()).inspect(|(workspace, page)| {
                assert!((1..=limits::PAGE_SIZE_MAX).contains(&page.rows));
                if let Some(after) = &page.after {
                    assert_eq!(decode::channel_token(*workspace, after), request.page_token);
                }
            })
        })
        .map(drop),
    };
    tokens(input);
}

/// The answer to a good question; a bad one names at least one field.
fn read<Q: Message + Default, A, V>(message: &[u8], ask: impl Fn(Q) -> Result<A, Vec<V>>) -> Option<A> {
    let question = Q::decode(message).ok()?;
    match ask(question) {
        Ok(answer) => Some(answer),
        Err(violations) => {
            assert!(!violations.is_empty(), "refused without a reason");
            None
        }
    }
}

fn pace(Pace { min_interval, heartbeat }: Pace) {
    assert!(min_interval >= limits::WATCH_MIN_INTERVAL_MIN && heartbeat >= min_interval);
    assert!(heartbeat <= limits::WATCH_INTERVAL_MAX);
}

fn cumulative(asked: &decode::CumulativeRequest) {
    assert!(asked.thresholds.len() <= limits::THRESHOLDS && !asked.window.is_always_empty());
    if let Ok(range) = asked.window.resolve(NOW, 30 * DAY_MS) {
        let workspace = Workspace::new(AccountSid::from_bytes([1; 16]), 30 * DAY_MS, 7);
        let _ = workspace.cumulative(&asked.channel, range, &asked.thresholds);
    }
}

/// Every place comes back from its token, and from no other list's.
fn tokens(input: &[u8]) {
    let (Some(sid), Ok(name)) = (input.first_chunk::<16>(), std::str::from_utf8(input)) else { return };
    let workspace = tasktally::event::WorkspaceSid::from_bytes(*sid);
    let request = |page_token: String| v1::ListTaskChannelsRequest {
        workspace_sid: workspace.to_string(),
        page_size: 0,
        page_token,
    };
    let back = decode::channel_page(request(decode::channel_token(workspace, name)));
    assert!(back.is_ok_and(|(_, page)| page.after.as_deref() == Some(name)));
    assert!(decode::channel_page(request(decode::workspace_token(workspace))).is_err());
}
