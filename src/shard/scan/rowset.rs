//! Rows of a merged Block as a question sees them: fields resolved, tags at hand, WHERE applied.
//!
//! In: a Block of the merge. Out: the same Block without series that were not asked for and without
//! rows that the filter refuses; a field's column; a row's tag.

use super::expr::{RowsView, holds};
use super::fields::resolve;
use super::plan::{Batch, Plan};
use super::request::{Expr, FieldRef};
use crate::env::Env;
use crate::model::{Bitmap, ColumnId, SeriesId, Strings, Value};
use crate::shard::block::Block;

/// Fields and tags that an expression names.
#[derive(Debug, Default)]
pub struct Used {
    fields: Vec<bool>,
    tags: Vec<bool>,
}

impl Used {
    /// Those of an expression over so many fields and tags.
    pub fn by(expr: &Expr, fields: usize, tags: usize) -> Used {
        let mut used = Used { fields: vec![false; fields], tags: vec![false; tags] };
        used.add(expr);
        used
    }

    /// The columns of the fields, sorted.
    pub fn columns(&self, fields: &[FieldRef]) -> Vec<ColumnId> {
        let used = fields.iter().zip(&self.fields).filter(|(_, used)| **used);
        let mut columns: Vec<ColumnId> =
            used.flat_map(|(field, _)| field.columns.iter().copied()).collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    fn add(&mut self, expr: &Expr) {
        let mark = |all: &mut Vec<bool>, at: usize| {
            all.get_mut(at).into_iter().for_each(|used| *used = true);
        };
        match expr {
            Expr::Literal(_) | Expr::Time => {}
            Expr::Field(at) => mark(&mut self.fields, *at),
            Expr::Tag(at) => mark(&mut self.tags, *at),
            Expr::Binary { left, right, .. } => {
                self.add(left);
                self.add(right);
            }
            Expr::Matches { left, .. } => self.add(left),
            Expr::Call { arguments, .. } => arguments.iter().for_each(|one| self.add(one)),
            Expr::Cast { inner, .. } => self.add(inner),
        }
    }
}

impl<E: Env> Plan<'_, E> {
    /// Takes away rows of series outside the batch and rows that WHERE refuses.
    pub fn filter(&self, block: &mut Block, batch: &Batch, used: Option<&Used>) {
        let mut hint = 0;
        let mut known = || block.runs.iter().all(|run| batch.find(run.series, &mut hint).is_some());
        if self.request.filter.is_none() && known() {
            return;
        }
        let keep = self.passing(block, batch, used);
        block.retain(&keep);
    }

    /// The rows of series of the batch that WHERE lets through.
    pub fn passing(&self, block: &Block, batch: &Batch, used: Option<&Used>) -> Bitmap {
        let mut keep = match (&self.request.filter, used) {
            (Some(expr), Some(used)) => self.holding(expr, block, used),
            _ => Bitmap::filled(block.rows(), true),
        };
        let mut hint = 0;
        for run in &block.runs {
            if batch.find(run.series, &mut hint).is_none() {
                run.range().for_each(|row| keep.set(row, false));
            }
        }
        keep
    }

    fn holding(&self, expr: &Expr, block: &Block, used: &Used) -> Bitmap {
        let fields = self.request.fields.iter().zip(&used.fields);
        let fields: Vec<_> =
            fields.map(|(field, used)| used.then(|| resolve(block, field)).flatten()).collect();
        let tags: Vec<Option<Strings>> = (0..self.request.tags.len())
            .map(|at| (used.tags.get(at) == Some(&true)).then(|| self.tag_column(block, at)))
            .collect();
        holds(expr, &RowsView { times: &block.times, fields: &fields, tags: &tags })
    }

    /// A tag of each row; missing is empty.
    fn tag_column(&self, block: &Block, tag: usize) -> Strings {
        let index = self.shard.index();
        let key = self.tag_keys.get(tag).copied().flatten();
        let mut strings = Strings::default();
        for run in &block.runs {
            let text = key.and_then(|key| index.tag(run.series, key)).unwrap_or(&[]);
            (0..run.rows).for_each(|_| strings.push(text));
        }
        strings
    }

    /// A tag of a series; `None` when it lacks the tag.
    pub fn tag(&self, series: SeriesId, tag: usize) -> Option<Value> {
        let key = self.tag_keys.get(tag).copied().flatten()?;
        let index = self.shard.index();
        let text = index.tag(series, key).filter(|text| !text.is_empty())?;
        Some(Value::String(text.into()))
    }
}
