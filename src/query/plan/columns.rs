//! The columns of a SELECT: wildcards written out, names given.
//!
//! In: the fields as written and what the sources hold. Out: expressions with their column names,
//! in order; `time` taken out. Rules and order of InfluxDB's rewriting, names made unique its way.

use super::super::QueryError;
use super::super::source::{Source, bytes_regex, kind_of};
use super::reduce::reduced;
use crate::influxql::ast::{Cast, Dimension, Expr, SelectField, VarRef, Wildcard};
use crate::model::{FieldType, TypeSet};
use regex::bytes::Regex;
use std::collections::{BTreeMap, BTreeSet};

/// What is selected.
#[derive(Clone, Debug)]
pub struct Selected {
    /// Name of the first column.
    pub time: String,
    pub columns: Vec<(Expr, String)>,
    /// Names of the columns before they were made different, by which a query around this one knows
    /// them.
    pub plain: Vec<String>,
    /// For each column whether nobody wrote it: the tags by which top() chooses stand behind it.
    pub implied: Vec<bool>,
}

/// Fields and tag keys of all sources together.
#[derive(Clone, Debug, Default)]
pub struct Universe {
    pub fields: BTreeMap<String, FieldType>,
    /// Columns of subqueries that are tags inside of them.
    pub labels: BTreeSet<String>,
    /// Columns of subqueries of which nobody knows what they are.
    pub unknown: BTreeSet<String>,
    /// Tag keys, which need not be UTF-8.
    pub tags: BTreeSet<Box<[u8]>>,
}

impl Universe {
    /// What the sources hold. Names of fields that are no UTF-8 cannot be written in a query; they
    /// are left out.
    pub fn of<'s>(sources: impl Iterator<Item = &'s Source>) -> Universe {
        let mut types: BTreeMap<String, TypeSet> = BTreeMap::new();
        let mut universe = Universe::default();
        let text = |name: &[u8]| String::from_utf8(name.to_vec()).ok();
        for source in sources {
            for (name, (_, found)) in &source.fields {
                let Some(text) = text(name).filter(|_| !source.hidden.contains(name)) else {
                    continue;
                };
                if source.labels.contains(name) {
                    universe.labels.insert(text);
                    continue;
                }
                let known = types.entry(text).or_default();
                *known = TypeSet(known.0 | found.0);
            }
            universe.tags.extend(source.tags.iter().cloned());
            universe.unknown.extend(source.unknown.iter().filter_map(|name| text(name)));
        }
        universe.labels.extend(universe.unknown.iter().cloned());
        universe.fields = types.into_iter().map(|(name, types)| (name, kind_of(types))).collect();
        universe
    }

    /// Whether a name is that of a tag.
    pub fn has_tag(&self, name: &str) -> bool {
        self.tags.contains(name.as_bytes()) || self.labels.contains(name)
    }
}

/// Whether the tag keys of the sources have to be known.
pub fn needs_tags(fields: &[SelectField], dimensions: &[Dimension]) -> bool {
    let wild = |expr: &Expr| matches!(expr.unparen(), Expr::Wildcard(_) | Expr::Regex(_));
    fields.iter().any(|field| wild(&field.expr)) || dimensions.iter().any(|d| wild(&d.expr))
}

/// The tag keys of GROUP BY, sorted.
///
/// # Errors
/// A regular expression that cannot be compiled.
pub fn group_keys(
    dimensions: &[Dimension],
    universe: &Universe,
) -> Result<Vec<Box<[u8]>>, QueryError> {
    let mut keys: BTreeSet<Box<[u8]>> = BTreeSet::new();
    for dimension in dimensions {
        match dimension.expr.unparen() {
            Expr::VarRef(var) => {
                keys.insert(Box::from(var.name.as_bytes()));
            }
            Expr::Wildcard(_) => keys.extend(universe.tags.iter().cloned()),
            Expr::Regex(regex) => {
                let regex = bytes_regex(regex)?;
                keys.extend(universe.tags.iter().filter(|key| regex.is_match(key)).cloned());
            }
            _ => {}
        }
    }
    Ok(keys.into_iter().collect())
}

/// Writes the fields out.
///
/// # Errors
/// A regular expression that cannot be compiled, a wildcard where none may stand.
pub fn select(
    fields: &[SelectField],
    dimensions: &[Dimension],
    universe: &Universe,
) -> Result<Selected, QueryError> {
    let mut time = "time".to_owned();
    let mut out: Vec<(Expr, Option<String>)> = Vec::new();
    let plain = plain_columns(dimensions, universe);
    for field in fields {
        let alias = field.alias.clone();
        let expr = reduced(&field.expr);
        match expr.unparen() {
            Expr::VarRef(var) if var.name == "time" => {
                alias.into_iter().for_each(|alias| time = alias);
            }
            Expr::Wildcard(kind) => {
                let keep = |var: &&VarRef| match kind {
                    Wildcard::All => true,
                    Wildcard::Fields => var.cast != Some(Cast::Tag),
                    Wildcard::Tags => var.cast == Some(Cast::Tag),
                };
                out.extend(plain.iter().filter(keep).map(|var| (Expr::VarRef(var.clone()), None)));
            }
            Expr::Regex(regex) => {
                let regex = bytes_regex(regex)?;
                let matching = plain.iter().filter(|var| regex.is_match(var.name.as_bytes()));
                out.extend(matching.map(|var| (Expr::VarRef(var.clone()), None)));
            }
            expr @ Expr::Call { .. } => match wild_argument(expr) {
                Some((function, argument)) => {
                    let base = alias.unwrap_or_else(|| name_of(expr));
                    for name in matching_fields(&function, argument, universe)? {
                        let named = format!("{base}_{name}");
                        out.push((replace_innermost(expr, &name), Some(named)));
                    }
                }
                None => {
                    out.push((distinct_as_call(expr), alias));
                    out.extend(key_arguments(expr).into_iter().map(|key| (key, None)));
                }
            },
            expr => {
                out.push((distinct_as_call(expr), alias));
                out.extend(key_arguments(expr).into_iter().map(|key| (key, None)));
            }
        }
    }
    let base = |(expr, alias): &(Expr, Option<String>)| match alias {
        Some(alias) => alias.clone(),
        None => name_of(expr),
    };
    let plain = out.iter().map(base).collect();
    let mut implied: Vec<bool> = Vec::with_capacity(out.len());
    while let Some((expr, _)) = out.get(implied.len()) {
        implied.push(false);
        implied.extend(key_arguments(expr).iter().map(|_| true));
    }
    Ok(Selected { columns: name_all(out), time, plain, implied })
}

/// Fields and tags as `*` gives them: by name, a tag behind a field of its name; tags of GROUP BY
/// left out, all tags where GROUP BY has `*` or a regular expression.
fn plain_columns(dimensions: &[Dimension], universe: &Universe) -> Vec<VarRef> {
    let mut tags = universe.tags.clone();
    for dimension in dimensions {
        match dimension.expr.unparen() {
            Expr::VarRef(var) => {
                tags.remove(var.name.as_bytes());
            }
            Expr::Wildcard(_) | Expr::Regex(_) => tags.clear(),
            _ => {}
        }
    }
    let fields = universe.fields.keys().map(|name| (name.clone(), None));
    let tags = tags.into_iter().filter_map(|key| String::from_utf8(key.into()).ok());
    let tags = tags.chain(universe.labels.iter().cloned()).map(|key| (key, Some(Cast::Tag)));
    let mut all: Vec<(String, Option<Cast>)> = fields.chain(tags).collect();
    all.sort_by(|a, b| (&a.0, a.1.is_some()).cmp(&(&b.0, b.1.is_some())));
    let kind = |cast: Option<Cast>| Some(cast.unwrap_or(Cast::Field));
    all.into_iter().map(|(name, cast)| VarRef { name, cast: kind(cast) }).collect()
}

/// The arguments between field and number of top() and bottom(), wherever these stand.
pub fn key_arguments(expr: &Expr) -> Vec<Expr> {
    let mut found = Vec::new();
    expr.walk(&mut |expr| {
        if let Expr::Call { name, args } = expr
            && matches!(name.as_str(), "top" | "bottom")
            && let [_, keys @ .., _] = args.as_slice()
        {
            found.extend(keys.iter().cloned());
        }
        true
    });
    found
}

/// `DISTINCT v` as a call, wherever it stands.
fn distinct_as_call(expr: &Expr) -> Expr {
    match expr {
        Expr::Distinct(name) => {
            Expr::Call { name: "distinct".to_owned(), args: vec![Expr::var(name.clone())] }
        }
        Expr::Call { name, args } => {
            Expr::Call { name: name.clone(), args: args.iter().map(distinct_as_call).collect() }
        }
        other => other.clone(),
    }
}

/// The innermost call's name and its wildcard or regular expression.
fn wild_argument(expr: &Expr) -> Option<(String, &Expr)> {
    let mut at = expr;
    loop {
        let Expr::Call { name, args } = at else { return None };
        match args.first()? {
            inner @ Expr::Call { .. } => at = inner,
            wild @ (Expr::Wildcard(_) | Expr::Regex(_)) => return Some((name.clone(), wild)),
            _ => return None,
        }
    }
}

fn matching_fields(
    function: &str,
    argument: &Expr,
    universe: &Universe,
) -> Result<Vec<String>, QueryError> {
    let regex: Option<Regex> = match argument {
        Expr::Regex(regex) => Some(bytes_regex(regex)?),
        Expr::Wildcard(Wildcard::Tags) => {
            let text = format!("unable to use tag wildcard in {function}()");
            return Err(QueryError::Refused(text));
        }
        _ => None,
    };
    let matches = |name: &str| regex.as_ref().is_none_or(|regex| regex.is_match(name.as_bytes()));
    let fields = universe.fields.iter().filter(|(_, kind)| supports(function, **kind));
    Ok(fields.filter(|(name, _)| matches(name)).map(|(name, _)| name.clone()).collect())
}

/// Whether `function(*)` takes fields of a type.
fn supports(function: &str, kind: FieldType) -> bool {
    match kind {
        FieldType::Float | FieldType::Integer => true,
        FieldType::Unsigned => !function.starts_with("holt_winters"),
        FieldType::Boolean if matches!(function, "min" | "max") => true,
        FieldType::Boolean | FieldType::String => matches!(
            function,
            "count" | "first" | "last" | "distinct" | "elapsed" | "mode" | "sample"
        ),
    }
}

fn replace_innermost(expr: &Expr, field: &str) -> Expr {
    let Expr::Call { name, args } = expr else { return Expr::var(field) };
    let mut args = args.clone();
    if let Some(first) = args.first_mut() {
        *first = replace_innermost(first, field);
    }
    Expr::Call { name: name.clone(), args }
}

/// The name of a column without an alias.
pub fn name_of(expr: &Expr) -> String {
    match expr.unparen() {
        Expr::VarRef(var) => var.name.clone(),
        Expr::Call { name, .. } => name.clone(),
        binary @ Expr::Binary(_) => {
            let mut names: Vec<&str> = Vec::new();
            binary.walk(&mut |expr| match expr {
                Expr::VarRef(var) => {
                    names.push(&var.name);
                    true
                }
                Expr::Call { name, .. } => {
                    names.push(name);
                    false
                }
                _ => true,
            });
            names.join("_")
        }
        _ => String::new(),
    }
}

/// Aliases first, which may repeat; other names get `_1`, `_2`, … where they are taken.
fn name_all(columns: Vec<(Expr, Option<String>)>) -> Vec<(Expr, String)> {
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for (_, alias) in &columns {
        alias.iter().for_each(|alias| {
            taken.insert(alias.clone(), 1);
        });
    }
    let mut out = Vec::with_capacity(columns.len());
    for (expr, alias) in columns {
        let name = match alias {
            Some(alias) => alias,
            None => unique(name_of(&expr), &mut taken),
        };
        out.push((expr, name));
    }
    out
}

fn unique(name: String, taken: &mut BTreeMap<String, usize>) -> String {
    let mut chosen = name.clone();
    if let Some(mut count) = taken.get(&name).copied() {
        loop {
            chosen = format!("{name}_{count}");
            if !taken.contains_key(&chosen) {
                taken.insert(name, count + 1);
                break;
            }
            count += 1;
        }
    }
    *taken.entry(chosen.clone()).or_insert(0) += 1;
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, Statement, parse};

    fn columns(text: &str) -> String {
        let statements = parse(text, &Params::new()).unwrap();
        let [Statement::Select(query)] = statements.as_slice() else { panic!("{text}") };
        let field = |(name, kind): (&str, FieldType)| (name.to_owned(), kind);
        let fields = [
            ("i", FieldType::Integer),
            ("s", FieldType::String),
            ("v", FieldType::Float),
            ("host", FieldType::Boolean),
        ];
        let universe = Universe {
            fields: fields.into_iter().map(field).collect(),
            tags: ["host", "region"].map(|key| Box::from(key.as_bytes())).into(),
            labels: BTreeSet::new(),
            unknown: BTreeSet::new(),
        };
        let selected = select(&query.fields, &query.dimensions, &universe).unwrap();
        let mut names = vec![selected.time];
        names.extend(selected.columns.into_iter().map(|(_, name)| name));
        names.join(" ")
    }

    #[test]
    fn wildcards_are_written_out_by_name() {
        let cases = [
            ("select * from m", "time host host_1 i region s v"),
            ("select * from m group by *", "time host i s v"),
            ("select * from m group by host", "time host i region s v"),
            ("select * from m group by /reg/", "time host i s v"),
            ("select *::tag, v from m", "time host region v"),
            ("select /^[iv]$/ from m", "time i v"),
            ("select mean(*) from m", "time mean_i mean_v"),
            ("select max(/s|h|v/) from m", "time max_host max_v"),
            ("select count(*) from m", "time count_host count_i count_s count_v"),
        ];
        for (text, expected) in cases {
            assert_eq!(columns(text), expected, "{text}");
        }
    }

    #[test]
    fn names_are_made_unique_behind_aliases() {
        let cases = [
            ("select v, v as v_1, v from m", "time v v_1 v_2"),
            ("select time as t, v from m", "t v"),
            ("select v as a, i as a from m", "time a a"),
            ("select mean(v), mean(i), mean(v) + mean(i) from m", "time mean mean_1 mean_mean"),
            ("select (v + i) * v from m", "time v_i_v"),
            ("select distinct v from m", "time distinct"),
        ];
        for (text, expected) in cases {
            assert_eq!(columns(text), expected, "{text}");
        }
    }
}
