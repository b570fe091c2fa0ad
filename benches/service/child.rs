//! A measured service: a process of its own, whose CPU and memory are read from `/proc`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A service that listens. Killed when dropped.
pub struct Service {
    child: Child,
    pub address: SocketAddr,
    /// From its start until it said that it serves.
    pub ready_after: Duration,
}

impl Service {
    /// The real binary, on a free port.
    pub fn tasktally(data_dir: &Path) -> Service {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tasktally"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "warn", "--data-dir"]).arg(data_dir);
        Service::start(command)
    }

    /// This very program as a bare service.
    pub fn bare() -> Service {
        let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
        command.arg(super::ECHO);
        Service::start(command)
    }

    /// Likewise as a bare web service.
    pub fn bare_web() -> Service {
        let mut command = Command::new(std::env::current_exe().expect("the path of this program"));
        command.arg(super::AXUM);
        Service::start(command)
    }

    fn start(mut command: Command) -> Service {
        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).spawn().expect("start a service");
        let mut lines = BufReader::new(child.stdout.take().expect("its standard output is piped")).lines();
        let address = loop {
            let line = lines.next().expect("the service ended before it listened").expect("its output");
            if let Some((_, address)) = line.split_once("listens on ") {
                break address.trim().parse().expect("an address");
            }
        };
        let ready_after = started.elapsed();
        // What else it says is read away, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Service { child, address, ready_after }
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(PathBuf::from("/proc").join(self.child.id().to_string()).join(name)).expect("procfs")
    }

    /// User and system time since its start, in microseconds, in steps of 10 ms.
    pub fn cpu_us(&self) -> f64 {
        let stat = self.file("stat");
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse().unwrap_or(0)).sum();
        ticks as f64 * 10_000.0
    }

    pub fn resident_bytes(&self) -> f64 {
        let status = self.file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).expect("a number of KiB") * 1024.0
    }

    /// SIGTERM, then its end; answers how long that took.
    pub fn stop(mut self) -> Duration {
        let started = Instant::now();
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill");
        assert!(told.success(), "cannot signal the service");
        let status = self.child.wait().expect("wait for the service");
        assert!(status.success(), "the service ended with {status}");
        started.elapsed()
    }

    /// SIGKILL: what it had to do is left undone.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
