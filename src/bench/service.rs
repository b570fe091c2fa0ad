//! A measured service: a process of our own or one that runs already, whose CPU is read from `/proc`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::cli::args::ConnectionArgs;
use crate::cli::failure::Failure;

/// A service that listens. One of our own is killed when dropped.
pub struct Service {
    child: Option<Child>,
    pid: Option<u32>,
    pub connection: ConnectionArgs,
}

impl Service {
    /// This very program as a server, on a free port.
    pub fn tasktally(connection: &ConnectionArgs, data_dir: &Path) -> Result<Service, Failure> {
        let mut arguments =
            ["serve", "--listen", "127.0.0.1:0", "--log-level", "warn", "--data-dir"].map(Into::into).to_vec();
        arguments.push(data_dir.as_os_str().to_owned());
        Service::start(connection, &arguments)
    }

    /// This very program as a bare service.
    pub fn bare(connection: &ConnectionArgs) -> Result<Service, Failure> {
        Service::start(connection, &["bench", "--bare"].map(Into::into))
    }

    /// One that is there.
    pub fn running(connection: &ConnectionArgs, pid: Option<u32>) -> Service {
        Service { child: None, pid, connection: connection.clone() }
    }

    fn start(connection: &ConnectionArgs, arguments: &[std::ffi::OsString]) -> Result<Service, Failure> {
        let starting = |error| Failure::local("starting a service to measure", error);
        let mut command = Command::new(std::env::current_exe().map_err(starting)?);
        // What is meant for a server or a client elsewhere is not meant for this one.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TASKTALLY_")) {
            command.env_remove(name);
        }
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(starting)?;
        let out = child.stdout.take();
        let pid = Some(child.id());
        // Dropped, and so ended, where it does not come to listen.
        let mut service = Service { child: Some(child), pid, connection: connection.clone() };
        let mut lines = out.into_iter().flat_map(|out| BufReader::new(out).lines());
        let address = loop {
            let line =
                lines.next().ok_or_else(|| starting(std::io::ErrorKind::UnexpectedEof.into()))?.map_err(starting)?;
            if let Some((_, address)) = line.split_once("listens on ") {
                break address.trim().to_owned();
            }
        };
        service.connection.address = format!("http://{address}");
        service.connection.token = Default::default();
        service.connection.tls = Default::default();
        // What else it says is read away, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(service)
    }

    /// User and system time since its start, in microseconds, in steps of 10 ms; `None` where it cannot be read.
    pub fn cpu_us(&self) -> Option<f64> {
        let stat = fs::read_to_string(PathBuf::from("/proc").join(self.pid?.to_string()).join("stat")).ok()?;
        let (_, after_name) = stat.rsplit_once(')')?;
        let ticks = after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().ok());
        Some(ticks.sum::<Option<u64>>()? as f64 * 10_000.0)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may be gone already.
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }
}

/// A directory of our own, removed in the end.
pub struct Home(PathBuf);

impl Home {
    pub fn new(within: Option<&Path>) -> Result<Home, Failure> {
        let within = within.map_or_else(std::env::temp_dir, Path::to_owned);
        let dir = within.join(format!("tasktally-bench-{}", std::process::id()));
        fs::create_dir(&dir).map_err(|error| Failure::local(dir.display().to_string(), error))?;
        Ok(Home(dir))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What is left lies in the directory for temporary files.
        let _left = fs::remove_dir_all(&self.0);
    }
}
