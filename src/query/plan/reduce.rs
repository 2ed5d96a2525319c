//! Constants in selected expressions, computed beforehand, as the reference does: `f + 2 * 3` is
//! `f + 6`, also in the text of an error.
//!
//! In: an expression. Out: the same with literals in place of what consists of literals alone, and
//! without parentheses around a single operand. What cannot be computed stays.

use super::expr::{compile, math};
use crate::influxql::ast::{Expr as Ast, Op};
use crate::model::Value;
use crate::shard::scan::expr::{RowsView, eval};

/// The expression with its constants computed.
pub fn reduced(expr: &Ast) -> Ast {
    match expr {
        Ast::Paren(inner) => match reduced(inner) {
            binary @ Ast::Binary(_) => Ast::Paren(Box::new(binary)),
            single => single,
        },
        Ast::Call { name, args } if math(name).is_some() => {
            let args: Vec<Ast> = args.iter().map(reduced).collect();
            let call = Ast::Call { name: name.clone(), args };
            match &call {
                Ast::Call { args, .. } if args.iter().all(is_number) => {
                    computed(&call).unwrap_or(call)
                }
                _ => call,
            }
        }
        Ast::Binary(node) => {
            let (first, pairs) = node.chain();
            let join = |left: Ast, (op, right): (Op, &Ast)| {
                let right = reduced(right);
                match joined(op, &left, &right) {
                    Some(known) => known,
                    None => Ast::binary(op, left, right),
                }
            };
            pairs.into_iter().fold(reduced(first), join)
        }
        other => other.clone(),
    }
}

fn is_number(expr: &Ast) -> bool {
    matches!(expr, Ast::Integer(_) | Ast::Float(_))
}

/// Two literals as one.
fn joined(op: Op, left: &Ast, right: &Ast) -> Option<Ast> {
    match (left, right) {
        (Ast::String(left), Ast::String(right)) if op == Op::Add => {
            Some(Ast::String(format!("{left}{right}")))
        }
        _ if is_number(left) && is_number(right) => {
            let whole = matches!((left, right), (Ast::Integer(_), Ast::Integer(_)));
            let bits = matches!(op, Op::BitAnd | Op::BitOr | Op::BitXor);
            if bits && !whole {
                return None;
            }
            computed(&Ast::binary(op, left.clone(), right.clone()))
        }
        _ => None,
    }
}

/// The value of an expression without names.
fn computed(expr: &Ast) -> Option<Ast> {
    let compiled = compile(expr, &mut |_| Ok(None)).ok()?;
    let view = RowsView { times: &[0], fields: &[], tags: &[] };
    match eval(&compiled, &view).get(0)? {
        Value::Integer(value) => Some(Ast::Integer(value)),
        Value::Float(value) if value.is_finite() => Some(Ast::Float(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, Statement, parse};

    fn of(text: &str) -> String {
        let statements = parse(&format!("SELECT {text} FROM m"), &Params::new()).unwrap();
        let [Statement::Select(select)] = statements.as_slice() else { panic!("{text}") };
        reduced(&select.fields[0].expr).to_string()
    }

    #[test]
    fn constants_are_computed() {
        let cases = [
            ("f - 2 * 3 & s", "f - 6 & s"),
            ("f * (2)", "f * 2"),
            ("(f) + (i + 1)", "f + (i + 1)"),
            ("i + 2 + 3", "i + 2 + 3"),
            ("4 / 0 + s", "0.000 + s"),
            ("1 * 1.5 + pow(2, 2)", "5.500"),
            ("'a' + 'b' + s", "'ab' + s"),
            ("true & f", "true & f"),
            ("mean(f) + (1 + 2) * 3", "mean(f) + 9"),
        ];
        for (text, expected) in cases {
            assert_eq!(of(text), expected, "{text}");
        }
    }
}
