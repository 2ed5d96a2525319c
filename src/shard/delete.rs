//! Deletes: at once invisible, gone from the disk when compaction meets them.
//!
//! A delete is a log record with a sequence number T. In the active head matching rows go at once;
//! every other source obeys the tombstone if all of its records are older than T. So a row written
//! after the delete shows, whenever it is flushed or merged. Scans under way obey it from then on.

use super::edit::Trouble;
use super::tombstone::{Tombstone, Tombstones};
use super::{Inner, Shard, manifest};
use crate::env::Env;
use crate::model::{DbId, MeasurementId, PartitionId, TimeRange};
use roaring::RoaringBitmap;
use std::rc::{Rc, Weak};

impl<E: Env> Inner<E> {
    /// A durable delete record takes effect; replay comes through here too.
    pub(super) fn apply_delete(&self, seq: u64, series: RoaringBitmap, range: TimeRange) {
        self.head.borrow_mut().delete(seq, &series, range);
        for scan in self.scans.borrow().iter().filter_map(Weak::upgrade) {
            scan.borrow_mut().push(Tombstone { seq, series: series.clone(), range });
        }
        self.install(|version| {
            let mut tombstones = Tombstones::clone(&version.tombstones);
            tombstones.push(Tombstone { seq, series, range });
            version.tombstones = Rc::new(tombstones);
        });
    }
}

impl<E: Env> Inner<E> {
    /// Takes the sections of these partitions out of the manifest and out of sight.
    pub(super) async fn drop_sections(&self, partitions: &[PartitionId]) -> Result<(), Trouble> {
        if self.manifest.borrow().sections_of(partitions).is_empty() {
            return Ok(());
        }
        let mut removed = Vec::new();
        self.edit(|| {
            // A compaction may have been faster: what is there now counts.
            removed = self.manifest.borrow().sections_of(partitions);
            manifest::Edit::Compact {
                added: None,
                packed: false,
                removed: removed.clone(),
                tombstones: self.manifest.borrow().tombstones.clone(),
            }
        })
        .await?;
        self.retire_sections(&removed);
        Ok(())
    }
}

impl<E: Env> Shard<E> {
    /// The catalog dropped partitions: their rows are gone at once and their files are unlinked
    /// after the last reader. Durable when it comes back; where the disk has no room to say so,
    /// compaction tries it again.
    pub async fn drop_partitions(&self, partitions: &[PartitionId]) -> Result<(), String> {
        self.refuse_partitions(partitions);
        self.inner.drop_sections(partitions).await.map_err(|trouble| trouble.to_string())
    }

    /// From now on writes to these partitions are stale.
    pub fn refuse_partitions(&self, partitions: &[PartitionId]) {
        self.inner.dropped_partitions.borrow_mut().extend(partitions);
    }

    /// The catalog dropped a measurement: its series are dead at once.
    pub fn drop_measurement(&self, measurement: MeasurementId) {
        self.inner.dropped_measurements.borrow_mut().insert(measurement);
        self.inner.index.borrow_mut().drop_measurement(measurement);
    }

    /// The catalog dropped a database: its series are dead at once.
    pub fn drop_database(&self, db: DbId) {
        self.inner.index.borrow_mut().drop_database(db);
    }
}
