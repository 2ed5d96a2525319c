//! The figures of InfluxDB's shards, under its names, for those who scrape them: `shard`,
//! `tsm1_engine`, `tsm1_cache`, `tsm1_filestore` and `tsm1_wal`.
//!
//! In: what every shard has of each partition. Out: five modules for each partition that the
//! catalog knows. An InfluxDB shard is a partition here, which lies on all shards. Its path is a
//! name in InfluxDB's form, not a folder. The log belongs to shards and not to partitions,
//! compaction to days: such figures are 0 here, and told by `ringtail_shard`.

use super::stats::{Module, ShardFigures, fields};
use crate::model::{PartitionId, TimeRange};
use crate::query::facts::Facts;
use crate::route::{Cluster, CoreId};
use crate::shard::PartitionFigures;
use std::collections::BTreeMap;

/// Adds the modules, by database, policy and time.
pub(super) fn modules(
    cluster: &Cluster,
    facts: &Facts,
    report: &[(CoreId, ShardFigures)],
    all: &mut Vec<Module>,
) {
    let (mut sums, mut memory) = (BTreeMap::<PartitionId, PartitionFigures>::new(), [0u64; 2]);
    for (_, _, gauges) in report.iter().flat_map(|(_, shards)| shards) {
        for (id, one) in &gauges.partitions {
            add(sums.entry(*id).or_default(), one);
        }
        memory = [memory[0] + gauges.head_bytes, memory[1] + gauges.head_rows];
    }
    let row_bytes = memory[0] / memory[1].max(1);
    let data = facts.config.data_dir.display().to_string();
    let catalog = cluster.catalog();
    for db in catalog.databases() {
        for policy in db.policies.iter().filter_map(|id| catalog.policy_by_id(*id)) {
            for partition in catalog.partitions_in(policy.id, TimeRange::ALL) {
                let figures = sums.get(&partition.id).copied().unwrap_or_default();
                let place = Place { data: &data, db: &db.name, rp: &policy.spec.name };
                place.modules(partition.id, &figures, row_bytes, all);
            }
        }
    }
}

fn add(sum: &mut PartitionFigures, one: &PartitionFigures) {
    sum.batches += one.batches;
    sum.points += one.points;
    sum.values += one.values;
    sum.head_rows += one.head_rows;
    sum.files += one.files;
    sum.bytes += one.bytes;
}

/// Where a partition belongs.
struct Place<'a> {
    data: &'a str,
    db: &'a str,
    rp: &'a str,
}

impl Place<'_> {
    fn modules(
        &self,
        id: PartitionId,
        figures: &PartitionFigures,
        row_bytes: u64,
        all: &mut Vec<Module>,
    ) {
        let Place { data, db, rp } = self;
        let id = id.0.to_string();
        let path = |kind: &str| format!("{data}/{kind}/{db}/{rp}/{id}");
        let tags = vec![
            ("database", (*db).to_owned()),
            ("engine", "tsm1".to_owned()),
            ("id", id.clone()),
            ("indexType", "tsi1".to_owned()),
            ("path", path("data")),
            ("retentionPolicy", (*rp).to_owned()),
            ("walPath", path("wal")),
        ];
        let PartitionFigures { batches, points, values, head_rows, files, bytes } = *figures;
        let held = head_rows * row_bytes;
        let modules = [
            (
                "shard",
                fields([
                    ("diskBytes", bytes),
                    ("fieldsCreate", 0),
                    ("seriesCreate", 0),
                    ("writeBytes", 0),
                    ("writePointsDropped", 0),
                    ("writePointsErr", 0),
                    ("writePointsOk", points),
                    ("writeReq", batches),
                    ("writeReqErr", 0),
                    ("writeReqOk", batches),
                    ("writeValuesOk", values),
                ]),
            ),
            ("tsm1_engine", engine()),
            (
                "tsm1_cache",
                fields([
                    ("WALCompactionTimeMs", 0),
                    ("cacheAgeMs", 0),
                    ("cachedBytes", held),
                    ("diskBytes", 0),
                    ("memBytes", held),
                    ("snapshotCount", 0),
                    ("writeDropped", 0),
                    ("writeErr", 0),
                    ("writeOk", batches),
                ]),
            ),
            ("tsm1_filestore", fields([("diskBytes", bytes), ("numFiles", files)])),
            (
                "tsm1_wal",
                fields([
                    ("currentSegmentDiskBytes", 0),
                    ("oldSegmentsDiskBytes", 0),
                    ("writeErr", 0),
                    ("writeOk", batches),
                ]),
            ),
        ];
        for (name, fields) in modules {
            let key = format!("{name}:{}:{id}", path("data"));
            all.push(Module { name, key, tags: tags.clone(), fields });
        }
    }
}

fn engine() -> super::stats::Fields {
    let kinds = ["tsmFull", "tsmLevel1", "tsmLevel2", "tsmLevel3", "tsmOptimize"];
    let whats = [
        "CompactionDuration",
        "CompactionErr",
        "CompactionQueue",
        "Compactions",
        "CompactionsActive",
    ];
    let of = |kind: &str| whats.map(|what| (format!("{kind}{what}"), 0));
    let cache = ["cacheCompactionDuration", "cacheCompactionErr", "cacheCompactions"];
    let cache = cache.into_iter().chain(["cacheCompactionsActive"]);
    cache.map(|name| (name.to_owned(), 0)).chain(kinds.into_iter().flat_map(of)).collect()
}
