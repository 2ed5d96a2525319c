//! The time range of a condition, and what is left of the condition without it.
//!
//! In: the WHERE expression, the value of `now()` and the zone of the query. Out: the range that
//! all comparisons with `time` leave together, and the other conditions. Time comparisons are
//! intersected wherever they stand, also under OR, as InfluxDB does.

use jiff::tz::TimeZone;

use super::ast::{Expr, Op};
use super::time_literal;
use crate::model::time::{TIME_MAX, TIME_MIN, TimeRange};

/// Splits a condition into the part without `time` and the range of time. A bound that was not
/// given is that of `TimeRange::ALL`.
///
/// # Errors
/// The text for the statement: a comparison with `time` that makes no sense, or a term that is no
/// condition.
pub fn split_time(
    condition: Option<&Expr>,
    now: i64,
    zone: &TimeZone,
) -> Result<(Option<Expr>, TimeRange), String> {
    match condition {
        Some(condition) => Splitter { now, zone }.split(condition),
        None => Ok((None, TimeRange::ALL)),
    }
}

struct Splitter<'a> {
    now: i64,
    zone: &'a TimeZone,
}

impl Splitter<'_> {
    fn split(&self, expr: &Expr) -> Result<(Option<Expr>, TimeRange), String> {
        match expr {
            Expr::Binary(_) => self.split_chain(expr),
            Expr::Paren(inner) => {
                let (rest, range) = self.split(inner)?;
                let rest = rest.map(|rest| match rest {
                    compound @ Expr::Binary(_) => Expr::Paren(Box::new(compound)),
                    simple => simple,
                });
                Ok((rest, range))
            }
            Expr::Boolean(_) => Ok((Some(expr.clone()), TimeRange::ALL)),
            other => Err(format!("invalid condition expression: {other}")),
        }
    }

    /// A chain of AND and OR that hangs to the left, from its first term on.
    fn split_chain(&self, expr: &Expr) -> Result<(Option<Expr>, TimeRange), String> {
        let mut pairs = Vec::new();
        let mut first = expr;
        while let Expr::Binary(node) = first {
            if !matches!(node.op, Op::And | Op::Or) {
                break;
            }
            pairs.push((node.op, &node.rhs));
            first = &node.lhs;
        }
        let (mut rest, mut range) = match first {
            Expr::Binary(node) => self.split_comparison(first, node.op, &node.lhs, &node.rhs)?,
            other => self.split(other)?,
        };
        for (op, term) in pairs.into_iter().rev() {
            let (term_rest, term_range) = self.split(term)?;
            range = range.intersect(term_range);
            rest = match (rest, term_rest) {
                (Some(lhs), Some(rhs)) => Some(Expr::binary(op, lhs, rhs)),
                (rest, None) => rest,
                (None, rest) => rest,
            };
        }
        Ok((rest, range))
    }

    fn split_comparison(
        &self,
        whole: &Expr,
        op: Op,
        lhs: &Expr,
        rhs: &Expr,
    ) -> Result<(Option<Expr>, TimeRange), String> {
        if lhs.is_time() {
            return Ok((None, self.range(op, rhs)?));
        }
        if rhs.is_time() {
            let mirrored = match op {
                Op::Lt => Op::Gt,
                Op::Lte => Op::Gte,
                Op::Gt => Op::Lt,
                Op::Gte => Op::Lte,
                other => other,
            };
            return Ok((None, self.range(mirrored, lhs)?));
        }
        Ok((Some(whole.clone()), TimeRange::ALL))
    }

    fn range(&self, op: Op, value: &Expr) -> Result<TimeRange, String> {
        let at = self.instant(value)?;
        let all = TimeRange::ALL;
        match op {
            Op::Eq => Ok(TimeRange::new(at, at)),
            Op::Gt => Ok(TimeRange::new(at.saturating_add(1), all.last)),
            Op::Gte => Ok(TimeRange::new(at, all.last)),
            Op::Lt => Ok(TimeRange::new(all.first, at.saturating_sub(1))),
            Op::Lte => Ok(TimeRange::new(all.first, at)),
            other => Err(format!("invalid time comparison operator: {}", other.text())),
        }
    }

    fn instant(&self, expr: &Expr) -> Result<i64, String> {
        let text = match expr.unparen() {
            Expr::String(text) => Some(text),
            _ => None,
        };
        let ns = match self.value(expr) {
            Value::Time(ns) => ns,
            Value::Duration(ns) | Value::Integer(ns) => i128::from(ns),
            Value::Float(value) => i128::from(value as i64),
            Value::Other(kind) => {
                // A date that is none is a broken date, not a string.
                return match text.filter(|text| time_literal::looks_like_time(text)) {
                    Some(text) => time_literal::parse(text, self.zone).map_err(|e| e.to_string()),
                    None => Err(format!("invalid operation: time and {kind} are not compatible")),
                };
            }
        };
        let shown = || jiff::Timestamp::from_nanosecond(ns).map(|t| t.to_string());
        if ns < i128::from(TIME_MIN) {
            return Err(format!("time {} underflows time literal", shown().unwrap_or_default()));
        }
        if ns > i128::from(TIME_MAX) {
            return Err(format!("time {} overflows time literal", shown().unwrap_or_default()));
        }
        i64::try_from(ns).map_err(|error| error.to_string())
    }

    /// What a constant expression comes to.
    fn value(&self, expr: &Expr) -> Value {
        match expr {
            Expr::Paren(inner) => self.value(inner),
            Expr::Integer(value) => Value::Integer(*value),
            Expr::Float(value) => Value::Float(*value),
            Expr::Duration(ns) => Value::Duration(*ns),
            Expr::Call { name, args } if name == "now" && args.is_empty() => {
                Value::Time(i128::from(self.now))
            }
            Expr::String(text) if time_literal::looks_like_time(text) => {
                match time_literal::parse(text, self.zone) {
                    Ok(ns) => Value::Time(i128::from(ns)),
                    Err(_) => Value::Other(expr.reference_type()),
                }
            }
            Expr::Binary(node) => {
                let (first, pairs) = node.chain();
                let mut value = self.value(first);
                for (op, rhs) in pairs {
                    value = value.combine(op, self.value(rhs));
                }
                value
            }
            other => Value::Other(other.reference_type()),
        }
    }
}

/// A constant.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Value {
    /// ns since 1970; sums may leave the range of points until they are checked.
    Time(i128),
    Duration(i64),
    Integer(i64),
    Float(f64),
    /// No constant that time knows: the kind of expression.
    Other(&'static str),
}

impl Value {
    fn combine(self, op: Op, rhs: Value) -> Value {
        let unknown = Value::Other("*influxql.BinaryExpr");
        match (self, op, rhs) {
            (Value::Time(at), Op::Add, Value::Duration(ns) | Value::Integer(ns))
            | (Value::Duration(ns) | Value::Integer(ns), Op::Add, Value::Time(at)) => {
                Value::Time(at + i128::from(ns))
            }
            (Value::Time(at), Op::Sub, Value::Duration(ns) | Value::Integer(ns)) => {
                Value::Time(at - i128::from(ns))
            }
            (Value::Time(a), Op::Sub, Value::Time(b)) => {
                i64::try_from(a - b).map_or(unknown, Value::Duration)
            }
            (Value::Duration(a), op, Value::Duration(b) | Value::Integer(b))
            | (Value::Integer(a), op @ (Op::Add | Op::Sub | Op::Mul), Value::Duration(b)) => {
                integers(a, op, b).map_or(unknown, Value::Duration)
            }
            (Value::Duration(a), Op::Mul, Value::Float(b)) => {
                Value::Duration((a as f64 * b) as i64)
            }
            (Value::Duration(a), Op::Div, Value::Float(b)) if b != 0.0 => {
                Value::Duration((a as f64 / b) as i64)
            }
            (Value::Integer(a), Op::Div, Value::Integer(b)) => {
                Value::Float(if b == 0 { 0.0 } else { a as f64 / b as f64 })
            }
            (Value::Integer(a), op, Value::Integer(b)) => {
                integers(a, op, b).map_or(unknown, Value::Integer)
            }
            (Value::Float(a), op, Value::Float(b)) => floats(a, op, b).unwrap_or(unknown),
            (Value::Float(a), op, Value::Integer(b)) => floats(a, op, b as f64).unwrap_or(unknown),
            (Value::Integer(a), op, Value::Float(b)) => floats(a as f64, op, b).unwrap_or(unknown),
            _ => unknown,
        }
    }
}

fn integers(a: i64, op: Op, b: i64) -> Option<i64> {
    match op {
        Op::Add => Some(a.wrapping_add(b)),
        Op::Sub => Some(a.wrapping_sub(b)),
        Op::Mul => Some(a.wrapping_mul(b)),
        Op::Div => Some(a.checked_div(b).unwrap_or(0)),
        Op::Mod => Some(a.checked_rem(b).unwrap_or(0)),
        Op::BitAnd => Some(a & b),
        Op::BitOr => Some(a | b),
        Op::BitXor => Some(a ^ b),
        _ => None,
    }
}

fn floats(a: f64, op: Op, b: f64) -> Option<Value> {
    match op {
        Op::Add => Some(Value::Float(a + b)),
        Op::Sub => Some(Value::Float(a - b)),
        Op::Mul => Some(Value::Float(a * b)),
        Op::Div => Some(Value::Float(if b == 0.0 { 0.0 } else { a / b })),
        Op::Mod => Some(Value::Float(a % b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Params, Statement, parse};
    use super::*;

    const S: i64 = 1_000_000_000;

    fn split(condition: &str) -> Result<(String, TimeRange), String> {
        let text = format!("SELECT v FROM m WHERE {condition}");
        let statements = parse(&text, &Params::new()).unwrap();
        let [Statement::Select(select)] = statements.as_slice() else { panic!("{text}") };
        let (rest, range) = split_time(select.condition.as_ref(), 100 * S, &TimeZone::UTC)?;
        Ok((rest.map(|e| e.to_string()).unwrap_or_default(), range))
    }

    #[test]
    fn ranges_are_intersected_and_the_rest_kept() {
        let (min, max) = (TIME_MIN, TIME_MAX);
        let cases = [
            ("time > 10s", "", 10 * S + 1, max),
            ("time >= 10s AND time < 20s", "", 10 * S, 20 * S - 1),
            ("10s < time", "", 10 * S + 1, max),
            ("10s >= \"TIME\"", "", min, 10 * S),
            ("time = 5", "", 5, 5),
            ("time > 5.9", "", 6, max),
            ("time > now() - 1m", "", 40 * S + 1, max),
            ("time > now() - 7", "", 100 * S - 6, max),
            ("time > '1970-01-01' + 1m", "", 60 * S + 1, max),
            ("time > '1970-01-01T00:00:01Z'", "", S + 1, max),
            ("time > 10s OR time < 5s", "", 10 * S + 1, 5 * S - 1),
            ("time > 10s OR host = 'a'", "host = 'a'", 10 * S + 1, max),
            ("a = 1 AND (b = 2 OR time > 1)", "a = 1 AND (b = 2)", 2, max),
            ("a = 1 AND (b = 2 OR (c = 3 OR time > 1))", "a = 1 AND (b = 2 OR (c = 3))", 2, max),
            ("(time > 1)", "", 2, max),
            ("true AND time > 2 * 3s", "true", 6 * S + 1, max),
            ("time > -1s", "", -S + 1, max),
            ("time > (now() - 1m) + 2m", "", 160 * S + 1, max),
        ];
        for (condition, rest, first, last) in cases {
            let (found, range) = split(condition).unwrap();
            assert_eq!(found, rest, "{condition}");
            assert_eq!(range, TimeRange::new(first, last), "{condition}");
        }
    }

    #[test]
    fn senseless_comparisons_are_refused() {
        let incompatible = |kind| format!("invalid operation: time and {kind} are not compatible");
        let cases = [
            ("time > 'abc'", incompatible("*influxql.StringLiteral")),
            ("time > v", incompatible("*influxql.VarRef")),
            ("time > true", incompatible("*influxql.BooleanLiteral")),
            ("time =~ /a/", incompatible("*influxql.RegexLiteral")),
            ("time > 18446744073709551615", incompatible("*influxql.UnsignedLiteral")),
            ("time != 5", "invalid time comparison operator: !=".to_string()),
            ("time > '2000-01-01 00:00'", "invalid timestamp string".to_string()),
            ("time > '2000-01-01T00:00:00'", "invalid timestamp string".to_string()),
            (
                "time > '1500-01-01'",
                "time 1500-01-01T00:00:00Z underflows time literal".to_string(),
            ),
            ("time > '2500-01-01'", "time 2500-01-01T00:00:00Z overflows time literal".to_string()),
            ("b", "invalid condition expression: b".to_string()),
            ("b AND time > 5", "invalid condition expression: b".to_string()),
        ];
        for (condition, expected) in cases {
            assert_eq!(split(condition), Err(expected), "{condition}");
        }
    }
}
