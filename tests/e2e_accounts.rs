//! The two walls between accounts: what is another's is not there, and cannot be written to.

mod common;

use common::calls::Client;
use common::details::told;
use common::events::{ACCOUNT, at, created, now_ms, sid};
use common::people::{OTHER_ACCOUNT, People, basic, call, send, shown};
use common::{in_time, raw};
use prost::Message;
use tasktally::api::proto::v1::{self, RejectionReason};
use tonic::{Code, Status};

/// One of each account, and one of all.
fn three() -> People {
    People::of(&[
        ("all", "all", r#"["read", "ingest"]"#),
        ("mine", ACCOUNT, r#"["read", "ingest"]"#),
        ("theirs", OTHER_ACCOUNT, r#"["read", "ingest"]"#),
    ])
}

/// A status as it is on the wire, with this sid taken out.
fn wire(status: &Status, asked: &str) -> (Code, String, Vec<u8>) {
    let blank = "WS--------------------------------";
    let mut details = status.details().to_vec();
    for at in 0..details.len().saturating_sub(asked.len() - 1) {
        let place = &mut details[at..at + asked.len()];
        if *place == *asked.as_bytes() {
            place.copy_from_slice(blank.as_bytes());
        }
    }
    (status.code(), status.message().replace(asked, blank), details)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_workspace_answers_exactly_as_one_that_does_not_exist() {
    let people = three();
    let server = people.launch().start();
    let client = Client::to(&server).await;
    let (mine, unknown) = (sid("WS", 1), sid("WS", 0xdead));
    send(&client, &people.bearer("mine"), vec![created(1, &mine, now_ms(), "voice")]).await;
    let theirs = people.bearer("theirs");
    // Asked for by its owner and by a watcher first, so that every shelf and cache holds it.
    let mut watch = client
        .statistics()
        .watch_realtime(shown(
            &people.bearer("mine"),
            v1::WatchRealtimeRequest { workspace_sid: mine.clone(), ..Default::default() },
        ))
        .await
        .unwrap()
        .into_inner();
    in_time("a first message", watch.message()).await.unwrap().unwrap();
    let too_old = Some(at(now_ms() - 40 * 86_400_000));
    for owner in ["mine", "all"] {
        let request = v1::GetRealtimeRequest { workspace_sid: mine.clone(), task_channel: String::new() };
        assert!(client.statistics().get_realtime(shown(&people.bearer(owner), request)).await.is_ok());
    }
    for path in [raw::REALTIME, raw::CUMULATIVE, raw::STATISTICS, raw::WATCH, raw::CHANNELS] {
        for channel in ["", "voice", "never-heard-of"] {
            let ask = async |workspace: &str, start| {
                let (workspace_sid, task_channel) = (workspace.to_owned(), channel.to_owned());
                let message = match path {
                    raw::CUMULATIVE | raw::STATISTICS => {
                        let request = v1::GetCumulativeRequest {
                            workspace_sid,
                            task_channel,
                            start_time: start,
                            ..Default::default()
                        };
                        request.encode_to_vec()
                    }
                    raw::CHANNELS => {
                        v1::ListTaskChannelsRequest { workspace_sid, ..Default::default() }.encode_to_vec()
                    }
                    _ => v1::GetRealtimeRequest { workspace_sid, task_channel }.encode_to_vec(),
                };
                call(&client, path, Some(&theirs), &message).await.unwrap_err()
            };
            for start in [None, too_old] {
                let (foreign, none) = (ask(&mine, start).await, ask(&unknown, start).await);
                assert_eq!(foreign.code(), Code::NotFound, "{path} {channel:?}");
                assert_eq!(told(&foreign).metadata("workspace_sid"), mine);
                assert_eq!(wire(&foreign, &mine), wire(&none, &unknown), "{path} {channel:?}");
            }
        }
    }
    // The owner of all narrows itself by a user name.
    let narrowed = basic(OTHER_ACCOUNT, people.token("all"));
    let request = v1::GetRealtimeRequest { workspace_sid: mine.clone(), task_channel: String::new() };
    let status = client.statistics().get_realtime(shown(&narrowed, request)).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_their_tokens_show_only_what_is_the_callers() {
    let people = three();
    let server = people.launch().start();
    let client = Client::to(&server).await;
    // In turn, so that each page of one would pass over the other's.
    let owner = |number: u64| if number.is_multiple_of(2) { "mine" } else { "theirs" };
    for number in 1..=9 {
        let mut event = created(number, &sid("WS", number), now_ms(), "voice");
        event.account_sid = (if owner(number) == "mine" { ACCOUNT } else { OTHER_ACCOUNT }).to_owned();
        assert_eq!(send(&client, &people.bearer(owner(number)), vec![event]).await.accepted, 1);
    }
    for (name, expected) in [("mine", vec![2, 4, 6, 8]), ("theirs", vec![1, 3, 5, 7, 9]), ("all", (1..=9).collect())] {
        let mut seen = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListWorkspacesRequest { page_size: 2, page_token };
            let page =
                client.statistics().list_workspaces(shown(&people.bearer(name), request)).await.unwrap().into_inner();
            seen.extend(page.workspaces.into_iter().map(|workspace| workspace.workspace_sid));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, expected.into_iter().map(|number| sid("WS", number)).collect::<Vec<_>>(), "{name}");
    }
    // A token of another's list goes on in one's own, and shows nothing of where it came from.
    let first =
        |name: &str| shown(&people.bearer(name), v1::ListWorkspacesRequest { page_size: 1, page_token: String::new() });
    let page_token = client.statistics().list_workspaces(first("theirs")).await.unwrap().into_inner().next_page_token;
    let request = v1::ListWorkspacesRequest { page_size: 1, page_token };
    let page = client.statistics().list_workspaces(shown(&people.bearer("mine"), request)).await.unwrap().into_inner();
    assert_eq!(page.workspaces[0].workspace_sid, sid("WS", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_another_account_is_refused_whatever_its_workspace_is() {
    let people = People::of(&[("mine", ACCOUNT, r#"["ingest"]"#), ("theirs", OTHER_ACCOUNT, r#"["ingest"]"#)]);
    let server = people.launch().start();
    let client = Client::to(&server).await;
    let (known, unknown) = (sid("WS", 1), sid("WS", 2));
    let event = |number: u64, workspace: &str| created(number, workspace, now_ms(), "voice");
    assert_eq!(send(&client, &people.bearer("mine"), vec![event(1, &known)]).await.accepted, 1);
    // The same event again would be a duplicate, were it looked at.
    let answer =
        send(&client, &people.bearer("theirs"), vec![event(1, &known), event(2, &known), event(3, &unknown)]).await;
    let refused: Vec<_> = answer.rejected.iter().map(|one| (one.reason(), one.field.as_str(), &one.message)).collect();
    assert_eq!((answer.accepted, answer.duplicates, refused.len()), (0, 0, 3));
    for one in &refused {
        assert_eq!((one.0, one.1, one.2), (RejectionReason::AccountMismatch, "account_sid", refused[0].2));
        assert!(!one.2.contains("AC0"), "{}", one.2);
    }
    // What was refused bound no workspace.
    let mut own = event(3, &unknown);
    own.account_sid = OTHER_ACCOUNT.to_owned();
    assert_eq!(send(&client, &people.bearer("theirs"), vec![own]).await.accepted, 1);
}
