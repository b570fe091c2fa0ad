//! Calls as bytes: what no generated client would send.

use bytes::{BufMut, Bytes, BytesMut};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

pub const INGEST: &str = "/tasktally.v1.IngestService/IngestEvents";
pub const CUMULATIVE: &str = "/tasktally.v1.StatisticsService/GetCumulative";
pub const STATISTICS: &str = "/tasktally.v1.StatisticsService/GetStatistics";
pub const REALTIME: &str = "/tasktally.v1.StatisticsService/GetRealtime";
pub const WATCH: &str = "/tasktally.v1.StatisticsService/WatchRealtime";
pub const WORKSPACES: &str = "/tasktally.v1.StatisticsService/ListWorkspaces";
pub const CHANNELS: &str = "/tasktally.v1.StatisticsService/ListTaskChannels";

/// A message in its five bytes of framing.
pub fn framed(message: &[u8], is_compressed: bool) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(u8::from(is_compressed));
    frame.put_u32(message.len() as u32);
    frame.put(message);
    frame.freeze()
}

/// A request body of which the test sends piece after piece; it ends when the sender is dropped.
pub fn open_body() -> (mpsc::Sender<Bytes>, Body) {
    let (sender, pieces) = mpsc::channel::<Bytes>(4);
    let frames = tokio_stream::StreamExt::map(ReceiverStream::new(pieces), |piece| Ok::<_, Status>(Frame::data(piece)));
    (sender, Body::new(StreamBody::new(frames)))
}

pub fn whole_body(bytes: Bytes) -> Body {
    Body::new(http_body_util::Full::new(bytes))
}

/// Calls a unary method with a body as it is; answers the bytes of the one message, or the status.
pub async fn call(channel: Channel, path: &str, encoding: Option<&str>, body: Body) -> Result<Bytes, Status> {
    let headers: Vec<(&str, &str)> = encoding.map(|encoding| ("grpc-encoding", encoding)).into_iter().collect();
    call_with(channel, path, &headers, body).await
}

/// Likewise, with these headers.
pub async fn call_with(
    mut channel: Channel,
    path: &str,
    headers: &[(&str, &str)],
    body: Body,
) -> Result<Bytes, Status> {
    let mut request = http::Request::post(format!("http://test{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body).unwrap();
    let failed = |error: &dyn std::fmt::Debug| Status::unknown(format!("no answer: {error:?}"));
    let response = channel.ready().await.map_err(|error| failed(&error))?.call(request);
    let response = response.await.map_err(|error| failed(&error))?;
    let (head, body) = response.into_parts();
    if let Some(status) = Status::from_header_map(&head.headers)
        && status.code() != Code::Ok
    {
        return Err(status);
    }
    let body = body.collect().await.map_err(|status| failed(&status))?;
    let status = body.trailers().and_then(Status::from_header_map);
    match status {
        Some(status) if status.code() == Code::Ok => Ok(body.to_bytes().slice(5..)),
        Some(status) => Err(status),
        None => Err(failed(&"no trailers")),
    }
}
