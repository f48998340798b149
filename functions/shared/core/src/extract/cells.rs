//! The cells of a form that a field of a flow is read from, and their texts.

use std::collections::HashSet;
use std::fmt;

use serde_json::Value;

use super::Problem;
use crate::flow::{FieldRule, Place};
use crate::form::{Content, Field, Form, find};

/// A field of the form, and the place that names it.
pub(super) type Cell<'a> = (&'a Field, &'a Place);

/// A table of the form, from which some field of the flow reads a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    field: &'a Field,
    pub(super) rows: &'a [Vec<Field>],
}

impl PartialEq for Table<'_> {
    /// A table has several names in `flows.toml`.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.field, other.field)
    }
}

impl Table<'_> {
    /// The places at which `rule` reads a column of it.
    fn places<'r>(&self, form: &Form, rule: &'r FieldRule) -> impl Iterator<Item = &'r Place> {
        let of_columns = rule.from.iter().filter(|place| place.column.is_some());
        of_columns.filter(|place| form.names(&place.field, self.field))
    }

    pub(super) fn is_read_by(&self, form: &Form, rule: &FieldRule) -> bool {
        self.places(form, rule).next().is_some()
    }
}

/// The tables in which `rule` reads a column, each once.
pub(super) fn tables<'a>(form: &'a Form, rule: &FieldRule) -> Vec<Table<'a>> {
    let mut tables: Vec<Table<'a>> = Vec::new();
    for place in rule.from.iter().filter(|place| place.column.is_some()) {
        for field in form.find(&place.field) {
            if let Content::Rows(rows) = &field.content {
                let table = Table { field, rows };
                if !tables.contains(&table) {
                    tables.push(table);
                }
            }
        }
    }
    tables
}

/// The cells of the field `name` outside of tables.
///
/// # Errors
/// [`Problem`] at the place of a column, where the form has something else than a table.
pub(super) fn outside<'a>(
    form: &'a Form,
    name: &str,
    rule: &'a FieldRule,
) -> Result<Vec<Cell<'a>>, Problem> {
    let mut cells = Vec::new();
    for place in &rule.from {
        let found = form.find(&place.field);
        if place.column.is_none() {
            cells.extend(found.into_iter().map(|field| (field, place)));
            continue;
        }
        for field in found {
            match &field.content {
                Content::Rows(_) => {}
                Content::Value(value) if is_empty(value) => {}
                _ => return Err(unreadable(name, place, &field.content)),
            }
        }
    }
    Ok(cells)
}

fn unreadable(name: &str, place: &Place, content: &Content) -> Problem {
    let (field, place) = (name.to_owned(), place.to_string());
    match content {
        Content::Unreadable(cause) => Problem::Unreadable { field, place, cause: cause.clone() },
        _ => Problem::NotText { field, place },
    }
}

/// The cells of `rule` in one row of `table`.
pub(super) fn in_row<'a>(
    form: &Form,
    rule: &'a FieldRule,
    table: &Table<'a>,
    row: &'a [Field],
) -> Vec<Cell<'a>> {
    let cells = table.places(form, rule).flat_map(|place| {
        let column = place.column.iter();
        column.flat_map(move |column| find(row, column).into_iter().map(move |cell| (cell, place)))
    });
    cells.collect()
}

/// The texts in `cells`, without empty ones.
///
/// # Errors
/// [`Problem::Absent`], [`Problem::Empty`], [`Problem::NotText`] and [`Problem::Unreadable`].
pub(super) fn texts(
    name: &str,
    rule: &FieldRule,
    cells: Vec<Cell<'_>>,
) -> Result<Vec<String>, Problem> {
    let field = || name.to_owned();
    let mut seen = HashSet::new();
    let mut texts = Vec::new();
    for (cell, place) in cells {
        // Two places can refer to the same field: one by id, the other by name.
        if seen.insert((std::ptr::from_ref(cell), &place.member)) {
            let of_cell = texts_of(cell, place.member.as_deref());
            let of_cell = of_cell.ok_or_else(|| unreadable(name, place, &cell.content))?;
            texts.extend(of_cell.into_iter().filter(|text| !text.trim().is_empty()));
        }
    }
    if seen.is_empty() {
        let places: Vec<_> = rule.from.iter().map(|place| format!("`{place}`")).collect();
        return Err(Problem::Absent { field: field(), places: places.join(", ") });
    }
    if texts.is_empty() { Err(Problem::Empty { field: field() }) } else { Ok(texts) }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// The texts that a person typed or chose: one, or several in a multiple choice. `None` for a value
/// of another shape.
fn texts_of(field: &Field, member: Option<&str>) -> Option<Vec<String>> {
    let value = match &field.content {
        Content::Value(value) => value,
        // A URL of the office system is valid for some hours only; people see the name.
        Content::Files(files) if member.is_none() => {
            return Some(files.iter().map(|file| file.name.clone()).collect());
        }
        Content::Rows(_) | Content::Files(_) | Content::Unreadable(_) => return None,
    };
    let value = match member {
        None => value,
        Some(_) if is_empty(value) => return Some(Vec::new()),
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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)?;
        for part in [&self.column, &self.member].into_iter().flatten() {
            write!(f, " / {part}")?;
        }
        Ok(())
    }
}
