//! A SELECT with its names resolved, down to the innermost subquery, before it is known over which
//! time and by which tags it runs: a query around it may narrow the one and add to the other.
//!
//! In: the query and the catalog. Out: the columns, and one unit for each name of a series of
//! results: the measurements and subqueries that give rows under that name, with the expressions
//! compiled for them all alike.

use super::super::plan::calls::{Calls, Setting};
use super::super::plan::columns::{Universe, group_keys, needs_tags, select};
use super::super::plan::expr::{Scope, math};
use super::super::plan::{Selected, types};
use super::super::source::{Source, Stored, kind_of, load_tags, resolve};
use super::super::{Context, QueryError};
use crate::influxql::ast::{Expr as Ast, Select, SelectField, Source as From};
use crate::influxql::time_literal;
use crate::influxql::time_range::split_time;
use crate::model::{Column, ColumnId, FieldNo, FieldType, TimeRange, TypeSet};
use crate::shard::scan::expr::{RowsView, eval};
use crate::shard::scan::{Aux, Expr, FieldRef};
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

/// How often FROM may name one measurement: it is read as often.
const TIMES_MAX: usize = 100;

/// A query whose names are resolved.
#[derive(Debug)]
pub struct Outline<'a> {
    pub select: &'a Select,
    pub selected: Selected,
    pub condition: Option<Ast>,
    /// The time that the condition leaves.
    pub range: TimeRange,
    pub zone: Option<TimeZone>,
    /// Tag keys of GROUP BY, sorted.
    pub dimensions: Vec<Box<[u8]>>,
    /// Names of the columns of results, `time` first.
    pub names: Arc<[Box<[u8]>]>,
    /// Types of the columns as a query around this one sees them; `None`: no measurement has such
    /// a field.
    kinds: Vec<Option<FieldType>>,
    /// Columns without a type that are no tags either.
    unknown: Vec<bool>,
    /// Sorted by name.
    pub units: Vec<Unit<'a>>,
}

/// All that gives rows under one name.
#[derive(Debug)]
pub struct Unit<'a> {
    pub name: Arc<[u8]>,
    pub members: Vec<Member<'a>>,
    /// What names mean to the expressions.
    source: Source,
    /// Names by number of the fields in `source`; empty when it is that of the only member.
    fields: Vec<Box<[u8]>>,
    pub work: Work,
}

/// A measurement or a subquery in FROM.
#[derive(Debug)]
pub enum Member<'a> {
    /// `times`: how often FROM names it; every row counts so often.
    Stored { stored: Stored, times: usize },
    /// Unit `unit` of a subquery.
    Nested { query: Rc<Outline<'a>>, unit: usize, source: Source },
}

/// The selected expressions over numbered columns.
#[derive(Debug)]
pub struct Work {
    pub fields: Vec<FieldRef>,
    pub tags: Vec<Box<[u8]>>,
    pub body: Body,
    /// Types of the selected columns; `None`: tags, and fields that are not there.
    kinds: Vec<Option<FieldType>>,
}

/// What is made of rows.
#[derive(Debug)]
pub enum Body {
    /// Each row by itself.
    Rows(Vec<Expr>),
    /// Calls over buckets, and expressions over the calls.
    Buckets(Calls, Vec<Expr>),
}

type Pending<'f, T> = Pin<Box<dyn Future<Output = T> + 'f>>;

/// Resolves a query; `around_ns`: buckets of the query around it, if there is one, which it has
/// when it has none.
///
/// # Errors
/// Names that do not exist where they must, functions that do not take what they are given.
pub fn outline<'f, 'a: 'f>(
    context: Context<'f>,
    query: &'a Select,
    around_ns: Option<i64>,
) -> Pending<'f, Result<Outline<'a>, QueryError>> {
    Box::pin(async move {
        let own_ns = query.group_interval().map_err(QueryError::Refused)?.max(0);
        let width_ns = if own_ns > 0 { own_ns } else { around_ns.unwrap_or(0) };
        let is_nested = around_ns.is_some();
        let mut members = members(context, query, width_ns, is_nested).await?;
        let universe = Universe::of(members.iter().map(|(_, member)| member.source()));
        agree(&mut members, &universe);
        let selected = select(&query.fields, &query.dimensions, &universe)?;
        if !is_nested {
            types::check(&selected.columns, &universe)?;
        }
        let dimensions = group_keys(&query.dimensions, &universe)?;
        let zone = query.tz.as_deref().and_then(time_literal::zone);
        let (condition, range) = {
            let zone = zone.clone().unwrap_or(TimeZone::UTC);
            let now = context.options.now_ns;
            split_time(query.condition.as_ref(), now, &zone).map_err(QueryError::Refused)?
        };
        let mut by_name: BTreeMap<Arc<[u8]>, Vec<Member<'a>>> = BTreeMap::new();
        for (name, member) in members {
            add(by_name.entry(name).or_default(), member)?;
        }
        let descending = query.is_descending();
        let setting = Setting { width_ns, seed: context.options.now_ns as u64, descending };
        let unit = |(name, members)| Unit::new(query, &selected, setting, name, members);
        let units = by_name.into_iter().map(unit).collect::<Result<Vec<_>, _>>()?;
        let mut kinds = kinds(&selected, &units);
        // The types of a subquery are looked at only by who reads it: what has none is not there.
        let misfits = types::misfits(&selected.columns, &universe);
        let misfits = kinds.iter_mut().zip(misfits).filter(|(_, misfit)| *misfit);
        misfits.for_each(|(kind, _)| *kind = None);
        let unknown = unknown(&selected, &units, &kinds);
        let first = std::iter::once(selected.time.as_bytes());
        let names = first.chain(selected.columns.iter().map(|(_, name)| name.as_bytes()));
        let names = names.map(Box::from).collect();
        let select = query;
        Ok(Outline {
            select,
            selected,
            condition,
            range,
            zone,
            dimensions,
            names,
            kinds,
            unknown,
            units,
        })
    })
}

/// Types of the columns over all units: those of fields, where some unit has the field.
fn kinds(selected: &Selected, units: &[Unit<'_>]) -> Vec<Option<FieldType>> {
    let of_column = |(at, (expr, _)): (usize, &(Ast, String))| {
        let mut types = TypeSet::default();
        for unit in units.iter().filter(|unit| !unit.source.is_tag(expr)) {
            let kind = unit.work.kinds.get(at).copied().flatten();
            kind.into_iter().for_each(|kind| types.insert(kind));
        }
        (!types.is_empty()).then(|| kind_of(types))
    };
    selected.columns.iter().enumerate().map(of_column).collect()
}

/// Whether each column is neither a field nor a tag that some source has. The tag keys are known.
fn unknown(selected: &Selected, units: &[Unit<'_>], kinds: &[Option<FieldType>]) -> Vec<bool> {
    let of_column =
        |(((expr, _), implied), kind): ((&(Ast, String), &bool), &Option<FieldType>)| {
            // The tags by which top() chooses are tags.
            let (Ast::VarRef(var), false) = (expr, implied) else {
                return !implied && kind.is_none();
            };
            let name = var.name.as_bytes();
            let known = |source: &Source| {
                source.fields.contains_key(name)
                    || source.tags.contains(name)
                    || source.texts.contains_key(name)
            };
            !units.iter().flat_map(|unit| &unit.members).any(|member| known(member.source()))
        };
    selected.columns.iter().zip(&selected.implied).zip(kinds).map(of_column).collect()
}

/// Has all measurements see a field in the type that the sources give it together. Where one of
/// them lacks it, its name is that of a field all the same.
fn agree(members: &mut [(Arc<[u8]>, Member<'_>)], universe: &Universe) {
    if members.len() < 2 {
        return;
    }
    for (_, member) in members {
        let Member::Stored { stored, .. } = member else { continue };
        let differs = |(name, kind): &(&String, &FieldType)| {
            let own = stored.source.fields.get(name.as_bytes());
            own.is_none_or(|(_, types)| kind_of(*types) != **kind)
        };
        let found = universe.fields.iter().filter(differs);
        let found = found.map(|(name, kind)| (Box::from(name.as_bytes()), *kind));
        stored.source.elsewhere = Arc::new(found.collect());
    }
}

/// What FROM stands for, each with the name of its results.
async fn members<'a>(
    context: Context<'_>,
    query: &'a Select,
    width_ns: i64,
    is_nested: bool,
) -> Result<Vec<(Arc<[u8]>, Member<'a>)>, QueryError> {
    let options = context.options;
    let mut nested = Vec::new();
    let mut measurements = Vec::new();
    for source in &query.sources {
        match source {
            From::Measurement(measurement) => measurements.push(measurement),
            From::Subquery(inner) => {
                let inner = Rc::new(outline(context, inner, Some(width_ns)).await?);
                for (unit, found) in inner.units.iter().enumerate() {
                    let source = inner.seen_from_outside();
                    let member = Member::Nested { query: inner.clone(), unit, source };
                    nested.push((found.name.clone(), member));
                }
            }
        }
    }
    let mut stored = {
        let catalog = context.cluster.catalog();
        resolve(&catalog, &measurements, options.db.as_deref(), options.rp.as_deref())?
    };
    let fields = || stored.iter().map(|stored| &stored.source);
    let bare = |field: &SelectField| matches!(field.expr.unparen(), Ast::VarRef(_));
    // A query around this one has to know which columns are tags.
    let asked = is_nested && query.fields.iter().any(bare);
    if asked
        || needs_tags(&query.fields, &query.dimensions)
        || types::names_tags(&query.fields, fields)
    {
        load_tags(context, &mut stored).await?;
    }
    let named = |stored: Stored| (stored.name.clone(), Member::Stored { stored, times: 1 });
    Ok(stored.into_iter().map(named).chain(nested).collect())
}

/// Adds a member; a measurement that is there counts once more.
///
/// # Errors
/// A measurement that is named too often.
fn add<'a>(members: &mut Vec<Member<'a>>, member: Member<'a>) -> Result<(), QueryError> {
    if let Member::Stored { stored: new, .. } = &member {
        for known in members.iter_mut() {
            let Member::Stored { stored, times } = known else { continue };
            if (stored.policy, stored.measurement) == (new.policy, new.measurement) {
                *times += 1;
                return match *times > TIMES_MAX {
                    true => Err(QueryError::Refused("too many sources".to_owned())),
                    false => Ok(()),
                };
            }
        }
    }
    members.push(member);
    Ok(())
}

/// Whether rows come straight from points: no function but those that compute row by row.
fn is_raw(query: &Select) -> bool {
    let mut raw = true;
    for field in &query.fields {
        field.expr.walk(&mut |expr| {
            raw &= match expr {
                Ast::Call { name, .. } => math(name).is_some(),
                Ast::Distinct(_) => false,
                _ => true,
            };
            raw
        });
    }
    raw
}

impl Outline<'_> {
    /// What the columns of results mean in a query around this one: by their plain names, the first
    /// of a name; behind them the tags of GROUP BY.
    fn seen_from_outside(&self) -> Source {
        let names = || self.selected.plain.iter().map(|name| name.as_bytes());
        let mut source = self.columns_as(names());
        for (name, _) in names().zip(&self.unknown).filter(|(_, unknown)| **unknown) {
            source.fields.remove(name);
            source.unknown.insert(name.into());
        }
        for (at, key) in self.dimensions.iter().enumerate() {
            let number = FieldNo((self.kinds.len() + at) as u32 + 1);
            source.texts.insert(key.clone(), number);
            source.tags.insert(key.clone());
        }
        let labels = names().zip(&self.kinds).filter(|(_, kind)| kind.is_none());
        let labels = labels.filter(|(name, _)| !source.unknown.contains(*name));
        let labels: Vec<Box<[u8]>> = labels.map(|(name, _)| Box::from(name)).collect();
        source.labels.extend(labels);
        let implied = || names().zip(&self.selected.implied);
        let hidden = implied().filter(|(_, implied)| **implied).map(|(name, _)| Box::from(name));
        source.hidden.extend(hidden);
        implied().filter(|(_, implied)| !**implied).for_each(|(name, _)| {
            source.hidden.remove(name);
        });
        source
    }

    /// What names mean in the condition of a query around this one: the columns as they are called
    /// in results; tags stay tags.
    pub fn seen_from_condition(&self) -> Source {
        self.columns_as(self.names.iter().skip(1).map(AsRef::as_ref))
    }

    fn columns_as<'n>(&self, names: impl Iterator<Item = &'n [u8]>) -> Source {
        let mut source = Source { computed: true, ..Source::default() };
        for (at, (name, kind)) in names.zip(&self.kinds).enumerate() {
            let mut types = TypeSet::default();
            types.insert(kind.unwrap_or(FieldType::String));
            let number = FieldNo(at as u32 + 1);
            source.fields.entry(name.into()).or_insert((number, types));
        }
        source
    }
}

impl<'a> Unit<'a> {
    fn new(
        query: &Select,
        selected: &Selected,
        setting: Setting,
        name: Arc<[u8]>,
        members: Vec<Member<'a>>,
    ) -> Result<Unit<'a>, QueryError> {
        let (source, fields) = match members.as_slice() {
            [only] => (only.source().clone(), Vec::new()),
            several => united(several),
        };
        let work = Work::new(query, selected, setting, &source)?;
        Ok(Unit { name, members, source, fields, work })
    }

    /// The fields of the work as a member has them.
    pub fn fields_of(&self, member: &Member<'_>) -> Vec<FieldRef> {
        if self.fields.is_empty() {
            return self.work.fields.clone();
        }
        let own = |field: &FieldRef| {
            let number = field.columns.first().map_or(0, |id| id.field().index());
            let name = number.checked_sub(1).and_then(|at| self.fields.get(at));
            member.source().field_as(name.map_or(&[], AsRef::as_ref), field.kind)
        };
        self.work.fields.iter().map(own).collect()
    }
}

/// What names mean in all members together. Numbers of fields are places, counted from 1.
fn united(members: &[Member<'_>]) -> (Source, Vec<Box<[u8]>>) {
    let mut source = Source { computed: true, ..Source::default() };
    source.computed = members.iter().all(|member| member.source().computed);
    let mut types: BTreeMap<Box<[u8]>, TypeSet> = BTreeMap::new();
    for member in members.iter().map(Member::source) {
        for (name, (_, found)) in &member.fields {
            let known = types.entry(name.clone()).or_default();
            *known = TypeSet(known.0 | found.0);
        }
        source.tags.extend(member.tags.iter().cloned());
        source.labels.extend(member.labels.iter().cloned());
        source.hidden.extend(member.hidden.iter().cloned());
        source.unknown.extend(member.unknown.iter().cloned());
        if !member.elsewhere.is_empty() {
            source.elsewhere = member.elsewhere.clone();
        }
    }
    let mut names = Vec::new();
    for (name, types) in types {
        names.push(name.clone());
        source.fields.insert(name, (FieldNo(names.len() as u32), types));
    }
    // Where measurements take part, tags are tags everywhere.
    for name in source.tags.iter().filter(|_| source.computed) {
        names.push(name.clone());
        source.texts.insert(name.clone(), FieldNo(names.len() as u32));
    }
    (source, names)
}

impl Member<'_> {
    /// What names mean to it.
    pub fn source(&self) -> &Source {
        match self {
            Member::Stored { stored, .. } => &stored.source,
            Member::Nested { source, .. } => source,
        }
    }
}

impl Work {
    /// Why a function does not take its field.
    pub fn refused(&self) -> Option<&QueryError> {
        match &self.body {
            Body::Rows(_) => None,
            Body::Buckets(calls, _) => calls.refused.as_ref(),
        }
    }

    fn new(
        query: &Select,
        selected: &Selected,
        setting: Setting,
        source: &Source,
    ) -> Result<Work, QueryError> {
        let mut scope = Scope::new(source);
        let body = if is_raw(query) {
            let columns = selected.columns.iter().map(|(expr, _)| scope.compile(expr));
            Body::Rows(columns.collect::<Result<_, _>>()?)
        } else {
            let (calls, columns) = Calls::compile(&mut scope, &selected.columns, setting)?;
            Body::Buckets(calls, columns)
        };
        let (fields, tags) = (scope.fields, scope.tags);
        let kinds = body.kinds(&fields, tags.len());
        Ok(Work { fields, tags, body, kinds })
    }
}

/// Whether an expression reads one of some inputs.
fn reads(expr: &Expr, some: &impl Fn(usize) -> bool) -> bool {
    match expr {
        Expr::Field(at) => some(*at),
        Expr::Literal(_) | Expr::Tag(_) | Expr::Time => false,
        Expr::Binary { left, right, .. } => reads(left, some) || reads(right, some),
        Expr::Matches { left, .. } => reads(left, some),
        Expr::Call { arguments, .. } => arguments.iter().any(|one| reads(one, some)),
        Expr::Cast { inner, .. } => reads(inner, some),
    }
}

impl Body {
    /// Whether an input has a type.
    fn gives(&self, input: usize) -> bool {
        match self {
            Body::Rows(_) => true,
            Body::Buckets(calls, _) => calls.calls.get(input).is_none_or(|call| call.typed),
        }
    }

    /// Types of the results, found by computing over no rows.
    fn kinds(&self, fields: &[FieldRef], tags: usize) -> Vec<Option<FieldType>> {
        let of_fields = || fields.iter().map(|field| field.kind);
        let (inputs, columns): (Vec<FieldType>, _) = match self {
            Body::Rows(columns) => (of_fields().collect(), columns),
            Body::Buckets(calls, columns) => {
                let beside = |aux: &Aux| match aux {
                    Aux::Field(at) => fields.get(*at).map_or(FieldType::Float, |field| field.kind),
                    Aux::Tag(_) => FieldType::String,
                };
                let inputs = calls.calls.iter().map(|call| call.result);
                (inputs.chain(calls.aux.iter().map(beside)).collect(), columns)
            }
        };
        let column = |kind: FieldType| Column::empty(ColumnId::new(FieldNo(0), kind));
        let fields: Vec<_> =
            inputs.into_iter().map(|kind| Some(Cow::Owned(column(kind)))).collect();
        let view = RowsView { times: &[], fields: &fields, tags: &vec![None; tags] };
        let kind = |column: &Expr| {
            let known = reads(column, &|at| self.gives(at));
            known.then(|| eval(column, &view).values.kind())
        };
        columns.iter().map(kind).collect()
    }
}
