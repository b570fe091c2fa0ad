//! A disk that fails on purpose: `shim.c`, compiled when first asked for and preloaded into a process under test.
//!
//! [`Faults`] is one process's disk: it says what happens to which call, may be told so while the process runs, and
//! counts. [`trace`] knows from the record of all changes what a kill or a power cut at any point would leave.

#![allow(dead_code, reason = "each test binary compiles this module and uses its own share of it")]

pub mod trace;

use std::ffi::OsString;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// Kinds of calls, as bits: `enum kind` of the shim.
pub mod kinds {
    pub const OPEN: u64 = 1;
    pub const CREATE: u64 = 1 << 1;
    pub const READ: u64 = 1 << 2;
    pub const WRITE: u64 = 1 << 3;
    pub const TRUNCATE: u64 = 1 << 4;
    pub const SYNC: u64 = 1 << 5;
    pub const SYNC_FOLDER: u64 = 1 << 6;
    pub const RENAME: u64 = 1 << 7;
    pub const UNLINK: u64 = 1 << 8;
    /// Everything that changes something.
    pub const CHANGES: u64 = CREATE | WRITE | TRUNCATE | SYNC | SYNC_FOLDER | RENAME | UNLINK;
    /// What a full disk refuses.
    pub const GROWS: u64 = CREATE | WRITE;
}

/// Files, as bits: `enum file` of the shim.
pub mod files {
    pub const DB: u64 = 1;
    pub const WAL: u64 = 1 << 1;
    pub const CHECKPOINT: u64 = 1 << 2;
    pub const CHECKPOINT_TMP: u64 = 1 << 3;
    pub const LOCK: u64 = 1 << 4;
    pub const NEW: u64 = 1 << 5;
    pub const TRIAL: u64 = 1 << 6;
    pub const FOLDER: u64 = 1 << 7;
    pub const OTHER: u64 = 1 << 8;
    pub const ALL: u64 = (1 << 9) - 1;
    pub const JOURNAL: u64 = DB | WAL;
    pub const CHECKPOINTS: u64 = CHECKPOINT | CHECKPOINT_TMP;
}

/// `errno`s, by their numbers on Linux.
pub mod errno {
    pub const EIO: u64 = 5;
    pub const EACCES: u64 = 13;
    pub const ENOSPC: u64 = 28;
    pub const EROFS: u64 = 30;
    pub const EDQUOT: u64 = 122;
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is only counted.
    Count,
    Fail(u64),
    /// So many 1024ths of a write are done, and said to be.
    Short(u64),
    /// So many 1024ths of a write are done; then it fails.
    Torn(u64, u64),
    KillBefore,
    KillAfter,
    /// So many 1024ths of a write are done; then the process is gone.
    TornKill(u64),
    /// A bit of what is read is another one.
    Corrupt,
    /// It is said to be done, and is not.
    Pretend,
}

impl Action {
    /// `enum action` of the shim, the errno, the part.
    fn words(self) -> [u64; 3] {
        match self {
            Action::Count => [0, 0, 0],
            Action::Fail(errno) => [1, errno, 0],
            Action::Short(part) => [2, 0, part],
            Action::Torn(part, errno) => [3, errno, part],
            Action::KillBefore => [4, 0, 0],
            Action::KillAfter => [5, 0, 0],
            Action::TornKill(part) => [6, 0, part],
            Action::Corrupt => [7, 0, 0],
            Action::Pretend => [8, 0, 0],
        }
    }
}

/// Which calls something happens to: of these kinds, on these files, after the first `skip`, `count` of them; of reads and
/// writes, those that begin at these bytes.
#[derive(Clone, Debug)]
pub struct Rule {
    pub action: Action,
    pub kinds: u64,
    pub files: u64,
    pub skip: u64,
    pub count: u64,
    pub bytes: Range<u64>,
}

impl Rule {
    pub fn new(action: Action, kinds: u64, files: u64) -> Rule {
        Rule { action, kinds, files, skip: 0, count: u64::MAX, bytes: 0..u64::MAX }
    }

    /// Only the call after so many.
    pub fn nth(self, skip: u64) -> Rule {
        Rule { skip, count: 1, ..self }
    }
}

const WORDS: u64 = 13;
const SEEN: u64 = 9;
const HIT: u64 = 10;
const HIT_AT: u64 = 11;
const ENDED_AT: u64 = 12;

/// The faulty disk of one process at a time; what it was told holds over restarts of the process.
pub struct Faults {
    /// With `control` and `trace` in it.
    beside: tempfile::TempDir,
    dir: PathBuf,
    control: File,
}

impl Faults {
    /// Of the files in this folder, which is there.
    pub fn of(dir: &Path) -> Faults {
        let beside = scratch();
        let control = File::options().create_new(true).read(true).write(true).open(beside.path().join("control"));
        let control = control.expect("a new file");
        control.set_len(4096).expect("room for a page");
        let faults = Faults { beside, dir: dir.canonicalize().expect("the folder is there"), control };
        faults.clear();
        faults
    }

    /// The variables with which a process gets this disk.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", shim().into()),
            ("FAULTS_DIR", self.dir.clone().into()),
            ("FAULTS_CONTROL", self.beside.path().join("control").into()),
        ]
    }

    /// Likewise, and everything that is changed is recorded.
    pub fn environment_with_trace(&self) -> Vec<(&'static str, OsString)> {
        let mut environment = self.environment();
        environment.push(("FAULTS_TRACE", self.trace_file().into()));
        environment
    }

    pub fn trace_file(&self) -> PathBuf {
        self.beside.path().join("trace")
    }

    fn set(&self, word: u64, value: u64) {
        self.control.write_all_at(&value.to_ne_bytes(), word * 8).expect("the control file can be written");
    }

    fn get(&self, word: u64) -> u64 {
        let mut value = [0; 8];
        self.control.read_exact_at(&mut value, word * 8).expect("the control file can be read");
        u64::from_ne_bytes(value)
    }

    /// From here on, in place of what was said before; counts begin anew.
    pub fn tell(&self, rule: Rule) {
        let Rule { action, kinds, files, skip, count, bytes } = rule;
        let [action, errno, part] = action.words();
        // Nothing happens while only half is said.
        for word in 0..WORDS {
            self.set(word, 0);
        }
        for (word, value) in (2..).zip([files, skip, count, errno, part, bytes.start, bytes.end]) {
            self.set(word, value);
        }
        self.set(0, action);
        self.set(1, kinds);
    }

    /// A sound disk.
    pub fn clear(&self) {
        self.tell(Rule::new(Action::Count, 0, 0));
    }

    /// Calls of the rule so far.
    pub fn seen(&self) -> u64 {
        self.get(SEEN)
    }

    /// Of these, how many something happened to.
    pub fn hit(&self) -> u64 {
        self.get(HIT)
    }

    /// How long after the first hit the process, which is at its end, came there.
    pub fn took_to_end(&self) -> Option<Duration> {
        let (hit, end) = (self.get(HIT_AT), self.get(ENDED_AT));
        (hit > 0 && end > 0).then(|| Duration::from_nanos(end - hit))
    }
}

/// A folder in memory where there is such a place: what a sync costs is no matter here.
pub fn scratch() -> tempfile::TempDir {
    let shared_memory = Path::new("/dev/shm");
    let dir = if shared_memory.is_dir() { tempfile::tempdir_in(shared_memory) } else { tempfile::tempdir() };
    dir.expect("a temporary directory")
}

/// The compiled shim.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/shim.c");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (made, shim) = (target.join(format!("faults-{}.so", std::process::id())), target.join("faults.so"));
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut compile = Command::new(compiler);
        compile.args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&made).arg(source);
        let output = compile.output().expect("a C compiler, which the bundled SQLite needs too");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // By renaming, so that tests that run at the same time see all of it or nothing.
        std::fs::rename(made, &shim).expect("the shim has a place");
        shim
    })
}
