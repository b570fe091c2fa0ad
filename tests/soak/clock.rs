//! The accelerated clock: one time of day for the server and for those who send to it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::common::events::now_ms;

/// Runs while a server does, so many times as fast as the machine's; stands still between two of them, so that what is
/// in doubt after a kill does not grow too old meanwhile.
pub struct Clock {
    speed: i64,
    shim: PathBuf,
    running: Mutex<Running>,
}

#[derive(Clone, Copy)]
struct Running {
    /// On the monotonic clock; `None` while it stands still.
    from_ns: Option<i64>,
    shows_ns: i64,
}

impl Running {
    fn at(self, monotonic_ns: i64, speed: i64) -> i64 {
        self.shows_ns + self.from_ns.map_or(0, |from_ns| (monotonic_ns - from_ns) * speed)
    }
}

impl Clock {
    pub fn new(speed: i64) -> Clock {
        let running = Running { from_ns: None, shows_ns: now_ms() * 1_000_000 };
        Clock { speed, shim: shim(), running: Mutex::new(running) }
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.running.lock().unwrap().at(monotonic_ns(), self.speed) / 1_000_000
    }

    pub fn stop(&self) {
        let mut running = self.running.lock().unwrap();
        *running = Running { from_ns: None, shows_ns: running.at(monotonic_ns(), self.speed) };
    }

    /// Goes on, and says with which variables a process has this clock.
    pub fn go_on(&self) -> [(&'static str, OsString); 2] {
        let mut running = self.running.lock().unwrap();
        let from_ns = monotonic_ns();
        running.from_ns = Some(from_ns);
        let told = format!("{from_ns},{},{}", running.shows_ns, self.speed);
        [("LD_PRELOAD", self.shim.clone().into()), ("SOAK_CLOCK", told.into())]
    }
}

/// The clock that every process of the machine shares.
fn monotonic_ns() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// `clock.c`, compiled.
fn shim() -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/soak/clock.c");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (made, shim) = (target.join(format!("clock-{}.so", std::process::id())), target.join("clock.so"));
    let mut compile = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compile.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&made).arg(source).arg("-ldl");
    let output = compile.output().expect("a C compiler, which the bundled SQLite needs too");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(made, &shim).expect("the shim has a place");
    shim
}
