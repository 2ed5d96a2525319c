//! Points as lines of line protocol, for those to whom copies of results are sent.
//!
//! In: points. Out: a line each, with its time in nanoseconds, which `line` reads back as the same
//! point.

use crate::protocol::batcher::Datum;
use crate::protocol::points::Point;

/// Appends a point's line.
pub fn print(point: &Point<'_>, out: &mut Vec<u8>) {
    escape(point.measurement, b", ", out);
    for (key, value) in point.tags {
        out.push(b',');
        escape(key, b",= ", out);
        out.push(b'=');
        escape(value, b",= ", out);
    }
    for (number, (name, datum)) in point.fields.iter().enumerate() {
        out.push(if number == 0 { b' ' } else { b',' });
        escape(name, b",= ", out);
        out.push(b'=');
        value(datum, out);
    }
    out.push(b' ');
    out.extend_from_slice(itoa::Buffer::new().format(point.time).as_bytes());
    out.push(b'\n');
}

fn escape(text: &[u8], special: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        if special.contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
}

fn value(datum: &Datum<'_>, out: &mut Vec<u8>) {
    match datum {
        Datum::Float(value) => out.extend_from_slice(format!("{value}").as_bytes()),
        Datum::Integer(value) => {
            out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes());
            out.push(b'i');
        }
        Datum::Unsigned(value) => {
            out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes());
            out.push(b'u');
        }
        Datum::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Datum::String(text) => {
            out.push(b'"');
            escape(text, b"\"\\", out);
            out.push(b'"');
        }
        // Still as it stood between quotes.
        Datum::Escaped(text) => {
            out.push(b'"');
            out.extend_from_slice(text);
            out.push(b'"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_escaped() {
        let fields: [(&[u8], Datum<'_>); 5] = [
            (b"f 1", Datum::Float(1e21)),
            (b"i", Datum::Integer(-3)),
            (b"u", Datum::Unsigned(4)),
            (b"b", Datum::Boolean(true)),
            (b"s", Datum::String(b"a\"b\\ c")),
        ];
        let tags: [(&[u8], &[u8]); 1] = [(b"k=1", b"v,1 x")];
        let point = Point { measurement: b"m 1,=x", tags: &tags, time: -5, fields: &fields };
        let mut out = Vec::new();
        print(&point, &mut out);
        let expected = "m\\ 1\\,=x,k\\=1=v\\,1\\ x f\\ 1=1000000000000000000000,i=-3i,u=4u,b=true,\
                        s=\"a\\\"b\\\\ c\" -5\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
