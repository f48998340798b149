//! Converts the components of a DingTalk form into core's form fields. Every value is a text, of
//! lists and tables one in JSON.

use greenlight_core::explain::Explain;
use greenlight_core::flow::UtcOffset;
use greenlight_core::form::{Content, Field, Form};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::nullable::null_is_default;
use crate::source::FilesNotRead;

/// A filled-in component.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Component {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    /// The id and the name in tables.
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    label: Option<String>,
    /// A name that the form's designer gave it.
    #[serde(default)]
    biz_alias: Option<String>,
    /// May be absent in tables.
    #[serde(default, rename = "componentType", deserialize_with = "null_is_default")]
    kind: String,
    #[serde(default)]
    value: Value,
    /// The value in another form, a text in JSON.
    #[serde(default)]
    ext_value: Value,
    /// The same in tables, JSON itself.
    #[serde(default)]
    extend_value: Value,
}

/// A row of a table. A table that was not filled in has its columns instead of rows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(default)]
    row_value: Option<Vec<Component>>,
}

/// A field whose value is not read.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("dingtalk_field")]
#[error("the value of this component does not have the documented shape")]
struct OddValue;

pub(super) fn form(components: Vec<Component>, offset: &UtcOffset) -> Form {
    Form { fields: fields(components, offset) }
}

fn fields(components: Vec<Component>, offset: &UtcOffset) -> Vec<Field> {
    components.into_iter().map(|component| field(component, offset)).collect()
}

fn field(component: Component, offset: &UtcOffset) -> Field {
    let content =
        content(&component, offset).unwrap_or_else(|| Content::Unreadable(OddValue.explain()));
    let Component { id, name, key, label, biz_alias, .. } = component;
    let (id, name) = (id.or(key).unwrap_or_default(), name.or(label).unwrap_or_default());
    Field { custom_id: biz_alias.filter(|alias| !alias.is_empty()), id, name, content }
}

/// The value of a component; `None` if it does not have the documented shape.
fn content(component: &Component, offset: &UtcOffset) -> Option<Content> {
    let Component { kind, value, ext_value, extend_value, .. } = component;
    // An empty field has the text "null".
    let is_empty = match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty() || text == "null",
        _ => false,
    };
    if is_empty {
        let is_table = kind == "TableField";
        return Some(if is_table {
            Content::Rows(Vec::new())
        } else {
            Content::Value(Value::Null)
        });
    }
    Some(match kind.as_str() {
        "TableField" => Content::Rows(rows(value, offset)?),
        "DDMultiSelectField" => Content::Value(texts(value)?),
        "InnerContactField" => {
            Content::Value(people(if ext_value.is_null() { extend_value } else { ext_value })?)
        }
        "DDDateField" => {
            let text = value.as_str()?;
            Content::Value(offset.moment(text).map_or_else(|| value.clone(), Value::String))
        }
        "DDPhotoField" | "DDAttachment" => Content::Unreadable(FilesNotRead.explain()),
        _ => Content::Value(value.clone()),
    })
}

/// JSON, or JSON in a text.
fn in_text(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => serde_json::from_str(text).ok(),
        value => Some(value.clone()),
    }
}

/// A list of texts.
fn texts(value: &Value) -> Option<Value> {
    let list = in_text(value)?;
    list.as_array()?.iter().all(Value::is_string).then_some(list)
}

/// The ids of people; `value` has only their names.
fn people(ext_value: &Value) -> Option<Value> {
    let people = in_text(ext_value)?;
    let id = |person: &Value| person["emplId"].as_str().map(Value::from);
    people.as_array()?.iter().map(id).collect::<Option<Vec<_>>>().map(Value::Array)
}

fn rows(value: &Value, offset: &UtcOffset) -> Option<Vec<Vec<Field>>> {
    let rows: Vec<Row> = serde_json::from_value(in_text(value)?).ok()?;
    let filled_in = rows.into_iter().filter_map(|row| row.row_value);
    Some(filled_in.map(|row| fields(row, offset)).collect())
}
