//! Types of selected expressions: what cannot be computed is refused before any data is looked at.
//!
//! In: the columns of a SELECT, wildcards written out, and what the sources hold. Out: nothing, or
//! the error. Rules and texts of InfluxDB: a name that is not known goes with everything.

use super::super::QueryError;
use super::super::source::Source;
use super::columns::Universe;
use super::expr::math;
use crate::influxql::ast::{Binary, Cast, Expr, Op, SelectField, VarRef};
use crate::model::FieldType;

/// The type of an expression; `None`: not known.
type Kind = Option<Cast>;

/// Functions that give floats whatever they take.
const FLOAT: [&str; 17] = [
    "chande_momentum_oscillator",
    "derivative",
    "double_exponential_moving_average",
    "exponential_moving_average",
    "holt_winters",
    "holt_winters_with_fit",
    "integral",
    "kaufmans_adaptive_moving_average",
    "kaufmans_efficiency_ratio",
    "mean",
    "median",
    "moving_average",
    "non_negative_derivative",
    "relative_strength_index",
    "stddev",
    "triple_exponential_derivative",
    "triple_exponential_moving_average",
];

/// Checks the columns.
///
/// # Errors
/// The first operator whose sides do not fit.
pub fn check(columns: &[(Expr, String)], universe: &Universe) -> Result<(), QueryError> {
    columns.iter().try_for_each(|(expr, _)| kind(expr, universe).map(|_| ()))
}

/// The columns that `check` would refuse.
pub fn misfits(columns: &[(Expr, String)], universe: &Universe) -> Vec<bool> {
    columns.iter().map(|(expr, _)| kind(expr, universe).is_err()).collect()
}

/// Whether an operator has a name beside it that is no field of the sources: a tag, or nothing.
pub fn names_tags<'s, S: Iterator<Item = &'s Source>>(
    fields: &[SelectField],
    sources: impl Fn() -> S,
) -> bool {
    let unknown = |var: &VarRef| {
        let name = var.name.as_bytes();
        var.cast.is_none() && !sources().any(|source| source.fields.contains_key(name))
    };
    fields.iter().any(|field| {
        let mut found = false;
        field.expr.walk(&mut |expr| {
            found |= matches!(expr, Expr::Binary(_)) && expr.var_refs().iter().any(unknown);
            // What is below an operator has been looked at with it.
            !found && !matches!(expr, Expr::Binary(_))
        });
        found
    })
}

fn kind_of(var: &VarRef, universe: &Universe) -> Kind {
    match var.cast {
        None | Some(Cast::Field) => {}
        cast => return cast,
    }
    if let Some(kind) = universe.fields.get(&var.name) {
        return Some(match kind {
            FieldType::Float => Cast::Float,
            FieldType::Integer => Cast::Integer,
            FieldType::Unsigned => Cast::Unsigned,
            FieldType::String => Cast::String,
            FieldType::Boolean => Cast::Boolean,
        });
    }
    let tag = universe.has_tag(&var.name) && !universe.unknown.contains(&var.name);
    (var.cast.is_none() && tag).then_some(Cast::Tag)
}

fn kind(expr: &Expr, universe: &Universe) -> Result<Kind, QueryError> {
    Ok(match expr {
        Expr::Paren(inner) => kind(inner, universe)?,
        Expr::VarRef(var) => kind_of(var, universe),
        Expr::Distinct(name) => kind_of(&VarRef { name: name.clone(), cast: None }, universe),
        Expr::Integer(_) => Some(Cast::Integer),
        Expr::Unsigned(_) => Some(Cast::Unsigned),
        Expr::Float(_) => Some(Cast::Float),
        Expr::String(_) => Some(Cast::String),
        Expr::Boolean(_) => Some(Cast::Boolean),
        Expr::Call { name, args } => {
            let kinds = args.iter().map(|arg| kind(arg, universe));
            let first = kinds.collect::<Result<Vec<Kind>, _>>()?.into_iter().next().flatten();
            match name.as_str() {
                "count" | "elapsed" => Some(Cast::Integer),
                "abs" | "ceil" | "floor" | "round" => first,
                name if FLOAT.contains(&name) => Some(Cast::Float),
                name if math(name).is_some() => first.or(Some(Cast::Float)),
                _ => first,
            }
        }
        Expr::Binary(node) => {
            let (first, pairs) = node.chain();
            let mut left = kind(first, universe)?;
            // The sides of the whole expression are needed for the text alone.
            for (at, (op, right)) in pairs.iter().enumerate() {
                let sides = (left, kind(right, universe)?);
                let is_literal = (at == 0 && literal(first), literal(right));
                left = pair(*op, sides, is_literal).map_err(|text| {
                    let shown = shown(part(node, pairs.len() - 1 - at), universe);
                    QueryError::Refused(format!("type error: {shown}: {text}"))
                })?;
            }
            left
        }
        _ => None,
    })
}

/// The node so many below on the left.
fn part(node: &Binary, below: usize) -> &Binary {
    let mut node = node;
    for _ in 0..below {
        match &node.lhs {
            Expr::Binary(next) => node = next,
            _ => break,
        }
    }
    node
}

fn literal(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Integer(_) | Expr::Unsigned(_) | Expr::Float(_) | Expr::String(_) | Expr::Boolean(_)
    )
}

/// The type of an operation; the text of the error where there is none.
fn pair(op: Op, (left, right): (Kind, Kind), is_literal: (bool, bool)) -> Result<Kind, String> {
    use Cast::{Boolean, Float, Integer, Unsigned};
    let op_text = op.text();
    let mixed = match (left, right) {
        (Some(Unsigned), Some(Integer)) => Some(is_literal),
        (Some(Integer), Some(Unsigned)) => Some((is_literal.1, is_literal.0)),
        _ => None,
    };
    match mixed {
        Some((true, _)) => {
            return Err(format!("cannot use {op_text} with an integer and unsigned literal"));
        }
        Some((_, false)) => {
            return Err(format!(
                "cannot use {op_text} between an integer and unsigned, an explicit cast is required"
            ));
        }
        _ => {}
    }
    let (Some(left), Some(right)) = (left, right) else { return Ok(left.or(right)) };
    let bits = matches!(op, Op::BitAnd | Op::BitOr | Op::BitXor);
    let found = match (left, right) {
        (Float, Float | Integer | Unsigned) | (Integer | Unsigned, Float) if !bits => Some(Float),
        (Integer, Integer) => Some(Integer),
        (Unsigned, Integer | Unsigned) | (Integer, Unsigned) => Some(Unsigned),
        (Boolean, _) if bits => Some(Boolean),
        _ => None,
    };
    match found {
        Some(found) => Ok(Some(found)),
        None => Err(format!("incompatible types: {} and {}", left.text(), right.text())),
    }
}

/// An operation as it is printed, names with their types.
fn shown(node: &Binary, universe: &Universe) -> Expr {
    Expr::binary(node.op, typed(&node.lhs, universe), typed(&node.rhs, universe))
}

/// An expression, names with their types where these are known.
pub fn typed(expr: &Expr, universe: &Universe) -> Expr {
    match expr {
        Expr::VarRef(var) => {
            Expr::VarRef(VarRef { name: var.name.clone(), cast: kind_of(var, universe) })
        }
        Expr::Paren(inner) => Expr::Paren(Box::new(typed(inner, universe))),
        Expr::Call { name, args } => Expr::Call {
            name: name.clone(),
            args: args.iter().map(|arg| typed(arg, universe)).collect(),
        },
        Expr::Binary(node) => {
            let (first, pairs) = node.chain();
            let first = typed(first, universe);
            let add =
                |left, (op, right): (Op, &Expr)| Expr::binary(op, left, typed(right, universe));
            pairs.into_iter().fold(first, add)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, Statement, parse};

    fn checked(text: &str) -> Result<(), String> {
        let statements = parse(&format!("SELECT {text} FROM m"), &Params::new()).unwrap();
        let [Statement::Select(select)] = statements.as_slice() else { panic!("{text}") };
        let field = |(name, kind): (&str, FieldType)| (name.to_owned(), kind);
        let fields = [
            ("b", FieldType::Boolean),
            ("i", FieldType::Integer),
            ("s", FieldType::String),
            ("u", FieldType::Unsigned),
            ("v", FieldType::Float),
        ];
        let mut universe =
            Universe { fields: fields.into_iter().map(field).collect(), ..Universe::default() };
        universe.tags.insert(Box::from(b"host".as_slice()));
        let column = |expr: &Expr| (expr.clone(), String::new());
        let columns: Vec<_> = select.fields.iter().map(|field| column(&field.expr)).collect();
        check(&columns, &universe).map_err(|error| error.to_string())
    }

    #[test]
    fn what_goes_together() {
        let fitting = [
            "v + i",
            "i / i & 1",
            "nope + s",
            "b & b",
            "b | 1",
            "mode(i) | 1",
            "count(v) | sum(i)",
            "cos(i) & 1",
            "v + nope",
            "u + 1",
            "u % u",
            "v::integer & 1",
            "abs(nope) | 1",
        ];
        for text in fitting {
            assert_eq!(checked(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_does_not() {
        let wrong = [
            ("s + 'x'", "s::string + 'x': incompatible types: string and string"),
            ("v + host", "v::float + host::tag: incompatible types: float and tag"),
            ("-s", "-1 * s::string: incompatible types: integer and string"),
            ("cos(nope) & 1", "cos(nope) & 1: incompatible types: float and integer"),
            ("(v | 1.5) + 0", "v::float | 1.500: incompatible types: float and float"),
            ("v * 2 + b * 3", "b::boolean * 3: incompatible types: boolean and integer"),
            ("v + b + 3", "v::float + b::boolean: incompatible types: float and boolean"),
            (
                "i + u",
                "i::integer + u::unsigned: cannot use + between an integer and unsigned, an explicit \
                 cast is required",
            ),
            (
                "9223372036854775808 + i",
                "9223372036854775808 + i::integer: cannot use + with an integer and unsigned literal",
            ),
            ("mean(i) & 1", "mean(i::integer) & 1: incompatible types: float and integer"),
        ];
        for (text, expected) in wrong {
            assert_eq!(checked(text), Err(format!("type error: {expected}")), "{text}");
        }
    }
}
