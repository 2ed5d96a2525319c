//! Names of pickle's opcodes, for the log, and the list of those that import or call.

/// The end of a pickle.
pub const STOP: u8 = b'.';

/// Opcodes that make something other than data.
const FORBIDDEN: [(u8, &str); 16] = [
    (b'c', "GLOBAL"),
    (0x93, "STACK_GLOBAL"),
    (b'i', "INST"),
    (b'o', "OBJ"),
    (b'R', "REDUCE"),
    (b'b', "BUILD"),
    (0x81, "NEWOBJ"),
    (0x92, "NEWOBJ_EX"),
    (b'P', "PERSID"),
    (b'Q', "BINPERSID"),
    (0x82, "EXT1"),
    (0x83, "EXT2"),
    (0x84, "EXT4"),
    (0x96, "BYTEARRAY8"),
    (0x97, "NEXT_BUFFER"),
    (0x98, "READONLY_BUFFER"),
];

/// Whether an opcode imports or calls, or refers to something outside the pickle.
pub fn is_forbidden(code: u8) -> bool {
    FORBIDDEN.iter().any(|(known, _)| *known == code)
}

/// The opcode's name if it is a forbidden one, else its byte.
pub fn name(code: u8) -> String {
    let known = FORBIDDEN.iter().find(|(known, _)| *known == code);
    match known {
        Some((_, name)) => (*name).to_owned(),
        None if code.is_ascii_graphic() => format!("'{}'", char::from(code)),
        None => format!("0x{code:02x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_acts_is_forbidden() {
        assert_eq!(name(b'c'), "GLOBAL");
        assert_eq!((name(b'a'), name(0x94)), ("'a'".to_owned(), "0x94".to_owned()));
        assert!(is_forbidden(0x93) && !is_forbidden(b'e') && !is_forbidden(0xff));
    }
}
