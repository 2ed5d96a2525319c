//! Bind parameters: values that stand for `$name` in a query.
//!
//! In: names and values, read from JSON elsewhere. Out: the token each stands for, so that a
//! parameter may be used wherever a token of its kind may.

use std::collections::BTreeMap;

use super::duration;
use super::token::Token;

/// The value of a bind parameter.
#[derive(Clone, PartialEq, Debug)]
pub enum ParamValue {
    /// A name of a measurement, field, tag or function.
    Identifier(String),
    /// A regular expression without its slashes.
    Regex(String),
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A duration as text, checked when it is used.
    Duration(String),
    /// A duration in ns.
    Nanoseconds(i64),
    /// A value that cannot be bound; the text says why and is shown when the parameter is used.
    Invalid(String),
}

impl ParamValue {
    /// The token and its text.
    pub fn token(&self) -> (Token, String) {
        use super::token::Keyword;
        match self {
            ParamValue::Identifier(name) => (Token::Ident, name.clone()),
            ParamValue::Regex(source) => (Token::Regex, source.clone()),
            ParamValue::String(text) => (Token::String, text.clone()),
            ParamValue::Integer(value) => (Token::Integer, value.to_string()),
            ParamValue::Float(value) => (Token::Number, value.to_string()),
            ParamValue::Boolean(true) => (Token::Keyword(Keyword::True), String::new()),
            ParamValue::Boolean(false) => (Token::Keyword(Keyword::False), String::new()),
            ParamValue::Duration(text) => (Token::Duration, text.clone()),
            ParamValue::Nanoseconds(value) => (Token::Duration, duration::print(*value)),
            ParamValue::Invalid(why) => (Token::BoundParam, why.clone()),
        }
    }
}

/// The bind parameters of a query by name.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Params {
    values: BTreeMap<String, ParamValue>,
}

impl Params {
    /// No parameters.
    pub fn new() -> Params {
        Params::default()
    }

    /// Binds a value to a name, without the `$`.
    pub fn set(&mut self, name: impl Into<String>, value: ParamValue) {
        self.values.insert(name.into(), value);
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&ParamValue> {
        self.values.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_tokens() {
        let mut params = Params::new();
        params.set("d", ParamValue::Nanoseconds(60_000_000_000));
        let token = params.get("d").map(ParamValue::token);
        assert_eq!(token, Some((Token::Duration, "1m".to_string())));
        assert_eq!(params.get("e"), None);
        assert_eq!(ParamValue::Float(1e3).token().1, "1000");
    }
}
