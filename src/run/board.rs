//! The wallboard: its page, and the browsers that look at it, with the sessions that they have where callers are asked for
//! credentials.

use std::net::SocketAddr;

use axum::Router;
use tokio::task::spawn_blocking;

use crate::access::Gate;
use crate::access::sessions::{Sessions, file};
use crate::api::Api;
use crate::config::ServeConfig;
use crate::server::Browsing;
use crate::wallboard::{self, Door};

pub struct Board {
    sessions: Sessions,
    door: Door,
    /// `None` where there is nothing to keep, or nowhere.
    kept: Option<file::File>,
}

impl Board {
    /// With the sessions of the server before this one, which are read before the first caller comes.
    pub async fn open(config: &ServeConfig, gate: Option<Gate>, address: SocketAddr) -> Board {
        let sessions = Sessions::new(config.bounds.max_wallboard_sessions, config.http.wallboard_session_life);
        let is_secure = config.public_base(address).starts_with("https:");
        let door = Door::new(gate.clone(), sessions.clone(), is_secure);
        let kept = gate.filter(|_| !config.ephemeral).map(|gate| file::File::inside(&config.data_dir, gate));
        if let Some(kept) = kept.clone() {
            let sessions = sessions.clone();
            let restored = spawn_blocking(move || kept.restore(&sessions)).await;
            restored.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
        }
        Board { sessions, door, kept }
    }

    pub fn router(&self, api: &Api) -> Router {
        wallboard::router(api, self.door.clone())
    }

    pub fn browsing(&self) -> Browsing {
        let sessions = self.sessions.clone();
        Browsing { sessions, takes_session: wallboard::takes_session, is_browsed: wallboard::is_ours }
    }

    /// Writes sessions from now on, since the data directory is this server's own.
    pub fn keep(self) {
        if let Some(kept) = self.kept {
            tokio::spawn(kept.follow(self.sessions));
        }
    }
}
