//! SELECT with functions: groups of states from the shards, finished bucket by bucket.
//!
//! In: merged groups. Out: for each group its rows: the points of every call, filled, joined by
//! time, put into the selected expressions, within the limits.

use super::super::aggregate::{Point, few, finish};
use super::super::functions::Stream;
use super::super::plan::Timing;
use super::super::plan::calls::{Call, Calls, Kind};
use super::super::result::{Cell, Column as Out, ResultPart, Series, Sink};
use super::super::{Context, QueryError};
use super::fill::{Gaps, Timed, fill, fill_gaps};
use super::groups::GroupMerge;
use super::join::{Row, join};
use super::nested::{self, Inner};
use super::outline::{Member, Unit};
use super::window::Window;
use super::{Question, Shape, newest};
use crate::influxql::ast::Fill;
use crate::model::{Bitmap, Column, ColumnId, FieldNo, FieldType, TimeRange, Value, Values};
use crate::shard::scan::expr::{RowsView, eval, push};
use crate::shard::scan::{
    Aggregate, Buckets, Expr, Few, Function, Group, Output, ScanError, States,
};
use futures_lite::future;
use std::borrow::Cow;

/// Memory of a row that is being made, for the bound on buckets (bytes).
const ROW_BYTES: usize = 96;

/// Buckets that are filled at once where most of a long series is empty.
const FILLED_AT_ONCE: i64 = 16_384;
/// Rows of one series beyond which filling is refused.
const FILLED_MAX: i128 = 20_000_000;

/// A series of results: its head, the values of its group, and the points of each call.
type Found<'a> = (Series, &'a [Box<[u8]>], Points);

/// The points of each call in one group.
struct Points {
    calls: Vec<Vec<Timed>>,
    /// The first and the last bucket, where they are still to be filled, part by part.
    open: Option<(i64, i64)>,
}

/// What is left of one call's points while its buckets are filled part by part.
struct Lane {
    points: std::iter::Peekable<std::vec::IntoIter<Timed>>,
    /// Where its first bucket that is filled starts.
    begin: Option<i64>,
    /// The last point of the parts before, where the next part depends on it.
    before: Option<Timed>,
}

struct Plan<'a> {
    shape: &'a Shape<'a>,
    calls: Calls,
    columns: &'a [Expr],
    timing: Timing,
    /// Whether all rows come from measurements.
    stored: bool,
}

/// Gives the series of one unit.
pub(super) async fn run(
    context: Context<'_>,
    shape: &Shape<'_>,
    unit: &Unit<'_>,
    (calls, columns, window): (&Calls, &[Expr], Window),
    sink: &mut impl Sink,
) -> Result<(), QueryError> {
    let (mut timing, mut calls) = (shape.timing.clone(), calls.clone());
    look_back(&mut timing, &mut calls, shape.descending);
    let Some(data) = nested::data(context, unit, timing.range) else { return Ok(()) };
    let mut window = window;
    if calls.aggregates.is_empty() || window.series_done() {
        return Ok(());
    }
    timing.in_zone(data)?;
    check_buckets(context, &timing)?;
    let is_stored = |member: &Member<'_>| matches!(member, Member::Stored { .. });
    let stored = unit.members.iter().all(is_stored);
    let plan = Plan { shape, calls, columns, timing, stored };
    if let Some(needed) = plan.newest_rows() {
        for range in newest::ranges(&plan.timing, data, needed) {
            let mut merge = plan.scatter(context, unit, (range, &window)).await?;
            let Some(group) = merge.next().await? else { continue };
            let (head, group_values) = (shape.series(unit, &group.values), group.values.clone());
            let points = plan.points_of(group, context.options.memory_bytes).await?;
            if points.calls.iter().all(|points| points.len() as u64 >= needed) {
                plan.give(context, &mut window, (head, &group_values, points), sink).await?;
                return Ok(());
            }
        }
    }
    let mut merge = plan.scatter(context, unit, (plan.timing.range, &window)).await?;
    while let Some(group) = merge.next().await? {
        let (head, group_values) = (shape.series(unit, &group.values), group.values.clone());
        let points = plan.points_of(group, context.options.memory_bytes).await?;
        let any = points.calls.iter().any(|points| !points.is_empty());
        if any && !plan.give(context, &mut window, (head, &group_values, points), sink).await? {
            break;
        }
    }
    Ok(())
}

/// Adds what a member gives to the merge.
async fn lanes(
    context: Context<'_>,
    (shape, unit, member): (&Shape<'_>, &Unit<'_>, &Member<'_>),
    (timing, range, calls, window): (&Timing, TimeRange, &Calls, &Window),
    merge: &mut GroupMerge,
) -> Result<(), QueryError> {
    let fields = unit.fields_of(member);
    match member {
        Member::Stored { stored, times } => {
            let (buckets, aggregates) = (timing.buckets.clone(), calls.aggregates.clone());
            let output = Output::Aggregates { buckets, aggregates };
            let groups = window.chosen();
            let question = Question { fields: &fields, range, output, groups };
            let Some(request) = shape.request(context, unit, stored, question)? else {
                return Ok(());
            };
            super::check_series(context, &request).await?;
            super::scans(context, unit, &request, *times)
                .into_iter()
                .for_each(|scan| merge.add(scan));
        }
        Member::Nested { query, unit: inner, .. } => {
            let by_tags = |a: &Aggregate| matches!(a.function, Function::Best { by: Some(_), .. });
            let by_tags = calls.aggregates.iter().any(by_tags);
            let tags = if by_tags { unit.work.tags.as_slice() } else { &[] };
            let inner = Inner { query, unit: *inner, range, tags };
            let aggregates = (timing.buckets.clone(), calls.aggregates.as_slice());
            let from = nested::Place { shape, unit, fields: &fields };
            merge.add_held(nested::groups(context, from, inner, aggregates).await?);
        }
    }
    Ok(())
}

/// Widens the range by the buckets that functions over streams read before it.
fn look_back(timing: &mut Timing, calls: &mut Calls, descending: bool) {
    let buckets = calls.looks_back();
    if timing.width_ns == 0 || buckets == 0 || !(descending || timing.has_start()) {
        return;
    }
    let (own, width) = (timing.range, timing.width_ns);
    let range_of = |back: i64| {
        let extra = width.saturating_mul(back);
        match descending {
            true => TimeRange::new(own.first, own.last.saturating_add(extra)),
            false => TimeRange::new(own.first.saturating_sub(extra), own.last),
        }
    };
    calls.set_ranges(range_of);
    timing.range = range_of(buckets);
}

/// The limit on buckets that the operator sets.
fn check_buckets(context: Context<'_>, timing: &Timing) -> Result<(), QueryError> {
    let limit = context.options.limits.select_buckets;
    // Without a lower bound the reference does not look; memory bounds the buckets all the same.
    if limit == 0 || timing.width_ns == 0 || !timing.has_start() {
        return Ok(());
    }
    let (first, last) = (timing.bucket(timing.range.first), timing.bucket(timing.range.last));
    let count = i128::from(last) - i128::from(first) + 1;
    if count > i128::from(limit) {
        let text = format!("max-select-buckets limit exceeded: ({count}/{limit})");
        return Err(QueryError::Refused(text));
    }
    Ok(())
}

impl Plan<'_> {
    /// Rows of the answer when they are the newest ones of a single group, so that looking at the
    /// newest buckets first may be enough; `None`: all buckets have to be looked at.
    fn newest_rows(&self) -> Option<u64> {
        let shape = self.shape;
        let even = matches!(self.timing.buckets, Buckets::Even { .. });
        let plain = !matches!(shape.fill, Fill::Previous | Fill::Linear);
        let single = shape.group_by.is_empty() && self.stored;
        let fits = shape.descending && even && plain && single;
        self.rows_needed().filter(|_| fits)
    }

    /// Asks all members for a range of time.
    async fn scatter(
        &self,
        context: Context<'_>,
        unit: &Unit<'_>,
        (range, window): (TimeRange, &Window),
    ) -> Result<GroupMerge, QueryError> {
        let shape = self.shape;
        let aggregates = self.calls.aggregates.clone();
        let mut merge =
            GroupMerge::new(Vec::new(), shape.order(), aggregates, context.options.memory_bytes);
        for member in &unit.members {
            let asked = (&self.timing, range, &self.calls, window);
            lanes(context, (shape, unit, member), asked, &mut merge).await?;
        }
        Ok(merge)
    }

    /// Hands on the rows of a series that are part of the answer; false when no later series is.
    async fn give(
        &self,
        context: Context<'_>,
        window: &mut Window,
        (head, group, points): Found<'_>,
        sink: &mut impl Sink,
    ) -> Result<bool, QueryError> {
        window.next_series(group);
        if window.series_done() {
            return Ok(false);
        }
        if let Some(buckets) = points.open {
            self.give_parts(context, head, (points.calls, buckets), sink).await?;
            return Ok(true);
        }
        // LIMIT and OFFSET count the points of each function, not the rows that they make together.
        let points = points.calls.into_iter().map(|points| window.cut(points)).collect();
        let mut rows = join(points, self.shape.descending);
        if self.shape.fill == Fill::Previous && self.timing.width_ns > 0 {
            repeat_previous(&mut rows);
        }
        if !rows.is_empty() {
            let series = self.project(head, rows);
            sink.part(ResultPart::of_series(context.statement_id, series)).await?;
        }
        Ok(true)
    }

    /// The points of each call in one group.
    async fn points_of(&self, mut group: Group, memory_bytes: usize) -> Result<Points, QueryError> {
        let mut found = Vec::with_capacity(self.calls.calls.len());
        for (at, call) in self.calls.calls.iter().enumerate() {
            // States that a later call needs as well are copied.
            let later = self.calls.calls.iter().skip(at + 1);
            let shared = later.filter(|other| other.aggregate == call.aggregate).count() > 0;
            let few = call.aggregate.and_then(|aggregate| group.few.get(aggregate)?.as_ref());
            if let Some(points) = few.and_then(|few| self.few_points(call, few)) {
                found.push(points);
                continue;
            }
            let states = call.aggregate.and_then(|aggregate| group.states.get_mut(aggregate));
            let points = match states {
                Some(states) if shared => {
                    self.points(call, &mut states.clone(), group.first_bucket)
                }
                Some(states) => self.points(call, states, group.first_bucket),
                None => Vec::new(),
            };
            found.push(points);
        }
        let open = self.filled_in_parts(&found);
        if open.is_some() {
            return Ok(Points { calls: found, open });
        }
        let mut calls = Vec::with_capacity(found.len());
        for (call, points) in self.calls.calls.iter().zip(found) {
            let points = self.filled(call, points, memory_bytes)?;
            calls.push(self.transformed(call, points, memory_bytes).await?);
        }
        Ok(Points { calls, open })
    }

    /// The buckets of a group with very many of them, when all of them are part of the answer: then
    /// no more than a part of the rows is ever held.
    fn filled_in_parts(&self, calls: &[Vec<Timed>]) -> Option<(i64, i64)> {
        let plain = |call: &Call| {
            let distinct = matches!(call.kind, Kind::Distinct | Kind::DistinctLatest);
            call.transforms.is_empty() && !call.kind.keeps_own_times() && !distinct
        };
        let fits = self.shape.fill != Fill::None
            && self.timing.width_ns > 0
            && self.calls.calls.iter().all(plain);
        if !fits || !self.shape.window.is_open() {
            return None;
        }
        let times = calls.iter().flatten().map(|(at, _)| *at);
        let first = self.first_filled(times.min()?);
        let last = self.timing.bucket(self.timing.range.last);
        let count = i128::from(last) - i128::from(first) + 1;
        (count > i128::from(FILLED_AT_ONCE) && count <= FILLED_MAX).then_some((first, last))
    }

    /// The first bucket that is filled, where the least time of a point is known.
    fn first_filled(&self, least: i64) -> i64 {
        // Rows of subqueries may lie before the range, at the start of their own buckets.
        let begin = match self.timing.has_start() {
            true => least.min(self.timing.range.first),
            false => least,
        };
        self.timing.bucket(begin)
    }

    /// Fills and hands on the rows of a group, part by part.
    async fn give_parts(
        &self,
        context: Context<'_>,
        head: Series,
        (calls, (first, last)): (Vec<Vec<Timed>>, (i64, i64)),
        sink: &mut impl Sink,
    ) -> Result<(), QueryError> {
        let descending = self.shape.descending;
        let least = |points: &[Timed]| points.iter().map(|(at, _)| *at).min();
        // Each call is filled from its own first point on.
        let begin =
            |points: &[Timed]| least(points).map(|at| self.timing.start(self.first_filled(at)));
        let lane = |points: Vec<Timed>| {
            let begin = begin(&points);
            Lane { points: points.into_iter().peekable(), begin, before: None }
        };
        let mut lanes: Vec<Lane> = calls.into_iter().map(lane).collect();
        let parts = (last - first) / FILLED_AT_ONCE;
        for part in 0..=parts {
            let part = if descending { parts - part } else { part };
            let from = first + part * FILLED_AT_ONCE;
            let to = last.min(from + FILLED_AT_ONCE - 1);
            let mut times: Vec<i64> = (from..=to).map(|at| self.timing.start(at)).collect();
            if descending {
                times.reverse();
            }
            let mut filled = Vec::with_capacity(lanes.len());
            for (call, lane) in self.calls.calls.iter().zip(&mut lanes) {
                filled.push(self.next_part(call, lane, &times));
            }
            let rows = join(filled, descending);
            if !rows.is_empty() {
                let series = self.project(head.clone(), rows);
                sink.part(ResultPart::of_series(context.statement_id, series)).await?;
            }
            future::yield_now().await;
        }
        Ok(())
    }

    /// The points of one call in the next part of its buckets, which start at `times`.
    fn next_part(&self, call: &Call, lane: &mut Lane, times: &[i64]) -> Vec<Timed> {
        let Some(begin) = lane.begin else { return Vec::new() };
        let (fill, descending) = (self.shape.fill, self.shape.descending);
        let end = times.last().copied().unwrap_or(0);
        let within = |at: i64| if descending { at >= end } else { at <= end };
        // The points on both sides of the part take part where they show in it.
        let before = lane.before.take();
        let mut points: Vec<Timed> = before.iter().cloned().collect();
        let mut all: Vec<i64> = before.iter().map(|(at, _)| *at).collect();
        all.extend(times.iter().filter(|at| **at >= begin));
        while let Some(point) = lane.points.next_if(|(at, _)| within(*at)) {
            points.push(point);
        }
        if matches!(fill, Fill::Previous | Fill::Linear) {
            lane.before = points.last().cloned();
        }
        let after = lane.points.peek().filter(|_| fill == Fill::Linear).cloned();
        let behind = usize::from(after.is_some());
        all.extend(after.iter().map(|(at, _)| *at));
        points.extend(after);
        let gaps = Gaps { times: &all, width_ns: self.timing.width_ns, aux: self.calls.aux.len() };
        let mut filled = fill_gaps(call, fill, points, gaps);
        filled.truncate(filled.len() - behind.min(filled.len()));
        filled.drain(..usize::from(before.is_some()).min(filled.len()));
        filled
    }

    /// What functions over streams make of the points; those before the query's range left out.
    async fn transformed(
        &self,
        call: &Call,
        points: Vec<Timed>,
        memory_bytes: usize,
    ) -> Result<Vec<Timed>, QueryError> {
        let mut points = points;
        let cut = self.timing.width_ns > 0 && self.calls.looks_back() > 0;
        if cut {
            points.retain(|(at, _)| self.reads(call.looks_back(), *at));
        }
        let (timing, descending) = (&self.timing, self.shape.descending);
        for transform in &call.transforms {
            points = transform.apply(points, Stream { timing, descending, memory_bytes }).await?;
        }
        if cut && call.looks_back() > 0 {
            points.retain(|(at, _)| self.reads(0, *at));
        }
        Ok(points)
    }

    /// Whether a bucket is at most `back` buckets before the query's range.
    fn reads(&self, back: i64, at: i64) -> bool {
        let timing = &self.shape.timing;
        let extra = timing.width_ns.saturating_mul(back);
        let zone_free = |at: i64| self.timing.start(self.timing.bucket(at));
        match self.shape.descending {
            true => at <= zone_free(timing.range.last.saturating_add(extra)),
            false => {
                !timing.has_start() || at >= zone_free(timing.range.first.saturating_sub(extra))
            }
        }
    }

    /// The points of one call in output order, from the values themselves.
    fn few_points(&self, call: &Call, few: &Few) -> Option<Vec<Timed>> {
        let descending = self.shape.descending;
        let found = few::by_bucket(call.kind, few, &self.timing, descending)?.into_iter();
        let mut points: Vec<Timed> =
            found.map(|(bucket, point)| (self.timing.start(bucket), point)).collect();
        if descending {
            points.reverse();
        }
        Some(points)
    }

    /// The points of one call in output order.
    fn points(&self, call: &Call, states: &mut States, first_bucket: i64) -> Vec<Timed> {
        let ordered = matches!(call.kind, Kind::Stream | Kind::Percentile(_) | Kind::Mode);
        if let (States::Samples(all), true) = (&mut *states, self.stored && ordered) {
            few::arrange(all, self.shape.descending);
        }
        let one = self.timing.buckets == Buckets::One;
        let own_time = call.kind.keeps_own_times() || one && self.calls.keeps_time();
        let mut out = Vec::new();
        // Points with times of their own come forwards within a bucket, also where buckets go
        // backwards.
        let kept = matches!(states, States::Kept(_));
        let mut order: Vec<usize> = (0..states.len()).collect();
        if self.shape.descending && kept {
            order.reverse();
        }
        for at in order {
            let start = self.timing.start(first_bucket.saturating_add(at as i64));
            for point in finish(call.kind, states, at, self.shape.descending) {
                let time = if own_time { point.time.unwrap_or(start) } else { start };
                out.push((time, point));
            }
        }
        if self.shape.descending && !kept {
            // Points of equal times stay in their order.
            out.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        }
        out
    }

    fn filled(
        &self,
        call: &Call,
        points: Vec<Timed>,
        memory_bytes: usize,
    ) -> Result<Vec<Timed>, QueryError> {
        let how = self.shape.fill;
        let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else {
            return Ok(points);
        };
        if self.timing.width_ns == 0 || how == Fill::None || call.kind.keeps_own_times() {
            return Ok(points);
        }
        let mut begin = self.first_filled(*first.min(last));
        let mut end = self.timing.bucket(self.timing.range.last);
        if let Some(rows) = self.rows_needed() {
            match self.shape.descending {
                true => begin = begin.max(end.saturating_sub_unsigned(rows)),
                false => end = end.min(begin.saturating_add_unsigned(rows)),
            }
        }
        let count = i128::from(end) - i128::from(begin) + 1;
        if count * ROW_BYTES as i128 > memory_bytes as i128 {
            return Err(ScanError::Memory { limit: memory_bytes }.into());
        }
        let mut times: Vec<i64> = (begin..=end).map(|at| self.timing.start(at)).collect();
        if self.shape.descending {
            times.reverse();
        }
        let (width_ns, aux) = (self.timing.width_ns, self.calls.aux.len());
        Ok(fill(call, how, points, Gaps { times: &times, width_ns, aux }))
    }

    /// Buckets from the first that matter to the answer, where filling shows that: all calls have
    /// a row for each of them, and none looks at later ones.
    fn rows_needed(&self) -> Option<u64> {
        let plain = |call: &Call| call.transforms.is_empty() && !call.kind.keeps_own_times();
        let plain = self.calls.calls.iter().all(plain) && self.shape.fill != Fill::Linear;
        self.shape.window.rows_needed().filter(|_| plain)
    }

    /// The selected columns of some rows.
    fn project(&self, head: Series, rows: Vec<Row>) -> Series {
        let count = rows.len();
        let times: Vec<i64> = rows.iter().map(|(at, _)| *at).collect();
        let computed = self.columns.iter().any(|column| !matches!(column, Expr::Field(_)));
        let inputs = self.calls.calls.len() + self.calls.aux.len();
        // The number of fill() stands for everything that a row lacks.
        let missing = match self.shape.fill {
            Fill::Integer(number) => Some(Value::Integer(number)),
            Fill::Float(number) => Some(Value::Float(number)),
            _ => None,
        };
        let columns: Vec<Option<Cow<'_, Column>>> = match computed {
            true => {
                let input = |at| Some(Cow::Owned(self.input(&rows, at, missing.as_ref())));
                (0..inputs).map(input).collect()
            }
            false => Vec::new(),
        };
        let view = RowsView { times: &times, fields: &columns, tags: &[] };
        let values = self.columns.iter().map(|column| match column {
            Expr::Field(at) => {
                let value = |row: &Row| self.filled_value(&row.1, *at, missing.as_ref()).cloned();
                Out::Cells(rows.iter().map(|row| Cell::from(value(row))).collect())
            }
            expr => {
                let id = ColumnId::new(FieldNo(0), FieldType::Float);
                Out::stored(eval(expr, &view).into_column(id, count))
            }
        });
        let values: Vec<Out> = values.collect();
        let values = std::iter::once(Out::Times(times.clone())).chain(values).collect();
        Series { values, rows: count, ..head }
    }

    /// Input `at` of a row: a call's value, or behind the calls a column beside the selector.
    fn value<'r>(&self, row: &'r [Option<Point>], at: usize) -> Option<&'r Value> {
        match at.checked_sub(self.calls.calls.len()) {
            None => row.get(at)?.as_ref()?.value.as_ref(),
            Some(beside) => row.first()?.as_ref()?.aux.get(beside)?.as_ref(),
        }
    }

    /// Input `at` of a row, or what stands for it: where a call has no point although its field is
    /// there, and where the point lacks the column beside it.
    fn filled_value<'r>(
        &self,
        row: &'r [Option<Point>],
        at: usize,
        missing: Option<&'r Value>,
    ) -> Option<&'r Value> {
        let open = match self.calls.calls.get(at) {
            Some(call) => call.typed && row.get(at).is_some_and(Option::is_none),
            None => true,
        };
        self.value(row, at).or(missing.filter(|_| open))
    }

    /// Input `at` of all rows as a column of one type.
    fn input(&self, rows: &[Row], at: usize, missing: Option<&Value>) -> Column {
        let found = rows.iter().find_map(|(_, row)| self.value(row, at));
        let kind = match self.calls.calls.get(at) {
            Some(call) => call.result,
            None => found.map_or(FieldType::Float, Value::kind),
        };
        let mut values = Values::empty(kind);
        let mut present = Bitmap::default();
        for (_, row) in rows {
            let value = self.filled_value(row, at, missing).and_then(|value| as_kind(value, kind));
            present.push(value.is_some());
            match value {
                Some(value) => push(&mut values, &value),
                None => values.extend_null(1),
            }
        }
        Column { id: ColumnId::new(FieldNo(0), kind), values, validity: Some(present) }
    }
}

/// Where a call has no point in a row, that of the row before stands: beside points with times of
/// their own.
fn repeat_previous(rows: &mut [Row]) {
    let mut before: Vec<Option<Point>> = Vec::new();
    for (_, row) in rows {
        for (at, point) in row.iter_mut().enumerate() {
            if point.is_none() {
                *point = before.get(at).cloned().flatten();
            }
        }
        before.clone_from(row);
    }
}

/// A value as one of another type: a number as a float or, cut, as an integer.
fn as_kind(value: &Value, kind: FieldType) -> Option<Value> {
    Some(match (value, kind) {
        (Value::Integer(value), FieldType::Float) => Value::Float(*value as f64),
        (Value::Float(value), FieldType::Integer) => Value::Integer(*value as i64),
        (Value::Integer(value), FieldType::Unsigned) => Value::Unsigned(*value as u64),
        (Value::Float(value), FieldType::Unsigned) => Value::Unsigned(*value as u64),
        (value, kind) if value.kind() == kind => value.clone(),
        _ => return None,
    })
}
