//! Traces: spans of calls at a collector, by the trace that callers name, and the ids in log lines.

#[path = "traces/collector.rs"]
mod collector;
mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use collector::{Collector, hex, named, value};
use common::authority::Authority;
use common::calls::{Client, next, quiet_watch};
use common::events::{created, now_ms, sid};
use common::process::{Launch, Server};
use common::{eventually, in_time, web};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tasktally::api::proto::v1;
use tonic::{Code, Request};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn traceparent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{PARENT}-{flags}")
}

/// A trace of this number.
fn trace(number: u64) -> String {
    format!("{number:032x}")
}

fn exporting(collector: &Collector, flags: &[&str]) -> Server {
    Launch::ephemeral().with(["--trace-endpoint", &collector.url(), "--partitions", "1"]).with(flags).start()
}

/// Sends one event, as part of a trace.
async fn send(client: &Client, number: u64, header: &str) -> Result<v1::IngestEventsResponse, tonic::Status> {
    let mut request =
        Request::new(v1::IngestEventsRequest { events: vec![created(number, &sid("WS", 1), now_ms(), "voice")] });
    if !header.is_empty() {
        request.metadata_mut().insert("traceparent", header.parse().unwrap());
    }
    client.ingest().ingest_events(request).await.map(tonic::Response::into_inner)
}

const INGEST: &str = "tasktally.v1.IngestService/IngestEvents";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_span_of_its_callers_trace_with_its_parts_within() {
    let collector = Collector::start().await;
    let server = exporting(&collector, &[]);
    let client = Client::to(&server).await;
    send(&client, 1, &traceparent(TRACE, "01")).await.unwrap();
    let spans = collector.taken.trace(TRACE, 6).await;
    let call = named(&spans, INGEST);
    assert_eq!((hex(&call.parent_span_id), call.kind()), (PARENT.to_owned(), SpanKind::Server));
    for (name, expected) in [
        ("rpc.system", "grpc"),
        ("rpc.service", "tasktally.v1.IngestService"),
        ("rpc.method", "IngestEvents"),
        ("rpc.grpc.status_code", "0"),
    ] {
        assert_eq!(value(&call.attributes, name), expected);
    }
    let mut ended = call.start_time_unix_nano;
    for name in ["decode", "commit", "apply", "publish"] {
        let part = named(&spans, name);
        assert_eq!((&part.parent_span_id, part.kind()), (&call.span_id, SpanKind::Internal), "{name}");
        // One after the other, within the call.
        assert!(part.start_time_unix_nano >= ended && part.end_time_unix_nano <= call.end_time_unix_nano, "{spans:#?}");
        assert!(part.start_time_unix_nano <= part.end_time_unix_nano, "{part:?}");
        ended = part.end_time_unix_nano;
    }
    let (commit, append) = (named(&spans, "commit"), named(&spans, "append"));
    assert_eq!(append.parent_span_id, commit.span_id);
    assert!(append.start_time_unix_nano >= commit.start_time_unix_nano, "{spans:#?}");
    assert_eq!(value(&commit.attributes, "tasktally.group.events"), "1");
    assert_eq!(value(&commit.attributes, "tasktally.group.calls"), "1");
    assert_eq!(value(&named(&spans, "decode").attributes, "tasktally.events"), "1");
    let resource = collector.taken.resource();
    assert_eq!(value(&resource.attributes, "service.name"), "tasktally");
    assert_eq!(value(&resource.attributes, "service.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(value(&resource.attributes, "service.instance.id").len(), 32);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_flag_decides_and_the_ratio_where_there_is_no_caller() {
    let collector = Collector::start().await;
    for (sample, expected) in [("0", 1), ("1", 8)] {
        let server = exporting(&collector, &["--trace-sample", sample]);
        let client = Client::to(&server).await;
        let before = collector.taken.spans().len();
        // No trace of their own: none at all, and what is malformed.
        let not_theirs = [
            String::new(),
            traceparent(TRACE, "1"),
            traceparent(&TRACE.to_uppercase(), "01"),
            traceparent(&trace(0), "01"),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("00-{TRACE}-{PARENT}-01-more"),
            "rubbish".to_owned(),
        ];
        for (number, header) in (1..).zip(&not_theirs) {
            send(&client, number, header).await.unwrap();
        }
        send(&client, 8, &traceparent(&trace(8), "00")).await.unwrap();
        // A later version of the header is read as far as it is known.
        send(&client, 9, &format!("cc-{}-{PARENT}-01-what-else", trace(9))).await.unwrap();
        // The last spans are sent before the end.
        server.stop();
        let spans = collector.taken.spans().split_off(before);
        let calls: Vec<&Span> = spans.iter().filter(|span| span.name == INGEST).collect();
        assert_eq!(calls.len(), expected, "with {sample}: {calls:#?}");
        let of = |id: &str| calls.iter().filter(|call| hex(&call.trace_id) == id).count();
        assert_eq!((of(&trace(9)), of(&trace(8)), of(TRACE)), (1, 0, 0));
        let begun = calls.iter().filter(|call| hex(&call.trace_id) != trace(9));
        assert!(begun.into_iter().all(|call| call.parent_span_id.is_empty()), "{calls:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_call_ended_is_told_and_only_the_servers_faults_are_errors() {
    let collector = Collector::start().await;
    let server = exporting(&collector, &["--trace-sample", "0"]);
    let client = Client::to(&server).await;
    let realtime = v1::GetRealtimeRequest { workspace_sid: sid("WS", 404), ..v1::GetRealtimeRequest::default() };
    let mut request = Request::new(realtime);
    request.metadata_mut().insert("traceparent", traceparent(&trace(1), "01").parse().unwrap());
    assert_eq!(client.statistics().get_realtime(request).await.unwrap_err().code(), Code::NotFound);
    let spans = collector.taken.trace(&trace(1), 1).await;
    assert_eq!(value(&spans[0].attributes, "rpc.grpc.status_code"), "5");
    assert_ne!(spans[0].status.clone().unwrap_or_default().code(), StatusCode::Error);
    // A name that a caller has made up is in no span.
    let headers = format!("traceparent: {}", traceparent(&trace(2), "01"));
    let grpc = ["content-type: application/grpc", "te: trailers", &headers];
    web::ask(&server.address, "POST /made.Up/ByMe HTTP/1.1", &grpc, b"");
    let [span] = &collector.taken.trace(&trace(2), 1).await[..] else { panic!("it is one") };
    assert_eq!((&span.name[..], span.status.clone().unwrap().code()), ("unknown/unknown", StatusCode::Error));
    assert_eq!(value(&span.attributes, "error.type"), "12");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_it_is_the_same() {
    let collector = Collector::start().await;
    let server = exporting(&collector, &["--trace-sample", "0"]);
    let (now, parent) = (now_ms() / 1_000, |number| format!("traceparent: {}", traceparent(&trace(number), "01")));
    let form = format!(
        "EventType=workspace.updated&Sid={}&AccountSid={}&WorkspaceSid={}&Timestamp={now}",
        sid("EV", 1),
        sid("AC", 1),
        sid("WS", 1)
    );
    let headers =
        ["content-type: application/x-www-form-urlencoded", &parent(1), &format!("content-length: {}", form.len())];
    let answer = web::ask(&server.address, "POST /v1/events/callback HTTP/1.1", &headers, form.as_bytes());
    assert_eq!(answer.status, 204, "{answer:?}");
    let spans = collector.taken.trace(&trace(1), 6).await;
    let call = named(&spans, "POST /v1/events/callback");
    for (name, expected) in [
        ("http.request.method", "POST"),
        ("http.route", "/v1/events/callback"),
        ("url.path", "/v1/events/callback"),
        ("http.response.status_code", "204"),
    ] {
        assert_eq!(value(&call.attributes, name), expected);
    }
    assert_eq!(hex(&call.parent_span_id), PARENT);
    for name in ["decode", "commit", "apply", "publish"] {
        assert_eq!(named(&spans, name).parent_span_id, call.span_id, "{name}");
    }
    let path = format!("/v1/Workspaces/{}/Statistics", sid("WS", 1));
    assert_eq!(web::get(&server.address, &path, &[&parent(2)]).status, 200);
    let spans = collector.taken.trace(&trace(2), 1).await;
    let call = named(&spans, "GET /v1/Workspaces/{WorkspaceSid}/Statistics");
    assert_eq!(value(&call.attributes, "url.path"), path);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_one_span_that_tells_of_its_first_messages_and_counts_the_others() {
    let collector = Collector::start().await;
    let server = exporting(&collector, &["--trace-sample", "0"]);
    let client = Client::to(&server).await;
    let request = |number| v1::IngestEventsRequest { events: vec![created(number, &sid("WS", 1), now_ms(), "voice")] };
    let mut stream = Request::new(tokio_stream::iter((1..=40).map(request)));
    stream.metadata_mut().insert("traceparent", traceparent(&trace(1), "01").parse().unwrap());
    let mut answers = client.ingest().stream_events(stream).await.unwrap().into_inner();
    let mut answered = 0;
    while let Some(answer) = in_time("an answer", answers.message()).await.unwrap() {
        assert_eq!(answer.accepted, 1);
        answered += 1;
    }
    assert_eq!(answered, 40);
    // 32 of the 40, with five parts each.
    let spans = collector.taken.trace(&trace(1), 1 + 32 * 5).await;
    let of = |name: &str| spans.iter().filter(|span| span.name == name).count();
    assert_eq!((spans.len(), of("decode"), of("commit"), of("append")), (161, 32, 32, 32));
    let call = named(&spans, "tasktally.v1.IngestService/StreamEvents");
    assert_eq!(value(&call.attributes, "tasktally.messages_sent"), "40");
    assert_eq!((call.events.len(), call.dropped_events_count), (32, 0));

    let mut watch = Request::new(quiet_watch(&sid("WS", 1)));
    watch.metadata_mut().insert("traceparent", traceparent(&trace(2), "01").parse().unwrap());
    let mut watch = client.statistics().watch_realtime(watch).await.unwrap().into_inner();
    next(&mut watch).await;
    client.accept(vec![created(50, &sid("WS", 1), now_ms(), "voice")]).await;
    next(&mut watch).await;
    drop(watch);
    let spans = collector.taken.trace(&trace(2), 1).await;
    let call = named(&spans, "tasktally.v1.StatisticsService/WatchRealtime");
    assert_eq!(value(&call.attributes, "rpc.grpc.status_code"), "1", "its caller went");
    assert_eq!((call.events.len(), &call.events[0].name[..]), (2, "rpc.message"));
    assert_eq!(value(&call.events[1].attributes, "rpc.message.id"), "2");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_calls_links_them() {
    let collector = Collector::start().await;
    let server = exporting(&collector, &["--trace-sample", "0"]);
    let client = Client::to(&server).await;
    let numbers = AtomicU64::new(1);
    // Calls at the same time go together when they come while another one is being committed.
    let linked = eventually("calls go together", async || {
        let first = numbers.fetch_add(16, Ordering::Relaxed);
        let calls = (first..first + 16).map(|number| {
            let client = client.clone();
            tokio::spawn(async move { send(&client, number, &traceparent(&trace(number), "01")).await.unwrap() })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
        for number in first..first + 16 {
            collector.taken.trace(&trace(number), 6).await;
        }
        collector.taken.spans().into_iter().find(|span| span.name == "commit" && !span.links.is_empty())
    })
    .await;
    let calls: usize = value(&linked.attributes, "tasktally.group.calls").parse().unwrap();
    assert!(calls >= 2 && linked.links.len() == (calls - 1).min(8), "{linked:#?}");
    let spans = collector.taken.spans();
    let others = linked.links.iter().map(|link| spans.iter().find(|span| span.span_id == link.span_id));
    for other in others {
        let other = other.expect("a link is to a call's span");
        assert_eq!(other.name, INGEST);
        assert_ne!(other.trace_id, linked.trace_id);
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_gone_costs_nothing_but_spans() {
    let collector = Collector::start().await;
    let address = collector.address;
    let server = exporting(&collector, &["--metrics-listen", "127.0.0.1:0"]);
    drop(collector);
    let client = Client::to(&server).await;
    send(&client, 1, &traceparent(&trace(1), "01")).await.unwrap();
    server.logs("spans do not reach the collector");
    let greeting = server.out.text();
    let scraped = greeting.lines().find_map(|line| line.strip_prefix("scrape http://")?.split('/').next()).unwrap();
    let told = async |lines: fn(&str) -> bool| {
        let scrape = async || web::get(scraped, "/metrics", &[]).text().lines().any(lines).then_some(());
        eventually("it is counted", scrape).await;
    };
    told(|line| line == r#"tasktally_trace_spans_lost_total{reason="export_failed"} 6.0"#).await;
    told(|line| line == r#"tasktally_trace_spans_lost_total{reason="queue_full"} 0.0"#).await;
    told(|line| line == "tasktally_trace_spans_exported_total 0.0").await;
    let collector = Collector::at(address).await;
    let numbers = AtomicU64::new(2);
    eventually("spans arrive again", async || {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        send(&client, number, &traceparent(&trace(number), "01")).await.unwrap();
        let last = collector.taken.spans();
        last.iter().any(|span| span.name == INGEST).then_some(())
    })
    .await;
    let is_more =
        |line: &str| line.strip_prefix("tasktally_trace_spans_exported_total ").is_some_and(|spans| spans != "0.0");
    told(is_more).await;
    let said = server.log.text().matches("spans do not reach").count();
    assert_eq!(said, 1, "{}", server.log.text());
    // Gone again, and something to send: the end does not wait for it.
    drop(collector);
    send(&client, 100_000, &traceparent(&trace(100_000), "01")).await.unwrap();
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_answers_nothing_holds_up_no_stop() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let server = Launch::ephemeral().with(["--trace-endpoint", &url, "--shutdown-timeout", "2s"]).start();
    let client = Client::to(&server).await;
    for number in 1..=100 {
        send(&client, number, "").await.unwrap();
    }
    let begun = std::time::Instant::now();
    server.stop();
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

/// The log lines that say this, as JSON.
fn lines(server: &Server, text: &str) -> Vec<serde_json::Value> {
    let log = server.log.text();
    log.lines().filter(|line| line.contains(text)).map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_of_a_call_carry_the_ids_of_its_trace() {
    let forget = async |server: &Server, header: &str| {
        let client = Client::to(server).await;
        send(&client, 1, "").await.unwrap();
        let mut request = Request::new(v1::ForgetWorkspaceRequest { workspace_sid: sid("WS", 1) });
        if !header.is_empty() {
            request.metadata_mut().insert("traceparent", header.parse().unwrap());
        }
        client.admin().forget_workspace(request).await.unwrap();
    };
    // With export off, and whatever the caller's flag: what it has said of itself.
    let server = Launch::ephemeral().with(["--log-format", "json"]).start();
    forget(&server, &traceparent(TRACE, "00")).await;
    forget(&server, "").await;
    eventually("both are logged", async || (lines(&server, "forgot a workspace").len() == 2).then_some(())).await;
    let [with, without] = &lines(&server, "forgot a workspace")[..] else { panic!("there are two") };
    assert_eq!((&with["trace_id"], &with["span_id"]), (&TRACE.into(), &PARENT.into()), "{with}");
    assert_eq!((with["level"].as_str(), with["workspace"].as_str()), (Some("INFO"), Some(&sid("WS", 1)[..])));
    assert!(without.get("trace_id").is_none(), "{without}");
    server.stop();
    // With export on: the span of the call.
    let collector = Collector::start().await;
    let server = exporting(&collector, &["--log-format", "json", "--trace-sample", "0"]);
    forget(&server, &traceparent(&trace(7), "01")).await;
    let spans = collector.taken.trace(&trace(7), 1).await;
    server.logs("forgot a workspace");
    let [line] = &lines(&server, "forgot a workspace")[..] else { panic!("there is one") };
    assert_eq!((&line["trace_id"], &line["span_id"]), (&trace(7).into(), &hex(&spans[0].span_id).into()));
    server.stop();
    let server = Launch::ephemeral().start();
    forget(&server, &traceparent(TRACE, "01")).await;
    server.logs(&format!("trace_id={TRACE} span_id={PARENT}\n"));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_speaks_tls_is_known_by_its_authority() {
    let dir = tempfile::tempdir().unwrap();
    let (authority, other) = (Authority::new("collectors"), Authority::new("others"));
    let collector = Collector::tls(&authority.server()).await;
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (good, bad) = (file("good.pem", &authority.pem()), file("bad.pem", &other.pem()));
    for (ca, is_known) in [(&bad, false), (&good, true)] {
        let server = exporting(&collector, &["--trace-ca", ca]);
        send(&Client::to(&server).await, 1, &traceparent(&trace(1), "01")).await.unwrap();
        if is_known {
            collector.taken.trace(&trace(1), 6).await;
        } else {
            server.logs("spans do not reach the collector");
            assert!(collector.taken.spans().is_empty());
        }
        server.stop();
    }
    let empty = file("empty.pem", "");
    for (ca, endpoint, complaint) in [
        (
            "nowhere.pem",
            "https://localhost:1",
            "cannot export traces: cannot read nowhere.pem (--trace-ca): No such file",
        ),
        (&empty, "https://localhost:1", "holds no certificate"),
        (&good, "http://localhost:1", "give --trace-endpoint https://"),
    ] {
        let flags = ["--trace-endpoint", endpoint, "--trace-ca", ca];
        let server = Launch::ephemeral().with(flags).spawn();
        let said = if endpoint.starts_with("https:") { server.refuses_to_start() } else { server.refuses_its_flags() };
        assert!(said.contains(complaint), "{said}");
    }
}
