//! Inflating bodies: gzip members, one behind the other, as they come, up to a limit.
//!
//! Errors are told in the words of Go's library, which InfluxDB passes on.

use flate2::write::MultiGzDecoder;
use std::io::{self, Write};

/// Compressed bytes inflated between two turns of other tasks.
pub const SLICE_BYTES: usize = 16 << 10;

const CUT: &str = "unexpected EOF";
const CHECKSUM: &str = "gzip: invalid checksum";

/// Why a body cannot be inflated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Inflated it is over the limit.
    TooLarge,
    /// Not what it says it is; the text is for the client.
    Malformed(&'static str),
}

/// Bytes that went through, up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: u64,
    over: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + bytes.len()) as u64 > self.bytes_max {
            self.over = true;
            return Err(io::Error::other("too large"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A body being inflated.
pub struct Inflater {
    decoder: MultiGzDecoder<Bounded>,
    taken: u64,
}

impl Inflater {
    /// Inflates into `bytes`, which is empty, up to `bytes_max`.
    pub fn new(bytes: Vec<u8>, bytes_max: u64) -> Inflater {
        let bounded = Bounded { bytes, bytes_max, over: false };
        Inflater { decoder: MultiGzDecoder::new(bounded), taken: 0 }
    }

    /// Takes compressed bytes.
    pub fn push(&mut self, compressed: &[u8]) -> Result<(), Trouble> {
        self.taken += compressed.len() as u64;
        self.decoder.write_all(compressed).map_err(|error| self.trouble(&error))
    }

    /// What is inflated so far.
    pub fn bytes(&self) -> &[u8] {
        &self.decoder.get_ref().bytes
    }

    /// Ends the body.
    pub fn finish(mut self) -> Result<Vec<u8>, Trouble> {
        if self.taken == 0 {
            return Err(Trouble::Malformed("EOF"));
        }
        match self.decoder.try_finish() {
            Ok(()) => Ok(std::mem::take(&mut self.decoder.get_mut().bytes)),
            Err(error) => match self.trouble(&error) {
                // The library tells a cut checksum and a wrong one alike; only behind a cut one
                // does it take another byte.
                Trouble::Malformed(CHECKSUM) if self.decoder.write(&[0]).is_ok() => {
                    Err(Trouble::Malformed(CUT))
                }
                trouble => Err(trouble),
            },
        }
    }

    fn trouble(&self, error: &io::Error) -> Trouble {
        if self.decoder.get_ref().over {
            return Trouble::TooLarge;
        }
        let text = error.to_string();
        Trouble::Malformed(if error.kind() == io::ErrorKind::UnexpectedEof {
            CUT
        } else if text.contains("header") {
            "gzip: invalid header"
        } else if text.contains("checksum") {
            CHECKSUM
        } else {
            "flate: corrupt input"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(bytes: &[u8], max: u64) -> Result<Vec<u8>, Trouble> {
        let mut inflater = Inflater::new(Vec::new(), max);
        for piece in bytes.chunks(7) {
            inflater.push(piece)?;
        }
        inflater.finish()
    }

    #[test]
    fn members_behind_each_other_are_one_body() {
        let both = [packed(b"cpu v=1\n"), packed(b"mem v=2\n")].concat();
        assert_eq!(inflate(&both, 1000).unwrap(), b"cpu v=1\nmem v=2\n");
    }

    #[test]
    fn every_cut_and_every_lie_is_an_error() {
        let whole = packed(b"cpu v=1\ncpu v=2\n");
        for end in 1..whole.len() {
            assert_eq!(
                inflate(&whole[..end], 1000),
                Err(Trouble::Malformed("unexpected EOF")),
                "{end}"
            );
        }
        let mut wrong = whole.clone();
        wrong[whole.len() - 6] ^= 1;
        assert_eq!(inflate(&wrong, 1000), Err(Trouble::Malformed("gzip: invalid checksum")));
        assert_eq!(inflate(b"", 1000), Err(Trouble::Malformed("EOF")));
        assert_eq!(inflate(b"cpu v=1 17", 1000), Err(Trouble::Malformed("gzip: invalid header")));
        assert_eq!(inflate(&packed(&[b'x'; 5000]), 4999), Err(Trouble::TooLarge));
        assert!(inflate(&packed(&[b'x'; 5000]), 5000).is_ok());
    }
}
