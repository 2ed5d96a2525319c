//! Statements to normalised text: what warnings, SHOW QUERIES and continuous queries show.
//!
//! In: the syntax tree. Out: text with upper-case words that parses to the same tree again. Numbers
//! keep their full precision (at least three decimals); passwords are never printed.

mod statement;

use std::fmt::{self, Display, Formatter, Write as _};

use super::ast::{
    Dimension, Expr, Fill, Measurement, MeasurementName, Order, Regex, Select, SelectField, Source,
    Target, Wildcard,
};
use super::token::Keyword;
use super::{duration, lexer};

/// Whether a name must be in quotes.
fn needs_quotes(name: &str) -> bool {
    let mut letters = name.chars();
    !letters.next().is_some_and(lexer::starts_name)
        || !letters.all(lexer::continues_name)
        || Keyword::lookup(name).is_some()
}

/// A name, in quotes if it must be.
pub struct Name<'a>(pub &'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if needs_quotes(self.0) { write_quoted(f, self.0, '"') } else { f.write_str(self.0) }
    }
}

/// A string in single quotes.
pub struct Quoted<'a>(pub &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_quoted(f, self.0, '\'')
    }
}

fn write_quoted(f: &mut Formatter<'_>, text: &str, quote: char) -> fmt::Result {
    f.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\n' => f.write_str("\\n")?,
            '\\' => f.write_str("\\\\")?,
            c if c == quote => write!(f, "\\{c}")?,
            c => f.write_char(c)?,
        }
    }
    f.write_char(quote)
}

/// Names with dots between them as the reference shows them in errors: all but the last in quotes.
pub fn dotted(segments: &[String]) -> String {
    let mut out = String::new();
    let last = segments.len().saturating_sub(1);
    for (i, segment) in segments.iter().enumerate() {
        if i > 0 {
            out.push('.');
        }
        let _ = match segment.as_str() {
            "" if i > 0 && i < last => Ok(()),
            text if i < last => write!(out, "\"{}\"", text.replace('"', "\\\"")),
            text => write!(out, "{}", Name(text)),
        };
    }
    out
}

/// Items with a comma and a space between them.
fn write_list<T: Display>(f: &mut Formatter<'_>, items: &[T]) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

/// A float in plain decimals: at least three, more where the value needs them.
fn write_float(f: &mut Formatter<'_>, value: f64) -> fmt::Result {
    let short = format!("{value:.3}");
    if short.parse() == Ok(value) { f.write_str(&short) } else { write!(f, "{value}") }
}

impl Display for Regex {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source.replace('/', "\\/"))
    }
}

impl Display for Wildcard {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wildcard::All => "*",
            Wildcard::Fields => "*::field",
            Wildcard::Tags => "*::tag",
        })
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::VarRef(var) => {
                write!(f, "{}", Name(&var.name))?;
                match var.cast {
                    Some(cast) => write!(f, "::{}", cast.text()),
                    None => Ok(()),
                }
            }
            Expr::Call { name, args } => {
                let plain = !needs_quotes(name) || name == "distinct";
                if plain {
                    f.write_str(name)?
                } else {
                    write!(f, "{}", Name(name))?
                }
                f.write_char('(')?;
                write_list(f, args)?;
                f.write_char(')')
            }
            Expr::Binary(node) => {
                let (first, pairs) = node.chain();
                write!(f, "{first}")?;
                pairs.iter().try_for_each(|(op, rhs)| write!(f, " {} {rhs}", op.text()))
            }
            Expr::Paren(inner) => write!(f, "({inner})"),
            Expr::Integer(value) => write!(f, "{value}"),
            Expr::Unsigned(value) => write!(f, "{value}"),
            Expr::Float(value) => write_float(f, *value),
            Expr::String(text) => write!(f, "{}", Quoted(text)),
            Expr::Boolean(value) => write!(f, "{value}"),
            Expr::Duration(ns) => f.write_str(&duration::print(*ns)),
            Expr::Regex(regex) => write!(f, "{regex}"),
            Expr::Wildcard(wildcard) => write!(f, "{wildcard}"),
            Expr::Distinct(name) => write!(f, "DISTINCT {}", Name(name)),
            Expr::Nil => Ok(()),
        }
    }
}

impl Display for SelectField {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expr)?;
        match &self.alias {
            Some(alias) => write!(f, " AS {}", Name(alias)),
            None => Ok(()),
        }
    }
}

fn write_qualifier(
    f: &mut Formatter<'_>,
    database: Option<&str>,
    retention_policy: Option<&str>,
) -> fmt::Result {
    if let Some(database) = database {
        write!(f, "{}.", Name(database))?;
    }
    if let Some(retention_policy) = retention_policy {
        write!(f, "{}", Name(retention_policy))?;
    }
    if database.is_some() || retention_policy.is_some() { f.write_char('.') } else { Ok(()) }
}

impl Display for Measurement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_qualifier(f, self.database.as_deref(), self.retention_policy.as_deref())?;
        match &self.name {
            MeasurementName::Name(name) => write!(f, "{}", Name(name)),
            MeasurementName::Regex(regex) => write!(f, "{regex}"),
        }
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_qualifier(f, self.database.as_deref(), self.retention_policy.as_deref())?;
        match &self.name {
            Some(name) => write!(f, "{}", Name(name)),
            None => f.write_str(":MEASUREMENT"),
        }
    }
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Source::Measurement(measurement) => write!(f, "{measurement}"),
            Source::Subquery(select) => write!(f, "({select})"),
        }
    }
}

impl Display for Dimension {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expr)
    }
}

impl Display for Order {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = if self.named { "time " } else { "" };
        write!(f, "{name}{}", if self.descending { "DESC" } else { "ASC" })
    }
}

/// ` WHERE …`, if there is a condition.
fn write_condition(f: &mut Formatter<'_>, condition: Option<&Expr>) -> fmt::Result {
    condition.map_or(Ok(()), |condition| write!(f, " WHERE {condition}"))
}

fn write_dimensions(f: &mut Formatter<'_>, dimensions: &[Dimension]) -> fmt::Result {
    if dimensions.is_empty() {
        return Ok(());
    }
    f.write_str(" GROUP BY ")?;
    write_list(f, dimensions)
}

/// A word and a number, unless the number is zero.
fn write_counts(f: &mut Formatter<'_>, counts: &[(&str, u64)]) -> fmt::Result {
    let given = counts.iter().filter(|(_, count)| *count > 0);
    given.into_iter().try_for_each(|(word, count)| write!(f, " {word} {count}"))
}

impl Display for Select {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        write_list(f, &self.fields)?;
        if let Some(target) = &self.target {
            write!(f, " INTO {target}")?;
        }
        f.write_str(" FROM ")?;
        write_list(f, &self.sources)?;
        write_condition(f, self.condition.as_ref())?;
        write_dimensions(f, &self.dimensions)?;
        match self.fill {
            Fill::Null => {}
            Fill::None => f.write_str(" fill(none)")?,
            Fill::Previous => f.write_str(" fill(previous)")?,
            Fill::Linear => f.write_str(" fill(linear)")?,
            Fill::Integer(value) => write!(f, " fill({value})")?,
            Fill::Float(value) => {
                f.write_str(" fill(")?;
                write_float(f, value)?;
                f.write_char(')')?;
            }
        }
        if let Some(order) = self.order {
            write!(f, " ORDER BY {order}")?;
        }
        let counts = [
            ("LIMIT", self.limit),
            ("OFFSET", self.offset),
            ("SLIMIT", self.slimit),
            ("SOFFSET", self.soffset),
        ];
        write_counts(f, &counts)?;
        match &self.tz {
            Some(zone) => write!(f, " TZ({})", Quoted(zone)),
            None => Ok(()),
        }
    }
}
