//! `features`: what user interfaces build their forms from: the groupers and aggregators with their
//! properties. The answer is made from the tables here, sorted by name.

use super::answer;
use crate::api::reply::Reply;
use crate::encode::scalar;
use hyper::StatusCode;

/// A property in a form.
#[derive(Clone, Copy)]
struct Property {
    name: &'static str,
    label: &'static str,
    description: &'static str,
    /// `int`, `long`, `double`, `boolean`, `String`, `enum`, `array`, `Object`.
    kind: &'static str,
    default: &'static str,
    /// Of an enum.
    options: &'static [&'static str],
    /// `tags`, or nothing.
    autocomplete: &'static str,
    /// Expression and message of what a form checks before it sends.
    validation: Option<(&'static str, &'static str)>,
    /// Of an object.
    inner: &'static [Property],
}

/// A grouper or an aggregator.
struct Entry {
    name: &'static str,
    label: &'static str,
    description: &'static str,
    properties: &'static [&'static [Property]],
}

const fn property(
    name: &'static str,
    label: &'static str,
    description: &'static str,
    kind: &'static str,
    default: &'static str,
) -> Property {
    Property {
        name,
        label,
        description,
        kind,
        default,
        options: &[],
        autocomplete: "",
        validation: None,
        inner: &[],
    }
}

const UNITS: &[&str] =
    &["MILLISECONDS", "SECONDS", "MINUTES", "HOURS", "DAYS", "WEEKS", "MONTHS", "YEARS"];
const POSITIVE: Option<(&str, &str)> = Some(("value > 0", "Value must be greater than 0."));

const UNIT: Property = Property {
    options: UNITS,
    ..property("unit", "Unit", "The unit of time.", "enum", "MILLISECONDS")
};
const LENGTH: &[Property] = &[
    Property {
        validation: POSITIVE,
        ..property("value", "Value", "The number of units.", "long", "1")
    },
    UNIT,
];
const RANGE: &[Property] = &[
    property(
        "align_end_time",
        "Align end time",
        "Results carry the end of their range.",
        "boolean",
        "false",
    ),
    property(
        "align_sampling",
        "Align sampling",
        "Ranges begin at round times instead of the start of the query.",
        "boolean",
        "true",
    ),
    property(
        "align_start_time",
        "Align start time",
        "Results carry the start of their range.",
        "boolean",
        "false",
    ),
    Property {
        inner: LENGTH,
        ..property("sampling", "Sampling", "The length of a range.", "Object", "")
    },
];
const RATE_UNIT: &[Property] = &[UNIT];
const DEV: &[Property] = &[
    property("dev_count", "Count", "How many deviations to go from the mean.", "int", "1"),
    Property {
        options: &["VALUE", "POS_SD", "NEG_SD"],
        ..property("return_type", "Return type", "What is given.", "enum", "VALUE")
    },
];
const DIVISOR: &[Property] =
    &[property("divisor", "Divisor", "What values are divided by.", "double", "1")];
const FILTER: &[Property] = &[
    Property {
        options: &["LTE", "LT", "GTE", "GT", "EQUAL", "NE"],
        ..property(
            "filter_op",
            "Filter",
            "Points for which this holds are left out.",
            "enum",
            "EQUAL",
        )
    },
    property("threshold", "Threshold", "What values are compared with.", "double", "0.0"),
];
const GAPS_TRIM: &[Property] = &[property(
    "trim",
    "Trim",
    "No gaps before the first and after the last point.",
    "boolean",
    "false",
)];
const PERCENTILE: &[Property] = &[Property {
    validation: Some(("0 < value && value <= 1", "Percentile must be between 0 and 1.")),
    ..property("percentile", "Percentile", "The share of values below the result.", "double", "0.1")
}];
const SAVE_AS: &[Property] = &[
    property("add_saved_from", "Add saved from", "Whether the source is a tag.", "boolean", "true"),
    property("metric_name", "Save as", "The metric to write to.", "String", "<new name>"),
    property("tags", "Tags", "Tags of the new points.", "array", ""),
    property("ttl", "TTL", "Time to live of the new points in seconds.", "int", "0"),
];
const FACTOR: &[Property] =
    &[property("factor", "Factor", "What values are scaled by.", "double", "0.0")];
const SCORE: &[Property] = &[
    Property {
        options: &["ASCENDING", "DESCENDING"],
        ..property("order", "Order", "Whether high values score high.", "enum", "ASCENDING")
    },
    property("thresholds", "Thresholds", "The borders of the scores.", "array", ""),
];
const SIZE: &[Property] = &[Property {
    validation: POSITIVE,
    ..property("size", "Size", "How many points are averaged.", "int", "10")
}];
const TRIM: &[Property] = &[Property {
    options: &["FIRST", "LAST", "BOTH"],
    ..property("trim", "Trim", "Which end is left out.", "enum", "BOTH")
}];

const AGGREGATORS: &[Entry] = &[
    entry("avg", "AVG", "The mean of a range.", &[RANGE]),
    entry("count", "Count", "The number of points in a range.", &[RANGE]),
    entry("dev", "Dev", "The standard deviation of a range.", &[RANGE, DEV]),
    entry("diff", "Diff", "The difference of successive points.", &[]),
    entry("div", "Divide", "Values divided by a number.", &[DIVISOR]),
    entry("filter", "Filter", "Leaves points out by their value.", &[FILTER]),
    entry("first", "First", "The first point of a range.", &[RANGE]),
    entry("gaps", "Gaps", "Marks ranges without points by null.", &[RANGE, GAPS_TRIM]),
    entry("last", "Last", "The last point of a range.", &[RANGE]),
    entry("least_squares", "Least squares", "The two ends of the line that fits best.", &[RANGE]),
    entry("max", "Max", "The greatest value of a range.", &[RANGE]),
    entry("min", "Min", "The least value of a range.", &[RANGE]),
    entry("percentile", "Percentile", "A percentile of a range.", &[RANGE, PERCENTILE]),
    entry("rate", "Rate", "The change between successive points in a unit of time.", &[RATE_UNIT]),
    entry("sampler", "Sampler", "Values in a unit of time since the point before.", &[RATE_UNIT]),
    entry("save_as", "Save As", "Writes points to another metric.", &[SAVE_AS]),
    entry("scale", "Scale", "Values times a number.", &[FACTOR]),
    entry("score", "Score", "The number of thresholds that values have passed.", &[SCORE]),
    entry("sma", "SMA", "The moving average.", &[SIZE]),
    entry("sum", "Sum", "The sum of a range.", &[RANGE]),
    entry("trim", "Trim", "Leaves out the ends.", &[TRIM]),
];

const GROUPERS: &[Entry] = &[
    entry(
        "bin",
        "Bin",
        "Groups by ranges of values.",
        &[&[property("bins", "Bins", "The borders of the bins, ascending.", "array", "")]],
    ),
    entry(
        "tag",
        "Tag",
        "Groups by tags.",
        &[&[Property {
            autocomplete: "tags",
            ..property("tags", "Tags", "The names of the tags.", "array", "")
        }]],
    ),
    entry(
        "time",
        "Time",
        "Groups by ranges of time that come again.",
        &[&[
            property("group_count", "Count", "The number of groups.", "int", ""),
            Property {
                inner: LENGTH,
                ..property("range_size", "Range size", "The length of a range.", "Object", "")
            },
        ]],
    ),
    entry(
        "value",
        "Value",
        "Groups by ranges of values of one size.",
        &[&[Property {
            validation: POSITIVE,
            ..property("range_size", "Range size", "The size of a range.", "int", "")
        }]],
    ),
];

const fn entry(
    name: &'static str,
    label: &'static str,
    description: &'static str,
    properties: &'static [&'static [Property]],
) -> Entry {
    Entry { name, label, description, properties }
}

/// The features by name, with their labels.
const FEATURES: [(&str, &str, &[Entry]); 2] =
    [("group_by", "Group By", GROUPERS), ("aggregators", "Aggregator", AGGREGATORS)];

/// `features` and `features/{name}`.
pub fn features(name: &str) -> Reply {
    let mut out = Vec::new();
    if name.is_empty() {
        each(&mut out, FEATURES, |(name, label, entries), out| {
            texts(&[("name", name), ("label", label)], out);
            key("properties", out);
            each(out, entries, write_entry);
            out.push(b'}');
        });
        return answer::json(StatusCode::OK, out);
    }
    match FEATURES.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name)) {
        Some((.., entries)) => {
            each(&mut out, *entries, write_entry);
            answer::json(StatusCode::OK, out)
        }
        None => {
            let text = format!("Unknown feature '{}'", name.to_lowercase());
            answer::error(StatusCode::NOT_FOUND, &text)
        }
    }
}

fn write_entry(entry: &Entry, out: &mut Vec<u8>) {
    let Entry { name, label, description, properties } = entry;
    texts(&[("name", name), ("label", label), ("description", description)], out);
    key("properties", out);
    let mut all: Vec<&Property> = properties.iter().copied().flatten().collect();
    all.sort_by_key(|property| property.name);
    each(out, all, write_property);
    out.push(b'}');
}

fn write_property(property: &Property, out: &mut Vec<u8>) {
    let Property { name, label, description, kind, default, autocomplete, .. } = *property;
    texts(&[("name", name), ("label", label), ("description", description)], out);
    out.extend_from_slice(b",\"optional\":false");
    more(&[("type", kind)], out);
    key("options", out);
    answer::list(property.options.iter().map(|option| option.as_bytes()), out);
    more(&[("defaultValue", default), ("autocomplete", autocomplete)], out);
    out.extend_from_slice(b",\"multiline\":false");
    key("validations", out);
    each(out, property.validation, |(expression, message), out| {
        texts(&[("expression", expression), ("type", "js"), ("message", message)], out);
        out.push(b'}');
    });
    if !property.inner.is_empty() {
        key("properties", out);
        each(out, property.inner, write_property);
    }
    out.push(b'}');
}

/// A list.
fn each<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

/// Opens an object with texts.
fn texts(pairs: &[(&str, &str)], out: &mut Vec<u8>) {
    let start = out.len();
    more(pairs, out);
    if let Some(comma) = out.get_mut(start) {
        *comma = b'{';
    }
}

/// Adds texts to an object.
fn more(pairs: &[(&str, &str)], out: &mut Vec<u8>) {
    for (name, text) in pairs {
        key(name, out);
        scalar::string(text.as_bytes(), out);
    }
}

fn key(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

#[cfg(test)]
mod tests {
    use super::*;
    use simd_json::prelude::*;

    #[test]
    fn forms_are_described_in_order_of_name() {
        let mut out = Vec::new();
        each(&mut out, AGGREGATORS, write_entry);
        let value = simd_json::to_owned_value(&mut out).unwrap();
        let entries = value.as_array().unwrap();
        let names: Vec<&str> =
            entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
        assert!(names.is_sorted() && names.len() == 21, "{names:?}");
        let percentile = &entries[names.iter().position(|name| *name == "percentile").unwrap()];
        let properties = percentile["properties"].as_array().unwrap();
        let names: Vec<&str> = properties.iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(
            names,
            ["align_end_time", "align_sampling", "align_start_time", "percentile", "sampling"]
        );
        assert_eq!(properties[4]["properties"][1]["options"][7].as_str(), Some("YEARS"));
        assert_eq!(properties[3]["defaultValue"].as_str(), Some("0.1"));
        assert_eq!(features("Aggregators").status(), 200);
        assert_eq!(features("None").status(), 404);
    }
}
