//! The key of a line: measurement and tags, as sent. Says where it ends or what is wrong with it,
//! and gives the parts without escapes for the canonical key.
//!
//! A byte behind a backslash is never a separator. In a measurement `\,` `\ ` `\=` `\"` lose their
//! backslash, in a tag all but `\"`; any other backslash is data.

/// Where the parts of a scanned key are (offsets into the line).
#[derive(Default)]
pub struct KeyParts {
    pub start: usize,
    pub end: usize,
    measurement_end: usize,
    /// (start of key, end of key, end of value)
    tags: Vec<(usize, usize, usize)>,
    /// Parts without escapes, back to back, with their ends.
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// Whether the byte at `at` follows a backslash.
fn escaped(line: &[u8], at: usize) -> bool {
    at > 0 && line.get(at - 1) == Some(&b'\\')
}

/// Skips blanks, tabs and NULs.
pub fn skip_blanks(line: &[u8], start: usize) -> usize {
    let rest = line.get(start..).unwrap_or(&[]);
    start + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | 0)).count()
}

impl KeyParts {
    /// Scans the key at the start of `line`.
    pub fn scan(&mut self, line: &[u8]) -> Result<(), &'static str> {
        self.start = skip_blanks(line, 0);
        self.tags.clear();
        self.measurement_end = measurement_end(line, self.start)?;
        let mut at = self.measurement_end;
        while line.get(at) == Some(&b',') {
            let (key_end, value_end) = tag_ends(line, at + 1)?;
            self.tags.push((at + 1, key_end, value_end));
            at = value_end;
        }
        self.end = at;
        self.sort(line)
    }

    fn sort(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let key_of = |tag: &(usize, usize, usize)| line.get(tag.0..tag.1).unwrap_or(&[]);
        if self.tags.is_sorted_by(|left, right| key_of(left) < key_of(right)) {
            return Ok(());
        }
        self.tags.sort_by(|left, right| key_of(left).cmp(key_of(right)));
        let mut pairs = self.tags.iter().zip(self.tags.iter().skip(1));
        match pairs.any(|(left, right)| key_of(left) == key_of(right)) {
            true => Err("duplicate tags"),
            false => Ok(()),
        }
    }

    /// The raw key.
    pub fn raw<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        line.get(self.start..self.end).unwrap_or(&[])
    }

    /// Writes the measurement's name without escapes.
    pub fn measurement(&self, line: &[u8], out: &mut Vec<u8>) {
        out.clear();
        let raw = line.get(self.start..self.measurement_end).unwrap_or(&[]);
        unescape(raw, b", =\"", out);
    }

    /// Takes the escapes out of all tags; `tags` gives them afterwards.
    pub fn unescape_tags(&mut self, line: &[u8]) {
        self.text.clear();
        self.ends.clear();
        for (start, key_end, value_end) in &self.tags {
            unescape(line.get(*start..*key_end).unwrap_or(&[]), b", =", &mut self.text);
            self.ends.push(self.text.len());
            unescape(line.get(key_end + 1..*value_end).unwrap_or(&[]), b", =", &mut self.text);
            self.ends.push(self.text.len());
        }
    }

    /// The tags without escapes, sorted by key. Valid after `unescape_tags`.
    pub fn tags(&self) -> Vec<(&[u8], &[u8])> {
        let mut start = 0;
        let mut tags = Vec::with_capacity(self.tags.len());
        for ends in self.ends.chunks_exact(2) {
            let [key_end, value_end] = ends else { continue };
            let key = self.text.get(start..*key_end).unwrap_or(&[]);
            tags.push((key, self.text.get(*key_end..*value_end).unwrap_or(&[])));
            start = *value_end;
        }
        // Sorted as sent; taking backslashes out may change the order.
        tags.sort_unstable();
        tags
    }
}

fn measurement_end(line: &[u8], start: usize) -> Result<usize, &'static str> {
    match line.get(start) {
        None | Some(b',') => return Err("missing measurement"),
        Some(_) => {}
    }
    let mut at = start + 1;
    while let Some(byte) = line.get(at) {
        if matches!(byte, b',' | b' ') && !escaped(line, at) {
            return Ok(at);
        }
        at += 1;
    }
    Err("missing fields")
}

/// The ends of the key and of the value of the tag at `start`.
fn tag_ends(line: &[u8], start: usize) -> Result<(usize, usize), &'static str> {
    if matches!(line.get(start), None | Some(b' ' | b',' | b'=')) {
        return Err("missing tag key");
    }
    let mut at = start + 1;
    let key_end = loop {
        match line.get(at) {
            None => return Err("missing tag value"),
            Some(b' ' | b',') if !escaped(line, at) => return Err("missing tag value"),
            Some(b'=') if !escaped(line, at) => break at,
            Some(_) => at += 1,
        }
    };
    if matches!(line.get(key_end + 1), None | Some(b' ' | b',')) {
        return Err("missing tag value");
    }
    // The value's first byte is not looked at: `t==x` is the tag value `=x`.
    at = key_end + 2;
    loop {
        match line.get(at) {
            None => return Err("missing fields"),
            Some(b'=') if !escaped(line, at) => return Err("invalid tag format"),
            Some(b' ' | b',') if !escaped(line, at) => return Ok((key_end, at)),
            Some(_) => at += 1,
        }
    }
}

/// Appends `raw` without the backslashes that stand before one of `codes`.
pub fn unescape(raw: &[u8], codes: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (taken, skip) = match escape {
            [_, next, ..] if codes.contains(next) => (*next, 2),
            _ => (b'\\', 1),
        };
        out.push(taken);
        rest = escape.get(skip..).unwrap_or(&[]);
    }
    out.extend_from_slice(rest);
}
