//! Browsers where callers need credentials.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;
use tonic::Code;

use super::page::assert_guarded;
use super::pushed::Events;
use crate::common::calls::Client;
use crate::common::events::{ACCOUNT, created, now_ms, sid};
use crate::common::eventually;
use crate::common::people::{OTHER_ACCOUNT, People, call, send};
use crate::common::process::{Launch, Server};
use crate::common::web::{Answer, ask, get};

const SESSION: &str = "/wallboard/session";
const LIST: &str = "/wallboard/workspaces";
const SAME: &str = "sec-fetch-site: same-origin";

fn sign_in(server: &Server, token: &str, headers: &[&str]) -> Answer {
    let body = json!({ "token": token }).to_string();
    let length = format!("content-length: {}", body.len());
    let headers = [&["content-type: application/json", &length], headers].concat();
    ask(&server.address, &format!("POST {SESSION} HTTP/1.1"), &headers, body.as_bytes())
}

/// The cookie of a sign-in that went well, as a browser shows it.
fn cookie(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer:?}");
    assert_guarded(answer);
    format!("cookie: {}", answer.header("set-cookie").split(';').next().unwrap())
}

fn state(server: &Server, headers: &[&str]) -> String {
    let answer = get(&server.address, SESSION, headers);
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()["state"].as_str().unwrap().to_owned()
}

/// A server with one workspace of each account.
async fn scene(people: &People, launch: Launch) -> Server {
    let server = launch.start();
    let client = Client::to(&server).await;
    send(&client, &people.bearer("pump"), vec![created(1, &sid("WS", 1), now_ms(), "voice")]).await;
    let mut theirs = created(2, &sid("WS", 2), now_ms(), "voice");
    theirs.account_sid = OTHER_ACCOUNT.to_owned();
    send(&client, &people.bearer("pump"), vec![theirs]).await;
    server
}

fn people() -> People {
    let all = r#"["read", "ingest", "admin"]"#;
    People::of(&[("wall", ACCOUNT, all), ("other", "all", all), ("pump", "all", r#"["ingest"]"#)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_shown_once_becomes_a_cookie_that_opens_the_boards_reads_and_nothing_else() {
    let people = people();
    let server = scene(&people, people.launch()).await;
    assert_eq!(get(&server.address, "/", &[]).status, 200, "the page says nothing of anybody");
    assert_eq!(state(&server, &[]), "needed");
    let denied = get(&server.address, LIST, &[]);
    denied.problem(401, 20003);
    assert_eq!(denied.header("www-authenticate"), r#"Bearer realm="tasktally""#, "no window of the browser's own");
    let answer = sign_in(&server, people.token("wall"), &[SAME]);
    let attributes: Vec<_> = answer.header("set-cookie").split("; ").skip(1).collect();
    assert_eq!(attributes, ["Path=/wallboard", "Max-Age=2592000", "HttpOnly", "SameSite=Strict"]);
    let cookie = cookie(&answer);
    assert!(cookie.len() > 60 && !cookie.contains(people.token("wall")), "{cookie}");
    assert_eq!(state(&server, &[&cookie]), "signed-in");
    assert_eq!(
        get(&server.address, LIST, &[&cookie]).json()["workspaces"],
        json!([sid("WS", 1)]),
        "its account's alone"
    );
    assert_eq!(Events::of(&server.address, "", &[&cookie]).next().unwrap().1["total_tasks"], 1);
    get(&server.address, &format!("/wallboard/channels?workspace={}", sid("WS", 2)), &[&cookie]).problem(404, 20404);
    // A browser that shows nothing is one that has signed out: the page says it, the log need not.
    assert!(!server.log.contains("are not let in"), "{}", server.log.text());
    // Nothing else is opened by it: no resource, no ingest, no RPC.
    get(&server.address, &format!("/v1/Workspaces/{}/Statistics", sid("WS", 1)), &[&cookie]).problem(401, 20003);
    let post = ["content-length: 2", "content-type: application/json", &*cookie];
    ask(&server.address, "POST /v1/events/stream HTTP/1.1", &post, b"[]").problem(401, 20003);
    let client = Client::to(&server).await;
    let mut request = tonic::Request::new(Default::default());
    request.metadata_mut().insert("cookie", cookie.trim_start_matches("cookie: ").parse().unwrap());
    assert_eq!(client.statistics().list_workspaces(request).await.unwrap_err().code(), Code::Unauthenticated);
    // Credentials that are shown decide alone.
    get(&server.address, LIST, &[&cookie, "authorization: Bearer tt_nobody"]).problem(401, 20003);
    assert_eq!(get(&server.address, LIST, &[&format!("authorization: {}", people.bearer("wall"))]).status, 200);
    assert!(call(&client, "/tasktally.v1.StatisticsService/ListWorkspaces", None, b"").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_counted_and_one_that_may_not_read_begins_nothing() {
    let people = people();
    let server = scene(&people, people.launch()).await;
    for wrong in ["tt_nobody", "", "two words", "line\nbreak", "é", &"x".repeat(9000)] {
        let answer = sign_in(&server, wrong, &[SAME]);
        answer.problem(401, 20003);
        assert_eq!((answer.header("set-cookie"), answer.header("www-authenticate")), ("", ""));
    }
    server.logs("the credentials are unknown");
    let message = sign_in(&server, people.token("pump"), &[]).problem(403, 20403);
    assert!(message.contains("role read"), "{message}");
    let post = |kind: &str, body: &[u8]| {
        let headers = [format!("content-type: {kind}"), format!("content-length: {}", body.len())];
        ask(&server.address, &format!("POST {SESSION} HTTP/1.1"), &[&headers[0], &headers[1]], body)
    };
    let token = json!({ "token": people.token("wall") }).to_string();
    post("text/plain", token.as_bytes()).problem(415, 20415);
    post("application/json", b"{}").problem(400, 20001);
    post("application/json", &[b' '; 40_000]).problem(413, 20413);
    assert!(!server.log.contains(people.token("wall")) && !server.log.contains("tt_nobody"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_begins_reads_and_ends_nothing() {
    let people = people();
    let server = scene(&people, people.launch()).await;
    let foreign =
        ["sec-fetch-site: cross-site", "sec-fetch-site: same-site", "origin: https://evil.example", "origin: null"];
    for from in foreign {
        let answer = sign_in(&server, people.token("wall"), &[from]);
        answer.problem(403, 20403);
        assert_eq!(answer.header("set-cookie"), "");
    }
    let cookie = cookie(&sign_in(&server, people.token("wall"), &["origin: http://test"]));
    for from in &foreign[..2] {
        get(&server.address, LIST, &[&cookie, from]).problem(401, 20003);
        let path = format!("/wallboard/stream?workspace={}", sid("WS", 1));
        get(&server.address, &path, &[&cookie, from]).problem(401, 20003);
    }
    for from in foreign {
        ask(&server.address, &format!("DELETE {SESSION} HTTP/1.1"), &[&cookie, from], b"").problem(403, 20403);
    }
    assert_eq!(get(&server.address, LIST, &[&cookie, SAME]).status, 200, "it is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_their_streams_end_with_a_sign_out_or_with_their_credentials() {
    let mut people = people();
    let server = scene(&people, people.launch()).await;
    let [out, goes] = ["wall", "wall"].map(|name| cookie(&sign_in(&server, people.token(name), &[SAME])));
    let mut streams = [&out, &goes].map(|cookie| Events::of(&server.address, "", &[cookie]));
    streams.iter_mut().for_each(|stream| assert_eq!(stream.next().unwrap().0, "realtime"));
    let answer = ask(&server.address, &format!("DELETE {SESSION} HTTP/1.1"), &[&out, SAME], b"");
    assert_eq!(answer.status, 204);
    assert!(answer.header("set-cookie").starts_with("tasktally_wallboard=; Path=/wallboard; Max-Age=0;"));
    let [mut ended, mut other] = streams;
    ended.end(401);
    get(&server.address, LIST, &[&out]).problem(401, 20003);
    assert_eq!(get(&server.address, LIST, &[&goes]).status, 200, "the other one goes on");
    people.without("wall");
    tokio::task::spawn_blocking(move || other.end(401)).await.unwrap();
    get(&server.address, LIST, &[&goes]).problem(401, 20003);
    assert_eq!(state(&server, &[&goes]), "needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_bounded_and_known_to_tls_alone_where_there_is_tls() {
    let people = people();
    let launch = people.launch().with(["--max-wallboard-sessions", "1", "--wallboard-session-life", "1m"]);
    let server = scene(&people, launch.with(["--public-url", "https://stats.example"])).await;
    let first = sign_in(&server, people.token("wall"), &[]);
    assert!(first.header("set-cookie").ends_with("; Max-Age=60; HttpOnly; SameSite=Strict; Secure"), "{first:?}");
    let message = sign_in(&server, people.token("other"), &[]).problem(429, 20429);
    assert!(message.contains("max_wallboard_sessions = 1"), "{message}");
    let second = cookie(&sign_in(&server, people.token("wall"), &[]));
    get(&server.address, LIST, &[&cookie(&first)]).problem(401, 20003);
    assert_eq!(get(&server.address, LIST, &[&second]).status, 200, "one name's newest is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_goes_on_over_a_restart_as_long_as_its_credential_is_the_same() {
    let mut people = people();
    let home = tempfile::tempdir().unwrap();
    let launch = |people: &People| Launch::on(home.path()).with(["--credentials"]).with([people.file()]);
    let mut server = scene(&people, launch(&people)).await;
    let [stays, goes] = ["wall", "other"].map(|name| cookie(&sign_in(&server, people.token(name), &[SAME])));
    let file = home.path().join("wallboard-sessions.json");
    let kept = || std::fs::read_to_string(&file).unwrap_or_default();
    eventually("both are on the disk", async || (kept().matches("until_ms").count() == 2).then_some(())).await;
    assert!([&stays, &goes].iter().all(|cookie| !kept().contains(cookie.rsplit('=').next().unwrap())));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    server.kill();
    people.without("other");
    let server = launch(&people).start();
    assert_eq!(Events::of(&server.address, "", &[&stays]).next().unwrap().1["total_tasks"], 1);
    get(&server.address, LIST, &[&goes]).problem(401, 20003);
    people.without("wall");
    eventually("it ends with its credential all the same", async || {
        (get(&server.address, LIST, &[&stays]).status == 401).then_some(())
    })
    .await;
}

#[test]
fn where_nobody_is_asked_there_is_nothing_to_sign_in_to() {
    let server = Launch::ephemeral().start();
    assert_eq!(state(&server, &[]), "open");
    assert_eq!(sign_in(&server, "x", &[SAME]).status, 409);
}
