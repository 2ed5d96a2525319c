//! What can be asked of the catalog, and how it decides: a command and the present state give
//! records, or a refusal. The texts of refusals are InfluxDB's.
//!
//! Deciding is synchronous and pure; the owner (`owner`) makes the records durable.

use super::metadata::{self, MetadataCommand};
use super::record::{PolicySpec, Record};
use super::standing::{self, StandingCommand};
use super::state::{Database, NextIds, Policy, State};
use super::users::{self, UserCommand};
use crate::model::{
    DbId, FieldNo, FieldType, FixedMap, MeasurementId, PartitionId, PolicyId, TimeRange,
};

const HOUR_NS: i64 = 3_600_000_000_000;
const DAY_NS: i64 = 24 * HOUR_NS;
/// InfluxDB's limit for names of databases and policies.
const NAME_BYTES_MAX: usize = 255;

/// A question to the catalog.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Idempotent; `policy` is what follows WITH.
    CreateDatabase {
        name: String,
        policy: Option<PolicyOptions>,
    },
    /// A database without a policy; idempotent.
    CreateBareDatabase {
        name: String,
    },
    /// Dropping what is missing is no error.
    DropDatabase {
        name: String,
    },
    CreatePolicy {
        db: String,
        name: String,
        options: PolicyOptions,
        default: bool,
    },
    AlterPolicy {
        db: String,
        name: String,
        options: PolicyOptions,
        default: bool,
    },
    DropPolicy {
        db: String,
        name: String,
    },
    DropMeasurement {
        db: String,
        name: Box<[u8]>,
    },
    DropPartition {
        id: PartitionId,
    },
    User(UserCommand),
    Standing(StandingCommand),
    Metadata(MetadataCommand),
    /// Names that rows about to be written need. Never fails but for an unknown policy.
    Resolve {
        policy: PolicyId,
        names: Names,
        /// Whether a type may join others (KairosDB's doors) or only start an empty set
        /// (InfluxDB's).
        mix_types: bool,
    },
}

/// A field by name: measurement, field, type.
pub type NamedField = (Box<[u8]>, Box<[u8]>, FieldType);

/// Names and partitions that a decoder met and the catalog copy does not know, each once, in order
/// of appearance.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names {
    pub measurements: Vec<Box<[u8]>>,
    pub fields: Vec<NamedField>,
    /// One instant in each missing partition (ns).
    pub times: Vec<i64>,
}

impl Names {
    /// Number of names and partitions.
    pub fn len(&self) -> usize {
        self.measurements.len() + self.fields.len() + self.times.len()
    }

    /// Whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The question that makes these names.
    pub fn resolve(self, policy: PolicyId, mix_types: bool) -> Command {
        Command::Resolve { policy, names: self, mix_types }
    }
}

/// The parts of a retention policy that a statement names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PolicyOptions {
    /// Only for CREATE DATABASE … WITH NAME.
    pub name: Option<String>,
    /// 0 = for ever (ns).
    pub duration_ns: Option<i64>,
    pub replicas: Option<u32>,
    /// 0 = by the duration (ns).
    pub shard_duration_ns: Option<i64>,
}

/// Why the catalog refuses.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("database not found: {0}")]
    DatabaseNotFound(String),
    #[error("retention policy not found: {0}")]
    PolicyNotFound(String),
    #[error("retention policy conflicts with an existing policy")]
    PolicyConflict,
    #[error("retention policy already exists")]
    PolicyExists,
    #[error("retention policy duration must be at least 1h0m0s")]
    DurationTooLow,
    #[error("retention policy duration must be greater than the shard duration")]
    ShardDurationTooLong,
    #[error("user not found")]
    UserNotFound,
    #[error("user already exists")]
    UserExists,
    #[error("username required")]
    UserNameRequired,
    #[error("continuous query already exists")]
    QueryExists,
    #[error("subscription already exists")]
    SubscriptionExists,
    #[error("subscription not found")]
    SubscriptionNotFound,
    #[error("invalid name")]
    InvalidName,
    #[error("name too long")]
    NameTooLong,
    #[error("metadata too large")]
    MetadataTooLarge,
    /// Nothing was decided; the next attempt may find room.
    #[error("no space left on the disk")]
    DiskFull,
    #[error("the catalog cannot be written: {0}")]
    Unwritable(String),
}

impl State {
    /// Decides a command. No records: it is so already.
    pub fn decide(&self, command: &Command) -> Result<Vec<Record>, CatalogError> {
        match command {
            Command::CreateDatabase { name, policy } => self.decide_database(name, policy.as_ref()),
            Command::CreateBareDatabase { name } => {
                check_name(name)?;
                let record =
                    || Record::CreateDatabase { id: self.next_ids().db, name: name.clone() };
                let missing = self.database(name).is_none();
                Ok(missing.then(record).into_iter().collect())
            }
            Command::DropDatabase { name } => {
                let record = |db: &Database| Record::DropDatabase { id: db.id };
                Ok(self.database(name).map(record).into_iter().collect())
            }
            Command::CreatePolicy { db, name, options, default } => {
                self.decide_policy(db, name, options, *default)
            }
            Command::AlterPolicy { db, name, options, default } => {
                self.decide_alter(db, name, options, *default)
            }
            Command::DropPolicy { db, name } => {
                let found = self.database(db).and_then(|db| self.policy(db.id, name));
                Ok(found.map(|found| Record::DropPolicy { policy: found.id }).into_iter().collect())
            }
            Command::DropMeasurement { db, name } => {
                let db = self.required(db)?;
                let found = self.measurement(db.id, name);
                Ok(found.map(|id| Record::DropMeasurement { id }).into_iter().collect())
            }
            Command::DropPartition { id } => {
                let found = self.partition(*id);
                Ok(found.map(|found| Record::DropPartition { id: found.id }).into_iter().collect())
            }
            Command::User(command) => users::decide(self, command),
            Command::Standing(command) => standing::decide(self, command),
            Command::Resolve { policy, names, mix_types } => {
                self.decide_names(*policy, names, *mix_types)
            }
            Command::Metadata(command) => metadata::decide(self, command),
        }
    }

    pub(super) fn required(&self, db: &str) -> Result<&Database, CatalogError> {
        self.database(db).ok_or_else(|| CatalogError::DatabaseNotFound(db.to_owned()))
    }

    fn decide_database(
        &self,
        name: &str,
        options: Option<&PolicyOptions>,
    ) -> Result<Vec<Record>, CatalogError> {
        check_name(name)?;
        let policy_name = options.and_then(|o| o.name.as_deref()).unwrap_or("autogen");
        let spec = make_spec(policy_name, options.unwrap_or(&PolicyOptions::default()), None)?;
        if let Some(database) = self.database(name) {
            let Some(_) = options else { return Ok(Vec::new()) };
            let same = self.policy(database.id, policy_name).is_some_and(|known| {
                known.spec == spec && database.default_policy == Some(known.id)
            });
            return if same { Ok(Vec::new()) } else { Err(CatalogError::PolicyConflict) };
        }
        let NextIds { db, policy, .. } = self.next_ids();
        Ok(vec![
            Record::CreateDatabase { id: db, name: name.to_owned() },
            Record::PutPolicy { db, policy, spec, default: true },
        ])
    }

    fn decide_policy(
        &self,
        db: &str,
        name: &str,
        options: &PolicyOptions,
        default: bool,
    ) -> Result<Vec<Record>, CatalogError> {
        let database = self.required(db)?;
        check_name(name)?;
        let spec = make_spec(name, options, None)?;
        if let Some(known) = self.policy(database.id, name) {
            if known.spec != spec {
                return Err(CatalogError::PolicyExists);
            }
            let is_default = database.default_policy == Some(known.id);
            let conflict = default && !is_default;
            return if conflict { Err(CatalogError::PolicyConflict) } else { Ok(Vec::new()) };
        }
        let policy = self.next_ids().policy;
        Ok(vec![Record::PutPolicy { db: database.id, policy, spec, default }])
    }

    fn decide_alter(
        &self,
        db: &str,
        name: &str,
        options: &PolicyOptions,
        default: bool,
    ) -> Result<Vec<Record>, CatalogError> {
        let database = self.required(db)?;
        let known = self
            .policy(database.id, name)
            .ok_or_else(|| CatalogError::PolicyNotFound(name.to_owned()))?;
        let spec = make_spec(name, options, Some(known))?;
        Ok(vec![Record::PutPolicy { db: database.id, policy: known.id, spec, default }])
    }

    fn decide_names(
        &self,
        policy: PolicyId,
        names: &Names,
        mix_types: bool,
    ) -> Result<Vec<Record>, CatalogError> {
        let owner = self
            .policy_by_id(policy)
            .ok_or_else(|| CatalogError::PolicyNotFound(policy.0.to_string()))?;
        let mut plan = NamePlan::new(self, owner, mix_types);
        for name in &names.measurements {
            plan.measurement(name);
        }
        for (measurement, field, kind) in &names.fields {
            plan.field(measurement, field, *kind);
        }
        for time in &names.times {
            plan.partition(*time);
        }
        Ok(plan.records)
    }
}

/// Names being decided on top of a state that does not know them yet.
struct NamePlan<'a> {
    state: &'a State,
    db: DbId,
    policy: PolicyId,
    mix_types: bool,
    next: NextIds,
    measurements: FixedMap<&'a [u8], MeasurementId>,
    fields: FixedMap<&'a [u8], FieldNo>,
    types: FixedMap<(MeasurementId, FieldNo), crate::model::TypeSet>,
    ranges: Vec<TimeRange>,
    records: Vec<Record>,
}

impl<'a> NamePlan<'a> {
    fn new(state: &'a State, policy: &Policy, mix_types: bool) -> NamePlan<'a> {
        NamePlan {
            state,
            db: policy.db,
            policy: policy.id,
            mix_types,
            next: state.next_ids(),
            measurements: FixedMap::default(),
            fields: FixedMap::default(),
            types: FixedMap::default(),
            ranges: Vec::new(),
            records: Vec::new(),
        }
    }

    fn measurement(&mut self, name: &'a [u8]) -> MeasurementId {
        let known = self.state.measurement(self.db, name);
        if let Some(id) = known.or_else(|| self.measurements.get(name).copied()) {
            return id;
        }
        let id = self.next.measurement;
        self.next.measurement = MeasurementId(id.0 + 1);
        self.measurements.insert(name, id);
        self.records.push(Record::CreateMeasurement { id, db: self.db, name: name.into() });
        id
    }

    fn field_number(&mut self, name: &'a [u8]) -> FieldNo {
        if let Some(field) = self.state.field(name).or_else(|| self.fields.get(name).copied()) {
            return field;
        }
        let field = self.next.field;
        self.next.field = FieldNo(field.0 + 1);
        self.fields.insert(name, field);
        self.records.push(Record::NameField { field, name: name.into() });
        field
    }

    fn field(&mut self, measurement: &'a [u8], name: &'a [u8], kind: FieldType) {
        let measurement = self.measurement(measurement);
        let field = self.field_number(name);
        let (state, policy) = (self.state, self.policy);
        let types = self
            .types
            .entry((measurement, field))
            .or_insert_with(|| state.field_types(policy, measurement, field));
        if types.contains(kind) || (!types.is_empty() && !self.mix_types) {
            return;
        }
        types.insert(kind);
        self.records.push(Record::AddFieldType { policy, measurement, field, kind });
    }

    /// Partitions decided in one go lie on one grid and are clipped by the same neighbours, so two
    /// of them are either equal or apart.
    fn partition(&mut self, time: i64) {
        let known = self.state.partition_at(self.policy, time).is_some();
        if known || self.ranges.iter().any(|range| range.contains(time)) {
            return;
        }
        let Some(range) = self.state.partition_bounds(self.policy, time) else { return };
        let id = self.next.partition;
        self.next.partition = PartitionId(id.0 + 1);
        self.ranges.push(range);
        self.records.push(Record::CreatePartition { id, policy: self.policy, range });
    }
}

fn check_name(name: &str) -> Result<(), CatalogError> {
    if name.len() > NAME_BYTES_MAX {
        return Err(CatalogError::NameTooLong);
    }
    let odd = |c: char| c == '/' || c == '\\' || c.is_control();
    if name.is_empty() || name == "." || name == ".." || name.chars().any(odd) {
        return Err(CatalogError::InvalidName);
    }
    Ok(())
}

/// Fills in what the options leave out: from the policy being altered, else InfluxDB's defaults.
fn make_spec(
    name: &str,
    options: &PolicyOptions,
    known: Option<&Policy>,
) -> Result<PolicySpec, CatalogError> {
    let old = known.map(|policy| &policy.spec);
    let duration_ns = options.duration_ns.or(old.map(|s| s.duration_ns)).unwrap_or(0);
    if duration_ns != 0 && duration_ns < HOUR_NS {
        return Err(CatalogError::DurationTooLow);
    }
    let wanted = options.shard_duration_ns.or(old.map(|s| s.shard_duration_ns)).unwrap_or(0);
    let shard_duration_ns = match wanted {
        0 => default_shard_duration(duration_ns),
        wanted => wanted.max(HOUR_NS),
    };
    if duration_ns != 0 && shard_duration_ns > duration_ns {
        return Err(CatalogError::ShardDurationTooLong);
    }
    let replicas = options.replicas.or(old.map(|s| s.replicas)).unwrap_or(1);
    Ok(PolicySpec { name: name.to_owned(), duration_ns, shard_duration_ns, replicas })
}

fn default_shard_duration(duration_ns: i64) -> i64 {
    match duration_ns {
        0 => 7 * DAY_NS,
        short if short < 2 * DAY_NS => HOUR_NS,
        medium if medium < 180 * DAY_NS => DAY_NS,
        _ => 7 * DAY_NS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: &mut State, command: Command) -> Result<usize, CatalogError> {
        let records = state.decide(&command)?;
        records.iter().for_each(|record| state.apply(record));
        Ok(records.len())
    }

    fn create(name: &str) -> Command {
        Command::CreateDatabase { name: name.into(), policy: None }
    }

    #[test]
    fn creating_a_database_twice_changes_nothing() {
        let mut state = State::default();
        assert_eq!(run(&mut state, create("d")), Ok(2));
        assert_eq!(run(&mut state, create("d")), Ok(0));
        let options = PolicyOptions { duration_ns: Some(DAY_NS), ..PolicyOptions::default() };
        let other = Command::CreateDatabase { name: "d".into(), policy: Some(options) };
        assert_eq!(run(&mut state, other), Err(CatalogError::PolicyConflict));
        for bad in ["", ".", "..", "a/b", "a\\b", "a\nb"] {
            assert_eq!(run(&mut state, create(bad)), Err(CatalogError::InvalidName), "{bad:?}");
        }
        assert_eq!(run(&mut state, create(&"x".repeat(256))), Err(CatalogError::NameTooLong));
    }

    #[test]
    fn shard_durations_follow_the_duration() {
        let spec = |duration_ns| {
            let options = PolicyOptions { duration_ns: Some(duration_ns), ..Default::default() };
            make_spec("p", &options, None).map(|spec| spec.shard_duration_ns)
        };
        assert_eq!(spec(0), Ok(7 * DAY_NS));
        assert_eq!(spec(HOUR_NS), Ok(HOUR_NS));
        assert_eq!(spec(2 * DAY_NS), Ok(DAY_NS));
        assert_eq!(spec(180 * DAY_NS), Ok(7 * DAY_NS));
        assert_eq!(spec(HOUR_NS - 1), Err(CatalogError::DurationTooLow));
    }

    #[test]
    fn the_first_type_wins_at_influxdbs_doors_and_kairosdbs_mix() {
        let mut state = State::default();
        run(&mut state, create("d")).unwrap();
        let policy = state.database("d").unwrap().default_policy.unwrap();
        let field = |kind| (b"m".as_slice().into(), b"f".as_slice().into(), kind);
        let fields = vec![field(FieldType::Integer), field(FieldType::Float)];
        let names = Names { fields, times: vec![0, 1, 8 * DAY_NS], ..Names::default() };
        let resolve = |mix_types| names.clone().resolve(policy, mix_types);
        assert_eq!(run(&mut state, resolve(false)), Ok(5), "m, f, its type, two partitions");
        let m = state.measurement(DbId(1), b"m").unwrap();
        let f = state.field(b"f").unwrap();
        assert_eq!(state.field_types(policy, m, f).iter().count(), 1);
        assert_eq!(run(&mut state, resolve(true)), Ok(1));
        assert_eq!(state.field_types(policy, m, f).iter().count(), 2);
        assert_eq!(run(&mut state, resolve(true)), Ok(0));
    }
}
