//! Expressions over rows, column by column: WHERE after the merge, and arithmetic of SELECT.
//!
//! In: an `Expr` and the columns of some rows. Out: a `Vector`, a value or "missing" for each row.
//! Rules: a comparison with a missing side, or of types that do not compare, is false; arithmetic
//! with a missing side is missing; numbers compare across types; strings know `=`, `!=` and regular
//! expressions; a result that is not a number counts as missing in the end. AND and OR take
//! everything that is not `true` as false.

mod arithmetic;
mod compare;
pub mod elementary;
mod math;
#[cfg(test)]
mod tests;

pub use super::fields::cast;
use super::request::{Expr, Operator};
use crate::model::{Bitmap, Column, ColumnId, Strings, Value, Values};
use std::borrow::Cow;

/// Rows to evaluate over. Positions are those of `Request::fields` and `Request::tags`; what is not
/// there is missing (a tag: the empty string).
#[derive(Clone, Copy, Debug)]
pub struct RowsView<'a> {
    /// Nanoseconds since the epoch, one per row.
    pub times: &'a [i64],
    pub fields: &'a [Option<Cow<'a, Column>>],
    pub tags: &'a [Option<Strings>],
}

/// A value, or its absence, per row.
#[derive(Clone, PartialEq, Debug)]
pub struct Vector<'a> {
    /// One entry per row, or a single one for all rows.
    pub values: Cow<'a, Values>,
    /// `None`: all have a value.
    pub validity: Option<Cow<'a, Bitmap>>,
    /// The single entry is that of every row.
    pub constant: bool,
}

impl<'a> Vector<'a> {
    /// The same value for every row.
    pub fn constant(value: &Value) -> Vector<'a> {
        let mut values = Values::empty(value.kind());
        push(&mut values, value);
        Vector { values: Cow::Owned(values), validity: None, constant: true }
    }

    /// No value in any row.
    pub fn missing() -> Vector<'a> {
        let validity = Some(Cow::Owned(Bitmap::filled(1, false)));
        Vector { values: Cow::Owned(Values::Float(vec![0.0])), validity, constant: true }
    }

    fn owned(values: Values, validity: Option<Bitmap>, constant: bool) -> Vector<'a> {
        Vector { values: Cow::Owned(values), validity: validity.map(Cow::Owned), constant }
    }

    /// Whether a row has a value.
    pub fn is_valid(&self, row: usize) -> bool {
        let row = if self.constant { 0 } else { row };
        self.validity.as_ref().is_none_or(|bits| bits.get(row))
    }

    /// The value of a row.
    pub fn get(&self, row: usize) -> Option<Value> {
        let place = if self.constant { 0 } else { row };
        if self.is_valid(row) { value_at(&self.values, place) } else { None }
    }

    /// Whether a row's value is `true`.
    pub fn is_true(&self, row: usize) -> bool {
        let place = if self.constant { 0 } else { row };
        match &*self.values {
            Values::Boolean(values) => values.get(place) == Some(&true) && self.is_valid(row),
            _ => false,
        }
    }

    /// The vector as a column of so many rows, in which what is not a number is missing.
    pub fn into_column(self, id: ColumnId, rows: usize) -> Column {
        if !self.constant {
            let validity = self.validity.map(Cow::into_owned);
            return Column { id, values: self.values.into_owned(), validity };
        }
        let value = self.get(0);
        let mut values = Values::empty(self.values.kind());
        match &value {
            Some(value) => (0..rows).for_each(|_| push(&mut values, value)),
            None => values.extend_null(rows),
        }
        let validity = value.is_none().then(|| Bitmap::filled(rows, false));
        Column { id, values, validity }
    }
}

/// Evaluates an expression over rows.
pub fn eval<'a>(expr: &Expr, rows: &RowsView<'a>) -> Vector<'a> {
    match expr {
        Expr::Literal(value) => Vector::constant(value),
        Expr::Field(at) => match rows.fields.get(*at) {
            Some(Some(column)) => Vector {
                values: Cow::Borrowed(&column.values),
                validity: column.validity.as_ref().map(Cow::Borrowed),
                constant: false,
            },
            _ => Vector::missing(),
        },
        Expr::Tag(at) => match rows.tags.get(*at) {
            Some(Some(strings)) => Vector::owned(Values::String(strings.clone()), None, false),
            _ => Vector::constant(&Value::String(Box::default())),
        },
        Expr::Time => Vector::owned(Values::Integer(rows.times.to_vec()), None, false),
        Expr::Binary { op: Operator::And, left, right } => {
            logic(&eval(left, rows), &eval(right, rows), rows.times.len(), |a, b| a && b)
        }
        Expr::Binary { op: Operator::Or, left, right } => {
            logic(&eval(left, rows), &eval(right, rows), rows.times.len(), |a, b| a || b)
        }
        Expr::Binary { op, left, right } => {
            let (left, right) = (eval(left, rows), eval(right, rows));
            match op {
                Operator::Eq
                | Operator::Ne
                | Operator::Lt
                | Operator::Le
                | Operator::Gt
                | Operator::Ge => compare::compare(*op, &left, &right, rows.times.len()),
                _ => arithmetic::compute(*op, &left, &right, rows.times.len()),
            }
        }
        Expr::Matches { left, regex, negated } => {
            compare::matches(&eval(left, rows), regex, *negated, rows.times.len())
        }
        Expr::Call { function, arguments } => {
            let arguments: Vec<Vector<'a>> = arguments.iter().map(|one| eval(one, rows)).collect();
            math::call(*function, &arguments, rows.times.len())
        }
        Expr::Cast { inner, kind } => {
            let inner = eval(inner, rows);
            match cast(&inner.values, *kind) {
                Some(values) => {
                    let validity = inner.validity.map(Cow::into_owned);
                    Vector::owned(values, validity, inner.constant)
                }
                None => Vector::missing(),
            }
        }
    }
}

/// The rows for which an expression is true.
pub fn holds(expr: &Expr, rows: &RowsView<'_>) -> Bitmap {
    let result = eval(expr, rows);
    let mut keep = Bitmap::default();
    (0..rows.times.len()).for_each(|row| keep.push(result.is_true(row)));
    keep
}

fn logic<'a>(
    left: &Vector<'_>,
    right: &Vector<'_>,
    rows: usize,
    join: impl Fn(bool, bool) -> bool,
) -> Vector<'a> {
    let values = (0..rows).map(|row| join(left.is_true(row), right.is_true(row))).collect();
    Vector::owned(Values::Boolean(values), None, false)
}

/// Appends a value; one of another type counts as null.
pub fn push(values: &mut Values, value: &Value) {
    match (values, value) {
        (Values::Float(out), Value::Float(value)) => out.push(*value),
        (Values::Integer(out), Value::Integer(value)) => out.push(*value),
        (Values::Unsigned(out), Value::Unsigned(value)) => out.push(*value),
        (Values::Boolean(out), Value::Boolean(value)) => out.push(*value),
        (Values::String(out), Value::String(value)) => out.push(value),
        (out, _) => out.extend_null(1),
    }
}

/// Entry `row`; `None` behind the end.
pub fn value_at(values: &Values, row: usize) -> Option<Value> {
    Some(match values {
        Values::Float(values) => Value::Float(*values.get(row)?),
        Values::Integer(values) => Value::Integer(*values.get(row)?),
        Values::Unsigned(values) => Value::Unsigned(*values.get(row)?),
        Values::Boolean(values) => Value::Boolean(*values.get(row)?),
        Values::String(strings) => {
            strings.ends.get(row)?;
            Value::String(strings.get(row).into())
        }
    })
}

/// One side of an operation on numbers or booleans: an entry per row, or one for all.
#[derive(Clone, Copy)]
struct Side<'v, T> {
    entries: &'v [T],
    constant: bool,
}

impl<T: Copy + Default> Side<'_, T> {
    fn at(&self, row: usize) -> T {
        let row = if self.constant { 0 } else { row };
        self.entries.get(row).copied().unwrap_or_default()
    }
}

/// A side by type.
#[derive(Clone, Copy)]
enum Typed<'v> {
    Float(Side<'v, f64>),
    Integer(Side<'v, i64>),
    Unsigned(Side<'v, u64>),
    Boolean(Side<'v, bool>),
    String(&'v Strings, bool),
}

impl Typed<'_> {
    /// A number as float; missing for what is none.
    fn float(&self, row: usize) -> Option<f64> {
        match self {
            Typed::Float(side) => Some(side.at(row)),
            Typed::Integer(side) => Some(side.at(row) as f64),
            Typed::Unsigned(side) => Some(side.at(row) as f64),
            Typed::Boolean(_) | Typed::String(..) => None,
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Typed::Float(_) | Typed::Integer(_) | Typed::Unsigned(_))
    }
}

impl Vector<'_> {
    fn typed(&self) -> Typed<'_> {
        let constant = self.constant;
        match &*self.values {
            Values::Float(entries) => Typed::Float(Side { entries, constant }),
            Values::Integer(entries) => Typed::Integer(Side { entries, constant }),
            Values::Unsigned(entries) => Typed::Unsigned(Side { entries, constant }),
            Values::Boolean(entries) => Typed::Boolean(Side { entries, constant }),
            Values::String(strings) => Typed::String(strings, constant),
        }
    }
}

/// Where both sides have a value; `None`: in every row.
fn both_valid(left: &Vector<'_>, right: &Vector<'_>, rows: usize) -> Option<Bitmap> {
    if left.validity.is_none() && right.validity.is_none() {
        return None;
    }
    let mut bits = Bitmap::default();
    (0..rows).for_each(|row| bits.push(left.is_valid(row) && right.is_valid(row)));
    Some(bits)
}

/// A vector of floats. What is not a number stays so, since operators tell it from what is missing;
/// it becomes missing in the end.
fn floats<'a>(values: Vec<f64>, validity: Option<Bitmap>) -> Vector<'a> {
    Vector::owned(Values::Float(values), validity, false)
}
