//! Expressions: fields, literals, calls and operators.
//!
//! In: what the expression parser builds. Out: a tree with the walks that planning needs. The left
//! spine of a `Binary` may be as long as the query text; `Drop`, `Clone` and `PartialEq` therefore
//! follow it in a loop.

use std::fmt;

use crate::influxql::regex;

/// A regular expression as written between the slashes; it was compiled once and found good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Regex {
    /// Source in the dialect of the language (RE2), `\/` already turned into `/`.
    pub source: String,
}

impl Regex {
    /// Compiles the expression for matching.
    ///
    /// # Errors
    /// The reason, in the words of the reference, if it is no regular expression or too large.
    pub fn compile(&self) -> Result<::regex::Regex, String> {
        regex::compile(&self.source)
    }
}

/// What `::` asks of a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cast {
    Float,
    Integer,
    Unsigned,
    String,
    Boolean,
    /// `::field`: the field of that name, whatever its type.
    Field,
    /// `::tag`: the tag of that name.
    Tag,
}

impl Cast {
    /// The word behind the colons.
    pub fn text(self) -> &'static str {
        match self {
            Cast::Float => "float",
            Cast::Integer => "integer",
            Cast::Unsigned => "unsigned",
            Cast::String => "string",
            Cast::Boolean => "boolean",
            Cast::Field => "field",
            Cast::Tag => "tag",
        }
    }
}

/// A column by name; dots inside are part of the name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VarRef {
    pub name: String,
    pub cast: Option<Cast>,
}

/// Which columns `*` stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wildcard {
    All,
    Fields,
    Tags,
}

/// A binary operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    BitAnd,
    BitOr,
    BitXor,
    And,
    Or,
    Eq,
    Neq,
    EqRegex,
    NeqRegex,
    Lt,
    Lte,
    Gt,
    Gte,
}

impl Op {
    /// Binding strength, 1 (OR) to 5 (multiplication).
    pub fn precedence(self) -> u8 {
        match self {
            Op::Or => 1,
            Op::And => 2,
            Op::Eq | Op::Neq | Op::EqRegex | Op::NeqRegex | Op::Lt | Op::Lte | Op::Gt | Op::Gte => {
                3
            }
            Op::Add | Op::Sub | Op::BitOr | Op::BitXor => 4,
            Op::Mul | Op::Div | Op::Mod | Op::BitAnd => 5,
        }
    }

    /// Whether the operator computes a number (or combines bits), as opposed to a truth value.
    pub fn is_arithmetic(self) -> bool {
        self.precedence() >= 4
    }

    /// Whether the right side is a regular expression.
    pub fn is_regex(self) -> bool {
        matches!(self, Op::EqRegex | Op::NeqRegex)
    }

    /// The operator as written.
    pub fn text(self) -> &'static str {
        match self {
            Op::Add => "+",
            Op::Sub => "-",
            Op::Mul => "*",
            Op::Div => "/",
            Op::Mod => "%",
            Op::BitAnd => "&",
            Op::BitOr => "|",
            Op::BitXor => "^",
            Op::And => "AND",
            Op::Or => "OR",
            Op::Eq => "=",
            Op::Neq => "!=",
            Op::EqRegex => "=~",
            Op::NeqRegex => "!~",
            Op::Lt => "<",
            Op::Lte => "<=",
            Op::Gt => ">",
            Op::Gte => ">=",
        }
    }
}

/// An expression. `Paren` keeps the parentheses of the text; precedence is otherwise in the shape.
#[derive(Clone, PartialEq)]
pub enum Expr {
    VarRef(VarRef),
    /// A call; the name is in lower case.
    Call {
        name: String,
        args: Vec<Expr>,
    },
    Binary(Box<Binary>),
    Paren(Box<Expr>),
    Integer(i64),
    /// An integer above the range of `i64`.
    Unsigned(u64),
    Float(f64),
    String(String),
    Boolean(bool),
    /// Nanoseconds.
    Duration(i64),
    Regex(Regex),
    Wildcard(Wildcard),
    /// `DISTINCT name`, without parentheses.
    Distinct(String),
    /// Nothing; only what a moved-out operand leaves behind.
    Nil,
}

/// Two expressions and the operator between them.
pub struct Binary {
    pub op: Op,
    pub lhs: Expr,
    pub rhs: Expr,
}

impl Binary {
    /// Takes the node apart.
    pub fn into_parts(mut self) -> (Expr, Op, Expr) {
        let lhs = std::mem::replace(&mut self.lhs, Expr::Nil);
        let rhs = std::mem::replace(&mut self.rhs, Expr::Nil);
        (lhs, self.op, rhs)
    }

    /// The chain `a op b op c` that hangs to the left: its first operand and the following pairs in
    /// order.
    pub fn chain(&self) -> (&Expr, Vec<(Op, &Expr)>) {
        let mut pairs = vec![(self.op, &self.rhs)];
        let mut first = &self.lhs;
        while let Expr::Binary(node) = first {
            pairs.push((node.op, &node.rhs));
            first = &node.lhs;
        }
        pairs.reverse();
        (first, pairs)
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let mut next = std::mem::replace(&mut self.lhs, Expr::Nil);
        while let Expr::Binary(mut node) = next {
            next = std::mem::replace(&mut node.lhs, Expr::Nil);
        }
    }
}

impl Clone for Binary {
    fn clone(&self) -> Binary {
        let (first, pairs) = self.chain();
        let mut lhs = first.clone();
        for (op, rhs) in pairs.iter().take(pairs.len() - 1) {
            lhs = Expr::binary(*op, lhs, (*rhs).clone());
        }
        Binary { op: self.op, lhs, rhs: self.rhs.clone() }
    }
}

impl PartialEq for Binary {
    fn eq(&self, other: &Binary) -> bool {
        let (first, pairs) = self.chain();
        let (other_first, other_pairs) = other.chain();
        first == other_first && pairs == other_pairs
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl Expr {
    /// `lhs op rhs`.
    pub fn binary(op: Op, lhs: Expr, rhs: Expr) -> Expr {
        Expr::Binary(Box::new(Binary { op, lhs, rhs }))
    }

    /// A column without a cast.
    pub fn var(name: impl Into<String>) -> Expr {
        Expr::VarRef(VarRef { name: name.into(), cast: None })
    }

    /// The expression without the parentheses around it.
    pub fn unparen(&self) -> &Expr {
        let mut inner = self;
        while let Expr::Paren(next) = inner {
            inner = next;
        }
        inner
    }

    /// Calls `visit` for this expression and all below it, parents first, operands from left to
    /// right. What is below an expression is left out when `visit` returns false for it.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr) -> bool) {
        let mut waiting = vec![self];
        while let Some(expr) = waiting.pop() {
            if !visit(expr) {
                continue;
            }
            match expr {
                Expr::Binary(node) => waiting.extend([&node.rhs, &node.lhs]),
                Expr::Paren(inner) => waiting.push(inner),
                Expr::Call { args, .. } => waiting.extend(args.iter().rev()),
                _ => {}
            }
        }
    }

    /// The columns that the expression names, in order, with repetitions; `DISTINCT v` counts as
    /// `v`.
    pub fn var_refs(&self) -> Vec<VarRef> {
        let mut found = Vec::new();
        self.walk(&mut |expr| {
            match expr {
                Expr::VarRef(var) => found.push(var.clone()),
                Expr::Distinct(name) => found.push(VarRef { name: name.clone(), cast: None }),
                _ => {}
            }
            true
        });
        found
    }

    /// Whether any expression below, or this one, is a call or `DISTINCT`.
    pub fn has_call(&self) -> bool {
        let mut found = false;
        self.walk(&mut |expr| {
            found |= matches!(expr, Expr::Call { .. } | Expr::Distinct(_));
            !found
        });
        found
    }

    /// Whether the expression is the column `time`, in any case.
    pub fn is_time(&self) -> bool {
        matches!(self, Expr::VarRef(var) if var.name.eq_ignore_ascii_case("time"))
    }

    /// The name of the kind of expression in the reference, which its error texts show.
    pub fn reference_type(&self) -> &'static str {
        match self {
            Expr::VarRef(_) => "*influxql.VarRef",
            Expr::Call { .. } => "*influxql.Call",
            Expr::Binary(_) => "*influxql.BinaryExpr",
            Expr::Paren(_) => "*influxql.ParenExpr",
            Expr::Integer(_) => "*influxql.IntegerLiteral",
            Expr::Unsigned(_) => "*influxql.UnsignedLiteral",
            Expr::Float(_) => "*influxql.NumberLiteral",
            Expr::String(_) => "*influxql.StringLiteral",
            Expr::Boolean(_) => "*influxql.BooleanLiteral",
            Expr::Duration(_) => "*influxql.DurationLiteral",
            Expr::Regex(_) => "*influxql.RegexLiteral",
            Expr::Wildcard(_) => "*influxql.Wildcard",
            Expr::Distinct(_) => "*influxql.Distinct",
            Expr::Nil => "<nil>",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long_chain(terms: usize) -> Expr {
        let one = |i: usize| Expr::binary(Op::Eq, Expr::var("a"), Expr::Integer(i as i64));
        (1..terms).fold(one(0), |lhs, i| Expr::binary(Op::Or, lhs, one(i)))
    }

    #[test]
    fn long_chains_need_no_stack() {
        let small_stack = std::thread::Builder::new().stack_size(128 * 1024);
        let work = || {
            let expr = long_chain(100_000);
            let copy = expr.clone();
            assert!(copy == expr);
            assert_eq!(expr.var_refs().len(), 100_000);
            assert!(!expr.has_call());
            assert!(expr.to_string().starts_with("a = 0 OR a = 1 OR"));
        };
        small_stack.spawn(work).unwrap().join().unwrap();
    }

    #[test]
    fn chains_differ_by_operator_and_operand() {
        let (a, b) = (long_chain(3), long_chain(4));
        assert!(a != b);
        let sum = |op| Expr::binary(op, Expr::var("a"), Expr::Integer(1));
        assert!(sum(Op::Add) != sum(Op::Sub));
        assert!(sum(Op::Add) == sum(Op::Add));
    }

    #[test]
    fn walks_go_from_left_to_right() {
        let args = vec![Expr::var("x"), Expr::binary(Op::Add, Expr::var("y"), Expr::var("z"))];
        let call = Expr::Call { name: "f".into(), args };
        let names: Vec<String> = call.var_refs().into_iter().map(|v| v.name).collect();
        assert_eq!(names, ["x", "y", "z"]);
        assert!(call.has_call());
        assert!(Expr::var("TIME").is_time());
    }
}
