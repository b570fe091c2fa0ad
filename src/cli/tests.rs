//! The client commands against a server in memory that keeps what it is sent and fails as it is told to.

use std::collections::{HashSet, VecDeque};
use std::io::Cursor;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use prost::Message;
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt};
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::args::{ClientCommand, GetArgs, HealthcheckArgs, IngestArgs};
use super::client::Server;
use super::failure::EXIT_REFUSED;
use super::ingest;
use crate::api::codec::Encoded;
use crate::api::proto::v1::ingest_service_server::{IngestService, IngestServiceServer};
use crate::api::proto::v1::statistics_service_server::{StatisticsService, StatisticsServiceServer};
use crate::api::proto::v1::*;
use crate::config::{Command, try_parse};
use crate::simulate::{Centre, Settings, args::SimulateArgs};

type Answer<T> = Result<Response<T>, Status>;
type Messages = Pin<Box<dyn Stream<Item = Result<Encoded, Status>> + Send>>;

#[derive(Clone, Default)]
pub(super) struct Fake(pub(super) Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    events: HashSet<String>,
    requests: Vec<usize>,
    workspaces: Vec<Workspace>,
    /// The next calls fail with these, one after the other.
    pub failures: VecDeque<Status>,
    /// The streams that were asked for, in their order.
    pub watches: Vec<String>,
    asked: Option<GetStatisticsRequest>,
}

impl Fake {
    fn take(&self, request: &Encoded) -> Result<IngestEventsResponse, Status> {
        let mut state = self.0.lock().unwrap();
        if let Some(status) = state.failures.pop_front() {
            return Err(status);
        }
        let request = IngestEventsRequest::decode(request.as_bytes().clone()).unwrap();
        state.requests.push(request.events.len());
        let mut response = IngestEventsResponse { revision: state.requests.len() as i64, ..Default::default() };
        for (index, event) in request.events.iter().enumerate() {
            if event.sid.is_empty() {
                response.rejected.push(RejectedEvent {
                    index: index as i32,
                    reason: RejectionReason::MissingField as i32,
                    field: "sid".to_owned(),
                    message: "is required".to_owned(),
                    ..Default::default()
                });
            } else if state.events.insert(event.sid.clone()) {
                response.accepted += 1;
            } else {
                response.duplicates += 1;
            }
        }
        Ok(response)
    }

    pub(super) async fn serve(&self) -> SocketAddr {
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_serving::<IngestServiceServer<Fake>>().await;
        reporter.set_not_serving::<StatisticsServiceServer<Fake>>().await;
        let router = Routes::new(IngestServiceServer::new(self.clone()))
            .add_service(StatisticsServiceServer::new(self.clone()))
            .add_service(health)
            .prepare()
            .into_axum_router();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(router.clone());
                let connection = async move {
                    Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
                };
                tokio::spawn(connection);
            }
        });
        address
    }
}

#[tonic::async_trait]
impl IngestService for Fake {
    type StreamEventsStream = Pin<Box<dyn Stream<Item = Result<IngestEventsResponse, Status>> + Send>>;

    async fn ingest_events(&self, request: Request<Encoded>) -> Answer<IngestEventsResponse> {
        self.take(request.get_ref()).map(Response::new)
    }

    async fn stream_events(&self, request: Request<Streaming<Encoded>>) -> Answer<Self::StreamEventsStream> {
        let fake = self.clone();
        Ok(Response::new(Box::pin(request.into_inner().map(move |sent| fake.take(&sent?)))))
    }
}

#[tonic::async_trait]
impl StatisticsService for Fake {
    type WatchRealtimeStream = Messages;

    async fn get_statistics(&self, request: Request<GetStatisticsRequest>) -> Answer<WorkspaceStatistics> {
        let request = request.into_inner();
        let sid = request.workspace_sid.clone();
        self.0.lock().unwrap().asked = Some(request);
        let realtime = WorkspaceRealtimeStatistics { workspace_sid: sid.clone(), total_tasks: 4, ..Default::default() };
        Ok(Response::new(WorkspaceStatistics { workspace_sid: sid, realtime: Some(realtime), ..Default::default() }))
    }

    async fn get_realtime(&self, _: Request<GetRealtimeRequest>) -> Answer<Encoded> {
        Err(Status::unimplemented(""))
    }

    async fn get_cumulative(&self, request: Request<GetCumulativeRequest>) -> Answer<Encoded> {
        Err(Status::not_found(request.into_inner().workspace_sid))
    }

    async fn get_cumulative_series(
        &self,
        _: Request<GetCumulativeSeriesRequest>,
    ) -> Answer<GetCumulativeSeriesResponse> {
        Err(Status::unimplemented(""))
    }

    async fn watch_realtime(&self, _: Request<WatchRealtimeRequest>) -> Answer<Self::WatchRealtimeStream> {
        let mut state = self.0.lock().unwrap();
        state.watches.push("realtime".to_owned());
        let realtime = WorkspaceRealtimeStatistics { total_tasks: 4, ..Default::default() };
        state.failures.pop_front().map_or(Ok(()), Err)?;
        Ok(once(&WatchRealtimeResponse { realtime: Some(realtime) }))
    }

    type WatchStatisticsStream = Self::WatchRealtimeStream;

    async fn watch_statistics(&self, request: Request<WatchStatisticsRequest>) -> Answer<Self::WatchStatisticsStream> {
        let minutes = request.into_inner().minutes.unwrap_or_default();
        self.0.lock().unwrap().watches.push(format!("{minutes} minutes"));
        if minutes > 240 {
            return Err(Status::out_of_range("four hours are kept"));
        }
        let cumulative = WorkspaceCumulativeStatistics { tasks_created: minutes.into(), ..Default::default() };
        let statistics = WorkspaceStatistics { cumulative: Some(cumulative), ..Default::default() };
        Ok(once(&WatchStatisticsResponse { statistics: Some(statistics) }))
    }

    async fn list_workspaces(&self, _: Request<ListWorkspacesRequest>) -> Answer<ListWorkspacesResponse> {
        let workspaces = self.0.lock().unwrap().workspaces.clone();
        Ok(Response::new(ListWorkspacesResponse { workspaces, next_page_token: String::new() }))
    }

    async fn list_task_channels(&self, _: Request<ListTaskChannelsRequest>) -> Answer<ListTaskChannelsResponse> {
        Err(Status::unimplemented(""))
    }
}

/// A stream of one message, which does not end.
fn once(message: &impl Message) -> Response<Messages> {
    let first = tokio_stream::once(Ok(Encoded::new(message)));
    Response::new(Box::pin(first.chain(tokio_stream::pending())))
}

pub(super) fn command(line: &str, address: SocketAddr) -> ClientCommand {
    let line = format!("tasktally {line} --address {address}");
    match try_parse(line.split_whitespace().map(Into::into), None).unwrap().command {
        Command::Client(command) => *command,
        _ => panic!("{line} is no client command"),
    }
}

fn ingest_args(line: &str, address: SocketAddr) -> IngestArgs {
    match command(line, address) {
        ClientCommand::Ingest(args) => args,
        other => panic!("{other:?}"),
    }
}

fn simulate_args(line: &str, address: SocketAddr) -> SimulateArgs {
    match command(line, address) {
        ClientCommand::Simulate(args) => args,
        other => panic!("{other:?}"),
    }
}

fn get_args(line: &str, address: SocketAddr) -> GetArgs {
    match command(line, address) {
        ClientCommand::Get(args) | ClientCommand::Cumulative(args) => args,
        other => panic!("{other:?}"),
    }
}

fn busy() -> Status {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1)));
    Status::with_error_details(Code::ResourceExhausted, "busy", details)
}

async fn load(fake: &Fake, flags: &str, input: String) -> (Result<u8, super::Failure>, String) {
    let address = fake.serve().await;
    let args = ingest_args(&format!("ingest - {flags}"), address);
    let server = Server::new(&args.connection).unwrap();
    let mut out = Vec::new();
    let outcome = ingest::load(args, server, Box::new(Cursor::new(input)), None, &mut out).await;
    (outcome, String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn every_refused_line_is_reported_by_its_number() {
    let fake = Fake::default();
    let long = "x".repeat(crate::limits::LINE_BYTES + 1);
    let input = format!(
        "{{\"sid\":\"EV1\"}}\n\nrubbish\n{{\"type\":1}}\n{{\"sid\":\"EV2\",\"x\":1}}\n{long}\n{{\"sid\":\"EV3\"}}"
    );
    let (code, out) = load(&fake, "", input).await;
    assert_eq!(code.unwrap(), EXIT_REFUSED);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 4, "{out}");
    assert!(lines[0].starts_with("line 3: (no sid) NOT_AN_EVENT: "), "{out}");
    assert!(lines[1].starts_with("line 5: EV2 NOT_AN_EVENT: ") && lines[1].contains('x'), "{out}");
    assert!(lines[2].starts_with("line 6: (unread) TOO_LONG"), "{out}");
    assert_eq!(lines[3], "line 4: (no sid) MISSING_FIELD: sid: is required");
    assert_eq!(fake.0.lock().unwrap().events, HashSet::from(["EV1".to_owned(), "EV3".to_owned()]));
}

#[tokio::test]
async fn a_file_is_loaded_in_batches_through_overload_and_from_any_line() {
    let fake = Fake::default();
    fake.0.lock().unwrap().failures.extend([busy(), Status::unavailable("starting"), busy()]);
    let input: String = (1..=1_000).map(|number| format!("{{\"sid\":\"EV{number}\"}}\n")).collect();
    let (code, out) = load(&fake, "--from-line 11 --batch 100", input).await;
    assert_eq!((code.unwrap(), out.as_str()), (0, ""));
    let state = fake.0.lock().unwrap();
    assert_eq!(state.events.len(), 990);
    assert!(!state.events.contains("EV10") && state.events.contains("EV11") && state.events.contains("EV1000"));
    assert_eq!(state.requests.len(), 10, "{:?}", state.requests);
}

#[tokio::test]
async fn what_repeating_cannot_change_ends_the_load() {
    let fake = Fake::default();
    fake.0.lock().unwrap().failures.push_back(Status::invalid_argument("at most 10 events"));
    let (outcome, _) = load(&fake, "", "{\"sid\":\"EV1\"}\n".to_owned()).await;
    assert_eq!(outcome.unwrap_err().exit_code(), super::failure::EXIT_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulation_arrives_whole_by_calls_and_by_streams() {
    for way in ["", "--stream --connections 2"] {
        let fake = Fake::default();
        // Streams break in the middle, calls are refused for a moment: nothing may be lost.
        fake.0.lock().unwrap().failures.extend([busy(), Status::unavailable("restarting"), busy()]);
        let address = fake.serve().await;
        let flags = "--seed 9 --start 20m --duplicates 0.1 --late 0.1 --batch 100 --in-flight 3";
        let args = simulate_args(&format!("simulate {flags} {way}"), address);
        // Fixed here rather than at the run, to know what must arrive.
        let start_ms = args.start.unwrap().as_millis(super::client::now_ms());
        let at = humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + Duration::from_millis(start_ms as u64));
        let mut args = args;
        args.start = Some(super::args::moment(&at.to_string()).unwrap());
        let settings = Settings { start_ms, workspaces: 1, workers: 60, tasks_per_second: 1.0 };
        let certain_end_ms = super::client::now_ms();
        assert_eq!(crate::simulate::run(args).await.unwrap(), 0);
        let state = fake.0.lock().unwrap();
        let must: Vec<String> = Centre::new(9, settings)
            .take_while(|event| crate::simulate::timestamp_ms(event) < certain_end_ms)
            .map(|event| event.sid)
            .collect();
        assert!(must.len() > 5_000, "{}", must.len());
        assert!(must.iter().all(|sid| state.events.contains(sid)), "way {way:?}: something was lost");
        assert!(state.requests.iter().sum::<usize>() > must.len() * 105 / 100, "a tenth was sent twice");
    }
}

#[tokio::test]
async fn get_takes_the_only_workspace_and_else_lists_them() {
    let fake = Fake::default();
    let address = fake.serve().await;
    let add = |sid: &str| {
        let workspace = Workspace { workspace_sid: sid.to_owned(), account_sid: "AC1".to_owned() };
        fake.0.lock().unwrap().workspaces.push(workspace);
    };
    let text = super::get::statistics(get_args("get", address)).await.unwrap();
    assert!(text.contains("no workspace yet"), "{text}");
    add("WS1");
    let text = super::get::statistics(get_args("get --split 5,30 --start 2h --channel voice", address)).await.unwrap();
    assert!(text.starts_with("Workspace WS1") && text.contains("active"), "{text}");
    let asked = fake.0.lock().unwrap().asked.take().unwrap();
    assert_eq!((asked.split_by_wait_time, asked.task_channel.as_str()), (vec![5, 30], "voice"));
    assert!(asked.start_time.is_some() && asked.end_time.is_none() && asked.minutes.is_none());

    add("WS2");
    let text = super::get::statistics(get_args("get", address)).await.unwrap();
    assert!(text.contains("WS2") && text.contains(&format!("tasktally get --address {address} WS1")), "{text}");
    let json = super::get::statistics(get_args("get WS2 --output json", address)).await.unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["realtime"]["totalTasks"], &json["workspaceSid"]), (&"4".into(), &"WS2".into()));
}

#[tokio::test]
async fn failures_have_exit_codes_of_their_own() {
    let fake = Fake::default();
    let address = fake.serve().await;
    let refused = super::get::cumulative(get_args("cumulative WS1", address)).await.unwrap_err();
    assert_eq!((refused.exit_code(), refused.to_string().as_str()), (3, "NOT_FOUND: WS1"));
    let unsaid = super::get::cumulative(get_args("cumulative", address)).await.unwrap_err();
    assert_eq!(unsaid.exit_code(), 2);
    let unreachable = super::get::statistics(get_args("get WS1 --timeout 1s", nobody().await)).await.unwrap_err();
    assert_eq!(unreachable.exit_code(), 4, "{unreachable}");
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_health_check_tells_serving_from_not_serving_from_unreachable() {
    let fake = Fake::default();
    let address = fake.serve().await;
    let check = |line: &str, address| match command(line, address) {
        ClientCommand::Healthcheck(args) => super::healthcheck::run(HealthcheckArgs { ..args }),
        other => panic!("{other:?}"),
    };
    let service = |name: &str| format!("healthcheck --service tasktally.v1.{name}");
    assert_eq!(check(&service("IngestService"), address).await.unwrap(), ("SERVING\n".to_owned(), 0));
    assert_eq!(check(&service("StatisticsService"), address).await.unwrap(), ("NOT_SERVING\n".to_owned(), 1));
    assert_eq!(check(&service("None"), address).await.unwrap(), ("SERVICE_UNKNOWN\n".to_owned(), 1));
    let (line, code) = check("healthcheck --timeout 1s", nobody().await).await.unwrap();
    assert!(code == 2 && line.starts_with("UNREACHABLE: UNAVAILABLE"), "{line}");
}

/// Lines that are broken by hand are broken again where the terminal is narrower, and words stand alone.
#[test]
fn the_paragraphs_of_each_help_are_wrapped_by_the_terminal_alone() {
    for name in [
        "simulate",
        "bench",
        "ingest",
        "healthcheck",
        "get",
        "cumulative",
        "watch",
        "backup",
        "forget",
        "verify",
        "export",
        "rebuild",
        "credentials new",
        "credentials check",
    ] {
        let line = format!("tasktally {name} --help");
        let help = try_parse(line.split(' ').map(Into::into), None).unwrap_err().to_string();
        let lines: Vec<&str> = help.lines().collect();
        for window in lines.windows(3) {
            let [before, line, after] = window else { continue };
            let is_text = |line: &str| !line.is_empty() && !line.starts_with("  ") && !line.ends_with(':');
            let alone = before.len() > 60 && line.len() < 50 && !line.ends_with(['.', ';']);
            assert!(!(alone && [before, line, after].into_iter().all(|line| is_text(line))), "{name}: {window:#?}");
        }
    }
}
