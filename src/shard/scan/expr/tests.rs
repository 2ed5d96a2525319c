//! Each rule of expressions, on rows of every type with and without values.

use super::*;
use crate::model::{FieldNo, FieldType};
use crate::shard::scan::request::MathFunction;
use crate::shard::testing;

fn column(kind: FieldType, values: &[Option<Value>]) -> Option<Cow<'static, Column>> {
    Some(Cow::Owned(testing::column(ColumnId::new(FieldNo(1), kind), values)))
}

fn text(text: &str) -> Value {
    Value::String(text.as_bytes().into())
}

fn binary(op: Operator, left: Expr, right: Expr) -> Expr {
    Expr::Binary { op, left: Box::new(left), right: Box::new(right) }
}

/// Rows: fields float, integer, unsigned, string, boolean, missing; tags "a" and missing.
fn results(expr: &Expr) -> Vec<Option<Value>> {
    let fields = [
        column(FieldType::Float, &[Some(Value::Float(1.5)), None, Some(Value::Float(-4.0))]),
        column(
            FieldType::Integer,
            &[Some(Value::Integer(i64::MAX)), Some(Value::Integer(-7)), Some(Value::Integer(0))],
        ),
        column(
            FieldType::Unsigned,
            &[Some(Value::Unsigned(u64::MAX)), Some(Value::Unsigned(3)), Some(Value::Unsigned(0))],
        ),
        column(FieldType::String, &[Some(text("abc")), None, Some(text(""))]),
        column(
            FieldType::Boolean,
            &[Some(Value::Boolean(true)), Some(Value::Boolean(false)), None],
        ),
        None,
    ];
    let mut tag = Strings::default();
    (0..3).for_each(|_| tag.push(b"a"));
    let rows = RowsView { times: &[1, 2, 3], fields: &fields, tags: &[Some(tag), None] };
    let vector = eval(expr, &rows);
    let number = |value: &Value| !matches!(value, Value::Float(value) if value.is_nan());
    let values: Vec<_> = (0..3).map(|row| vector.get(row).filter(number)).collect();
    let column = vector.into_column(ColumnId(0), 3);
    let again: Vec<Option<Value>> =
        (0..3).map(|row| value_at(&column.values, row).filter(|_| column.is_valid(row))).collect();
    let again: Vec<_> = again.into_iter().map(|value| value.filter(number)).collect();
    assert_eq!(values, again, "a column says what the vector says");
    values
}

fn booleans(expr: &Expr) -> [bool; 3] {
    let values = results(expr);
    [0, 1, 2].map(|row: usize| match values[row] {
        Some(Value::Boolean(value)) => value,
        _ => panic!("a comparison is never missing"),
    })
}

const FLOAT: Expr = Expr::Field(0);
const INTEGER: Expr = Expr::Field(1);
const UNSIGNED: Expr = Expr::Field(2);
const TEXT: Expr = Expr::Field(3);
const TRUTH: Expr = Expr::Field(4);
const NOTHING: Expr = Expr::Field(5);

fn number(value: i64) -> Expr {
    Expr::Literal(Value::Integer(value))
}

#[test]
fn comparisons_with_missing_sides_or_other_types_are_false() {
    use Operator::*;
    for op in [Eq, Ne, Lt, Le, Gt, Ge] {
        assert_eq!(booleans(&binary(op, NOTHING, number(1))), [false; 3]);
        assert_eq!(booleans(&binary(op, TEXT, number(1))), [false; 3]);
        assert_eq!(booleans(&binary(op, TRUTH, number(1))), [false; 3]);
    }
    assert_eq!(booleans(&binary(Ne, FLOAT, number(1))), [true, false, true]);
    assert_eq!(
        booleans(&binary(Eq, TRUTH, Expr::Literal(Value::Boolean(false)))),
        [false, true, false]
    );
}

#[test]
fn numbers_compare_across_types() {
    use Operator::*;
    assert_eq!(booleans(&binary(Gt, FLOAT, INTEGER)), [false, false, false]);
    assert_eq!(booleans(&binary(Lt, FLOAT, INTEGER)), [true, false, true]);
    assert_eq!(booleans(&binary(Gt, UNSIGNED, INTEGER)), [true, true, false]);
    assert_eq!(booleans(&binary(Ge, INTEGER, UNSIGNED)), [false, false, true]);
    assert_eq!(booleans(&binary(Lt, Expr::Time, number(3))), [true, true, false]);
}

#[test]
fn strings_and_tags_know_equality_and_patterns_only() {
    use Operator::*;
    let abc = || Expr::Literal(text("abc"));
    assert_eq!(booleans(&binary(Eq, TEXT, abc())), [true, false, false]);
    assert_eq!(booleans(&binary(Ne, TEXT, abc())), [false, false, true]);
    assert_eq!(booleans(&binary(Lt, TEXT, Expr::Literal(text("b")))), [false; 3]);
    assert_eq!(booleans(&binary(Gt, Expr::Tag(0), Expr::Literal(text("")))), [false; 3]);
    assert_eq!(booleans(&binary(Eq, Expr::Tag(0), Expr::Literal(text("a")))), [true; 3]);
    assert_eq!(booleans(&binary(Eq, Expr::Tag(1), Expr::Literal(text("")))), [true; 3]);
    let matches = |left, pattern, negated| Expr::Matches {
        left: Box::new(left),
        regex: regex::bytes::Regex::new(pattern).unwrap(),
        negated,
    };
    assert_eq!(booleans(&matches(TEXT, "b", false)), [true, false, false]);
    assert_eq!(booleans(&matches(TEXT, "b", true)), [false, false, true]);
    assert_eq!(booleans(&matches(INTEGER, ".*", true)), [false; 3]);
    assert_eq!(booleans(&matches(Expr::Tag(1), "^$", false)), [true; 3]);
}

#[test]
fn integers_wrap_and_divide_to_floats() {
    use Operator::*;
    let integers = |values: [i64; 3]| values.map(|value| Some(Value::Integer(value))).to_vec();
    assert_eq!(results(&binary(Add, INTEGER, number(1))), integers([i64::MIN, -6, 1]));
    assert_eq!(results(&binary(Mod, INTEGER, number(0))), integers([0, 0, 0]));
    assert_eq!(results(&binary(BitAnd, INTEGER, number(6))), integers([6, 0, 0]));
    let halves = results(&binary(Div, INTEGER, number(2)));
    assert_eq!(halves[1], Some(Value::Float(-3.5)));
    let zero = vec![Some(Value::Float(0.0)), None, Some(Value::Float(0.0))];
    assert_eq!(results(&binary(Div, FLOAT, number(0))), zero);
    assert_eq!(results(&binary(Mod, FLOAT, number(0))), vec![None; 3]);
    let sum = results(&binary(Add, FLOAT, number(1)));
    assert_eq!(sum, vec![Some(Value::Float(2.5)), None, Some(Value::Float(-3.0))]);
    assert_eq!(results(&binary(Add, TEXT, number(1))), vec![None; 3]);
    assert_eq!(results(&binary(BitOr, FLOAT, number(1))), vec![None; 3]);
    let unsigned = results(&binary(Add, UNSIGNED, UNSIGNED));
    assert_eq!(unsigned[0], Some(Value::Unsigned(u64::MAX - 1)));
}

#[test]
fn functions_keep_integers_whole_and_miss_where_there_is_no_number() {
    let call = |function, arguments| Expr::Call { function, arguments };
    let roots = results(&call(MathFunction::Sqrt, vec![FLOAT]));
    assert_eq!(roots, vec![Some(Value::Float(1.5f64.sqrt())), None, None]);
    assert_eq!(results(&call(MathFunction::Abs, vec![INTEGER]))[1], Some(Value::Integer(7)));
    assert_eq!(results(&call(MathFunction::Round, vec![FLOAT]))[0], Some(Value::Float(2.0)));
    assert_eq!(results(&call(MathFunction::Asin, vec![number(2)])), vec![None; 3]);
    let right = Some(Value::Float(std::f64::consts::FRAC_PI_2));
    assert_eq!(results(&call(MathFunction::Asin, vec![number(1)]))[0], right);
    assert_eq!(results(&call(MathFunction::Abs, vec![TRUTH])), vec![None; 3]);
    let power = results(&call(MathFunction::Pow, vec![INTEGER, number(2)]));
    assert_eq!(power[1], Some(Value::Float(49.0)));
    let log = results(&call(MathFunction::Log, vec![number(8), number(2)]));
    assert_eq!(log[0], Some(Value::Float(8f64.ln() / 2f64.ln())));
}

#[test]
fn casts_go_from_number_to_number() {
    let cast = |inner, kind| Expr::Cast { inner: Box::new(inner), kind };
    let whole = results(&cast(FLOAT, FieldType::Integer));
    assert_eq!(whole, vec![Some(Value::Integer(1)), None, Some(Value::Integer(-4))]);
    assert_eq!(results(&cast(TEXT, FieldType::Float)), vec![None; 3]);
    assert_eq!(results(&cast(TRUTH, FieldType::Integer)), vec![None; 3]);
}

#[test]
fn and_or_take_what_is_not_true_as_false() {
    let above = |bound| binary(Operator::Gt, FLOAT, number(bound));
    let both = binary(Operator::And, above(0), binary(Operator::Gt, INTEGER, number(0)));
    assert_eq!(booleans(&both), [true, false, false]);
    let either = binary(Operator::Or, above(0), binary(Operator::Lt, INTEGER, number(0)));
    assert_eq!(booleans(&either), [true, true, false]);
}
