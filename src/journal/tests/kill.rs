//! A process that is killed while it writes: what it had acknowledged is there, and its lock is not.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use super::basics::{read_after, row, scratch};
use crate::journal::{Compression, Journal, age::BlockSize, store::Settings};

const DIRECTORY: &str = "TASKTALLY_KILLED_JOURNAL";
const KEPT: u64 = 400;

fn open(dir: &Path) -> Journal {
    let block = BlockSize { bytes: 20_000, rows: 16 };
    let settings = Settings { wal_bytes: 100_000, block, at_once_bytes: 1_500, ..Settings::default() };
    Journal::open_with(dir, "a process to be killed", settings).unwrap().0
}

/// Bytes that name their position.
fn body(first: u64) -> Vec<u8> {
    first.to_le_bytes().repeat(1 + (first % 300) as usize)
}

/// Runs in a process of its own: writes until it is killed, and prints each end once it is acknowledged.
#[test]
#[ignore = "the other half of the next test"]
fn child() {
    let Ok(dir) = env::var(DIRECTORY) else { return };
    let mut journal = open(Path::new(&dir));
    let mut out = std::io::stdout();
    for round in 0.. {
        let first = journal.end() + 1;
        let (one, two) = (body(first), body(first + 3));
        let end = journal.append(&[row(3, first as i64, &one), row(2, first as i64 + 3, &two)]).unwrap();
        writeln!(out, "acknowledged {end}").unwrap();
        out.flush().unwrap();
        match round % 4 {
            0 => journal.tidy().unwrap(),
            1 => drop(journal.compress(Compression { older_than_ms: end as i64 - 100, tail_bytes: 0 }).unwrap()),
            2 => drop(journal.drop_rows((end as i64) - KEPT as i64, end, 3).unwrap()),
            _ => journal.put_carry(b"end", &end.to_le_bytes()).unwrap(),
        }
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_it_acknowledged() {
    let dir = scratch();
    let mut acknowledged = 0;
    for round in 0..15 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "journal::tests::kill::child", "--ignored", "--nocapture"])
            .env(DIRECTORY, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let seen = lines.by_ref().filter(|line| line.starts_with("acknowledged ")).nth(20 + 17 * round);
        assert!(seen.is_some(), "the writer ended by itself");
        child.kill().unwrap();
        // What it still said before the end counts too, unless the end cut the line.
        let said = seen.into_iter().chain(lines).filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
        acknowledged = said.fold(acknowledged, u64::max);
        child.wait().unwrap();
        let mut journal = open(dir.path());
        let end = journal.end();
        assert!(end == acknowledged || end == acknowledged + 5, "{end} after {acknowledged} was acknowledged");
        let rows = read_after(&mut journal, 0);
        assert!(rows.iter().all(|r| r.3 == body(r.0) && r.2 == r.0 as i64), "round {round}");
        let kept: u64 = rows.iter().map(|r| u64::from(r.1)).sum();
        assert!(kept >= end.min(KEPT) && rows.last().unwrap().0 + 1 == end, "{kept} events kept, up to {end}");
        acknowledged = end;
    }
}
