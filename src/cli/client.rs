//! The way to a server: one channel, and a deadline on each call.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use super::args::{ConnectionArgs, SubjectArgs, TlsArgs};
use super::failure::Failure;
use super::text::in_shell;
use super::token::Credentials;
use super::trust;
use crate::api::proto::v1::admin_service_client::AdminServiceClient;
use crate::api::proto::v1::ingest_service_client::IngestServiceClient;
use crate::api::proto::v1::statistics_service_client::StatisticsServiceClient;
use crate::api::proto::v1::{ListWorkspacesRequest, Workspace};
use crate::limits;

/// Calls with the user's credentials on them.
type Shown = InterceptedService<Channel, Credentials>;

/// A server, as the client commands see it. Connects at its first call, and again after a loss.
#[derive(Clone, Debug)]
pub struct Server {
    channel: Channel,
    credentials: Credentials,
    timeout: Duration,
}

impl Server {
    /// # Errors
    /// The address cannot be one, or the token.
    pub fn new(args: &ConnectionArgs) -> Result<Server, Failure> {
        let endpoint = Endpoint::from_shared(args.address.clone())
            .map_err(|error| Failure::Usage(format!("--address {}: {error}", args.address)))?
            .connect_timeout(args.timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(limits::KEEPALIVE_INTERVAL)
            .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT)
            .user_agent(concat!("tasktally/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let endpoint = match trust::client_tls(args)? {
            Some(tls) => endpoint.tls_config(tls).map_err(|error| Failure::Usage(trust::explain(&error)))?,
            None => endpoint,
        };
        let credentials = Credentials::new(&args.token)?;
        Ok(Server { channel: endpoint.connect_lazy(), credentials, timeout: args.timeout })
    }

    pub fn statistics(&self) -> StatisticsServiceClient<Shown> {
        StatisticsServiceClient::with_interceptor(self.channel.clone(), self.credentials.clone())
    }

    pub fn ingest(&self) -> IngestServiceClient<Shown> {
        IngestServiceClient::with_interceptor(self.channel.clone(), self.credentials.clone())
    }

    pub fn admin(&self) -> AdminServiceClient<Shown> {
        AdminServiceClient::with_interceptor(self.channel.clone(), self.credentials.clone())
    }

    /// Without credentials, for what is open to all.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// What shows who the user is, for what is no call.
    pub fn authorization(&self) -> Option<http::HeaderValue> {
        self.credentials.header()
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A request that ends at the deadline.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    /// The first workspaces by sid, and whether there are more.
    pub async fn workspaces(&self) -> Result<(Vec<Workspace>, bool), Failure> {
        let request = ListWorkspacesRequest { page_size: limits::PAGE_SIZE_MAX as i32, page_token: String::new() };
        let page = self.statistics().list_workspaces(self.request(request)).await?.into_inner();
        Ok((page.workspaces, !page.next_page_token.is_empty()))
    }

    /// The workspace that the caller names or, without a name, the only one that there is.
    pub async fn subject(&self, args: &SubjectArgs) -> Result<Subject, Failure> {
        if let Some(sid) = &args.workspace {
            return Ok(Subject::One(sid.clone()));
        }
        let (mut workspaces, more) = self.workspaces().await?;
        match workspaces.pop() {
            Some(only) if workspaces.is_empty() && !more => Ok(Subject::One(only.workspace_sid)),
            last => {
                workspaces.extend(last);
                Ok(Subject::Several { workspaces, more })
            }
        }
    }
}

/// What a command without a workspace is about.
#[derive(Debug)]
pub enum Subject {
    One(String),
    /// None, or more than one: the caller must choose.
    Several {
        workspaces: Vec<Workspace>,
        more: bool,
    },
}

impl Subject {
    /// # Errors
    /// There is a choice, or nothing to choose from.
    pub fn one(self, connection: &ConnectionArgs) -> Result<String, Failure> {
        match self {
            Subject::One(sid) => Ok(sid),
            Subject::Several { workspaces, .. } if workspaces.is_empty() => Err(Failure::Usage(format!(
                "the server knows no workspace yet; try: tasktally simulate --backfill 1h{}",
                connection.flags()
            ))),
            Subject::Several { workspaces, .. } => Err(Failure::Usage(format!(
                "the server knows {} workspaces: say which one (tasktally get{} lists them)",
                workspaces.len(),
                connection.flags()
            ))),
        }
    }
}

impl ConnectionArgs {
    /// The same way in a command line, each flag with a space before it; nothing where the usual one was taken. A token
    /// itself is not repeated.
    pub fn flags(&self) -> String {
        let mut flags = match self.address.strip_prefix("http://") {
            Some("127.0.0.1:50051") => String::new(),
            Some(authority) => format!(" --address {authority}"),
            None => format!(" --address {}", self.address),
        };
        let TlsArgs { tls_ca, tls_cert, tls_key } = &self.tls;
        let token_file = &self.token.token_file;
        let files =
            [("--tls-ca", tls_ca), ("--tls-cert", tls_cert), ("--tls-key", tls_key), ("--token-file", token_file)];
        for (flag, file) in files {
            if let Some(file) = file {
                let _ = write!(flags, " {flag} {}", in_shell(file));
            }
        }
        flags
    }
}

/// The answer of a call, with the trouble of the call told apart.
pub fn answer<T>(result: Result<Response<T>, Status>) -> Result<T, Failure> {
    Ok(result?.into_inner())
}

/// Milliseconds since the Unix epoch, by this machine's clock.
#[expect(clippy::disallowed_methods, reason = "a client's own time")]
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
