//! How far an import is: what must survive its end, in a small file that is always whole.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::failure::Failure;
use crate::limits;

/// Which events, from where to where. Seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// Where they come from, and where they go.
    pub base_url: String,
    pub account_sid: String,
    pub address: String,
    pub since_s: i64,
    pub until_s: i64,
    pub workspaces: Vec<Share>,
}

/// One workspace of an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub workspace_sid: String,
    /// Every event before this second is settled.
    pub done_s: i64,
}

const VERSION: u32 = 1;

impl State {
    /// An import that has not begun.
    pub fn new(base_url: &str, account: &str, address: &str, (since_s, until_s): (i64, i64), sids: &[String]) -> State {
        let mut workspaces: Vec<Share> = Vec::new();
        for sid in sids {
            if workspaces.iter().all(|share| share.workspace_sid != *sid) {
                workspaces.push(Share { workspace_sid: sid.clone(), done_s: since_s });
            }
        }
        State {
            version: VERSION,
            base_url: base_url.to_owned(),
            account_sid: account.to_owned(),
            address: address.to_owned(),
            since_s,
            until_s,
            workspaces,
        }
    }

    /// Goes on from what the file says: workspaces that it does not know are begun, its end stays as it was until all is
    /// done.
    ///
    /// # Errors
    /// The file is of another import.
    pub fn resumed(mut self, earlier: State) -> Result<State, String> {
        let pairs = [
            ("--base-url", &earlier.base_url, &self.base_url),
            ("--account-sid", &earlier.account_sid, &self.account_sid),
            ("--address", &earlier.address, &self.address),
        ];
        for (flag, of_file, given) in pairs {
            if of_file != given {
                return Err(format!("it is of an import with {flag} {of_file}, not {given}"));
            }
        }
        let is_finished = earlier.workspaces.iter().all(|share| share.done_s >= earlier.until_s);
        if !is_finished {
            self.until_s = earlier.until_s;
        }
        for share in &mut self.workspaces {
            if let Some(before) = earlier.workspaces.iter().find(|before| before.workspace_sid == share.workspace_sid) {
                // A --since of earlier times asks for what was not read then.
                share.done_s = if self.since_s < earlier.since_s { self.since_s } else { before.done_s };
            }
        }
        // Those that this run leaves alone are not forgotten.
        for before in earlier.workspaces {
            if self.workspaces.iter().all(|share| share.workspace_sid != before.workspace_sid) {
                self.workspaces.push(before);
            }
        }
        self.since_s = self.since_s.min(earlier.since_s);
        Ok(self)
    }

    pub fn done_s(&self, workspace: &str) -> i64 {
        let share = self.workspaces.iter().find(|share| share.workspace_sid == workspace);
        share.map_or(self.since_s, |share| share.done_s)
    }

    pub fn set_done(&mut self, workspace: &str, done_s: i64) {
        for share in self.workspaces.iter_mut().filter(|share| share.workspace_sid == workspace) {
            share.done_s = done_s;
        }
    }
}

/// `None` where there is no such file yet.
///
/// # Errors
/// It cannot be read, or is not one that [`save`] wrote.
pub fn load(file: &Path) -> Result<Option<State>, Failure> {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(limits::IMPORT_RESUME_BYTES).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::local(format!("--resume {}", file.display()), error)),
        Ok(_) => {}
    }
    match serde_json::from_str::<State>(&text) {
        Ok(state) if state.version == VERSION => Ok(Some(state)),
        Ok(state) => Err(bad(file, &format!("it has version {}, this program knows {VERSION}", state.version))),
        Err(error) => Err(bad(file, &format!("it is not what an import wrote: {error}"))),
    }
}

/// What to do about a file that is of no use.
pub fn bad(file: &Path, why: &str) -> Failure {
    Failure::Usage(format!("--resume {}: {why}; name another file, or remove it to begin anew", file.display()))
}

/// Writes another file and renames it, so that the file is whole whenever the process ends.
///
/// # Errors
/// It cannot be written.
pub fn save(file: &Path, state: &State) -> Result<(), Failure> {
    let trouble = |error: io::Error| Failure::local(format!("--resume {}", file.display()), error);
    let text = serde_json::to_string_pretty(state).map_err(|error| trouble(error.into()))? + "\n";
    let mut name = file.as_os_str().to_owned();
    name.push(".tmp");
    let new = PathBuf::from(name);
    let written = File::create(&new).and_then(|mut out| {
        out.write_all(text.as_bytes())?;
        out.sync_all()
    });
    written.and_then(|()| fs::rename(&new, file)).map_err(trouble)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(since_s: i64, until_s: i64, sids: &[&str]) -> State {
        let sids: Vec<String> = sids.iter().map(|sid| (*sid).to_owned()).collect();
        State::new("https://x", "AC1", "http://y", (since_s, until_s), &sids)
    }

    #[test]
    fn an_import_goes_on_where_it_was_to_the_end_that_it_had() {
        let mut earlier = fresh(100, 200, &["WS1", "WS2"]);
        earlier.set_done("WS1", 200);
        earlier.set_done("WS2", 150);
        let resumed = fresh(120, 900, &["WS1", "WS2", "WS3"]).resumed(earlier.clone()).unwrap();
        assert_eq!((resumed.done_s("WS1"), resumed.done_s("WS2"), resumed.done_s("WS3")), (200, 150, 120));
        assert_eq!(resumed.until_s, 200, "not finished: the end stays");
        earlier.set_done("WS2", 200);
        let resumed = fresh(120, 900, &["WS1"]).resumed(earlier.clone()).unwrap();
        assert_eq!((resumed.until_s, resumed.done_s("WS1")), (900, 200), "finished: on until now");
        assert_eq!(resumed.done_s("WS2"), 200, "what is not asked for is not forgotten");
        let wider = fresh(50, 900, &["WS1"]).resumed(earlier).unwrap();
        assert_eq!(wider.done_s("WS1"), 50, "earlier times were not read");
    }

    #[test]
    fn a_file_of_another_import_is_refused_and_says_why() {
        let earlier = fresh(100, 200, &["WS1"]);
        let other = State { address: "http://z".to_owned(), ..fresh(100, 200, &["WS1"]) };
        assert!(other.resumed(earlier).unwrap_err().contains("--address http://y, not http://z"));
    }

    #[test]
    fn the_file_is_read_as_it_was_written_and_rubbish_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("import.json");
        assert_eq!(load(&file).unwrap(), None);
        let state = fresh(100, 200, &["WS1", "WS1"]);
        assert_eq!(state.workspaces.len(), 1, "named twice, imported once");
        save(&file, &state).unwrap();
        assert_eq!(load(&file).unwrap(), Some(state));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        for rubbish in ["", "{}", "{\"version\":2}"] {
            fs::write(&file, rubbish).unwrap();
            let said = load(&file).unwrap_err().to_string();
            assert!(said.contains("--resume") && said.contains("begin anew"), "{said}");
        }
    }
}
