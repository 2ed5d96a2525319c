//! The function calls of a SELECT: what shards compute for them, and what is left to do here.
//!
//! In: the selected expressions. Out: the distinct calls, the aggregates that shards are asked for,
//! and expressions over numbered calls.

use super::super::QueryError;
use super::super::functions::Transform;
use super::super::source::{Binding, is_number};
use super::columns::key_arguments;
use super::expr::{Scope, compile, math, missing, place};
use super::transforms::transform;
use crate::influxql::ast::{Expr as Ast, VarRef};
use crate::model::{FieldType, TimeRange};
use crate::shard::scan::{Aggregate, Aux, Expr, Function};

/// Columns with calls of one query; each call is compared with all before it.
const CALLS_MAX: usize = 10_000;

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
    /// The greatest (or smallest) so many points; `by`: one for each combination of the first so
    /// many columns beside it.
    Top {
        count: usize,
        smallest: bool,
        by: Option<usize>,
    },
    /// So many points, chosen at random.
    Sample {
        count: usize,
        seed: u64,
    },
    Distinct,
    /// The same under ORDER BY time DESC, where a value's place is that of its latest point.
    DistinctLatest,
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
    /// Whether the type of the results is known although the field may not be there.
    pub typed: bool,
}

/// All calls of a query.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    pub calls: Vec<Call>,
    pub aggregates: Vec<Aggregate>,
    /// By aggregate: how many buckets before the query's range it reads.
    backs: Vec<i64>,
    /// Columns beside a selector, of every aggregate (there is one then). Those by which top()
    /// chooses stand first.
    pub aux: Vec<Aux>,
    keys: usize,
    setting: Setting,
    /// Why a function does not take a field; said only where there is a series to apply it to.
    pub refused: Option<QueryError>,
}

/// What calls depend on beside their arguments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setting {
    /// Width of the buckets; 0 without.
    pub width_ns: i64,
    /// What random choices depend on.
    pub seed: u64,
    /// Whether results go backwards in time.
    pub descending: bool,
}

impl Kind {
    /// Whether a point is chosen, with its time.
    pub fn is_selector(self) -> bool {
        matches!(self, Kind::Min | Kind::Max | Kind::First | Kind::Last | Kind::Percentile(_))
            || self.keeps_own_times()
    }

    /// Whether points keep their times also within buckets; such calls are not filled.
    pub fn keeps_own_times(self) -> bool {
        matches!(self, Kind::Top { .. } | Kind::Sample { .. } | Kind::Stream)
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
            Kind::Stream | Kind::DistinctLatest => Function::Values,
            Kind::Top { count, smallest, by } => Function::Best { count, smallest, by },
            Kind::Sample { count, seed } => Function::Sample { count, seed },
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

    /// Whether its results have a type whatever it is applied to.
    fn has_type(self) -> bool {
        use Kind::{Count, CountDistinct, Mean, Median, Stddev};
        matches!(self, Count | CountDistinct | Mean | Median | Stddev)
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
        let typed = aggregate.is_some() || kind.has_type();
        Call { kind, aggregate, finished: result, result, transforms: Vec::new(), typed }
    }

    /// Buckets before the range that it reads.
    pub fn looks_back(&self) -> i64 {
        self.transforms.iter().filter(|transform| transform.looks_back()).count() as i64
    }
}

/// The name of a function in the text is that of the family, in words; `over` is what computes its
/// input.
fn unsupported(name: &str, input: FieldType, over: Option<Kind>) -> QueryError {
    let kind = input.name();
    // The names of the reference's inner workings.
    let by_tags = |kind| matches!(kind, Kind::Top { by: Some(_), .. });
    let (name, iterator) = match over {
        Some(kind) if by_tags(kind) && input == FieldType::Boolean => (name, "ReduceBoolean"),
        Some(kind) if by_tags(kind) && name == "top" => ("max", "Interrupt"),
        Some(kind) if by_tags(kind) => ("min", "Interrupt"),
        Some(Kind::Distinct | Kind::DistinctLatest) => (name, "Interval"),
        _ => (name, "Interrupt"),
    };
    let name = match name {
        "holt_winters" | "holt_winters_with_fit" => "elapsed",
        name => name.strip_prefix("non_negative_").unwrap_or(name),
    };
    let name = name.replace('_', " ");
    QueryError::Refused(format!(
        "unsupported {name} iterator type: *query.{kind}{iterator}Iterator"
    ))
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
        setting: Setting,
    ) -> Result<(Calls, Vec<Expr>), QueryError> {
        if columns.iter().filter(|(expr, _)| expr.has_call()).count() > CALLS_MAX {
            return Err(QueryError::Refused("too many functions".to_owned()));
        }
        let mut calls = Calls { setting, ..Calls::default() };
        // The tags by which top() chooses stand first beside it.
        for (expr, _) in columns {
            calls.note_keys(scope, expr);
        }
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

    /// Notes the tags among the arguments of top() and bottom().
    fn note_keys(&mut self, scope: &mut Scope<'_>, expr: &Ast) {
        for key in key_arguments(expr) {
            let Ast::VarRef(var) = key.unparen() else { continue };
            match scope.source.bind(var) {
                Binding::Tag(key) => place(&mut self.aux, Aux::Tag(scope.tag(key))),
                // In rows of a subquery tags are columns.
                Binding::Field(field) if scope.source.is_tag(&key) => {
                    place(&mut self.aux, Aux::Field(scope.field(field)))
                }
                _ => continue,
            };
        }
        self.keys = self.aux.len();
    }

    /// Whether the chosen point's time is that of the row.
    pub fn keeps_time(&self) -> bool {
        matches!(self.calls.as_slice(), [call] if call.kind.is_selector())
    }

    /// Buckets before the range that the calls read.
    pub fn looks_back(&self) -> i64 {
        self.calls.iter().map(Call::looks_back).max().unwrap_or(0)
    }

    /// Gives each aggregate its range, when they differ in how far they read before the query's.
    pub fn set_ranges(&mut self, range_of: impl Fn(i64) -> TimeRange) {
        let most = self.looks_back();
        if self.backs.iter().all(|back| *back == most) {
            return;
        }
        for (aggregate, back) in self.aggregates.iter_mut().zip(&self.backs) {
            aggregate.range = range_of(*back);
        }
    }

    fn column(&mut self, scope: &mut Scope<'_>, expr: &Ast) -> Result<Expr, QueryError> {
        compile(expr, &mut |leaf| match leaf {
            Ast::VarRef(var) => Ok(Some(self.beside(scope, var))),
            Ast::Call { name, args } if math(name).is_none() => {
                let call = self.call(scope, name, args, 0)?;
                Ok(Some(Expr::Field(place(&mut self.calls, call))))
            }
            _ => Ok(None),
        })
    }

    fn beside(&mut self, scope: &mut Scope<'_>, var: &VarRef) -> Expr {
        let aux = match scope.source.bind(var) {
            Binding::Field(field) => Aux::Field(scope.field(field)),
            // A subquery without the tag is grouped by it for top() all the same, unseen.
            Binding::Tag(_) if scope.source.computed => return missing(),
            Binding::Tag(key) => Aux::Tag(scope.tag(key)),
            Binding::Missing => return missing(),
        };
        Expr::Field(self.calls.len() + place(&mut self.aux, aux))
    }

    /// A call, `back` buckets of which functions around it read before the range.
    fn call(
        &mut self,
        scope: &mut Scope<'_>,
        name: &str,
        args: &[Ast],
        back: i64,
    ) -> Result<Call, QueryError> {
        let first = args.first().map(Ast::unparen);
        match (name, first) {
            ("count", Some(Ast::Call { name: inner, args })) if inner == "distinct" => {
                return self.over(scope, Kind::CountDistinct, name, args.first(), back);
            }
            ("count", Some(Ast::Distinct(field))) => {
                let field = Ast::var(field.clone());
                return self.over(scope, Kind::CountDistinct, name, Some(&field), back);
            }
            _ => {}
        }
        if let Some(transform) = transform(name, args, self.setting.width_ns)? {
            let back = back + i64::from(transform.looks_back());
            let mut call = match first {
                Some(Ast::Call { name, args }) => self.call(scope, name, args, back)?,
                Some(Ast::Distinct(field)) => {
                    let field = Ast::var(field.clone());
                    let kind = distinct(self.setting.descending);
                    self.over(scope, kind, "distinct", Some(&field), back)?
                }
                inner => self.over(scope, Kind::Stream, name, inner, back)?,
            };
            if call.aggregate.is_some() && !transform.takes(call.result) {
                self.refuse(unsupported(name, call.result, Some(call.kind)));
                call.aggregate = None;
            }
            call.result = transform.result(call.result);
            call.typed |= transform.has_type();
            call.transforms.push(transform);
            return Ok(call);
        }
        let kind = self.kind(name, args)?;
        self.over(scope, kind, name, args.first(), back)
    }

    fn over(
        &mut self,
        scope: &mut Scope<'_>,
        kind: Kind,
        name: &str,
        argument: Option<&Ast>,
        back: i64,
    ) -> Result<Call, QueryError> {
        let Some(Ast::VarRef(var)) = argument.map(Ast::unparen) else {
            return Err(QueryError::Refused(format!("expected field argument in {name}()")));
        };
        let Binding::Field(field) = scope.source.bind(var) else {
            let elsewhere = scope.source.elsewhere.get(var.name.as_bytes());
            let call = Call::new(kind, None, elsewhere.copied().unwrap_or(FieldType::Float));
            let typed = call.typed || elsewhere.is_some() || var.cast.is_some();
            return Ok(Call { typed, ..call });
        };
        let input = field.kind;
        if !kind.takes(input) {
            self.refuse(unsupported(name, input, Some(kind)));
            return Ok(Call::new(kind, None, input));
        }
        let (function, field) = (kind.function(), scope.field(field));
        let aggregate = Aggregate { function, field, aux: Vec::new(), range: TimeRange::ALL };
        // Without buckets nothing is read before the range.
        let back = if self.setting.width_ns > 0 { back } else { 0 };
        // Compared without what is known only in the end.
        let same = |(known, held): &(&Aggregate, &i64)| {
            (known.function, known.field) == (function, field) && **held == back
        };
        let known = self.aggregates.iter().zip(&self.backs).position(|pair| same(&pair));
        let at = known.unwrap_or_else(|| {
            self.aggregates.push(aggregate);
            self.backs.push(back);
            self.aggregates.len() - 1
        });
        Ok(Call::new(kind, Some(at), input))
    }

    fn refuse(&mut self, error: QueryError) {
        self.refused.get_or_insert(error);
    }

    fn kind(&self, name: &str, args: &[Ast]) -> Result<Kind, QueryError> {
        let count = |argument: Option<&Ast>| match argument {
            Some(Ast::Integer(count)) if *count > 0 => {
                Ok(usize::try_from(*count).unwrap_or(usize::MAX))
            }
            _ => Err(QueryError::Refused(format!("expected integer argument in {name}()"))),
        };
        Ok(match name {
            "top" | "bottom" => {
                let by = (args.len() > 2).then_some(self.keys);
                Kind::Top { count: count(args.last())?, smallest: name == "bottom", by }
            }
            "distinct" => distinct(self.setting.descending),
            "sample" => Kind::Sample { count: count(args.get(1))?, seed: self.setting.seed },
            _ => kind(name, args)?,
        })
    }
}

fn distinct(descending: bool) -> Kind {
    if descending { Kind::DistinctLatest } else { Kind::Distinct }
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
        "percentile" => match args.get(1) {
            Some(Ast::Integer(rank)) => Kind::Percentile(*rank as f64),
            Some(Ast::Float(rank)) => Kind::Percentile(*rank),
            _ => {
                let text = "expected float argument in percentile()";
                return Err(QueryError::Refused(text.to_owned()));
            }
        },
        other => return Err(QueryError::Refused(format!("undefined function {other}()"))),
    })
}
