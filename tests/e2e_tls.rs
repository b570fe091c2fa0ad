//! TLS as an operator and a client meet it: the real binary, its files, its commands.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use common::authority::{Authority, Identity, dns, file};
use common::calls::Client;
use common::details::assert_told;
use common::events::{ACCOUNT, bare, now_ms, sid};
use common::people::OTHER_ACCOUNT;
use common::process::{Launch, Server};
use common::raw::{INGEST, REALTIME, WATCH, WORKSPACES, call, framed, whole_body};
use common::{HANG, eventually, in_time};
use rcgen::SanType;
use tasktally::api::proto::v1::EventType;
use tonic::Code;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic_health::pb::health_check_response::ServingStatus;

/// The folder of a test: an authority, and what it gave the server.
struct Home {
    dir: tempfile::TempDir,
    authority: Authority,
}

impl Home {
    fn new() -> Home {
        let home = Home { dir: tempfile::tempdir().unwrap(), authority: Authority::new("servers") };
        home.authority.server().write(home.path(), "server");
        file(home.path(), "ca.pem", &home.authority.pem());
        home
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn launch(&self) -> Launch {
        let dir = self.path().display();
        let files = [format!("--tls-cert={dir}/server.pem"), format!("--tls-key={dir}/server.key")];
        Launch::ephemeral().with(files).with(["--tls-reload-interval=20ms"])
    }
}

fn endpoint(server: &Server, authority: &Authority, shows: Option<&Identity>) -> Endpoint {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority.pem()));
    let tls = match shows {
        Some(Identity { cert, key }) => tls.identity(tonic::transport::Identity::from_pem(cert, key)),
        None => tls,
    };
    let endpoint = Endpoint::from_shared(format!("https://{}", server.address)).unwrap();
    endpoint.tls_config(tls).unwrap().connect_timeout(HANG)
}

/// Whether a new connection works for a client that trusts this authority.
async fn connects(server: &Server, authority: &Authority, shows: Option<&Identity>) -> bool {
    let Ok(channel) = endpoint(server, authority, shows).connect().await else { return false };
    // In TLS 1.3 a client hears only at its first read that its certificate was not good enough.
    Client { channel }.health_of("").await.is_ok()
}

/// Runs a client command; answers its exit code and everything that it printed.
fn run(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tasktally"));
    let Output { status, stdout, stderr } = command.args(arguments).env_remove("RUST_LOG").output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    (status.code().unwrap(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn client_commands_reach_a_server_by_its_authority_and_no_other() {
    let home = Home::new();
    let server = home.launch().start();
    assert!(server.out.contains(&format!("--address https://{} --tls-ca", server.address)), "{}", server.out.text());
    let url = format!("https://{}", server.address);
    let ca = home.path().join("ca.pem").display().to_string();
    assert_eq!(run(&["healthcheck", "--address", &url, "--tls-ca", &ca]).0, 0);
    let (code, text) = run(&["simulate", "--backfill", "2m", "--address", &url, "--tls-ca", &ca]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains(&format!("--address {url} --tls-ca")), "{text}");
    assert_eq!(run(&["get", "--address", &url, "--tls-ca", &ca]).0, 0);

    let other = file(home.path(), "other.pem", &Authority::new("other").pem()).display().to_string();
    let (code, text) = run(&["healthcheck", "--address", &url, "--tls-ca", &other]);
    assert!(code == 2 && text.contains("UNREACHABLE") && text.contains("UnknownIssuer"), "{code} {text}");
    let (code, text) = run(&["get", "--address", &url]);
    assert!(code == 2 && text.contains("needs --tls-ca"), "{code} {text}");
    let (code, text) = run(&["get", "--address", &server.address, "--tls-ca", &ca]);
    assert!(code == 2 && text.contains("--tls-ca is for https://"), "{code} {text}");
    let (code, text) = run(&["get", "--address", &url, "--tls-ca", "nowhere.pem"]);
    assert!(code == 5 && text.contains("--tls-ca nowhere.pem"), "{code} {text}");
    let (code, text) = run(&["get", "--address", &url, "--tls-ca", &ca, "--tls-cert", &ca]);
    assert!(code == 2 && text.contains("--tls-key"), "{code} {text}");
    // Plaintext meets TLS: an answer in the end, not a hang.
    assert_eq!(run(&["healthcheck", "--address", &server.address]).0, 2);
    server.stop();
}

/// A connection that no repetition can make: what is wrong, what to do, and not the exit code for "try again later".
#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_two_sides_apart_is_said_with_what_to_do() {
    let (home, clients) = (Home::new(), Authority::new("clients"));
    let dir = home.path().display().to_string();
    file(home.path(), "clients.pem", &clients.pem());
    file(home.path(), "other.pem", &Authority::new("other").pem());
    clients.client(&[dns("me.example")]).write(home.path(), "me");
    Authority::new("strangers").client(&[dns("him.example")]).write(home.path(), "him");
    home.authority.expired_server().write(home.path(), "expired");
    home.authority.server_and_authority().write(home.path(), "authority");
    let path = |name: &str| format!("{dir}/{name}");
    let mutual = home.launch().with([format!("--tls-client-ca={}", path("clients.pem"))]).start();
    let plain = Launch::ephemeral().start();
    let dated = [format!("--tls-cert={}", path("expired.pem")), format!("--tls-key={}", path("expired.key"))];
    let dated = Launch::ephemeral().with(dated).start();
    let ruling = [format!("--tls-cert={}", path("authority.pem")), format!("--tls-key={}", path("authority.key"))];
    let ruling = Launch::ephemeral().with(ruling).start();
    ruling.logs("basicConstraints=CA:FALSE");
    assert!(!mutual.log.contains("CA:FALSE"), "{}", mutual.log.text());
    let (ca, other, [me, him, mine]) = (path("ca.pem"), path("other.pem"), ["me.pem", "him.pem", "me.key"].map(path));
    let his = path("him.key");
    let secure = |server: &Server| format!("https://{}", server.address);
    let cases: [(String, Vec<&str>, i32, Vec<&str>); 8] = [
        (secure(&mutual), vec!["--tls-ca", &ca], 6, vec!["asks for a client certificate", "--tls-cert", "--tls-key"]),
        (
            secure(&mutual),
            vec!["--tls-ca", &ca, "--tls-cert", &him, "--tls-key", &his],
            6,
            vec!["does not take the certificate in", &him, "UnknownCA", "--tls-client-ca"],
        ),
        (secure(&mutual), vec!["--tls-ca", &other], 6, vec!["has signed the certificate", &other, "--tls-ca FILE"]),
        (secure(&dated), vec!["--tls-ca", &ca], 6, vec!["is not good: certificate expired"]),
        (secure(&ruling), vec!["--tls-ca", &ca], 6, vec!["an authority's own certificate (CA:TRUE)", "CA:FALSE"]),
        (mutual.address.clone(), vec![], 2, vec!["speaks TLS", "https://HOST:PORT and --tls-ca"]),
        (secure(&plain), vec!["--tls-ca", &ca], 2, vec!["does not speak TLS", "http://HOST:PORT"]),
        (
            secure(&mutual),
            vec!["--tls-ca", &ca, "--tls-cert", &me, "--tls-key", &his],
            5,
            vec![&his, "does not belong to the certificate in", &me],
        ),
    ];
    let workspace = sid("WS", 1);
    for (address, flags, expected, words) in &cases {
        // Which of the two the transport meets first is chance: the alert, or the closed connection.
        for _ in 0..3 {
            let (code, text) = run(&[&["get", &workspace, "--address", address][..], flags].concat());
            assert_eq!(code, *expected, "{text}");
            assert!(words.iter().all(|word| text.contains(word)), "{words:?} in {text}");
        }
    }
    // Nor is it tried again for two minutes.
    let (code, text) = run(&["simulate", "--backfill", "1m", "--address", &secure(&mutual), "--tls-ca", &other]);
    assert_eq!(code, 6, "{text}");
    let good =
        ["get", &workspace, "--address", &secure(&mutual), "--tls-ca", &ca, "--tls-cert", &me, "--tls-key", &mine];
    assert_eq!(run(&good).0, 3, "the workspace is not there");
    plain.stop();
    mutual.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn mutual_tls_takes_clients_of_its_authority_only() {
    let (home, clients) = (Home::new(), Authority::new("clients"));
    let client_ca = file(home.path(), "clients.pem", &clients.pem());
    let known = clients.client(&[dns("watcher.example")]);
    let stranger = Authority::new("strangers").client(&[dns("watcher.example")]);
    for (how, anonymous) in [("require", false), ("request", true)] {
        let ca = format!("--tls-client-ca={}", client_ca.display());
        let server = home.launch().with([ca, format!("--tls-client-auth={how}")]).start();
        assert!(connects(&server, &home.authority, Some(&known)).await);
        assert!(!connects(&server, &home.authority, Some(&stranger)).await);
        assert_eq!(connects(&server, &home.authority, None).await, anonymous, "{how}");

        let url = format!("https://{}", server.address);
        let (cert, key) = known.write(home.path(), "known");
        let ca = home.path().join("ca.pem");
        let [ca, cert, key] = [ca, cert, key].map(|path| path.display().to_string());
        let base = ["healthcheck", "--address", &url, "--tls-ca", &ca];
        assert_eq!(run(&[&base[..], &["--tls-cert", &cert, "--tls-key", &key]].concat()).0, 0);
        assert_eq!(run(&base).0, if anonymous { 0 } else { 2 });
        server.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_change_are_in_force_without_a_restart() {
    let (home, renewed) = (Home::new(), Authority::new("renewed"));
    // As Kubernetes mounts a secret: the files are links into a folder that is itself a link, which is swapped.
    let volume = |name: &str, identity: &Identity| {
        let dir = home.path().join(name);
        fs::create_dir(&dir).unwrap();
        identity.write(&dir, "server");
        dir
    };
    let point_at = |dir: &Path| {
        let next = home.path().join("..next");
        symlink(dir, &next).unwrap();
        fs::rename(&next, home.path().join("..data")).unwrap();
    };
    point_at(&volume("first", &home.authority.server()));
    for name in ["server.pem", "server.key"] {
        fs::remove_file(home.path().join(name)).unwrap();
        symlink(Path::new("..data").join(name), home.path().join(name)).unwrap();
    }
    let server = home.launch().start();
    let before = Client::at(endpoint(&server, &home.authority, None)).await;
    assert!(before.health_of("").await.is_ok());

    let broken = Identity { key: Authority::new("x").server().key, ..renewed.server() };
    point_at(&volume("second", &broken));
    server.logs("does not belong to the certificate");
    assert!(connects(&server, &home.authority, None).await, "what was in force stays so");

    point_at(&volume("third", &renewed.server()));
    server.logs("new connections see them");
    assert!(connects(&server, &renewed, None).await);
    assert!(!connects(&server, &home.authority, None).await);
    assert!(before.health_of("").await.is_ok(), "the connection from before goes on");
    server.stop();
}

#[test]
fn a_start_with_bad_files_is_refused_with_their_names() {
    let home = Home::new();
    let dir = home.path().display().to_string();
    Authority::new("other").server().write(home.path(), "other");
    for (cert, key, why) in [
        ("nowhere.pem", "server.key", "nowhere.pem: No such file"),
        ("server.pem", "other.key", "other.key does not belong to the certificate in"),
        ("server.pem", "server.pem", "server.pem holds no private key"),
        ("server.key", "server.key", "server.key holds no certificate"),
    ] {
        let files = [format!("--tls-cert={dir}/{cert}"), format!("--tls-key={dir}/{key}")];
        let log = Launch::ephemeral().with(files).spawn().refuses_to_start();
        assert!(log.contains(why), "{log}");
    }
    let (code, text) = run(&["serve", "--ephemeral", "--tls-cert", "server.pem"]);
    assert!(code == 2 && text.contains("--tls-key"), "{text}");
    let (code, text) = run(&["serve", "--ephemeral", "--tls-client-ca", "server.pem"]);
    assert!(code == 2 && text.contains("--tls-cert"), "{text}");
    for how in ["require", "request"] {
        let (code, text) = run(&["serve", "--ephemeral", "--tls-client-auth", how]);
        assert!(code == 2 && text.contains("--tls-client-ca"), "nobody would be asked for a certificate: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_have_a_plaintext_port_with_health_and_nothing_else() {
    let home = Home::new();
    let server = home.launch().with(["--health-listen=127.0.0.1:0"]).start();
    let out = server.out.text();
    let probes = out.lines().find_map(|line| line.strip_prefix("health ")).unwrap().split(' ').next().unwrap();
    let url = format!("http://{probes}");
    assert_eq!(run(&["healthcheck", "--address", &url]).0, 0);
    let client = Client::at(Endpoint::from_shared(url.clone()).unwrap()).await;
    assert_eq!(client.health_of("readiness").await.unwrap(), ServingStatus::Serving);
    assert_eq!(client.health_of("tasktally.v1.IngestService").await.unwrap(), ServingStatus::Serving);
    let refused = client.realtime(&common::events::sid("WS", 1), "").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unimplemented);
    let reflection =
        ["v1", "v1alpha"].map(|version| format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"));
    for path in reflection.iter().map(String::as_str).chain([INGEST, REALTIME, WATCH, WORKSPACES]) {
        let answer = call(client.channel.clone(), path, None, whole_body(framed(&[], false))).await;
        assert_eq!(answer.unwrap_err().code(), tonic::Code::Unimplemented, "{path}");
    }

    // While a call holds the drain up, readiness is told on the connection from before and on a new one.
    let main = Client::at(endpoint(&server, &home.authority, None)).await;
    let (sender, body) = common::raw::open_body();
    let held = tokio::spawn(common::raw::call(main.channel.clone(), common::raw::INGEST, None, body));
    sender.send(common::raw::framed(&[], false).slice(..3)).await.unwrap();
    assert!(main.health_of("").await.is_ok(), "the call before it has arrived");
    server.signal("TERM");
    eventually("readiness is NOT_SERVING", async || {
        (client.health_of("readiness").await.ok()? == ServingStatus::NotServing).then_some(())
    })
    .await;
    let fresh = Client::at(Endpoint::from_shared(url).unwrap()).await;
    assert_eq!(fresh.health_of("readiness").await.unwrap(), ServingStatus::NotServing);
    assert_eq!(fresh.health_of("liveness").await.unwrap(), ServingStatus::Serving);
    sender.send(common::raw::framed(&[], false).slice(3..)).await.unwrap();
    drop(sender);
    assert!(in_time("the held call", held).await.unwrap().is_ok(), "a call in flight is finished");
    let mut server = server;
    assert_eq!(server.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_a_credential_by_its_name_in_the_credentials_file() {
    let (home, clients) = (Home::new(), Authority::new("clients"));
    file(home.path(), "clients.pem", &clients.pem());
    let entry = |name: &str, account: &str, roles: &str, san: &str| {
        format!(
            "[[credential]]\nname = \"{name}\"\naccount = \"{account}\"\nroles = {roles}\ncertificate = \"{san}\"\n\n"
        )
    };
    let entries = [
        entry("router", "all", r#"["ingest", "read"]"#, "dns:router.example"),
        entry("wallboard", ACCOUNT, r#"["read"]"#, "dns:wallboard.example"),
        entry("stranger", OTHER_ACCOUNT, r#"["read"]"#, "uri:spiffe://example/other"),
    ];
    let credentials = file(home.path(), "credentials.toml", &entries.concat());
    let dir = home.path().display();
    let settings = [
        format!("--tls-client-ca={dir}/clients.pem"),
        "--tls-client-auth=request".to_owned(),
        format!("--credentials={}", credentials.display()),
    ];
    let server = home.launch().with(settings).start();
    let as_client = async |shows: Option<&Identity>| Client::at(endpoint(&server, &home.authority, shows)).await;
    let named = |name| clients.client(&[dns("unlisted.example"), name]);

    // The one of all accounts writes, by the second of its names.
    let workspace = sid("WS", 1);
    let router = as_client(Some(&named(dns("router.example")))).await;
    router.accept(vec![bare(1, EventType::WorkspaceCreated, &workspace, now_ms())]).await;
    assert!(router.realtime(&workspace, "").await.is_ok());

    // One reads what is its account's and may not write, another does not see it.
    let wallboard = as_client(Some(&named(dns("wallboard.example")))).await;
    assert!(wallboard.realtime(&workspace, "").await.is_ok());
    let status = wallboard.send(vec![bare(2, EventType::WorkspaceUpdated, &workspace, now_ms())]).await.unwrap_err();
    assert_told(&status, Code::PermissionDenied, "ROLE_MISSING", false, &[]);
    let other = as_client(Some(&named(SanType::URI("spiffe://example/other".try_into().unwrap())))).await;
    let status = other.realtime(&workspace, "").await.unwrap_err();
    assert_told(&status, Code::NotFound, "WORKSPACE_NOT_FOUND", false, &[]);

    // A good certificate that no entry names is no credential; nor is the name of an entry of another kind; nor is none.
    for (shows, reason) in [
        (Some(named(dns("nobody.example"))), "CREDENTIALS_WRONG"),
        (Some(named(SanType::Rfc822Name("router.example".try_into().unwrap()))), "CREDENTIALS_WRONG"),
        (None, "CREDENTIALS_MISSING"),
    ] {
        let client = as_client(shows.as_ref()).await;
        let status = client.realtime(&workspace, "").await.unwrap_err();
        assert_told(&status, Code::Unauthenticated, reason, false, &[]);
        assert!(client.health_of("").await.is_ok(), "health is open");
    }
    // An authority that the server does not know can name whom it likes.
    let forged = Authority::new("forgers").client(&[dns("router.example")]);
    assert!(!connects(&server, &home.authority, Some(&forged)).await);
    server.stop();
}
