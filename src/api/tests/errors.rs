use proptest::prelude::*;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::*;
use crate::api::codec::Encoded;

const INGEST: &str = "/tasktally.v1.IngestService/IngestEvents";
const REALTIME: &str = "/tasktally.v1.StatisticsService/GetRealtime";

fn reason(status: &Status) -> (Code, String) {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "tasktally");
    (status.code(), info.reason)
}

fn failure(answer: http::Response<Body>) -> (Code, String) {
    reason(&Status::from_header_map(answer.headers()).expect("the call failed before any body"))
}

fn is_a(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

#[tokio::test]
async fn a_bad_request_names_every_bad_field() {
    let mut scene = Scene::new();
    let request = v1::GetCumulativeRequest {
        workspace_sid: "WS".into(),
        minutes: Some(0),
        split_by_wait_time: vec![0],
        ..v1::GetCumulativeRequest::default()
    };
    let status = scene.statistics.get_cumulative(request).await.unwrap_err();
    assert_eq!(reason(&status), is_a(Code::InvalidArgument, "BAD_FIELDS"));
    let bad = status.get_details_bad_request().unwrap();
    let fields: Vec<_> = bad.field_violations.into_iter().map(|violation| violation.field).collect();
    assert_eq!(fields, ["workspace_sid", "minutes", "split_by_wait_time"]);
    assert!(status.get_details_retry_info().is_none());
}

#[tokio::test]
async fn an_unknown_workspace_is_not_found_by_every_question() {
    let mut scene = Scene::new();
    let expected = is_a(Code::NotFound, "WORKSPACE_NOT_FOUND");
    let workspace_sid = workspace(9);
    let request = v1::GetRealtimeRequest { workspace_sid: workspace_sid.clone(), ..Default::default() };
    assert_eq!(reason(&scene.statistics.get_realtime(request).await.unwrap_err()), expected);
    let request = v1::GetCumulativeRequest { workspace_sid: workspace_sid.clone(), ..Default::default() };
    assert_eq!(reason(&scene.statistics.get_cumulative(request).await.unwrap_err()), expected);
    let request = v1::GetStatisticsRequest { workspace_sid: workspace_sid.clone(), ..Default::default() };
    assert_eq!(reason(&scene.statistics.get_statistics(request).await.unwrap_err()), expected);
    let request = v1::WatchRealtimeRequest { workspace_sid: workspace_sid.clone(), ..Default::default() };
    assert_eq!(reason(&scene.statistics.watch_realtime(request).await.unwrap_err()), expected);
    let request = v1::ListTaskChannelsRequest { workspace_sid, ..Default::default() };
    assert_eq!(reason(&scene.statistics.list_task_channels(request).await.unwrap_err()), expected);
}

#[tokio::test]
async fn while_the_server_starts_every_call_is_unavailable_and_a_retry_is_offered() {
    let pipeline = Pipeline::default();
    let api = Api { pipeline, ..Scene::new().api };
    let mut ingest = IngestServiceClient::with_interceptor(api.ingest_service(), let_in);
    let mut statistics = StatisticsServiceClient::with_interceptor(api.statistics_service(), let_in);
    let workspace_sid = workspace(1);
    let watch = v1::WatchRealtimeRequest { workspace_sid: workspace_sid.clone(), ..Default::default() };
    let question = v1::GetRealtimeRequest { workspace_sid, ..Default::default() };
    for status in [
        ingest.ingest_events(v1::IngestEventsRequest { events: vec![created(1)] }).await.unwrap_err(),
        statistics.get_realtime(question).await.unwrap_err(),
        statistics.watch_realtime(watch).await.unwrap_err(),
        statistics.list_workspaces(v1::ListWorkspacesRequest::default()).await.unwrap_err(),
    ] {
        assert_eq!(reason(&status), is_a(Code::Unavailable, "STARTING"));
        assert!(status.get_details_retry_info().is_some());
    }
}

#[tokio::test]
async fn a_start_before_the_retention_stays_out_of_range() {
    let mut scene = Scene::new();
    scene.send(vec![created(1)]).await;
    let request = v1::GetCumulativeRequest {
        workspace_sid: workspace(1),
        start_time: time(NOW - 30 * DAY_MS - 1),
        ..v1::GetCumulativeRequest::default()
    };
    let status = scene.statistics.get_cumulative(request).await.unwrap_err();
    assert_eq!(reason(&status), is_a(Code::OutOfRange, "START_TOO_OLD"));
    let values = status.get_details_error_info().unwrap().metadata;
    assert_eq!(values["oldest_start_time"], "2026-12-16T08:00:00Z");
}

#[tokio::test]
async fn a_start_after_now_is_refused_before_the_workspace_is_looked_for() {
    let mut scene = Scene::new();
    for workspace_sid in [workspace(1), workspace(9)] {
        scene.send(vec![created(1)]).await;
        let start_time = time(NOW + 1000);
        let request = v1::GetCumulativeRequest { workspace_sid, start_time, ..Default::default() };
        let status = scene.statistics.get_cumulative(request).await.unwrap_err();
        assert_eq!(reason(&status), is_a(Code::InvalidArgument, "BAD_FIELDS"));
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "start_time");
    }
}

#[tokio::test]
async fn a_batch_of_too_many_events_is_refused_whole() {
    let mut scene = Scene::with(ApiLimits { max_events: 3, ..ApiLimits::default() });
    let events = (0..4).map(created).collect();
    let status = scene.ingest.ingest_events(v1::IngestEventsRequest { events }).await.unwrap_err();
    assert_eq!(reason(&status), is_a(Code::InvalidArgument, "TOO_MANY_EVENTS"));
    assert_eq!(status.get_details_error_info().unwrap().metadata["limit_value"], "3");
    // Far more than anybody would decode.
    let answer = scene.raw(INGEST, &[], framed(false, &[0x0a, 0].repeat(1 << 20))).await;
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(reason(&status), is_a(Code::InvalidArgument, "TOO_MANY_EVENTS"));
    let values = status.get_details_error_info().unwrap().metadata;
    assert_eq!((values["limit_value"].as_str(), values["sent"].as_str()), ("3", "1048576"));
    let taken = scene.send((0..3).map(created).collect()).await;
    assert_eq!((taken.accepted, taken.duplicates), (3, 0), "nothing of the larger batch was taken");
}

#[tokio::test]
async fn a_message_over_the_limit_is_resource_exhausted_and_no_retry_is_offered() {
    let scene = Scene::with(ApiLimits { max_message_bytes: 1000, ..ApiLimits::default() });
    let answer = scene.raw(INGEST, &[], framed(false, &[0; 1001])).await;
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(reason(&status), is_a(Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    assert!(status.get_details_retry_info().is_none());
    assert_eq!(failure(scene.raw(REALTIME, &[], framed(false, &[0; 1001])).await), reason(&status));
    // Only its header is there: it is refused before its body is waited for.
    assert_eq!(failure(scene.raw(INGEST, &[], vec![0, 0xff, 0xff, 0xff, 0xff]).await), reason(&status));
}

#[tokio::test]
async fn gzip_is_accepted_and_the_limit_holds_after_it() {
    let mut scene = Scene::with(ApiLimits { max_message_bytes: 100_000, ..ApiLimits::default() });
    scene.ingest = scene.ingest.clone().send_compressed(tonic::codec::CompressionEncoding::Gzip);
    assert_eq!(scene.send((0..100).map(created).collect()).await.accepted, 100);
    // Over 100 KB, but far less in gzip.
    let events = vec![created(1); 600];
    let status = scene.ingest.ingest_events(v1::IngestEventsRequest { events }).await.unwrap_err();
    assert_eq!(reason(&status), is_a(Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
}

#[tokio::test]
async fn a_body_that_is_not_the_message_is_an_invalid_argument() {
    let scene = Scene::new();
    let expected = is_a(Code::InvalidArgument, "MALFORMED_MESSAGE");
    let whole = framed_message(&v1::IngestEventsRequest { events: vec![created(1)] });
    let gzip = [("grpc-encoding", "gzip")];
    for (headers, body) in [
        (&[][..], framed(false, &[0xff; 10])),
        (&[], whole[..whole.len() - 1].to_vec()),
        (&[], vec![]),
        (&[], vec![0, 0]),
        (&[], framed(true, b"no gzip")),
        (&gzip, framed(true, b"no gzip")),
        (&[], [&[7], &whole[1..]].concat()),
    ] {
        assert_eq!(failure(scene.raw(INGEST, headers, body.clone()).await), expected, "{body:?}");
    }
    assert_eq!(failure(scene.raw(REALTIME, &[], framed(false, &[0xff; 10])).await), expected);
}

#[tokio::test]
async fn an_encoding_or_a_method_that_is_not_there_is_left_to_the_library() {
    let scene = Scene::new();
    for (path, headers) in [(INGEST, &[("grpc-encoding", "zstd")][..]), ("/tasktally.v1.IngestService/Nothing", &[])] {
        let answer = scene.raw(path, headers, framed(false, &[])).await;
        assert_eq!(Status::from_header_map(answer.headers()).unwrap().code(), Code::Unimplemented);
    }
}

#[tokio::test]
async fn each_refused_event_is_told_and_the_others_go_ahead() {
    let mut scene = Scene::new();
    scene.send(vec![created(1)]).await;
    let bad = |change: fn(&mut v1::Event)| {
        let mut event = created(7);
        change(&mut event);
        event
    };
    let events = vec![
        bad(|event| event.task = None),
        bad(|event| event.workspace_sid = "WSx".into()),
        bad(|event| event.r#type = 99),
        bad(|event| event.timestamp = time(NOW - 30 * DAY_MS - 1)),
        bad(|event| event.timestamp = time(NOW + 300_001)),
        bad(|event| event.account_sid = sid("AC", 2)),
        bad(|event| event.task.as_mut().unwrap().task_channel_unique_name = "x".repeat(300)),
        created(2),
        created(1),
    ];
    let sent = scene.send(events).await;
    assert_eq!((sent.accepted, sent.duplicates), (1, 1));
    let rows: Vec<_> = sent.rejected.iter().map(|row| (row.index, row.reason(), row.field.as_str())).collect();
    use v1::RejectionReason::*;
    assert_eq!(
        rows,
        [
            (0, MissingField, "task.sid"),
            (1, MalformedField, "workspace_sid"),
            (2, UnknownType, "type"),
            (3, TooOld, "timestamp"),
            (4, TooNew, "timestamp"),
            (5, AccountMismatch, "account_sid"),
            (6, LimitExceeded, "task.task_channel_unique_name"),
        ]
    );
    assert!(sent.rejected.iter().all(|row| row.event_sid == sid("EV", 7) && !row.message.is_empty()));
    assert_eq!(scene.send(vec![created(7)]).await.accepted, 1, "a refused event leaves no trace");
}

/// Whatever the body is, the answer is one of those that the contract knows, and the server goes on.
#[test]
fn random_bodies_are_answered_by_the_contract() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let scene = Scene::with(ApiLimits { max_message_bytes: 4096, ..ApiLimits::default() });
    let valid = Encoded::new(&v1::IngestEventsRequest { events: vec![created(1), created(2)] });
    let methods = ["IngestService/IngestEvents", "StatisticsService/GetStatistics", "StatisticsService/WatchRealtime"];
    let mutation = (any::<prop::sample::Index>(), any::<u8>());
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        proptest::collection::vec(any::<u8>(), 0..60).prop_map(|bytes| framed(false, &bytes)),
        proptest::collection::vec(mutation, 1..4).prop_map(move |mutations| {
            let mut bytes = framed(false, valid.as_bytes());
            for (at, byte) in mutations {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        }),
    ];
    proptest!(|(body in body, method in prop::sample::select(methods.to_vec()))| {
        let answer = runtime.block_on(scene.raw(&format!("/tasktally.v1.{method}"), &[], body));
        if let Some(status) = Status::from_header_map(answer.headers()) {
            let known = [Code::InvalidArgument, Code::ResourceExhausted, Code::NotFound];
            prop_assert!(known.contains(&status.code()), "{:?}", status);
            prop_assert!(status.get_details_error_info().is_some());
        }
    });
    let mut scene = scene;
    let taken = runtime.block_on(scene.send(vec![v1::Event { workspace_sid: workspace(4), ..created(999) }]));
    assert_eq!(taken.accepted, 1);
}
