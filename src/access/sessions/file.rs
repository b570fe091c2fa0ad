//! Sessions over a restart: a screen on a wall has nobody to sign in again when the server comes back.
//!
//! What is written is of no use to whoever reads it: the SHA-256 of each secret, and a mark of the credential that the
//! session was begun with, which a credential that was changed or taken away meanwhile no longer has. Sessions of signed
//! tokens are not written: whether their keys are still good only they could show.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::{Digest, Session, Sessions};
use crate::access::{Admitted, Gate};
use crate::event::Millis;
use crate::limits;

/// Its name in the data directory.
const NAME: &str = "wallboard-sessions.json";

/// What is written, oldest first.
#[derive(Deserialize, Serialize)]
struct Rows {
    version: u32,
    sessions: Vec<Row>,
}

#[derive(Deserialize, Serialize)]
struct Row {
    secret_sha256: Digest,
    credential: Digest,
    until_ms: i64,
}

const VERSION: u32 = 1;

/// Where the sessions of a gate's callers are kept.
#[derive(Clone)]
pub struct File {
    path: PathBuf,
    gate: Gate,
}

impl File {
    pub fn inside(data_dir: &Path, gate: Gate) -> File {
        File { path: data_dir.join(NAME), gate }
    }

    /// Takes over what a server before this one wrote, as far as the credentials are still the same. Blocks.
    pub fn restore(&self, sessions: &Sessions) {
        match read(&self.path) {
            Ok(None) => {}
            Ok(Some(rows)) => {
                let restored = sessions.restore(rows, &self.gate.by_mark(), self.gate.now());
                tracing::info!(restored, "sessions of the wallboard go on");
            }
            Err(error) => {
                tracing::warn!(file = %self.path.display(), %error, "the wallboard's sessions cannot be read; those who look sign in anew");
            }
        }
    }

    /// Writes them whenever there is one more or one less, for ever.
    pub async fn follow(self, sessions: Sessions) {
        let mut is_failing = false;
        loop {
            sessions.changed.notified().await;
            let rows = sessions.rows(self.gate.now());
            let path = self.path.clone();
            let written = spawn_blocking(move || write(&path, &rows)).await;
            let written = written.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
            if let Err(error) = &written
                && !is_failing
            {
                tracing::warn!(file = %self.path.display(), %error, "the wallboard's sessions cannot be written; after a restart those who look sign in anew");
            }
            is_failing = written.is_err();
        }
    }
}

impl Sessions {
    fn rows(&self, now: Millis) -> Rows {
        let begun = self.begun();
        let mut going: Vec<_> = begun.iter().filter(|(_, session)| !session.lease.is_over()).collect();
        going.sort_by_key(|(_, session)| session.begun_at);
        let row = |(digest, session): (&Digest, &Session)| {
            let left = session.lease.until?.saturating_duration_since(Instant::now());
            let until_ms = now.0.saturating_add(i64::try_from(left.as_millis()).unwrap_or(i64::MAX));
            Some(Row { secret_sha256: *digest, credential: session.mark?, until_ms })
        };
        Rows { version: VERSION, sessions: going.into_iter().filter_map(row).collect() }
    }

    fn restore(&self, rows: Rows, credentials: &HashMap<Digest, Admitted>, now: Millis) -> usize {
        let mut begun = self.begun();
        for Row { secret_sha256, credential, until_ms } in rows.sessions.into_iter().rev().take(self.most) {
            let left_ms = u64::try_from(until_ms.saturating_sub(now.0)).unwrap_or(0);
            let left = Duration::from_millis(left_ms).min(self.life);
            if let Some(admitted) = credentials.get(&credential)
                && !left.is_zero()
            {
                begun.insert(secret_sha256, Session::of(admitted, left));
            }
        }
        begun.len()
    }
}

fn read(path: &Path) -> io::Result<Option<Rows>> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(limits::SESSIONS_FILE_BYTES).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    let rows: Rows = serde_json::from_str(&text)?;
    if rows.version != VERSION {
        return Err(io::Error::other(format!("it has version {}, this program knows {VERSION}", rows.version)));
    }
    Ok(Some(rows))
}

/// Writes another file and renames it, so that the file is whole whenever the process ends. Blocks.
fn write(path: &Path, rows: &Rows) -> io::Result<()> {
    let text = serde_json::to_vec(rows)?;
    let beside = path.with_extension("json.tmp");
    // The server's own, as far as the system lets anything be.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::access::issue::{NewToken, new_token};
    use crate::access::{Checked, Settings};
    use crate::pipeline::SystemClock;

    /// A gate of these entries, each a name and a token.
    fn gate(dir: &Path, entries: &[(&str, &NewToken)]) -> Gate {
        let entry = |(name, token): &(&str, &NewToken)| {
            let sum = &token.sha256;
            format!("[[credential]]\nname = \"{name}\"\naccount = \"all\"\nroles = [\"read\"]\nsha256 = \"{sum}\"\n")
        };
        let credentials = dir.join("credentials.toml");
        fs::write(&credentials, entries.iter().map(entry).collect::<String>()).unwrap();
        Gate::open(Settings { credentials: Some(credentials), jwt: None }, Arc::new(SystemClock)).unwrap()
    }

    fn admitted(gate: &Gate, token: &NewToken) -> Admitted {
        let shown = format!("Bearer {}", token.token).parse().unwrap();
        match gate.check(&[(http::header::AUTHORIZATION, shown)].into_iter().collect(), None) {
            Checked::Now(verdict) => verdict.unwrap(),
            Checked::Later(_) => panic!("a token is checked at once"),
        }
    }

    fn shown(secret: &str) -> http::HeaderMap {
        let cookie = format!("{}={secret}", super::super::COOKIE_NAME).parse().unwrap();
        [(http::header::COOKIE, cookie)].into_iter().collect()
    }

    #[tokio::test]
    async fn a_session_goes_on_over_a_restart_with_the_same_credential_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let [stays, changes, goes] = [(); 3].map(|()| new_token().unwrap());
        let life = Duration::from_secs(60);
        let before = Sessions::new(100, life);
        let old = gate(dir.path(), &[("stays", &stays), ("changes", &changes), ("goes", &goes)]);
        let secrets = [&stays, &changes, &goes].map(|token| before.begin(&admitted(&old, token)).unwrap());
        let out = before.begin(&admitted(&old, &stays)).unwrap();
        before.end(&shown(&out));
        let file = File::inside(dir.path(), old);
        write(&file.path, &before.rows(file.gate.now())).unwrap();
        let text = fs::read_to_string(&file.path).unwrap();
        assert!(secrets.iter().chain([&stays.token]).all(|secret| !text.contains(secret)));
        let after = Sessions::new(100, life);
        let other = new_token().unwrap();
        let file = File::inside(dir.path(), gate(dir.path(), &[("stays", &stays), ("changes", &other)]));
        file.restore(&after);
        let known: Vec<_> = secrets.iter().chain([&out]).map(|secret| after.find(&shown(secret)).is_some()).collect();
        assert_eq!(known, [true, false, false, false]);
        // Nor when its time has come, whatever the clock was meanwhile.
        let late = Millis(file.gate.now().0 + 61_000);
        assert_eq!(Sessions::new(100, life).restore(before.rows(file.gate.now()), &file.gate.by_mark(), late), 0);
    }

    #[test]
    fn a_file_of_any_other_content_is_none_and_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::inside(dir.path(), gate(dir.path(), &[]));
        for text in ["", "{", "[]", r#"{"version":2,"sessions":[]}"#, r#"{"version":1,"sessions":[{}]}"#] {
            fs::write(&file.path, text).unwrap();
            assert!(read(&file.path).is_err(), "{text}");
            file.restore(&Sessions::new(1, Duration::from_secs(1)));
        }
    }
}
