//! Handshakes over streams made of memory, and files in a temporary folder.

#[path = "../../tests/common/authority.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests")]
mod authority;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use authority::{Authority, Identity, file};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsConnector, client};

use super::validity::now_s;
use super::*;
use crate::server::{Accept, Peer};

const DAY_S: i64 = 24 * 60 * 60;

/// Accepts one stream.
struct One(Option<DuplexStream>);

impl Accept for One {
    type Stream = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
        let stream = self.0.take().expect("asked once");
        Ok((stream, SocketAddr::from(([192, 0, 2, 7], 4711)).into()))
    }
}

/// A folder of files as a server is given them.
struct Home {
    dir: tempfile::TempDir,
    authority: Authority,
}

impl Home {
    fn new() -> Home {
        let home = Home { dir: tempfile::tempdir().unwrap(), authority: Authority::new("servers") };
        home.take(&home.authority.server());
        home
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn take(&self, identity: &Identity) {
        identity.write(self.path(), "server");
    }

    fn files(&self) -> Files {
        let (cert, key) = (self.path().join("server.pem"), self.path().join("server.key"));
        Files { cert, key, client_ca: None, client_required: true }
    }

    /// Files that ask clients for a certificate of this authority.
    fn asking(&self, authority: &Authority, client_required: bool) -> Files {
        let client_ca = Some(file(self.path(), "clients.pem", &authority.pem()));
        Files { client_ca, client_required, ..self.files() }
    }

    fn refusal(&self, files: Files) -> String {
        Tls::load(files, 8).map(|_| ()).unwrap_err().to_string()
    }
}

struct Client<'a> {
    trusts: &'a Authority,
    shows: Option<Identity>,
    versions: &'static [&'static SupportedProtocolVersion],
    alpn: &'static [&'static str],
}

impl<'a> Client<'a> {
    fn trusting(trusts: &'a Authority) -> Client<'a> {
        Client { trusts, shows: None, versions: rustls::ALL_VERSIONS, alpn: &["h2"] }
    }

    fn config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.trusts.pem().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_protocol_versions(self.versions).unwrap().with_root_certificates(roots);
        let mut config = match &self.shows {
            Some(Identity { cert, key }) => {
                let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![cert], PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
            }
            .unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// Connects, and has one byte answered by its successor; answers what both sides know then.
    async fn meet(&self, tls: &Tls) -> io::Result<(client::TlsStream<DuplexStream>, Peer)> {
        meet_with(self.config(), tls).await
    }
}

async fn connect(config: Arc<ClientConfig>, io: DuplexStream) -> io::Result<client::TlsStream<DuplexStream>> {
    TlsConnector::from(config).connect(ServerName::try_from("localhost").unwrap(), io).await
}

async fn meet_with(config: Arc<ClientConfig>, tls: &Tls) -> io::Result<(client::TlsStream<DuplexStream>, Peer)> {
    let (near, far) = duplex(64 << 10);
    let (mut stream, peer) = tls.over(One(Some(far))).accept().await?;
    tokio::spawn(async move {
        while let Ok(byte) = stream.read_u8().await {
            stream.write_u8(byte + 1).await?;
            stream.flush().await?;
        }
        io::Result::Ok(())
    });
    let mut client = connect(config, near).await?;
    client.write_u8(1).await?;
    assert_eq!(client.read_u8().await?, 2);
    Ok((client, peer))
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_with_both_protocols() {
    let home = Home::new();
    let (tls, _reload) = Tls::load(home.files(), 8).unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for protocol in ["h2", "http/1.1"] {
            let alpn: &'static [&'static str] = if protocol == "h2" { &["h2"] } else { &["http/1.1"] };
            let client = Client { versions: Box::leak(Box::new([version])), alpn, ..Client::trusting(&home.authority) };
            let (stream, peer) = client.meet(&tls).await.unwrap();
            let session = stream.get_ref().1;
            assert_eq!(session.protocol_version(), Some(version.version));
            assert_eq!(session.alpn_protocol(), Some(protocol.as_bytes()));
            assert_eq!(peer.certificate.der(), None);
        }
    }
    assert_eq!(tls.counters().handshakes_done.load(Ordering::Relaxed), 4);
    assert_eq!(tls.counters().handshakes_failed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn older_versions_and_other_protocols_are_refused_with_an_alert() {
    let home = Home::new();
    let (tls, _reload) = Tls::load(home.files(), 8).unwrap();
    let client = Client { alpn: &["smtp"], ..Client::trusting(&home.authority) };
    let error = client.meet(&tls).await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");

    // A hello of TLS 1.1: one cipher suite, one scheme of signatures.
    let mut body = vec![3, 2];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
    let mut hello = vec![22, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
    hello.extend(body);
    let (mut near, far) = duplex(1 << 10);
    let (mut stream, _) = tls.over(One(Some(far))).accept().await.unwrap();
    near.write_all(&hello).await.unwrap();
    assert!(stream.read_u8().await.is_err());
    let mut alert = [0; 7];
    near.read_exact(&mut alert).await.unwrap();
    assert_eq!((alert[0], alert[5], alert[6]), (21, 2, 70), "fatal, protocol_version");
    assert_eq!(tls.counters().handshakes_failed.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_client_that_must_show_a_certificate_is_known_by_it() {
    let (home, clients, strangers) = (Home::new(), Authority::new("clients"), Authority::new("clients"));
    let known = clients.client(&[authority::dns("producer.example")]);
    for client_required in [true, false] {
        let (tls, _reload) = Tls::load(home.asking(&clients, client_required), 8).unwrap();
        let shown = Client { shows: Some(known.clone()), ..Client::trusting(&home.authority) };
        let (_, peer) = shown.meet(&tls).await.unwrap();
        let der = CertificateDer::from_pem_slice(known.cert.as_bytes()).unwrap();
        assert_eq!(peer.certificate.der(), Some(&*der));

        let unsigned = Client { shows: Some(strangers.client(&[])), ..Client::trusting(&home.authority) };
        assert!(unsigned.meet(&tls).await.is_err(), "a certificate of nobody's");

        let anonymous = Client::trusting(&home.authority).meet(&tls).await;
        assert_eq!(anonymous.is_ok(), !client_required);
        if let Ok((_, peer)) = anonymous {
            assert_eq!(peer.certificate.der(), None);
        }
    }
}

#[tokio::test]
async fn each_connection_of_mutual_tls_shows_its_certificate() {
    let (home, clients) = (Home::new(), Authority::new("clients"));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Client {
            shows: Some(clients.client(&[])),
            versions: Box::leak(Box::new([version])),
            ..Client::trusting(&home.authority)
        };
        for (files, second) in
            [(home.files(), HandshakeKind::Resumed), (home.asking(&clients, true), HandshakeKind::Full)]
        {
            let (tls, _reload) = Tls::load(files, 8).unwrap();
            let config = client.config();
            meet_with(config.clone(), &tls).await.unwrap();
            let (stream, _) = meet_with(config, &tls).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(second), "{:?}", version.version);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_stalls_takes_a_place_and_a_silent_one_does_not() {
    let home = Home::new();
    let (tls, _reload) = Tls::load(home.files(), 1).unwrap();
    let trusting = || Client::trusting(&home.authority);
    let (near, mut far) = duplex(64 << 10);
    let mut hello = vec![0; 4 << 10];
    let length = tokio::select! {
        _ = connect(trusting().config(), near) => unreachable!("nobody answers"),
        length = far.read(&mut hello) => length.unwrap(),
    };
    let stall = async |words: &[u8]| {
        let (mut near, far) = duplex(64 << 10);
        near.write_all(words).await.unwrap();
        let (mut stream, _) = tls.over(One(Some(far))).accept().await.unwrap();
        let handshake = tokio::spawn(async move { stream.read_u8().await });
        tokio::time::sleep(Duration::from_millis(1)).await;
        (near, handshake)
    };
    let meets = async || tokio::time::timeout(Duration::from_secs(1), trusting().meet(&tls)).await.is_ok();
    let _silent = stall(&[]).await;
    let _half = stall(&hello[..20]).await;
    assert!(meets().await);
    let (near, handshake) = stall(&hello[..length]).await;
    assert!(!meets().await, "the only place is taken");
    drop(near);
    assert!(handshake.await.unwrap().is_err());
    assert!(meets().await);
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let home = Home::new();
    let other = Authority::new("other").server();
    let missing = Files { cert: home.path().join("nowhere.pem"), ..home.files() };
    assert!(home.refusal(missing).contains("cannot read"));
    let no_pem = |name: &str, text: &str| file(home.path(), name, text);
    let cases = [
        (Files { cert: no_pem("empty.pem", ""), ..home.files() }, "empty.pem holds no certificate"),
        (Files { key: no_pem("empty.key", &other.cert), ..home.files() }, "empty.key holds no private key"),
        (Files { key: no_pem("other.key", &other.key), ..home.files() }, "does not belong to the certificate in"),
        (
            Files { cert: no_pem("torn.pem", &other.cert[..other.cert.len() / 2]), ..home.files() },
            "torn.pem is not PEM",
        ),
        (Files { client_ca: Some(no_pem("no-ca.pem", "nobody")), ..home.files() }, "no-ca.pem holds no certificate"),
        (
            Files {
                cert: no_pem("x.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
                ..home.files()
            },
            "certificate 1 in",
        ),
        (Files { cert: no_pem("huge.pem", &"x".repeat((1 << 20) + 1)), ..home.files() }, "has more than 1048576 bytes"),
    ];
    for (files, why) in cases {
        let refusal = home.refusal(files);
        assert!(refusal.contains(why) && refusal.starts_with("TLS: "), "{refusal}");
        assert!(!refusal.contains("PRIVATE KEY-----"), "{refusal}");
    }
}

#[tokio::test]
async fn good_new_files_are_taken_and_bad_ones_are_not() {
    let home = Home::new();
    let renewed = Authority::new("renewed");
    let (tls, mut reload) = Tls::load(home.files(), 8).unwrap();
    let counts = |tls: &Tls| {
        let counters = tls.counters();
        (counters.reloads.load(Ordering::Relaxed), counters.reloads_failed.load(Ordering::Relaxed))
    };
    let now = now_s();
    reload.look(now);
    assert_eq!(counts(&tls), (0, 0), "nothing has changed");

    let bad = [
        Identity { cert: renewed.server().cert, key: renewed.server().key },
        Identity { cert: String::new(), ..renewed.server() },
        Identity { key: "no key".to_owned(), ..renewed.server() },
        renewed.expired_server(),
    ];
    for (number, bad) in (1..).zip(&bad) {
        home.take(bad);
        reload.look(now);
        reload.look(now);
        assert_eq!(counts(&tls), (0, number), "told once");
        assert!(Client::trusting(&home.authority).meet(&tls).await.is_ok(), "the old one is in force");
    }
    std::fs::remove_file(home.path().join("server.key")).unwrap();
    reload.look(now);
    assert_eq!(counts(&tls), (0, 5));

    // A connection from before goes on, and a new one sees the new certificate.
    let (mut before, _) = Client::trusting(&home.authority).meet(&tls).await.unwrap();
    home.take(&renewed.server());
    reload.look(now);
    assert_eq!(counts(&tls), (1, 5));
    before.write_u8(7).await.unwrap();
    assert_eq!(before.read_u8().await.unwrap(), 8);
    assert!(Client::trusting(&renewed).meet(&tls).await.is_ok());
    assert!(Client::trusting(&home.authority).meet(&tls).await.is_err());
}

#[tokio::test]
async fn the_authorities_of_clients_change_with_their_file() {
    let (home, first, second) = (Home::new(), Authority::new("first"), Authority::new("second"));
    let (tls, mut reload) = Tls::load(home.asking(&first, true), 8).unwrap();
    let of = |authority: &Authority| Client { shows: Some(authority.client(&[])), ..Client::trusting(&home.authority) };
    assert!(of(&first).meet(&tls).await.is_ok() && of(&second).meet(&tls).await.is_err());
    file(home.path(), "clients.pem", "");
    reload.look(now_s());
    assert!(of(&first).meet(&tls).await.is_ok(), "an empty file locks nobody out");
    file(home.path(), "clients.pem", &second.pem());
    reload.look(now_s());
    assert!(of(&first).meet(&tls).await.is_err() && of(&second).meet(&tls).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_certificate_near_its_end_is_spoken_of_once_a_day() {
    let home = Home::new();
    let (tls, mut reload) = Tls::load(home.files(), 8).unwrap();
    let end = tls.counters().not_after_s.load(Ordering::Relaxed);
    assert!(end > now_s());
    assert!(!reload.remind(end - 15 * DAY_S));
    assert!(reload.remind(end - 13 * DAY_S), "soon");
    assert!(!reload.remind(end - 13 * DAY_S), "said already");
    tokio::time::advance(Duration::from_secs(DAY_S as u64)).await;
    assert!(reload.remind(end + 1), "it has ended");
}
