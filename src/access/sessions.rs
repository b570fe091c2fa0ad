//! Sessions: what a browser shows instead of credentials, which a page cannot keep out of its scripts' reach.
//!
//! - A session is begun with credentials, reads and nothing else, and is over when they are, or when its own time is.
//! - Its secret is 256 random bits that only the browser has: here stands the SHA-256 of it, by which it is found.
//! - It goes on over a restart, where the credential is still the same ([`file`]).
//! - There are so many in all, and one in ten of them for one name, whose oldest gives way to a new one.

pub mod file;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::COOKIE;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::issue::digest_of;
use super::{Admitted, Lease, Mark};
use crate::limits;
use crate::measure;
use crate::pipeline::{Caller, CallerName, Role};

/// The name of the cookie.
pub const COOKIE_NAME: &str = "tasktally_wallboard";

type Digest = [u8; 32];

/// All sessions. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Sessions {
    most: usize,
    life: Duration,
    begun: Arc<Mutex<HashMap<Digest, Session>>>,
    /// Told when there is one more, or one less.
    changed: Arc<Notify>,
}

struct Session {
    caller: Caller,
    name: CallerName,
    mark: Option<Mark>,
    lease: Lease,
    begun_at: Instant,
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSession {
    #[error("this needs credentials with the role read")]
    MayNotRead,
    #[error("there is no room for another session: max_wallboard_sessions = {most}")]
    TooMany { most: usize },
    #[error("the system gives no random numbers")]
    NoRandom,
}

impl Sessions {
    pub fn new(most: usize, life: Duration) -> Sessions {
        Sessions { most, life, begun: Arc::default(), changed: Arc::default() }
    }

    /// How long one lasts.
    pub fn life(&self) -> Duration {
        self.life
    }

    /// Begins one for whoever was let in; answers its secret.
    ///
    /// # Errors
    /// He may not read, or there is no room.
    pub fn begin(&self, admitted: &Admitted) -> Result<String, NoSession> {
        if !admitted.caller.may(Role::Read) {
            return Err(NoSession::MayNotRead);
        }
        let mut secret = [0_u8; 32];
        SystemRandom::new().fill(&mut secret).map_err(|_| NoSession::NoRandom)?;
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let session = Session::of(admitted, self.life);
        let mut begun = self.begun();
        begun.retain(|_, session| !session.lease.is_over());
        give_way(&mut begun, &session.name, (self.most / limits::SESSIONS_SHARE).max(1));
        if begun.len() >= self.most {
            measure::refused_by("max_wallboard_sessions");
            return Err(NoSession::TooMany { most: self.most });
        }
        begun.insert(digest_of(&secret), session);
        self.changed.notify_one();
        Ok(secret)
    }

    /// Whose session the cookies among these headers are, if they are one's that goes on.
    pub fn find(&self, headers: &HeaderMap) -> Option<Admitted> {
        let digest = digest_of(secret_in(headers)?);
        let begun = self.begun();
        let session = begun.get(&digest).filter(|session| !session.lease.is_over())?;
        let Session { caller, name, mark, lease, begun_at: _ } = session;
        Some(Admitted { caller: *caller, name: name.clone(), lease: lease.clone(), mark: *mark })
    }

    /// Ends the session of these cookies, and the streams that were begun in it.
    pub fn end(&self, headers: &HeaderMap) {
        let Some(secret) = secret_in(headers) else { return };
        let ended = self.begun().remove(&digest_of(secret));
        if let Some(session) = ended {
            session.lease.taken_away.cancel();
            self.changed.notify_one();
        }
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<Digest, Session>> {
        // Whole at every moment, so that a panic elsewhere does not spoil it.
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn of(admitted: &Admitted, life: Duration) -> Session {
        let begun_at = Instant::now();
        Session {
            caller: Caller { roles: [Role::Read].into_iter().collect(), ..admitted.caller },
            name: admitted.name.clone(),
            mark: admitted.mark,
            lease: admitted.lease.within(begun_at + life),
            begun_at,
        }
    }
}

impl Lease {
    /// The part of it that ends at this moment, and can be ended alone.
    fn within(&self, end: Instant) -> Lease {
        let until = self.until.map_or(end, |until| until.min(end));
        Lease { taken_away: self.taken_away.child_token(), until: Some(until) }
    }
}

/// Ends the oldest of this name where it has as many as one name may.
fn give_way(begun: &mut HashMap<Digest, Session>, name: &CallerName, most: usize) {
    let own = || begun.iter().filter(|(_, session)| session.name == *name);
    if own().count() < most {
        return;
    }
    let oldest = own().min_by_key(|(_, session)| session.begun_at).map(|(digest, _)| *digest);
    if let Some(session) = oldest.and_then(|digest| begun.remove(&digest)) {
        session.lease.taken_away.cancel();
    }
}

/// The value of our cookie. HTTP/2 may send each cookie in a header of its own.
fn secret_in(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).map(|(_, secret)| secret)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::pipeline::{Roles, Scope};

    const LIFE: Duration = Duration::from_secs(60);

    fn admitted(name: &str, roles: Roles) -> (Admitted, CancellationToken) {
        let taken_away = CancellationToken::new();
        let caller = Caller { scope: Scope::All, roles };
        let lease = Lease::until_cancelled(taken_away.clone());
        (Admitted { caller, name: CallerName(name.into()), lease, mark: None }, taken_away)
    }

    fn shown(secret: &str) -> HeaderMap {
        let cookie = format!("other=1; {COOKIE_NAME}={secret}; more=2");
        [(COOKIE, HeaderValue::from_str(&cookie).unwrap())].into_iter().collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_reads_alone_and_is_over_when_its_credentials_its_time_or_itself_are() {
        let sessions = Sessions::new(100, LIFE);
        let (wall, taken_away) = admitted("wall", Roles::ALL);
        let begin = || sessions.begin(&wall).unwrap();
        let (by_time, by_itself, by_credentials) = (begin(), begin(), begin());
        let found = sessions.find(&shown(&by_itself)).unwrap();
        assert_eq!(found.caller.roles, [Role::Read].into_iter().collect());
        sessions.end(&shown(&by_itself));
        assert!(found.lease.is_over() && sessions.find(&shown(&by_itself)).is_none());
        assert!(sessions.find(&shown(&by_time)).is_some(), "the others go on");
        tokio::time::advance(LIFE).await;
        assert!(sessions.find(&shown(&by_time)).is_none());
        let again = begin();
        taken_away.cancel();
        assert!(sessions.find(&shown(&again)).is_none() && sessions.find(&shown(&by_credentials)).is_none());
    }

    #[tokio::test]
    async fn there_are_so_many_and_one_name_never_has_all() {
        let sessions = Sessions::new(20, LIFE);
        let (wall, _keep) = admitted("wall", Roles::ALL);
        let secrets: Vec<_> = (0..3).map(|_| sessions.begin(&wall).unwrap()).collect();
        let known: Vec<_> = secrets.iter().map(|secret| sessions.find(&shown(secret)).is_some()).collect();
        assert_eq!(known, [false, true, true], "a tenth of twenty");
        let others: Vec<_> = (0..18).map(|name| admitted(&name.to_string(), Roles::ALL)).collect();
        others.iter().for_each(|(other, _)| drop(sessions.begin(other).unwrap()));
        let (late, _keep) = admitted("late", Roles::ALL);
        assert_eq!(sessions.begin(&late), Err(NoSession::TooMany { most: 20 }));
        others[0].1.cancel();
        assert!(sessions.begin(&late).is_ok(), "what is over takes no place");
    }

    #[tokio::test]
    async fn nobody_has_one_who_may_not_read_or_guesses() {
        let sessions = Sessions::new(10, LIFE);
        let (pump, _keep) = admitted("pump", [Role::Ingest, Role::Admin].into_iter().collect());
        assert_eq!(sessions.begin(&pump), Err(NoSession::MayNotRead));
        for guess in ["", "x", &"A".repeat(43)] {
            assert!(sessions.find(&shown(guess)).is_none());
        }
        assert!(sessions.find(&HeaderMap::new()).is_none());
    }
}
