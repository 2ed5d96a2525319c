//! Prometheus' remote storage messages: `WriteRequest`, `ReadRequest`, `ReadResponse`.
//!
//! In: protobuf, unpacked. Out: series of samples as line protocol, which all writes go through;
//! queries as plain data; and the answer to one as protobuf. Only the fields that matter are read,
//! others are passed over; broken bytes are an error, never a panic.

/// Why bytes are no message, in the words of Go's library.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    #[error("unexpected EOF")]
    Cut,
    #[error("proto: illegal wireType {0}")]
    WireType(u8),
}

type Result<T> = std::result::Result<T, Malformed>;

/// A label that series are selected by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matcher {
    pub kind: MatchKind,
    pub name: String,
    pub value: String,
}

/// How a label is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MatchKind {
    Equal,
    NotEqual,
    Matches,
    NotMatches,
}

/// One question.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// First and last instant (ms).
    pub start_ms: i64,
    pub end_ms: i64,
    pub matchers: Vec<Matcher>,
}

/// One field of a message.
enum Field<'a> {
    Number(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

/// Reads the fields of a message one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let field = match (key & 7) as u8 {
            0 => Field::Number(self.varint()?),
            1 => {
                let (bytes, rest) = self.0.split_first_chunk::<8>().ok_or(Malformed::Cut)?;
                self.0 = rest;
                Field::Fixed(u64::from_le_bytes(*bytes))
            }
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed::Cut)?;
                let (bytes, rest) = self.0.split_at_checked(len).ok_or(Malformed::Cut)?;
                self.0 = rest;
                Field::Bytes(bytes)
            }
            5 => {
                let (bytes, rest) = self.0.split_first_chunk::<4>().ok_or(Malformed::Cut)?;
                self.0 = rest;
                Field::Fixed(u64::from(u32::from_le_bytes(*bytes)))
            }
            other => return Err(Malformed::WireType(other)),
        };
        Ok(Some((key >> 3, field)))
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Malformed::Cut)?;
            self.0 = rest;
            value |= u64::from(byte & 127).checked_shl(shift).unwrap_or(0);
            if byte & 128 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Cut)
    }
}

/// Appends the samples of a write request as line protocol with times in ms: the label `__name__`
/// names the measurement and is a tag as well, the value is the field `value`. Samples that are no
/// finite number are left out.
///
/// # Errors
/// Bytes that are no write request.
pub fn write_to_lines(request: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let mut fields = Fields(request);
    while let Some((number, field)) = fields.next()? {
        if let (1, Field::Bytes(series)) = (number, field) {
            series_to_lines(series, out)?;
        }
    }
    Ok(())
}

fn series_to_lines(series: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let mut labels: Vec<(&[u8], &[u8])> = Vec::new();
    let mut samples: Vec<(i64, f64)> = Vec::new();
    let mut fields = Fields(series);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes(label)) => labels.push(pair(label)?),
            (2, Field::Bytes(sample)) => samples.push(read_sample(sample)?),
            _ => {}
        }
    }
    labels.sort_unstable();
    let name = labels.iter().find(|(name, _)| *name == b"__name__");
    let name = name.map_or(b"prom_metric_not_specified".as_slice(), |(_, value)| *value);
    let mut key = Vec::new();
    escape(name, b", ", &mut key);
    for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
        key.push(b',');
        escape(name, b",= ", &mut key);
        key.push(b'=');
        escape(value, b",= ", &mut key);
    }
    for (time, value) in samples.iter().filter(|(_, value)| value.is_finite()) {
        out.extend_from_slice(&key);
        out.extend_from_slice(b" value=");
        out.extend_from_slice(ryu::Buffer::new().format_finite(*value).as_bytes());
        out.push(b' ');
        out.extend_from_slice(itoa::Buffer::new().format(*time).as_bytes());
        out.push(b'\n');
    }
    Ok(())
}

/// A line cannot hold a line feed: it becomes a blank.
fn escape(text: &[u8], special: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        let byte = if *byte == b'\n' { b' ' } else { *byte };
        if special.contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

fn pair(label: &[u8]) -> Result<(&[u8], &[u8])> {
    let (mut name, mut value) = (&[][..], &[][..]);
    let mut fields = Fields(label);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => name = bytes,
            (2, Field::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    Ok((name, value))
}

fn read_sample(sample: &[u8]) -> Result<(i64, f64)> {
    let (mut time, mut value) = (0, 0.0);
    let mut fields = Fields(sample);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Fixed(bits)) => value = f64::from_bits(bits),
            (2, Field::Number(number)) => time = number as i64,
            _ => {}
        }
    }
    Ok((time, value))
}

/// Reads the questions of a read request.
///
/// # Errors
/// Bytes that are no read request.
pub fn read_queries(request: &[u8]) -> Result<Vec<Query>> {
    let mut out = Vec::new();
    let mut fields = Fields(request);
    while let Some((number, field)) = fields.next()? {
        if let (1, Field::Bytes(query)) = (number, field) {
            out.push(read_query(query)?);
        }
    }
    Ok(out)
}

fn read_query(query: &[u8]) -> Result<Query> {
    let mut out = Query::default();
    let mut fields = Fields(query);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Number(time)) => out.start_ms = time as i64,
            (2, Field::Number(time)) => out.end_ms = time as i64,
            (3, Field::Bytes(matcher)) => out.matchers.push(read_matcher(matcher)?),
            _ => {}
        }
    }
    Ok(out)
}

fn read_matcher(matcher: &[u8]) -> Result<Matcher> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut out = Matcher { kind: MatchKind::Equal, name: String::new(), value: String::new() };
    let mut fields = Fields(matcher);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Number(kind)) => {
                out.kind = match kind {
                    1 => MatchKind::NotEqual,
                    2 => MatchKind::Matches,
                    3 => MatchKind::NotMatches,
                    _ => MatchKind::Equal,
                }
            }
            (2, Field::Bytes(bytes)) => out.name = text(bytes),
            (3, Field::Bytes(bytes)) => out.value = text(bytes),
            _ => {}
        }
    }
    Ok(out)
}

/// Name and value of a label.
pub type Label = (Box<[u8]>, Box<[u8]>);

/// A series of the answer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Found {
    pub labels: Vec<Label>,
    /// Time (ms) and value.
    pub samples: Vec<(i64, f64)>,
}

/// The answer to one query.
pub fn response(series: &[Found]) -> Vec<u8> {
    let mut result = Vec::new();
    for one in series {
        let mut body = Vec::new();
        for (name, value) in &one.labels {
            let mut label = Vec::new();
            bytes(1, name, &mut label);
            bytes(2, value, &mut label);
            bytes(1, &label, &mut body);
        }
        for (time, value) in &one.samples {
            let mut sample = vec![1 << 3 | 1];
            sample.extend_from_slice(&value.to_le_bytes());
            sample.push(2 << 3);
            varint(*time as u64, &mut sample);
            bytes(2, &sample, &mut body);
        }
        bytes(1, &body, &mut result);
    }
    let mut out = Vec::new();
    bytes(1, &result, &mut out);
    out
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 128 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(number: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
        let owned = |(a, b): &(&str, &str)| (a.as_bytes().into(), b.as_bytes().into());
        let labels = labels.iter().map(owned).collect();
        // An answer's result has the form of a write request.
        let whole = response(&[Found { labels, samples: samples.to_vec() }]);
        let mut fields = Fields(&whole);
        let Ok(Some((1, Field::Bytes(result)))) = fields.next() else { panic!("one result") };
        result.to_vec()
    }

    #[test]
    fn samples_become_lines() {
        let labels = [("host", "a b,c=d"), ("__name__", "up x"), ("none", "")];
        let samples = [(1000, 1.5), (-5, f64::NAN), (3, f64::INFINITY), (i64::MAX, -0.25)];
        let mut out = Vec::new();
        write_to_lines(&series(&labels, &samples), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "up\\ x,__name__=up\\ x,host=a\\ b\\,c\\=d value=1.5 1000\n\
                        up\\ x,__name__=up\\ x,host=a\\ b\\,c\\=d value=-0.25 9223372036854775807\n";
        assert_eq!(text, expected);
        let mut out = Vec::new();
        write_to_lines(&series(&[("a", "b\nc")], &[(1, 2.0)]), &mut out).unwrap();
        assert_eq!(out, b"prom_metric_not_specified,a=b\\ c value=2.0 1\n");
    }

    #[test]
    fn queries_are_read() {
        let mut matcher = vec![1 << 3, 2];
        bytes(2, b"host", &mut matcher);
        bytes(3, b"a.*", &mut matcher);
        let mut query = vec![1 << 3];
        varint(5, &mut query);
        query.push(2 << 3);
        varint(-1i64 as u64, &mut query);
        bytes(3, &matcher, &mut query);
        let mut request = Vec::new();
        bytes(1, &query, &mut request);
        let matcher =
            Matcher { kind: MatchKind::Matches, name: "host".into(), value: "a.*".into() };
        let expected = Query { start_ms: 5, end_ms: -1, matchers: vec![matcher] };
        assert_eq!(read_queries(&request), Ok(vec![expected]));
        assert_eq!(read_queries(&request[..request.len() - 1]), Err(Malformed::Cut));
        assert_eq!(read_queries(&[0x0b]), Err(Malformed::WireType(3)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            let _ = write_to_lines(&bytes, &mut out);
            let _ = read_queries(&bytes);
        }
    }
}
