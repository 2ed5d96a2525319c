//! The properties of one object of a request, read with the messages KairosDB has for them.
//!
//! In: an object and its place in the request (`query.metric[0].aggregators[1]`). Out: typed
//! values, or a failure that names the place. Null counts as absent.

use super::json::Json;
use crate::kairos::Failure;
use crate::kairos::range::{self, Span, Unit};
use jiff::tz::TimeZone;

/// An object and where it stands.
pub struct Fields<'a> {
    object: &'a Json,
    place: &'a str,
}

impl<'a> Fields<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// Any other value.
    pub fn of(object: &'a Json, place: &'a str) -> Result<Fields<'a>, Failure> {
        match object {
            Json::Object(_) => Ok(Fields { object, place }),
            _ => Err(Failure::bad(format!("{place} must be an object"))),
        }
    }

    /// A failure at this object: its place and `text`, with a dot between them.
    pub fn failure(&self, text: impl std::fmt::Display) -> Failure {
        Failure::bad(format!("{}.{text}", self.place))
    }

    /// Fails with all of these, if there are any.
    pub fn check(&self, problems: &[String]) -> Result<(), Failure> {
        if problems.is_empty() {
            return Ok(());
        }
        let errors = problems.iter().map(|text| format!("{}.{text}", self.place)).collect();
        Err(Failure { status: 400, errors })
    }

    /// Fails on the first property that an object of this name does not have.
    pub fn only(&self, name: &str, known: &[&str]) -> Result<(), Failure> {
        let Json::Object(all) = self.object else { return Ok(()) };
        let unknown =
            all.iter().find(|(key, _)| **key != *"name" && !known.contains(&key.as_ref()));
        match unknown {
            None => Ok(()),
            Some((key, _)) => Err(Failure::bad(format!(
                "Property '{key}' was specified for object '{name}' but no matching setter was \
                 found on 'class ringtail.{name}'"
            ))),
        }
    }

    /// The `name` of an aggregator or grouper.
    pub fn name(&self) -> Result<&'a str, Failure> {
        let name = self.object.given("name").and_then(Json::text);
        let none = || Failure::bad(format!("{} must have a name", self.place));
        name.filter(|name| !name.is_empty()).ok_or_else(none)
    }

    /// A property, unless it is null.
    pub fn given(&self, key: &str) -> Option<&'a Json> {
        self.object.given(key)
    }

    fn read<T>(
        &self,
        key: &str,
        what: &str,
        read: impl Fn(&'a Json) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let Some(value) = self.object.given(key) else { return Ok(None) };
        let wrong = || self.failure(format!("{key} must be {what}"));
        read(value).map(Some).ok_or_else(wrong)
    }

    /// An integer.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, Failure> {
        self.read(key, "a whole number", Json::integer)
    }

    /// A number.
    pub fn number(&self, key: &str) -> Result<Option<f64>, Failure> {
        self.read(key, "a number", Json::number)
    }

    /// True or false.
    pub fn flag(&self, key: &str) -> Result<bool, Failure> {
        Ok(self.read(key, "true or false", Json::flag)?.unwrap_or(false))
    }

    /// A text.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, Failure> {
        self.read(key, "a text", Json::text)
    }

    /// A list.
    pub fn list(&self, key: &str) -> Result<Option<&'a [Json]>, Failure> {
        self.read(key, "an array", |value| match value {
            Json::Array(all) => Some(all.as_slice()),
            _ => None,
        })
    }

    /// A unit of time.
    pub fn unit(&self, key: &str) -> Result<Option<Unit>, Failure> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        unit(text).map(Some).map_err(|text| self.failure(text))
    }

    /// A zone; absent, null and empty are `None`.
    pub fn zone(&self, key: &str) -> Result<Option<TimeZone>, Failure> {
        let Some(name) = self.text(key)?.filter(|name| !name.is_empty()) else { return Ok(None) };
        let unknown = || {
            let known = range::zone_names().join(", ");
            self.failure(format!("{name} is not a valid time zone, must be one of [{known}]"))
        };
        range::zone(name).map(Some).ok_or_else(unknown)
    }

    /// `{value, unit}`. What is wrong with it but its unit's name goes to `problems`; the result is
    /// of use only when there are none.
    pub fn span(&self, key: &str, problems: &mut Vec<String>) -> Result<Option<Span>, Failure> {
        let Some(object) = self.object.given(key) else { return Ok(None) };
        let Json::Object(_) = object else {
            return Err(self.failure(format!("{key} must be an object")));
        };
        let value = match object.given("value") {
            None => 0,
            Some(value) => value
                .integer()
                .ok_or_else(|| self.failure(format!("{key}.value must be a whole number")))?,
        };
        let named = object.given("unit").and_then(Json::text);
        let unit = named.map(unit).transpose().map_err(|text| self.failure(text))?;
        if value < 0 {
            problems.push(format!("{key}.value must be greater than or equal to 0"));
        }
        if unit.is_none() {
            problems.push(format!("{key}.unit may not be null"));
        }
        Ok(Some(Span { value, unit: unit.unwrap_or(Unit::Milliseconds) }))
    }
}

fn unit(text: &str) -> Result<Unit, String> {
    let unknown = || {
        let names = Unit::ALL.map(Unit::name).join(",");
        format!("{text} is not a valid time unit, must be one of {names}")
    };
    Unit::parse(text).ok_or_else(unknown)
}
