//! The function calls of a SELECT: what shards compute for them, and what is left to do here.
//!
//! In: the selected expressions. Out: the distinct calls, the aggregates that shards are asked for,
//! and expressions over numbered calls.

use super::super::QueryError;
use super::super::source::{Binding, is_number};
use super::expr::{Scope, compile, math, missing, place};
use super::transforms::Transform;
use crate::influxql::ast::{Expr as Ast, VarRef};
use crate::model::FieldType;
use crate::shard::scan::{Aggregate, Aux, Expr, Function};

/// A function over the values of a bucket.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Count,
    CountDistinct,
    Sum,
    Mean,
    Median,
    Mode,
    Spread,
    Stddev,
    Min,
    Max,
    First,
    Last,
    Percentile(f64),
    /// The greatest (or smallest) so many points.
    Top {
        count: usize,
        smallest: bool,
    },
    Distinct,
    /// The values themselves, with their times: what functions over streams read.
    Stream,
}

/// One call.
#[derive(Clone, PartialEq, Debug)]
pub struct Call {
    pub kind: Kind,
    /// Place among the aggregates; `None`: the field is not there.
    pub aggregate: Option<usize>,
    /// Type of what the function gives, before `transforms`.
    pub finished: FieldType,
    /// Type of the results.
    pub result: FieldType,
    /// Functions over the stream of its points, the innermost first.
    pub transforms: Vec<Transform>,
}

/// All calls of a query.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    pub calls: Vec<Call>,
    pub aggregates: Vec<Aggregate>,
    /// Columns beside a selector, of every aggregate (there is one then).
    pub aux: Vec<Aux>,
    /// Width of the buckets; 0 without.
    width_ns: i64,
}

impl Kind {
    /// Whether a point is chosen, with its time.
    pub fn is_selector(self) -> bool {
        matches!(self, Kind::Min | Kind::Max | Kind::First | Kind::Last | Kind::Percentile(_))
            || self.keeps_own_times()
    }

    /// Whether points keep their times also within buckets; such calls are not filled.
    pub fn keeps_own_times(self) -> bool {
        matches!(self, Kind::Top { .. } | Kind::Stream)
    }

    fn function(self) -> Function {
        match self {
            Kind::Count => Function::Count,
            Kind::Sum | Kind::Mean => Function::Sum,
            Kind::Spread => Function::Spread,
            Kind::Stddev => Function::Moments,
            Kind::Min => Function::Min,
            Kind::Max => Function::Max,
            Kind::First => Function::First,
            Kind::Last => Function::Last,
            Kind::Median | Kind::Mode | Kind::Percentile(_) => Function::Values,
            Kind::Top { .. } | Kind::Stream => Function::Values,
            Kind::Distinct | Kind::CountDistinct => Function::Distinct,
        }
    }

    fn result(self, input: FieldType) -> FieldType {
        match self {
            Kind::Count | Kind::CountDistinct => FieldType::Integer,
            Kind::Mean | Kind::Median | Kind::Stddev => FieldType::Float,
            _ => input,
        }
    }

    fn takes(self, input: FieldType) -> bool {
        match self {
            Kind::Sum | Kind::Mean | Kind::Median | Kind::Spread | Kind::Stddev => is_number(input),
            Kind::Percentile(_) | Kind::Top { .. } => is_number(input),
            Kind::Min | Kind::Max => is_number(input) || input == FieldType::Boolean,
            _ => true,
        }
    }
}

impl Call {
    /// A call over a field of type `input`.
    pub fn new(kind: Kind, aggregate: Option<usize>, input: FieldType) -> Call {
        let result = kind.result(input);
        Call { kind, aggregate, finished: result, result, transforms: Vec::new() }
    }

    /// Buckets before the range that it reads.
    pub fn looks_back(&self) -> i64 {
        self.transforms.iter().filter(|transform| transform.looks_back()).count() as i64
    }
}

fn unsupported(name: &str, input: FieldType) -> QueryError {
    let kind = input.name();
    QueryError::Refused(format!("unsupported {name} iterator type: *query.{kind}InterruptIterator"))
}

impl Calls {
    /// Compiles the columns: position `i` of the result refers to call `i`, or behind the calls to
    /// the columns beside the selector.
    ///
    /// # Errors
    /// Functions that are not known or do not take the field's type.
    pub fn compile(
        scope: &mut Scope<'_>,
        columns: &[(Ast, String)],
        width_ns: i64,
    ) -> Result<(Calls, Vec<Expr>), QueryError> {
        let mut calls = Calls { width_ns, ..Calls::default() };
        // Once for the calls, so that their number is known, then for the expressions.
        for (expr, _) in columns {
            calls.column(scope, expr)?;
        }
        let exprs = columns.iter().map(|(expr, _)| calls.column(scope, expr));
        let exprs = exprs.collect::<Result<Vec<_>, _>>()?;
        let aux = calls.aux.clone();
        calls.aggregates.iter_mut().for_each(|aggregate| aggregate.aux.clone_from(&aux));
        Ok((calls, exprs))
    }

    /// Whether the chosen point's time is that of the row.
    pub fn keeps_time(&self) -> bool {
        matches!(self.calls.as_slice(), [call] if call.kind.is_selector())
    }

    /// Buckets before the range that the calls read.
    pub fn looks_back(&self) -> i64 {
        self.calls.iter().map(Call::looks_back).max().unwrap_or(0)
    }

    /// Whether calls differ in how far they read before the range.
    pub fn looks_back_unevenly(&self) -> bool {
        self.calls.iter().any(|call| call.looks_back() != self.looks_back())
    }

    fn column(&mut self, scope: &mut Scope<'_>, expr: &Ast) -> Result<Expr, QueryError> {
        compile(expr, &mut |leaf| match leaf {
            Ast::VarRef(var) => Ok(Some(self.beside(scope, var))),
            Ast::Call { name, args } if math(name).is_none() => {
                let call = self.call(scope, name, args)?;
                Ok(Some(Expr::Field(place(&mut self.calls, call))))
            }
            _ => Ok(None),
        })
    }

    fn beside(&mut self, scope: &mut Scope<'_>, var: &VarRef) -> Expr {
        let aux = match scope.source.bind(var) {
            Binding::Field(field) => Aux::Field(scope.field(field)),
            Binding::Tag(key) => Aux::Tag(scope.tag(key)),
            Binding::Missing => return missing(),
        };
        Expr::Field(self.calls.len() + place(&mut self.aux, aux))
    }

    fn call(
        &mut self,
        scope: &mut Scope<'_>,
        name: &str,
        args: &[Ast],
    ) -> Result<Call, QueryError> {
        if let ("count", [Ast::Call { name: inner, args }]) = (name, args)
            && inner == "distinct"
        {
            return self.over(scope, Kind::CountDistinct, "count", args.first());
        }
        if let Some(transform) = Transform::parse(name, args, self.width_ns)? {
            let mut call = match args.first().map(Ast::unparen) {
                Some(Ast::Call { name, args }) => self.call(scope, name, args)?,
                inner => self.over(scope, Kind::Stream, name, inner)?,
            };
            if call.aggregate.is_some() && !transform.takes(call.result) {
                return Err(unsupported(name, call.result));
            }
            call.result = transform.result(call.result);
            call.transforms.push(transform);
            return Ok(call);
        }
        let kind = kind(name, args)?;
        self.over(scope, kind, name, args.first())
    }

    fn over(
        &mut self,
        scope: &mut Scope<'_>,
        kind: Kind,
        name: &str,
        argument: Option<&Ast>,
    ) -> Result<Call, QueryError> {
        let Some(Ast::VarRef(var)) = argument.map(Ast::unparen) else {
            return Err(QueryError::Refused(format!("expected field argument in {name}()")));
        };
        let Binding::Field(field) = scope.source.bind(var) else {
            return Ok(Call::new(kind, None, FieldType::Float));
        };
        let input = field.kind;
        if !kind.takes(input) {
            let text = format!(
                "unsupported {name} iterator type: *query.{}InterruptIterator",
                input.name()
            );
            return Err(QueryError::Refused(text));
        }
        let field = scope.field(field);
        let aggregate = Aggregate { function: kind.function(), field, aux: Vec::new() };
        let aggregate = Some(place(&mut self.aggregates, aggregate));
        Ok(Call::new(kind, aggregate, input))
    }
}

fn kind(name: &str, args: &[Ast]) -> Result<Kind, QueryError> {
    Ok(match name {
        "count" => Kind::Count,
        "sum" => Kind::Sum,
        "mean" => Kind::Mean,
        "median" => Kind::Median,
        "mode" => Kind::Mode,
        "spread" => Kind::Spread,
        "stddev" => Kind::Stddev,
        "min" => Kind::Min,
        "max" => Kind::Max,
        "first" => Kind::First,
        "last" => Kind::Last,
        "distinct" => Kind::Distinct,
        "top" | "bottom" => match args {
            [_, Ast::Integer(count)] if *count > 0 => {
                let count = usize::try_from(*count).unwrap_or(usize::MAX);
                Kind::Top { count, smallest: name == "bottom" }
            }
            _ => return Err(QueryError::NotSupported(format!("{name}() with tags"))),
        },
        "percentile" => match args.get(1) {
            Some(Ast::Integer(rank)) => Kind::Percentile(*rank as f64),
            Some(Ast::Float(rank)) => Kind::Percentile(*rank),
            _ => {
                let text = "expected float argument in percentile()";
                return Err(QueryError::Refused(text.to_owned()));
            }
        },
        other => return Err(QueryError::NotSupported(format!("{other}()"))),
    })
}
