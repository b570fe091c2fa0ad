//! What pages of other origins may do.

use crate::common::events::{ACCOUNT, sid};
use crate::common::people::People;
use crate::common::process::{Launch, Server};
use crate::common::web::{Answer, ask, get};

const WALL: &str = "https://wall.example";
const OTHER: &str = "https://other.example";

fn path() -> String {
    format!("/v1/Workspaces/{}/RealTimeStatistics", sid("WS", 1))
}

fn preflight(server: &Server, origin: &str) -> Answer {
    let asked = ["access-control-request-method: GET", "access-control-request-headers: authorization"];
    let headers = [asked[0], asked[1], &format!("origin: {origin}")];
    ask(&server.address, &format!("OPTIONS {} HTTP/1.1", path()), &headers, b"")
}

#[test]
fn nobody_may_unless_it_was_set() {
    let server = Launch::ephemeral().start();
    let answer = preflight(&server, WALL);
    answer.problem(405, 20004);
    assert_eq!(answer.header("access-control-allow-origin"), "");
    let answer = get(&server.address, &path(), &[&format!("origin: {WALL}")]);
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[test]
fn a_page_of_a_named_origin_asks_without_credentials_and_reads_refusals() {
    let people = People::of(&[("reader", ACCOUNT, r#"["read"]"#)]);
    let server = people.launch().with(["--http-cors-origin", &format!("http://localhost:8080,{WALL}")]).start();
    let answer = preflight(&server, WALL);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), WALL);
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.header("access-control-allow-methods"), "GET,HEAD,POST");
    for header in ["authorization", "x-grpc-web", "grpc-timeout", "traceparent", "tracestate"] {
        assert!(answer.header("access-control-allow-headers").contains(header), "{answer:?}");
    }
    assert_eq!(preflight(&server, OTHER).header("access-control-allow-origin"), "");
    let origin = format!("origin: {WALL}");
    let refused = get(&server.address, &path(), &[&origin]);
    refused.problem(401, 20003);
    assert_eq!(refused.header("access-control-allow-origin"), WALL);
    let bearer = format!("authorization: {}", people.bearer("reader"));
    let answer = get(&server.address, &path(), &[&origin, &bearer]);
    answer.problem(404, 20404);
    assert_eq!(answer.header("access-control-allow-origin"), WALL);
    for header in ["etag", "grpc-status", "grpc-status-details-bin"] {
        assert!(answer.header("access-control-expose-headers").contains(header), "{answer:?}");
    }
    assert!(answer.headers.iter().any(|(name, value)| name == "vary" && value.contains("origin")), "{answer:?}");
}

#[test]
fn for_every_origin_a_browser_adds_nothing_by_itself() {
    let server = Launch::ephemeral().with(["--http-cors-origin", "*"]).start();
    let answer = preflight(&server, OTHER);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    // Any page could write where nobody is asked who they are.
    assert_eq!(answer.header("access-control-allow-methods"), "GET,HEAD");
    let mut refused = Launch::ephemeral().with(["--http-cors-origin", "https://wall.example/"]).spawn();
    assert_eq!(refused.wait().code(), Some(2));
}
