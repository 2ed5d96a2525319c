//! A query as it was understood: wildcards written out, names with their types, sources with
//! database and policy, time taken out of the condition.

use super::super::outline::Outline;
use super::{subqueries, universe};
use crate::influxql::ast::{Measurement, Select, SelectField, Source};
use crate::query::plan::columns::{Universe, name_of};
use crate::query::plan::types::typed;
use crate::query::{Context, QueryError};
use std::pin::Pin;

type Pending<'f, T> = Pin<Box<dyn Future<Output = T> + 'f>>;

/// The statement, with what names mean in its sources.
///
/// # Errors
/// A shard that cannot tell its tags.
pub fn statement<'f>(
    context: Context<'f>,
    outline: &'f Outline<'f>,
) -> Pending<'f, Result<(Select, Universe), QueryError>> {
    Box::pin(async move {
        let universe = universe(context, outline).await?;
        let mut select = outline.select.clone();
        select.fields = fields(outline, &universe);
        select.condition = outline.condition.as_ref().map(|expr| typed(expr, &universe));
        for source in &mut select.sources {
            if let Source::Measurement(measurement) = source {
                qualify(context, measurement);
            }
        }
        for inner in subqueries(outline) {
            let places = outline.select.sources.iter().zip(&mut select.sources);
            for (written, place) in places {
                let (Source::Subquery(written), Source::Subquery(place)) = (written, place) else {
                    continue;
                };
                if std::ptr::eq(&**written, inner.select) {
                    **place = statement(context, inner).await?.0;
                }
            }
        }
        Ok((select, universe))
    })
}

fn fields(outline: &Outline<'_>, universe: &Universe) -> Vec<SelectField> {
    let selected = &outline.selected;
    let mut out = Vec::new();
    let columns = selected.columns.iter().zip(&selected.plain).zip(&selected.implied);
    for (((expr, _), name), _) in columns.filter(|(_, implied)| !**implied) {
        let alias = (name_of(expr) != *name).then(|| name.clone());
        out.push(SelectField { expr: typed(expr, universe), alias });
    }
    // A wildcard may stand for nothing.
    if out.is_empty() { outline.select.fields.clone() } else { out }
}

/// Fills in what the request gives.
fn qualify(context: Context<'_>, measurement: &mut Measurement) {
    let options = context.options;
    if measurement.retention_policy.is_none() {
        let catalog = context.cluster.catalog();
        let database = measurement.database.as_deref().or(options.db.as_deref());
        let default = database.and_then(|name| catalog.database(name));
        let default = default.map(|database| database.default_name.clone());
        measurement.retention_policy = options.rp.clone().or(default);
    }
    if measurement.database.is_none() {
        measurement.database.clone_from(&options.db);
    }
}
