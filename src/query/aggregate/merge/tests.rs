//! Merging does not depend on the order of shards, and ties follow the rules.

use super::*;
use proptest::prelude::*;

fn group(first_bucket: i64, states: States) -> Group {
    let values = Vec::new().into();
    Group { values, first_bucket, states: vec![states], first_time: 0, last_time: 0 }
}

fn merged(function: Function, mut parts: Vec<Group>) -> Group {
    let mut into = parts.remove(0);
    parts.into_iter().for_each(|part| merge(&[function], &mut into, part));
    into
}

fn picked(time: i64, value: Value) -> States {
    States::Picked(vec![Some(Picked { time, value, aux: Vec::new() })])
}

#[test]
fn buckets_are_aligned() {
    let left = group(5, States::Count(vec![1, 2]));
    let right = group(3, States::Count(vec![10, 0, 30]));
    let out = merged(Function::Count, vec![left, right]);
    assert_eq!(out.first_bucket, 3);
    assert_eq!(out.states, [States::Count(vec![10, 0, 31, 2])]);
}

#[test]
fn ties_of_selectors() {
    let value = |states: &States| match states {
        States::Picked(points) => points[0].clone().unwrap(),
        _ => panic!(),
    };
    let float = |time, value| group(0, picked(time, Value::Float(value)));
    let boolean = |time, value| group(0, picked(time, Value::Boolean(value)));
    let of = |function, a, b| value(&merged(function, vec![a, b]).states[0]);
    assert_eq!(of(Function::Max, float(9, 1.0), float(4, 1.0)).time, 4);
    assert_eq!(of(Function::First, float(4, 1.0), float(4, 2.0)).value, Value::Float(2.0));
    assert_eq!(of(Function::Last, float(4, 3.0), float(4, 2.0)).value, Value::Float(3.0));
    let first = of(Function::First, boolean(4, true), boolean(4, false));
    assert_eq!(first.value, Value::Boolean(false));
    let last = of(Function::Last, boolean(4, true), boolean(4, false));
    assert_eq!(last.value, Value::Boolean(true));
}

#[test]
fn distinct_values_keep_their_first_time() {
    let samples = |times: &[i64], values: &[i64]| {
        let values = values.iter().map(|value| Value::Integer(*value)).collect();
        group(0, States::Samples(vec![Samples { times: times.to_vec(), values, aux: Vec::new() }]))
    };
    let out = merged(Function::Distinct, vec![samples(&[3, 5], &[7, 8]), samples(&[1, 9], &[8, 9])]);
    let States::Samples(found) = &out.states[0] else { panic!() };
    assert_eq!(found[0].times, [1, 3, 9]);
}

proptest! {
    #[test]
    fn float_sums_do_not_depend_on_the_order(values in prop::collection::vec(-1e12f64..1e12, 2..20)) {
        let sum = |values: &[f64]| {
            let part = |value: &f64| {
                group(0, States::SumFloat { high: vec![*value], low: vec![0.0], count: vec![1] })
            };
            let out = merged(Function::Sum, values.iter().map(part).collect());
            match &out.states[0] {
                States::SumFloat { high, low, count } => (high[0] + low[0], count[0]),
                _ => panic!(),
            }
        };
        let mut reversed = values.clone();
        reversed.reverse();
        prop_assert_eq!(sum(&values), sum(&reversed));
    }

    #[test]
    fn moments_agree_with_the_definition(values in prop::collection::vec(-1e3f64..1e3, 2..20)) {
        let parts = values.iter().map(|value| (1, *value, 0.0));
        let (count, mean, squares) = parts.fold((0, 0.0, 0.0), moments);
        let n = values.len() as f64;
        let plain = values.iter().sum::<f64>() / n;
        let distance: f64 = values.iter().map(|value| (value - plain) * (value - plain)).sum();
        prop_assert_eq!(count, values.len() as u64);
        prop_assert!((mean - plain).abs() < 1e-9);
        prop_assert!((squares - distance).abs() < 1e-6 * distance.max(1.0));
    }
}
