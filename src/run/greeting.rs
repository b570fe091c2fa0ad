//! What a server says on standard output once it serves.

use std::io::Write as _;
use std::net::SocketAddr;

use crate::config::{ServeConfig, reachable};

/// Says on standard output where the server is and how to try it. A closed standard output is no trouble.
pub(super) fn greet(config: &ServeConfig, address: SocketAddr, besides: &str, demo: Option<&[String]>) {
    let data = if config.ephemeral {
        "nowhere: --ephemeral, every event is gone when this process ends".to_owned()
    } else {
        std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone()).display().to_string()
    };
    let host = reachable(address);
    let (url, ca, security) = if config.tls.is_on() {
        (format!("https://{host}"), " --tls-ca CA.pem", "-cacert CA.pem")
    } else {
        (host.clone(), "", "-plaintext")
    };
    let (token, header) = match config.access.settings() {
        Some(_) => (" --token-file FILE", " -H 'authorization: Bearer TOKEN'"),
        None => ("", ""),
    };
    let tries = match demo {
        Some(workspace_sids) => shown(workspace_sids, &host),
        None => format!("try    tasktally simulate --backfill 1h --address {url}{ca}{token}\n"),
    };
    let board = config.public_base(address);
    let _ = writeln!(
        std::io::stdout(),
        "tasktally {version} listens on {address}\n\
         data   {data}\n\
         board  {board}/\n\
         {besides}\
         {tries}       \
         grpcurl {security}{header} {host} tasktally.v1.StatisticsService/ListWorkspaces",
        version = env!("CARGO_PKG_VERSION"),
    );
}

/// What there is to see of a demo, and how.
fn shown(workspace_sids: &[String], host: &str) -> String {
    let rows: String = workspace_sids.iter().map(|sid| format!("       {sid}\n")).collect();
    let first = workspace_sids.first().map_or("", String::as_str);
    format!(
        "demo   a simulated centre, made up: hours of its past, then live. Its workspaces:\n\
         {rows}\
         try    tasktally watch {first} --address {host}\n       \
         tasktally cumulative {first} --minutes 480 --split 5,30 --address {host}\n"
    )
}
