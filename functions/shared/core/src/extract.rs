//! Extracts devices and values from a filled-in form, by the fields of a flow.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Map, Value};
use thiserror::Error;

use crate::explain::Explain;
use crate::failure::{Class, Reason};
use crate::flow::{FieldRule, Flow, Kind, Place, RandomMac};
use crate::form::{Content, Field, Form, find};
use crate::mac::{self, Eui48, Found, MacError};
use crate::time::is_moment;

/// The maximum number of devices in a form; more are a mistake or an attack.
pub const MAX_DEVICES: usize = 1_000;

/// The result of extracting a flow's fields from a form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extracted {
    /// The valid devices, by field.
    pub devices: BTreeMap<String, Vec<Eui48>>,
    /// The values of the other fields; `null` for an optional one that is left out.
    pub values: Map<String, Value>,
    /// The other fields that have a problem and therefore no value: no action that uses one of them
    /// may be performed.
    pub unreadable: BTreeSet<String>,
    /// The problems of the form; the valid devices remain valid.
    pub problems: Vec<Problem>,
    /// The number of devices that were accepted although their address is random.
    pub random_mac: usize,
}

/// A problem of a form. Names the place, and never quotes the content.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("form")]
pub enum Problem {
    /// None of the places is in the form.
    #[error("field `{field}`: the form has none of {places}")]
    Absent {
        /// The field of the flow.
        field: String,
        /// The places that were searched.
        places: String,
    },
    /// The places exist, and nothing is filled in.
    #[error("field `{field}` is empty")]
    Empty {
        /// The field of the flow.
        field: String,
    },
    /// The value at a place is not a text.
    #[error("field `{field}`: the widget `{place}` is not a text")]
    NotText {
        /// The field of the flow.
        field: String,
        place: String,
    },
    /// The value is not a number.
    #[error("field `{field}` is not a number")]
    NotNumber {
        /// The field of the flow.
        field: String,
    },
    /// The value is not a date.
    #[error("field `{field}` is not a date")]
    NotDate {
        /// The field of the flow.
        field: String,
    },
    /// More than one value where one is expected.
    #[error("field `{field}` has several values, but takes one")]
    Several {
        /// The field of the flow.
        field: String,
    },
    /// A text without an address.
    #[error("field `{field}`: no MAC address was found in what was filled in")]
    NoAddress {
        /// The field of the flow.
        field: String,
    },
    /// The address of a device is invalid.
    #[error("field `{field}`, device {number} at character {position}: {error}")]
    Device {
        /// The field of the flow.
        field: String,
        /// Counted from 1 over the addresses of the whole field.
        number: usize,
        /// The position of its first character in the text as typed, counted from 1.
        position: usize,
        /// The reason.
        error: MacError,
    },
    /// The address of a device is random, and the flow rejects those.
    #[error(
        "field `{field}`, device {number} at character {position}: a random (private) address, which the device will change: \
         switch it off for this network and use the hardware address"
    )]
    RandomMac {
        /// The field of the flow.
        field: String,
        /// Counted from 1 over the addresses of the whole field.
        number: usize,
        /// The position of its first character in the text as typed, counted from 1.
        position: usize,
    },
    /// The field is in the same table as the devices, under another name of the table.
    #[error(
        "field `{field}` stands in the same table as devices: which row's value a device would get is not known"
    )]
    SameTable {
        /// The field of the flow.
        field: String,
    },
    /// More devices than [`MAX_DEVICES`].
    #[error("field `{field}` names more than {MAX_DEVICES} devices")]
    TooMany {
        /// The field of the flow.
        field: String,
    },
}

impl From<Problem> for Reason {
    fn from(problem: Problem) -> Self {
        Self::new(Class::InvalidForm, problem)
    }
}

/// Extracts the fields of `flow` from `form`.
#[must_use]
pub fn extract(flow: &Flow, form: &Form) -> Extracted {
    let mut extracted = Extracted::default();
    let of_devices = flow.fields.values().filter(|rule| rule.kind == Kind::Mac);
    let tables: HashSet<_> = of_devices.flat_map(|rule| tables(form, rule)).collect();
    for (name, rule) in &flow.fields {
        let found = if rule.kind != Kind::Mac && tables_overlap(form, rule, &tables) {
            Err(Problem::SameTable { field: name.clone() })
        } else {
            found(form, name, rule)
        };
        let taken = match found {
            Ok(found) if rule.kind == Kind::Mac => {
                match extracted.take_devices(name, rule.random_mac, &found) {
                    Err(Problem::Empty { .. }) if rule.may_be_left_out() => Ok(()),
                    taken => taken,
                }
            }
            Ok(found) => value(name, rule, found).map(|value| {
                extracted.values.insert(name.clone(), value);
            }),
            Err(Problem::Absent { .. } | Problem::Empty { .. }) if rule.may_be_left_out() => {
                let default = rule.default.as_ref();
                let default = default.and_then(|default| serde_json::to_value(default).ok());
                if rule.kind != Kind::Mac {
                    extracted.values.insert(name.clone(), default.unwrap_or_default());
                }
                Ok(())
            }
            Err(problem) => Err(problem),
        };
        if let Err(problem) = taken {
            extracted.problems.push(problem);
            if rule.kind != Kind::Mac {
                extracted.unreadable.insert(name.clone());
            }
        }
    }
    extracted
}

/// Converts the texts of a field to a value of its kind.
fn value(name: &str, rule: &FieldRule, found: Vec<String>) -> Result<Value, Problem> {
    let field = || name.to_owned();
    let one = |text: String| match rule.kind {
        Kind::Number => match text.trim().parse::<serde_json::Number>() {
            Ok(number) => Ok(Value::Number(number)),
            Err(_) => Err(Problem::NotNumber { field: field() }),
        },
        Kind::Date if !is_moment(text.trim()) => Err(Problem::NotDate { field: field() }),
        Kind::Date => Ok(Value::String(text.trim().to_owned())),
        _ => Ok(Value::String(text)),
    };
    if rule.multiple {
        return found.into_iter().map(one).collect::<Result<_, _>>().map(Value::Array);
    }
    if rule.kind == Kind::Text {
        return Ok(Value::String(found.join("\n")));
    }
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(only), None) => one(only),
        _ => Err(Problem::Several { field: field() }),
    }
}

impl FieldRule {
    const fn may_be_left_out(&self) -> bool {
        self.optional || self.default.is_some()
    }
}

impl Extracted {
    fn take_devices(
        &mut self,
        field: &str,
        random_mac: RandomMac,
        texts: &[String],
    ) -> Result<(), Problem> {
        let field = || field.to_owned();
        let texts: Vec<_> = texts.iter().filter(|text| !mac::says_nothing(text)).collect();
        if texts.is_empty() {
            return Err(Problem::Empty { field: field() });
        }
        let mut found = Vec::new();
        let mut has_words_only = false;
        for text in texts {
            let of_text = mac::read(text, MAX_DEVICES + 1);
            has_words_only |= of_text.is_empty();
            found.extend(of_text);
            if found.len() > MAX_DEVICES {
                return Err(Problem::TooMany { field: field() });
            }
        }
        let devices = self.devices.entry(field()).or_default();
        for (number, Found { position, device }) in (1..).zip(found) {
            match device {
                Err(error) => {
                    let field = field();
                    self.problems.push(Problem::Device { field, number, position, error });
                }
                Ok(device)
                    if device.is_locally_administered() && random_mac == RandomMac::Reject =>
                {
                    self.problems.push(Problem::RandomMac { field: field(), number, position });
                }
                Ok(device) if devices.contains(&device) => {}
                Ok(device) => {
                    let warn = random_mac == RandomMac::Warn && device.is_locally_administered();
                    self.random_mac += usize::from(warn);
                    devices.push(device);
                }
            }
        }
        if has_words_only {
            return Err(Problem::NoAddress { field: field() });
        }
        Ok(())
    }
}

/// The tables of the form in which `rule` reads a column.
fn tables<'a>(form: &'a Form, rule: &'a FieldRule) -> impl Iterator<Item = *const Field> + use<'a> {
    let places = rule.from.iter().filter(|place| place.column.is_some());
    places.flat_map(|place| form.find(&place.field)).map(std::ptr::from_ref)
}

/// Whether `rule` reads a column of a table with devices. The validation of flows compares the
/// names in `flows.toml` only; a table has several names.
fn tables_overlap(form: &Form, rule: &FieldRule, of_devices: &HashSet<*const Field>) -> bool {
    tables(form, rule).any(|table| of_devices.contains(&table))
}

/// The texts at the places of `rule`, without empty ones.
fn found(form: &Form, name: &str, rule: &FieldRule) -> Result<Vec<String>, Problem> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for place in &rule.from {
        let not_text = || Problem::NotText { field: name.to_owned(), place: place.to_string() };
        for field in fields_at(form, place).ok_or_else(not_text)? {
            // Two places can refer to the same field: one by id, the other by name.
            if !seen.insert((std::ptr::from_ref(field), &place.member)) {
                continue;
            }
            let texts = texts_of(field, place.member.as_deref()).ok_or_else(not_text)?;
            found.extend(texts.into_iter().filter(|text| !text.trim().is_empty()));
        }
    }
    if seen.is_empty() {
        let places: Vec<_> = rule.from.iter().map(|place| format!("`{place}`")).collect();
        return Err(Problem::Absent { field: name.to_owned(), places: places.join(", ") });
    }
    if found.is_empty() {
        return Err(Problem::Empty { field: name.to_owned() });
    }
    Ok(found)
}

/// The fields at a place; `None` when the place is a table column and the value is not a table.
fn fields_at<'a>(form: &'a Form, place: &Place) -> Option<Vec<&'a Field>> {
    let found = form.find(&place.field);
    let Some(column) = &place.column else {
        return Some(found);
    };
    let mut cells = Vec::new();
    for table in found {
        match &table.content {
            Content::Rows(rows) => cells.extend(rows.iter().flat_map(|row| find(row, column))),
            Content::Value(value) if is_empty(value) => {}
            Content::Value(_) => return None,
        }
    }
    Some(cells)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// The texts that a person typed or chose: one, or several in a multiple choice. `None` for a value
/// of another shape.
fn texts_of(field: &Field, member: Option<&str>) -> Option<Vec<String>> {
    let Content::Value(value) = &field.content else { return None };
    let value = match member {
        None => value,
        Some(_) if value.is_null() => value,
        Some(member) => {
            let of_member = value.get(member)?;
            let mut all = value.as_object().into_iter().flat_map(serde_json::Map::values);
            // An interval with a start and no end is filled in, and its end cannot be read.
            if is_empty(of_member) && all.any(|other| !is_empty(other)) {
                return None;
            }
            of_member
        }
    };
    match value {
        Value::Array(items) => items.iter().map(text_of).collect(),
        value => text_of(value).map(|text| vec![text]),
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null => Some(String::new()),
        _ => None,
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.field)?;
        for part in [&self.column, &self.member].into_iter().flatten() {
            write!(f, " / {part}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
