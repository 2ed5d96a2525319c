//! What makes a query senseless before any data is looked at: argument counts, mixtures of
//! aggregates and fields, GROUP BY and fill() rules.
//!
//! In: a parsed query. Out: nothing, or the text that becomes the error of its statement. The
//! checks run in the order of InfluxDB, because a query with two faults must name the same one.

mod call;

use jiff::tz::TimeZone;

use super::ast::{Expr, Fill, Select, Source};
use super::time_literal;
use super::time_range::split_time;

/// Functions that compute row by row; all take one argument but those of `MATH_OF_TWO`.
const MATH_OF_ONE: [&str; 15] = [
    "abs", "acos", "asin", "atan", "ceil", "cos", "exp", "floor", "ln", "log10", "log2", "round",
    "sin", "sqrt", "tan",
];
const MATH_OF_TWO: [&str; 3] = ["atan2", "log", "pow"];

/// The number of arguments of a math function, none for other names.
pub fn math_arity(name: &str) -> Option<usize> {
    match name {
        _ if MATH_OF_ONE.contains(&name) => Some(1),
        _ if MATH_OF_TWO.contains(&name) => Some(2),
        _ => None,
    }
}

/// Checks a query and its subqueries.
///
/// # Errors
/// The text of the statement's error.
pub fn validate(select: &Select) -> Result<(), String> {
    for measurement in select.measurements() {
        if let Some(statement) = measurement.system_statement() {
            let source = match &measurement.name {
                super::ast::MeasurementName::Name(name) => name,
                super::ast::MeasurementName::Regex(regex) => &regex.source,
            };
            return Err(format!("unable to use system source '{source}': use {statement} instead"));
        }
    }
    let interval = preprocess(select)?;
    check(select, Interval { ns: interval, inherited: false, nested: false })
}

/// GROUP BY time() as it acts on a query: its own, or that of the query around it.
#[derive(Clone, Copy)]
struct Interval {
    ns: i64,
    inherited: bool,
    /// Whether the query stands in FROM, where fill(null) acts as fill(none).
    nested: bool,
}

impl Interval {
    fn is_own(self) -> bool {
        self.ns != 0 && !self.inherited
    }
}

/// Checks condition and dimensions; the width of the buckets in ns, 0 without any.
fn preprocess(select: &Select) -> Result<i64, String> {
    let zone = select.tz.as_deref().and_then(time_literal::zone).unwrap_or(TimeZone::UTC);
    let (condition, _) = split_time(select.condition.as_ref(), 0, &zone)?;
    if let Some(condition) = &condition {
        check_condition(condition)?;
    }
    check_dimensions(select)
}

/// A condition may call math functions only.
fn check_condition(condition: &Expr) -> Result<(), String> {
    let mut outcome = Ok(());
    condition.walk(&mut |expr| {
        if let (Expr::Call { name, args }, true) = (expr, outcome.is_ok()) {
            outcome = match math_arity(name) {
                Some(expected) => call::check_count(name, args.len(), expected),
                None => Err(format!("invalid function call in condition: {expr}")),
            };
        }
        outcome.is_ok()
    });
    outcome
}

fn check_dimensions(select: &Select) -> Result<i64, String> {
    let mut interval = 0;
    for dimension in &select.dimensions {
        match dimension.expr.unparen() {
            expr if expr.is_time() => {
                return Err("time() is a function and expects at least one argument".into());
            }
            Expr::VarRef(_) | Expr::Wildcard(_) | Expr::Regex(_) => {}
            Expr::Call { name, args } => {
                if name != "time" {
                    return Err("only time() calls allowed in dimensions".into());
                }
                let (width, offset) = match args.as_slice() {
                    [width] => (width, None),
                    [width, offset] => (width, Some(offset)),
                    _ => return Err("time dimension expected 1 or 2 arguments".into()),
                };
                let Expr::Duration(width) = width else {
                    return Err("time dimension must have duration argument".into());
                };
                if interval != 0 {
                    return Err("multiple time dimensions not allowed".into());
                }
                interval = *width;
                offset.map_or(Ok(()), check_offset)?;
            }
            _ => return Err("only time and tag dimensions allowed".into()),
        }
    }
    Ok(interval)
}

fn check_offset(offset: &Expr) -> Result<(), String> {
    match offset {
        Expr::Duration(_) => Ok(()),
        Expr::String(text) if time_literal::looks_like_time(text) => {
            time_literal::parse(text, &TimeZone::UTC).map(|_| ()).map_err(|error| error.to_string())
        }
        Expr::Call { name, args } => match (name.as_str(), args.is_empty()) {
            ("now", true) => Ok(()),
            ("now", false) => {
                Err("time dimension offset now() function requires no arguments".into())
            }
            _ => Err("time dimension offset function must be now()".into()),
        },
        _ => Err("time dimension offset must be duration or now()".into()),
    }
}

fn check(select: &Select, interval: Interval) -> Result<(), String> {
    let mut found = call::Findings::new(interval, select.limit);
    let mut fields = 0;
    for field in &select.fields {
        if matches!(&field.expr, Expr::VarRef(var) if var.name == "time") {
            continue;
        }
        fields += 1;
        found.check_field(&field.expr)?;
    }
    if fields == 0 {
        return Err("at least 1 non-time field must be queried".into());
    }
    check_mixture(select, interval, &found)?;
    for source in &select.sources {
        if let Source::Subquery(inner) = source {
            check_subquery(select, interval, inner)?;
        }
    }
    Ok(())
}

/// What may stand beside what in one list of fields.
fn check_mixture(
    select: &Select,
    interval: Interval,
    found: &call::Findings,
) -> Result<(), String> {
    if let (Some(name), true) = (&found.top_or_bottom, found.calls > 1) {
        let text = "cannot be combined with other functions";
        return Err(format!("selector function {name}() {text}"));
    }
    if found.calls == 0 {
        match select.fill {
            Fill::None => return Err("fill(none) must be used with a function".into()),
            Fill::Linear => return Err("fill(linear) must be used with a function".into()),
            Fill::Null if interval.is_own() && interval.nested => {
                return Err("fill(none) must be used with a function".into());
            }
            _ if interval.is_own() => {
                return Err("GROUP BY requires at least one aggregate function".into());
            }
            _ => {}
        }
    }
    if found.distinct && (found.calls != 1 || found.bare_fields) {
        let text = "cannot be combined with other functions or fields";
        return Err(format!("aggregate function distinct() {text}"));
    }
    if found.bare_fields && !found.only_selectors {
        return Err("mixing aggregate and non-aggregate queries is not supported".into());
    }
    if found.bare_fields && found.calls > 1 {
        let text = "mixing multiple selector functions with tags or fields is not supported";
        return Err(text.into());
    }
    Ok(())
}

/// A subquery inherits the buckets of the query around it and must not turn its order.
fn check_subquery(outer: &Select, interval: Interval, inner: &Select) -> Result<(), String> {
    let own = preprocess(inner)?;
    if inner.order.is_some() && inner.is_descending() != outer.is_descending() {
        let text = "subqueries must be ordered in the same direction as the query itself";
        return Err(text.into());
    }
    let inherits = own == 0 && interval.ns != 0;
    let ns = if inherits { interval.ns } else { own };
    check(inner, Interval { ns, inherited: inherits, nested: true })
}

#[cfg(test)]
mod tests;
