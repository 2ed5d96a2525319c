//! Rows of a chunk, taken out of its decoded parts.
//!
//! In: the pieces of a chunk, verified when they came from the disk, and a selection. Out: a Block
//! of the selected rows. Pages without a selected row are not decoded; a column of which whole
//! pages are wanted is decoded in place, without a copy. No I/O here.

use super::runs::{self, StoredRun};
use super::select::{self, Select, Span};
use crate::codec::chunk;
use crate::model::{Bitmap, Column, Values};
use crate::shard::block::{Block, Run, step_of};
use std::ops::Range;

/// What is wrong with a piece that carries a good checksum: it was not written by this program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault(pub &'static str);

/// The selected rows of a chunk.
pub struct Rows {
    spans: Vec<Span>,
    /// The rows of the spans, neighbours joined.
    ranges: Vec<Range<u32>>,
    /// Times of irregular runs and the place of the first of them, once decoded.
    times: Vec<i64>,
    times_start: u32,
    irregular: bool,
}

/// Reads the runs of a chunk.
pub fn runs(bytes: &[u8], rows: u32) -> Result<Vec<StoredRun>, Fault> {
    runs::decode(bytes, rows).ok_or(Fault("runs are malformed"))
}

impl Rows {
    /// The rows that a selection has in a chunk; those of irregular runs are candidates until
    /// `resolve`.
    pub fn find(select: &Select, runs: &[StoredRun]) -> Rows {
        let mut spans = Vec::with_capacity(if select.series.is_none() { runs.len() } else { 16 });
        let mut irregular = false;
        select::matching_runs(select, runs, |at| {
            let Some(stored) = runs.get(at) else { return };
            let rows = if stored.is_irregular() {
                irregular |= stored.first <= select.range.last;
                if stored.first <= select.range.last { 0..stored.run.rows } else { 0..0 }
            } else {
                select::regular_rows(stored, select.range)
            };
            let start = stored.run.start;
            if !rows.is_empty() {
                spans.push(Span {
                    run: at as u32,
                    start: start + rows.start,
                    end: start + rows.end,
                });
            }
        });
        let mut rows =
            Rows { spans, ranges: Vec::new(), times: Vec::new(), times_start: 0, irregular };
        rows.join();
        rows
    }

    /// Whether irregular runs are among the candidates.
    pub fn needs_times(&self) -> bool {
        self.irregular
    }

    /// Whether no row is selected.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Selected rows of the chunk, ascending, never touching.
    pub fn ranges(&self) -> &[Range<u32>] {
        &self.ranges
    }

    /// Decodes the times of the irregular candidates and cuts these to the selected times.
    pub fn resolve(
        &mut self,
        select: &Select,
        runs: &[StoredRun],
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let stored = |span: &Span| runs.get(span.run as usize).filter(|run| run.is_irregular());
        let mut irregular = self.spans.iter().filter_map(stored);
        let first = irregular.next();
        let last = irregular.next_back().or(first);
        let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
        let wanted = first.times_at..last.times_at + last.run.rows;
        self.times_start = decode_times(bytes, wanted, &mut self.times)?;
        let mut ascending = true;
        let (times, times_start) = (&self.times, self.times_start);
        for span in &mut self.spans {
            let Some(stored) = runs.get(span.run as usize).filter(|run| run.is_irregular()) else {
                continue;
            };
            let own = own_times(times, times_start, stored);
            ascending &= own.len() == stored.run.rows as usize
                && own.first() == Some(&stored.first)
                && own.is_sorted_by(|left, right| left < right);
            let rows = select::irregular_rows(own, select.range);
            span.start = stored.run.start + rows.start;
            span.end = stored.run.start + rows.end;
        }
        if !ascending {
            return Err(Fault("times do not ascend"));
        }
        self.spans.retain(|span| span.start < span.end);
        self.join();
        Ok(())
    }

    /// Runs and times of the selected rows, without columns yet.
    pub fn block(&self, runs: &[StoredRun]) -> Block {
        let rows: usize = self.ranges.iter().map(Range::len).sum();
        let mut block = Block {
            runs: Vec::with_capacity(self.spans.len()),
            times: Vec::with_capacity(rows),
            columns: Vec::new(),
        };
        for span in &self.spans {
            let Some(stored) = runs.get(span.run as usize) else { continue };
            let run = &stored.run;
            let (start, count) = (block.times.len(), span.end - span.start);
            let skipped = span.start - run.start;
            if stored.is_irregular() {
                let own = own_times(&self.times, self.times_start, stored);
                let end = (skipped + count) as usize;
                block.times.extend_from_slice(own.get(skipped as usize..end).unwrap_or(&[]));
            } else {
                let first = stored.first.wrapping_add(run.step.wrapping_mul(i64::from(skipped)));
                let time = |row: u32| first.wrapping_add(run.step.wrapping_mul(i64::from(row)));
                block.times.extend((0..count).map(time));
            }
            let step = match run.step {
                _ if count == 1 => 0,
                // A part of an irregular run may be regular.
                0 if count < run.rows => step_of(block.times.get(start..).unwrap_or(&[])),
                step => step,
            };
            block.runs.push(Run { start: start as u32, rows: count, step, ..*run });
        }
        block
    }

    fn join(&mut self) {
        self.ranges.clear();
        for span in &self.spans {
            match self.ranges.last_mut() {
                Some(last) if last.end == span.start => last.end = span.end,
                _ => self.ranges.push(span.start..span.end),
            }
        }
    }
}

/// The rows of a chunk that are kept: `keep` has a bit for each row of `ranges`, in order.
pub fn kept(ranges: &[Range<u32>], keep: &Bitmap) -> Vec<Range<u32>> {
    let mut out: Vec<Range<u32>> = Vec::new();
    let rows = ranges.iter().cloned().flatten().enumerate();
    for (_, row) in rows.filter(|(at, _)| keep.get(*at)) {
        match out.last_mut() {
            Some(last) if last.end == row => last.end += 1,
            _ => out.push(row..row + 1),
        }
    }
    out
}

fn own_times<'a>(times: &'a [i64], times_start: u32, stored: &StoredRun) -> &'a [i64] {
    let start = (stored.times_at - times_start) as usize;
    times.get(start..start + stored.run.rows as usize).unwrap_or(&[])
}

/// Decodes the pages of a times column that hold entries `wanted`; gives the number of the first
/// decoded entry.
fn decode_times(bytes: &[u8], wanted: Range<u32>, out: &mut Vec<i64>) -> Result<u32, Fault> {
    const FAULT: Fault = Fault("times are malformed");
    let reader = chunk::Reader::open_again(bytes).map_err(|_| FAULT)?;
    let holds = |page: &usize| {
        let rows = reader.page_rows(*page);
        rows.start < wanted.end as usize && (wanted.start as usize) < rows.end
    };
    let mut pages = (0..reader.pages()).filter(holds);
    let first = pages.next().ok_or(FAULT)?;
    let last = pages.next_back().unwrap_or(first);
    if reader.rows() < wanted.end as usize {
        return Err(FAULT);
    }
    reader.decode_times(first..last + 1, out).map_err(|_| FAULT)?;
    Ok(reader.page_rows(first).start as u32)
}

/// Where no more than one row in so many is wanted, the rows are picked out of their pages.
const PICKED_SHARE: usize = 16;

/// Decodes the rows `ranges` of an encoded column of a chunk of `rows` rows, appending them to
/// `out`. Gives the number of values decoded.
pub fn column(
    bytes: &[u8],
    rows: u32,
    ranges: &[Range<u32>],
    out: &mut Column,
) -> Result<usize, Fault> {
    const FAULT: Fault = Fault("column is malformed");
    let reader = chunk::Reader::open_again(bytes).map_err(|_| FAULT)?;
    if reader.rows() as u32 != rows {
        return Err(Fault("column has another number of rows than its chunk"));
    }
    if let [all] = ranges
        && *all == (0..rows)
    {
        reader.decode(0..reader.pages(), out).map_err(|_| FAULT)?;
        return Ok(rows as usize);
    }
    let mut decoded = 0;
    let mut scratch = Column::empty(out.id);
    let page_rows = (0..reader.pages()).map(|page| reader.page_rows(page).len() as u32);
    for group in groups(page_rows, ranges) {
        let group_rows = group.rows.len();
        decoded += group_rows;
        if let [range] = group.ranges
            && *range == group.rows
        {
            reader.decode(group.pages, out).map_err(|_| FAULT)?;
            continue;
        }
        let wanted: usize = group.ranges.iter().map(|range| range.len()).sum();
        if wanted <= group_rows / PICKED_SHARE
            && reader.pick(group.pages.clone(), group.ranges, out).map_err(|_| FAULT)?
        {
            continue;
        }
        scratch = Column { values: emptied(scratch.values), validity: None, ..scratch };
        reader.decode(group.pages, &mut scratch).map_err(|_| FAULT)?;
        for range in group.ranges {
            let start = (range.start - group.rows.start) as usize;
            out.append(&scratch, start..start + range.len());
        }
    }
    Ok(decoded)
}

/// Ranges of rows that share pages, decoded together.
struct Group<'r> {
    pages: Range<usize>,
    /// Rows of the pages.
    rows: Range<u32>,
    ranges: &'r [Range<u32>],
}

/// Cuts ascending ranges into groups, given the rows of each page.
fn groups<'r>(page_rows: impl Iterator<Item = u32>, ranges: &'r [Range<u32>]) -> Vec<Group<'r>> {
    let mut groups: Vec<Group<'r>> = Vec::new();
    let (mut start, mut rest) = (0u32, ranges);
    for (page, rows) in page_rows.enumerate() {
        let end = start + rows;
        // Ranges that begin in this page; one that began before it still reaches in when open.
        let begin = rest.partition_point(|range| range.start < end);
        let (begun, later) = rest.split_at_checked(begin).unwrap_or((rest, &[]));
        let open = groups.last().is_some_and(|group| {
            group.ranges.last().is_some_and(|range| range.end > start && group.rows.end == start)
        });
        match groups.last_mut() {
            Some(group) if open => {
                let taken = ranges.len() - rest.len() - group.ranges.len();
                group.ranges = ranges.get(taken..ranges.len() - later.len()).unwrap_or(&[]);
                group.pages.end = page + 1;
                group.rows.end = end;
            }
            _ if !begun.is_empty() => {
                groups.push(Group { pages: page..page + 1, rows: start..end, ranges: begun });
            }
            _ => {}
        }
        rest = later;
        start = end;
    }
    groups
}

/// The same values' memory, without entries.
fn emptied(mut values: Values) -> Values {
    match &mut values {
        Values::Float(values) => values.clear(),
        Values::Integer(values) => values.clear(),
        Values::Unsigned(values) => values.clear(),
        Values::Boolean(values) => values.clear(),
        Values::String(strings) => {
            strings.ends.clear();
            strings.bytes.clear();
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn groups_cover_each_range_with_the_fewest_pages(
            pages in proptest::collection::vec(1..20u32, 1..30),
            cuts in proptest::collection::btree_set(0..200u32, 0..40),
        ) {
            let total: u32 = pages.iter().sum();
            let cuts: Vec<u32> = cuts.into_iter().filter(|cut| *cut <= total).collect();
            let ranges: Vec<Range<u32>> =
                cuts.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect();
            let found = groups(pages.iter().copied(), &ranges);
            let joined: Vec<Range<u32>> =
                found.iter().flat_map(|group| group.ranges.iter().cloned()).collect();
            prop_assert_eq!(joined, ranges.clone());
            for group in &found {
                let start: u32 = pages[..group.pages.start].iter().sum();
                let end: u32 = pages[..group.pages.end].iter().sum();
                prop_assert_eq!(group.rows.clone(), start..end);
                let (first, last) = (&group.ranges[0], &group.ranges[group.ranges.len() - 1]);
                prop_assert!(start <= first.start && first.start < start + pages[group.pages.start]);
                prop_assert!(last.end <= end && last.end > end - pages[group.pages.end - 1]);
            }
            let distinct = found.windows(2).all(|pair| pair[0].pages.end <= pair[1].pages.start);
            prop_assert!(distinct);
        }
    }
}
