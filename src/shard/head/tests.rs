//! The head against a model: random writes, deletes, freezes and snapshots, read back in steps of
//! every size.

use super::*;
use crate::model::batch::SeriesRef;
use crate::model::time::{DAY_NS, day_of};
use crate::model::{Column, ColumnId, Value};
use crate::shard::block::Block;
use crate::shard::testing::{
    Row, RowKey, Rows, column, column_ids, measurement_of, overwrite, read, value_of,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Append { partition: u32, layout: u8, rows: Vec<(u32, i64, u8)> },
    Delete { series: Vec<u32>, range: (i64, i64) },
    Snapshot { partition: u32 },
    Freeze,
}

fn op() -> impl Strategy<Value = Op> {
    // Times lie around the border of two days.
    let time = (0i64..12).prop_map(|n| DAY_NS - 6 + n);
    let row = (0u32..6, time, any::<u8>());
    let rows = prop::collection::vec(row, 1..40);
    let few = prop::sample::select(vec![0b10u8, 0b100, 0b1000, 0b1000011, 0b1111110, 0b1]);
    prop_oneof![
        6 => (1u32..3, few, rows)
            .prop_map(|(partition, layout, rows)| Op::Append { partition, layout, rows }),
        1 => (prop::collection::vec(0u32..6, 1..4), 0i64..12, 0i64..12).prop_map(
            |(series, first, rows)| {
                let first = DAY_NS - 6 + first;
                Op::Delete { series, range: (first, first + rows) }
            }
        ),
        1 => (1u32..3).prop_map(|partition| Op::Snapshot { partition }),
        1 => Just(Op::Freeze),
    ]
}

/// A batch and, per row, its values; `number` makes the values distinct.
fn batch(
    partition: u32,
    layout: u8,
    rows: &[(u32, i64, u8)],
    number: &mut u64,
) -> (Batch, Vec<Row>) {
    let ids: Vec<ColumnId> = column_ids()
        .into_iter()
        .enumerate()
        .filter(|(at, _)| layout >> at & 1 != 0)
        .map(|(_, id)| id)
        .collect();
    let mut model = vec![Row::new(); rows.len()];
    let mut columns: Vec<Column> = Vec::new();
    for (at, id) in ids.iter().enumerate() {
        let values: Vec<Option<Value>> = rows
            .iter()
            .zip(&mut model)
            .map(|((_, _, valid), row)| {
                *number += 1;
                let value = (valid >> at & 1 != 0).then(|| value_of(*id, *number))?;
                row.insert(*id, value.clone());
                Some(value)
            })
            .collect();
        columns.push(column(*id, &values));
    }
    columns.sort_by_key(|column| column.id);
    let batch = Batch {
        partition: PartitionId(partition),
        series: rows.iter().map(|row| SeriesRef::known(SeriesId(row.0))).collect(),
        times: rows.iter().map(|row| row.1).collect(),
        columns,
    };
    (batch, model)
}

type Parts = BTreeMap<u32, Rows>;

/// The head and what it should hold.
#[derive(Default)]
struct World {
    head: Head,
    model: Parts,
    frozen: Vec<(Frozen, Parts)>,
    snapshots: Vec<(HeadView, Rows)>,
    number: u64,
    seq: u64,
}

impl World {
    fn run(&mut self, op: &Op) {
        self.seq += 1;
        match op {
            Op::Append { partition, layout, rows } => self.append(*partition, *layout, rows),
            Op::Delete { series, range } => self.delete(series, TimeRange::new(range.0, range.1)),
            Op::Snapshot { partition } => {
                if let Some(view) = self.head.view(PartitionId(*partition)) {
                    let model = self.model.get(partition).cloned().unwrap_or_default();
                    self.snapshots.push((view, model));
                }
            }
            Op::Freeze => {
                check_all(&self.snapshots);
                self.snapshots.clear();
                let rows = self.head.rows();
                let frozen = self.head.freeze();
                assert_eq!((frozen.rows(), self.head.rows(), self.head.bytes()), (rows, 0, 0));
                self.frozen.push((frozen, std::mem::take(&mut self.model)));
            }
        }
    }

    fn append(&mut self, partition: u32, layout: u8, rows: &[(u32, i64, u8)]) {
        let (batch, values) = batch(partition, layout, rows, &mut self.number);
        let ids: Vec<SeriesId> = rows.iter().map(|row| SeriesId(row.0)).collect();
        self.head.append(self.seq, &batch, &ids, &measurement_of);
        let model = self.model.entry(partition).or_default();
        for ((id, time), row) in ids.iter().zip(&batch.times).zip(&values) {
            overwrite(model.entry((measurement_of(*id), *id, *time)).or_default(), row);
        }
    }

    fn delete(&mut self, series: &[u32], range: TimeRange) {
        let set: RoaringBitmap = series.iter().copied().collect();
        self.head.delete(self.seq, &set, range);
        let keep = |key: &RowKey, _: &mut Row| !(set.contains(key.1.0) && range.contains(key.2));
        self.model.values_mut().for_each(|rows| rows.retain(keep));
        self.snapshots.iter_mut().for_each(|(_, rows)| rows.retain(keep));
    }
}

fn check_all(snapshots: &[(HeadView, Rows)]) {
    for (view, model) in snapshots {
        for rows_max in [1, 3, 1000] {
            assert_eq!(gather(view, &Select::ALL, rows_max), expect(model, &Select::ALL));
        }
    }
}

fn drain(mut next: impl FnMut() -> Option<Block>, rows_max: usize) -> Vec<(RowKey, Row)> {
    let mut rows = Vec::new();
    while let Some(block) = next() {
        assert!(block.rows() <= rows_max);
        read(&block, &mut rows);
    }
    rows
}

fn gather(view: &HeadView, select: &Select<'_>, rows_max: usize) -> Vec<(RowKey, Row)> {
    let mut cursor = HeadCursor::default();
    let rows = drain(|| view.gather(select, &mut cursor, rows_max), usize::MAX);
    assert!(rows.is_sorted_by(|left, right| left.0 < right.0), "keys ascend over Blocks");
    rows
}

fn expect(model: &Rows, select: &Select<'_>) -> Vec<(RowKey, Row)> {
    let mut rows = Vec::new();
    for (key, row) in model {
        let wanted = select.measurement.is_none_or(|id| id == key.0)
            && select.series.is_none_or(|list| list.contains(&key.1))
            && select.range.contains(key.2);
        let row: Row = row
            .iter()
            .filter(|(id, _)| select.columns.is_none_or(|list| list.contains(id)))
            .map(|(id, value)| (*id, value.clone()))
            .collect();
        if wanted && !row.is_empty() {
            rows.push((*key, row));
        }
    }
    rows
}

fn check_selects(view: &HeadView, model: &Rows) {
    let columns = column_ids();
    let range = TimeRange::new(DAY_NS - 3, DAY_NS + 2);
    let selects = [
        Select::ALL,
        Select { range, ..Select::ALL },
        Select { measurement: Some(MeasurementId(2)), ..Select::ALL },
        Select { series: Some(&[SeriesId(1), SeriesId(4), SeriesId(9)]), range, ..Select::ALL },
        Select { measurement: Some(MeasurementId(2)), series: Some(&[SeriesId(1)]), ..Select::ALL },
        Select { columns: Some(&columns[1..2]), ..Select::ALL },
        Select { columns: Some(&columns[..2]), range, ..Select::ALL },
        Select { columns: Some(&columns[3..5]), series: Some(&[SeriesId(2)]), ..Select::ALL },
    ];
    for select in &selects {
        for rows_max in [1, 7, 1000] {
            assert_eq!(gather(view, select, rows_max), expect(model, select), "{select:?}");
        }
    }
}

fn check_sections(frozen: &Frozen, model: &Parts) {
    let mut model = model.clone();
    for (partition, day) in frozen.sections() {
        for rows_max in [2, 1000] {
            let mut cursor = frozen.section(partition, day).unwrap();
            let mut rows = drain(|| cursor.next(rows_max), usize::MAX);
            rows.sort_by_key(|(key, _)| *key);
            let days: Rows = model.get(&partition.0).cloned().unwrap_or_default();
            let day_rows = |(key, row): (&RowKey, &Row)| {
                (day_of(key.2) == day && !row.is_empty()).then(|| (*key, row.clone()))
            };
            let expected: Vec<(RowKey, Row)> = days.iter().filter_map(day_rows).collect();
            assert_eq!(rows, expected);
        }
        if let Some(rows) = model.get_mut(&partition.0) {
            rows.retain(|key, _| day_of(key.2) != day);
        }
    }
    assert!(model.values().all(Rows::is_empty), "every row lies in a section");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_head_reads_as_the_model_says(ops in prop::collection::vec(op(), 1..24)) {
        let mut world = World::default();
        ops.iter().for_each(|op| world.run(op));
        check_all(&world.snapshots);
        for (partition, model) in &world.model {
            let view = world.head.view(PartitionId(*partition)).unwrap();
            check_selects(&view, model);
        }
        for (frozen, model) in &world.frozen {
            for (partition, _, _) in frozen.partitions() {
                check_selects(&frozen.view(partition).unwrap(), &model[&partition.0]);
            }
            check_sections(frozen, model);
        }
    }
}

#[test]
fn more_layouts_than_tables_share_the_union_table() {
    let mut world = World::default();
    for round in 0..2 {
        for layout in 1..128u8 {
            let rows: Vec<(u32, i64, u8)> = (0..5)
                .map(|n| (n, i64::from(layout) % 17 + i64::from(n), 0x5f + n as u8))
                .collect();
            world.run(&Op::Append { partition: 1, layout, rows });
            if (round, layout) == (1, 60) {
                world.run(&Op::Snapshot { partition: 1 });
            }
        }
    }
    check_all(&world.snapshots);
    check_selects(&world.head.view(PartitionId(1)).unwrap(), &world.model[&1]);
    world.snapshots.clear();
    world.run(&Op::Freeze);
    check_sections(&world.frozen[0].0, &world.frozen[0].1);
}

/// Rows of one series over many chunks, in order or not, beside rows of another.
fn long_series(dirty: bool, share: usize) -> World {
    let mut world = World::default();
    let mut time = 0i64;
    for n in 0..60i64 {
        let rows: Vec<(u32, i64, u8)> = (0..500)
            .map(|at| {
                time += 1;
                let time = if dirty && at % 50 == 0 { time * 7 % 20_000 } else { time };
                (if at % share == 0 { 1 } else { 2 + at as u32 % 40 }, time, 0x7f)
            })
            .collect();
        let layout = if dirty && n % 5 == 0 { 0b110 } else { 0b10 };
        world.run(&Op::Append { partition: 1, layout, rows });
    }
    world
}

#[test]
fn a_long_series_is_given_in_slices() {
    for (dirty, share) in [(false, 1), (true, 1), (false, 6), (true, 6)] {
        let world = long_series(dirty, share);
        let view = world.head.view(PartitionId(1)).unwrap();
        let range = TimeRange::new(100, 25_000);
        let one = Select { series: Some(&[SeriesId(1)]), range, ..Select::ALL };
        for select in [one, Select::ALL] {
            let rows = gather(&view, &select, 1000);
            assert_eq!(rows, expect(&world.model[&1], &select));
        }
        let mut cursor = HeadCursor::default();
        let mut steps = 0;
        while let Some(block) = view.gather(&one, &mut cursor, 1000) {
            assert!(block.rows() <= 1000);
            steps += 1;
        }
        assert!(steps > 4);
    }
}

#[test]
fn sums_and_ranges_are_kept() {
    let mut head = Head::new();
    assert_eq!((head.rows(), head.values(), head.seqs()), (0, 0, None));
    let (batch, _) = batch(3, 0b110, &[(1, 10, 0xff), (2, 5, 0xfd)], &mut 0);
    let ids = [SeriesId(1), SeriesId(2)];
    head.append(7, &batch, &ids, &measurement_of);
    head.append(9, &batch, &ids, &measurement_of);
    assert_eq!((head.rows(), head.values(), head.seqs()), (4, 6, Some((7, 9))));
    let partitions: Vec<_> = head.partitions().collect();
    assert_eq!(partitions, [(PartitionId(3), TimeRange::new(5, 10), 4)]);
    assert!(head.bytes() > 4 * (16 + 16));
    assert!(head.view(PartitionId(4)).is_none());
}

#[test]
fn a_frozen_head_gives_the_same_to_an_older_view() {
    let mut world = World::default();
    world.run(&Op::Append { partition: 1, layout: 0b10, rows: vec![(1, 5, 0xff), (1, 3, 0xff)] });
    let view = world.head.view(PartitionId(1)).unwrap();
    let model = world.model[&1].clone();
    world.run(&Op::Freeze);
    world.run(&Op::Append { partition: 1, layout: 0b10, rows: vec![(1, 4, 0xff)] });
    assert_eq!(gather(&view, &Select::ALL, 10), expect(&model, &Select::ALL));
}
