//! Converts the tables of a form into core's form fields.

use greenlight_core::form::{Content, Field, Form};
use serde::Deserialize;
use serde_json::Value;

use crate::nullable::null_is_default;

/// The main table.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MainTable {
    #[serde(default, deserialize_with = "null_is_default")]
    request_records: Vec<Record>,
}

/// A detail table.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DetailTable {
    /// `formtable_main_77_dt1`
    #[serde(default, rename = "tableDBName", deserialize_with = "null_is_default")]
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    table_title: String,
    #[serde(default, deserialize_with = "null_is_default")]
    workflow_request_table_records: Vec<Record>,
}

/// A row; the main table has one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(default, deserialize_with = "null_is_default")]
    workflow_request_table_fields: Vec<FormField>,
}

/// A field.
#[derive(Debug, Deserialize)]
struct FormField {
    #[serde(default, rename = "fieldId", deserialize_with = "null_is_default")]
    id: String,
    /// In the database.
    #[serde(default, rename = "fieldName", deserialize_with = "null_is_default")]
    name: String,
    #[serde(default, rename = "fieldShowName", deserialize_with = "null_is_default")]
    label: String,
    /// In the database: of a list an index, of people and others an id.
    #[serde(default, rename = "fieldValue", deserialize_with = "null_is_default")]
    value: String,
    /// The text that people see.
    #[serde(default, rename = "fieldShowValue", deserialize_with = "null_is_default")]
    shown: String,
    #[serde(default, rename = "fieldHtmlType", deserialize_with = "null_is_default")]
    html_type: String,
    #[serde(default, rename = "fieldType", deserialize_with = "null_is_default")]
    kind: String,
}

/// What a field of `fieldHtmlType` 3 is chosen from.
mod browser {
    /// A person.
    pub(super) const PERSON: &str = "1";
    /// Several people.
    pub(super) const PEOPLE: &str = "17";
}

impl MainTable {
    /// Whether `field`, by its name in the database or its label, has this value, as the database
    /// has it or as people see it. Of several fields with the label all must have it.
    pub(super) fn has(&self, field: &str, value: &str) -> bool {
        let fields =
            || self.request_records.iter().flat_map(|it| &it.workflow_request_table_fields);
        let by_name = fields().any(|it| it.name == field);
        let is_meant = |it: &&FormField| {
            if by_name { it.name == field } else { it.label == field }
        };
        let mut meant = fields().filter(is_meant).peekable();
        meant.peek().is_some() && meant.all(|it| it.value == value || it.shown == value)
    }
}

pub(super) fn form(main: MainTable, details: Vec<DetailTable>) -> Form {
    let main = main.request_records.into_iter().flat_map(fields);
    Form { fields: main.chain(details.into_iter().map(table)).collect() }
}

fn table(table: DetailTable) -> Field {
    let DetailTable { name, table_title, workflow_request_table_records } = table;
    let rows = workflow_request_table_records.into_iter().map(fields);
    Field {
        custom_id: Some(name.clone()),
        id: name,
        name: table_title,
        content: Content::Rows(rows.collect()),
    }
}

fn fields(record: Record) -> Vec<Field> {
    record.workflow_request_table_fields.into_iter().map(field).collect()
}

fn field(field: FormField) -> Field {
    let content = Content::Value(field.content());
    let FormField { id, name, label, .. } = field;
    Field { custom_id: Some(name), id, name: label, content }
}

impl FormField {
    /// People are their ids; of lists and of what else is chosen it is the text.
    fn content(&self) -> Value {
        let text = |text: &str| {
            if text.is_empty() { Value::Null } else { Value::String(text.to_owned()) }
        };
        match (self.html_type.as_str(), self.kind.as_str()) {
            ("3", browser::PERSON) => text(&self.value),
            ("3", browser::PEOPLE) => {
                self.value.split(',').filter(|id| !id.is_empty()).map(Value::from).collect()
            }
            ("3" | "5", _) => text(&self.shown),
            _ => text(&self.value),
        }
    }
}
