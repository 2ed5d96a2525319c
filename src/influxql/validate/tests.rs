//! Checks that the recorded cases of `tests/corpus/influxql/compile.txt` cannot show: functions
//! that came later.

use super::super::{Params, Statement, parse};
use super::validate;

fn checked(text: &str) -> Result<(), String> {
    let statements = parse(text, &Params::new()).unwrap();
    let [Statement::Select(select)] = statements.as_slice() else { panic!("{text}") };
    validate(select)
}

#[test]
fn technical_analysis_has_its_own_texts() {
    let cases = [
        ("exponential_moving_average(v, 4)", Ok(())),
        ("exponential_moving_average(v, 4, -1, 'simple')", Ok(())),
        ("chande_momentum_oscillator(v, 4, 0, 'none')", Ok(())),
        (
            "exponential_moving_average(v)",
            Err("invalid number of arguments for exponential_moving_average, \
                 expected at least 2 but no more than 4, got 1"),
        ),
        (
            "kaufmans_efficiency_ratio(v, 1, 1, 'simple')",
            Err("invalid number of arguments for kaufmans_efficiency_ratio, \
                 expected at least 2 but no more than 3, got 4"),
        ),
        (
            "relative_strength_index(v, 'a')",
            Err("relative_strength_index period must be an integer"),
        ),
        (
            "relative_strength_index(v, 0)",
            Err("relative_strength_index period must be greater than or equal to 1"),
        ),
        (
            "relative_strength_index(v, 1, 'a')",
            Err("relative_strength_index hold period must be an integer"),
        ),
        (
            "triple_exponential_derivative(v, 1, 0)",
            Err("triple_exponential_derivative hold period must be greater than or equal to 1"),
        ),
        (
            "relative_strength_index(v, 1, 1, 1)",
            Err("relative_strength_index warmup type must be a string"),
        ),
        (
            "relative_strength_index(v, 1, 1, 'none')",
            Err("relative_strength_index warmup type must be one of: 'exponential' 'simple'"),
        ),
        (
            "chande_momentum_oscillator(v, 1, 1, 'x')",
            Err("chande_momentum_oscillator warmup type must be one of: \
                 'none' 'exponential' 'simple'"),
        ),
        (
            "relative_strength_index(mean(v), 4)",
            Err("relative_strength_index aggregate requires a GROUP BY interval"),
        ),
    ];
    for (call, expected) in cases {
        let found = checked(&format!("SELECT {call} FROM m"));
        assert_eq!(found, expected.map_err(str::to_string), "{call}");
    }
}

#[test]
fn an_offset_may_be_an_instant() {
    assert_eq!(checked("SELECT mean(v) FROM m GROUP BY time(1d, '2000-01-03')"), Ok(()));
    let wrong = checked("SELECT mean(v) FROM m GROUP BY time(1d, '2000-01-99')");
    assert_eq!(wrong, Err("invalid timestamp string".to_string()));
}

#[test]
fn tag_wildcards_are_no_fields() {
    let found = checked("SELECT mean(*::tag) FROM m");
    assert_eq!(found, Err("unable to use tag wildcard in mean()".to_string()));
}
