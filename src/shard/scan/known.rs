//! Chunks that need not be decoded: no row of them passes WHERE, or their statistics say all that
//! the question wants of them.
//!
//! Of the rest, the columns that WHERE looks at are decoded first, and of the others only the pages
//! with a row that passes.
//!
//! In: a chunk whose rows stand alone (no other source, delete or time to live touches them, which
//! `read` sees to). Out: whether to pass it over. Counts and integer sums are taken from the
//! statistics; a selector passes a chunk over that cannot win. Float sums are never taken from
//! here: they depend on the order of addition.

use super::ScanError;
use super::merge::compare_values;
use super::partial::Picked;
use super::plan::{Batch, Plan};
use super::read::storage;
use super::request::{Expr, FieldRef, Function, Operator};
use super::rowset::Used;
use crate::env::Env;
use crate::model::{Bitmap, ColumnId, SeriesId, TimeRange, Value};
use crate::shard::block::Block;
use crate::shard::segment::{ChunkInfo, Reader, Sieve, Statistics, Summary};
use std::cmp::Ordering;
use std::rc::Rc;

/// Integers up to here are floats without loss.
const EXACT: u64 = 1 << 53;

/// A chunk that is next to be read.
pub struct Chunk<E: Env> {
    pub reader: Rc<Reader<E>>,
    pub info: ChunkInfo,
}

impl<E: Env> Chunk<E> {
    /// The statistics of a column; `None` when no row has a value.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub async fn statistics(&self, column: ColumnId) -> Result<Option<Statistics>, ScanError> {
        self.reader.statistics(self.info.id, column).await.map_err(storage)
    }

    /// The series of the rows.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub async fn series(&self) -> Result<Vec<SeriesId>, ScanError> {
        self.reader.series_of(&self.info).await.map_err(storage)
    }
}

/// Who says which chunks to pass over.
pub trait Judge<E: Env> {
    /// Whether to pass a chunk over; what it adds to the answer has been added then.
    async fn passes_over(&mut self, chunk: &Chunk<E>) -> Result<bool, ScanError>;

    /// What sieves the rows of the others.
    fn sieve(&self) -> Option<&dyn Sieve>;
}

/// Reads every chunk.
pub struct ReadAll;

impl<E: Env> Judge<E> for ReadAll {
    async fn passes_over(&mut self, _: &Chunk<E>) -> Result<bool, ScanError> {
        Ok(false)
    }

    fn sieve(&self) -> Option<&dyn Sieve> {
        None
    }
}

/// WHERE of a question, as far as chunks that stand alone are concerned.
pub struct Condition<'a, E: Env> {
    bounds: Option<Bounds<'a>>,
    plan: &'a Plan<'a, E>,
    batch: &'a Batch,
    used: Option<&'a Used>,
    /// The columns that WHERE looks at, sorted; empty when nothing is gained by them.
    columns: Vec<ColumnId>,
}

impl<'a, E: Env> Condition<'a, E> {
    /// That of a plan's request.
    pub fn new(plan: &'a Plan<'a, E>, batch: &'a Batch, used: Option<&'a Used>) -> Self {
        let request = plan.request;
        let bounds = Bounds::of(request.filter.as_ref(), &request.fields);
        let columns = used.map_or_else(Vec::new, |used| used.columns(&request.fields));
        let all = batch.wanted.columns.iter().filter(|id| **id != ColumnId::EXPIRE).count();
        let gains = !columns.is_empty() && columns.len() < all;
        let columns = if gains { columns } else { Vec::new() };
        Condition { bounds, plan, batch, used, columns }
    }

    /// Whether no row of a chunk can pass.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub async fn refuse(&self, chunk: &Chunk<E>) -> Result<bool, ScanError> {
        match &self.bounds {
            Some(bounds) => bounds.refuse(chunk).await,
            None => Ok(false),
        }
    }
}

impl<E: Env> Sieve for Condition<'_, E> {
    fn columns(&self) -> &[ColumnId] {
        &self.columns
    }

    fn keep(&self, block: &Block) -> Bitmap {
        self.plan.passing(block, self.batch, self.used)
    }
}

impl<E: Env> Judge<E> for Condition<'_, E> {
    async fn passes_over(&mut self, chunk: &Chunk<E>) -> Result<bool, ScanError> {
        self.refuse(chunk).await
    }

    fn sieve(&self) -> Option<&dyn Sieve> {
        (!self.columns.is_empty()).then_some(self as &dyn Sieve)
    }
}

/// The column of a field that is stored as one type and read as that; others are not judged.
pub fn plain_column(field: &FieldRef) -> Option<ColumnId> {
    match field.columns.as_slice() {
        [id] if id.kind() == field.kind => Some(*id),
        _ => None,
    }
}

/// What WHERE asks of fields that statistics can refuse.
struct Bounds<'r> {
    filter: &'r Expr,
    /// Fields that are compared with a number, with their columns.
    fields: Vec<(usize, ColumnId)>,
}

impl<'r> Bounds<'r> {
    /// Those of an expression; `None` when statistics say nothing about it.
    fn of(filter: Option<&'r Expr>, fields: &[FieldRef]) -> Option<Bounds<'r>> {
        let filter = filter?;
        let mut found = Vec::new();
        collect(filter, fields, &mut found);
        found.sort_unstable();
        found.dedup();
        (!found.is_empty()).then_some(Bounds { filter, fields: found })
    }

    async fn refuse<E: Env>(&self, chunk: &Chunk<E>) -> Result<bool, ScanError> {
        let mut known = Vec::with_capacity(self.fields.len());
        for (field, column) in &self.fields {
            known.push((*field, chunk.statistics(*column).await?));
        }
        Ok(!may_hold(self.filter, &known))
    }
}

/// A comparison of a field with a literal, the field on the left.
fn comparison(expr: &Expr) -> Option<(Operator, usize, &Value)> {
    let Expr::Binary { op, left, right } = expr else { return None };
    let turned = match op {
        Operator::Gt => Operator::Lt,
        Operator::Ge => Operator::Le,
        Operator::Lt => Operator::Gt,
        Operator::Le => Operator::Ge,
        Operator::Eq => Operator::Eq,
        _ => return None,
    };
    match (&**left, &**right) {
        (Expr::Field(field), Expr::Literal(value)) => Some((*op, *field, value)),
        (Expr::Literal(value), Expr::Field(field)) => Some((turned, *field, value)),
        _ => None,
    }
}

fn collect(expr: &Expr, fields: &[FieldRef], out: &mut Vec<(usize, ColumnId)>) {
    if let Expr::Binary { op: Operator::And | Operator::Or, left, right } = expr {
        collect(left, fields, out);
        collect(right, fields, out);
    } else if let Some((_, field, _)) = comparison(expr) {
        let column = fields.get(field).and_then(plain_column);
        out.extend(column.map(|column| (field, column)));
    }
}

/// Whether an expression can be true for some row; false only when that is certain.
fn may_hold(expr: &Expr, known: &[(usize, Option<Statistics>)]) -> bool {
    match expr {
        Expr::Binary { op: Operator::And, left, right } => {
            may_hold(left, known) && may_hold(right, known)
        }
        Expr::Binary { op: Operator::Or, left, right } => {
            may_hold(left, known) || may_hold(right, known)
        }
        other => {
            let Some((op, field, value)) = comparison(other) else { return true };
            match known.iter().find(|(one, _)| *one == field) {
                None => true,
                // A comparison with nothing is false.
                Some((_, None)) => false,
                Some((_, Some(stats))) => may_compare(op, stats.summary, value),
            }
        }
    }
}

fn may_compare(op: Operator, summary: Summary, value: &Value) -> bool {
    let Some((min, max)) = ends(summary) else { return true };
    let Some(value) = number(value) else { return true };
    if min.is_nan() || max.is_nan() || value.is_nan() {
        return true;
    }
    match op {
        Operator::Gt => max > value,
        Operator::Ge => max >= value,
        Operator::Lt => min < value,
        Operator::Le => min <= value,
        _ => min <= value && value <= max,
    }
}

/// Least and greatest as floats, where these are exact.
fn ends(summary: Summary) -> Option<(f64, f64)> {
    match summary {
        Summary::Float { min, max } => Some((min, max)),
        Summary::Integer { min, max, .. } => {
            let exact = min.unsigned_abs() <= EXACT && max.unsigned_abs() <= EXACT;
            exact.then_some((min as f64, max as f64))
        }
        Summary::Unsigned { min, max, .. } => (max <= EXACT).then_some((min as f64, max as f64)),
        Summary::Boolean { .. } | Summary::String => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some(*value),
        Value::Integer(value) => (value.unsigned_abs() <= EXACT).then_some(*value as f64),
        Value::Unsigned(value) => (*value <= EXACT).then_some(*value as f64),
        Value::Boolean(_) | Value::String(_) => None,
    }
}

/// Least and greatest value, where they are those that a reader of the rows would find: it tells
/// zero from minus zero by the place of the row.
pub fn values(summary: Summary) -> Option<(Value, Value)> {
    match summary {
        Summary::Float { min, max } => {
            let plain = |value: f64| !value.is_nan() && value != 0.0;
            (plain(min) && plain(max)).then_some((Value::Float(min), Value::Float(max)))
        }
        Summary::Integer { min, max, .. } => Some((Value::Integer(min), Value::Integer(max))),
        Summary::Unsigned { min, max, .. } => Some((Value::Unsigned(min), Value::Unsigned(max))),
        Summary::Boolean { min, max } => Some((Value::Boolean(min), Value::Boolean(max))),
        Summary::String => None,
    }
}

/// Whether no point of a chunk is preferred to the one held, nor equal to it.
pub fn loses(function: Function, summary: Summary, time: TimeRange, held: &Picked) -> bool {
    let behind = time.first > held.time;
    match function {
        Function::First | Function::FirstLeast => behind,
        Function::Last => time.last < held.time,
        Function::Min | Function::Max => {
            let Some((min, max)) = values(summary) else { return false };
            let order = match function {
                Function::Min => compare_values(&min, &held.value),
                _ => compare_values(&held.value, &max),
            };
            order == Ordering::Greater || (order == Ordering::Equal && behind)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FieldNo, FieldType};

    fn compare(op: Operator, field: usize, value: f64) -> Expr {
        let (left, right) = (Expr::Field(field), Expr::Literal(Value::Float(value)));
        Expr::Binary { op, left: Box::new(left), right: Box::new(right) }
    }

    fn join(op: Operator, left: Expr, right: Expr) -> Expr {
        Expr::Binary { op, left: Box::new(left), right: Box::new(right) }
    }

    #[test]
    fn a_condition_is_refused_only_when_it_cannot_hold() {
        let summary = Summary::Float { min: -1.0, max: 5.0 };
        let known = [(0, Some(Statistics { count: 9, summary })), (1, None)];
        let may = |expr: &Expr| may_hold(expr, &known);
        for (op, below, at, above) in [
            (Operator::Gt, true, false, false),
            (Operator::Ge, true, true, false),
            (Operator::Eq, true, true, false),
        ] {
            let found = [4.9, 5.0, 5.1].map(|value| may(&compare(op, 0, value)));
            assert_eq!(found, [below, at, above], "{op:?}");
        }
        for (op, below, at, above) in [
            (Operator::Lt, false, false, true),
            (Operator::Le, false, true, true),
            (Operator::Eq, false, true, true),
        ] {
            let found = [-1.1, -1.0, -0.9].map(|value| may(&compare(op, 0, value)));
            assert_eq!(found, [below, at, above], "{op:?}");
        }
        assert!(!may(&compare(Operator::Gt, 1, 0.0)), "no row has the field");
        assert!(may(&compare(Operator::Gt, 2, 0.0)) && may(&compare(Operator::Ne, 0, 9.0)));
        let (no, yes) = (|| compare(Operator::Gt, 0, 9.0), || compare(Operator::Ne, 0, 9.0));
        assert!(!may(&join(Operator::And, no(), yes())) && may(&join(Operator::Or, no(), yes())));
        assert!(!may(&join(Operator::Or, no(), no())));
        let turned = join(Operator::Lt, Expr::Literal(Value::Integer(9)), Expr::Field(0));
        assert!(!may(&turned));
    }

    #[test]
    fn numbers_that_floats_cannot_hold_are_not_judged() {
        let large = i64::MAX;
        let summary = Summary::Integer { min: large - 1, max: large - 1, sum: 0 };
        assert!(may_compare(Operator::Gt, summary, &Value::Integer(large)));
        let column = ColumnId::new(FieldNo(1), FieldType::Integer);
        let mixed = FieldRef { columns: vec![column], kind: FieldType::Float };
        assert_eq!(plain_column(&mixed), None);
        assert!(Bounds::of(Some(&compare(Operator::Gt, 0, 1.0)), &[mixed]).is_none());
    }
}
