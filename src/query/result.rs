//! What a query gives: series of columns, messages and errors, part by part.
//!
//! In: what the operators make. Out: what an encoder prints. A part is a whole series or the next
//! rows of one (same statement, name and tags), so a long answer is never held as a whole.

use crate::model::{Bitmap, Column as Stored, Value, Values};
use jiff::tz::TimeZone;
use std::future::Future;
use std::sync::Arc;

/// A piece of the answer of one statement. A part without series, messages and error says that the
/// statement was executed.
#[derive(Clone, Debug, Default)]
pub struct ResultPart {
    /// Place of the statement in the query, from 0.
    pub statement_id: usize,
    pub series: Option<Series>,
    /// Warnings.
    pub messages: Vec<String>,
    pub error: Option<String>,
}

/// Key and value of a tag.
pub type Tag = (Box<[u8]>, Box<[u8]>);

/// Rows of one series, as columns of equal length.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// `None` for answers without a name (SHOW RETENTION POLICIES).
    pub name: Option<Arc<[u8]>>,
    /// Sorted by key.
    pub tags: Arc<[Tag]>,
    /// Names of the columns.
    pub columns: Arc<[Box<[u8]>]>,
    pub values: Vec<Column>,
    /// Number of rows.
    pub rows: usize,
    /// Zone in which times are printed; `None` is UTC.
    pub zone: Option<TimeZone>,
    /// Whether chunks do not cut it by size: listings of SHOW come in one piece.
    pub whole: bool,
}

/// One column of a result.
#[derive(Clone, Debug)]
pub enum Column {
    /// Instants (ns), printed as the request wants times.
    Times(Vec<i64>),
    /// Values of one type; no bitmap: all present.
    Values(Values, Option<Bitmap>),
    /// Texts from a small set: `texts[at[row]]`, `None` is null.
    Texts { texts: Vec<Option<Arc<[u8]>>>, at: Vec<u32> },
    /// Anything.
    Cells(Vec<Cell>),
}

/// One value of a result.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    Null,
    Time(i64),
    Value(Value),
    Text(Arc<[u8]>),
    /// A list of texts (destinations of subscriptions).
    List(Vec<String>),
}

/// A value without a copy.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum CellRef<'a> {
    Null,
    Time(i64),
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    Text(&'a [u8]),
    List(&'a [String]),
}

/// The reader of an answer is gone; the query ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the reader of the answer is gone")]
pub struct Closed;

/// Takes an answer part by part; waiting here holds the query back.
pub trait Sink {
    /// Takes the next part.
    ///
    /// # Errors
    /// `Closed` when nobody wants more.
    fn part(&mut self, part: ResultPart) -> impl Future<Output = Result<(), Closed>>;
}

/// Keeps everything; for tests and small answers.
impl Sink for Vec<ResultPart> {
    async fn part(&mut self, part: ResultPart) -> Result<(), Closed> {
        self.push(part);
        Ok(())
    }
}

impl ResultPart {
    /// A part with rows.
    pub fn of_series(statement_id: usize, series: Series) -> ResultPart {
        ResultPart { statement_id, series: Some(series), ..ResultPart::default() }
    }

    /// The end of a statement that failed.
    pub fn of_error(statement_id: usize, error: impl Into<String>) -> ResultPart {
        ResultPart { statement_id, error: Some(error.into()), ..ResultPart::default() }
    }
}

impl Series {
    /// A list of one or more columns of cells, as SHOW answers are; never cut by size.
    pub fn listing(name: Option<&[u8]>, columns: &[&str], rows: Vec<Vec<Cell>>) -> Series {
        let count = rows.len();
        let mut values = vec![Vec::with_capacity(count); columns.len()];
        for row in rows {
            values.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
        }
        Series {
            name: name.map(Arc::from),
            columns: columns.iter().map(|name| Box::from(name.as_bytes())).collect(),
            values: values.into_iter().map(Column::Cells).collect(),
            rows: count,
            whole: true,
            ..Series::default()
        }
    }

    /// The series without its rows.
    pub fn head(&self) -> Series {
        let (name, tags, columns) = (self.name.clone(), self.tags.clone(), self.columns.clone());
        let (zone, whole) = (self.zone.clone(), self.whole);
        Series { name, tags, columns, values: Vec::new(), rows: 0, zone, whole }
    }

    /// Whether rows of both belong to one series.
    pub fn continues(&self, before: &Series) -> bool {
        self.name == before.name && self.tags == before.tags && self.columns == before.columns
    }
}

impl Column {
    /// The value at `row`; null behind the end.
    pub fn get(&self, row: usize) -> CellRef<'_> {
        match self {
            Column::Times(times) => times.get(row).map_or(CellRef::Null, |at| CellRef::Time(*at)),
            Column::Values(_, Some(bits)) if !bits.get(row) => CellRef::Null,
            Column::Values(values, _) => value_at(values, row),
            Column::Texts { texts, at } => {
                let text = at.get(row).and_then(|at| texts.get(*at as usize)?.as_deref());
                text.map_or(CellRef::Null, CellRef::Text)
            }
            Column::Cells(cells) => cells.get(row).map_or(CellRef::Null, Cell::as_ref),
        }
    }

    /// Takes over a stored column.
    pub fn stored(column: Stored) -> Column {
        Column::Values(column.values, column.validity)
    }
}

fn value_at(values: &Values, row: usize) -> CellRef<'_> {
    let found = match values {
        Values::Float(values) => values.get(row).map(|v| CellRef::Float(*v)),
        Values::Integer(values) => values.get(row).map(|v| CellRef::Integer(*v)),
        Values::Unsigned(values) => values.get(row).map(|v| CellRef::Unsigned(*v)),
        Values::Boolean(values) => values.get(row).map(|v| CellRef::Boolean(*v)),
        Values::String(values) => (row < values.len()).then(|| CellRef::Text(values.get(row))),
    };
    found.unwrap_or(CellRef::Null)
}

impl Cell {
    /// A text.
    pub fn text(text: impl AsRef<[u8]>) -> Cell {
        Cell::Text(text.as_ref().into())
    }

    /// The value without a copy.
    pub fn as_ref(&self) -> CellRef<'_> {
        match self {
            Cell::Null => CellRef::Null,
            Cell::Time(at) => CellRef::Time(*at),
            Cell::Value(value) => CellRef::of(value),
            Cell::Text(text) => CellRef::Text(text),
            Cell::List(list) => CellRef::List(list),
        }
    }
}

impl From<Option<Value>> for Cell {
    fn from(value: Option<Value>) -> Cell {
        value.map_or(Cell::Null, Cell::Value)
    }
}

impl CellRef<'_> {
    /// A value without a copy.
    pub fn of(value: &Value) -> CellRef<'_> {
        match value {
            Value::Float(v) => CellRef::Float(*v),
            Value::Integer(v) => CellRef::Integer(*v),
            Value::Unsigned(v) => CellRef::Unsigned(*v),
            Value::String(text) => CellRef::Text(text),
            Value::Boolean(v) => CellRef::Boolean(*v),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_give_null_where_nothing_is() {
        let mut bits = Bitmap::filled(2, true);
        bits.set(0, false);
        let column = Column::Values(Values::Integer(vec![0, 7]), Some(bits));
        assert_eq!(column.get(0), CellRef::Null);
        assert_eq!(column.get(1), CellRef::Integer(7));
        assert_eq!(column.get(2), CellRef::Null);
        let texts =
            Column::Texts { texts: vec![None, Some(b"a".as_slice().into())], at: vec![1, 0] };
        assert_eq!(texts.get(0), CellRef::Text(b"a"));
        assert_eq!(texts.get(1), CellRef::Null);
    }

    #[test]
    fn a_listing_turns_rows_into_columns() {
        let rows = vec![vec![Cell::text("a"), Cell::Null], vec![Cell::text("b"), Cell::Time(3)]];
        let series = Series::listing(Some(b"n"), &["x", "y"], rows);
        assert_eq!((series.rows, series.values.len()), (2, 2));
        assert_eq!(series.values[0].get(1), CellRef::Text(b"b"));
        assert_eq!(series.values[1].get(1), CellRef::Time(3));
    }
}
