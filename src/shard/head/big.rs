//! A series with more rows than one step may give.
//!
//! Its rows are listed in steps. Rows of one table that came in order are then given in slices;
//! other rows are sorted in pieces, a piece a step, and the pieces merged by a heap while they are
//! given.

use super::chunk::NO_ROW;
use super::cursor::{Hit, Snapshot, clip, walk_one};
use super::gather::{Builder, Key, RowRef};
use super::shuffled::{Shuffled, sort_rows};
use super::view::Select;
use crate::shard::block::Block;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Backlinks followed in a step: each may be a cache miss that nothing overlaps.
const STEP_LINKS: usize = 4096;
/// Rows of a sorted piece.
const PIECE_ROWS: usize = 8192;

#[derive(Debug)]
struct List {
    hit: Hit,
    rows: Vec<u32>,
}

#[derive(Debug)]
enum Stage {
    /// Lists from `list` on are to be found; `tail` is where the walk of that one is.
    Walk {
        list: usize,
        tail: Option<u32>,
    },
    /// Rows from `row` of `list` on are to be sorted.
    Sort {
        list: usize,
        row: usize,
    },
    /// One list in order, given up to `row`.
    Plain {
        row: usize,
    },
    Merge,
}

/// The series and how far it was given.
#[derive(Debug)]
pub struct Big {
    key: Key,
    lists: Vec<List>,
    /// Whether the list was found by sorting its table.
    listed: Vec<bool>,
    stage: Stage,
    pieces: Vec<Vec<RowRef>>,
    /// The next row of each piece, with the piece and the place in it.
    heads: BinaryHeap<Reverse<(RowRef, usize, usize)>>,
}

impl Big {
    /// `hits` with their rows where these are known already.
    pub fn new(key: Key, hits: Vec<(Hit, Option<Vec<u32>>)>) -> Big {
        let listed = hits.iter().map(|(_, rows)| rows.is_some()).collect();
        let lists =
            hits.into_iter().map(|(hit, rows)| List { hit, rows: rows.unwrap_or_default() });
        Big {
            key,
            lists: lists.collect(),
            listed,
            stage: Stage::Walk { list: 0, tail: None },
            pieces: Vec::new(),
            heads: BinaryHeap::new(),
        }
    }

    /// One step; `None` at the end, an empty Block for a step of preparation.
    pub fn step(
        &mut self,
        snapshot: &Snapshot<'_>,
        select: &Select<'_>,
        rows_max: usize,
    ) -> Option<Block> {
        match self.stage {
            Stage::Walk { list, tail } => self.walk(snapshot, select, list, tail),
            Stage::Sort { list, row } => self.sort(snapshot, select, list, row),
            Stage::Plain { row } => return self.plain(snapshot, select, row, rows_max),
            Stage::Merge => return self.merge(snapshot, select, rows_max),
        }
        Some(Block::default())
    }

    fn walk(
        &mut self,
        snapshot: &Snapshot<'_>,
        select: &Select<'_>,
        number: usize,
        tail: Option<u32>,
    ) {
        let Some(list) = self.lists.get_mut(number) else {
            self.stage = self.plan(snapshot, select);
            return;
        };
        let slot_tail = || snapshot.slot(&list.hit).map_or(NO_ROW, |slot| slot.tail);
        let listed = self.listed.get(number) == Some(&true);
        let mut row = if listed { NO_ROW } else { tail.unwrap_or_else(slot_tail) };
        for _ in 0..STEP_LINKS {
            if row == NO_ROW {
                break;
            }
            row = walk_one(snapshot, &list.hit, row, select.range, &mut list.rows);
        }
        self.stage = Stage::Walk { list: number, tail: Some(row) };
        if row == NO_ROW {
            if !listed {
                list.rows.reverse();
            }
            self.stage = Stage::Walk { list: number + 1, tail: None };
        }
    }

    fn plan(&mut self, snapshot: &Snapshot<'_>, select: &Select<'_>) -> Stage {
        if let [list] = self.lists.as_mut_slice()
            && snapshot.slot(&list.hit).is_some_and(|slot| slot.in_order)
        {
            list.rows = clip(snapshot, &list.hit, &list.rows, select.range).to_vec();
            return Stage::Plain { row: 0 };
        }
        Stage::Sort { list: 0, row: 0 }
    }

    fn plain(
        &mut self,
        snapshot: &Snapshot<'_>,
        select: &Select<'_>,
        row: usize,
        rows_max: usize,
    ) -> Option<Block> {
        let list = self.lists.first()?;
        let rest = list.rows.get(row..).filter(|rest| !rest.is_empty())?;
        let rows = rest.get(..rows_max).unwrap_or(rest);
        self.stage = Stage::Plain { row: row + rows.len() };
        let mut builder = Builder::new(snapshot.part.tables());
        builder.plain(self.key, list.hit.table, rows);
        Some(builder.finish(select.columns))
    }

    fn sort(&mut self, snapshot: &Snapshot<'_>, select: &Select<'_>, number: usize, row: usize) {
        let Some(list) = self.lists.get(number) else {
            let heads = self.pieces.iter().enumerate();
            self.heads = heads
                .filter_map(|(piece, rows)| Some(Reverse((*rows.first()?, piece, 0))))
                .collect();
            self.stage = Stage::Merge;
            return;
        };
        let rest = list.rows.get(row..).unwrap_or(&[]);
        let rows = rest.get(..PIECE_ROWS).unwrap_or(rest);
        let mut piece = Vec::with_capacity(rows.len());
        let mut shuffled = Shuffled::default();
        shuffled.add(rows);
        shuffled.read_times(snapshot, list.hit.table);
        shuffled.push_next(snapshot, list.hit.table, select.range, &mut piece);
        sort_rows(&mut piece);
        self.pieces.push(piece);
        self.stage = match rows.len() == rest.len() {
            true => Stage::Sort { list: number + 1, row: 0 },
            false => Stage::Sort { list: number, row: row + rows.len() },
        };
    }

    /// Gives up to `rows_max` row versions and all further ones of the last time.
    fn merge(
        &mut self,
        snapshot: &Snapshot<'_>,
        select: &Select<'_>,
        rows_max: usize,
    ) -> Option<Block> {
        let mut refs: Vec<RowRef> = Vec::with_capacity(rows_max);
        while let Some(Reverse((row, piece, at))) = self.heads.peek().copied() {
            if refs.len() >= rows_max && refs.last().is_some_and(|last| last.time != row.time) {
                break;
            }
            self.heads.pop();
            refs.push(row);
            if let Some(next) = self.pieces.get(piece).and_then(|rows| rows.get(at + 1)) {
                self.heads.push(Reverse((*next, piece, at + 1)));
            }
        }
        if refs.is_empty() {
            return None;
        }
        let mut builder = Builder::new(snapshot.part.tables());
        builder.mixed(self.key, &refs);
        Some(builder.finish(select.columns))
    }
}
