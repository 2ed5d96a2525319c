//! Calls: which functions there are and what arguments they take.
//!
//! In: the expressions of the fields of a query. Out: the first wrong one, or what the fields have
//! in common that decides which may stand side by side.

use super::super::ast::{Expr, Wildcard};
use super::super::duration;
use super::{Interval, math_arity};

/// Technical analysis functions: name, whether a warm-up type may follow the hold period, least
/// hold period.
const TECHNICAL: [(&str, bool, i64); 8] = [
    ("chande_momentum_oscillator", true, 0),
    ("double_exponential_moving_average", true, 0),
    ("exponential_moving_average", true, 0),
    ("kaufmans_adaptive_moving_average", false, 0),
    ("kaufmans_efficiency_ratio", false, 0),
    ("relative_strength_index", true, 0),
    ("triple_exponential_derivative", true, 1),
    ("triple_exponential_moving_average", true, 0),
];

/// Refuses a wrong number of arguments.
pub fn check_count(name: &str, got: usize, expected: usize) -> Result<(), String> {
    if got == expected {
        return Ok(());
    }
    Err(format!("invalid number of arguments for {name}, expected {expected}, got {got}"))
}

fn check_counts(name: &str, got: usize, least: usize, most: usize) -> Result<(), String> {
    if (least..=most).contains(&got) {
        return Ok(());
    }
    let expected = format!("expected at least {least} but no more than {most}");
    Err(format!("invalid number of arguments for {name}, {expected}, got {got}"))
}

/// Literals need no columns; a regular expression or wildcard stands for some.
fn is_literal(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Integer(_)
            | Expr::Unsigned(_)
            | Expr::Float(_)
            | Expr::String(_)
            | Expr::Boolean(_)
            | Expr::Duration(_)
    )
}

/// Literals and what is computed from them alone.
fn is_constant(expr: &Expr) -> bool {
    let mut constant = true;
    expr.walk(&mut |expr| {
        constant &= match expr {
            Expr::Paren(_) | Expr::Binary(_) => true,
            Expr::Call { name, args } => math_arity(name) == Some(args.len()),
            other => is_literal(other),
        };
        constant
    });
    constant
}

/// Whether something stands for columns. A regular expression does not count as such below a math
/// function.
fn has_variable(expr: &Expr) -> bool {
    let mut found = false;
    expr.walk(&mut |expr| {
        found |= match expr {
            Expr::VarRef(_) | Expr::Wildcard(_) | Expr::Distinct(_) => true,
            Expr::Call { name, .. } => math_arity(name).is_none(),
            _ => false,
        };
        !found
    });
    found
}

/// What the fields of a query have in common.
pub struct Findings {
    interval: Interval,
    limit: u64,
    /// Calls of functions that are not math, nested ones counted.
    pub calls: usize,
    /// `top` or `bottom`.
    pub top_or_bottom: Option<String>,
    /// Whether each call keeps a point of its own.
    pub only_selectors: bool,
    /// Whether `distinct` stands outside of `count` and transformations.
    pub distinct: bool,
    /// Whether columns stand outside of calls.
    pub bare_fields: bool,
    /// Whether `*` may still stand: not beside an operator.
    wildcard_allowed: bool,
}

impl Findings {
    /// Nothing found yet in a query with these buckets and this LIMIT.
    pub fn new(interval: Interval, limit: u64) -> Findings {
        Findings {
            interval,
            limit,
            calls: 0,
            top_or_bottom: None,
            only_selectors: true,
            distinct: false,
            bare_fields: false,
            wildcard_allowed: true,
        }
    }

    /// Checks one field.
    pub fn check_field(&mut self, expr: &Expr) -> Result<(), String> {
        self.wildcard_allowed = true;
        self.check(expr)
    }

    fn check(&mut self, expr: &Expr) -> Result<(), String> {
        match expr {
            Expr::VarRef(_) => {
                self.bare_fields = true;
                Ok(())
            }
            Expr::Wildcard(_) | Expr::Regex(_) => {
                self.bare_fields = true;
                let kind = if matches!(expr, Expr::Regex(_)) { "regex" } else { "wildcard" };
                match self.wildcard_allowed {
                    true => Ok(()),
                    false => Err(format!("unable to use {kind} in a binary expression")),
                }
            }
            Expr::Paren(inner) => self.check(inner),
            Expr::Distinct(_) => {
                self.calls += 1;
                self.mark_distinct();
                Ok(())
            }
            Expr::Binary(node) => {
                self.wildcard_allowed = false;
                let (first, pairs) = node.chain();
                let operands = std::iter::once(first).chain(pairs.into_iter().map(|pair| pair.1));
                let mut variables = 0;
                for operand in operands.filter(|operand| !is_constant(operand)) {
                    variables += 1;
                    self.check(operand)?;
                }
                if variables == 0 {
                    return Err("field must contain at least one variable".into());
                }
                Ok(())
            }
            Expr::Call { name, args } => match math_arity(name) {
                Some(expected) => self.check_math(name, args, expected),
                None => {
                    self.calls += 1;
                    self.check_call(name, args)
                }
            },
            _ => Err("field must contain at least one variable".into()),
        }
    }

    fn check_math(&mut self, name: &str, args: &[Expr], expected: usize) -> Result<(), String> {
        check_count(name, args.len(), expected)?;
        if args.iter().all(is_constant) {
            return Err("field must contain at least one variable".into());
        }
        args.iter().filter(|arg| !is_constant(arg)).try_for_each(|arg| self.check(arg))?;
        match args.iter().any(has_variable) {
            true => Ok(()),
            false => Err("field must contain at least one variable".into()),
        }
    }

    fn mark_distinct(&mut self) {
        self.distinct = true;
        self.only_selectors = false;
    }

    fn check_call(&mut self, name: &str, args: &[Expr]) -> Result<(), String> {
        match name {
            "max" | "min" | "first" | "last" => self.check_simple(name, args),
            "count" | "sum" | "mean" | "median" | "mode" | "stddev" | "spread" => {
                self.only_selectors = false;
                self.check_simple(name, args)
            }
            "percentile" => self.check_percentile(args),
            "sample" => self.check_sample(args),
            "distinct" => {
                check_distinct(args)?;
                self.mark_distinct();
                Ok(())
            }
            "top" | "bottom" => self.check_top(name, args),
            "derivative" | "non_negative_derivative" | "elapsed" => self.check_timed(name, args),
            "difference" | "non_negative_difference" | "cumulative_sum" => {
                check_count(name, args.len(), 1)?;
                self.check_stream(name, args)
            }
            "moving_average" => self.check_moving_average(args),
            "integral" => self.check_integral(args),
            "holt_winters" | "holt_winters_with_fit" => self.check_holt_winters(name, args),
            _ => match TECHNICAL.iter().find(|(known, ..)| *known == name) {
                Some((_, warm_up, hold)) => self.check_technical(name, args, *warm_up, *hold),
                None => Err(format!("undefined function {name}()")),
            },
        }
    }

    /// One field, or `distinct` inside of `count`.
    fn check_simple(&mut self, name: &str, args: &[Expr]) -> Result<(), String> {
        check_count(name, args.len(), 1)?;
        match args {
            [Expr::Distinct(_)] if name == "count" => Ok(()),
            [Expr::Call { name: inner, args }] if name == "count" && inner == "distinct" => {
                check_distinct(args)
            }
            [arg, ..] => self.check_column(name, arg),
            [] => Ok(()),
        }
    }

    fn check_column(&mut self, name: &str, arg: &Expr) -> Result<(), String> {
        match arg {
            Expr::VarRef(_) => Ok(()),
            Expr::Wildcard(Wildcard::Tags) => {
                Err(format!("unable to use tag wildcard in {name}()"))
            }
            Expr::Wildcard(_) if !self.wildcard_allowed => {
                Err(format!("unsupported expression with wildcard: {name}()"))
            }
            Expr::Regex(_) if !self.wildcard_allowed => {
                Err(format!("unsupported expression with regex field: {name}()"))
            }
            Expr::Wildcard(_) | Expr::Regex(_) => {
                self.only_selectors = false;
                Ok(())
            }
            _ => Err(format!("expected field argument in {name}()")),
        }
    }

    fn check_percentile(&mut self, args: &[Expr]) -> Result<(), String> {
        check_count("percentile", args.len(), 2)?;
        match args {
            [arg, Expr::Integer(_) | Expr::Float(_)] => self.check_column("percentile", arg),
            _ => Err("expected float argument in percentile()".into()),
        }
    }

    fn check_sample(&mut self, args: &[Expr]) -> Result<(), String> {
        check_count("sample", args.len(), 2)?;
        match args {
            [_, Expr::Integer(count)] if *count <= 0 => {
                Err(format!("sample window must be greater than 1, got {count}"))
            }
            [arg, Expr::Integer(_)] => self.check_column("sample", arg),
            _ => Err("expected integer argument in sample()".into()),
        }
    }

    fn check_top(&mut self, name: &str, args: &[Expr]) -> Result<(), String> {
        let [first, tags @ .., last] = args else {
            let (expected, got) = ("expected at least 2", args.len());
            return Err(format!("invalid number of arguments for {name}, {expected}, got {got}"));
        };
        match last {
            Expr::Integer(count) if *count <= 0 => {
                return Err(format!("limit ({count}) in {name} function must be at least 1"));
            }
            Expr::Integer(count) if self.limit > 0 && count.unsigned_abs() > self.limit => {
                let limit = self.limit;
                return Err(format!(
                    "limit ({count}) in {name} function can not be larger than the LIMIT ({limit}) \
                     in the select statement"
                ));
            }
            Expr::Integer(_) => {}
            other => {
                return Err(format!(
                    "expected integer as last argument in {name}(), found {other}"
                ));
            }
        }
        if !matches!(first, Expr::VarRef(_)) {
            let text = "expected first argument to be a field in";
            return Err(format!("{text} {name}(), found {first}"));
        }
        if let Some(other) = tags.iter().find(|tag| !matches!(tag, Expr::VarRef(_))) {
            return Err(format!("only fields or tags are allowed in {name}(), found {other}"));
        }
        self.top_or_bottom.get_or_insert_with(|| name.to_string());
        Ok(())
    }

    /// The first argument of a transformation: a column of raw points, or a call with buckets of
    /// time.
    fn check_stream(&mut self, name: &str, args: &[Expr]) -> Result<(), String> {
        self.only_selectors = false;
        match args.first() {
            // Without parentheses it is no call.
            Some(Expr::Distinct(_)) if self.interval.is_own() => {
                Err(format!("aggregate function required inside the call to {name}"))
            }
            Some(Expr::Distinct(_)) => Err(format!("expected field argument in {name}()")),
            Some(inner @ Expr::Call { .. }) => {
                if self.interval.ns == 0 {
                    return Err(format!("{name} aggregate requires a GROUP BY interval"));
                }
                self.check_nested(inner)
            }
            Some(arg) => {
                if self.interval.is_own() {
                    let text = "aggregate function required inside the call to";
                    return Err(format!("{text} {name}"));
                }
                self.check_column(name, arg)
            }
            None => Ok(()),
        }
    }

    fn check_nested(&mut self, inner: &Expr) -> Result<(), String> {
        match inner {
            Expr::Distinct(_) => Ok(()),
            Expr::Call { name, args } if name == "distinct" => check_distinct(args),
            other => self.check(other),
        }
    }

    fn check_timed(&mut self, name: &str, args: &[Expr]) -> Result<(), String> {
        check_counts(name, args.len(), 1, 2)?;
        match args.get(1) {
            None => {}
            Some(Expr::Duration(unit)) => check_unit(*unit)?,
            Some(other) => {
                let kind = other.reference_type();
                return Err(format!("second argument to {name} must be a duration, got {kind}"));
            }
        }
        self.check_stream(name, args)
    }

    fn check_moving_average(&mut self, args: &[Expr]) -> Result<(), String> {
        let name = "moving_average";
        check_count(name, args.len(), 2)?;
        match args.get(1) {
            Some(Expr::Integer(count)) if *count <= 1 => {
                Err(format!("{name} window must be greater than 1, got {count}"))
            }
            Some(Expr::Integer(_)) | None => self.check_stream(name, args),
            Some(other) => {
                let kind = other.reference_type();
                Err(format!("second argument for {name} must be an integer, got {kind}"))
            }
        }
    }

    fn check_integral(&mut self, args: &[Expr]) -> Result<(), String> {
        check_counts("integral", args.len(), 1, 2)?;
        match args.get(1) {
            None => {}
            Some(Expr::Duration(unit)) => check_unit(*unit)?,
            Some(_) => return Err("second argument must be a duration".into()),
        }
        self.only_selectors = false;
        args.first().map_or(Ok(()), |arg| self.check_column("integral", arg))
    }

    fn check_holt_winters(&mut self, name: &str, args: &[Expr]) -> Result<(), String> {
        check_count(name, args.len(), 3)?;
        match args.get(1) {
            Some(Expr::Integer(count)) if *count <= 0 => {
                return Err(format!("second arg to {name} must be greater than 0, got {count}"));
            }
            Some(Expr::Integer(_)) => {}
            _ => return Err(format!("expected integer argument as second arg in {name}")),
        }
        match args.get(2) {
            Some(Expr::Integer(season)) if *season < 0 => {
                return Err(format!("third arg to {name} cannot be negative, got {season}"));
            }
            Some(Expr::Integer(_)) => {}
            _ => return Err(format!("expected integer argument as third arg in {name}")),
        }
        self.only_selectors = false;
        match args.first() {
            Some(inner @ Expr::Call { .. }) => {
                if self.interval.ns == 0 {
                    return Err(format!("{name} aggregate requires a GROUP BY interval"));
                }
                self.check_nested(inner)
            }
            _ => Err(format!("must use aggregate function with {name}")),
        }
    }

    fn check_technical(
        &mut self,
        name: &str,
        args: &[Expr],
        has_warm_up: bool,
        hold_min: i64,
    ) -> Result<(), String> {
        check_counts(name, args.len(), 2, if has_warm_up { 4 } else { 3 })?;
        self.check_stream(name, args)?;
        match args.get(1) {
            Some(Expr::Integer(period)) if *period < 1 => {
                return Err(format!("{name} period must be greater than or equal to 1"));
            }
            Some(Expr::Integer(_)) => {}
            _ => return Err(format!("{name} period must be an integer")),
        }
        match args.get(2) {
            None => {}
            Some(Expr::Integer(hold)) if *hold < hold_min && *hold != -1 => {
                let text = "hold period must be greater than or equal to";
                return Err(format!("{name} {text} {hold_min}"));
            }
            Some(Expr::Integer(_)) => {}
            Some(_) => return Err(format!("{name} hold period must be an integer")),
        }
        let bare = name == "chande_momentum_oscillator";
        match args.get(3) {
            None => Ok(()),
            Some(Expr::String(text)) => match text.as_str() {
                "exponential" | "simple" => Ok(()),
                "none" if bare => Ok(()),
                _ => {
                    let none = if bare { "'none' " } else { "" };
                    let known = format!("{none}'exponential' 'simple'");
                    Err(format!("{name} warmup type must be one of: {known}"))
                }
            },
            Some(_) => Err(format!("{name} warmup type must be a string")),
        }
    }
}

fn check_unit(unit: i64) -> Result<(), String> {
    if unit > 0 {
        return Ok(());
    }
    Err(format!("duration argument must be positive, got {}", duration::print(unit)))
}

fn check_distinct(args: &[Expr]) -> Result<(), String> {
    match args {
        [] => Err("distinct function requires at least one argument".into()),
        [Expr::VarRef(_)] => Ok(()),
        [_] => Err("expected field argument in distinct()".into()),
        _ => Err("distinct function can only have one argument".into()),
    }
}
