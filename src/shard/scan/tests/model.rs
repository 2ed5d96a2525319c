//! The obvious way: a map of rows, one value at a time.

use super::super::few::FEW_MAX;
use super::super::merge::{compare_aux, compare_values, preference};
use super::*;
use crate::model::series_key;
use crate::shard::index::TagFilter;
use std::cmp::Ordering;

/// Rows by (series, time).
pub type Table = BTreeMap<(u32, i64), Row>;

pub fn table(events: &[Event]) -> Table {
    let mut table = Table::new();
    for event in events {
        match event {
            Event::Write(rows) => {
                for (series, time, row) in rows {
                    testing::overwrite(table.entry((*series, *time)).or_default(), row);
                }
            }
            Event::Delete(series, range) => {
                table.retain(|(s, time), _| s != series || !range.contains(*time));
            }
            Event::Flush | Event::Compact => {}
        }
    }
    table
}

fn tag(series: u32, key: &[u8]) -> Vec<u8> {
    let tags = tags_of(series);
    let found = tags.into_iter().find(|(known, _)| known.as_bytes() == key);
    found.map_or(Vec::new(), |(_, value)| value.into_bytes())
}

fn passes(filter: &TagFilter, series: u32) -> bool {
    match filter {
        TagFilter::All => true,
        TagFilter::None => false,
        TagFilter::Equals { key, value } => tag(series, key) == **value,
        TagFilter::NotEquals { key, value } => tag(series, key) != **value,
        TagFilter::Matches { key, regex } => regex.is_match(&tag(series, key)),
        TagFilter::NotMatches { key, regex } => !regex.is_match(&tag(series, key)),
        TagFilter::And(all) => all.iter().all(|one| passes(one, series)),
        TagFilter::Or(all) => all.iter().any(|one| passes(one, series)),
        TagFilter::Not(one) => !passes(one, series),
    }
}

fn field(row: &Row, field: &FieldRef) -> Option<Value> {
    let value = field.columns.iter().find_map(|id| row.get(id))?;
    Some(match (value, field.kind) {
        (Value::Integer(value), FieldType::Float) => Value::Float(*value as f64),
        (value, _) => value.clone(),
    })
}

/// The filters that random questions use, one row at a time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Where {
    All,
    FloatAbove(i64),
    IntegerOddOrHost0,
    TextIs,
}

impl Where {
    pub fn expr(self) -> Option<Expr> {
        let binary =
            |op, left, right| Expr::Binary { op, left: Box::new(left), right: Box::new(right) };
        let literal = |value| Expr::Literal(Value::Integer(value));
        Some(match self {
            Where::All => return None,
            Where::FloatAbove(bound) => binary(Operator::Gt, Expr::Field(0), literal(bound)),
            Where::IntegerOddOrHost0 => binary(
                Operator::Or,
                binary(Operator::Eq, binary(Operator::Mod, Expr::Field(1), literal(2)), literal(1)),
                binary(
                    Operator::Eq,
                    Expr::Tag(1),
                    Expr::Literal(Value::String(b"h0".as_slice().into())),
                ),
            ),
            Where::TextIs => Expr::Matches {
                left: Box::new(Expr::Field(2)),
                regex: regex::bytes::Regex::new("^x?$").unwrap(),
                negated: true,
            },
        })
    }

    fn holds(self, series: u32, values: &[Option<Value>]) -> bool {
        match self {
            Where::All => true,
            Where::FloatAbove(bound) => {
                matches!(&values[0], Some(Value::Float(value)) if *value > bound as f64)
            }
            Where::IntegerOddOrHost0 => {
                let odd = matches!(&values[1], Some(Value::Integer(value)) if value % 2 == 1);
                odd || tag(series, b"host") == b"h0"
            }
            Where::TextIs => {
                matches!(&values[2], Some(Value::String(text)) if text.len() > 1)
            }
        }
    }
}

/// The rows that a question looks at, by group: (time, key, series, values of the fields).
type Point = (i64, Vec<u8>, u32, Vec<Option<Value>>);

fn select(table: &Table, request: &Request, filter: Where) -> BTreeMap<Vec<Box<[u8]>>, Vec<Point>> {
    let mut groups: BTreeMap<Vec<Box<[u8]>>, Vec<Point>> = BTreeMap::new();
    for ((series, time), row) in table {
        let values: Vec<_> = request.fields.iter().map(|one| field(row, one)).collect();
        let expired = matches!(
            row.get(&ColumnId::EXPIRE), Some(Value::Integer(end)) if *end <= request.now_ns
        );
        let inside = request.range.contains(*time) && passes(&request.series, *series);
        if inside && !expired && filter.holds(*series, &values) {
            let name = request.group_by.iter().map(|key| tag(*series, key).into()).collect();
            let key = key_of(*series).as_bytes().to_vec();
            groups.entry(name).or_default().push((*time, key, *series, values));
        }
    }
    let ordered =
        |a: &Point, b: &Point| a.0.cmp(&b.0).then_with(|| series_key::compare(&a.1, &b.1));
    groups.values_mut().for_each(|rows| rows.sort_by(ordered));
    groups
}

/// Orders rows by time, then by the texts of their series' keys.
pub fn sort(rows: &mut [Shown], order: Order) {
    rows.sort_by(|a, b| {
        let found = a.0.cmp(&b.0).then_with(|| series_key::compare(&a.1, &b.1));
        if order == Order::Descending { found.reverse() } else { found }
    });
}

/// What rows a question shows.
pub fn rows(table: &Table, request: &Request, filter: Where) -> Vec<ShownGroup> {
    let Output::Rows { visible, limit } = request.output else { panic!("rows") };
    let mut all = Vec::new();
    for (name, points) in select(table, request, filter) {
        let shown = points.into_iter().filter(|(.., v)| v[..visible].iter().any(Option::is_some));
        let mut shown: Vec<Shown> = shown.map(|(time, key, _, v)| (time, key, v)).collect();
        sort(&mut shown, request.order);
        shown.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        if !shown.is_empty() {
            all.push((name, shown));
        }
    }
    if request.order == Order::Descending {
        all.reverse();
    }
    all
}

/// The state of one bucket, whatever it is made of, in a form that compares.
pub fn show(states: &States, at: usize) -> String {
    match states {
        States::Count(count) => format!("{}", count[at]),
        States::SumInteger { sum, count } => format!("{} of {}", sum[at], count[at]),
        States::SumUnsigned { sum, count } => format!("{} of {}", sum[at], count[at]),
        States::SumFloat { high, low, count } => format!("{} of {}", high[at] + low[at], count[at]),
        States::Picked(all) => format!("{:?}", all[at]),
        States::Spread(all) => format!("{:?}", all[at]),
        States::Moments { count, mean, squares } => {
            format!("{} {:.9} {:.6}", count[at], mean[at], squares[at])
        }
        States::Samples(all) => {
            let Samples { times, values, aux, .. } = &all[at];
            format!("{times:?} {values:?} {aux:?}")
        }
        States::Kept(all) => format!("{:?}", all[at].points),
    }
}

/// Name, first bucket, and by aggregate and bucket what `show` says of the states.
pub type ShownStates = (Vec<Box<[u8]>>, i64, i64, i64, Vec<Vec<String>>);

/// The values behind a sum or a deviation, in order of time.
fn few_shown(values: Vec<(i64, f64)>) -> String {
    let mut values = values;
    values.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    format!("{values:?}")
}

pub fn shown(groups: &[Group]) -> Vec<ShownStates> {
    let one = |group: &Group| {
        let few = |at: usize| {
            let few = group.few.get(at).and_then(Option::as_ref)?;
            let of = |group: &Group| group.few.get(at)?.as_ref().map(|few| few.values.len());
            let total: usize = groups.iter().filter_map(of).sum();
            let values = few.values.iter().map(|(_, time, value)| (*time, *value));
            (total <= FEW_MAX).then(|| few_shown(values.collect()))
        };
        let states = |(place, states): (usize, &States)| {
            let buckets = (0..states.len()).map(|at| show(states, at));
            buckets.chain(few(place)).collect()
        };
        let all = group.states.iter().enumerate().map(states).collect();
        (group.values.to_vec(), group.first_bucket, group.first_time, group.last_time, all)
    };
    groups.iter().map(one).collect()
}

/// What aggregates a question shows.
pub fn groups(table: &Table, request: &Request, filter: Where) -> Vec<ShownStates> {
    let Output::Aggregates { buckets, aggregates } = &request.output else { panic!("aggregates") };
    let mut all = Vec::new();
    let selected = select(table, request, filter);
    for (name, points) in selected.clone() {
        let used = |point: &&Point| {
            let bucket = buckets.number(point.0);
            bucket.is_some() && aggregates.iter().any(|one| point.3[one.field].is_some())
        };
        let points: Vec<&Point> = points.iter().filter(used).collect();
        let (Some(first), Some(last)) = (points.first(), points.last()) else { continue };
        let first_bucket = buckets.number(first.0).unwrap();
        let last_bucket = buckets.number(last.0).unwrap();
        let states = aggregates.iter().map(|aggregate| {
            let bucket = |bucket: i64| {
                let inside = points.iter().filter(|point| buckets.number(point.0) == Some(bucket));
                let counts = |point: &&Point| {
                    point.3[aggregate.field].is_some() && aggregate.range.contains(point.0)
                };
                let values: Vec<&Point> = inside.copied().filter(counts).collect();
                state(request, aggregate, &values)
            };
            let few = || few_shown(noted(request, aggregate, &points));
            let float = request.fields[aggregate.field].kind == FieldType::Float;
            let wanted = match aggregate.function {
                Function::Sum => float,
                function => function == Function::Moments,
            };
            let all = selected
                .values()
                .map(|points| noted(request, aggregate, &points.iter().collect::<Vec<_>>()).len());
            let wanted = wanted && all.sum::<usize>() <= FEW_MAX;
            let buckets = (first_bucket..=last_bucket).map(bucket);
            buckets.chain(wanted.then(few)).collect()
        });
        all.push((name, first_bucket, first.0, last.0, states.collect()));
    }
    if request.order == Order::Descending {
        all.reverse();
    }
    all
}

/// The values that count for an aggregate, with their times.
fn noted(request: &Request, aggregate: &Aggregate, points: &[&Point]) -> Vec<(i64, f64)> {
    let Output::Aggregates { buckets, .. } = &request.output else { return Vec::new() };
    let counts =
        |point: &&&Point| aggregate.range.contains(point.0) && buckets.number(point.0).is_some();
    let value = |point: &&Point| Some((point.0, number(point.3[aggregate.field].as_ref()?)));
    points.iter().filter(counts).filter_map(value).collect()
}

/// Whether rows may be left unread, so that a group's times say little.
pub fn may_end_early(request: &Request) -> bool {
    let Output::Aggregates { buckets, aggregates } = &request.output else { return false };
    let ends = [Function::First, Function::FirstLeast, Function::Last];
    let end = |one: &Aggregate| ends.contains(&one.function);
    *buckets == Buckets::One && aggregates.iter().all(end)
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Float(value) => *value,
        Value::Integer(value) => *value as f64,
        _ => f64::NAN,
    }
}

fn state(request: &Request, aggregate: &Aggregate, points: &[&Point]) -> String {
    let kind = request.fields[aggregate.field].kind;
    let value = |point: &Point| point.3[aggregate.field].clone().unwrap();
    let values: Vec<Value> = points.iter().map(|point| value(point)).collect();
    let mut states = States::empty(aggregate.function, kind, 1);
    let aux = |point: &Point| -> Vec<Option<Value>> {
        let one = |aux: &Aux| match aux {
            Aux::Field(at) => point.3[*at].clone(),
            Aux::Tag(at) => {
                let text = tag(point.2, &request.tags[*at]);
                (!text.is_empty()).then(|| Value::String(text.into()))
            }
        };
        aggregate.aux.iter().map(one).collect()
    };
    match &mut states {
        States::Count(count) => count[0] = points.len() as u64,
        States::SumInteger { sum, count } => {
            let one = |value: &Value| if let Value::Integer(value) = value { *value } else { 0 };
            sum[0] = values.iter().map(one).fold(0, i64::wrapping_add);
            count[0] = points.len() as u64;
        }
        States::SumUnsigned { .. } => {}
        States::SumFloat { high, count, .. } => {
            high[0] = values.iter().map(number).sum::<f64>() + 0.0;
            count[0] = points.len() as u64;
        }
        States::Picked(all) => {
            for point in points {
                let new = Picked { time: point.0, value: value(point), aux: aux(point) };
                super::super::merge::pick(aggregate.function, &mut all[0], Some(new));
            }
            // The rule itself is held by a test of its own; here any best point will do.
            let held = all[0].as_ref();
            assert!(held.is_none_or(|held| points.iter().all(|point| {
                let other = value(point);
                let held = (held.time, &held.value);
                preference(aggregate.function, held, (point.0, &other)).is_le()
            })));
        }
        States::Spread(all) => {
            let low = values.iter().min_by(|a, b| compare_values(a, b)).cloned();
            let high = values.iter().max_by(|a, b| compare_values(a, b)).cloned();
            all[0] = low.zip(high);
        }
        States::Moments { count, mean, squares } if !values.is_empty() => {
            let n = values.len() as f64;
            count[0] = values.len() as u64;
            mean[0] = values.iter().map(number).sum::<f64>() / n;
            squares[0] = values.iter().map(|v| (number(v) - mean[0]).powi(2)).sum::<f64>();
        }
        States::Moments { .. } => {}
        States::Kept(all) => all[0].points = kept(aggregate.function, points, value, aux),
        States::Samples(all) => {
            for point in in_order(aggregate.function, points, value) {
                let value = value(point);
                let seen = aggregate.function == Function::Distinct
                    && all[0].values.iter().any(|held| compare_values(held, &value).is_eq());
                if !seen {
                    all[0].times.push(point.0);
                    all[0].values.push(value);
                    all[0].aux.extend(aux(point));
                }
            }
        }
    }
    show(&states, 0)
}

/// Points by time; of equal times by series, or by value where series do not matter.
fn in_order<'a>(
    function: Function,
    points: &[&'a Point],
    value: impl Fn(&Point) -> Value,
) -> Vec<&'a Point> {
    let mut entries = points.to_vec();
    entries.sort_by(|a, b| {
        let by_value = compare_values(&value(a), &value(b));
        let by_key = if function == Function::Distinct {
            Ordering::Equal
        } else {
            series_key::compare(&a.1, &b.1)
        };
        a.0.cmp(&b.0).then(by_key).then(by_value)
    });
    entries
}

/// The points that stay, looked for one by one.
fn kept(
    function: Function,
    points: &[&Point],
    value: impl Fn(&Point) -> Value,
    aux: impl Fn(&Point) -> Vec<Option<Value>>,
) -> Vec<Ranked> {
    let (count, by) = match function {
        Function::Best { count, by, .. } => (count, by),
        Function::Sample { count, .. } => (count, None),
        _ => panic!("a function that keeps points"),
    };
    let ranked = |point: &Point| {
        let hash = xxhash_rust::xxh3::xxh3_64(key_of(point.2).as_bytes());
        let rank = match function {
            Function::Sample { seed, .. } => super::super::keep::rank(seed, hash, point.0),
            _ => 0,
        };
        Ranked { rank, point: Picked { time: point.0, value: value(point), aux: aux(point) } }
    };
    let mut left: Vec<Ranked> = points.iter().map(|point| ranked(point)).collect();
    let better = |a: &Ranked, b: &Ranked| {
        let by_value = compare_values(&a.point.value, &b.point.value);
        let by_value = match function {
            Function::Best { smallest: true, .. } => by_value,
            Function::Best { .. } => by_value.reverse(),
            _ => a.rank.cmp(&b.rank),
        };
        let by_time = by_value.then(a.point.time.cmp(&b.point.time));
        by_time.then_with(|| compare_aux(&a.point.aux, &b.point.aux)).is_lt()
    };
    let mut out: Vec<Ranked> = Vec::new();
    while out.len() < count && !left.is_empty() {
        let mut best = 0;
        for at in 1..left.len() {
            if better(&left[at], &left[best]) {
                best = at;
            }
        }
        let found = left.remove(best);
        let same = |held: &Ranked| {
            let by = by.unwrap_or(0).min(held.point.aux.len());
            compare_aux(&held.point.aux[..by], &found.point.aux[..by]).is_eq()
        };
        if by.is_none() || !out.iter().any(same) {
            out.push(found);
        }
    }
    out
}
