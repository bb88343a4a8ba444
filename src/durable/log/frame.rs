//! The layout of a record in a segment: one line, a fixed-width head, then the payload.
//!
//! ```text
//! 6f0c1a2b 00000123 0000000000000042 {"at":"…","op":"submit",…}⏎
//! crc32    length   sequence number  payload, one line, no control characters
//! ```
//!
//! The checksum (CRC-32, IEEE) covers everything after it up to the line feed. Records are text, so that an
//! operator can read them with `less`, and one line each, so that the record after a damaged one can be
//! found.

/// Bytes before the payload.
pub(crate) const HEAD: usize = 35;
/// The longest payload, in bytes: the highest length that eight digits can hold.
pub(crate) const LONGEST_PAYLOAD: usize = 99_999_999;

/// The longest line in bytes, with head and line feed.
pub(crate) const LONGEST_LINE: u64 = (HEAD + LONGEST_PAYLOAD + 1) as u64;

/// Adds a record to a buffer.
pub fn encode(out: &mut Vec<u8>, seq: u64, payload: &[u8]) {
    debug_assert!(payload.len() <= LONGEST_PAYLOAD && !payload.contains(&b'\n'));
    let start = out.len();
    out.extend_from_slice(&[b' '; HEAD]);
    out.extend_from_slice(payload);
    digits(&mut out[start + 9..start + 17], payload.len() as u64);
    digits(&mut out[start + 18..start + 34], seq);
    let crc = crc32fast::hash(&out[start + 9..]);
    for (i, byte) in out[start..start + 8].iter_mut().enumerate() {
        *byte = b"0123456789abcdef"[(crc >> (28 - 4 * i)) as usize & 15];
    }
    out.push(b'\n');
}

fn digits(field: &mut [u8], mut value: u64) {
    for byte in field.iter_mut().rev() {
        *byte = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// A whole, undamaged record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its sequence number.
    pub seq: u64,
    /// What was recorded.
    pub payload: &'a [u8],
    /// Length of the whole line in bytes, head and line feed included.
    pub len: usize,
}

/// The record at the start of a buffer, if there is a whole and undamaged one.
pub fn decode(buffer: &[u8]) -> Option<Frame<'_>> {
    let head = buffer.get(..HEAD)?;
    if head[8] != b' ' || head[17] != b' ' || head[34] != b' ' {
        return None;
    }
    let len = usize::try_from(number(&head[9..17])?).ok()?;
    let end = HEAD + len;
    if *buffer.get(end)? != b'\n' {
        return None;
    }
    if crc32fast::hash(&buffer[9..end]) != hexadecimal(&head[..8])? {
        return None;
    }
    Some(Frame { seq: number(&head[18..34])?, payload: &buffer[HEAD..end], len: end + 1 })
}

/// A decimal number of at most 16 digits, so that it cannot overflow.
fn number(field: &[u8]) -> Option<u64> {
    let mut wrong = 0;
    let value = field.iter().fold(0u64, |n, &b| {
        let digit = b.wrapping_sub(b'0');
        wrong |= u8::from(digit > 9);
        n.wrapping_mul(10).wrapping_add(u64::from(digit))
    });
    (wrong == 0).then_some(value)
}

/// Looks digits up in a table: a comparison for each digit would be a branch that the processor cannot predict.
fn hexadecimal(field: &[u8]) -> Option<u32> {
    let mut wrong = 0;
    let value = field.iter().fold(0u32, |n, &b| {
        let digit = NIBBLES[usize::from(b)];
        wrong |= digit;
        n << 4 | u32::from(digit)
    });
    (wrong < 16).then_some(value)
}

/// The value of each byte as a lower-case hexadecimal digit; 255 for other bytes.
const NIBBLES: [u8; 256] = {
    let mut table = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

/// What lies in a segment, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A record.
    Record {
        /// Where it begins.
        offset: u64,
        frame: Frame<'a>,
    },
    /// Bytes that are no record and that a record follows.
    Damaged {
        /// Where they begin.
        offset: u64,
        len: u64,
    },
    /// Bytes that are no record and that nothing follows: a killed writer left them.
    Torn {
        /// Where they begin.
        offset: u64,
        len: u64,
    },
}

/// Goes through a segment, or a part of one that begins where a record should.
#[derive(Debug)]
pub struct Scan<'a> {
    buffer: &'a [u8],
    base: u64,
    at: usize,
}

impl<'a> Scan<'a> {
    /// Scans a buffer that begins at offset `base` of its segment.
    pub fn new(buffer: &'a [u8], base: u64) -> Scan<'a> {
        Scan { buffer, base, at: 0 }
    }

    /// Where the next record would go: after the last whole one.
    pub(crate) fn tail(&self) -> u64 {
        self.base + self.at as u64
    }

    /// The next place, after `from`, where a record begins.
    ///
    /// A damaged record may have lost its line feed or consist of zeros; a record can follow either. Each kind of
    /// border is searched for once, so that a segment full of garbage is scanned in one pass.
    fn resync(&self, from: usize) -> Option<usize> {
        // If only the line feed is wrong, the length still says where the next one begins.
        if let Some(next) = self.declared_end(from).filter(|&at| decode(&self.buffer[at..]).is_some()) {
            return Some(next);
        }
        let mut line = self.after_line(from);
        let mut zeros = self.after_zeros(from);
        loop {
            let at = match (line, zeros) {
                (Some(a), Some(b)) => a.min(b),
                (Some(a), None) | (None, Some(a)) => a,
                (None, None) => return None,
            };
            if decode(&self.buffer[at..]).is_some() {
                return Some(at);
            }
            if line == Some(at) {
                line = self.after_line(at);
            }
            if zeros == Some(at) {
                zeros = self.after_zeros(at);
            }
        }
    }

    fn declared_end(&self, from: usize) -> Option<usize> {
        let len = number(self.buffer.get(from + 9..from + 17)?)?;
        let end = from + HEAD + usize::try_from(len).ok()? + 1;
        (end < self.buffer.len()).then_some(end)
    }

    fn after_line(&self, from: usize) -> Option<usize> {
        memchr::memchr(b'\n', &self.buffer[from..]).map(|i| from + i + 1)
    }

    fn after_zeros(&self, from: usize) -> Option<usize> {
        let zeros = from + memchr::memchr(0, &self.buffer[from..])?;
        first_nonzero(&self.buffer[zeros..]).map(|n| zeros + n)
    }
}

fn first_nonzero(bytes: &[u8]) -> Option<usize> {
    // Whole pages first: the reserved end of a segment is megabytes of zeros.
    const ZEROS: [u8; 4096] = [0; 4096];
    let zeros = bytes.chunks_exact(ZEROS.len()).take_while(|page| *page == ZEROS).count() * ZEROS.len();
    bytes[zeros..].iter().position(|&b| b != 0).map(|i| zeros + i)
}

impl<'a> Iterator for Scan<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let rest = &self.buffer[self.at..];
        let offset = self.tail();
        if let Some(frame) = decode(rest) {
            self.at += frame.len;
            return Some(Item::Record { offset, frame });
        }
        first_nonzero(rest)?;
        if let Some(next) = self.resync(self.at) {
            let len = (next - self.at) as u64;
            self.at = next;
            return Some(Item::Damaged { offset, len });
        }
        let len = rest.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
        self.buffer = &self.buffer[..self.at];
        Some(Item::Torn { offset, len: len as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn three() -> Vec<u8> {
        let mut out = Vec::new();
        for (i, p) in [b"one".as_slice(), b"two two", b"three"].iter().enumerate() {
            encode(&mut out, i as u64 + 1, p);
        }
        out
    }

    fn records(bytes: &[u8]) -> Vec<u64> {
        Scan::new(bytes, 0)
            .filter_map(|i| if let Item::Record { frame, .. } = i { Some(frame.seq) } else { None })
            .collect()
    }

    proptest! {
        #[test]
        fn frame_round_trip(seq in 0u64..10_000_000_000_000_000, payload in "[ -~]{0,200}") {
            let mut out = Vec::new();
            encode(&mut out, seq, payload.as_bytes());
            let frame = decode(&out).unwrap();
            prop_assert_eq!((frame.seq, frame.payload, frame.len), (seq, payload.as_bytes(), out.len()));
        }

        #[test]
        fn scan_any_bytes_ends(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let covered: u64 = Scan::new(&bytes, 0).map(|i| match i {
                Item::Record { frame, .. } => frame.len as u64,
                Item::Damaged { len, .. } | Item::Torn { len, .. } => len,
            }).sum();
            prop_assert!(covered <= bytes.len() as u64);
        }
    }

    #[test]
    fn scan_damaged_byte_costs_one_record() {
        let whole = three();
        for at in 0..whole.len() {
            for wrong in [whole[at] ^ 1, 0, b'\n', 0xff] {
                if wrong == whole[at] {
                    continue;
                }
                let mut bytes = whole.clone();
                bytes[at] = wrong;
                bytes.extend_from_slice(&[0; 100]);
                assert!(records(&bytes).len() >= 2, "byte {at} made {wrong}: {:?}", records(&bytes));
            }
        }
    }

    #[test]
    fn scan_cut_keeps_records_before() {
        let whole = three();
        let ends: Vec<usize> = Scan::new(&whole, 0)
            .map(|i| if let Item::Record { offset, frame } = i { offset as usize + frame.len } else { 0 })
            .collect();
        for cut in 0..whole.len() {
            let mut bytes = whole[..cut].to_vec();
            let expected = ends.iter().filter(|&&e| e <= cut).count();
            assert_eq!(records(&bytes).len(), expected, "cut at {cut}");
            bytes.resize(cut + 500, 0);
            let mut scan = Scan::new(&bytes, 0);
            let torn = scan.by_ref().any(|i| matches!(i, Item::Torn { .. }));
            let boundary = cut == 0 || ends.contains(&cut);
            assert_eq!(
                (torn, scan.tail() as usize),
                (!boundary, ends[..expected].last().copied().unwrap_or(0))
            );
        }
    }

    #[test]
    fn scan_zeros_in_middle() {
        let mut bytes = three();
        let second = HEAD + 3 + 1;
        bytes[second..second + 20].fill(0);
        bytes.extend_from_slice(&[0; 4096]);
        let items: Vec<_> = Scan::new(&bytes, 0).collect();
        assert!(matches!(items[1], Item::Damaged { .. }), "{items:?}");
        assert_eq!(records(&bytes), [1, 3]);
    }
}
