//! A time of day of their own for a server and for those who send to it, which runs fast or is set back and forward.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use super::events::now_ms;

/// Runs while a server does, so many times as fast as the machine's; stands still between two of them, so that what is
/// in doubt after a kill does not grow too old meanwhile.
pub struct Clock {
    speed: i64,
    shim: PathBuf,
    /// By how many nanoseconds the clock has been set: what a process with this clock looks at each time.
    set: tempfile::NamedTempFile,
    running: Mutex<Running>,
}

#[derive(Clone, Copy)]
struct Running {
    /// On the monotonic clock; `None` while it stands still.
    from_ns: Option<i64>,
    shows_ns: i64,
    set_ns: i64,
}

impl Running {
    fn at(self, monotonic_ns: i64, speed: i64) -> i64 {
        self.shows_ns + self.set_ns + self.from_ns.map_or(0, |from_ns| (monotonic_ns - from_ns) * speed)
    }
}

impl Clock {
    pub fn new(speed: i64) -> Clock {
        let running = Running { from_ns: None, shows_ns: now_ms() * 1_000_000, set_ns: 0 };
        let clock =
            Clock { speed, shim: shim(), set: tempfile::NamedTempFile::new().unwrap(), running: Mutex::new(running) };
        clock.show(0);
        clock
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.running.lock().unwrap().at(monotonic_ns(), self.speed) / 1_000_000
    }

    pub fn stop(&self) {
        let mut running = self.running.lock().unwrap();
        let shows_ns = running.at(monotonic_ns(), self.speed) - running.set_ns;
        *running = Running { from_ns: None, shows_ns, ..*running };
    }

    /// Sets it to so many milliseconds ahead of, or behind, what it would show if it had never been set.
    pub fn set(&self, ms: i64) {
        let mut running = self.running.lock().unwrap();
        running.set_ns = ms * 1_000_000;
        self.show(running.set_ns);
    }

    fn show(&self, set_ns: i64) {
        let file: &File = self.set.as_file();
        file.write_all_at(&set_ns.to_ne_bytes(), 0).expect("the clock's file takes a number");
    }

    /// Goes on, and says with which variables a process has this clock.
    pub fn go_on(&self) -> [(&'static str, OsString); 2] {
        let mut running = self.running.lock().unwrap();
        let from_ns = *running.from_ns.get_or_insert_with(monotonic_ns);
        let mut told = OsString::from(format!("{from_ns},{},{},", running.shows_ns, self.speed));
        told.push(self.set.path());
        [("LD_PRELOAD", self.shim.clone().into()), ("TEST_CLOCK", told)]
    }
}

/// The clock that every process of the machine shares.
fn monotonic_ns() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// `clock.c`, compiled.
fn shim() -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/clock.c");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (made, shim) = (target.join(format!("clock-{}.so", std::process::id())), target.join("clock.so"));
    let mut compile = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compile.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&made).arg(source).arg("-ldl");
    let output = compile.output().expect("a C compiler, which the bundled SQLite needs too");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(made, &shim).expect("the shim has a place");
    shim
}
