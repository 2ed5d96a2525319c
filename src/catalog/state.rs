//! The read copy of the catalog that every core holds: look-ups by name and by id.
//!
//! In: records, in the order in which the owner decided them. Out: ids and specifications. Reads
//! are hash look-ups without allocation; there is no lock because each core has its own copy.

use super::metadata::Metadata;
use super::record::{PolicySpec, Record};
use super::standing::{Standing, Subscription};
use super::users::Users;
use crate::model::{
    DbId, FieldNo, FieldType, FixedMap, MeasurementId, PartitionId, PolicyId, TimeRange, TypeSet,
};
use std::collections::BTreeMap;
use std::ops::Bound;

/// A database.
#[derive(Clone, Debug)]
pub struct Database {
    pub id: DbId,
    pub name: String,
    /// The policy used when none is named; `None` after the default one was dropped.
    pub default_policy: Option<PolicyId>,
    /// Name of the default policy, kept when it is dropped (errors name it).
    pub default_name: String,
    /// In order of creation.
    pub policies: Vec<PolicyId>,
    /// By name, so that listings need no sorting.
    measurements: BTreeMap<Box<[u8]>, MeasurementId>,
}

/// A retention policy.
#[derive(Clone, Debug)]
pub struct Policy {
    pub id: PolicyId,
    pub db: DbId,
    pub spec: PolicySpec,
    /// Partitions by the first instant of their range.
    partitions: BTreeMap<i64, PartitionId>,
}

/// A time range of one policy.
#[derive(Clone, Copy, Debug)]
pub struct Partition {
    pub id: PartitionId,
    pub db: DbId,
    pub policy: PolicyId,
    pub range: TimeRange,
}

/// A field of one policy and measurement.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub field: FieldNo,
    pub types: TypeSet,
}

#[derive(Clone, Debug)]
struct Measurement {
    db: DbId,
    name: Box<[u8]>,
}

/// The whole catalog at one version.
#[derive(Clone, Debug, Default)]
pub struct State {
    version: u64,
    narrowed: u64,
    next: NextIds,
    database_ids: FixedMap<String, DbId>,
    /// By id, so in order of creation.
    databases: BTreeMap<DbId, Database>,
    policies: FixedMap<PolicyId, Policy>,
    partitions: FixedMap<PartitionId, Partition>,
    measurements: FixedMap<MeasurementId, Measurement>,
    field_numbers: FixedMap<Box<[u8]>, FieldNo>,
    /// By number; entry 0 is the hidden expiry column, which no client can name.
    field_names: Vec<Box<[u8]>>,
    fields: FixedMap<(PolicyId, MeasurementId), Vec<Field>>,
    users: Users,
    standing: Standing,
    metadata: Metadata,
}

/// The ids that the next new things get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct NextIds {
    pub db: DbId,
    pub policy: PolicyId,
    pub measurement: MeasurementId,
    pub field: FieldNo,
    pub partition: PartitionId,
}

impl Default for NextIds {
    fn default() -> NextIds {
        NextIds {
            db: DbId(1),
            policy: PolicyId(1),
            measurement: MeasurementId(1),
            field: FieldNo(1),
            partition: PartitionId(1),
        }
    }
}

impl State {
    /// Number of records applied so far.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Number of records applied so far that dropped something or changed a policy. As long as it
    /// stays, every type that a field was seen to have is still there, and names mean the same.
    pub fn narrowed(&self) -> u64 {
        self.narrowed
    }

    /// The ids that the next new things get.
    pub fn next_ids(&self) -> NextIds {
        self.next
    }

    /// The users.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Continuous queries and subscriptions.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The texts of KairosDB's metadata service.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// A database by name.
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.databases.get(self.database_ids.get(name)?)
    }

    /// A database by id.
    pub fn database_by_id(&self, id: DbId) -> Option<&Database> {
        self.databases.get(&id)
    }

    /// All databases in order of creation.
    pub fn databases(&self) -> impl Iterator<Item = &Database> {
        self.databases.values()
    }

    /// A policy of a database by name.
    pub fn policy(&self, db: DbId, name: &str) -> Option<&Policy> {
        let database = self.databases.get(&db)?;
        database
            .policies
            .iter()
            .filter_map(|id| self.policies.get(id))
            .find(|p| p.spec.name == name)
    }

    /// A policy by id.
    pub fn policy_by_id(&self, id: PolicyId) -> Option<&Policy> {
        self.policies.get(&id)
    }

    /// A measurement of a database by name.
    pub fn measurement(&self, db: DbId, name: &[u8]) -> Option<MeasurementId> {
        self.databases.get(&db)?.measurements.get(name).copied()
    }

    /// A measurement's database and name; `None` once it was dropped.
    pub fn measurement_name(&self, id: MeasurementId) -> Option<(DbId, &[u8])> {
        self.measurements.get(&id).map(|m| (m.db, &*m.name))
    }

    /// Names and ids of a database's measurements, sorted by name.
    pub fn measurements(&self, db: DbId) -> Vec<(&[u8], MeasurementId)> {
        self.measurements_behind(db, None).collect()
    }

    /// Names and ids of a database's measurements, sorted by name, those behind a name.
    pub fn measurements_behind(
        &self,
        db: DbId,
        behind: Option<&[u8]>,
    ) -> impl Iterator<Item = (&[u8], MeasurementId)> {
        let bounds = (behind.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let database = self.databases.get(&db).into_iter();
        let all = database.flat_map(move |one| one.measurements.range::<[u8], _>(bounds));
        all.map(|(name, id)| (&**name, *id))
    }

    /// The number of a field name.
    pub fn field(&self, name: &[u8]) -> Option<FieldNo> {
        self.field_numbers.get(name).copied()
    }

    /// The name of a field number.
    pub fn field_name(&self, field: FieldNo) -> Option<&[u8]> {
        self.field_names.get(field.index()).map(|name| &**name)
    }

    /// The types a field has in one policy and measurement; empty when it was never written there.
    pub fn field_types(
        &self,
        policy: PolicyId,
        measurement: MeasurementId,
        field: FieldNo,
    ) -> TypeSet {
        self.fields(policy, measurement)
            .iter()
            .find(|known| known.field == field)
            .map_or(TypeSet::default(), |known| known.types)
    }

    /// The fields of one policy and measurement, in the order in which they were first written.
    pub fn fields(&self, policy: PolicyId, measurement: MeasurementId) -> &[Field] {
        self.fields.get(&(policy, measurement)).map_or(&[], |fields| fields.as_slice())
    }

    /// The partition of a policy that holds `time`.
    pub fn partition_at(&self, policy: PolicyId, time: i64) -> Option<&Partition> {
        let (_, id) = self.policies.get(&policy)?.partitions.range(..=time).next_back()?;
        self.partitions.get(id).filter(|partition| partition.range.contains(time))
    }

    /// A partition by id; `None` once it was dropped.
    pub fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.partitions.get(&id)
    }

    /// The partitions of a policy that meet a time range, oldest first.
    pub fn partitions_in(&self, policy: PolicyId, range: TimeRange) -> Vec<Partition> {
        let Some(policy) = self.policies.get(&policy) else { return Vec::new() };
        let all = policy.partitions.values().filter_map(|id| self.partitions.get(id));
        all.filter(|partition| partition.range.overlaps(range)).copied().collect()
    }

    /// The partitions whose every point is older than their policy keeps points.
    pub fn expired(&self, now: i64) -> Vec<PartitionId> {
        let old = |partition: &&Partition| {
            let policy = self.policies.get(&partition.policy);
            let kept = policy.map_or(0, |policy| policy.spec.duration_ns);
            kept > 0 && partition.range.last.saturating_add(1).saturating_add(kept) < now
        };
        let mut ids: Vec<PartitionId> =
            self.partitions.values().filter(old).map(|partition| partition.id).collect();
        ids.sort_unstable();
        ids
    }

    /// The bounds a new partition of `policy` around `time` gets: the policy's grid (counted from
    /// year 1, so weeks start on Monday), clipped to its neighbours. `None` for an unknown policy.
    pub fn partition_bounds(&self, policy: PolicyId, time: i64) -> Option<TimeRange> {
        let policy = self.policies.get(&policy)?;
        let step = i128::from(policy.spec.shard_duration_ns.max(1));
        let start = (i128::from(time) + YEAR_ONE_NS).div_euclid(step) * step - YEAR_ONE_NS;
        let first = start.max(i128::from(i64::MIN)) as i64;
        let last = (start + step - 1).min(i128::from(i64::MAX)) as i64;
        let mut range = TimeRange::new(first, last);
        let before = policy.partitions.range(..=time).next_back();
        if let Some(left) = before.and_then(|(_, id)| self.partitions.get(id)) {
            range.first = range.first.max(left.range.last.saturating_add(1));
        }
        if let Some((right, _)) = policy.partitions.range(time..).next() {
            range.last = range.last.min(right.saturating_sub(1));
        }
        Some(range)
    }

    /// Records that make this state anew from nothing (ids and orders kept).
    pub fn to_records(&self) -> Vec<Record> {
        let mut out = Vec::new();
        for (number, name) in self.field_names.iter().enumerate().skip(1) {
            out.push(Record::NameField { field: FieldNo(number as u32), name: name.clone() });
        }
        for database in self.databases.values() {
            self.database_records(database, &mut out);
        }
        self.users.records(&mut out);
        self.standing.records(&mut out);
        self.metadata.records(&mut out);
        out.push(Record::Reserve { next: self.next });
        out
    }

    fn database_records(&self, database: &Database, out: &mut Vec<Record>) {
        let db = database.id;
        out.push(Record::CreateDatabase { id: db, name: database.name.clone() });
        let mut measurements = self.measurements(db);
        measurements.sort_unstable_by_key(|(_, id)| *id);
        for (name, id) in &measurements {
            out.push(Record::CreateMeasurement { id: *id, db, name: (*name).into() });
        }
        for policy in database.policies.iter().filter_map(|id| self.policies.get(id)) {
            let default = database.default_policy == Some(policy.id);
            let spec = policy.spec.clone();
            out.push(Record::PutPolicy { db, policy: policy.id, spec, default });
            for partition in policy.partitions.values().filter_map(|id| self.partitions.get(id)) {
                let (id, range) = (partition.id, partition.range);
                out.push(Record::CreatePartition { id, policy: policy.id, range });
            }
            for (_, measurement) in &measurements {
                for known in self.fields(policy.id, *measurement) {
                    let (policy, measurement, field) = (policy.id, *measurement, known.field);
                    out.extend(known.types.iter().map(|kind| Record::AddFieldType {
                        policy,
                        measurement,
                        field,
                        kind,
                    }));
                }
            }
        }
        if database.default_policy.is_none() && !database.default_name.is_empty() {
            let name = database.default_name.clone();
            out.push(Record::NameLostDefault { db, name });
        }
    }

    /// Applies the next record. Records that name something unknown change nothing.
    pub fn apply(&mut self, record: &Record) {
        self.version += 1;
        self.narrowed += u64::from(narrows(record));
        match record {
            Record::CreateDatabase { id, name } => self.create_database(*id, name),
            Record::DropDatabase { id } => self.drop_database(*id),
            Record::PutPolicy { db, policy, spec, default } => {
                self.put_policy(*db, *policy, spec, *default)
            }
            Record::DropPolicy { policy } => self.drop_policy(*policy),
            Record::CreateMeasurement { id, db, name } => self.create_measurement(*id, *db, name),
            Record::DropMeasurement { id } => self.drop_measurement(*id),
            Record::NameField { field, name } => self.name_field(*field, name),
            Record::AddFieldType { policy, measurement, field, kind } => {
                self.add_field_type(*policy, *measurement, *field, *kind)
            }
            Record::CreatePartition { id, policy, range } => {
                self.create_partition(*id, *policy, *range)
            }
            Record::DropPartition { id } => self.drop_partition(*id),
            Record::NameLostDefault { db, name } => {
                if let Some(database) = self.databases.get_mut(db) {
                    database.default_name.clone_from(name);
                }
            }
            Record::Reserve { next } => self.next = *next,
            orders => self.apply_order(orders),
        }
    }

    /// Users, continuous queries, subscriptions.
    fn apply_order(&mut self, record: &Record) {
        match record {
            Record::PutUser { name, hash, admin } => self.users.put(name, hash, *admin),
            Record::DropUser { name } => self.users.drop_user(name),
            Record::Grant { name, db, rights } => self.users.grant(name, *db, *rights),
            Record::PutMetadata { key, text } => self.metadata.put(key, text),
            Record::DropMetadata { key } => self.metadata.remove(key),
            Record::PutQuery { db, name, text } => self.standing.put_query(*db, name, text),
            Record::DropQuery { db, name } => self.standing.drop_query(*db, name),
            Record::Subscribe { policy, name, all, destinations } => {
                let (name, destinations) = (name.clone(), destinations.clone());
                let (policy, all) = (*policy, *all);
                self.standing.subscribe(Subscription { policy, name, all, destinations });
            }
            Record::Unsubscribe { policy, name } => self.standing.unsubscribe(*policy, name),
            _ => {}
        }
    }

    fn create_database(&mut self, id: DbId, name: &str) {
        self.next.db = DbId(self.next.db.0.max(id.0 + 1));
        self.database_ids.insert(name.to_owned(), id);
        let database = Database {
            id,
            name: name.to_owned(),
            default_policy: None,
            default_name: String::new(),
            policies: Vec::new(),
            measurements: BTreeMap::new(),
        };
        self.databases.insert(id, database);
    }

    fn drop_database(&mut self, id: DbId) {
        let Some(database) = self.databases.remove(&id) else { return };
        self.database_ids.remove(&database.name);
        self.users.forget_database(id);
        self.standing.forget_database(id);
        for policy in database.policies {
            self.forget_policy(policy);
        }
        for measurement in database.measurements.into_values() {
            self.measurements.remove(&measurement);
        }
    }

    fn put_policy(&mut self, db: DbId, id: PolicyId, spec: &PolicySpec, default: bool) {
        self.next.policy = PolicyId(self.next.policy.0.max(id.0 + 1));
        let Some(database) = self.databases.get_mut(&db) else { return };
        if default {
            database.default_policy = Some(id);
            database.default_name.clone_from(&spec.name);
        }
        if let Some(policy) = self.policies.get_mut(&id) {
            policy.spec = spec.clone();
            return;
        }
        database.policies.push(id);
        self.policies
            .insert(id, Policy { id, db, spec: spec.clone(), partitions: BTreeMap::new() });
    }

    fn drop_policy(&mut self, id: PolicyId) {
        let Some(db) = self.policies.get(&id).map(|policy| policy.db) else { return };
        if let Some(database) = self.databases.get_mut(&db) {
            database.policies.retain(|policy| *policy != id);
            if database.default_policy == Some(id) {
                database.default_policy = None;
            }
        }
        self.forget_policy(id);
    }

    fn forget_policy(&mut self, id: PolicyId) {
        let Some(policy) = self.policies.remove(&id) else { return };
        self.standing.forget_policy(id);
        for partition in policy.partitions.into_values() {
            self.partitions.remove(&partition);
        }
        self.fields.retain(|(owner, _), _| *owner != id);
    }

    fn create_measurement(&mut self, id: MeasurementId, db: DbId, name: &[u8]) {
        self.next.measurement = MeasurementId(self.next.measurement.0.max(id.0 + 1));
        let Some(database) = self.databases.get_mut(&db) else { return };
        database.measurements.insert(name.into(), id);
        self.measurements.insert(id, Measurement { db, name: name.into() });
    }

    fn drop_measurement(&mut self, id: MeasurementId) {
        let Some(measurement) = self.measurements.remove(&id) else { return };
        if let Some(database) = self.databases.get_mut(&measurement.db) {
            database.measurements.remove(&measurement.name);
            for policy in &database.policies {
                self.fields.remove(&(*policy, id));
            }
        }
    }

    fn name_field(&mut self, field: FieldNo, name: &[u8]) {
        self.next.field = FieldNo(self.next.field.0.max(field.0 + 1));
        if self.field_names.len() <= field.index() {
            self.field_names.resize(field.index() + 1, Box::default());
        }
        if let Some(slot) = self.field_names.get_mut(field.index()) {
            *slot = name.into();
        }
        self.field_numbers.insert(name.into(), field);
    }

    fn add_field_type(
        &mut self,
        policy: PolicyId,
        m: MeasurementId,
        field: FieldNo,
        kind: FieldType,
    ) {
        if !self.policies.contains_key(&policy) || !self.measurements.contains_key(&m) {
            return;
        }
        let fields = self.fields.entry((policy, m)).or_default();
        match fields.iter_mut().find(|known| known.field == field) {
            Some(known) => known.types.insert(kind),
            None => {
                let mut types = TypeSet::default();
                types.insert(kind);
                fields.push(Field { field, types });
            }
        }
    }

    fn create_partition(&mut self, id: PartitionId, policy: PolicyId, range: TimeRange) {
        self.next.partition = PartitionId(self.next.partition.0.max(id.0 + 1));
        let Some(owner) = self.policies.get_mut(&policy) else { return };
        owner.partitions.insert(range.first, id);
        self.partitions.insert(id, Partition { id, db: owner.db, policy, range });
    }

    fn drop_partition(&mut self, id: PartitionId) {
        let Some(partition) = self.partitions.remove(&id) else { return };
        if let Some(policy) = self.policies.get_mut(&partition.policy) {
            policy.partitions.remove(&partition.range.first);
        }
    }
}

/// Whether what was known of databases, policies, measurements and fields may be wrong afterwards.
fn narrows(record: &Record) -> bool {
    matches!(
        record,
        Record::DropDatabase { .. }
            | Record::PutPolicy { .. }
            | Record::DropPolicy { .. }
            | Record::DropMeasurement { .. }
            | Record::NameLostDefault { .. }
    )
}

/// Nanoseconds from year 1 to 1970: partitions are counted from there, as InfluxDB counts shard
/// groups.
const YEAR_ONE_NS: i128 = 62_135_596_800 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn weekly() -> State {
        let mut state = State::default();
        state.apply(&Record::CreateDatabase { id: DbId(1), name: "d".into() });
        let spec = PolicySpec {
            name: "autogen".into(),
            duration_ns: 0,
            shard_duration_ns: 7 * 86_400_000_000_000,
            replicas: 1,
        };
        state.apply(&Record::PutPolicy { db: DbId(1), policy: PolicyId(1), spec, default: true });
        state
    }

    #[test]
    fn weeks_start_on_monday_as_in_influxdb() {
        let bounds = weekly().partition_bounds(PolicyId(1), 0).unwrap();
        assert_eq!(bounds.first, -3 * 86_400_000_000_000);
        assert_eq!(bounds.last, 4 * 86_400_000_000_000 - 1);
    }

    #[test]
    fn a_state_made_from_its_own_records_is_the_same() {
        let mut state = weekly();
        let name: Box<[u8]> = b"cpu".as_slice().into();
        state.apply(&Record::CreateMeasurement { id: MeasurementId(4), db: DbId(1), name });
        state.apply(&Record::NameField { field: FieldNo(1), name: b"v".as_slice().into() });
        let (policy, measurement, field) = (PolicyId(1), MeasurementId(4), FieldNo(1));
        for kind in [FieldType::Integer, FieldType::Float] {
            state.apply(&Record::AddFieldType { policy, measurement, field, kind });
        }
        let range = TimeRange::new(0, 999);
        state.apply(&Record::CreatePartition { id: PartitionId(9), policy, range });
        state.apply(&Record::DropPolicy { policy: PolicyId(77) });
        let mut copy = State::default();
        state.to_records().iter().for_each(|record| copy.apply(record));
        assert_eq!(copy.to_records(), state.to_records());
        assert_eq!(copy.next_ids(), state.next_ids());
        assert_eq!(copy.next_ids().partition, PartitionId(10));
    }

    #[test]
    fn a_new_partition_is_clipped_to_its_neighbours() {
        let mut state = weekly();
        let range = TimeRange::new(0, 999);
        state.apply(&Record::CreatePartition { id: PartitionId(1), policy: PolicyId(1), range });
        assert_eq!(state.partition_bounds(PolicyId(1), 1000).unwrap().first, 1000);
        assert_eq!(state.partition_bounds(PolicyId(1), -1).unwrap().last, -1);
        assert_eq!(state.partition_at(PolicyId(1), 999).unwrap().id, PartitionId(1));
        assert!(state.partition_at(PolicyId(1), 1000).is_none());
    }

    #[test]
    fn a_partition_expires_when_its_last_point_does() {
        let mut state = weekly();
        let range = TimeRange::new(0, 999);
        state.apply(&Record::CreatePartition { id: PartitionId(1), policy: PolicyId(1), range });
        assert!(state.expired(i64::MAX).is_empty(), "the policy keeps everything");
        let spec = PolicySpec { duration_ns: 500, ..state.policies[&PolicyId(1)].spec.clone() };
        state.apply(&Record::PutPolicy { db: DbId(1), policy: PolicyId(1), spec, default: true });
        assert!(state.expired(1500).is_empty());
        assert_eq!(state.expired(1501), [PartitionId(1)]);
    }

    #[test]
    fn dropping_a_database_forgets_all_below_it_but_no_id() {
        let mut state = weekly();
        let name: Box<[u8]> = b"cpu".as_slice().into();
        state.apply(&Record::CreateMeasurement { id: MeasurementId(1), db: DbId(1), name });
        let (policy, measurement, field) = (PolicyId(1), MeasurementId(1), FieldNo(1));
        state.apply(&Record::NameField { field, name: b"v".as_slice().into() });
        state.apply(&Record::AddFieldType { policy, measurement, field, kind: FieldType::Float });
        assert_eq!(state.field_types(policy, measurement, field).first(), Some(FieldType::Float));
        let narrowed = state.narrowed();
        state.apply(&Record::DropDatabase { id: DbId(1) });
        assert_eq!(state.narrowed(), narrowed + 1);
        assert!(state.database("d").is_none() && state.measurement_name(measurement).is_none());
        assert!(state.fields(policy, measurement).is_empty());
        assert_eq!(state.next_ids().db, DbId(2));
        assert_eq!(state.field(b"v"), Some(field));
    }
}
