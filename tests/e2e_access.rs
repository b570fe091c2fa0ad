//! Who may do what, over the wire: every method, and each kind of credential.

mod common;
#[path = "../src/access/tests/mint.rs"]
mod mint;

use std::fs;

use common::calls::Client;
use common::details::assert_told;
use common::events::{ACCOUNT, bare, created, now_ms, sid};
use common::people::{OTHER_ACCOUNT, People, basic, call, send, shown};
use common::process::{Launch, Server};
use common::{eventually, in_time, raw};
use prost::Message;
use prost_types::FileDescriptorSet;
use tasktally::access::issue::new_token;
use tasktally::api::proto::DESCRIPTORS;
use tasktally::api::proto::v1::{self, EventType};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

/// Every method of the contract, by path.
fn methods() -> Vec<String> {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let ours = set.file.iter().filter(|file| file.package() == "tasktally.v1");
    let services = ours.flat_map(|file| &file.service);
    let of = |service: &prost_types::ServiceDescriptorProto| {
        let path =
            |method: &prost_types::MethodDescriptorProto| format!("/tasktally.v1.{}/{}", service.name(), method.name());
        service.method.iter().map(path).collect::<Vec<_>>()
    };
    services.flat_map(of).collect()
}

/// The role that each method needs, and a request that is good.
fn good_request(path: &str) -> (&'static str, Vec<u8>) {
    let workspace_sid = sid("WS", 1);
    match path.rsplit('/').next().unwrap() {
        "GetRealtime" | "GetCumulative" | "GetStatistics" | "WatchRealtime" | "WatchStatistics"
        | "ListTaskChannels" => {
            // The workspace is the first field of each.
            ("read", v1::GetRealtimeRequest { workspace_sid, task_channel: String::new() }.encode_to_vec())
        }
        "GetCumulativeSeries" => {
            let bucket = Some(prost_types::Duration { seconds: 60, nanos: 0 });
            let request = v1::GetCumulativeSeriesRequest { workspace_sid, bucket, ..Default::default() };
            ("read", request.encode_to_vec())
        }
        "ListWorkspaces" => ("read", Vec::new()),
        "IngestEvents" | "StreamEvents" => {
            let events = vec![bare(900, EventType::WorkspaceUpdated, &workspace_sid, now_ms())];
            ("ingest", v1::IngestEventsRequest { events }.encode_to_vec())
        }
        "ForgetWorkspace" => ("admin", v1::ForgetWorkspaceRequest { workspace_sid }.encode_to_vec()),
        "Backup" | "GetStatus" | "ListDeadLetters" => ("admin", Vec::new()),
        "ResendDeadLetters" | "DropDeadLetters" => {
            // The selection is the first field of both.
            let selection = Some(v1::DeadLetterSelection { all: true, ..v1::DeadLetterSelection::default() });
            ("admin", v1::DropDeadLettersRequest { selection }.encode_to_vec())
        }
        _ => panic!("say which role {path} needs"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_asks_who_calls_before_it_reads_and_what_they_may_after() {
    let people = People::of(&[
        ("reader", "all", r#"["read"]"#),
        ("feeder", "all", r#"["ingest"]"#),
        ("keeper", "all", r#"["admin"]"#),
        ("tenant", ACCOUNT, r#"["admin"]"#),
    ]);
    let mut server = people.launch().start();
    let client = Client::to(&server).await;
    send(&client, &people.bearer("feeder"), vec![created(1, &sid("WS", 1), now_ms(), "voice")]).await;
    let who = [("read", "reader"), ("ingest", "feeder"), ("admin", "keeper")];
    let methods = methods();
    assert!(methods.len() >= 8, "{methods:?}");
    for path in &methods {
        let (needed, good) = good_request(path);
        let junk = [0xff; 16];
        for (shown, reason) in [
            (None, "CREDENTIALS_MISSING"),
            (Some("Bearer tt_wrong"), "CREDENTIALS_WRONG"),
            (Some("Basic dXNlcjp0b2tlbg=="), "CREDENTIALS_WRONG"),
            (Some("Digest x"), "CREDENTIALS_WRONG"),
        ] {
            for message in [&good[..], &junk] {
                let status = call(&client, path, shown, message).await.unwrap_err();
                assert_told(&status, Code::Unauthenticated, reason, false, &[]);
            }
        }
        for (role, name) in who.into_iter().filter(|(role, _)| *role != needed) {
            let status = call(&client, path, Some(&people.bearer(name)), &good).await.unwrap_err();
            let told = assert_told(&status, Code::PermissionDenied, "ROLE_MISSING", false, &[]);
            assert_eq!(told.metadata("role"), needed, "{path} as {role}");
            if !path.ends_with("StreamEvents") {
                let status = call(&client, path, Some(&people.bearer(name)), &junk).await.unwrap_err();
                assert_eq!(status.code(), Code::InvalidArgument, "what is no request is told so first: {path}");
            }
        }
        if !path.contains("/Watch") && needed != "admin" {
            let name = who.iter().find(|(role, _)| *role == needed).unwrap().1;
            call(&client, path, Some(&people.bearer(name)), &good).await.unwrap();
        }
    }
    // A stream whose caller may send nothing is told so at once, and not with its first request.
    let (_silent, there) = mpsc::channel::<v1::IngestEventsRequest>(1);
    let stream = shown(&people.bearer("reader"), ReceiverStream::new(there));
    let status = in_time("an answer", client.ingest().stream_events(stream)).await.unwrap_err();
    assert_told(&status, Code::PermissionDenied, "ROLE_MISSING", false, &[]);
    // A backup holds the events of every account.
    let status = call(&client, "/tasktally.v1.AdminService/Backup", Some(&people.bearer("tenant")), &[]).await;
    assert_told(&status.unwrap_err(), Code::PermissionDenied, "ACCOUNT_NOT_ALL", false, &[]);
    // Whoever guesses shows in the log, and so does who had a workspace forgotten; what was shown does not.
    server.logs("no credentials were shown");
    server.logs("the credentials are unknown");
    let (_, forget) = good_request("/tasktally.v1.AdminService/ForgetWorkspace");
    let keeper = people.bearer("keeper");
    call(&client, "/tasktally.v1.AdminService/ForgetWorkspace", Some(&keeper), &forget).await.unwrap();
    server.logs("by=\"keeper\"");
    assert!(!server.log.contains("tt_wrong") && !server.log.contains(people.token("keeper")));
    server.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_open_and_reflection_is_as_it_was_set() {
    let people = People::of(&[("reader", "all", r#"["read"]"#)]);
    let reflect = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for (setting, stranger, known) in [
        ("known", Code::Unauthenticated, Code::Ok),
        ("open", Code::Ok, Code::Ok),
        ("off", Code::Unauthenticated, Code::Unimplemented),
    ] {
        let server = people.launch().with(["--reflection", setting]).start();
        let client = Client::to(&server).await;
        assert_eq!(client.health_of("").await.unwrap(), ServingStatus::Serving);
        // list_services: ""
        let code = async |shown: Option<&str>| match call(&client, reflect, shown, &[0x3a, 0]).await {
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        };
        assert_eq!(code(None).await, stranger, "{setting}");
        assert_eq!(code(Some(&people.bearer("reader"))).await, known, "{setting}");
        let http = tokio::task::spawn_blocking(move || http1(&server.address, "GET /v1/Workspaces HTTP/1.1"));
        let answer = in_time("an answer over HTTP/1", http).await.unwrap().to_lowercase();
        assert!(answer.starts_with("http/1.1 401"), "{answer}");
        assert!(answer.contains("www-authenticate: bearer") && answer.contains("www-authenticate: basic"), "{answer}");
    }
    // Where nobody is asked, everybody may ask what there is.
    let server = Launch::ephemeral().start();
    assert!(call(&Client::to(&server).await, reflect, None, &[0x3a, 0]).await.is_ok());
}

fn http1(address: &str, line: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "{line}\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_end_when_their_credential_is_taken_away_and_others_go_on() {
    let mut people = People::of(&[("goes", "all", r#"["read", "ingest"]"#), ("stays", "all", r#"["read", "ingest"]"#)]);
    let server = people.launch().start();
    let client = Client::to(&server).await;
    let workspace = sid("WS", 1);
    send(&client, &people.bearer("stays"), vec![created(1, &workspace, now_ms(), "voice")]).await;
    let mut watches = Vec::new();
    for name in ["goes", "stays"] {
        let request = shown(&people.bearer(name), common::calls::quiet_watch(&workspace));
        let mut watch = client.statistics().watch_realtime(request).await.unwrap().into_inner();
        common::calls::next(&mut watch).await;
        watches.push(watch);
    }
    let (requests, there) = mpsc::channel(4);
    let stream = shown(&people.bearer("goes"), ReceiverStream::new(there));
    let mut answers = client.ingest().stream_events(stream).await.unwrap().into_inner();
    requests.send(v1::IngestEventsRequest::default()).await.unwrap();
    in_time("an answer", answers.message()).await.unwrap().unwrap();

    people.without("goes");
    for status in [common::calls::end_of(&mut watches[0]).await, common::calls::end_of(&mut answers).await] {
        assert_told(&status, Code::Unauthenticated, "CREDENTIALS_ENDED", false, &[]);
    }
    send(&client, &people.bearer("stays"), vec![created(2, &workspace, now_ms(), "voice")]).await;
    assert_eq!(common::calls::next(&mut watches[1]).await.total_tasks, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_is_logged_even_at_the_finest_level() {
    let mut people = People::of(&[("reader", "all", r#"["read"]"#), ("goes", "all", r#"["read"]"#)]);
    let levels = "trace,tasktally=trace,h2=trace,hyper=trace,tower=trace,tonic=trace,axum=trace";
    let server = people.launch().with(["--log-level", levels]).start();
    let client = Client::to(&server).await;
    let tokens: Vec<String> = ["reader", "goes"].map(|name| people.token(name).to_owned()).into();
    let sums: Vec<String> = people.entries.iter().map(|entry| entry.3.sha256.clone()).collect();
    let wrong = new_token().unwrap().token;
    let mut shown_values = vec![format!("Bearer {wrong}"), basic("user", &wrong)];
    for token in &tokens {
        shown_values.extend([format!("Bearer {token}"), basic(OTHER_ACCOUNT, token)]);
    }
    for value in &shown_values {
        let _ = call(&client, raw::WORKSPACES, Some(value), &[]).await;
        let address = server.address.clone();
        let line = format!("GET /v1 HTTP/1.1\r\nauthorization: {value}");
        in_time("HTTP/1", tokio::task::spawn_blocking(move || http1(&address, &line))).await.unwrap();
    }
    people.without("goes");
    server.logs("took over a changed file");
    fs::write(people.file(), format!("[[credential]]\nsecret = \"{wrong}\"\n")).unwrap();
    server.logs("cannot be used");
    let log = server.log.text();
    assert!(log.contains("TRACE"), "the finest level is on");
    let secrets = tokens.iter().chain([&wrong]).chain(&sums).cloned();
    let in_base64 = shown_values.iter().filter_map(|value| value.strip_prefix("Basic ").map(str::to_owned));
    for secret in secrets.chain(in_base64) {
        assert!(!log.contains(&secret), "the log holds {secret}");
        assert!(!server.out.contains(&secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_that_is_bad_changes_nothing_and_a_bad_one_at_the_start_refuses_it() {
    let people = People::of(&[("reader", "all", r#"["read"]"#)]);
    let server = people.launch().start();
    let client = Client::to(&server).await;
    fs::write(people.file(), people.text() + "\nroles = 7\n").unwrap();
    server.logs("credentials.toml:8: ");
    assert!(call(&client, raw::WORKSPACES, Some(&people.bearer("reader")), &[]).await.is_ok());
    let why = people.launch().spawn().refuses_to_start();
    assert!(why.contains("credentials.toml:8: "), "{why}");
    fs::remove_file(people.file()).unwrap();
    server.logs("cannot read");
    assert!(call(&client, raw::WORKSPACES, Some(&people.bearer("reader")), &[]).await.is_ok());
    people.write();
    let why = Launch::ephemeral().with(["--credentials", "/nowhere/credentials.toml"]).spawn().refuses_to_start();
    assert!(why.contains("cannot read /nowhere/credentials.toml"), "{why}");
}

#[test]
fn an_address_that_others_can_reach_needs_credentials_or_a_word() {
    let open = Launch::listening_on("0.0.0.0:0");
    let why = open.spawn().refuses_its_flags();
    for way in ["--credentials", "--allow-unauthenticated", "127.0.0.1", "credentials new"] {
        assert!(why.contains(way), "{why}");
    }
    let server = Launch::listening_on("0.0.0.0:0").with(["--allow-unauthenticated"]).start();
    server.logs("UNAUTHENTICATED");
    let people = People::of(&[("reader", "all", r#"["read"]"#)]);
    let server = Launch::listening_on("0.0.0.0:0").with(["--credentials"]).with([people.file()]).start();
    server.logs("in plaintext");
    let greeting = server.out.text();
    assert!(greeting.contains("--address localhost:") && !greeting.contains("--address 0.0.0.0"), "{greeting}");
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_tokens_let_in_by_their_claims_and_end_in_time() {
    use serde_json::json;
    let (dir, signer) = (tempfile::tempdir().unwrap(), mint::Signer::rsa());
    let jwks = dir.path().join("jwks.json");
    fs::write(&jwks, mint::set(&[signer.jwk("k1")])).unwrap();
    let launch = Launch::ephemeral().with(["--jwt-issuer", "https://issuer.example", "--jwt-audience", "tasktally"]);
    let server: Server = launch.with(["--jwt-roles-claim", "/access/roles", "--jwt-jwks"]).with([&jwks]).start();
    let client = Client::to(&server).await;
    let now_s = now_ms() / 1000;
    let claims = |account: &str, roles: &str, exp: i64| json!({"iss": "https://issuer.example", "aud": "tasktally", "exp": exp, "account": account, "access": {"roles": roles}});
    let bearer = |claims| format!("Bearer {}", signer.token("k1", &claims));
    let feeder = bearer(claims(ACCOUNT, "ingest", now_s + 3600));
    assert_eq!(send(&client, &feeder, vec![created(1, &sid("WS", 1), now_ms(), "voice")]).await.accepted, 1);
    let status = call(&client, raw::WORKSPACES, Some(&feeder), &[]).await.unwrap_err();
    assert_told(&status, Code::PermissionDenied, "ROLE_MISSING", false, &[]);
    let expired = bearer(claims("all", "read", now_s - 60));
    let status = call(&client, raw::WORKSPACES, Some(&expired), &[]).await.unwrap_err();
    assert_told(&status, Code::Unauthenticated, "CREDENTIALS_EXPIRED", false, &[]);
    let unsigned = format!(
        "Bearer {}.{}.",
        mint::text(br#"{"alg":"none"}"#),
        mint::text(claims("all", "read", now_s + 60).to_string().as_bytes())
    );
    let status = call(&client, raw::WORKSPACES, Some(&unsigned), &[]).await.unwrap_err();
    assert_told(&status, Code::Unauthenticated, "CREDENTIALS_WRONG", false, &[]);
    // In the last seconds of its leeway: the stream outlives its token by nothing more.
    let ending = bearer(claims("all", "read", now_s - 24));
    let request = shown(&ending, common::calls::quiet_watch(&sid("WS", 1)));
    let mut watch = client.statistics().watch_realtime(request).await.unwrap().into_inner();
    let status = common::calls::end_of(&mut watch).await;
    assert_told(&status, Code::Unauthenticated, "CREDENTIALS_ENDED", false, &[]);
    // Another key takes over without a restart.
    let next = mint::Signer::ed25519();
    fs::write(&jwks, mint::set(&[next.jwk("k2")])).unwrap();
    let token = format!("Bearer {}", next.token("k2", &claims("all", "read", now_s + 3600)));
    eventually("the new key is known", async || call(&client, raw::WORKSPACES, Some(&token), &[]).await.ok()).await;
    let status =
        call(&client, raw::WORKSPACES, Some(&bearer(claims("all", "read", now_s + 3600))), &[]).await.unwrap_err();
    assert_told(&status, Code::Unauthenticated, "CREDENTIALS_WRONG", false, &[]);
}

/// The client command with this environment: its exit code, and what it printed on both.
fn command(arguments: &[&str], token: Option<&str>) -> (Option<i32>, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tasktally"));
    command.args(arguments).env_remove("TASKTALLY_TOKEN").env_remove("TASKTALLY_ADDRESS");
    if let Some(token) = token {
        command.env("TASKTALLY_TOKEN", token);
    }
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn people_make_a_token_and_the_client_commands_use_it() {
    let dir = tempfile::tempdir().unwrap();
    let (file, token_file) = (dir.path().join("credentials.toml"), dir.path().join("token"));
    let mut tokens = Vec::new();
    let mut text = String::new();
    for (name, roles) in [("feeder", "ingest,read"), ("keeper", "admin")] {
        let (code, entry, said) = command(&["credentials", "new", "--name", name, "--roles", roles], None);
        assert_eq!(code, Some(0), "{said}");
        tokens.push(said.trim().rsplit(' ').next().unwrap().to_owned());
        assert!(tokens.last().unwrap().starts_with("tt_") && !entry.contains("tt_"), "{said}{entry}");
        text += &entry;
    }
    fs::write(&file, text).unwrap();
    fs::write(&token_file, format!("{}\n", tokens[0])).unwrap();
    let (code, listed, said) = command(&["credentials", "check", file.to_str().unwrap()], None);
    assert!(code == Some(0) && listed.contains("feeder") && listed.contains("keeper"), "{listed}{said}");
    let server = Launch::ephemeral().with(["--credentials"]).with([&file]).start();
    let (url, token_path) = (server.url(), token_file.to_str().unwrap());

    let simulate = ["simulate", "--backfill", "5m", "--address", &url, "--token-file", token_path];
    let (code, _, said) = command(&simulate, None);
    assert_eq!(code, Some(0), "{said}");
    let (code, shown, said) = command(&["get", "--address", &url], Some(&tokens[0]));
    assert!(code == Some(0) && shown.contains("WS"), "{shown}{said}");
    for (token, words) in [
        (None, ["CREDENTIALS_MISSING", "--token-file"]),
        (Some("tt_wrong"), ["CREDENTIALS_WRONG", "check the token"]),
        (Some(&*tokens[1]), ["ROLE_MISSING", "read"]),
    ] {
        let (code, _, said) = command(&["get", "--address", &url], token);
        assert_eq!(code, Some(6), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        assert!(token.is_none_or(|token| !said.contains(token)), "{said}");
    }
    // Probes need no token.
    assert_eq!(command(&["healthcheck", "--address", &url], None).0, Some(0));
    server.stop();
}

#[test]
fn a_simulation_for_a_token_of_one_account_is_of_that_account() {
    let people = People::of(&[("tenant", ACCOUNT, r#"["read", "ingest"]"#)]);
    let server = people.launch().start();
    let url = server.url();
    let simulate = |more: &[&str]| {
        let base = ["simulate", "--backfill", "1m", "--address", &url];
        command(&[&base[..], more].concat(), Some(people.token("tenant")))
    };
    let (code, out, said) = simulate(&[]);
    assert!(code == Some(1) && !out.contains("Try"), "none of its events is taken: {out}{said}");
    let (code, out, said) = simulate(&["--account", ACCOUNT]);
    assert!(code == Some(0) && out.contains("Try, with the token in TASKTALLY_TOKEN:"), "{out}{said}");
    assert!(!out.contains(people.token("tenant")) && !said.contains(people.token("tenant")), "{out}{said}");
    let (code, _, said) = simulate(&["--account", "AC1"]);
    assert!(code == Some(2) && said.contains("--account"), "{said}");
    server.stop();
}
