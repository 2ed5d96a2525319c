//! The syntax tree of the whole language: statements, queries and expressions.
//!
//! In: what the parser builds. Out: plain data for the planner and the printer; nothing here knows
//! a catalog. Long chains of operators hang to the left and are dropped, copied, compared and
//! printed without recursion; every other nesting is bounded by the parser.

mod expr;
mod select;
mod statement;

pub use expr::{Binary, Cast, Expr, Op, Regex, VarRef, Wildcard};
pub use select::{
    Dimension, Fill, Measurement, MeasurementName, Order, Select, SelectField, Source, Target,
};
pub use statement::{
    AlterRetentionPolicy, Cardinality, CardinalityOf, CreateContinuousQuery, CreateDatabase,
    CreateRetentionPolicy, CreateSubscription, CreateUser, Delete, DestinationMode,
    DropContinuousQuery, DropRetentionPolicy, DropSeries, DropSubscription, Explain, Grant,
    KillQuery, Listing, Privilege, Revoke, SetPassword, ShowMeasurements, ShowTagValues, Statement,
    TagKeys,
};
