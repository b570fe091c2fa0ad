//! Callers with credentials, and their calls.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use tasktally::access::issue::{NewToken, new_token};
use tasktally::api::proto::v1;
use tempfile::TempDir;
use tonic::{Request, Status};

use super::calls::Client;
use super::process::Launch;
use super::{in_time, raw};

pub const OTHER_ACCOUNT: &str = "AC000000000000000000000000000000bb";

/// A credentials file, and the tokens of its entries by name.
pub struct People {
    dir: TempDir,
    pub entries: Vec<(&'static str, &'static str, &'static str, NewToken)>,
}

impl People {
    /// Each with a name, an account and roles.
    pub fn of(people: &[(&'static str, &'static str, &'static str)]) -> People {
        let entry = |(name, account, roles): &(_, _, _)| (*name, *account, *roles, new_token().unwrap());
        let people = People { dir: tempfile::tempdir().unwrap(), entries: people.iter().map(entry).collect() };
        people.write();
        people
    }

    pub fn file(&self) -> PathBuf {
        self.dir.path().join("credentials.toml")
    }

    pub fn text(&self) -> String {
        let entry = |(name, account, roles, token): &(&str, &str, &str, NewToken)| {
            let sum = &token.sha256;
            format!(
                "[[credential]]\nname = \"{name}\"\naccount = \"{account}\"\nroles = {roles}\nsha256 = \"{sum}\"\n\n"
            )
        };
        self.entries.iter().map(entry).collect()
    }

    pub fn write(&self) {
        // As tools do it: a file beside, renamed into place.
        let beside = self.dir.path().join("next.toml");
        fs::write(&beside, self.text()).unwrap();
        fs::rename(beside, self.file()).unwrap();
    }

    pub fn without(&mut self, name: &str) {
        self.entries.retain(|(other, ..)| *other != name);
        self.write();
    }

    pub fn token(&self, name: &str) -> &str {
        &self.entries.iter().find(|(other, ..)| *other == name).unwrap().3.token
    }

    pub fn bearer(&self, name: &str) -> String {
        format!("Bearer {}", self.token(name))
    }

    pub fn launch(&self) -> Launch {
        Launch::ephemeral().with(["--credentials"]).with([self.file()])
    }
}

/// The message, shown with this credential.
pub fn shown<T>(authorization: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    request
}

pub async fn call(client: &Client, path: &str, authorization: Option<&str>, message: &[u8]) -> Result<Bytes, Status> {
    let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
    let body = raw::whole_body(raw::framed(message, false));
    in_time(path, raw::call_with(client.channel.clone(), path, &headers, body)).await
}

pub async fn send(client: &Client, authorization: &str, events: Vec<v1::Event>) -> v1::IngestEventsResponse {
    let request = shown(authorization, v1::IngestEventsRequest { events });
    client.ingest().ingest_events(request).await.unwrap().into_inner()
}

pub fn basic(user: &str, token: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{token}")))
}
