//! A collector: it takes spans by OTLP over gRPC, as the official proto defines it, and shows what it has.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::{self, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::common::authority::Identity;
use super::common::eventually;

/// What has come in.
#[derive(Clone, Default)]
pub struct Taken(Arc<Mutex<(Vec<Span>, Vec<Resource>)>>);

#[tonic::async_trait]
impl TraceService for Taken {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut taken = self.0.lock().unwrap();
        for of_resource in request.into_inner().resource_spans {
            taken.1.extend(of_resource.resource);
            taken.0.extend(of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Gone when it is dropped, with its connections.
pub struct Collector {
    pub address: SocketAddr,
    scheme: &'static str,
    pub taken: Taken,
    _serving: AbortOnDropHandle<()>,
}

impl Collector {
    pub async fn start() -> Collector {
        Collector::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn at(address: SocketAddr) -> Collector {
        Collector::serving(Server::builder(), address, "http").await
    }

    /// As [`Collector::start`], with TLS.
    pub async fn tls(identity: &Identity) -> Collector {
        let tls = ServerTlsConfig::new().identity(transport::Identity::from_pem(&identity.cert, &identity.key));
        let builder = Server::builder().tls_config(tls).unwrap();
        Collector::serving(builder, "127.0.0.1:0".parse().unwrap(), "https").await
    }

    async fn serving(mut builder: Server, address: SocketAddr, scheme: &'static str) -> Collector {
        let listener = TcpListener::bind(address).await.unwrap();
        let (address, taken) = (listener.local_addr().unwrap(), Taken::default());
        let serving = builder
            .add_service(TraceServiceServer::new(taken.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let serving = AbortOnDropHandle::new(tokio::spawn(async move { serving.await.unwrap() }));
        Collector { address, scheme, taken, _serving: serving }
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

impl Taken {
    pub fn spans(&self) -> Vec<Span> {
        self.0.lock().unwrap().0.clone()
    }

    pub fn resource(&self) -> Resource {
        self.0.lock().unwrap().1.last().expect("something has come in").clone()
    }

    /// The spans of a trace, once one of this name is among them and their number is this.
    pub async fn trace(&self, trace_id: &str, spans: usize) -> Vec<Span> {
        let of_trace = || self.spans().into_iter().filter(|span| hex(&span.trace_id) == trace_id).collect::<Vec<_>>();
        let what = format!("{spans} spans of {trace_id} arrive");
        eventually(&what, async || Some(of_trace()).filter(|found| found.len() >= spans)).await
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The one span of this name.
#[track_caller]
pub fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    let [only] = found[..] else { panic!("{} of {name} in {spans:#?}", found.len()) };
    only
}

/// An attribute, as text.
#[track_caller]
pub fn value(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == name);
    let found = found.unwrap_or_else(|| panic!("no {name} in {attributes:?}"));
    match found.value.clone().and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{name} is {other:?}"),
    }
}
