//! A chunked answer as documents: which rows go into which.
//!
//! In: result parts. Out: documents of at most so many rows, each of one series. A document ends at
//! its size or where the series ends; whether more follows is known only when it does, so rows wait
//! here until then.

use crate::query::{ResultPart, Series};
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

/// One document of a chunked answer.
#[derive(Debug, Default)]
pub struct Document {
    pub statement_id: usize,
    /// Rows of one series, in pieces that share its head.
    pub pieces: Vec<(Rc<Series>, Range<usize>)>,
    /// The same series goes on in the next document.
    pub goes_on: bool,
    /// The statement has further documents.
    pub partial: bool,
    pub messages: Vec<String>,
    pub error: Option<String>,
}

/// Cuts an answer into documents.
pub struct Chunks {
    size: usize,
    statement: Option<usize>,
    /// Documents made of the statement.
    documents: usize,
    held: VecDeque<Rc<Series>>,
    /// Rows of the first held part that were used.
    skip: usize,
    rows: usize,
    messages: Vec<String>,
    ready: VecDeque<Document>,
}

impl Chunks {
    /// Documents of at most `size` rows.
    pub fn new(size: usize) -> Chunks {
        Chunks {
            size: size.max(1),
            statement: None,
            documents: 0,
            held: VecDeque::new(),
            skip: 0,
            rows: 0,
            messages: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    /// Takes the next part.
    pub fn part(&mut self, part: ResultPart) {
        if self.statement != Some(part.statement_id) {
            self.flush(false);
            self.statement = Some(part.statement_id);
            self.documents = 0;
        }
        if let Some(series) = part.series {
            let before = self.held.back();
            if before.is_some_and(|before| !series.continues(before)) {
                self.flush(!series.whole);
            }
            let size = if series.whole { usize::MAX } else { self.size };
            self.rows += series.rows;
            self.held.push_back(Rc::new(series));
            while self.rows > size {
                self.cut(size, true, true);
            }
            return;
        }
        self.messages.extend(part.messages);
        let ends = part.error.is_some();
        if ends || self.documents > 0 || !self.held.is_empty() {
            self.flush(false);
        }
        if ends || self.documents == 0 {
            self.cut(0, false, false);
            if let Some(last) = self.ready.back_mut() {
                last.error = part.error;
            }
        }
    }

    /// Takes the end.
    pub fn finish(&mut self) {
        self.flush(false);
    }

    /// The next document that is whole.
    pub fn pop(&mut self) -> Option<Document> {
        self.ready.pop_front()
    }

    fn flush(&mut self, partial: bool) {
        if !self.held.is_empty() {
            self.cut(self.rows, partial, false);
        }
    }

    fn cut(&mut self, rows: usize, partial: bool, goes_on: bool) {
        let Some(statement_id) = self.statement else { return };
        let pieces = self.take(rows);
        let messages = std::mem::take(&mut self.messages);
        self.documents += 1;
        let error = None;
        self.ready.push_back(Document { statement_id, pieces, goes_on, partial, messages, error });
    }

    fn take(&mut self, rows: usize) -> Vec<(Rc<Series>, Range<usize>)> {
        let mut pieces = Vec::new();
        let mut left = rows;
        while let Some(part) = self.held.pop_front() {
            let start = self.skip;
            let end = part.rows.min(start + left);
            left -= end - start;
            self.rows -= end - start;
            self.skip = end;
            pieces.push((part.clone(), start..end));
            if end < part.rows {
                self.held.push_front(part);
                return pieces;
            }
            self.skip = 0;
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Column;

    fn series(name: &str, rows: usize) -> ResultPart {
        let series = Series {
            name: Some(name.as_bytes().into()),
            values: vec![Column::Times(vec![0; rows])],
            rows,
            ..Series::default()
        };
        ResultPart::of_series(0, series)
    }

    fn cut(size: usize, parts: Vec<ResultPart>) -> Vec<(usize, bool, bool)> {
        let mut chunks = Chunks::new(size);
        parts.into_iter().for_each(|part| chunks.part(part));
        chunks.finish();
        let rows = |one: &Document| one.pieces.iter().map(|(_, range)| range.len()).sum();
        std::iter::from_fn(|| chunks.pop())
            .map(|one| (rows(&one), one.goes_on, one.partial))
            .collect()
    }

    #[test]
    fn documents_end_at_their_size_and_with_their_series() {
        let end = || ResultPart { statement_id: 0, ..ResultPart::default() };
        let parts = vec![series("a", 3), series("a", 2), series("b", 1), end()];
        let expected = [(2, true, true), (2, true, true), (1, false, true), (1, false, false)];
        assert_eq!(cut(2, parts.clone()), expected);
        assert_eq!(cut(5, parts), [(5, false, true), (1, false, false)]);
        assert_eq!(cut(5, vec![end()]), [(0, false, false)]);
    }
}
