//! The index against the obvious model: a vector of keys with their tags, looked through each time.

use super::*;
use proptest::prelude::*;
use regex::bytes::Regex;
use std::collections::BTreeMap;
use std::task::Poll;

type Tags = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
struct Known {
    db: u32,
    measurement: u32,
    tags: Tags,
    live: bool,
}

/// Measurement n of database n % 2 is called after n / 2 / 3, so ids 6 apart share a name.
fn name_of(measurement: u32) -> Vec<u8> {
    format!("m{}", measurement / 2 % 3).into_bytes()
}

fn key_of(measurement: u32, tags: &Tags) -> Vec<u8> {
    let tags: Vec<(&[u8], &[u8])> =
        tags.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
    SeriesKey::build(&name_of(measurement), &tags).unwrap().as_bytes().to_vec()
}

#[derive(Clone, Debug)]
enum Op {
    Intern(u32, Tags),
    Retire(Vec<u32>),
    DropMeasurement(u32),
    /// Saves a delta.
    Delta,
    /// Replaces the deltas so far by a base.
    Base,
    /// A delta that fails to become durable.
    LostDelta,
    /// Starts again from the files and the log behind the last delta.
    Reload,
}

fn tags() -> impl Strategy<Value = Tags> {
    let key = prop::sample::select(vec![b"a".to_vec(), b"b".to_vec(), b"host".to_vec()]);
    let value = (0u32..5).prop_map(|n| if n == 4 { Vec::new() } else { format!("v{n}").into() });
    prop::collection::btree_map(key, value, 0..4)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        30 => (0u32..6, tags()).prop_map(|(m, tags)| Op::Intern(m, tags)),
        3 => prop::collection::vec(0u32..60, 0..6).prop_map(Op::Retire),
        1 => (0u32..6).prop_map(Op::DropMeasurement),
        3 => Just(Op::Delta),
        1 => Just(Op::Base),
        1 => Just(Op::LostDelta),
        2 => Just(Op::Reload),
    ]
}

/// What the shard would have logged since the last delta.
#[derive(Clone)]
enum Record {
    Define(u32),
    Retire(RoaringBitmap),
}

#[derive(Default)]
struct World {
    index: Index,
    model: Vec<Known>,
    /// The present id of measurements 0 to 5: dropped and made again, they get another one.
    ids: BTreeMap<u32, u32>,
    files: Vec<Vec<u8>>,
    log: Vec<Record>,
}

impl World {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Intern(m, tags) => self.intern(m, tags),
            Op::Retire(ids) => {
                let known = self.model.len() as u32;
                let ids: RoaringBitmap = ids.into_iter().filter(|id| *id < known).collect();
                self.index.retire(&ids);
                for id in &ids {
                    self.model.get_mut(id as usize).into_iter().for_each(|s| s.live = false);
                }
                self.log.push(Record::Retire(ids));
            }
            Op::DropMeasurement(m) => {
                let id = self.ids.get(&m).copied().unwrap_or(m);
                self.index.drop_measurement(MeasurementId(id));
                let all = self.model.iter_mut().filter(|s| s.measurement == id);
                all.for_each(|s| s.live = false);
                self.ids.insert(m, id + 6);
            }
            Op::Delta => {
                if let Some(delta) = self.index.take_delta() {
                    self.files.push(delta.bytes);
                }
                self.log.clear();
            }
            Op::Base => self.files = vec![self.index.base().bytes],
            Op::LostDelta => {
                if let Some(delta) = self.index.take_delta() {
                    self.index.put_back(delta.mark);
                }
            }
            Op::Reload => self.reload(),
        }
    }

    fn intern(&mut self, m: u32, tags: Tags) {
        let id = *self.ids.get(&m).unwrap_or(&m);
        let key = key_of(id, &tags);
        let db = id % 2;
        let present =
            self.model.iter().position(|s| s.live && s.measurement == id && s.tags == tags);
        let expected = present.map_or((self.model.len(), true), |at| (at, false));
        let got = self.index.intern(DbId(db), MeasurementId(id), &key).unwrap();
        assert_eq!(got, (SeriesId(expected.0 as u32), expected.1));
        if expected.1 {
            self.model.push(Known { db, measurement: id, tags, live: true });
            self.log.push(Record::Define(expected.0 as u32));
        }
    }

    fn reload(&mut self) {
        let mut index = Index::new();
        for file in &self.files {
            index.load(file).unwrap();
        }
        for record in self.log.clone() {
            match record {
                Record::Define(id) => {
                    let s = &self.model[id as usize];
                    let key = key_of(s.measurement, &s.tags);
                    let (db, m) = (DbId(s.db), MeasurementId(s.measurement));
                    index.define(SeriesId(id), db, m, &key).unwrap();
                }
                Record::Retire(ids) => index.retire(&ids),
            }
        }
        let known: Vec<_> = index.known_measurements().collect();
        for (_, m) in known {
            if *self.ids.get(&(m.0 % 6)).unwrap_or(&(m.0 % 6)) != m.0 {
                index.drop_measurement(m);
            }
        }
        assert_eq!(index.next_id().index(), self.model.len());
        self.index = index;
    }

    fn live(&self, measurement: u32) -> impl Iterator<Item = (u32, &Known)> {
        let all = (0u32..).zip(&self.model);
        all.filter(move |(_, s)| s.live && s.measurement == measurement)
    }

    fn check(&self) {
        for (id, s) in (0u32..).zip(&self.model) {
            assert_eq!(self.index.is_live(SeriesId(id)), s.live, "{id}");
            if !s.live {
                continue;
            }
            let key = key_of(s.measurement, &s.tags);
            assert_eq!(self.index.key(SeriesId(id)).unwrap().as_bytes(), key);
            assert_eq!(self.index.lookup(DbId(s.db), &key), Some(SeriesId(id)));
            let no = self.index.tag_key(MeasurementId(s.measurement), b"host");
            let host = no.and_then(|no| self.index.tag(SeriesId(id), no));
            assert_eq!(host, s.tags.get(b"host".as_slice()).map(Vec::as_slice));
        }
        for m in 0..6 {
            let id = *self.ids.get(&m).unwrap_or(&m);
            assert_eq!(self.index.live_series_of(MeasurementId(id)), self.live(id).count() as u64);
            self.check_names(id);
            self.check_groups(id);
        }
        for db in 0..2 {
            let live = self.model.iter().filter(|s| s.live && s.db == db).count();
            assert_eq!(self.index.live_series(DbId(db)), live as u64);
        }
    }

    fn check_names(&self, m: u32) {
        let odd: RoaringBitmap = (0..200).filter(|id| id % 2 == 1).collect();
        for within in [None, Some(&odd)] {
            let mut names: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
            for (_, s) in self.live(m).filter(|(id, _)| within.is_none_or(|w| w.contains(*id))) {
                for (key, value) in s.tags.iter().filter(|(_, value)| !value.is_empty()) {
                    names.entry(key).or_default().push(value);
                }
            }
            let keys: Vec<&[u8]> = names.keys().copied().collect();
            assert_eq!(self.index.tag_keys(MeasurementId(m), within), keys);
            for key in [b"a".as_slice(), b"host", b"nope"] {
                let mut values = names.remove(key).unwrap_or_default();
                values.sort_unstable();
                values.dedup();
                let got = self.index.tag_values(MeasurementId(m), key, within);
                assert_eq!(got, values);
            }
        }
    }

    fn check_groups(&self, m: u32) {
        let keys: [&[u8]; 3] = [b"host", b"nope", b"a"];
        let ids: Vec<SeriesId> = self.live(m).map(|(id, _)| SeriesId(id)).collect();
        let values_of = |s: &Known| -> Vec<Box<[u8]>> {
            keys.iter().map(|k| s.tags.get(*k).cloned().unwrap_or_default().into()).collect()
        };
        let mut groups: Vec<_> = self.live(m).map(|(_, s)| values_of(s)).collect();
        let all = groups.clone();
        groups.sort_unstable();
        groups.dedup();
        let of = all.iter().map(|v| groups.binary_search(v).unwrap() as u32).collect();
        let expected = Grouping { groups, of };
        assert_eq!(self.index.group(&ids, &keys), expected);
        let mut task = GroupTask::new(&keys);
        let stepped = loop {
            if let Poll::Ready(grouping) = task.step(&self.index, &ids, 2) {
                break grouping;
            }
        };
        assert_eq!(stepped, expected);
    }
}

fn passes(filter: &TagFilter, tags: &Tags) -> bool {
    let value = |key: &[u8]| tags.get(key).cloned().unwrap_or_default();
    match filter {
        TagFilter::All => true,
        TagFilter::None => false,
        TagFilter::Equals { key, value: v } => value(key) == **v,
        TagFilter::NotEquals { key, value: v } => value(key) != **v,
        TagFilter::Matches { key, regex } => regex.is_match(&value(key)),
        TagFilter::NotMatches { key, regex } => !regex.is_match(&value(key)),
        TagFilter::And(all) => all.iter().all(|filter| passes(filter, tags)),
        TagFilter::Or(all) => all.iter().any(|filter| passes(filter, tags)),
        TagFilter::Not(filter) => !passes(filter, tags),
    }
}

fn filter() -> impl Strategy<Value = TagFilter> {
    let key = || prop::sample::select(vec!["a", "b", "host", "nope"]).prop_map(boxed);
    let value = || prop::sample::select(vec!["", "v0", "v1", "v3", "v9"]).prop_map(boxed);
    let regex = || {
        let all = vec!["", "^$", "v[01]", "^v.$", "x"];
        prop::sample::select(all).prop_map(|text| Regex::new(text).unwrap())
    };
    let leaf = prop_oneof![
        Just(TagFilter::All),
        Just(TagFilter::None),
        (key(), value()).prop_map(|(key, value)| TagFilter::Equals { key, value }),
        (key(), value()).prop_map(|(key, value)| TagFilter::NotEquals { key, value }),
        (key(), regex()).prop_map(|(key, regex)| TagFilter::Matches { key, regex }),
        (key(), regex()).prop_map(|(key, regex)| TagFilter::NotMatches { key, regex }),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(TagFilter::And),
            prop::collection::vec(inner.clone(), 0..3).prop_map(TagFilter::Or),
            inner.prop_map(|filter| TagFilter::Not(Box::new(filter))),
        ]
    })
}

fn boxed(text: &str) -> Box<[u8]> {
    text.as_bytes().into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_index_answers_as_the_model_does(
        ops in prop::collection::vec(op(), 0..120),
        filters in prop::collection::vec(filter(), 8),
    ) {
        let mut world = World::default();
        for op in ops {
            world.apply(op);
        }
        for reload in [false, true] {
            if reload {
                world.reload();
            }
            world.check();
            for (m, filter) in (0..6).cycle().zip(&filters) {
                let id = *world.ids.get(&m).unwrap_or(&m);
                let live = world.live(id).filter(|(_, s)| passes(filter, &s.tags));
                let expected: RoaringBitmap = live.map(|(id, _)| id).collect();
                let got = world.index.select(MeasurementId(id), filter);
                prop_assert_eq!(&got, &expected, "{:?}", filter);
                let mut task = SelectTask::new(&world.index, MeasurementId(id), filter);
                let stepped = loop {
                    if let Poll::Ready(set) = task.step(&world.index, 1) {
                        break set;
                    }
                };
                prop_assert_eq!(stepped, expected);
            }
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Index::new().load(&bytes).is_err());
        let _ = Index::new().intern(DbId(1), MeasurementId(1), &bytes);
    }

    #[test]
    fn nonsense_in_a_block_with_a_good_checksum_never_panics(
        payload in prop::collection::vec(prop_oneof![3 => 0u8..4, 1 => any::<u8>()], 0..120),
        kind in 2u8..5,
    ) {
        let mut bytes = Vec::new();
        let head = [&delta::MAGIC[..], &[1, 0, 0x7F]].concat();
        for (place, (kind, payload)) in [(1, head), (kind, payload)].into_iter().enumerate() {
            bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&[kind, 0, 0, 0]);
            let sum = delta::checksum(place as u64, kind, &payload);
            bytes.extend_from_slice(&sum.to_le_bytes());
            bytes.extend_from_slice(&payload);
        }
        let mut index = Index::new();
        let _ = index.load(&bytes);
        index.retire(&(0..200).collect());
        let _ = index.base();
    }
}

/// An index of `count` series of one measurement, each with its own host.
fn hosts(count: u32) -> Index {
    let mut index = Index::new();
    for n in 0..count {
        let tags = BTreeMap::from([
            (b"arch".to_vec(), format!("x{}", n % 3).into_bytes()),
            (b"host".to_vec(), format!("host_{n}").into_bytes()),
        ]);
        index.intern(DbId(1), MeasurementId(0), &key_of(0, &tags)).unwrap();
    }
    index
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let mut index = hosts(20);
    index.take_delta().unwrap();
    index.retire(&[3, 7].into_iter().collect());
    let tags = BTreeMap::from([(b"host".to_vec(), b"late".to_vec())]);
    index.intern(DbId(1), MeasurementId(0), &key_of(0, &tags)).unwrap();
    let bytes = index.take_delta().unwrap().bytes;
    assert!(Index::new().load(&bytes).is_ok());
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(Index::new().load(&bad).is_err(), "bit {bit}");
    }
    for cut in 0..bytes.len() {
        assert!(Index::new().load(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let twice = [bytes.as_slice(), &bytes].concat();
    assert!(Index::new().load(&twice).is_err());
}

#[test]
fn a_large_base_is_cut_into_blocks_and_loads_in_steps() {
    let mut index = hosts(40_000);
    index.retire(&(0..10_000).collect());
    let mut task = index.begin_base();
    let (mut bytes, mut steps) = (Vec::new(), 0);
    while task.step(&index, 4_096, &mut bytes).is_pending() {
        steps += 1;
    }
    assert!(steps >= 9);
    let (mut loader, mut again) = (Loader::default(), Index::new());
    let mut rest = bytes.as_slice();
    let mut blocks = 0;
    while let Some(len) = loader.feed(&mut again, rest).unwrap() {
        assert!(len <= delta::BLOCK_BYTES_MAX + delta::HEADER_BYTES);
        rest = &rest[len..];
        blocks += 1;
    }
    loader.finish(&mut again).unwrap();
    assert!(blocks >= 4 && !again.has_changes());
    assert_eq!(again.series_of(MeasurementId(0)), index.series_of(MeasurementId(0)));
    assert_eq!(again.next_id(), SeriesId(40_000));
    assert!(again.base().bytes == bytes);
    let values = again.tag_values(MeasurementId(0), b"host", None);
    assert!(values.len() == 30_000 && values.is_sorted());
}

#[test]
fn a_select_under_way_sees_the_series_of_its_beginning() {
    let mut index = hosts(5_000);
    let (key, regex) = (boxed("host"), Regex::new("_1$").unwrap());
    let filter = TagFilter::NotMatches { key, regex };
    let expected = index.select(MeasurementId(0), &filter);
    let mut task = SelectTask::new(&index, MeasurementId(0), &filter);
    assert!(task.step(&index, 1_000).is_pending());
    let tags = BTreeMap::from([(b"host".to_vec(), b"x_1".to_vec())]);
    index.intern(DbId(1), MeasurementId(0), &key_of(0, &tags)).unwrap();
    let set = loop {
        if let Poll::Ready(set) = task.step(&index, 1_000) {
            break set;
        }
    };
    assert_eq!(set, expected);
    assert_eq!(set.len(), 4_999);
}

#[test]
fn a_dropped_database_takes_no_more_series() {
    let mut index = hosts(10);
    index.drop_database(DbId(1));
    assert_eq!((index.live_series(DbId(1)), index.is_live(SeriesId(3))), (0, false));
    assert!(index.measurements(DbId(1)).is_empty());
    let key = key_of(0, &Tags::new());
    let again = index.intern(DbId(1), MeasurementId(0), &key);
    assert_eq!(again, Err(IndexError::Dropped));
    assert_eq!(index.intern(DbId(1), MeasurementId(6), &key), Err(IndexError::Dropped));
    assert_eq!(index.define(SeriesId(12), DbId(1), MeasurementId(6), &key), Ok(()));
    assert_eq!((index.next_id(), index.is_live(SeriesId(12))), (SeriesId(13), false));
    assert_eq!(index.intern(DbId(2), MeasurementId(12), &key), Ok((SeriesId(13), true)));
}

#[test]
fn contradictions_and_malformed_keys_are_refused() {
    let mut index = hosts(3);
    let key = key_of(0, &Tags::new());
    let other = index.intern(DbId(2), MeasurementId(0), &key);
    assert_eq!(other, Err(IndexError::Conflict));
    let redefined = index.define(SeriesId(1), DbId(1), MeasurementId(0), &key);
    assert_eq!(redefined, Err(IndexError::Conflict));
    let unsorted = SeriesKey::build(b"m0", &[(b"b", b"1"), (b"a", b"1")]).unwrap();
    for bad in [unsorted.as_bytes(), &key[1..], b""] {
        let refused = index.intern(DbId(1), MeasurementId(0), bad);
        assert_eq!(refused, Err(IndexError::Malformed));
    }
    assert_eq!(index.live_series(DbId(1)), 3);
}

/// The log of a shard overlaps its files: a base may hold series defined after the last delta. A
/// key that was dropped and defined again in that stretch was then replayed under its older id,
/// which took the newer one's place in the table, so the live series could not be found any more.
#[test]
fn r1_replay_of_an_older_definition_hid_the_newer_one() {
    let key = key_of(0, &Tags::new());
    let mut index = Index::new();
    index.intern(DbId(1), MeasurementId(0), &key).unwrap();
    index.drop_measurement(MeasurementId(0));
    let live = index.intern(DbId(1), MeasurementId(6), &key).unwrap().0;
    let mut again = Index::new();
    again.load(&index.base().bytes).unwrap();
    again.define(SeriesId(0), DbId(1), MeasurementId(0), &key).unwrap();
    again.drop_measurement(MeasurementId(0));
    assert_eq!(again.lookup(DbId(1), &key), Some(live));
}
