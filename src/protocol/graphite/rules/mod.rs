//! From a Graphite path to measurement, tags and field: InfluxDB's templates.
//!
//! In: the options `separator`, `tags` and `templates`, read once at the start and refused with the
//! reference's texts when they mean nothing. Then a path, with Graphite's own `;tag=value` behind
//! it. Out: where its values go. The path's tags win over the template's, these over the global
//! ones. Allocates only where parts have to be joined; a path met before does not come here.

use super::filter::Filters;
use crate::protocol::reject::Reject;
use std::borrow::Cow;

/// The field of a path whose template names none.
pub const FIELD: &[u8] = b"value";

/// A tag of the configuration.
type OwnTag = (Box<[u8]>, Box<[u8]>);

/// Where the values of a path go.
#[derive(PartialEq, Eq, Debug)]
pub struct Applied<'a> {
    pub measurement: Cow<'a, [u8]>,
    /// Sorted by name, distinct, none empty.
    pub tags: Vec<(&'a [u8], Cow<'a, [u8]>)>,
    pub field: Cow<'a, [u8]>,
}

/// All templates with what holds for all of them.
#[derive(Debug)]
pub struct Rules {
    separator: Box<[u8]>,
    tags: Vec<OwnTag>,
    templates: Vec<Template>,
    filters: Filters,
    /// The template of paths that no filter takes.
    default: Option<usize>,
}

/// What a part of a path is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Skip,
    Measurement,
    /// This and all that follow.
    MeasurementRest,
    Field,
    FieldRest,
    Tag(Box<[u8]>),
}

#[derive(Debug)]
struct Template {
    /// As configured.
    line: Box<str>,
    parts: Vec<Part>,
    tags: Vec<OwnTag>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            separator: b".".as_slice().into(),
            tags: Vec::new(),
            templates: Vec::new(),
            filters: Filters::default(),
            default: None,
        }
    }
}

impl Rules {
    /// Reads the options: the text that joins parts (empty = a dot), global tags, template lines.
    ///
    /// # Errors
    /// One sentence that names the line at fault.
    pub fn new(separator: &str, tags: &[String], templates: &[String]) -> Result<Rules, String> {
        let mut rules = Rules::default();
        if !separator.is_empty() {
            rules.separator = separator.as_bytes().into();
        }
        for tag in tags {
            rules.tags.extend(read_tags(tag)?);
        }
        for (position, line) in templates.iter().enumerate() {
            let (filter, template) = read_line(line, position)?;
            let number = rules.templates.len();
            let is_new = match filter {
                Some(filter) => rules.filters.insert(filter, number)?,
                None => rules.default.replace(number).is_none(),
            };
            if !is_new {
                let filter = filter.unwrap_or_default();
                return Err(format!("duplicate filter '{filter}' found at position: {position}"));
            }
            rules.templates.push(template);
        }
        Ok(rules)
    }

    /// What becomes of a path, in words: its template, measurement, tags and field.
    pub fn explain(&self, path: &str) -> Result<String, Reject> {
        let made = self.apply(path.as_bytes())?;
        let name = path.split(';').next().unwrap_or_default();
        let template = self.choose(name.as_bytes()).map_or("(none)", |template| &template.line);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let tags = made.tags.iter().map(|(tag, value)| format!("{}={}", text(tag), text(value)));
        let tags: Vec<String> = tags.collect();
        let (measurement, field) = (text(&made.measurement), text(&made.field));
        Ok(format!(
            "{path}\n  template     {template}\n  measurement  {measurement}\n  tags         {}\n  \
             field        {field}",
            tags.join(" ")
        ))
    }

    fn choose(&self, path: &[u8]) -> Option<&Template> {
        self.templates.get(self.filters.find(path).or(self.default)?)
    }

    /// Where the values of a path go.
    pub fn apply<'a>(&'a self, path: &'a [u8]) -> Result<Applied<'a>, Reject> {
        let name_end = memchr::memchr(b';', path).unwrap_or(path.len());
        let (name, segments) = path.split_at(name_end);
        if name.is_empty() {
            return Err(Reject::EmptyPath);
        }
        let mut made = Made { separator: &self.separator, ..Made::default() };
        match self.choose(name) {
            Some(template) => made.walk(template, name),
            None => made.measurement = Some(Cow::Borrowed(name)),
        }
        for (tag, value) in &self.tags {
            if !made.tags.iter().any(|(known, _)| **known == **tag) {
                made.tags.push((tag, Cow::Borrowed(value)));
            }
        }
        // The first segment is what stands before the first `;`: nothing.
        for segment in segments.split(|byte| *byte == b';').skip(1) {
            let (tag, value) = explicit_tag(segment)?;
            match made.tags.iter_mut().find(|(known, _)| *known == tag) {
                Some((_, there)) => *there = Cow::Borrowed(value),
                None => made.tags.push((tag, Cow::Borrowed(value))),
            }
        }
        made.finish(name)
    }
}

/// The parts of a path sorted out, under construction.
#[derive(Default)]
struct Made<'a> {
    separator: &'a [u8],
    measurement: Option<Cow<'a, [u8]>>,
    field: Option<Cow<'a, [u8]>>,
    tags: Vec<(&'a [u8], Cow<'a, [u8]>)>,
}

impl<'a> Made<'a> {
    fn walk(&mut self, template: &'a Template, path: &'a [u8]) {
        for (tag, value) in &template.tags {
            self.add_tag(tag, value);
        }
        let mut rest = Some(path);
        for part in &template.parts {
            let Some(here) = rest else { return };
            let dot = memchr::memchr(b'.', here);
            let piece = here.get(..dot.unwrap_or(here.len())).unwrap_or(here);
            match part {
                Part::Skip => {}
                Part::Measurement => join(&mut self.measurement, piece, self.separator),
                Part::Field => join(&mut self.field, piece, self.separator),
                Part::Tag(name) => self.add_tag(name, piece),
                Part::MeasurementRest => {
                    return join_rest(&mut self.measurement, here, self.separator);
                }
                Part::FieldRest => return join_rest(&mut self.field, here, self.separator),
            }
            rest = dot.and_then(|dot| here.get(dot + 1..));
        }
    }

    /// A tag; one of the same name is continued.
    fn add_tag(&mut self, name: &'a [u8], value: &'a [u8]) {
        match self.tags.iter_mut().find(|(known, _)| *known == name) {
            Some((_, there)) => extend(there, value, self.separator),
            None => self.tags.push((name, Cow::Borrowed(value))),
        }
    }

    fn finish(mut self, name: &'a [u8]) -> Result<Applied<'a>, Reject> {
        self.tags.retain(|(_, value)| !value.is_empty());
        self.tags.sort_unstable_by_key(|(tag, _)| *tag);
        let measurement = self.measurement.filter(|name| !name.is_empty());
        let field = self.field.filter(|field| !field.is_empty()).unwrap_or(Cow::Borrowed(FIELD));
        if *field == *b"time" {
            return Err(Reject::BadField);
        }
        let measurement = measurement.unwrap_or(Cow::Borrowed(name));
        Ok(Applied { measurement, tags: self.tags, field })
    }
}

fn join<'a>(into: &mut Option<Cow<'a, [u8]>>, piece: &'a [u8], separator: &[u8]) {
    match into {
        Some(there) => extend(there, piece, separator),
        None => *into = Some(Cow::Borrowed(piece)),
    }
}

/// All remaining parts, which are still apart by dots.
fn join_rest<'a>(into: &mut Option<Cow<'a, [u8]>>, rest: &'a [u8], separator: &[u8]) {
    if separator == b"." {
        return join(into, rest, separator);
    }
    rest.split(|byte| *byte == b'.').for_each(|piece| join(into, piece, separator));
}

fn extend(into: &mut Cow<'_, [u8]>, piece: &[u8], separator: &[u8]) {
    let text = into.to_mut();
    text.extend_from_slice(separator);
    text.extend_from_slice(piece);
}

/// `tag=value`, split at its first `=`; the value may hold further ones.
fn explicit_tag(segment: &[u8]) -> Result<(&[u8], &[u8]), Reject> {
    let at = memchr::memchr(b'=', segment).ok_or(Reject::TagFormat)?;
    let (name, value) = segment.split_at(at);
    let value = value.get(1..).unwrap_or_default();
    if name.is_empty() {
        return Err(Reject::TagNameEmpty);
    }
    if value.is_empty() { Err(Reject::TagValueEmpty) } else { Ok((name, value)) }
}

/// A template line: its filter, and the rest.
fn read_line(line: &str, position: usize) -> Result<(Option<&str>, Template), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let invalid = || format!("invalid template format: '{line}'");
    let (filter, template, tags) = match *words.as_slice() {
        [] => return Err(format!("missing template at position: {position}")),
        [template] => (None, template, None),
        [template, tags] if tags.contains('=') => (None, template, Some(tags)),
        [filter, template] => (Some(filter), template, None),
        [_, template, _] if template.contains('=') => return Err(invalid()),
        [filter, template, tags] => (Some(filter), template, Some(tags)),
        _ => return Err(invalid()),
    };
    let tags = tags.map_or(Ok(Vec::new()), read_tags)?;
    let template = Template { line: line.trim().into(), parts: read_parts(template)?, tags };
    Ok((filter, template))
}

fn read_parts(template: &str) -> Result<Vec<Part>, String> {
    let read = |part| match part {
        "" => Part::Skip,
        "measurement" => Part::Measurement,
        "measurement*" => Part::MeasurementRest,
        "field" => Part::Field,
        "field*" => Part::FieldRest,
        tag => Part::Tag(tag.as_bytes().into()),
    };
    let parts: Vec<Part> = template.split('.').map(read).collect();
    let count = |wanted: &[Part]| parts.iter().filter(|part| wanted.contains(part)).count();
    if count(&[Part::Measurement, Part::MeasurementRest]) == 0 {
        return Err(format!("no measurement in template `{template}`"));
    }
    if count(&[Part::MeasurementRest]) > 0 && count(&[Part::FieldRest]) > 0 {
        return Err(format!(
            "either 'field*' or 'measurement*' can be used in each template (but not both \
             together): \"{template}\""
        ));
    }
    if count(&[Part::Field, Part::FieldRest]) > 1 {
        return Err(format!("'field' can only be used once in each template: \"{template}\""));
    }
    let before_last = parts.split_last().map_or(&[][..], |(_, before)| before);
    if before_last.iter().any(|part| matches!(part, Part::MeasurementRest | Part::FieldRest)) {
        return Err(format!(
            "nothing can follow 'measurement*' or 'field*' in a template: \"{template}\""
        ));
    }
    Ok(parts)
}

/// `tag=value`, several separated by commas.
fn read_tags(text: &str) -> Result<Vec<OwnTag>, String> {
    let read = |pair: &str| match *pair.split('=').collect::<Vec<_>>().as_slice() {
        [name, value] if !name.is_empty() && !value.is_empty() => {
            Ok((name.as_bytes().into(), value.as_bytes().into()))
        }
        _ => Err(format!("invalid template tags: '{pair}'")),
    };
    text.split(',').map(|pair| read(pair.trim())).collect()
}

#[cfg(test)]
mod tests;
