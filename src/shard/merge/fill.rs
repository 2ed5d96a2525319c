//! Values of a planned merge: column by column, stretch by stretch.
//!
//! In: a plan and the sources' Blocks. Out: rows appended to a Block whose columns become the
//! union.

use super::plan::{Piece, Plan, Source};
use crate::model::{Column, ColumnId};
use crate::shard::block::Block;
use std::collections::BTreeSet;

/// Appends the planned rows. The steps of the runs are left to `finish`.
pub fn append(plan: &Plan, sources: &[Source<'_>], out: &mut Block) {
    let rows_before = out.rows();
    for (measurement, series, rows) in &plan.runs {
        out.push_run(*measurement, *series, *rows);
    }
    append_times(plan, sources, &mut out.times);
    let mut ids: BTreeSet<ColumnId> = out.columns.iter().map(|column| column.id).collect();
    for at in used(plan, sources.len()) {
        let columns = sources.get(at).map_or(&[][..], |source| &source.block.columns);
        ids.extend(columns.iter().map(|column| column.id));
    }
    let mut columns = std::mem::take(&mut out.columns).into_iter().peekable();
    for id in ids {
        let known = columns.next_if(|column| column.id == id);
        let mut column = known.unwrap_or_else(|| Column::empty(id));
        column.append_nulls(rows_before - column.values.len().min(rows_before));
        append_column(plan, sources, &mut column);
        out.columns.push(column);
    }
}

/// Sets what depends on the whole Block: steps, and which columns and validities are there.
pub fn finish(out: &mut Block) {
    out.refresh_steps();
    out.drop_null_columns();
}

/// Sources that give rows, ascending.
fn used(plan: &Plan, count: usize) -> Vec<usize> {
    let mut seen = vec![false; count];
    let copied = plan.pieces.iter().filter_map(|piece| match piece {
        Piece::Copy { source, .. } => Some(*source),
        Piece::Tie { .. } => None,
    });
    for at in copied.chain(plan.ties.iter().map(|(at, _)| *at)) {
        if let Some(seen) = seen.get_mut(at) {
            *seen = true;
        }
    }
    (0..count).filter(|at| seen.get(*at) == Some(&true)).collect()
}

fn append_times(plan: &Plan, sources: &[Source<'_>], times: &mut Vec<i64>) {
    let slice = |at: usize, row: usize, rows: usize| {
        sources.get(at).and_then(|source| source.block.times.get(row..row + rows)).unwrap_or(&[])
    };
    let mut ties = plan.ties.as_slice();
    for piece in &plan.pieces {
        match *piece {
            Piece::Copy { source, row, rows } => times.extend_from_slice(slice(source, row, rows)),
            Piece::Tie { count } => {
                let (tie, rest) = ties.split_at_checked(count).unwrap_or((ties, &[]));
                ties = rest;
                if let Some((at, row)) = tie.first() {
                    times.extend_from_slice(slice(*at, *row, 1));
                }
            }
        }
    }
}

fn append_column(plan: &Plan, sources: &[Source<'_>], out: &mut Column) {
    let columns: Vec<Option<&Column>> =
        sources.iter().map(|source| source.block.column(out.id)).collect();
    let column = |at: usize| columns.get(at).copied().flatten();
    let mut ties = plan.ties.as_slice();
    for piece in &plan.pieces {
        match *piece {
            Piece::Copy { source, row, rows } => match column(source) {
                Some(column) => out.append(column, row..row + rows),
                None => out.append_nulls(rows),
            },
            Piece::Tie { count } => {
                let (tie, rest) = ties.split_at_checked(count).unwrap_or((ties, &[]));
                ties = rest;
                // Only the newest row says when the point expires.
                let asked = if out.id == ColumnId::EXPIRE { tie.get(..1) } else { Some(tie) };
                let valid = |(at, row): &(usize, usize)| {
                    column(*at).filter(|column| column.is_valid(*row)).map(|column| (column, *row))
                };
                match asked.unwrap_or(&[]).iter().find_map(valid) {
                    Some((column, row)) => out.append(column, row..row + 1),
                    None => out.append_nulls(1),
                }
            }
        }
    }
}
