//! What can be wrong with encoded bytes, or with values that are asked to be encoded.
//!
//! One enum for the whole layer. The caller knows the file and the offset and adds them.

/// Why bytes do not decode, or values do not encode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CodecError {
    /// The bytes are not those that were written.
    #[error("checksum is {found:016x}, expected {expected:016x}")]
    Checksum { expected: u64, found: u64 },
    /// The bytes end before what they announce.
    #[error("input ends early")]
    Truncated,
    /// The bytes, or the arguments, contradict themselves.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// A count is over a limit of the format.
    #[error("too large: {0}")]
    TooLarge(&'static str),
}
