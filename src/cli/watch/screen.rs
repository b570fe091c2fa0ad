//! The terminal: taken at the beginning, and given back however the board ends.

use std::io::{self, BufWriter, Stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{self, Event};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::layout::{Position, Rect};
use rustix::process::kill_current_process_group;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::model::Model;
use super::view;
use crate::cli::failure::Failure;
use crate::limits;

/// Whether there is something to give back.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Bytes of a painting that go to the terminal at once: a whole one of a large terminal.
const PAINTING_BYTES: usize = 64 * 1024;

pub struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
    /// SIGCONT: whoever had the terminal meanwhile may have left it in any state.
    resumed: Signal,
}

impl Screen {
    pub fn open() -> Result<Screen, Failure> {
        give_back_on_panic(give_back);
        let resumed = signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw())).map_err(trouble)?;
        take()?;
        let out = BufWriter::with_capacity(PAINTING_BYTES, io::stdout());
        let terminal = Terminal::new(CrosstermBackend::new(out)).inspect_err(|_| give_back()).map_err(trouble)?;
        Ok(Screen { terminal, resumed })
    }

    pub fn paint(&mut self, model: &Model, now: Instant) -> Result<(), Failure> {
        self.terminal.draw(|frame| view::draw(frame, model, now)).map(|_| ()).map_err(trouble)
    }

    /// Nothing of what was painted counts as being there. Not by `clear`, which asks the terminal where its cursor is, and
    /// would wait for an answer that the thread of the keys takes.
    pub fn repaint(&mut self) -> Result<(), Failure> {
        let size = self.terminal.size().map_err(trouble)?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size))).map_err(trouble)
    }

    /// Until this process was stopped, and goes on.
    pub async fn resumed(&mut self) {
        self.resumed.recv().await;
    }

    /// Takes the terminal anew, in whatever state it is.
    pub fn take_again(&mut self) -> Result<(), Failure> {
        give_back();
        take()?;
        self.repaint()
    }

    /// As Ctrl-Z would do it outside of raw mode: all of the job stops, until somebody has it go on.
    pub async fn suspend(&mut self) -> Result<(), Failure> {
        give_back();
        kill_current_process_group(rustix::process::Signal::TSTP).map_err(|error| trouble(error.into()))?;
        // The signal may take its time; and where no shell has jobs it does nothing at all.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.resumed.recv()).await;
        self.take_again()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> Result<(), Failure> {
    IS_TAKEN.store(true, Ordering::SeqCst);
    let taken = enable_raw_mode().and_then(|()| execute!(io::stdout(), EnterAlternateScreen, Hide));
    taken.inspect_err(|_| give_back()).map_err(trouble)
}

fn give_back() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        // There is nowhere left to complain to.
        let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}

/// Before the panic is told, so that it is read: on the board's own screen it would be gone with it.
fn give_back_on_panic(give_back: impl Fn() + Send + Sync + 'static) {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        give_back();
        told(info);
    }));
}

pub fn trouble(error: io::Error) -> Failure {
    Failure::local("the terminal", error)
}

/// What the user types, and that the terminal has another size. Ends with the receiver.
pub fn keys() -> Result<mpsc::Receiver<io::Result<Event>>, Failure> {
    let (sender, keys) = mpsc::channel(limits::TERMINAL_KEYS);
    let read = move || {
        loop {
            let event = match event::poll(limits::TERMINAL_TICK) {
                Ok(false) if sender.is_closed() => return,
                Ok(false) => continue,
                Ok(true) => event::read(),
                Err(error) => Err(error),
            };
            let is_last = event.is_err();
            if sender.blocking_send(event).is_err() || is_last {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("keys".to_owned())
        .spawn(read)
        .map_err(|error| Failure::local("a thread", error))?;
    Ok(keys)
}

/// The exit code with which a signal asks for the end.
#[expect(clippy::disallowed_methods, reason = "a terminal that takes nothing more must not keep a process")]
pub fn ends() -> Result<mpsc::Receiver<u8>, Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(trouble)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(trouble)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(trouble)?;
    let mut quit = signal(SignalKind::quit()).map_err(trouble)?;
    let (sender, ends) = mpsc::channel(1);
    tokio::spawn(async move {
        let code = tokio::select! {
            // As the key does.
            _ = interrupt.recv() => 0,
            // As shells tell of a program that a signal ended.
            _ = terminate.recv() => 128 + 15,
            _ = hangup.recv() => 128 + 1,
            _ = quit.recv() => 128 + 3,
        };
        let _ = sender.send(code).await;
        tokio::time::sleep(limits::TERMINAL_END).await;
        std::process::exit(i32::from(code));
    });
    Ok(ends)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const CHILD: &str = "TASKTALLY_TEST_PANICS";

    /// In a process of its own, whose hook is nobody else's.
    #[test]
    fn a_panic_of_any_thread_is_told_after_the_terminal_is_given_back() {
        if std::env::var_os(CHILD).is_some() {
            give_back_on_panic(|| crate::cli::say("given back"));
            std::thread::spawn(|| panic!("a figure that no view can paint")).join().unwrap_err();
            return;
        }
        let name = "cli::watch::screen::tests::a_panic_of_any_thread_is_told_after_the_terminal_is_given_back";
        let child = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let told = String::from_utf8(child.stderr).unwrap();
        let (back, panic) = (told.find("given back").unwrap(), told.find("a figure that no view can paint").unwrap());
        assert!(back < panic, "{told}");
    }
}
