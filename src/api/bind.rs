//! Bind parameters of a query: a JSON object of names and values.
//!
//! In: the text of `params`. Out: values by name, or the text of a 400 in the words of Go's
//! decoder, which InfluxDB uses. Numbers keep their digits: one with a point is a float, any other
//! must be an integer. What follows the object is not looked at.

use crate::influxql::{ParamValue, Params};

/// Deepest nesting of lists and objects.
const DEPTH_MAX: usize = 100;

/// A value as far as binding looks at it.
#[derive(Clone, PartialEq, Debug)]
enum Json {
    Null,
    Bool(bool),
    /// Its digits.
    Number(String),
    Text(String),
    List,
    Object(Vec<(String, Json)>),
}

/// Reads parameters; an empty text has none.
///
/// # Errors
/// The whole text of the refusal.
pub fn bind(text: &str) -> Result<Params, String> {
    let mut bound = Params::new();
    if text.is_empty() {
        return Ok(bound);
    }
    let refused = |why: String| format!("error parsing query parameters: {why}");
    let mut reader = Reader { text, at: 0 };
    let value = reader.first().map_err(refused)?;
    let kind = match value {
        Json::Object(pairs) => {
            for (name, value) in pairs {
                bound.set(&name, param(&value)?);
            }
            return Ok(bound);
        }
        Json::Null => return Ok(bound),
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::Text(_) => "string",
        Json::List => "array",
    };
    Err(refused(format!(
        "json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
    )))
}

fn param(value: &Json) -> Result<ParamValue, String> {
    Ok(match value {
        Json::Null => ParamValue::Invalid("unable to bind parameter with type <nil>".to_owned()),
        Json::List => {
            ParamValue::Invalid("unable to bind parameter with type []interface {}".to_owned())
        }
        Json::Bool(value) => ParamValue::Boolean(*value),
        Json::Text(text) => ParamValue::String(text.clone()),
        Json::Number(digits) => number(digits)?,
        Json::Object(pairs) => match pairs.as_slice() {
            [(kind, value)] => typed(kind, value)?,
            _ => ParamValue::Invalid(
                "bound object parameter value must have exactly one entry".to_owned(),
            ),
        },
    })
}

fn number(digits: &str) -> Result<ParamValue, String> {
    let refused = |call: &str, why: &str| {
        format!("error parsing json value: strconv.{call}: parsing \"{digits}\": {why}")
    };
    if digits.contains('.') {
        let value: f64 = digits.parse().map_err(|_| refused("ParseFloat", "invalid syntax"))?;
        return match value.is_finite() {
            true => Ok(ParamValue::Float(value)),
            false => Err(refused("ParseFloat", "value out of range")),
        };
    }
    digits.parse().map(ParamValue::Integer).map_err(|_| {
        let plain = digits.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
        refused("ParseInt", if plain { "value out of range" } else { "invalid syntax" })
    })
}

fn typed(kind: &str, value: &Json) -> Result<ParamValue, String> {
    let text = match value {
        Json::Text(text) => Some(text.clone()),
        _ => None,
    };
    let number = match value {
        Json::Number(digits) => Some(number(digits)?),
        _ => None,
    };
    let integer = match number {
        Some(ParamValue::Integer(value)) => Some(value),
        _ => None,
    };
    let float = match number {
        Some(ParamValue::Float(value)) => Some(value),
        other => other.and(integer).map(|value| value as f64),
    };
    let (made, wanted) = match kind {
        "ident" | "identifier" => {
            (text.map(ParamValue::Identifier), "identifier must be a string value")
        }
        "regex" => (text.map(ParamValue::Regex), "regex literal must be a string value"),
        "string" => (text.map(ParamValue::String), "string literal must be a string value"),
        "float" | "number" => {
            (float.map(ParamValue::Float), "number literal must be a float value")
        }
        "int" | "integer" => {
            (integer.map(ParamValue::Integer), "integer literal must be an integer value")
        }
        "duration" => {
            let made = text.map(ParamValue::Duration);
            let made = made.or_else(|| integer.map(ParamValue::Nanoseconds));
            (made, "duration literal must be a string or integer value")
        }
        other => return Ok(ParamValue::Invalid(format!("unknown bind object type: {other}"))),
    };
    Ok(made.unwrap_or_else(|| ParamValue::Invalid(wanted.to_owned())))
}

/// Reads JSON as Go's decoder does, errors included.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

const CUT: &str = "unexpected EOF";

impl Reader<'_> {
    fn first(&mut self) -> Result<Json, String> {
        self.blanks();
        if self.at >= self.text.len() {
            return Err("EOF".to_owned());
        }
        self.value(0)
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn take(&mut self) -> Result<char, String> {
        let next = self.peek().ok_or(CUT)?;
        self.at += next.len_utf8();
        Ok(next)
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\r' | '\n')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        self.blanks();
        if depth > DEPTH_MAX {
            return Err("exceeded max depth".to_owned());
        }
        match self.take()? {
            '{' => self.object(depth),
            '[' => self.list(depth),
            '"' => self.string().map(Json::Text),
            't' => self.literal("true", Json::Bool(true)),
            'f' => self.literal("false", Json::Bool(false)),
            'n' => self.literal("null", Json::Null),
            first @ ('-' | '0'..='9') => self.number(first),
            other => Err(invalid(other, "looking for beginning of value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        let mut pairs: Vec<(String, Json)> = Vec::new();
        self.blanks();
        if self.peek() == Some('}') {
            self.at += 1;
            return Ok(Json::Object(pairs));
        }
        loop {
            self.blanks();
            match self.take()? {
                '"' => {}
                other => {
                    return Err(invalid(other, "looking for beginning of object key string"));
                }
            }
            let name = self.string()?;
            self.blanks();
            match self.take()? {
                ':' => {}
                other => return Err(invalid(other, "after object key")),
            }
            let value = self.value(depth + 1)?;
            pairs.retain(|(known, _)| *known != name);
            pairs.push((name, value));
            self.blanks();
            match self.take()? {
                ',' => {}
                '}' => return Ok(Json::Object(pairs)),
                other => return Err(invalid(other, "after object key:value pair")),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, String> {
        self.blanks();
        if self.peek() == Some(']') {
            self.at += 1;
            return Ok(Json::List);
        }
        loop {
            self.value(depth + 1)?;
            self.blanks();
            match self.take()? {
                ',' => {}
                ']' => return Ok(Json::List),
                other => return Err(invalid(other, "after array element")),
            }
        }
    }

    fn literal(&mut self, word: &'static str, value: Json) -> Result<Json, String> {
        for wanted in word.chars().skip(1) {
            let found = self.take()?;
            if found != wanted {
                let place = format!("in literal {word} (expecting {})", quote(wanted));
                return Err(invalid(found, &place));
            }
        }
        Ok(value)
    }

    fn number(&mut self, first: char) -> Result<Json, String> {
        let start = self.at - 1;
        let mut digit = first;
        if first == '-' {
            digit = self.take()?;
            if !digit.is_ascii_digit() {
                return Err(invalid(digit, "in numeric literal"));
            }
        }
        if digit != '0' {
            self.digits();
        }
        if self.peek() == Some('.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            self.at += 1;
            if matches!(self.peek(), Some('+' | '-')) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(Json::Number(self.text.get(start..self.at).unwrap_or_default().to_owned()))
    }

    fn some_digits(&mut self, place: &str) -> Result<(), String> {
        let first = self.take()?;
        if !first.is_ascii_digit() {
            return Err(invalid(first, place));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
        }
    }

    /// The rest of a string whose quote was read.
    fn string(&mut self) -> Result<String, String> {
        let mut out = String::new();
        loop {
            match self.take()? {
                '"' => return Ok(out),
                '\\' => self.escape(&mut out)?,
                control if (control as u32) < 0x20 => {
                    return Err(invalid(control, "in string literal"));
                }
                plain => out.push(plain),
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), String> {
        let plain = match self.take()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            same @ ('"' | '\\' | '/') => same,
            'u' => self.unicode()?,
            other => return Err(invalid(other, "in string escape code")),
        };
        out.push(plain);
        Ok(())
    }

    /// Four digits, and the other half of a pair of surrogates if it follows.
    fn unicode(&mut self) -> Result<char, String> {
        let high = self.hex()?;
        let is_high = (0xd800..0xdc00).contains(&high);
        let rest = self.text.get(self.at..).unwrap_or_default();
        if is_high && rest.starts_with("\\u") {
            let before = self.at;
            self.at += 2;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..4 {
            let found = self.take()?;
            let digit = found.to_digit(16);
            code = code * 16
                + digit.ok_or_else(|| invalid(found, "in \\u hexadecimal character escape"))?;
        }
        Ok(code)
    }
}

fn invalid(found: char, place: &str) -> String {
    format!("invalid character {} {place}", quote(found))
}

/// A character as Go quotes it in these messages.
fn quote(c: char) -> String {
    match c {
        '\'' => r"'\''".to_owned(),
        '"' => "'\"'".to_owned(),
        other => format!("'{}'", other.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_kinds() {
        let text = r#" {"a":"x","b":1,"c":1.5e3,"d":true,"e":{"duration":"1m"},"f":{"regex":"a.*"},
                       "g":{"float":2},"h":-7,"i":{"int":3},"j":"\u00e9\ud83d\ude00\n"} rest"#;
        let bound = bind(text).unwrap();
        let cases = [
            ("a", ParamValue::String("x".into())),
            ("b", ParamValue::Integer(1)),
            ("c", ParamValue::Float(1500.0)),
            ("d", ParamValue::Boolean(true)),
            ("e", ParamValue::Duration("1m".into())),
            ("f", ParamValue::Regex("a.*".into())),
            ("g", ParamValue::Float(2.0)),
            ("h", ParamValue::Integer(-7)),
            ("i", ParamValue::Integer(3)),
            ("j", ParamValue::String("é😀\n".into())),
        ];
        for (name, value) in cases {
            assert_eq!(bound.get(name), Some(&value), "{name}");
        }
        assert_eq!(bind("").unwrap(), Params::new());
    }

    #[test]
    fn broken_texts_are_told_as_go_tells_them() {
        let cases = [
            ("{", "unexpected EOF"),
            (r#"{"a":1"#, "unexpected EOF"),
            (" ", "EOF"),
            ("x", "invalid character 'x' looking for beginning of value"),
            ("{x}", "invalid character 'x' looking for beginning of object key string"),
            ("{'a':1}", r"invalid character '\'' looking for beginning of object key string"),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
            (r#"{"a":tru}"#, "invalid character '}' in literal true (expecting 'e')"),
            (r#"{"a":01}"#, "invalid character '1' after object key:value pair"),
            (r#"{"a":1 "b":2}"#, "invalid character '\"' after object key:value pair"),
            (r#"{"a":"\x"}"#, "invalid character 'x' in string escape code"),
            (r#"{"a":-}"#, "invalid character '}' in numeric literal"),
            (r#"{"a":1.}"#, "invalid character '}' after decimal point in numeric literal"),
            ("[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
            ("1", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
        ];
        for (text, why) in cases {
            let expected = format!("error parsing query parameters: {why}");
            assert_eq!(bind(text).unwrap_err(), expected, "{text}");
        }
        for (digits, why) in
            [("1e3", "invalid syntax"), ("99999999999999999999", "value out of range")]
        {
            let expected =
                format!("error parsing json value: strconv.ParseInt: parsing \"{digits}\": {why}");
            assert_eq!(bind(&format!("{{\"a\":{digits}}}")).unwrap_err(), expected);
        }
        assert!(bind(&"[".repeat(10_000)).is_err());
    }

    #[test]
    fn what_cannot_be_bound_says_why_when_it_is_used() {
        let cases = [
            (r#"{"a":null}"#, "unable to bind parameter with type <nil>"),
            (r#"{"a":[1]}"#, "unable to bind parameter with type []interface {}"),
            (r#"{"a":{}}"#, "bound object parameter value must have exactly one entry"),
            (r#"{"a":{"regex":1}}"#, "regex literal must be a string value"),
            (r#"{"a":{"foo":1}}"#, "unknown bind object type: foo"),
            (r#"{"a":{"int":1.5}}"#, "integer literal must be an integer value"),
        ];
        for (text, why) in cases {
            let bound = bind(text).unwrap();
            assert_eq!(bound.get("a"), Some(&ParamValue::Invalid(why.to_owned())), "{text}");
        }
    }
}
