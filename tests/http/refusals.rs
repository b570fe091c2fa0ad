//! What is wrong with a call over HTTP, and what its caller is told.

use crate::common::events::{ACCOUNT, created, now_ms, sid};
use crate::common::people::{OTHER_ACCOUNT, People, basic, send};
use crate::common::process::Launch;
use crate::common::web::{ask, get};
use crate::common::{calls::Client, process::Server};

async fn scene() -> (Server, String) {
    let server = Launch::ephemeral().start();
    let workspace = sid("WS", 1);
    Client::to(&server).await.accept(vec![created(1, &workspace, now_ms(), "voice")]).await;
    (server, format!("/v1/Workspaces/{workspace}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_not_found_whatever_is_wrong_with_it() {
    let (server, _) = scene().await;
    for path in
        ["/v2", "/v1", "/v1/Workspaces", "/v1/Workspaces/WS1/Statistics", "/v1/Workspaces/%ff/Statistics?Minutes=x"]
    {
        get(&server.address, path, &[]).problem(404, 20404);
    }
    let unknown = format!("/v1/Workspaces/{}/RealTimeStatistics", sid("WS", 9));
    get(&server.address, &unknown, &[]).problem(404, 20404);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_parameter_is_named_as_its_caller_knows_it() {
    let (server, path) = scene().await;
    for (query, names) in [
        ("Minutes=0", vec!["Minutes"]),
        ("Minutes=43201", vec!["Minutes"]),
        ("Minutes=1.5", vec!["Minutes"]),
        ("Minutes=5&Minutes=5", vec!["Minutes"]),
        ("Minutes=5&StartDate=2026-01-01", vec!["Minutes", "StartDate", "EndDate"]),
        ("StartDate=yesterday", vec!["StartDate"]),
        ("EndDate=2026-02-30", vec!["EndDate"]),
        ("EndDate=2026-01-01T00:00:00%2B25:00", vec!["EndDate"]),
        ("StartDate=2026-01-02&EndDate=2026-01-01", vec!["EndDate", "StartDate"]),
        ("StartDate=2999-01-01", vec!["StartDate"]),
        ("StartDate=2001-01-01", vec!["StartDate", "oldest"]),
        ("SplitByWaitTime=5;30", vec!["SplitByWaitTime"]),
        ("SplitByWaitTime=0", vec!["SplitByWaitTime"]),
        ("SplitByWaitTime=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21", vec!["SplitByWaitTime"]),
        ("TaskChannel=%ff", vec!["TaskChannel"]),
        ("TaskChannel=100%", vec!["TaskChannel"]),
        (
            "Minutes=x&StartDate=y&EndDate=z&SplitByWaitTime=w",
            vec!["Minutes", "StartDate", "EndDate", "SplitByWaitTime"],
        ),
        ("Minutes=0&SplitByWaitTime=w", vec!["Minutes", "SplitByWaitTime"]),
    ] {
        for resource in ["Statistics", "CumulativeStatistics"] {
            let message = get(&server.address, &format!("{path}/{resource}?{query}"), &[]).problem(400, 20001);
            for name in &names {
                assert!(message.contains(name), "{query}: {name}: {message}");
            }
            for field in ["minutes ", "start_time", "end_time", "split_by_wait_time", "task_channel"] {
                assert!(!message.contains(field), "{query}: {message}");
            }
        }
    }
    get(&server.address, &format!("{path}/RealTimeStatistics?TaskChannel=%ff"), &[]).problem(400, 20001);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_method_is_told_which_there_are() {
    let (server, path) = scene().await;
    let answer = ask(&server.address, &format!("DELETE {path}/Statistics HTTP/1.1"), &[], b"");
    answer.problem(405, 20004);
    assert_eq!(answer.header("allow"), "GET,HEAD");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_so_in_the_same_form() {
    let people = People::of(&[
        ("reader", ACCOUNT, r#"["read"]"#),
        ("pump", "all", r#"["ingest"]"#),
        ("other", OTHER_ACCOUNT, r#"["read"]"#),
    ]);
    let server = people.launch().start();
    let workspace = sid("WS", 1);
    let client = Client::to(&server).await;
    send(&client, &people.bearer("pump"), vec![created(1, &workspace, now_ms(), "voice")]).await;
    let path = format!("/v1/Workspaces/{workspace}/RealTimeStatistics");
    let with = |credential: &str| get(&server.address, &path, &[&format!("authorization: {credential}")]);
    assert_eq!(with(&basic(ACCOUNT, people.token("reader"))).status, 200);
    assert_eq!(with(&people.bearer("reader")).status, 200);
    let missing = get(&server.address, &path, &[]);
    missing.problem(401, 20003);
    let challenges = missing.headers.iter().filter(|(name, _)| name == "www-authenticate").count();
    assert_eq!(challenges, 2, "{missing:?}");
    with("Bearer tt_wrong").problem(401, 20003);
    with(&basic(OTHER_ACCOUNT, people.token("reader"))).problem(401, 20003);
    let message = with(&people.bearer("pump")).problem(403, 20403);
    assert!(message.contains("role read"), "{message}");
    // Another account's is as one that there is not, to the letter.
    let others = with(&people.bearer("other")).problem(404, 20404);
    let nobodys = path.replace(&workspace, &sid("WS", 9));
    let nothing = get(&server.address, &nobodys, &[&format!("authorization: {}", people.bearer("other"))]);
    assert_eq!(nothing.problem(404, 20404), others.replace(&workspace, &sid("WS", 9)));
    let huge = format!("x: {}", "x".repeat(17 << 10));
    let answer = get(&server.address, &path, &[&huge]);
    assert!(answer.problem(431, 20431).contains("16384"));
}
