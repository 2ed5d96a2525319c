//! Regular expressions: the dialect of the language (RE2 as Go has it) on the engine of the `regex`
//! crate.
//!
//! In: the text between the slashes. Out: a compiled expression that matches the same texts, or the
//! reason why there is none, in the words of the reference. Compiled size and nesting are limited.

use std::fmt::Write as _;

/// Largest compiled program of one expression in bytes: room for some thousand alternatives.
const PROGRAM_BYTES_MAX: usize = 2 << 20;
/// Deepest nesting inside one expression.
const NESTING_MAX: u32 = 100;
/// The largest count in `{n,m}`, as in RE2.
const REPEAT_MAX: u32 = 1000;

/// Compiles an expression for unanchored search.
///
/// # Errors
/// `error parsing regexp: …` if it is none, `regular expression is too large` beyond the limits.
pub fn compile(source: &str) -> Result<regex::Regex, String> {
    let translated = translate(source)?;
    let mut builder = regex::RegexBuilder::new(&translated);
    builder.size_limit(PROGRAM_BYTES_MAX).dfa_size_limit(PROGRAM_BYTES_MAX).nest_limit(NESTING_MAX);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "regular expression is too large".to_string(),
        other => explain(source, &other.to_string()),
    })
}

fn bad(kind: &str, part: &str) -> String {
    format!("error parsing regexp: {kind}: `{part}`")
}

/// The reference's words for what the engine says about a translated expression.
fn explain(source: &str, text: &str) -> String {
    let last = text.lines().last().unwrap_or_default();
    let reason = last.strip_prefix("error: ").unwrap_or(last);
    if reason.contains("unclosed group") {
        return bad("missing closing )", source);
    }
    if reason.contains("unopened group") {
        return bad("unexpected )", source);
    }
    if reason.contains("maximum number of nested") {
        return "regular expression is too large".to_string();
    }
    bad("invalid or unsupported syntax", source)
}

/// Walks the expression once and writes what the engine reads as the same.
fn translate(source: &str) -> Result<String, String> {
    let chars: Vec<char> = source.chars().collect();
    let mut walk = Walk { chars: &chars, at: 0, out: String::with_capacity(source.len() + 16) };
    let mut repeatable = false;
    let mut repeated: Option<usize> = None;
    while let Some(c) = walk.peek(0) {
        let start = walk.at;
        match c {
            '\\' => {
                walk.escape(false)?;
                repeatable = true;
            }
            '[' => {
                walk.class()?;
                repeatable = true;
            }
            '(' => {
                walk.group_start()?;
                repeatable = false;
            }
            '*' | '+' | '?' => {
                walk.repeat_symbol(repeatable, repeated)?;
                repeated = Some(start);
                continue;
            }
            '{' => {
                if walk.repeat_count(repeatable, repeated)? {
                    repeated = Some(start);
                    continue;
                }
                walk.push_literal();
                repeatable = true;
            }
            '|' => {
                walk.push_plain();
                repeatable = false;
            }
            c @ ('}' | ']' | '&' | '~' | '#' | '-') => {
                walk.at += 1;
                walk.out.push('\\');
                walk.out.push(c);
                repeatable = true;
            }
            _ => {
                walk.push_plain();
                repeatable = true;
            }
        }
        repeated = None;
    }
    Ok(walk.out)
}

struct Walk<'a> {
    chars: &'a [char],
    at: usize,
    out: String,
}

impl Walk<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn text(&self, from: usize, to: usize) -> String {
        self.chars.get(from..to.min(self.chars.len())).unwrap_or(&[]).iter().collect()
    }

    fn push_plain(&mut self) {
        if let Some(c) = self.peek(0) {
            self.out.push(c);
            self.at += 1;
        }
    }

    fn push_literal(&mut self) {
        if let Some(c) = self.peek(0) {
            let mut buffer = [0; 4];
            self.out.push_str(&regex::escape(c.encode_utf8(&mut buffer)));
            self.at += 1;
        }
    }

    /// `*`, `+` or `?`, each with an optional `?` behind it.
    fn repeat_symbol(&mut self, repeatable: bool, repeated: Option<usize>) -> Result<(), String> {
        let start = self.at;
        self.push_plain();
        if self.peek(0) == Some('?') {
            self.push_plain();
        }
        self.check_repeat(start, repeatable, repeated)
    }

    fn check_repeat(
        &self,
        start: usize,
        repeatable: bool,
        repeated: Option<usize>,
    ) -> Result<(), String> {
        if !repeatable {
            let shown = self.text(start, self.at);
            return Err(bad("missing argument to repetition operator", &shown));
        }
        match repeated {
            Some(from) => Err(bad("invalid nested repetition operator", &self.text(from, self.at))),
            None => Ok(()),
        }
    }

    /// `{n}`, `{n,}` or `{n,m}`; anything else behind a brace is plain text and gives false.
    fn repeat_count(&mut self, repeatable: bool, repeated: Option<usize>) -> Result<bool, String> {
        let start = self.at;
        let rest = self.chars.get(start + 1..).unwrap_or(&[]);
        let Some(len) = rest.iter().position(|c| *c == '}') else { return Ok(false) };
        let body: String = rest.iter().take(len).collect();
        let (low, high) = body.split_once(',').unwrap_or((&body, &body));
        let is_count = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_count(low) || !(high.is_empty() || is_count(high)) {
            return Ok(false);
        }
        let end = start + len + 2;
        let count = |text: &str| text.parse::<u32>().ok().filter(|n| *n <= REPEAT_MAX);
        let fits = match (count(low), count(high)) {
            (Some(low), Some(high)) => low <= high,
            (Some(_), None) => high.is_empty(),
            (None, _) => false,
        };
        self.at = end;
        if !fits {
            return Err(bad("invalid repeat count", &self.text(start, end)));
        }
        let _ = write!(self.out, "{{{body}}}");
        if self.peek(0) == Some('?') {
            self.push_plain();
        }
        self.check_repeat(start, repeatable, repeated)?;
        Ok(true)
    }

    /// `(`, `(?flags)`, `(?flags:`, `(?:`, `(?P<name>` and `(?<name>`.
    fn group_start(&mut self) -> Result<(), String> {
        let start = self.at;
        if self.peek(1) != Some('?') {
            self.push_plain();
            return Ok(());
        }
        let named = match (self.peek(2), self.peek(3), self.peek(4)) {
            (Some('P'), Some('<'), _) => Some(4),
            (Some('<'), Some(c), _) if c != '=' && c != '!' => Some(3),
            _ => None,
        };
        if let Some(skip) = named {
            return self.named_group(start, start + skip);
        }
        self.out.push_str("(?");
        self.at += 2;
        while let Some(c) = self.peek(0) {
            self.at += 1;
            match c {
                'i' | 'm' | 's' | 'U' | '-' => self.out.push(c),
                ':' | ')' => {
                    self.out.push(c);
                    return Ok(());
                }
                _ => {
                    let shown = self.text(start, self.at);
                    return Err(bad("invalid or unsupported Perl syntax", &shown));
                }
            }
        }
        Err(bad("invalid or unsupported Perl syntax", &self.text(start, self.at)))
    }

    fn named_group(&mut self, start: usize, name_at: usize) -> Result<(), String> {
        let rest = self.chars.get(name_at..).unwrap_or(&[]);
        let Some(len) = rest.iter().position(|c| *c == '>') else {
            return Err(bad("invalid named capture", &self.text(start, self.chars.len())));
        };
        let name: String = rest.iter().take(len).collect();
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
        self.at = name_at + len + 1;
        if name.is_empty() || !name.chars().all(good) {
            return Err(bad("invalid named capture", &self.text(start, self.at)));
        }
        // A name may start with a digit there, which the engine refuses; nothing refers to names.
        let _ = write!(self.out, "(?P<n{}_{name}>", self.out.len());
        Ok(())
    }

    /// A backslash and what it stands for. Perl classes and word borders are those of ASCII.
    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let start = self.at;
        let Some(c) = self.peek(1) else {
            return Err("error parsing regexp: trailing backslash at end of expression: ``".into());
        };
        self.at += 2;
        let plain = match (c, in_class) {
            ('d', false) => "[0-9]",
            ('d', true) => "0-9",
            ('w', false) => "[0-9A-Za-z_]",
            ('w', true) => "0-9A-Za-z_",
            ('s', false) => r"[\t\n\f\r ]",
            ('s', true) => r"\t\n\f\r ",
            ('D', _) => "[^0-9]",
            ('W', _) => "[^0-9A-Za-z_]",
            ('S', _) => r"[^\t\n\f\r ]",
            ('b', false) => r"(?-u:\b)",
            ('B', false) => r"(?-u:\B)",
            ('A', false) => r"\A",
            ('z', false) => r"\z",
            ('a', _) => r"\x07",
            ('f', _) => r"\x0C",
            ('n', _) => r"\n",
            ('r', _) => r"\r",
            ('t', _) => r"\t",
            ('v', _) => r"\x0B",
            ('Q', false) => return self.quoted(),
            ('p' | 'P', _) => return self.unicode_class(start),
            ('x', _) => return self.hex(start),
            ('0'..='7', _) => return self.octal(start, c),
            (c, _) if c.is_ascii_punctuation() => {
                self.at -= 1;
                self.push_literal();
                return Ok(());
            }
            _ => return Err(bad("invalid escape sequence", &self.text(start, self.at))),
        };
        self.out.push_str(plain);
        Ok(())
    }

    /// `\Q…\E`: everything inside stands for itself.
    fn quoted(&mut self) -> Result<(), String> {
        self.out.push_str("(?:");
        while let Some(c) = self.peek(0) {
            if c == '\\' && self.peek(1) == Some('E') {
                self.at += 2;
                break;
            }
            self.push_literal();
        }
        self.out.push(')');
        Ok(())
    }

    /// `\pL`, `\p{Greek}`, `\p{^Greek}`.
    fn unicode_class(&mut self, start: usize) -> Result<(), String> {
        let rest = self.chars.get(self.at..).unwrap_or(&[]);
        let len = match rest.first() {
            Some('{') => rest.iter().position(|c| *c == '}').map_or(rest.len(), |i| i + 1),
            Some(_) => 1,
            None => 0,
        };
        self.at += len;
        let text = self.text(start, self.at);
        if regex::Regex::new(&text).is_err() {
            return Err(bad("invalid character class range", &text));
        }
        self.out.push_str(&text);
        Ok(())
    }

    /// `\x41` or `\x{10FFFF}`.
    fn hex(&mut self, start: usize) -> Result<(), String> {
        let rest = self.chars.get(self.at..).unwrap_or(&[]);
        let (digits, len): (String, usize) = match rest.first() {
            Some('{') => {
                let end = rest.iter().position(|c| *c == '}').unwrap_or(rest.len());
                (rest.iter().take(end).skip(1).collect(), end + 1)
            }
            _ => (rest.iter().take(2).collect(), 2),
        };
        self.at += len;
        let braced = rest.first() == Some(&'{');
        let value = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
        match value {
            Some(c) if braced || digits.len() == 2 => {
                let _ = write!(self.out, "\\x{{{:X}}}", c as u32);
                Ok(())
            }
            _ => Err(bad("invalid escape sequence", &self.text(start, self.at))),
        }
    }

    /// `\0` with up to two more digits, `\1` to `\7` with at least one more; else a back reference.
    fn octal(&mut self, start: usize, first: char) -> Result<(), String> {
        let is_octal = |c: Option<char>| c.is_some_and(|c| ('0'..='7').contains(&c));
        if first != '0' && !is_octal(self.peek(0)) {
            return Err(bad("invalid escape sequence", &self.text(start, self.at)));
        }
        while self.at < start + 4 && is_octal(self.peek(0)) {
            self.at += 1;
        }
        let digits = self.text(start + 1, self.at);
        let value = u32::from_str_radix(&digits, 8).unwrap_or(0);
        let _ = write!(self.out, "\\x{{{value:X}}}");
        Ok(())
    }

    /// A bracketed class, from `[` to its `]`. Nested brackets and set operators are plain text
    /// here.
    fn class(&mut self) -> Result<(), String> {
        let start = self.at;
        self.push_plain();
        if self.peek(0) == Some('^') {
            self.push_plain();
        }
        let mut first = true;
        let mut last: Option<char> = None;
        loop {
            let Some(c) = self.peek(0) else {
                return Err(bad("missing closing ]", &self.text(start, self.chars.len())));
            };
            match c {
                ']' if !first => {
                    self.push_plain();
                    return Ok(());
                }
                '[' if self.peek(1) == Some(':') && self.posix_class()? => last = None,
                '-' if last.is_some() && self.peek(1).is_some_and(|c| c != ']') => {
                    self.check_range(last)?;
                    self.push_plain();
                    // The upper end follows and starts no further range.
                    if self.peek(0) == Some('\\') {
                        self.escape(true)?;
                    } else {
                        self.push_literal();
                    }
                    last = None;
                }
                '\\' => {
                    let escaped = self.peek(1).filter(char::is_ascii_punctuation);
                    self.escape(true)?;
                    last = escaped;
                }
                c => {
                    self.push_literal();
                    last = Some(c);
                }
            }
            first = false;
        }
    }

    /// Refuses `z-a`; ends that are escapes are left to the engine.
    fn check_range(&self, low: Option<char>) -> Result<(), String> {
        match (low, self.peek(1)) {
            (Some(low), Some(high)) if high != '\\' && high < low => {
                let shown: String = [low, '-', high].into_iter().collect();
                Err(bad("invalid character class range", &shown))
            }
            _ => Ok(()),
        }
    }

    /// `[:alpha:]` and `[:^alpha:]`; false if the brackets are plain text.
    fn posix_class(&mut self) -> Result<bool, String> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print",
            "punct", "space", "upper", "word", "xdigit",
        ];
        let rest = self.chars.get(self.at + 2..).unwrap_or(&[]);
        let Some(len) = rest.windows(2).position(|pair| pair == [':', ']']) else {
            return Ok(false);
        };
        let name: String = rest.iter().take(len).collect();
        let text = format!("[:{name}:]");
        if !NAMES.contains(&name.trim_start_matches('^')) {
            return Err(bad("invalid character class range", &text));
        }
        self.at += len + 4;
        self.out.push_str(&text);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(source: &str, text: &str) -> bool {
        compile(source).unwrap_or_else(|e| panic!("{source}: {e}")).is_match(text)
    }

    #[test]
    fn matches_as_the_reference_does() {
        let cases = [
            ("a.c", "xabcx", true),
            ("^a$", "ab", false),
            ("(?i)ABC", "xabc", true),
            (r"\d+", "٣", false),
            (r"\w", "é", false),
            (r"a\/b", "a/b", true),
            (r"a\<b", "a<b", true),
            (r"[a&&b]", "&", true),
            (r"[[]", "[", true),
            (r"[]a]", "]", true),
            (r"[^]a]", "]", false),
            (r"[a-]", "-", true),
            (r"[\d.-]+$", "-", true),
            (r"a{", "a{", true),
            (r"a{2}$", "aa", true),
            (r"x{,5}", "x{,5}", true),
            (r"\Qa.b\E$", "a.b", true),
            (r"\Qa.b", "axb", false),
            (r"\x41\101\0", "AA\0", true),
            (r"(?P<a>x)(?P<b>y)", "xy", true),
            (r"[[:alpha:]]", "5", false),
            (r"[[:word:]]", "_", true),
            (r"\bcat\b", "a cat!", true),
            (r"}", "}", true),
            (r"a|", "zzz", true),
            (r"", "anything", true),
            (r"\p{Greek}", "α", true),
            (r"\pL", "5", false),
            (r".\z", "a", true),
        ];
        for (source, text, expected) in cases {
            assert_eq!(matches(source, text), expected, "/{source}/ on {text}");
        }
    }

    #[test]
    fn refuses_in_the_words_of_the_reference() {
        let cases = [
            ("(", "missing closing ): `(`"),
            ("a)", "unexpected ): `a)`"),
            ("a[", "missing closing ]: `[`"),
            ("a(?=b)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
            ("(?P<n", "invalid named capture: `(?P<n`"),
            ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
            ("(?z)", "invalid or unsupported Perl syntax: `(?z`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("a|*", "missing argument to repetition operator: `*`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{5,2}", "invalid repeat count: `{5,2}`"),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
            (r"\q", r"invalid escape sequence: `\q`"),
            (r"\1", r"invalid escape sequence: `\1`"),
            (r"a\", "trailing backslash at end of expression: ``"),
        ];
        for (source, expected) in cases {
            let error = compile(source).err();
            assert_eq!(error, Some(format!("error parsing regexp: {expected}")), "/{source}/");
        }
    }

    #[test]
    fn large_expressions_are_refused() {
        let wide = r"(\pL{1000}){1000}";
        assert_eq!(compile(wide).err().as_deref(), Some("regular expression is too large"));
        let deep = "(".repeat(200) + &")".repeat(200);
        assert_eq!(compile(&deep).err().as_deref(), Some("regular expression is too large"));
    }
}
