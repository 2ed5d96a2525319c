//! Questions to the index, and whether series have rows at all.
//!
//! In: a `Lookup`, or a set of series. Out: names and keys by measurement, sorted; the series
//! without a row. Whether a series has a row is decided on runs and times alone, newest first, so
//! that a series is out of the question as soon as one row of it was met; expired rows are none.

use super::guard::Guard;
use super::known::ReadAll;
use super::names;
use super::partial::{Found, ScanError, TagPair};
use super::plan::STEP_ENTRIES;
use super::read::{Partition, Stream, Wanted};
use super::request::{KeyFilter, Lookup, Want};
use crate::env::Env;
use crate::model::{ColumnId, MeasurementId, PartitionId, SeriesId, TimeRange};
use crate::shard::Shard;
use crate::shard::index::{Index, SelectTask, TagFilter, TagValuesTask};
use roaring::RoaringBitmap;
use std::collections::BTreeSet;
use std::task::Poll;

type Name = Box<[u8]>;

/// Answers a question to the index; `is_cancelled` says whether the asker is gone.
pub async fn lookup<E: Env>(
    shard: &Shard<E>,
    lookup: &Lookup,
    is_cancelled: impl Fn() -> bool,
) -> Found {
    let guard = Guard::new(shard.env(), 0, is_cancelled);
    match answer(shard, lookup, &guard).await {
        Ok(found) => found,
        Err(error) => Found::Failed(error),
    }
}

async fn answer<E: Env, C: Fn() -> bool>(
    shard: &Shard<E>,
    lookup: &Lookup,
    guard: &Guard<'_, E, C>,
) -> Result<Found, ScanError> {
    match lookup.want {
        Want::AllTagNames => return Ok(Found::Names(names::tag_names(shard, lookup.db).await)),
        Want::AllTagValues => return Ok(Found::Names(names::tag_values(shard, lookup.db).await)),
        _ => {}
    }
    let mut measurements = lookup.measurements.clone();
    if measurements.is_empty() {
        measurements = shard.index().measurements(lookup.db);
    }
    measurements.sort_unstable();
    measurements.dedup();
    if matches!((&lookup.want, &lookup.series), (Want::Measurements, TagFilter::All))
        && lookup.within.is_none()
    {
        let index = shard.index();
        measurements.retain(|id| index.live_series_of(*id) > 0);
        return Ok(Found::Measurements(measurements));
    }
    let mut found = match lookup.want {
        Want::Measurements => Found::Measurements(Vec::new()),
        Want::Keys => Found::Keys(Vec::new()),
        Want::TagKeys => Found::TagKeys(Vec::new()),
        Want::TagValues(_) => Found::TagValues(Vec::new()),
        _ => Found::Count(Vec::new()),
    };
    for id in measurements {
        let mut series = select(shard, id, lookup).await;
        if let Some((partitions, range)) = &lookup.within
            && !series.is_empty()
        {
            let without = rowless((shard, guard), id, series.clone(), partitions, *range).await?;
            series -= without;
        }
        if series.is_empty() {
            continue;
        }
        match (&mut found, &lookup.want) {
            (Found::Measurements(all), _) => all.push(id),
            (Found::Count(all), _) => all.push((id, series.len())),
            (Found::Keys(all), _) => all.push((id, keys(shard, &series).await)),
            (Found::TagKeys(all), _) => all.push((id, tag_keys(shard, id, &series).await)),
            (Found::TagValues(all), Want::TagValues(filter)) => {
                all.push((id, tag_values(shard, id, &series, filter).await));
            }
            _ => {}
        }
        guard.rest().await;
        guard.check().await?;
    }
    Ok(found)
}

async fn select<E: Env>(shard: &Shard<E>, id: MeasurementId, lookup: &Lookup) -> RoaringBitmap {
    let mut task = SelectTask::new(&shard.index(), id, &lookup.series);
    loop {
        let step = task.step(&shard.index(), STEP_ENTRIES);
        if let Poll::Ready(series) = step {
            return series;
        }
        shard.env().yield_now().await;
    }
}

/// Slices of a set.
fn slices(series: &RoaringBitmap) -> impl Iterator<Item = Vec<u32>> {
    let mut ids = series.iter();
    std::iter::from_fn(move || {
        let slice: Vec<u32> = ids.by_ref().take(STEP_ENTRIES).collect();
        (!slice.is_empty()).then_some(slice)
    })
}

fn keys_of(index: &Index, ids: &[u32]) -> impl Iterator<Item = Name> {
    ids.iter().filter_map(|id| {
        let mut key = Vec::new();
        index.write_key(SeriesId(*id), &mut key).then(|| key.into())
    })
}

async fn keys<E: Env>(shard: &Shard<E>, series: &RoaringBitmap) -> Vec<Name> {
    let mut keys: Vec<Name> = Vec::with_capacity(series.len() as usize);
    for slice in slices(series) {
        keys.extend(keys_of(&shard.index(), &slice));
        shard.env().yield_now().await;
    }
    keys.sort_unstable();
    keys
}

async fn tag_keys<E: Env>(
    shard: &Shard<E>,
    id: MeasurementId,
    series: &RoaringBitmap,
) -> Vec<Name> {
    let owned = |keys: Vec<&[u8]>| keys.into_iter().map(Box::from).collect::<Vec<Name>>();
    if shard.index().live_series_of(id) == series.len() {
        return owned(shard.index().tag_keys(id, None));
    }
    let mut keys: BTreeSet<Name> = BTreeSet::new();
    for slice in slices(series) {
        let slice: RoaringBitmap = slice.into_iter().collect();
        keys.extend(owned(shard.index().tag_keys(id, Some(&slice))));
        shard.env().yield_now().await;
    }
    keys.into_iter().collect()
}

impl KeyFilter {
    /// Whether a tag key is asked for.
    pub fn passes(&self, key: &[u8]) -> bool {
        match self {
            KeyFilter::In(keys) => keys.iter().any(|one| **one == *key),
            KeyFilter::NotEquals(other) => **other != *key,
            KeyFilter::Matches(regex) => regex.is_match(key),
            KeyFilter::NotMatches(regex) => !regex.is_match(key),
        }
    }
}

async fn tag_values<E: Env>(
    shard: &Shard<E>,
    id: MeasurementId,
    series: &RoaringBitmap,
    filter: &KeyFilter,
) -> Vec<TagPair> {
    let mut pairs = Vec::new();
    let within = (shard.index().live_series_of(id) != series.len()).then_some(series);
    let keys = tag_keys(shard, id, series).await;
    for key in keys.into_iter().filter(|key| filter.passes(key)) {
        let mut task = TagValuesTask::new(&shard.index(), id, &key, within);
        loop {
            let step = task.step(&shard.index(), STEP_ENTRIES);
            if let Poll::Ready(values) = step {
                let index = shard.index();
                let named = values.iter().map(|value| (key.clone(), index.symbol(*value).into()));
                pairs.extend(named);
                break;
            }
            shard.env().yield_now().await;
        }
    }
    pairs
}

/// Of these series, those without any row left in any partition. A series whose rows cannot be read
/// counts as having some.
pub async fn without_rows<E: Env>(shard: &Shard<E>, series: RoaringBitmap) -> RoaringBitmap {
    let guard = Guard::new(shard.env(), 0, || false);
    let partitions = shard.partitions();
    let mut left = RoaringBitmap::new();
    let mut owners: Vec<(MeasurementId, RoaringBitmap)> = Vec::new();
    {
        let index = shard.index();
        for id in &series {
            let Some(owner) = index.measurement(SeriesId(id)) else { continue };
            match owners.iter_mut().find(|(known, _)| *known == owner) {
                Some((_, set)) => {
                    set.insert(id);
                }
                None => owners.push((owner, RoaringBitmap::from_iter([id]))),
            }
        }
    }
    for (owner, set) in owners {
        if let Ok(rowless) = rowless((shard, &guard), owner, set, &partitions, TimeRange::ALL).await
        {
            left |= rowless;
        }
    }
    left
}

/// Those of a measurement's series that have no row in some partitions and times.
async fn rowless<E: Env, C: Fn() -> bool>(
    (shard, guard): (&Shard<E>, &Guard<'_, E, C>),
    measurement: MeasurementId,
    mut series: RoaringBitmap,
    partitions: &[PartitionId],
    range: TimeRange,
) -> Result<RoaringBitmap, ScanError> {
    let now_ns = shard.env().now_wall();
    for id in partitions.iter().rev() {
        let partition = Partition { id: *id, sources: shard.sources(*id) };
        for stretch in partition.stretches(0, range).iter().rev() {
            if series.is_empty() {
                return Ok(series);
            }
            let wanted = Wanted {
                measurement,
                series: Some(series.iter().map(SeriesId).collect()),
                columns: [ColumnId::EXPIRE].into(),
                now_ns,
            };
            let range = stretch.range;
            let mut stream = Stream::open(guard, &partition, stretch, range, &wanted).await?;
            while let Some(block) = stream.next(guard, &mut ReadAll).await? {
                for run in &block.runs {
                    series.remove(run.series.0);
                }
                guard.rest().await;
            }
        }
    }
    Ok(series)
}
