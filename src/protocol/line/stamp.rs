//! A body of line protocol with every line's time written out in nanoseconds, for those to whom
//! copies of writes are sent.
//!
//! In: the body as it came, its precision, the time of its arrival. Out: lines in their order.
//! Blank lines, comments, and lines without fields or with a time that is none are left out; what
//! else is wrong with a line is for the receiver to say.

use super::Precision;
use super::key::skip_blanks;
use super::split::line_end;

/// Appends the lines; gives their number.
pub fn stamp(body: &[u8], precision: Precision, now_ns: i64, out: &mut Vec<u8>) -> u64 {
    let unit = precision.unit_ns();
    let arrival = now_ns - now_ns.rem_euclid(unit);
    let (mut at, mut count) = (0, 0);
    while at < body.len() {
        let end = line_end(body, at, false).unwrap_or(body.len());
        let line = body.get(at..end).unwrap_or(&[]);
        if let Some((point, time)) = point_and_time(line, unit, arrival) {
            out.extend_from_slice(point);
            out.push(b' ');
            out.extend_from_slice(itoa::Buffer::new().format(time).as_bytes());
            out.push(b'\n');
            count += 1;
        }
        at = end + 1;
    }
    count
}

fn point_and_time(line: &[u8], unit: i64, arrival: i64) -> Option<(&[u8], i64)> {
    let start = skip_blanks(line, 0);
    if matches!(line.get(start), None | Some(b'#')) {
        return None;
    }
    let key_end = section_end(line, start, false);
    let fields = skip_blanks(line, key_end);
    let fields_end = section_end(line, fields, true);
    let point = line.get(start..fields_end)?;
    let text = line.get(fields_end..)?.trim_ascii();
    if fields >= fields_end {
        return None;
    }
    if text.is_empty() {
        return Some((point.trim_ascii_end(), arrival));
    }
    let time: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some((point, time.checked_mul(unit)?))
}

/// The blank that ends a section; in fields, quotes hold blanks.
fn section_end(line: &[u8], start: usize, fields: bool) -> usize {
    let (mut at, mut quoted) = (start, false);
    while let Some(byte) = line.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' if fields => quoted = !quoted,
            b' ' if !quoted => return at,
            _ => {}
        }
        at += 1;
    }
    line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(body: &str, precision: Precision) -> (String, u64) {
        let mut out = Vec::new();
        let count = stamp(body.as_bytes(), precision, 1_234, &mut out);
        (String::from_utf8(out).unwrap(), count)
    }

    #[test]
    fn every_line_gets_its_time_in_nanoseconds() {
        let body = "\n# no\n m\\ x,t=a\\ b f=1 \n  m f=\"a b\\\" c\",g=2 7\r\nm\nm f=1 x\nm f=1 5";
        let (text, count) = stamped(body, Precision::Microseconds);
        let expected = "m\\ x,t=a\\ b f=1 1000\nm f=\"a b\\\" c\",g=2 7000\nm f=1 5000\n";
        assert_eq!((text.as_str(), count), (expected, 3));
        assert_eq!(stamped("m f=1", Precision::Nanoseconds).0, "m f=1 1234\n");
        assert_eq!(stamped("m f=1 9223372036854775807", Precision::Hours).1, 0);
    }
}
