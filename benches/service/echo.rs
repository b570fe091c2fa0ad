//! The bare service to compare with: tonic's own server and prost's default types, the system's allocator and as many
//! threads as the real one's runtime has. It decodes what it is sent, answers a message of the size asked for, and does
//! nothing else.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use tasktally::bench::bare::{Answer, Answering, Ask, Bare, answer};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

pub const WATCH: &str = "/bare.Service/Watch";

/// Serves until it is killed.
pub fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        println!("echo listens on {}", incoming.local_addr().expect("an address"));
        let (ticks, ticking) = watch::channel(0);
        tokio::spawn(tick(ticks));
        let server = tonic::transport::Server::builder().add_service(Echo { bare: Bare, ticking });
        server.serve_with_incoming(incoming.with_nodelay(Some(true))).await.expect("serve");
    });
}

/// One clock for all watchers, as the real service has one state for all.
async fn tick(ticks: watch::Sender<u32>) {
    let mut clock = tokio::time::interval(super::watch::EVERY);
    loop {
        clock.tick().await;
        ticks.send_modify(|count| *count += 1);
    }
}

/// What the subcommand's bare service does, and a watch.
#[derive(Clone)]
struct Echo {
    bare: Bare,
    ticking: watch::Receiver<u32>,
}

impl NamedService for Echo {
    const NAME: &'static str = Bare::NAME;
}

impl tower::Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Answering {
        if request.uri().path() != WATCH {
            return self.bare.call(request);
        }
        let watcher = Watcher(self.ticking.clone());
        Box::pin(async { Ok(Grpc::new(ProstCodec::<Answer, Ask>::default()).server_streaming(watcher, request).await) })
    }
}

struct Watcher(watch::Receiver<u32>);

impl ServerStreamingService<Ask> for Watcher {
    type Response = Answer;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Ask>) -> Self::Future {
        let bytes = request.get_ref().answer_bytes;
        let answers: Self::ResponseStream = Box::pin(WatchStream::new(self.0.clone()).map(move |_| Ok(answer(bytes))));
        ready(Ok(Response::new(answers)))
    }
}
