//! Why a server is not reached where no repetition can help: one side speaks TLS and the other does not, or one does not
//! take the other's certificate. Found in the transport's words, and where those hang on chance, in those of a second
//! handshake.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Status;

use super::args::ConnectionArgs;
use super::failure::{EXIT_ACCESS, EXIT_USAGE, Failure};
use super::trust;

/// For a second handshake. A server that is content says nothing after it, and this is how long we listen.
const LISTEN: Duration = Duration::from_secs(1);

/// What stands between two sides that have reached each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The server asks for a client certificate.
    NoCertificate,
    /// The server does not take the client's certificate; its alert says why.
    CertificateRefused(String),
    /// Nobody whom we trust has signed the server's certificate.
    Untrusted,
    /// The server shows an authority's own certificate, as `openssl req -x509` makes one unless it is told otherwise.
    Authority,
    /// The server's certificate is not good here: another name, expired.
    WrongServer(String),
    /// https:// at a port without TLS.
    NotTls,
    /// http:// at a port with TLS.
    Tls,
}

impl Mismatch {
    pub fn exit_code(&self) -> u8 {
        match self {
            Mismatch::NotTls | Mismatch::Tls => EXIT_USAGE,
            _ => EXIT_ACCESS,
        }
    }

    /// What is wrong at this connection.
    pub fn words(&self, args: &ConnectionArgs) -> String {
        let address = &args.address;
        let file = |file: &Option<std::path::PathBuf>| file.clone().unwrap_or_default().display().to_string();
        match self {
            Mismatch::NoCertificate => format!("{address} asks for a client certificate, and none was shown"),
            Mismatch::CertificateRefused(alert) => {
                format!("{address} does not take the certificate in {}: {alert}", file(&args.tls.tls_cert))
            }
            Mismatch::Untrusted => format!(
                "none of the authorities in {} has signed the certificate of {address}: UnknownIssuer",
                file(&args.tls.tls_ca)
            ),
            Mismatch::Authority => {
                format!("the certificate of {address} is not good: it is an authority's own certificate (CA:TRUE)")
            }
            Mismatch::WrongServer(why) => format!("the certificate of {address} is not good: {why}"),
            Mismatch::NotTls => format!("{address} does not speak TLS"),
            Mismatch::Tls => format!("{address} speaks TLS"),
        }
    }

    /// What the user can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Mismatch::NoCertificate => "show one that the server knows: --tls-cert FILE and --tls-key FILE",
            Mismatch::CertificateRefused(_) => {
                "an authority in the server's --tls-client-ca must have signed it, and it must not have expired"
            }
            Mismatch::Untrusted => "give the authority that did, as PEM: --tls-ca FILE; or check --address",
            Mismatch::Authority => {
                "have one made for the server with basicConstraints=CA:FALSE (openssl: -addext \
                 basicConstraints=critical,CA:FALSE)"
            }
            Mismatch::WrongServer(_) => "use an --address that the certificate names, or have it renewed",
            Mismatch::NotTls => "if the port is the right one: --address http://HOST:PORT, without the --tls flags",
            Mismatch::Tls => "use --address https://HOST:PORT and --tls-ca FILE",
        }
    }
}

/// What the status of our own side of the transport says; nothing for a status that a server sent.
pub fn in_status(status: &Status) -> Option<Mismatch> {
    let mut cause = status.source();
    cause?;
    let mut found = in_words(status.message());
    while let (None, Some(error)) = (&found, cause) {
        found = in_words(&error.to_string());
        cause = error.source();
    }
    found
}

/// Of what rustls says. HTTP/2 hands errors on as text alone, so that there is nothing else to go by.
fn in_words(words: &str) -> Option<Mismatch> {
    if let Some((_, alert)) = words.split_once("received fatal alert: ") {
        return match alert.trim() {
            "CertificateRequired" => Some(Mismatch::NoCertificate),
            "UnknownCA" => {
                Some(Mismatch::CertificateRefused("an authority that it does not know (UnknownCA)".to_owned()))
            }
            "BadCertificate"
            | "UnsupportedCertificate"
            | "CertificateRevoked"
            | "CertificateExpired"
            | "CertificateUnknown"
            | "DecryptError"
            | "AccessDenied" => Some(Mismatch::CertificateRefused(alert.trim().to_owned())),
            _ => None,
        };
    }
    if let Some((_, why)) = words.split_once("invalid peer certificate: ") {
        return Some(match why {
            _ if why.starts_with("UnknownIssuer") => Mismatch::Untrusted,
            // What the library that checks certificates calls it, inside of what rustls does.
            _ if why.contains("CaUsedAsEndEntity") => Mismatch::Authority,
            _ => Mismatch::WrongServer(why.to_owned()),
        });
    }
    words.contains("received corrupt message of type InvalidContentType").then_some(Mismatch::NotTls)
}

/// The failure with the mismatch behind it, where there is one.
///
/// A server that does not like a certificate closes the connection, and it is chance whether the transport meets the
/// alert or the closed connection first. So where its words tell nothing, the handshake is made once more with nothing
/// after it.
pub async fn explained(failure: Failure, args: &ConnectionArgs) -> Failure {
    let (Failure::Call(status) | Failure::GaveUp { last: status, .. }) = &failure else { return failure };
    if status.source().is_none() || super::failure::timed_out(status) {
        return failure;
    }
    let found = match in_status(status) {
        None => tokio::time::timeout(LISTEN, shake(args)).await.ok().flatten(),
        found => found,
    };
    match found {
        Some(mismatch) => Failure::Mismatch { words: mismatch.words(args), mismatch },
        None => failure,
    }
}

/// A handshake, and what is wrong by it. At an http:// address only to see whether somebody there knows what it is.
async fn shake(args: &ConnectionArgs) -> Option<Mismatch> {
    let uri: http::Uri = args.address.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let config = trust::handshake(args).ok()?;
    let stream = TcpStream::connect((host.as_str(), uri.port_u16()?)).await.ok()?;
    let name = ServerName::try_from(host).ok()?;
    let error = match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        // In TLS 1.3 a client hears at its first read that its certificate was not good enough.
        Ok(mut stream) => stream.read(&mut [0; 1]).await.err()?,
        Err(error) => error,
    };
    match in_words(&error.to_string()) {
        // Nobody is trusted there, which only a server that speaks TLS can come to know.
        Some(Mismatch::Untrusted) if !is_https(args) => Some(Mismatch::Tls),
        _ if !is_https(args) => is_alert(&error).then_some(Mismatch::Tls),
        found => found,
    }
}

fn is_https(args: &ConnectionArgs) -> bool {
    args.address.starts_with("https://")
}

fn is_alert(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::AlertReceived(_) | rustls::Error::InvalidCertificate(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_our_own_side_says_is_believed() {
        let words = "received fatal alert: UnknownCA";
        assert_eq!(in_status(&Status::unavailable(words)), None);
        let own = Status::from_error(Box::new(io::Error::other(words)));
        assert!(matches!(in_status(&own), Some(Mismatch::CertificateRefused(_))), "{own:?}");
        assert!(!super::super::failure::may_pass(&own), "no repetition changes it");
        let other = Status::from_error(Box::new(io::Error::other("connection reset")));
        assert!(in_status(&other).is_none() && super::super::failure::may_pass(&other), "{other:?}");
    }
}
