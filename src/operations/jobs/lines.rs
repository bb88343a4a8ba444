//! Lines of any input, with their numbers, in bounded memory.

use std::io::{self, BufRead};

/// The longest line that is taken, in bytes.
pub(super) const LONGEST: usize = 8 << 20;

/// A line that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Without its line feed.
    Whole(&'a [u8]),
    /// More than [`LONGEST`] bytes; they were passed over.
    TooLong,
}

/// Reads lines; blank ones are counted and left out, and so is a byte order mark at the very start.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    number: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Lines<R> {
        Lines { input, number: 0, line: Vec::new() }
    }

    /// The next line with its number, counted from 1; `None` at the end.
    pub(super) fn next_line(&mut self) -> io::Result<Option<(u64, Line<'_>)>> {
        loop {
            let Some(fits) = self.read()? else { return Ok(None) };
            self.number += 1;
            if self.number == 1 && self.line.starts_with(b"\xEF\xBB\xBF") {
                self.line.drain(..3);
            }
            if !fits {
                return Ok(Some((self.number, Line::TooLong)));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some((self.number, Line::Whole(&self.line))));
            }
        }
    }

    /// Reads a line; false when it was too long to be kept, `None` at the end.
    fn read(&mut self) -> io::Result<Option<bool>> {
        self.line.clear();
        let (mut fits, mut any) = (true, false);
        loop {
            let available = match self.input.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if available.is_empty() {
                return Ok(any.then_some(fits));
            }
            any = true;
            let end = available.iter().position(|b| *b == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            fits = fits && self.line.len() + part.len() <= LONGEST;
            if fits {
                self.line.extend_from_slice(part);
            }
            let used = end.map_or(available.len(), |at| at + 1);
            self.input.consume(used);
            if end.is_some() {
                return Ok(Some(fits));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(input: &[u8]) -> Vec<(u64, Option<Vec<u8>>)> {
        // A small buffer, so that lines come in parts.
        let mut lines = Lines::new(io::BufReader::with_capacity(7, input));
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next_line().unwrap() {
            let bytes = match line {
                Line::Whole(bytes) => Some(bytes.to_vec()),
                Line::TooLong => None,
            };
            found.push((number, bytes));
        }
        found
    }

    #[test]
    fn numbers_count_blank_lines_too() {
        let found = all(b"\xEF\xBB\xBFfirst line\n\n  \r\nfourth\r\nlast");
        let whole = |n, text: &[u8]| (n, Some(text.to_vec()));
        assert_eq!(found, [whole(1, b"first line"), whole(4, b"fourth\r"), whole(5, b"last")]);
        assert_eq!(all(b""), []);
        assert_eq!(all(b"\n\n"), []);
    }

    #[test]
    fn a_line_that_is_too_long_costs_only_itself() {
        let mut input = vec![b'x'; LONGEST];
        input.extend_from_slice(b"y\nnext\n");
        input.extend(vec![b'z'; LONGEST]);
        let found = all(&input);
        assert_eq!(found[0], (1, None));
        assert_eq!(found[1], (2, Some(b"next".to_vec())));
        assert_eq!((found[2].0, found[2].1.as_ref().unwrap().len()), (3, LONGEST));
    }
}
