//! What FROM stands for: the measurements that exist, with their fields and tag keys.
//!
//! In: measurements as written and the request's database and policy. Out: resolved sources, sorted
//! by name, one for each time a measurement is named. What does not exist is left out.

use super::{Context, QueryError};
use crate::catalog::{Database, State};
use crate::influxql::ast::{Cast, Expr, Measurement, MeasurementName, VarRef};
use crate::model::{ColumnId, DbId, FieldNo, FieldType, MeasurementId, PolicyId, TypeSet};
use crate::shard::scan::FieldRef;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A measurement of one policy.
#[derive(Clone, Debug)]
pub struct Stored {
    pub db: DbId,
    pub policy: PolicyId,
    pub measurement: MeasurementId,
    pub name: Arc<[u8]>,
    /// Its tags are known only after `load_tags`.
    pub source: Source,
}

/// What names mean in rows of one origin: a measurement, a subquery, or several of them.
#[derive(Clone, Debug, Default)]
pub struct Source {
    pub fields: BTreeMap<Box<[u8]>, (FieldNo, TypeSet)>,
    pub tags: BTreeSet<Box<[u8]>>,
    /// Columns of a subquery that are tags inside of it.
    pub labels: BTreeSet<Box<[u8]>>,
    /// Columns of a subquery that wildcards leave out: the tags by which its top() chooses.
    pub hidden: BTreeSet<Box<[u8]>>,
    /// Tags of a subquery, which are read as columns of text.
    pub texts: BTreeMap<Box<[u8]>, FieldNo>,
    /// Columns of a subquery that nothing is known of: neither a field nor a tag has the name.
    pub unknown: BTreeSet<Box<[u8]>>,
    /// Types of fields as the sources of the query have them together, where that differs from what
    /// this one has. A name stands for one thing in all of a query.
    pub elsewhere: Arc<BTreeMap<Box<[u8]>, FieldType>>,
    /// Whether all rows come from subqueries.
    pub computed: bool,
}

/// What a name means in one source.
#[derive(Clone, PartialEq, Debug)]
pub enum Binding {
    Field(FieldRef),
    Tag(Box<[u8]>),
    /// A field that is not there.
    Missing,
}

impl Source {
    /// What a reference means: the field of that name, else the tag.
    pub fn bind(&self, var: &VarRef) -> Binding {
        let name = var.name.as_bytes();
        let (field, text) = (self.fields.get(name), self.texts.get(name));
        let of_text = |text: &FieldNo| {
            let columns = vec![ColumnId::new(*text, FieldType::String)];
            Binding::Field(FieldRef { columns, kind: FieldType::String })
        };
        if var.cast == Some(Cast::Tag) {
            return match (field.filter(|_| self.computed), text) {
                (Some((field, types)), _) => Binding::Field(field_ref(*field, *types, None, None)),
                (None, Some(text)) => of_text(text),
                (None, None) => Binding::Tag(name.into()),
            };
        }
        match (field, text, var.cast) {
            (Some((field, types)), _, cast) => {
                // A cast that cannot be leaves columns of a subquery as they are.
                let numbers = types.iter().any(is_number);
                let known = matches!(cast, Some(Cast::String | Cast::Boolean)) || !numbers;
                let cast = cast.filter(|_| !(self.computed && known));
                let own = self.elsewhere.get(name).copied();
                Binding::Field(field_ref(*field, *types, cast, own))
            }
            (None, Some(text), None) => of_text(text),
            (None, None, None) if self.elsewhere.contains_key(name) => Binding::Missing,
            (None, None, None) => Binding::Tag(name.into()),
            (None, _, Some(_)) => Binding::Missing,
        }
    }

    /// Whether an expression is a tag, or a column of a subquery that is one inside of it.
    pub fn is_tag(&self, expr: &Expr) -> bool {
        let Expr::VarRef(var) = expr.unparen() else { return false };
        let name = var.name.as_bytes();
        let of_text = !self.fields.contains_key(name) && self.texts.contains_key(name);
        of_text || self.labels.contains(name) || matches!(self.bind(var), Binding::Tag(_))
    }

    /// The field of another source that has this name, read as `kind`; without columns when there
    /// is none.
    pub fn field_as(&self, name: &[u8], kind: FieldType) -> FieldRef {
        let text = self.texts.get(name).map(|text| ColumnId::new(*text, FieldType::String));
        let columns = match self.fields.get(name) {
            Some((field, types)) => columns_for(*field, *types, kind),
            None => text.into_iter().filter(|_| kind == FieldType::String).collect(),
        };
        FieldRef { columns, kind }
    }
}

/// The type in which a field with these stored types is read: numbers of several types as floats, a
/// text only where it is alone.
pub fn kind_of(types: TypeSet) -> FieldType {
    let numbers = types.iter().filter(|kind| is_number(*kind)).count();
    match numbers {
        0 | 1 => types.first().unwrap_or(FieldType::Float),
        _ => FieldType::Float,
    }
}

pub fn is_number(kind: FieldType) -> bool {
    matches!(kind, FieldType::Float | FieldType::Integer | FieldType::Unsigned)
}

/// `own`: the type of the field where it is not that of the stored columns.
fn field_ref(
    field: FieldNo,
    types: TypeSet,
    cast: Option<Cast>,
    own: Option<FieldType>,
) -> FieldRef {
    let stored = kind_of(types);
    let own = own.unwrap_or(stored);
    let kind = match cast {
        Some(Cast::Float) => FieldType::Float,
        Some(Cast::Integer) => FieldType::Integer,
        Some(Cast::Unsigned) => FieldType::Unsigned,
        Some(Cast::String) => FieldType::String,
        Some(Cast::Boolean) => FieldType::Boolean,
        _ => own,
    };
    let mut columns = columns_for(field, types, kind);
    if columns.is_empty() {
        // A cast that cannot be: the column is read and every value counts as missing.
        columns.push(ColumnId::new(field, stored));
    }
    FieldRef { columns, kind }
}

/// The stored columns of a field whose values can be read as `kind`.
fn columns_for(field: FieldNo, types: TypeSet, kind: FieldType) -> Vec<ColumnId> {
    let fits = |stored: &FieldType| {
        if is_number(kind) { is_number(*stored) } else { *stored == kind }
    };
    types.iter().filter(fits).map(|kind| ColumnId::new(field, kind)).collect()
}

/// The measurements that sources name.
///
/// # Errors
/// A database or policy that does not exist, or none given.
pub fn resolve(
    catalog: &State,
    measurements: &[&Measurement],
    db: Option<&str>,
    rp: Option<&str>,
) -> Result<Vec<Stored>, QueryError> {
    let mut out = Vec::new();
    for measurement in measurements {
        let database = database(catalog, measurement.database.as_deref().or(db))?;
        // The request's policy belongs to the request's database.
        let rp = measurement.retention_policy.as_deref().or(rp);
        let policy = policy(catalog, database, rp)?;
        let mut add = |name: &[u8], id| out.push(stored(catalog, database.id, policy, name, id));
        match &measurement.name {
            MeasurementName::Name(name) => {
                let name = name.as_bytes();
                catalog.measurement(database.id, name).into_iter().for_each(|id| add(name, id));
            }
            MeasurementName::Regex(regex) => {
                let regex = bytes_regex(regex)?;
                let all = catalog.measurements(database.id);
                all.iter().filter(|(name, _)| regex.is_match(name)).for_each(|(n, id)| add(n, *id));
            }
        }
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}

/// The database of a name.
///
/// # Errors
/// No name, or no such database.
pub fn database<'a>(catalog: &'a State, name: Option<&str>) -> Result<&'a Database, QueryError> {
    let name = name.filter(|name| !name.is_empty()).ok_or(QueryError::DatabaseRequired)?;
    catalog.database(name).ok_or_else(|| QueryError::DatabaseNotFound(name.to_owned()))
}

/// The policy of a name, or the default one.
///
/// # Errors
/// No such policy; the name of a default policy that was dropped.
pub fn policy(
    catalog: &State,
    database: &Database,
    name: Option<&str>,
) -> Result<PolicyId, QueryError> {
    match name.filter(|name| !name.is_empty()) {
        Some(name) => {
            let found = catalog.policy(database.id, name).map(|policy| policy.id);
            found.ok_or_else(|| QueryError::PolicyNotFound(name.to_owned()))
        }
        None => {
            let lost = || QueryError::PolicyNotFound(database.default_name.clone());
            database.default_policy.ok_or_else(lost)
        }
    }
}

fn stored(
    catalog: &State,
    db: DbId,
    policy: PolicyId,
    name: &[u8],
    measurement: MeasurementId,
) -> Stored {
    let fields = catalog.fields(policy, measurement).iter();
    let named = |field: &crate::catalog::Field| {
        let name = catalog.field_name(field.field)?;
        Some((name.into(), (field.field, field.types)))
    };
    let fields = fields.filter_map(named).collect();
    let source = Source { fields, ..Source::default() };
    Stored { db, policy, measurement, name: name.into(), source }
}

/// Asks all shards for the tag keys of the sources.
///
/// # Errors
/// A shard that cannot answer.
pub async fn load_tags(context: Context<'_>, sources: &mut [Stored]) -> Result<(), QueryError> {
    let mut by_db: BTreeMap<DbId, Vec<MeasurementId>> = BTreeMap::new();
    sources.iter().for_each(|source| by_db.entry(source.db).or_default().push(source.measurement));
    for (db, measurements) in by_db {
        for (measurement, keys) in context.cluster.tag_keys(db, measurements).await? {
            let same = |stored: &&mut Stored| stored.measurement == measurement;
            for stored in sources.iter_mut().filter(same) {
                stored.source.tags.extend(keys.iter().cloned());
            }
        }
    }
    Ok(())
}

/// A regular expression over bytes.
///
/// # Errors
/// The text of the compiler.
pub fn bytes_regex(regex: &crate::influxql::ast::Regex) -> Result<regex::bytes::Regex, QueryError> {
    let compiled = regex.compile().map_err(QueryError::Refused)?;
    let bytes = regex::bytes::Regex::new(compiled.as_str());
    bytes.map_err(|_| QueryError::Refused("regular expression is too large".to_owned()))
}
