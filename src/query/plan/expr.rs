//! Expressions of the language as expressions over the numbered columns of one source.
//!
//! In: a tree of names. Out: a tree of positions; the scope collects which columns are needed. Long
//! chains of AND and OR become balanced trees, so that no reader of the result needs a deep stack.

use super::super::QueryError;
use super::super::source::{Binding, Source, bytes_regex};
use crate::influxql::ast::{Expr as Ast, Op};
use crate::model::{FieldType, Value};
use crate::shard::scan::{Expr, FieldRef, MathFunction, Operator};

/// Terms of one chain of arithmetic operators, which hangs to the left and is as deep as it is
/// long.
const CHAIN_TERMS_MAX: usize = 256;

/// The columns that the expressions of one source use.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    pub source: &'a Source,
    pub fields: Vec<FieldRef>,
    pub tags: Vec<Box<[u8]>>,
}

impl<'a> Scope<'a> {
    /// No columns yet.
    pub fn new(source: &'a Source) -> Scope<'a> {
        Scope { source, fields: Vec::new(), tags: Vec::new() }
    }

    /// The position of a field.
    pub fn field(&mut self, field: FieldRef) -> usize {
        place(&mut self.fields, field)
    }

    /// The position of a tag key.
    pub fn tag(&mut self, key: Box<[u8]>) -> usize {
        place(&mut self.tags, key)
    }

    /// An expression whose names are columns of the source.
    ///
    /// # Errors
    /// What is no expression over a row.
    pub fn compile(&mut self, expr: &Ast) -> Result<Expr, QueryError> {
        compile(expr, &mut |leaf| match leaf {
            Ast::VarRef(var) => Ok(Some(match self.source.bind(var) {
                Binding::Field(field) => Expr::Field(self.field(field)),
                Binding::Tag(key) => Expr::Tag(self.tag(key)),
                Binding::Missing => missing(),
            })),
            _ => Ok(None),
        })
    }
}

/// The position of an entry, which is added when it is not there.
pub fn place<T: PartialEq>(list: &mut Vec<T>, entry: T) -> usize {
    match list.iter().position(|known| *known == entry) {
        Some(at) => at,
        None => {
            list.push(entry);
            list.len() - 1
        }
    }
}

/// An expression without a value.
pub fn missing() -> Expr {
    let inner = Box::new(Expr::Literal(Value::Boolean(false)));
    Expr::Cast { inner, kind: FieldType::Float }
}

/// What gives names and calls their meaning; `None` for what it does not know.
pub type Leaf<'l> = dyn FnMut(&Ast) -> Result<Option<Expr>, QueryError> + 'l;

/// Compiles an expression; `leaf` is asked first at every name and call.
///
/// # Errors
/// What is no expression over a row.
pub fn compile(expr: &Ast, leaf: &mut Leaf<'_>) -> Result<Expr, QueryError> {
    let literal = |value| Ok(Expr::Literal(value));
    match expr {
        Ast::Paren(inner) => compile(inner, leaf),
        Ast::Integer(value) | Ast::Duration(value) => literal(Value::Integer(*value)),
        Ast::Unsigned(value) => literal(Value::Unsigned(*value)),
        Ast::Float(value) => literal(Value::Float(*value)),
        Ast::String(text) => literal(Value::String(text.as_bytes().into())),
        Ast::Boolean(value) => literal(Value::Boolean(*value)),
        Ast::VarRef(_) => Ok(leaf(expr)?.unwrap_or_else(missing)),
        Ast::Call { name, args } => match leaf(expr)? {
            Some(found) => Ok(found),
            None => {
                let function = math(name)
                    .ok_or_else(|| QueryError::Refused(format!("undefined function {name}()")))?;
                let arguments = args.iter().map(|arg| compile(arg, leaf));
                Ok(Expr::Call { function, arguments: arguments.collect::<Result<_, _>>()? })
            }
        },
        Ast::Binary(node) => {
            let (first, pairs) = node.chain();
            if matches!(node.op, Op::And | Op::Or) {
                return compile_logic(first, &pairs, leaf);
            }
            if pairs.len() > CHAIN_TERMS_MAX {
                return Err(QueryError::Refused("expression is too long".to_owned()));
            }
            let mut left = compile(first, leaf)?;
            for (op, right) in pairs {
                left = compile_pair(left, op, right, leaf)?;
            }
            Ok(left)
        }
        other => Err(QueryError::Refused(format!("invalid expression: {other}"))),
    }
}

fn compile_pair(left: Expr, op: Op, right: &Ast, leaf: &mut Leaf<'_>) -> Result<Expr, QueryError> {
    if let (true, Ast::Regex(regex)) = (op.is_regex(), right.unparen()) {
        let (regex, negated) = (bytes_regex(regex)?, op == Op::NeqRegex);
        return Ok(Expr::Matches { left: Box::new(left), regex, negated });
    }
    let op = operator(op).ok_or_else(|| QueryError::Refused("invalid expression".to_owned()))?;
    let right = compile(right, leaf)?;
    Ok(Expr::Binary { op, left: Box::new(left), right: Box::new(right) })
}

/// A chain that ends in AND or OR: its trailing logical operators as terms, OR above AND.
fn compile_logic(
    first: &Ast,
    pairs: &[(Op, &Ast)],
    leaf: &mut Leaf<'_>,
) -> Result<Expr, QueryError> {
    // AND binds closer than OR, so in a chain that hangs to the left the pairs tell the terms: what
    // stands before the first logical operator is one term.
    let logical = |op: &Op| matches!(op, Op::And | Op::Or);
    let start = pairs.iter().position(|(op, _)| logical(op)).unwrap_or(pairs.len());
    let (head, tail) = pairs.split_at(start);
    let mut left = compile(first, leaf)?;
    for (op, right) in head {
        left = compile_pair(left, *op, right, leaf)?;
    }
    let mut runs: Vec<(Op, Vec<Expr>)> = Vec::new();
    for (op, right) in tail {
        let right = compile(right, leaf)?;
        match runs.last_mut() {
            Some((known, terms)) if known == op => terms.push(right),
            _ => runs.push((*op, vec![right])),
        }
    }
    for (op, mut terms) in runs {
        terms.insert(0, left);
        let op = if op == Op::And { Operator::And } else { Operator::Or };
        left = balanced(op, terms);
    }
    Ok(left)
}

/// Terms joined by one operator, as a tree of least depth; true for no terms.
pub fn balanced(op: Operator, mut terms: Vec<Expr>) -> Expr {
    while terms.len() > 1 {
        let mut next = Vec::with_capacity(terms.len().div_ceil(2));
        let mut pairs = terms.into_iter();
        while let Some(left) = pairs.next() {
            next.push(match pairs.next() {
                Some(right) => Expr::Binary { op, left: Box::new(left), right: Box::new(right) },
                None => left,
            });
        }
        terms = next;
    }
    terms.pop().unwrap_or(Expr::Literal(Value::Boolean(true)))
}

fn operator(op: Op) -> Option<Operator> {
    Some(match op {
        Op::Add => Operator::Add,
        Op::Sub => Operator::Sub,
        Op::Mul => Operator::Mul,
        Op::Div => Operator::Div,
        Op::Mod => Operator::Mod,
        Op::BitAnd => Operator::BitAnd,
        Op::BitOr => Operator::BitOr,
        Op::BitXor => Operator::BitXor,
        Op::And => Operator::And,
        Op::Or => Operator::Or,
        Op::Eq => Operator::Eq,
        Op::Neq => Operator::Ne,
        Op::Lt => Operator::Lt,
        Op::Lte => Operator::Le,
        Op::Gt => Operator::Gt,
        Op::Gte => Operator::Ge,
        Op::EqRegex | Op::NeqRegex => return None,
    })
}

/// The mathematical function of a name.
pub fn math(name: &str) -> Option<MathFunction> {
    use MathFunction as F;
    Some(match name {
        "abs" => F::Abs,
        "ceil" => F::Ceil,
        "floor" => F::Floor,
        "round" => F::Round,
        "sin" => F::Sin,
        "cos" => F::Cos,
        "tan" => F::Tan,
        "asin" => F::Asin,
        "acos" => F::Acos,
        "atan" => F::Atan,
        "atan2" => F::Atan2,
        "exp" => F::Exp,
        "ln" => F::Ln,
        "log" => F::Log,
        "log2" => F::Log2,
        "log10" => F::Log10,
        "sqrt" => F::Sqrt,
        "pow" => F::Pow,
        _ => return None,
    })
}
