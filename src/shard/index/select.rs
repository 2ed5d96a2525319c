//! Tag predicates: which live series of a measurement pass, as a set of ids.
//!
//! A missing tag equals the empty string. A predicate is tried once on each distinct value of its
//! key within the measurement; the values on which it differs from its answer for the empty string
//! are united, and the set is complemented when the empty string passes. So `!=` and `!~`, and
//! series without the tag, need no pass over series.

use super::Index;
use super::cells::END;
use super::symbols::Symbol;
use crate::model::MeasurementId;
use regex::bytes::Regex;
use roaring::RoaringBitmap;
use std::task::Poll;

/// A condition on the tags of one series. Keys and values are the names as stored, not escaped.
#[derive(Clone, Debug)]
pub enum TagFilter {
    /// Every series.
    All,
    /// No series.
    None,
    /// The tag has this value (empty: the series lacks the tag).
    Equals {
        key: Box<[u8]>,
        value: Box<[u8]>,
    },
    NotEquals {
        key: Box<[u8]>,
        value: Box<[u8]>,
    },
    /// The expression matches somewhere in the value.
    Matches {
        key: Box<[u8]>,
        regex: Regex,
    },
    NotMatches {
        key: Box<[u8]>,
        regex: Regex,
    },
    /// All of them; every series when there are none.
    And(Vec<TagFilter>),
    /// Any of them; no series when there are none.
    Or(Vec<TagFilter>),
    Not(Box<TagFilter>),
}

/// What a predicate asks of a value.
enum Test {
    /// Not empty.
    Present,
    Matches {
        regex: Regex,
        /// Its answer for the empty string; values with the other answer are collected.
        empty: bool,
    },
}

/// Steps of an evaluation on a stack of sets.
enum Op {
    Push {
        full: bool,
    },
    /// One cell's series, or all others.
    Cell {
        cell: Option<u32>,
        complement: bool,
    },
    /// The series of all cells from `next` on that pass the test, or all others.
    Walk {
        next: u32,
        test: Test,
        complement: bool,
    },
    And,
    Or,
    Not,
}

/// A predicate under evaluation. Series defined after `new` are left out; series retired meanwhile
/// may be in.
pub struct SelectTask {
    /// The series at the start; `None`: not needed.
    all: Option<RoaringBitmap>,
    ops: Vec<Op>,
    at: usize,
    stack: Vec<RoaringBitmap>,
    /// The set of the walk under way.
    found: RoaringBitmap,
    ids: Vec<u32>,
}

impl SelectTask {
    /// Prepares the evaluation of `filter` on the series that `measurement` has at this moment.
    pub fn new(index: &Index, measurement: MeasurementId, filter: &TagFilter) -> SelectTask {
        let mut ops = Vec::new();
        compile(index, measurement, filter, false, &mut ops);
        // Where all is done in the first step and nothing is complemented, nobody looks at the set
        // of all series, which may be large: the cells of a measurement hold no other ones.
        let plain = |op: &Op| match op {
            Op::Push { full } => !full,
            Op::Cell { complement, .. } => !complement,
            Op::Walk { .. } | Op::Not => false,
            Op::And | Op::Or => true,
        };
        let all = if ops.iter().all(plain) { None } else { Some(index.series_of(measurement)) };
        SelectTask {
            all,
            ops,
            at: 0,
            stack: Vec::new(),
            found: RoaringBitmap::new(),
            ids: Vec::new(),
        }
    }

    /// Works on about `budget` tag values (at least one); gives the set once, at the end.
    pub fn step(&mut self, index: &Index, mut budget: usize) -> Poll<RoaringBitmap> {
        let none = RoaringBitmap::new();
        let all = self.all.as_ref().unwrap_or(&none);
        while let Some(op) = self.ops.get_mut(self.at) {
            match op {
                Op::Push { full: true } => self.stack.push(all.clone()),
                Op::Push { full: false } => self.stack.push(RoaringBitmap::new()),
                Op::Cell { cell, complement } => {
                    let cell = cell.and_then(|cell| index.cells.get(cell));
                    let set = cell.map(|cell| index.postings.bitmap(cell.series));
                    let set = set.unwrap_or_default();
                    self.stack.push(if *complement { all - set } else { set });
                }
                Op::Walk { next, test, complement } => {
                    budget = walk(index, next, test, budget, &mut self.ids, &mut self.found);
                    merge(&mut self.ids, &mut self.found);
                    if *next != END {
                        return Poll::Pending;
                    }
                    let set = std::mem::take(&mut self.found);
                    self.stack.push(if *complement { all - set } else { set });
                }
                Op::Not => {
                    let set = self.stack.pop().unwrap_or_default();
                    self.stack.push(all - set);
                }
                Op::And => {
                    let set = self.stack.pop().unwrap_or_default();
                    self.stack.last_mut().into_iter().for_each(|under| *under &= &set);
                }
                Op::Or => {
                    let set = self.stack.pop().unwrap_or_default();
                    self.stack.last_mut().into_iter().for_each(|under| *under |= &set);
                }
            }
            self.at += 1;
        }
        let set = self.stack.pop().unwrap_or_default();
        Poll::Ready(match &self.all {
            Some(all) => set & all,
            None => set,
        })
    }
}

/// Collects the series of cells that pass; gives what is left of the budget.
fn walk(
    index: &Index,
    next: &mut u32,
    test: &Test,
    mut budget: usize,
    ids: &mut Vec<u32>,
    found: &mut RoaringBitmap,
) -> usize {
    while let Some(cell) = index.cells.get(*next) {
        *next = cell.next;
        let mut work = 1;
        if !cell.series.is_empty() {
            let passes = match test {
                Test::Present => cell.value != Symbol::EMPTY,
                Test::Matches { regex, empty } => {
                    regex.is_match(index.symbols.text(cell.value)) != *empty
                }
            };
            if passes {
                work += index.postings.collect(cell.series, ids, found);
            }
        }
        if work >= budget {
            return 0;
        }
        budget -= work;
    }
    *next = END;
    budget
}

/// Moves loose ids into the set; one by one in random order would move containers about.
fn merge(ids: &mut Vec<u32>, found: &mut RoaringBitmap) {
    ids.sort_unstable();
    *found |= ids.drain(..).collect::<RoaringBitmap>();
}

fn compile(
    index: &Index,
    measurement: MeasurementId,
    filter: &TagFilter,
    negate: bool,
    ops: &mut Vec<Op>,
) {
    let column = |key: &[u8]| index.tag_key(measurement, key).map(|key| key.0);
    match filter {
        TagFilter::All => ops.push(Op::Push { full: !negate }),
        TagFilter::None => ops.push(Op::Push { full: negate }),
        TagFilter::Equals { key, value } => ops.push(equals(index, column(key), value, negate)),
        TagFilter::NotEquals { key, value } => {
            ops.push(equals(index, column(key), value, !negate));
        }
        TagFilter::Matches { key, regex } => ops.push(matches(index, column(key), regex, negate)),
        TagFilter::NotMatches { key, regex } => {
            ops.push(matches(index, column(key), regex, !negate));
        }
        TagFilter::Not(filter) => compile(index, measurement, filter, !negate, ops),
        TagFilter::And(filters) => {
            join(index, measurement, filters, true, ops);
            ops.extend(negate.then_some(Op::Not));
        }
        TagFilter::Or(filters) => {
            join(index, measurement, filters, false, ops);
            ops.extend(negate.then_some(Op::Not));
        }
    }
}

/// The series that pass all of some predicates, or any of them.
fn join(
    index: &Index,
    measurement: MeasurementId,
    filters: &[TagFilter],
    all: bool,
    ops: &mut Vec<Op>,
) {
    let Some((first, rest)) = filters.split_first() else {
        return ops.push(Op::Push { full: all });
    };
    compile(index, measurement, first, false, ops);
    for filter in rest {
        compile(index, measurement, filter, false, ops);
        ops.push(if all { Op::And } else { Op::Or });
    }
}

fn equals(index: &Index, column: Option<u32>, value: &[u8], negate: bool) -> Op {
    if value.is_empty() {
        // The series without the tag are all but those that have it.
        return walk_op(index, column, Test::Present, !negate);
    }
    let cell = column.and_then(|column| index.find_cell(column, value));
    Op::Cell { cell, complement: negate }
}

fn matches(index: &Index, column: Option<u32>, regex: &Regex, negate: bool) -> Op {
    let empty = regex.is_match(b"");
    walk_op(index, column, Test::Matches { regex: regex.clone(), empty }, empty != negate)
}

fn walk_op(index: &Index, column: Option<u32>, test: Test, complement: bool) -> Op {
    let column = column.and_then(|column| index.columns.get(column));
    let Some(column) = column else { return Op::Push { full: complement } };
    if matches!(test, Test::Present) {
        let owner = index.measurements.get(column.measurement as usize);
        // When every series has the tag, the walk over its values would unite to all of them.
        if owner.is_some_and(|owner| owner.live == u64::from(column.live)) {
            return Op::Push { full: !complement };
        }
    }
    Op::Walk { next: column.first, test, complement }
}

impl Index {
    /// The live series of a measurement that pass a predicate, at once. For a measurement with many
    /// tag values use `SelectTask`.
    pub fn select(&self, measurement: MeasurementId, filter: &TagFilter) -> RoaringBitmap {
        match SelectTask::new(self, measurement, filter).step(self, usize::MAX) {
            Poll::Ready(set) => set,
            Poll::Pending => RoaringBitmap::new(),
        }
    }
}
