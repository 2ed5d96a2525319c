//! Names and arguments of the functions over streams.
//!
//! In: a call as written, checked before. Out: the function.

use super::super::QueryError;
use super::super::functions::{HoltWinters, Method, Technical, Transform, WarmUp};
use crate::influxql::ast::Expr as Ast;

const SECOND_NS: i64 = 1_000_000_000;

/// The function of a name; `None` for other names. `width_ns`: buckets of what it is applied to, 0
/// without.
///
/// # Errors
/// Arguments that validation lets through only for other functions.
pub fn transform(name: &str, args: &[Ast], width_ns: i64) -> Result<Option<Transform>, QueryError> {
    let unit = |default: i64| match args.get(1) {
        Some(Ast::Duration(ns)) => (*ns).max(1),
        _ => default,
    };
    let rate_ns = unit(if width_ns > 0 { width_ns } else { SECOND_NS });
    let derivative = |non_negative| Transform::Derivative { unit_ns: rate_ns, non_negative };
    Ok(Some(match name {
        "derivative" => derivative(false),
        "non_negative_derivative" => derivative(true),
        "difference" => Transform::Difference { non_negative: false },
        "non_negative_difference" => Transform::Difference { non_negative: true },
        "elapsed" => Transform::Elapsed { unit_ns: unit(1) },
        "cumulative_sum" => Transform::CumulativeSum,
        "integral" => Transform::Integral { unit_ns: unit(SECOND_NS) },
        "moving_average" => Transform::MovingAverage { window: count(name, args.get(1))?.max(2) },
        "holt_winters" | "holt_winters_with_fit" => Transform::HoltWinters(HoltWinters {
            count: count(name, args.get(1))?,
            season: count(name, args.get(2))?,
            fit: name == "holt_winters_with_fit",
            interval_ns: width_ns.max(1),
        }),
        _ => return Ok(technical(name, args)?.map(Transform::Technical)),
    }))
}

/// A number of points.
fn count(name: &str, argument: Option<&Ast>) -> Result<usize, QueryError> {
    match argument {
        Some(Ast::Integer(count)) => Ok(usize::try_from(*count).unwrap_or(0)),
        _ => Err(QueryError::Refused(format!("expected integer argument in {name}()"))),
    }
}

fn technical(name: &str, args: &[Ast]) -> Result<Option<Technical>, QueryError> {
    let method = match name {
        "exponential_moving_average" => Method::Single,
        "double_exponential_moving_average" => Method::Double,
        "triple_exponential_moving_average" => Method::Triple,
        "triple_exponential_derivative" => Method::TripleDerivative,
        "relative_strength_index" => Method::Strength,
        "kaufmans_efficiency_ratio" => Method::Efficiency,
        "kaufmans_adaptive_moving_average" => Method::Adaptive,
        "chande_momentum_oscillator" => Method::Momentum,
        _ => return Ok(None),
    };
    let warm_up = match args.get(3) {
        Some(Ast::String(text)) if text == "simple" => WarmUp::Simple,
        Some(Ast::String(text)) if text == "exponential" => WarmUp::Exponential,
        _ if method == Method::Momentum => WarmUp::None,
        _ => WarmUp::Exponential,
    };
    let period = count(name, args.get(1))? as u64;
    if method == Method::Momentum && warm_up == WarmUp::None && period < 2 {
        let text = format!("{name} period must be greater than 1 without a warmup");
        return Err(QueryError::Refused(text));
    }
    let hold = match args.get(2) {
        Some(Ast::Integer(hold)) => u64::try_from(*hold).ok(),
        _ => None,
    };
    Ok(Some(Technical { method, period: period.max(1), hold, warm_up }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, Statement, parse};

    fn of(call: &str, width_ns: i64) -> Result<Option<Transform>, QueryError> {
        let statements = parse(&format!("SELECT {call} FROM m"), &Params::new()).unwrap();
        let [Statement::Select(select)] = statements.as_slice() else { panic!("{call}") };
        let Ast::Call { name, args } = &select.fields[0].expr else { panic!("{call}") };
        transform(name, args, width_ns)
    }

    #[test]
    fn the_unit_of_a_rate_is_a_second_or_the_bucket() {
        let unit = |call: &str, width_ns| match of(call, width_ns) {
            Ok(Some(Transform::Derivative { unit_ns, .. })) => unit_ns / SECOND_NS,
            other => panic!("{other:?}"),
        };
        assert_eq!(unit("derivative(v)", 0), 1);
        assert_eq!(unit("derivative(mean(v))", 60 * SECOND_NS), 60);
        assert_eq!(unit("derivative(mean(v), 5s)", 60 * SECOND_NS), 5);
        assert_eq!(of("mean(v)", 0), Ok(None));
    }

    #[test]
    fn hold_periods_and_warm_ups_have_defaults() {
        let technical = |call: &str| match of(call, 0) {
            Ok(Some(Transform::Technical(technical))) => technical,
            other => panic!("{other:?}"),
        };
        let found = technical("relative_strength_index(v, 4, -1, 'simple')");
        assert_eq!((found.period, found.hold, found.warm_up), (4, None, WarmUp::Simple));
        let found = technical("chande_momentum_oscillator(v, 4, 2)");
        assert_eq!((found.hold, found.warm_up), (Some(2), WarmUp::None));
        assert!(of("chande_momentum_oscillator(v, 1)", 0).is_err());
    }
}
