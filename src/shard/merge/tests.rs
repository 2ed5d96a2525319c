//! The merge against a model: random sources, in any split into Blocks, in steps of every size.

use super::*;
use crate::model::{SeriesId, Value};
use crate::shard::testing::{
    Row, RowKey, Rows, block_of, column_ids, measurement_of, overwrite, read, value_of,
};
use proptest::prelude::*;

/// Sources, oldest first.
fn sources() -> impl Strategy<Value = Vec<Rows>> {
    let row = (0u32..5, 0i64..12, 1u8..128);
    prop::collection::vec(prop::collection::vec(row, 0..40), 1..5).prop_map(|sources| {
        let mut number = 0;
        let rows = |rows: Vec<(u32, i64, u8)>| {
            rows.into_iter()
                .map(|(series, time, layout)| {
                    let ids = column_ids();
                    let some = ids.iter().enumerate().filter(|(at, _)| layout >> at & 1 != 0);
                    let values: Row = some
                        .map(|(_, id)| {
                            number += 1;
                            (*id, value_of(*id, number))
                        })
                        .collect();
                    let series = SeriesId(series);
                    ((measurement_of(series), series, time), values)
                })
                .collect()
        };
        sources.into_iter().map(rows).collect()
    })
}

fn model(sources: &[Rows]) -> Vec<(RowKey, Row)> {
    let mut rows = Rows::new();
    for (key, row) in sources.iter().flatten() {
        overwrite(rows.entry(*key).or_default(), row);
    }
    rows.into_iter().collect()
}

/// Cuts a Block at every `step`-th row.
fn split(block: &Block, step: usize) -> Vec<Block> {
    (0..block.rows())
        .step_by(step)
        .map(|start| block.slice(start..block.rows().min(start + step)))
        .collect()
}

/// Runs a Merger, each source cut by its own step.
fn run(sources: &[Rows], steps: &[usize], rows_max: usize) -> Vec<Block> {
    let seqs: Vec<u64> = (0..sources.len()).map(|n| 10 + n as u64 / 2).collect();
    let mut merger = Merger::new(&seqs);
    let mut streams: Vec<_> = sources
        .iter()
        .zip(steps.iter().cycle())
        .map(|(rows, step)| split(&block_of(rows), *step).into_iter())
        .collect();
    let mut blocks = Vec::new();
    while !merger.is_done() {
        while let Some(input) = merger.wants() {
            match streams[input].next() {
                Some(block) => merger.push(input, block),
                None => merger.finish(input),
            }
        }
        blocks.extend(merger.next(rows_max));
    }
    assert!(merger.next(rows_max).is_none());
    blocks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_merge_is_what_the_model_says(sources in sources()) {
        let blocks: Vec<Block> = sources.iter().map(block_of).collect();
        let inputs: Vec<Input<'_>> = blocks
            .iter()
            .enumerate()
            .map(|(at, block)| Input { max_seq: at as u64, block })
            .rev()
            .collect();
        let mut out = Block::default();
        merge(&inputs, &mut out);
        let mut rows = Vec::new();
        read(&out, &mut rows);
        prop_assert_eq!(rows, model(&sources));
    }

    #[test]
    fn a_merge_of_streams_does_not_depend_on_their_blocks(
        sources in sources(),
        steps in prop::collection::vec(1usize..9, 1..4),
        rows_max in prop::sample::select(vec![1usize, 4, 1000]),
    ) {
        let blocks = run(&sources, &steps, rows_max);
        let mut rows = Vec::new();
        blocks.iter().for_each(|block| read(block, &mut rows));
        prop_assert_eq!(rows, model(&sources));
        prop_assert!(blocks.iter().rev().skip(1).all(|block| block.rows() == rows_max));
        prop_assert_eq!(blocks, run(&sources, &[1000], rows_max));
    }
}

#[test]
fn rows_expire_by_the_winner() {
    let [expire, value, ..] = column_ids();
    let key = |time| (measurement_of(SeriesId(1)), SeriesId(1), time);
    let row = |expiry: Option<i64>| {
        let mut row: Row = [(value, value_of(value, 3))].into();
        row.extend(expiry.map(|at| (expire, Value::Integer(at))));
        row
    };
    let older = block_of(&[(key(1), row(Some(50))), (key(2), row(Some(50)))].into());
    let newer = block_of(&[(key(2), row(None)), (key(3), row(Some(100)))].into());
    let mut out = Block::default();
    let inputs = [Input { max_seq: 2, block: &newer }, Input { max_seq: 1, block: &older }];
    merge(&inputs, &mut out);
    let times = |now| {
        let mut block = out.clone();
        drop_expired(&mut block, now);
        block.times
    };
    assert_eq!(times(49), [1, 2, 3]);
    assert_eq!(times(50), [2, 3]);
    assert_eq!(times(100), [2]);
}
