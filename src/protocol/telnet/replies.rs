//! What a telnet connection is answered, in the order of its lines.
//!
//! In: `version` commands and refused lines. Out: the bytes to send. KairosDB answers nothing to a
//! refused line, so errors are said only when the door is told to; their number is bounded, and
//! the last line says how many more there were.

use super::Reject;

/// The answer to `version`; KairosDB's clients look for its name.
pub const VERSION_LINE: &str = concat!("KairosDB 1.3.0-ringtail.", env!("CARGO_PKG_VERSION"), "\n");

/// Refused lines that are answered one by one in a part of a connection.
const ERRORS_MAX: u64 = 64;
/// Bytes of a refused line that are sent back.
const LINE_BYTES_MAX: usize = 128;

/// Answers of a part of a connection.
#[derive(Debug, Default)]
pub struct Replies {
    says_errors: bool,
    bytes: Vec<u8>,
    versions: u32,
    errors: u64,
}

impl Replies {
    /// No answers; `says_errors`: whether refused lines get one.
    pub fn new(says_errors: bool) -> Replies {
        Replies { says_errors, ..Replies::default() }
    }

    /// Number of `version` commands.
    pub fn versions(&self) -> u32 {
        self.versions
    }

    pub(super) fn version(&mut self) {
        self.versions += 1;
        self.bytes.extend_from_slice(VERSION_LINE.as_bytes());
    }

    pub(super) fn error(&mut self, why: Reject, line: &[u8]) {
        if !self.says_errors {
            return;
        }
        self.errors += 1;
        if self.errors > ERRORS_MAX {
            return;
        }
        let line = line.get(..LINE_BYTES_MAX).unwrap_or(line);
        let line: String = String::from_utf8_lossy(line)
            .chars()
            .map(|char| if char.is_control() { ' ' } else { char })
            .collect();
        self.bytes.extend_from_slice(format!("error: {}: {line}\n", why.text()).as_bytes());
    }

    /// The bytes to send.
    pub fn into_bytes(mut self) -> Vec<u8> {
        if let Some(more) = self.errors.checked_sub(ERRORS_MAX + 1) {
            let more = format!("error: {} more lines refused\n", more + 1);
            self.bytes.extend_from_slice(more.as_bytes());
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_bounded_in_number_and_length() {
        let mut replies = Replies::new(true);
        replies.error(Reject::BadValue, b"put m 1 x\ta=b\r");
        replies.version();
        (0..100).for_each(|_| replies.error(Reject::NotUtf8, &[0xff; 5000]));
        let text = String::from_utf8(replies.into_bytes()).unwrap();
        let start = format!("error: the value is no number: put m 1 x a=b \n{VERSION_LINE}");
        assert!(text.starts_with(&start), "{text}");
        assert!(text.ends_with("\nerror: 37 more lines refused\n"));
        assert_eq!(text.lines().count(), 66);
        let mut silent = Replies::new(false);
        silent.error(Reject::BadValue, b"put");
        assert!(silent.into_bytes().is_empty());
    }
}
