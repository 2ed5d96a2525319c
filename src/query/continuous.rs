//! When a continuous query runs, and over which range of time.
//!
//! In: the statement as the catalog keeps it, when it ran last, the time. Out: the SELECT … INTO
//! to run now, its range of time put in the place of what the statement says of time.
//!
//! With I the interval of GROUP BY time(), E and F of RESAMPLE (or I, and the larger of I and E),
//! O the offset: it runs first at once, then when E has passed since the last run, that one cut to
//! whole E; over the buckets that ended since, and those that FOR reaches back to.

use super::plan::Timing;
use crate::influxql::ast::{Binary, Expr, Op, VarRef};
use crate::influxql::time_literal;
use crate::influxql::time_range::split_time;
use crate::influxql::{self, Params, Statement};
use crate::model::TimeRange;
use jiff::tz::TimeZone;

/// A run that is due.
#[derive(Clone, PartialEq, Debug)]
pub struct Due {
    /// The database of the query.
    pub db: String,
    /// SELECT … INTO; `None` when no bucket has ended since.
    pub statement: Option<Statement>,
    /// What counts as the time of this run from now on (ns).
    pub ran_ns: i64,
}

/// Whether a query is to run at `now`, having run last at `last` (the `ran_ns` of that run).
///
/// # Errors
/// A statement that cannot run.
pub fn due(text: &str, last: Option<i64>, now: i64) -> Result<Option<Due>, String> {
    let statements = influxql::parse(text, &Params::new()).map_err(|error| error.to_string())?;
    let Some(Statement::CreateContinuousQuery(create)) = statements.into_iter().next() else {
        return Err("no continuous query".to_owned());
    };
    let mut select = create.select;
    if select.is_raw() {
        return Err("continuous queries must be aggregate queries".to_owned());
    }
    let zone = select.tz.as_deref().and_then(time_literal::zone).unwrap_or(TimeZone::UTC);
    let timing = Timing::new(&select, TimeRange::ALL, now, Some(zone.clone()))
        .map_err(|error| error.to_string())?;
    let interval = timing.width_ns;
    if interval == 0 {
        return Ok(None);
    }
    let grid = Grid { zone: &zone, offset_ns: timing.offset_ns };
    let every = create.every.filter(|every| *every > 0).unwrap_or(interval);
    let next = match last {
        None => now,
        Some(last) => last.saturating_add(every),
    };
    if next > now {
        return Ok(None);
    }
    let reach = create.range.filter(|range| *range > 0).unwrap_or(interval.max(every));
    let start = grid.floor(next.saturating_add(interval - reach - 1), interval);
    let end = grid.floor(now.saturating_add(interval - every.min(interval)), interval);
    let ran_ns = grid.floor(now, every);
    let db = create.database;
    if end <= start {
        return Ok(Some(Due { db, statement: None, ran_ns }));
    }
    let (rest, _) = split_time(select.condition.as_ref(), now, &zone)?;
    select.condition = Some(within(rest, start, end));
    let statement = Statement::Select(Box::new(select));
    Ok(Some(Due { db, statement: Some(statement), ran_ns }))
}

/// Where buckets begin: multiples of their width by the clock of a zone, shifted.
struct Grid<'a> {
    zone: &'a TimeZone,
    offset_ns: i64,
}

impl Grid<'_> {
    fn floor(&self, at: i64, width: i64) -> i64 {
        let at = at.saturating_sub(self.offset_ns);
        let stamp = jiff::Timestamp::from_nanosecond(i128::from(at));
        let shift = stamp.map_or(0, |stamp| i64::from(self.zone.to_offset(stamp).seconds()));
        let shift = shift.saturating_mul(1_000_000_000);
        let local = at.saturating_add(shift);
        let floor = local.saturating_sub(local.rem_euclid(width.max(1)));
        floor.saturating_sub(shift).saturating_add(self.offset_ns)
    }
}

/// The condition without time, within a range whose end is outside.
fn within(rest: Option<Expr>, start: i64, end: i64) -> Expr {
    let time = || Expr::VarRef(VarRef { name: "time".to_owned(), cast: None });
    let compare = |op, at| binary(op, time(), Expr::Integer(at));
    let range = binary(Op::And, compare(Op::Gte, start), compare(Op::Lt, end));
    match rest {
        None => range,
        Some(rest) => binary(Op::And, Expr::Paren(Box::new(rest)), range),
    }
}

fn binary(op: Op, lhs: Expr, rhs: Expr) -> Expr {
    Expr::Binary(Box::new(Binary { op, lhs, rhs }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;
    const M: i64 = 60 * S;

    fn text(resample: &str, group: &str) -> String {
        format!(
            "CREATE CONTINUOUS QUERY c ON d {resample} BEGIN SELECT mean(v) INTO d.autogen.x FROM \
             d.autogen.cpu WHERE host = 'a' OR host = 'b' GROUP BY time({group}) END"
        )
    }

    /// Range and time of the run, in seconds.
    fn run(text: &str, last: Option<i64>, now: i64) -> Option<(i64, i64, i64)> {
        let due = due(text, last.map(|last| last * S), now * S).unwrap()?;
        let Some(Statement::Select(select)) = due.statement else {
            return Some((0, 0, due.ran_ns / S));
        };
        let zone = TimeZone::UTC;
        let (rest, range) = split_time(select.condition.as_ref(), 0, &zone).unwrap();
        assert_eq!(rest.unwrap().to_string(), "(host = 'a' OR host = 'b')");
        Some((range.first / S, (range.last + 1) / S, due.ran_ns / S))
    }

    #[test]
    fn each_run_covers_the_buckets_that_ended() {
        let plain = text("", "1m");
        assert_eq!(run(&plain, None, 185), Some((0, 0, 180)));
        assert_eq!(run(&plain, Some(180), 239), None);
        assert_eq!(run(&plain, Some(180), 240), Some((180, 240, 240)));
        assert_eq!(run(&plain, Some(180), 365), Some((180, 360, 360)));
    }

    #[test]
    fn resampling_reaches_back_and_runs_in_between() {
        let long = text("RESAMPLE FOR 3m", "1m");
        assert_eq!(run(&long, Some(180), 240), Some((60, 240, 240)));
        let often = text("RESAMPLE EVERY 30s", "1m");
        assert_eq!(run(&often, Some(180), 210), Some((180, 240, 210)));
        let seldom = text("RESAMPLE EVERY 2m", "1m");
        assert_eq!(run(&seldom, Some(120), 235), None);
        assert_eq!(run(&seldom, Some(120), 240), Some((120, 240, 240)));
    }

    #[test]
    fn offsets_and_zones_shift_the_grid() {
        assert_eq!(run(&text("", "1m, 15s"), Some(135), 195), Some((135, 195, 195)));
        let day = "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT mean(v) INTO x FROM cpu GROUP BY \
                   time(1d) TZ('Europe/Berlin') END";
        // 2019-01-02 00:00 in Berlin.
        let midnight = 1_546_383_600 * S;
        let found = due(day, None, midnight + M).unwrap().unwrap();
        assert_eq!(found.ran_ns, midnight);
    }

    #[test]
    fn what_cannot_run_says_so() {
        let raw = "CREATE CONTINUOUS QUERY c ON d BEGIN SELECT v INTO x FROM cpu END";
        assert!(due(raw, None, 0).unwrap_err().contains("must be aggregate"));
        assert!(due("SHOW USERS", None, 0).is_err());
    }
}
