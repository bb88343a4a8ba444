//! Keeps a terminal from obeying what a job printed: control characters are shown instead.

/// Shows control characters as text. It works on bytes, so a character may come in two parts.
#[derive(Debug, Default)]
pub(crate) struct ControlCharEscaper {
    /// The last byte was the first of a character that may be a control character (U+0080 to U+009F).
    pending: bool,
}

impl ControlCharEscaper {
    /// The bytes as a terminal may have them: line feeds, tabs and carriage returns stay, other control
    /// characters are written as `\x1b`.
    pub(crate) fn shown(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            if std::mem::take(&mut self.pending) {
                if (0x80..0xA0).contains(&byte) {
                    escape(&mut shown, byte);
                    continue;
                }
                shown.push(0xC2);
            }
            match byte {
                b'\n' | b'\t' | b'\r' => shown.push(byte),
                0..0x20 | 0x7F => escape(&mut shown, byte),
                0xC2 => self.pending = true,
                _ => shown.push(byte),
            }
        }
        shown
    }
}

fn escape(shown: &mut Vec<u8>, byte: u8) {
    shown.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        let mut escaper = ControlCharEscaper::default();
        assert_eq!(escaper.shown(b"a\x1b[31mb\n\tc\r\x07\x7f"), b"a\\x1b[31mb\n\tc\r\\x07\\x7f");
        assert_eq!(escaper.shown("é ¢ 日\u{9b}x".as_bytes()), "é ¢ 日\\x9bx".as_bytes());
    }

    #[test]
    fn a_character_in_two_parts_is_one() {
        for (text, expected) in [("\u{9b}", "\\x9b"), ("¢", "¢")] {
            let mut escaper = ControlCharEscaper::default();
            let mut shown = escaper.shown(&text.as_bytes()[..1]);
            shown.extend(escaper.shown(&text.as_bytes()[1..]));
            assert_eq!(shown, expected.as_bytes());
        }
    }
}
