//! Names of a whole database for KairosDB's lists: every tag name, every tag value.
//!
//! In: a database. Out: texts in order, each once. Works in slices of the index.

use super::plan::STEP_ENTRIES;
use crate::env::Env;
use crate::model::{DbId, Strings};
use crate::shard::Shard;
use crate::shard::index::AllValuesTask;
use std::collections::BTreeSet;
use std::task::Poll;

/// Every tag name that a live series has.
pub async fn tag_names<E: Env>(shard: &Shard<E>, db: DbId) -> Strings {
    let measurements = shard.index().measurements(db);
    let mut names: BTreeSet<Box<[u8]>> = BTreeSet::new();
    for slice in measurements.chunks(STEP_ENTRIES / 4) {
        for id in slice {
            for name in shard.index().tag_keys(*id, None) {
                if !names.contains(name) {
                    names.insert(name.into());
                }
            }
        }
        shard.env().yield_now().await;
    }
    let mut out = Strings::default();
    names.iter().for_each(|name| out.push(name));
    out
}

/// Every tag value that a live series has.
pub async fn tag_values<E: Env>(shard: &Shard<E>, db: DbId) -> Strings {
    let mut task = AllValuesTask::new(shard.index().measurements(db));
    loop {
        let step = task.step(&shard.index(), STEP_ENTRIES);
        if let Poll::Ready(values) = step {
            return values;
        }
        shard.env().yield_now().await;
    }
}
