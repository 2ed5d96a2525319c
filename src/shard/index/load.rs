//! Loading of delta files (form: see `delta`) into the index, block by block.
//!
//! In: the bytes of base and deltas, in order of making, before the log is replayed. Out: the index
//! as it was, or an error with the offset of the bad block; an index that refused a file is of no
//! use.

use super::delta::{
    BLOCK_BYTES_MAX, HEADER_BYTES, KIND_FIRST, KIND_LAST, KIND_RETIRED, KIND_SERIES, MAGIC,
    VERSION, checksum,
};
use super::{Index, IndexError, SERIES_MAX, varint};
use crate::model::{DbId, MeasurementId};

/// One file being loaded.
#[derive(Default)]
pub struct Loader {
    offset: usize,
    place: u64,
    first: u32,
    end: u32,
    last: Option<u32>,
    series: u32,
    retired: u32,
    finished: bool,
    measurements: Vec<u32>,
    /// Index number and measurement of the file's columns.
    columns: Vec<(u32, u32)>,
    /// Index number and measurement of the file's cells.
    cells: Vec<(u32, u32)>,
}

/// Why a block is refused: damage, or an error of the index itself.
enum Refusal {
    Damage(&'static str),
    Index(IndexError),
}

impl From<IndexError> for Refusal {
    fn from(error: IndexError) -> Refusal {
        match error {
            IndexError::Full => Refusal::Index(error),
            _ => Refusal::Damage("definitions contradict each other"),
        }
    }
}

const SHORT: Refusal = Refusal::Damage("record is cut off");

impl Index {
    /// Loads a whole delta or base.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        let mut loader = Loader::default();
        let mut rest = bytes;
        while let Some(len) = loader.feed(self, rest)? {
            rest = rest.get(len..).unwrap_or(&[]);
        }
        if !rest.is_empty() && !loader.finished {
            return Err(loader.damage("file is cut off"));
        }
        loader.finish(self)
    }
}

impl Loader {
    /// Loads the block that `bytes` begin with (about 3 ms for a full one) and gives its length;
    /// `None` when the block is not there whole and more bytes are needed.
    pub fn feed(&mut self, index: &mut Index, bytes: &[u8]) -> Result<Option<usize>, IndexError> {
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        if self.finished {
            return Err(self.damage("bytes behind the last block"));
        }
        let [l0, l1, l2, l3, kind, z0, z1, z2, sum @ ..] = *header;
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if len > BLOCK_BYTES_MAX || [z0, z1, z2] != [0; 3] {
            return Err(self.damage("bad block header"));
        }
        let Some(payload) = rest.get(..len) else { return Ok(None) };
        if checksum(self.place, kind, payload) != u64::from_le_bytes(sum) {
            return Err(self.damage("checksum mismatch"));
        }
        self.block(index, kind, payload).map_err(|refusal| match refusal {
            Refusal::Damage(what) => self.damage(what),
            Refusal::Index(error) => error,
        })?;
        self.place += 1;
        self.offset += HEADER_BYTES + len;
        Ok(Some(HEADER_BYTES + len))
    }

    /// Must be called behind the last block: what was loaded counts as saved.
    pub fn finish(self, index: &mut Index) -> Result<(), IndexError> {
        if !self.finished {
            return Err(self.damage("file is cut off"));
        }
        index.thinned |= index.next < self.end;
        index.next = index.next.max(self.end);
        index.saved = index.saved.max(self.end);
        Ok(())
    }

    fn damage(&self, what: &'static str) -> IndexError {
        IndexError::Corrupt { offset: self.offset, what }
    }

    fn block(&mut self, index: &mut Index, kind: u8, mut bytes: &[u8]) -> Result<(), Refusal> {
        match kind {
            KIND_FIRST if self.place == 0 => self.head(bytes),
            KIND_SERIES if self.place > 0 => {
                while !bytes.is_empty() {
                    self.one(index, &mut bytes)?;
                }
                Ok(())
            }
            KIND_RETIRED if self.place > 0 => {
                let mut id = 0u32;
                while !bytes.is_empty() {
                    id = id.saturating_add(varint::read(&mut bytes).ok_or(SHORT)?);
                    index.retire_one(id);
                    self.retired += 1;
                }
                Ok(())
            }
            KIND_LAST if self.place > 0 => {
                let series = varint::read(&mut bytes).ok_or(SHORT)?;
                let retired = varint::read(&mut bytes).ok_or(SHORT)?;
                if (series, retired) != (self.series, self.retired) {
                    return Err(Refusal::Damage("counts do not agree"));
                }
                self.finished = true;
                Ok(())
            }
            _ => Err(Refusal::Damage("block of unknown kind or out of place")),
        }
    }

    fn head(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let mut rest = bytes.strip_prefix(&MAGIC).ok_or(Refusal::Damage("not an index delta"))?;
        let mut number = || varint::read(&mut rest).ok_or(SHORT);
        if number()? != VERSION {
            return Err(Refusal::Damage("unknown version"));
        }
        (self.first, self.end) = (number()?, number()?);
        if self.first > self.end || self.end > SERIES_MAX {
            return Err(Refusal::Damage("bad range of ids"));
        }
        Ok(())
    }

    /// Loads one series.
    fn one(&mut self, index: &mut Index, bytes: &mut &[u8]) -> Result<(), Refusal> {
        let gap = varint::read(bytes).ok_or(SHORT)?;
        let id = self.last.map_or(Some(gap), |last| last.checked_add(gap).filter(|_| gap > 0));
        let id = id.filter(|id| (self.first..self.end).contains(id));
        let id = id.ok_or(Refusal::Damage("series id out of order"))?;
        self.last = Some(id);
        self.series += 1;
        let (hash, rest) = bytes.split_first_chunk::<4>().ok_or(SHORT)?;
        *bytes = rest;
        let hash = u32::from_le_bytes(*hash);
        let measurement = self.measurement(index, bytes)?;
        let tags = varint::read(bytes).ok_or(SHORT)?;
        let mut cells = std::mem::take(&mut index.scratch);
        cells.clear();
        for _ in 0..tags {
            cells.push(self.cell(index, measurement, bytes)?);
        }
        if cells.len() > usize::from(u16::MAX) {
            return Err(Refusal::Damage("too many tags"));
        }
        let found = index.series_table.find(hash, |other| {
            index.states.get(other).is_some_and(|state| index.same_key(state, measurement, &cells))
        });
        index.scratch = cells;
        if index.states.get(id).is_some() {
            // Said again by a delta begun before the base that was loaded.
            return Ok(());
        }
        Ok(index.add(id, measurement, hash, found)?)
    }

    fn measurement(&mut self, index: &mut Index, bytes: &mut &[u8]) -> Result<u32, Refusal> {
        let number = varint::read(bytes).ok_or(SHORT)?;
        if let Some(at) = number.checked_sub(1) {
            let known = self.measurements.get(at as usize).copied();
            return known.ok_or(Refusal::Damage("unknown measurement"));
        }
        let id = MeasurementId(varint::read(bytes).ok_or(SHORT)?);
        let db = DbId(varint::read(bytes).ok_or(SHORT)?);
        let name = varint::read_text(bytes).ok_or(SHORT)?;
        let number = index.measurement_number(db, id, name)?;
        self.measurements.push(number);
        Ok(number)
    }

    fn cell(
        &mut self,
        index: &mut Index,
        measurement: u32,
        bytes: &mut &[u8],
    ) -> Result<u32, Refusal> {
        let number = varint::read(bytes).ok_or(SHORT)?;
        if let Some(at) = number.checked_sub(1) {
            let known = self.cells.get(at as usize).filter(|(_, owner)| *owner == measurement);
            return known.map(|(cell, _)| *cell).ok_or(Refusal::Damage("unknown tag value"));
        }
        let number = varint::read(bytes).ok_or(SHORT)?;
        let column = match number.checked_sub(1) {
            Some(at) => {
                let known =
                    self.columns.get(at as usize).filter(|(_, owner)| *owner == measurement);
                known.map(|(column, _)| *column).ok_or(Refusal::Damage("unknown tag key"))?
            }
            None => {
                let key = varint::read_text(bytes).ok_or(SHORT)?;
                let column = index.column(measurement, key, &mut 0)?;
                self.columns.push((column, measurement));
                column
            }
        };
        let cell = index.cell(column, varint::read_text(bytes).ok_or(SHORT)?)?;
        self.cells.push((cell, measurement));
        Ok(cell)
    }
}
