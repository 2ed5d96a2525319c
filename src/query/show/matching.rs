//! WHERE of a listing: which series of which measurements it leaves, and which tag keys.
//!
//! In: the condition and what the catalog knows of the measurements. Out: questions to the index,
//! one for all measurements that understand the condition alike. Rules of InfluxDB: `_name` and
//! `_tagKey` stand for the measurement and the tag key; what is about a field leaves every series
//! in a listing, and none in what is counted; SHOW TAG KEYS and TAG VALUES pass over terms that do
//! not begin with a name.

use super::target::Target;
use crate::catalog::State;
use crate::influxql::ast::{Binary, Cast, Expr, Op, VarRef};
use crate::model::MeasurementId;
use crate::query::QueryError;
use crate::query::source::bytes_regex;
use crate::shard::index::TagFilter;
use std::collections::{BTreeMap, BTreeSet};

/// The statement that a condition belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listed {
    Series,
    TagKeys,
    TagValues,
    /// All numbers but that of tag values.
    Count,
    CountTagValues,
}

/// Measurements and the series of them that a condition leaves.
pub type Part = (Vec<MeasurementId>, TagFilter);

type Names = BTreeSet<Box<[u8]>>;

/// What the condition of one statement means.
pub struct Matching<'a> {
    listed: Listed,
    condition: &'a Expr,
    /// Names in the condition.
    names: Vec<VarRef>,
}

/// A measurement as the condition sees it.
struct Seen<'s> {
    name: &'s [u8],
    fields: Names,
    /// Its tag keys, where they matter.
    tags: Option<&'s Names>,
}

const NAME: &str = "_name";
const TAG_KEY: &str = "_tagKey";

impl<'a> Matching<'a> {
    /// A condition without time.
    ///
    /// # Errors
    /// What the statement cannot ask for.
    pub fn new(listed: Listed, condition: &'a Expr) -> Result<Matching<'a>, QueryError> {
        let counted = matches!(listed, Listed::Count | Listed::CountTagValues);
        let mut ordered = false;
        condition.walk(&mut |expr| {
            if let Expr::Binary(node) = expr {
                ordered |= matches!(node.op, Op::Lt | Op::Lte | Op::Gt | Op::Gte);
                if listed == Listed::Series && is_comparison(node.op) {
                    let sides = [&node.lhs, &node.rhs].map(|side| side.unparen());
                    ordered |= sides.iter().any(|side| matches!(side, Expr::Binary(_)));
                }
            }
            true
        });
        if ordered && !counted {
            return refused("invalid tag comparison operator");
        }
        Ok(Matching { listed, condition, names: condition.var_refs() })
    }

    /// The questions to the index. `tags`: the tag keys of the measurements, for counts of values.
    ///
    /// # Errors
    /// A regular expression that cannot be compiled, terms that the statement does not take.
    pub fn parts(
        &self,
        catalog: &State,
        target: &Target,
        tags: &BTreeMap<MeasurementId, Names>,
    ) -> Result<Vec<Part>, QueryError> {
        let none = Names::new();
        // Where rows are counted, a name that is a field of one measurement is one everywhere.
        let counted = matches!(self.listed, Listed::Count | Listed::CountTagValues);
        let all = counted.then(|| target.fields(catalog));
        let mut alike: BTreeMap<Vec<u8>, Part> = BTreeMap::new();
        for (name, id) in &target.measurements {
            let tags =
                (self.listed == Listed::CountTagValues).then(|| tags.get(id).unwrap_or(&none));
            let fields = all.clone().unwrap_or_else(|| target.fields_of(catalog, *id));
            let seen = Seen { name, fields, tags };
            let traits = self.traits(&seen)?;
            if let Some((ids, _)) = alike.get_mut(&traits) {
                ids.push(*id);
                continue;
            }
            let filter = self.filter(&seen)?;
            alike.insert(traits, (vec![*id], filter));
        }
        let asked = |(_, filter): &Part| !matches!(filter, TagFilter::None);
        Ok(alike.into_values().filter(asked).collect())
    }

    /// Whether a tag key is listed.
    ///
    /// # Errors
    /// A regular expression that cannot be compiled, terms that SHOW TAG VALUES does not take.
    pub fn keys(&self) -> Result<impl Fn(&[u8]) -> bool + use<>, QueryError> {
        let strict = self.listed == Listed::TagValues;
        let term = |step| match step {
            Step::Join(op) => Ok(Err(op)),
            Step::Leaf(expr) => key_term(expr, strict).map(Ok),
        };
        let terms = steps(self.condition).into_iter().map(term);
        let terms = terms.collect::<Result<Vec<Result<KeyTerm, Op>>, QueryError>>()?;
        Ok(move |key: &[u8]| {
            let mut stack: Vec<Option<bool>> = Vec::new();
            for term in &terms {
                let value = match term {
                    Ok(term) => term.holds(key),
                    Err(op) => match (stack.pop().flatten(), stack.pop().flatten()) {
                        (Some(right), Some(left)) if *op == Op::And => Some(left && right),
                        (Some(right), Some(left)) => Some(left || right),
                        (right, left) => left.or(right),
                    },
                };
                stack.push(value);
            }
            stack.pop().flatten().unwrap_or(true)
        })
    }

    /// All of a measurement that the meaning of the condition depends on.
    fn traits(&self, seen: &Seen<'_>) -> Result<Vec<u8>, QueryError> {
        let mut out = Vec::with_capacity(2 * self.names.len());
        for var in &self.names {
            let name = var.name.as_bytes();
            out.push(u8::from(seen.fields.contains(name)));
            out.push(u8::from(seen.tags.is_some_and(|tags| tags.contains(name))));
        }
        for step in steps(self.condition) {
            let Step::Leaf(Expr::Binary(node)) = step else { continue };
            out.push(u8::from(name_term(node, seen.name)? == Some(true)));
        }
        Ok(out)
    }

    fn filter(&self, seen: &Seen<'_>) -> Result<TagFilter, QueryError> {
        let skips = matches!(self.listed, Listed::TagKeys | Listed::TagValues);
        if !skips {
            let filter = joined(self.condition, |leaf| self.leaf(leaf, seen).map(Some))?;
            return Ok(filter.unwrap_or(TagFilter::All));
        }
        // Names of measurements and filters of series are two conditions, of which each passes over
        // the terms of the other.
        let named = joined(self.condition, |leaf| {
            let Expr::Binary(node) = leaf else { return Ok(None) };
            let system = matches!(node.lhs.unparen(), Expr::VarRef(var) if var.name == NAME);
            let holds = name_term(node, seen.name)?.filter(|_| system);
            Ok(holds.map(|holds| if holds { TagFilter::All } else { TagFilter::None }))
        })?;
        if matches!(named.map(simplified), Some(TagFilter::None)) {
            return Ok(TagFilter::None);
        }
        let rest = joined(self.condition, |leaf| match leaf {
            Expr::Binary(node) => match node.lhs.unparen() {
                Expr::VarRef(var) if var.name == NAME || var.name == TAG_KEY => Ok(None),
                Expr::VarRef(_) => self.leaf(leaf, seen).map(Some),
                _ => Ok(constant(leaf).map(all_or_none)),
            },
            other => Ok(constant(other).map(all_or_none)),
        })?;
        let rest = rest.map_or(TagFilter::All, simplified);
        match rest {
            // The reference prints its own representation of what is left.
            TagFilter::None if self.names.is_empty() || self.is_false() => {
                refused("&influxql.BooleanLiteral{Val:false}")
            }
            rest => Ok(rest),
        }
    }

    /// Whether the condition is false whatever the names mean.
    fn is_false(&self) -> bool {
        let open = |leaf: &Expr| Ok(Some(constant(leaf).map_or(TagFilter::All, all_or_none)));
        let found = joined(self.condition, open).ok().flatten();
        matches!(found.map(simplified), Some(TagFilter::None))
    }

    /// One comparison as a question to the index.
    fn leaf(&self, leaf: &Expr, seen: &Seen<'_>) -> Result<TagFilter, QueryError> {
        let counted = matches!(self.listed, Listed::Count | Listed::CountTagValues);
        // What is about values leaves everything in a list, and nothing where rows are counted.
        let open = || if counted { TagFilter::None } else { TagFilter::All };
        if let Some(constant) = constant(leaf) {
            return Ok(all_or_none(constant));
        }
        let Expr::Binary(node) = leaf else { return Ok(open()) };
        if self.listed != Listed::CountTagValues
            && let Some(holds) = name_term(node, seen.name)?
        {
            return Ok(all_or_none(holds));
        }
        let (var, value) = match (node.lhs.unparen(), node.rhs.unparen()) {
            (Expr::VarRef(var), value) => (var, value),
            (value, Expr::VarRef(var)) => (var, value),
            _ => return Ok(open()),
        };
        if var.name == TAG_KEY {
            return Ok(TagFilter::All);
        }
        if !self.is_tag(var, seen) {
            return Ok(open());
        }
        let key = || Box::from(var.name.as_bytes());
        Ok(match (node.op, value) {
            (Op::Eq, Expr::String(text)) => {
                TagFilter::Equals { key: key(), value: text.as_bytes().into() }
            }
            (Op::Neq, Expr::String(text)) => {
                TagFilter::NotEquals { key: key(), value: text.as_bytes().into() }
            }
            (Op::EqRegex, Expr::Regex(regex)) => {
                TagFilter::Matches { key: key(), regex: bytes_regex(regex)? }
            }
            (Op::NeqRegex, Expr::Regex(regex)) => {
                TagFilter::NotMatches { key: key(), regex: bytes_regex(regex)? }
            }
            (Op::Eq | Op::Neq, Expr::VarRef(other)) => match counted {
                true if !self.is_tag(other, seen) => TagFilter::None,
                true => all_or_none(node.op == Op::Neq),
                false if !self.is_tag(other, seen) => TagFilter::All,
                // Two tags are held against each other by whether they are there.
                false => {
                    let second = has(other.name.as_bytes());
                    let second =
                        if node.op == Op::Eq { second } else { TagFilter::Not(Box::new(second)) };
                    TagFilter::And(vec![has(var.name.as_bytes()), second])
                }
            },
            _ => open(),
        })
    }

    fn is_tag(&self, var: &VarRef, seen: &Seen<'_>) -> bool {
        let name = var.name.as_bytes();
        match var.cast {
            Some(Cast::Tag) => true,
            Some(Cast::Field) => self.listed == Listed::Series,
            Some(_) => false,
            None if seen.fields.contains(name) => false,
            None => seen.tags.is_none_or(|tags| tags.contains(name)),
        }
    }
}

/// A term about the tag key.
enum KeyTerm {
    None,
    Equals(Box<[u8]>, bool),
    Matches(regex::bytes::Regex, bool),
}

impl KeyTerm {
    fn holds(&self, key: &[u8]) -> Option<bool> {
        match self {
            KeyTerm::None => None,
            KeyTerm::Equals(text, wanted) => Some((**text == *key) == *wanted),
            KeyTerm::Matches(regex, wanted) => Some(regex.is_match(key) == *wanted),
        }
    }
}

fn key_term(leaf: &Expr, strict: bool) -> Result<KeyTerm, QueryError> {
    let Expr::Binary(node) = leaf else { return Ok(KeyTerm::None) };
    if constant(leaf).is_some() {
        return Ok(KeyTerm::None);
    }
    let var = match node.lhs.unparen() {
        Expr::VarRef(var) => var,
        _ if strict => {
            let op = node.op.text();
            return Err(QueryError::Refused(format!("left side of '{op}' must be a tag key")));
        }
        _ => return Ok(KeyTerm::None),
    };
    if var.name != TAG_KEY {
        return Ok(KeyTerm::None);
    }
    Ok(match (node.op, node.rhs.unparen()) {
        (Op::Eq | Op::Neq, Expr::String(text)) => {
            KeyTerm::Equals(text.as_bytes().into(), node.op == Op::Eq)
        }
        (Op::EqRegex | Op::NeqRegex, Expr::Regex(regex)) => {
            KeyTerm::Matches(bytes_regex(regex)?, node.op == Op::EqRegex)
        }
        _ => KeyTerm::None,
    })
}

/// Whether a comparison with `_name` holds for a measurement; `None` for other terms.
fn name_term(node: &Binary, name: &[u8]) -> Result<Option<bool>, QueryError> {
    let is_name = |expr: &Expr| matches!(expr.unparen(), Expr::VarRef(var) if var.name == NAME);
    let value = match (is_name(&node.lhs), is_name(&node.rhs)) {
        (true, false) => node.rhs.unparen(),
        (false, true) => node.lhs.unparen(),
        _ => return Ok(None),
    };
    Ok(match (node.op, value) {
        (Op::Eq, Expr::String(text)) => Some(text.as_bytes() == name),
        (Op::Neq, Expr::String(text)) => Some(text.as_bytes() != name),
        (Op::EqRegex, Expr::Regex(regex)) => Some(bytes_regex(regex)?.is_match(name)),
        (Op::NeqRegex, Expr::Regex(regex)) => Some(!bytes_regex(regex)?.is_match(name)),
        _ => None,
    })
}

/// The value of a term without names.
fn constant(leaf: &Expr) -> Option<bool> {
    let node = match leaf {
        Expr::Boolean(value) => return Some(*value),
        Expr::Binary(node) => node,
        _ => return None,
    };
    let same = match (node.lhs.unparen(), node.rhs.unparen()) {
        (Expr::Integer(left), Expr::Integer(right)) => left == right,
        (Expr::Float(left), Expr::Float(right)) => left == right,
        (Expr::String(left), Expr::String(right)) => left == right,
        (Expr::Boolean(left), Expr::Boolean(right)) => left == right,
        _ => return None,
    };
    match node.op {
        Op::Eq => Some(same),
        Op::Neq => Some(!same),
        _ => None,
    }
}

fn all_or_none(all: bool) -> TagFilter {
    if all { TagFilter::All } else { TagFilter::None }
}

fn has(key: &[u8]) -> TagFilter {
    TagFilter::NotEquals { key: key.into(), value: Box::default() }
}

fn is_comparison(op: Op) -> bool {
    matches!(op, Op::Eq | Op::Neq | Op::EqRegex | Op::NeqRegex)
}

fn refused<T>(text: &str) -> Result<T, QueryError> {
    Err(QueryError::Refused(text.to_owned()))
}

/// A filter of constants as a constant.
fn simplified(filter: TagFilter) -> TagFilter {
    match &filter {
        TagFilter::And(parts) if parts.iter().any(|part| matches!(part, TagFilter::None)) => {
            TagFilter::None
        }
        TagFilter::Or(parts) if parts.iter().all(|part| matches!(part, TagFilter::None)) => {
            TagFilter::None
        }
        _ => filter,
    }
}

enum Step<'e> {
    Leaf(&'e Expr),
    Join(Op),
}

/// The condition in postfix order, without recursion.
fn steps(condition: &Expr) -> Vec<Step<'_>> {
    let mut out = Vec::new();
    let mut waiting = vec![condition];
    while let Some(expr) = waiting.pop() {
        match expr.unparen() {
            Expr::Binary(node) if matches!(node.op, Op::And | Op::Or) => {
                out.push(Step::Join(node.op));
                waiting.extend([&node.lhs, &node.rhs]);
            }
            other => out.push(Step::Leaf(other)),
        }
    }
    out.reverse();
    out
}

/// The terms' filters joined; a term without one leaves the other side alone.
fn joined(
    condition: &Expr,
    mut leaf: impl FnMut(&Expr) -> Result<Option<TagFilter>, QueryError>,
) -> Result<Option<TagFilter>, QueryError> {
    let mut stack: Vec<Option<TagFilter>> = Vec::new();
    for step in steps(condition) {
        let next = match step {
            Step::Leaf(expr) => leaf(expr)?,
            Step::Join(op) => match (stack.pop().flatten(), stack.pop().flatten()) {
                (Some(right), Some(left)) => Some(simplified(pair(op, left, right))),
                (right, left) => left.or(right),
            },
        };
        stack.push(next);
    }
    Ok(stack.pop().flatten())
}

/// Two filters as one; chains of one operator become one list.
fn pair(op: Op, left: TagFilter, right: TagFilter) -> TagFilter {
    match (op, left) {
        (Op::And, TagFilter::And(mut parts)) => {
            parts.push(right);
            TagFilter::And(parts)
        }
        (Op::Or, TagFilter::Or(mut parts)) => {
            parts.push(right);
            TagFilter::Or(parts)
        }
        (Op::And, left) => TagFilter::And(vec![left, right]),
        (_, left) => TagFilter::Or(vec![left, right]),
    }
}
