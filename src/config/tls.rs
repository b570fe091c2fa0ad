//! The settings of TLS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::duration_within;
use super::serve::socket_address;
use crate::limits;

/// Who the server is, and whom it lets connect.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(next_help_heading = "TLS")]
pub struct TlsSettings {
    /// Speak TLS (1.2 and 1.3) with the certificate in this PEM file, those that lead to its authority after it. The
    /// files are looked at again and again: a change is in force for new connections without a restart, a bad one is
    /// logged and not taken.
    #[arg(long, env = "TASKTALLY_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of --tls-cert, PEM: PKCS#8, PKCS#1 or SEC1, not encrypted.
    #[arg(long, env = "TASKTALLY_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Mutual TLS: clients show a certificate of one of the authorities in this PEM file.
    #[arg(long, env = "TASKTALLY_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,

    /// With --tls-client-ca: what happens to a client that shows no certificate.
    #[arg(
        long,
        env = "TASKTALLY_TLS_CLIENT_AUTH",
        value_name = "HOW",
        value_enum,
        default_value = "require",
        requires = "tls_client_ca"
    )]
    pub tls_client_auth: ClientAuth,

    /// How often the TLS files are looked at.
    #[arg(long, env = "TASKTALLY_TLS_RELOAD_INTERVAL", value_name = "DURATION", default_value = "10s", value_parser = reload_interval)]
    pub tls_reload_interval: Duration,

    /// Serve grpc.health.v1, and nothing else, without TLS and without credentials on this address too: for probes that
    /// can do neither, such as Kubernetes' own.
    #[arg(long, env = "TASKTALLY_HEALTH_LISTEN", value_name = "ADDR:PORT", value_parser = socket_address)]
    pub health_listen: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClientAuth {
    /// It is sent away in the handshake.
    Require,
    /// It connects, and has to show other credentials.
    Request,
}

impl TlsSettings {
    /// Whether the server speaks TLS.
    pub fn is_on(&self) -> bool {
        self.tls_cert.is_some()
    }
}

fn reload_interval(text: &str) -> Result<Duration, String> {
    duration_within(text, limits::TLS_RELOAD_INTERVAL_MIN, limits::TLS_RELOAD_INTERVAL_MAX)
}
