//! The binary as a child process.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::eventually_blocking;

/// A server that is to be started.
pub struct Launch {
    arguments: Vec<OsString>,
    working_dir: Option<PathBuf>,
    program: PathBuf,
    variables: Vec<(OsString, OsString)>,
    /// The limit on its open files; ours without it.
    files: Option<u64>,
}

/// What a process has printed so far.
#[derive(Clone, Default)]
pub struct Printed(Arc<Mutex<String>>);

impl Printed {
    fn follow(stream: impl Read + Send + 'static) -> Printed {
        let printed = Printed::default();
        let there = printed.clone();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stream);
            let mut line = Vec::new();
            while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                there.0.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        printed
    }

    pub fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    pub fn contains(&self, text: &str) -> bool {
        self.0.lock().unwrap().contains(text)
    }
}

impl Launch {
    /// Serves from this data directory on a free port.
    pub fn on(data_dir: &Path) -> Launch {
        Launch::serve().with(["--data-dir"]).with([data_dir])
    }

    pub fn ephemeral() -> Launch {
        Launch::serve().with(["--ephemeral"])
    }

    /// With a simulated centre, on a free port.
    pub fn demo() -> Launch {
        Launch::demo_at("127.0.0.1:0")
    }

    pub fn demo_at(address: &str) -> Launch {
        Launch::serve_at(address).with(["--demo"])
    }

    /// As [`Launch::ephemeral`], on this address.
    pub fn listening_on(address: &str) -> Launch {
        Launch::serve_at(address).with(["--ephemeral"])
    }

    fn serve() -> Launch {
        Launch::serve_at("127.0.0.1:0")
    }

    fn serve_at(address: &str) -> Launch {
        let program = env!("CARGO_BIN_EXE_tasktally").into();
        let launch = Launch { arguments: Vec::new(), working_dir: None, program, variables: Vec::new(), files: None };
        launch.with(["serve", "--listen", address])
    }

    /// With this working directory.
    pub fn inside(mut self, dir: &Path) -> Launch {
        self.working_dir = Some(dir.to_owned());
        self
    }

    /// Another build of the binary than the tests' own.
    pub fn of(mut self, program: &Path) -> Launch {
        self.program = program.to_owned();
        self
    }

    /// With these environment variables besides.
    pub fn within<N: AsRef<OsStr>, V: AsRef<OsStr>>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Launch {
        let owned = |(name, value): (N, V)| (name.as_ref().to_owned(), value.as_ref().to_owned());
        self.variables.extend(variables.into_iter().map(owned));
        self
    }

    pub fn with<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Launch {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// With this limit on open files, soft and hard.
    pub fn files(mut self, most: u64) -> Launch {
        self.files = Some(most);
        self
    }

    /// Starts it and does not wait for anything.
    pub fn spawn(&self) -> Server {
        let mut command = match self.files {
            None => Command::new(&self.program),
            Some(most) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {most}; exec \"$0\" \"$@\"")]).arg(&self.program);
                shell
            }
        };
        command.args(&self.arguments);
        if let Some(dir) = &self.working_dir {
            command.current_dir(dir);
        }
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TASKTALLY_")) {
            // Settings of whoever runs the tests are not settings of the servers under test.
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let out = Printed::follow(child.stdout.take().unwrap());
        let log = Printed::follow(child.stderr.take().unwrap());
        Server { child, out, log, address: String::new() }
    }

    /// Starts it and waits until it says where it listens, which is when it serves.
    pub fn start(&self) -> Server {
        let mut server = self.spawn();
        server.address = eventually_blocking("the server says where it listens", || {
            let text = server.out.text();
            let line = text.lines().find(|line| line.contains(" listens on "));
            if let Some(line) = line.filter(|_| text.contains('\n')) {
                return Some(line.rsplit(' ').next().unwrap().to_owned());
            }
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server ended with {status} instead of serving:\n{}", server.log.text());
            }
            None
        });
        server
    }
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    pub out: Printed,
    pub log: Printed,
    /// `IP:PORT`; empty for one that was only spawned.
    pub address: String,
}

impl Server {
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and the end of the process.
    pub fn kill(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Sends a signal by name: `TERM`, `INT`.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until the process ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        eventually_blocking("the process ends", || self.child.try_wait().unwrap())
    }

    /// SIGTERM, and the end of the process, which must be a good one.
    pub fn stop(mut self) {
        self.signal("TERM");
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "log:\n{}", self.log.text());
    }

    /// Waits until it ends because it could not start, which a later start may; answers what it logged.
    pub fn refuses_to_start(self) -> String {
        self.refuses(1)
    }

    /// Likewise, because of how it was started: no start that is the same can do better.
    pub fn refuses_its_flags(self) -> String {
        self.refuses(2)
    }

    fn refuses(mut self, code: i32) -> String {
        let status = self.wait();
        assert_eq!(status.code(), Some(code), "log:\n{}", self.log.text());
        assert_eq!(self.out.text(), "", "it never said that it listens");
        // As in `logs`.
        eventually_blocking("the reason is logged", || self.log.contains("ERROR").then(|| self.log.text()))
    }

    /// Waits until it has logged this. The log is read by a thread of its own, a moment behind the process.
    pub fn logs(&self, text: &str) {
        eventually_blocking(&format!("{text:?} is logged"), || self.log.contains(text).then_some(()));
    }

    /// Resident memory, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.status_line("VmRSS:") * 1024
    }

    pub fn threads(&self) -> u64 {
        self.status_line("Threads:")
    }

    /// Open files, connections included.
    pub fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Processor time used so far.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name, in parentheses, may hold blanks; of what follows it, the 12th and 13th are times, in ticks of 10 ms.
        let fields = stat.rsplit_once(") ").unwrap().1.split(' ').collect::<Vec<_>>();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    fn status_line(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// That nothing in the process has panicked so far.
    pub fn assert_sound(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "the server has ended; log:\n{}", self.log.text());
        assert!(!self.log.contains("panicked"), "log:\n{}", self.log.text());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- log of the server at {}:\n{}", self.address, self.log.text());
        }
    }
}

/// Runs a command of the binary to its end, with nothing on standard input and no settings from outside.
pub fn tasktally<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tasktally"));
    command.args(arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TASKTALLY_")) {
        command.env_remove(name);
    }
    let output = command.env_remove("RUST_LOG").stdin(Stdio::null()).output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// What became of a command.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// What it printed on standard output, given that it went well.
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}
