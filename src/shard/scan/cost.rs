//! What a question would read, without reading it.
//!
//! In: a plan. Out: nothing but counters: files and chunks that hold selected rows, from their
//! directories, and the values that wait in memory.

use super::guard::Guard;
use super::partial::ScanError;
use super::plan::Plan;
use super::read::{STEP_ROWS, Stretch, storage};
use crate::env::Env;
use crate::model::{Column, ColumnId};
use crate::shard::head::{self, HeadCursor};
use crate::shard::segment::Select;
use std::collections::BTreeSet;

/// Counts into the guard's summary.
///
/// # Errors
/// When the question was cancelled or its time is over, or a file cannot be read.
pub async fn count<E: Env, C: Fn() -> bool>(
    plan: &Plan<'_, E>,
    guard: &Guard<'_, E, C>,
) -> Result<(), ScanError> {
    let batch = plan.batch(0..plan.groups());
    let wanted = batch.wanted;
    let columns: Vec<ColumnId> =
        wanted.columns.iter().copied().filter(|id| *id != ColumnId::EXPIRE).collect();
    let series: Vec<_> = batch.series.iter().map(|(id, _)| *id).collect();
    if columns.is_empty() || series.is_empty() {
        return Ok(());
    }
    let mut files = BTreeSet::new();
    for stretch in &plan.stretches() {
        let Stretch { range, sections, .. } = stretch;
        for section in sections {
            let select = Select {
                measurement: Some(wanted.measurement),
                series: Some(series.as_slice().into()),
                range: *range,
                columns: Some(columns.as_slice().into()),
            };
            let mut cursor = section.reader.cursor(section.index, select);
            while let Some(chunk) = cursor.peek().await.map_err(storage)? {
                cursor.skip();
                files.insert(section.reader.ident().file_id);
                guard.note(|summary| {
                    summary.blocks += 1;
                    summary.bytes += u64::from(chunk.bytes);
                });
                guard.check().await?;
            }
        }
    }
    guard.note(|summary| summary.files = files.len() as u64);
    for partition in &plan.partitions {
        for (view, _) in partition.views() {
            let select = head::Select {
                measurement: Some(wanted.measurement),
                series: Some(&series),
                range: plan.request.range,
                columns: Some(&columns),
            };
            let mut cursor = HeadCursor::default();
            while let Some(block) = view.gather(&select, &mut cursor, STEP_ROWS) {
                let present = |column: &Column| match &column.validity {
                    Some(bits) => bits.count_ones(),
                    None => column.values.len(),
                };
                let values: usize = block.columns.iter().map(present).sum();
                guard.note(|summary| summary.cached += values as u64);
                guard.rest().await;
                guard.check().await?;
            }
        }
    }
    Ok(())
}
