//! Fields as a question sees them: the typed columns behind one name, read as one type.
//!
//! In: a Block and a `FieldRef`. Out: a column with one entry per row. The usual case, one column
//! of the wanted type, is borrowed as it is.

use super::request::FieldRef;
use crate::model::{Bitmap, Column, ColumnId, FieldNo, FieldType, Values};
use crate::shard::block::Block;
use std::borrow::Cow;

/// The field's values in a Block; `None` when no row has one.
pub fn resolve<'b>(block: &'b Block, field: &FieldRef) -> Option<Cow<'b, Column>> {
    let mut found: Option<Cow<'b, Column>> = None;
    for id in &field.columns {
        let Some(column) = block.column(*id) else { continue };
        let Some(column) = as_kind(column, field.kind) else { continue };
        found = Some(match found {
            None => column,
            Some(first) => Cow::Owned(overlay(&first, &column)),
        });
    }
    found
}

/// The id under which a field's column goes out: its first column's.
pub fn id_of(field: &FieldRef) -> ColumnId {
    field.columns.first().copied().unwrap_or(ColumnId::new(FieldNo(0), field.kind))
}

fn as_kind(column: &Column, kind: FieldType) -> Option<Cow<'_, Column>> {
    if column.values.kind() == kind {
        return Some(Cow::Borrowed(column));
    }
    let values = cast(&column.values, kind)?;
    Some(Cow::Owned(Column { id: column.id, values, validity: column.validity.clone() }))
}

/// The first column's values and, where it has none, the second's. Both have the same type.
fn overlay(first: &Column, second: &Column) -> Column {
    if first.validity.is_none() {
        return first.clone();
    }
    let rows = first.values.len();
    let kind = first.values.kind();
    let mut out = Column { id: first.id, values: Values::empty(kind), validity: None };
    let takes_first = |row: usize| first.is_valid(row);
    let mut row = 0;
    while row < rows {
        let chosen = takes_first(row);
        let end = (row..rows).find(|at| takes_first(*at) != chosen).unwrap_or(rows);
        out.append(if chosen { first } else { second }, row..end);
        row = end;
    }
    if out.validity.as_ref().is_some_and(|bits: &Bitmap| bits.count_ones() == rows) {
        out.validity = None;
    }
    out
}

/// Values as another type: number to number, floats to integers towards zero; `None` when there is
/// no way.
pub fn cast(values: &Values, kind: FieldType) -> Option<Values> {
    Some(match (values, kind) {
        (values, kind) if values.kind() == kind => values.clone(),
        (Values::Integer(from), FieldType::Float) => {
            Values::Float(from.iter().map(|value| *value as f64).collect())
        }
        (Values::Unsigned(from), FieldType::Float) => {
            Values::Float(from.iter().map(|value| *value as f64).collect())
        }
        (Values::Float(from), FieldType::Integer) => {
            Values::Integer(from.iter().map(|value| *value as i64).collect())
        }
        (Values::Unsigned(from), FieldType::Integer) => {
            Values::Integer(from.iter().map(|value| *value as i64).collect())
        }
        (Values::Float(from), FieldType::Unsigned) => {
            Values::Unsigned(from.iter().map(|value| *value as u64).collect())
        }
        (Values::Integer(from), FieldType::Unsigned) => {
            Values::Unsigned(from.iter().map(|value| *value as u64).collect())
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Value;
    use crate::shard::testing;

    #[test]
    fn the_first_column_with_a_value_wins_and_all_become_one_type() {
        let float = ColumnId::new(FieldNo(1), FieldType::Float);
        let integer = ColumnId::new(FieldNo(1), FieldType::Integer);
        let text = ColumnId::new(FieldNo(1), FieldType::String);
        let floats = [None, Some(Value::Float(1.5)), None];
        let integers = [Some(Value::Integer(4)), Some(Value::Integer(5)), None];
        let columns = vec![testing::column(float, &floats), testing::column(integer, &integers)];
        let block = Block { runs: Vec::new(), times: vec![1, 2, 3], columns };
        let field = FieldRef { columns: vec![text, float, integer], kind: FieldType::Float };
        let column = resolve(&block, &field).unwrap();
        assert_eq!(column.values, Values::Float(vec![4.0, 1.5, 0.0]));
        assert!(column.is_valid(0) && column.is_valid(1) && !column.is_valid(2));
        let field = FieldRef { columns: vec![integer], kind: FieldType::String };
        assert_eq!(resolve(&block, &field), None);
    }
}
