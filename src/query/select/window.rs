//! LIMIT, OFFSET, SLIMIT and SOFFSET.
//!
//! In: rows and series in output order. Out: which of them are part of the answer, and when no more
//! can be.

use super::chosen::Group;
use crate::influxql::ast::Select;
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

/// Counts rows of one series, and series of one measurement.
#[derive(Clone, Debug)]
pub struct Window {
    limit: u64,
    offset: u64,
    slimit: u64,
    soffset: u64,
    rows: u64,
    series: u64,
    /// The series that are part of the answer, where they are known beforehand, and whether the
    /// present one is.
    chosen: Option<(Rc<BTreeSet<Group>>, bool)>,
}

impl Window {
    /// The limits of a query, nothing counted.
    pub fn new(select: &Select) -> Window {
        Window {
            limit: select.limit,
            offset: select.offset,
            slimit: select.slimit,
            soffset: select.soffset,
            rows: 0,
            series: 0,
            chosen: None,
        }
    }

    /// The limits of rows that come straight from measurements: OFFSET without LIMIT leaves one row
    /// of each series there, as the reference does and its manual warns of.
    pub fn of_points(self) -> Window {
        let one = self.limit == 0 && self.offset > 0;
        Window { limit: if one { 1 } else { self.limit }, ..self }
    }

    /// SLIMIT and SOFFSET where they count; `None`: all series are asked for, or none.
    pub fn counts_series(&self) -> Option<(u64, u64)> {
        (self.slimit > 0).then_some((self.slimit, self.soffset))
    }

    /// The same, with the series that are part of the answer.
    pub fn choosing(&self, chosen: Option<BTreeSet<Group>>) -> Window {
        Window { chosen: chosen.map(|groups| (Rc::new(groups), false)), ..self.clone() }
    }

    /// The series that are part of the answer, where they are known.
    pub fn chosen(&self) -> Option<&BTreeSet<Group>> {
        self.chosen.as_ref().map(|(groups, _)| &**groups)
    }

    /// Adds to SLIMIT and SOFFSET.
    pub fn widen_series(&mut self, (slimit, soffset): (u64, u64)) {
        self.slimit = self.slimit.saturating_add(slimit);
        self.soffset = self.soffset.saturating_add(soffset);
    }

    /// Takes all series, as a subquery does: its limits count series of the outermost query.
    pub fn forget_series(&mut self) {
        (self.slimit, self.soffset) = (0, 0);
    }

    /// Whether all rows of a series are part of the answer.
    pub fn is_open(&self) -> bool {
        self.limit == 0 && self.offset == 0
    }

    /// Rows of one series that have to be known; `None`: all.
    pub fn rows_needed(&self) -> Option<u64> {
        (self.limit > 0).then(|| self.limit.saturating_add(self.offset))
    }

    /// Begins the next series, of a group.
    pub fn next_series(&mut self, group: &[Box<[u8]>]) {
        if let Some((groups, present)) = &mut self.chosen {
            *present = groups.contains(group);
            self.series += u64::from(*present);
        } else {
            self.series += 1;
        }
        self.rows = 0;
    }

    /// Whether the present series is part of the answer. SOFFSET without SLIMIT leaves nothing.
    pub fn has_series(&self) -> bool {
        if let Some((_, present)) = &self.chosen {
            return *present;
        }
        if self.slimit == 0 {
            return self.soffset == 0;
        }
        self.series > self.soffset && self.series <= self.soffset.saturating_add(self.slimit)
    }

    /// Whether no later series can be part of the answer.
    pub fn series_done(&self) -> bool {
        if let Some((groups, present)) = &self.chosen {
            return !present && self.series >= groups.len() as u64;
        }
        match self.slimit {
            0 => self.soffset > 0,
            slimit => self.series > self.soffset.saturating_add(slimit),
        }
    }

    /// Whether the present series has all its rows.
    pub fn rows_done(&self) -> bool {
        !self.has_series() || self.rows_needed().is_some_and(|needed| self.rows >= needed)
    }

    /// The part of all points of one function in the present series that is in the answer.
    pub fn cut<T>(&self, mut points: Vec<T>) -> Vec<T> {
        if !self.has_series() {
            return Vec::new();
        }
        let clip = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(points.len());
        let (start, end) = (clip(self.offset), clip(self.rows_needed().unwrap_or(u64::MAX)));
        points.truncate(end);
        points.drain(..start.min(end));
        points
    }

    /// Which of the next `count` rows are part of the answer.
    pub fn take(&mut self, count: usize) -> Range<usize> {
        let before = self.rows;
        self.rows = self.rows.saturating_add(count as u64);
        if !self.has_series() {
            return 0..0;
        }
        let clip = |place: u64| place.saturating_sub(before).min(count as u64) as usize;
        let end = self.rows_needed().map_or(count, clip);
        clip(self.offset).min(end)..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(limit: u64, offset: u64, slimit: u64, soffset: u64) -> Window {
        let select = Select { limit, offset, slimit, soffset, ..Select::default() };
        let mut window = Window::new(&select);
        window.next_series(&[]);
        window
    }

    #[test]
    fn rows_are_counted_across_parts() {
        let mut window = window(3, 2, 0, 0);
        assert_eq!(window.take(1), 1..1);
        assert_eq!(window.take(3), 1..3);
        assert!(!window.rows_done());
        assert_eq!(window.take(9), 0..1);
        assert!(window.rows_done());
        window.next_series(&[]);
        assert_eq!(window.take(9), 2..5);
    }

    #[test]
    fn points_of_a_function_are_cut_by_themselves() {
        assert_eq!(window(3, 2, 0, 0).cut((0..9).collect()), [2, 3, 4]);
        assert_eq!(window(0, 7, 0, 0).cut((0..9).collect()), [7, 8]);
        assert_eq!(window(0, 7, 0, 0).of_points().cut((0..9).collect()), [7]);
        assert!(window(1, 9, 0, 0).cut((0..9).collect()).is_empty());
        assert!(window(1, 0, 1, 1).cut(vec![1]).is_empty());
    }

    #[test]
    fn series_are_counted() {
        let mut window = window(0, 0, 1, 1);
        assert_eq!(window.take(4), 0..0);
        assert!(!window.series_done());
        window.next_series(&[]);
        assert_eq!(window.take(4), 0..4);
        window.next_series(&[]);
        assert!(window.series_done() && !window.has_series());
        assert!(!self::window(0, 0, 0, 1).has_series());
        assert!(self::window(0, 0, 0, 0).has_series());
    }

    #[test]
    fn chosen_series_are_known_by_their_groups() {
        let group = |name: &str| vec![Box::from(name.as_bytes())];
        let mut window = window(0, 0, 2, 1).choosing(Some([group("b"), group("c")].into()));
        for (name, has, done) in [("a", false, false), ("b", true, false), ("c", true, false)] {
            window.next_series(&group(name));
            assert_eq!((window.has_series(), window.series_done()), (has, done), "{name}");
        }
        window.next_series(&group("d"));
        assert!(window.series_done());
        assert!(self::window(0, 0, 1, 9).choosing(Some(BTreeSet::new())).series_done());
    }
}
