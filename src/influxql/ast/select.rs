//! SELECT: fields, sources, condition, dimensions and everything behind them.
//!
//! In: what the parser builds. Out: the query as data, with the questions that validation and
//! planning ask of the tree alone.

use super::expr::{Expr, Regex, VarRef};

/// A query.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Select {
    pub fields: Vec<SelectField>,
    /// INTO.
    pub target: Option<Target>,
    pub sources: Vec<Source>,
    /// WHERE, time conditions included.
    pub condition: Option<Expr>,
    /// GROUP BY.
    pub dimensions: Vec<Dimension>,
    pub fill: Fill,
    pub order: Option<Order>,
    /// Rows per series; 0 is no limit.
    pub limit: u64,
    pub offset: u64,
    /// Series; 0 is no limit.
    pub slimit: u64,
    pub soffset: u64,
    /// Name of the zone of tz(); known to be one.
    pub tz: Option<String>,
}

/// A selected expression and its alias.
#[derive(Clone, PartialEq, Debug)]
pub struct SelectField {
    pub expr: Expr,
    pub alias: Option<String>,
}

/// What a query reads.
#[derive(Clone, PartialEq, Debug)]
pub enum Source {
    Measurement(Measurement),
    Subquery(Box<Select>),
}

/// A measurement, or all whose names match. Parts that were not given come from the request.
#[derive(Clone, PartialEq, Debug)]
pub struct Measurement {
    pub database: Option<String>,
    pub retention_policy: Option<String>,
    pub name: MeasurementName,
}

/// How a source names its measurement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MeasurementName {
    Name(String),
    Regex(Regex),
}

impl Measurement {
    /// A measurement of the database and retention policy of the request.
    pub fn named(name: impl Into<String>) -> Measurement {
        let name = MeasurementName::Name(name.into());
        Measurement { database: None, retention_policy: None, name }
    }

    /// For the names that InfluxDB keeps for itself, `_series` and the like: the statement to use
    /// instead.
    pub fn system_statement(&self) -> Option<&'static str> {
        match &self.name {
            MeasurementName::Regex(_) => None,
            MeasurementName::Name(name) => match name.as_str() {
                "_fieldKeys" => Some("SHOW FIELD KEYS"),
                "_measurements" => Some("SHOW MEASUREMENTS"),
                "_series" => Some("SHOW SERIES"),
                "_tagKeys" => Some("SHOW TAG KEYS"),
                "_tags" => Some("SHOW TAG VALUES"),
                _ => None,
            },
        }
    }
}

/// Where INTO writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    pub database: Option<String>,
    pub retention_policy: Option<String>,
    /// None is `:MEASUREMENT`, the name of each source.
    pub name: Option<String>,
}

/// A GROUP BY term: a tag, `*`, a regular expression, or a `time(…)` call. Anything else parses too
/// and is refused by validation.
#[derive(Clone, PartialEq, Debug)]
pub struct Dimension {
    pub expr: Expr,
}

impl Dimension {
    /// The arguments of `time(…)`.
    pub fn time_args(&self) -> Option<&[Expr]> {
        match &self.expr {
            Expr::Call { name, args } if name == "time" => Some(args),
            _ => None,
        }
    }
}

/// What stands in buckets without points.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Fill {
    /// fill(null), and the default.
    #[default]
    Null,
    None,
    Previous,
    Linear,
    Integer(i64),
    Float(f64),
}

/// ORDER BY.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    /// Whether `time` was written; `ORDER BY DESC` leaves it out.
    pub named: bool,
    pub descending: bool,
}

impl Select {
    /// Whether rows come straight from points: no field has a call.
    pub fn is_raw(&self) -> bool {
        !self.fields.iter().any(|field| field.expr.has_call())
    }

    /// Whether rows go from the latest to the earliest.
    pub fn is_descending(&self) -> bool {
        self.order.is_some_and(|order| order.descending)
    }

    /// Width of the buckets of GROUP BY time() in ns; 0 without one. The first `time` counts.
    ///
    /// # Errors
    /// Arguments that are no duration.
    pub fn group_interval(&self) -> Result<i64, String> {
        let Some(args) = self.dimensions.iter().find_map(Dimension::time_args) else {
            return Ok(0);
        };
        match args {
            [] | [_, _, _, ..] => Err("time dimension expected 1 or 2 arguments".to_string()),
            [Expr::Duration(interval), ..] => Ok(*interval),
            _ => Err("time dimension must have duration argument".to_string()),
        }
    }

    /// The columns that fields and condition name, each once, in order of appearance.
    pub fn var_refs(&self) -> Vec<VarRef> {
        let mut found: Vec<VarRef> = Vec::new();
        let fields = self.fields.iter().map(|field| &field.expr);
        for expr in fields.chain(&self.condition) {
            found.extend(expr.var_refs());
        }
        let mut seen = std::collections::BTreeSet::new();
        found.retain(|var| seen.insert((var.name.clone(), var.cast.map(|cast| cast.text()))));
        found
    }

    /// The measurements read, those of subqueries included.
    pub fn measurements(&self) -> Vec<&Measurement> {
        let mut found = Vec::new();
        let mut waiting: Vec<&Source> = self.sources.iter().rev().collect();
        while let Some(source) = waiting.pop() {
            match source {
                Source::Measurement(measurement) => found.push(measurement),
                Source::Subquery(select) => waiting.extend(select.sources.iter().rev()),
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(expr: Expr) -> SelectField {
        SelectField { expr, alias: None }
    }

    #[test]
    fn a_query_without_calls_is_raw() {
        let mut select = Select { fields: vec![field(Expr::var("v"))], ..Select::default() };
        assert!(select.is_raw());
        select.fields.push(field(Expr::Distinct("v".into())));
        assert!(!select.is_raw());
        assert_eq!(select.var_refs().len(), 1);
    }

    #[test]
    fn measurements_of_subqueries_count() {
        let inner = Select {
            sources: vec![Source::Measurement(Measurement::named("_series"))],
            ..Select::default()
        };
        let sources =
            vec![Source::Subquery(Box::new(inner)), Source::Measurement(Measurement::named("m"))];
        let select = Select { sources, ..Select::default() };
        let found = select.measurements();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].system_statement(), Some("SHOW SERIES"));
        assert_eq!(found[1].system_statement(), None);
    }
}
