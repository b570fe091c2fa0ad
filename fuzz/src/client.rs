//! What `tasktally ingest` reads: lines of JSON.

use std::io::BufReader;

use tasktally::cli::json;
use tasktally::cli::lines::Lines;

/// The longest line here; small, so that inputs reach it.
const LONGEST: usize = 512;

/// Lines cover the input, in bounded memory; each is an event, whose JSON is read back alike, or refused with a reason.
pub fn json(input: &[u8]) {
    let mut lines = Lines::new(BufReader::with_capacity(64, input), LONGEST);
    let (mut number, mut end) = (0, 0);
    while let Some(line) = lines.next_line().expect("reading memory") {
        number += 1;
        assert!(line.number == number && line.end > end);
        end = line.end;
        let Some(text) = line.text else { continue };
        assert!(text.len() <= LONGEST);
        read(&text);
    }
    assert_eq!(end, input.len() as u64, "every byte is in a line");
}

fn read(text: &[u8]) {
    let _ = json::sid(text);
    match json::event(text) {
        Err(why) => assert!(!why.is_empty()),
        // A time that no calendar has is read, and cannot be written.
        Ok(event) => {
            if let Ok(line) = json::line("Event", &event) {
                assert_eq!(json::event(line.as_bytes()).as_ref(), Ok(&event), "{line}");
            }
        }
    }
}
