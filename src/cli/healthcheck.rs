//! `tasktally healthcheck`: one line, and an exit code for probes.

use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::args::HealthcheckArgs;
use super::client::Server;
use super::failure::{EXIT_REFUSED, Failure};
use super::handshake;

/// Nothing that speaks the health protocol answered.
const EXIT_UNREACHABLE: u8 = 2;

/// The line to print, and the exit code.
pub async fn run(args: HealthcheckArgs) -> Result<(String, u8), Failure> {
    let server = Server::new(&args.connection)?;
    let request = server.request(HealthCheckRequest { service: args.service.clone() });
    let answer = HealthClient::new(server.channel()).check(request).await;
    let (line, code) = match answer {
        Ok(response) => match response.into_inner().status() {
            ServingStatus::Serving => ("SERVING".to_owned(), 0),
            ServingStatus::NotServing => ("NOT_SERVING".to_owned(), EXIT_REFUSED),
            ServingStatus::Unknown | ServingStatus::ServiceUnknown => ("UNKNOWN".to_owned(), EXIT_REFUSED),
        },
        // The protocol's answer for a service that the server does not know.
        Err(status) if status.code() == Code::NotFound => ("SERVICE_UNKNOWN".to_owned(), EXIT_REFUSED),
        Err(status) => {
            let failure = handshake::explained(status.into(), &args.connection).await;
            (format!("UNREACHABLE: {}", failure.to_string().replace('\n', ";")), EXIT_UNREACHABLE)
        }
    };
    Ok((line + "\n", code))
}
