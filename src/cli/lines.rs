//! Lines of a file or an endless pipe, in bounded memory.

use std::io::{self, BufRead, Read};

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// From 1.
    pub number: u64,
    /// `None` for a line longer than the bound; it was skipped.
    pub text: Option<Vec<u8>>,
    /// Where the line ends in the input, its end included.
    pub end: u64,
}

/// Reads lines of at most `longest` bytes.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    longest: usize,
    number: u64,
    position: u64,
}

impl<R: BufRead> Lines<R> {
    pub fn new(input: R, longest: usize) -> Lines<R> {
        Lines { input, longest, number: 0, position: 0 }
    }

    pub fn input(&self) -> &R {
        &self.input
    }

    /// The next line; `None` at the end of the input.
    ///
    /// # Errors
    /// The input cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        let mut text = Vec::new();
        // One byte more than the longest line and its end.
        let bound = self.longest as u64 + 2;
        let read = (&mut self.input).take(bound).read_until(b'\n', &mut text)? as u64;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        self.position += read;
        let whole = text.last() == Some(&b'\n');
        if whole {
            text.pop();
        } else if read == bound {
            self.skip_line()?;
        }
        let text = (text.len() <= self.longest).then_some(text);
        Ok(Some(Line { number: self.number, text, end: self.position }))
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = match self.input.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = buffer.iter().position(|&byte| byte == b'\n');
            let length = end.map_or(buffer.len(), |end| end + 1);
            self.input.consume(length);
            self.position += length as u64;
            if end.is_some() || length == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(input: &str, longest: usize, buffer: usize) -> Vec<(u64, Option<String>, u64)> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, input.as_bytes()), longest);
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            all.push((line.number, line.text.map(|text| String::from_utf8(text).unwrap()), line.end));
        }
        all
    }

    #[test]
    fn a_line_longer_than_the_bound_is_skipped_and_counted() {
        for buffer in [1, 3, 64] {
            let found = lines("abc\n\nabcd\nabcdefgh\nx", 3, buffer);
            let text = |text: &str| Some(text.to_owned());
            let expected =
                vec![(1, text("abc"), 4), (2, text(""), 5), (3, None, 10), (4, None, 19), (5, text("x"), 20)];
            assert_eq!(found, expected, "buffer of {buffer}");
        }
        assert_eq!(lines("", 3, 8), vec![]);
        assert_eq!(lines("abcdefgh", 3, 8), vec![(1, None, 8)]);
    }
}
