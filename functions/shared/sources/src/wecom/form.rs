//! Converts the controls of a WeCom approval into core's form fields.

use crate::nullable::null_is_default;
use crate::source::FilesNotRead;
use greenlight_core::Timestamp;
use greenlight_core::explain::Explain;
use greenlight_core::flow::UtcOffset;
use greenlight_core::form::{Content, Field, Form};
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

/// A filled-in control. Its value has members of all kinds of controls, empty but for its own, so
/// that `control` says which one counts.
#[derive(Debug, Deserialize)]
pub(super) struct Control {
    #[serde(default, rename = "control", deserialize_with = "null_is_default")]
    kind: String,
    #[serde(default, deserialize_with = "null_is_default")]
    id: String,
    #[serde(default, deserialize_with = "null_is_default")]
    title: Vec<Text>,
    #[serde(default, deserialize_with = "null_is_default")]
    value: Map<String, Value>,
}

/// A text in one language.
#[derive(Debug, Deserialize)]
struct Text {
    #[serde(default, deserialize_with = "null_is_default")]
    text: String,
}

/// A row of a table.
#[derive(Debug, Deserialize)]
struct Row {
    #[serde(default, deserialize_with = "null_is_default")]
    list: Vec<Control>,
}

/// A field whose value is not read.
#[derive(Clone, Copy, Debug, Error, Explain)]
#[explain("wecom_field")]
#[error("the value of this control does not have the documented shape")]
struct OddValue;

pub(super) fn form(controls: Vec<Control>, offset: &UtcOffset) -> Form {
    Form { fields: fields(controls, offset) }
}

fn fields(controls: Vec<Control>, offset: &UtcOffset) -> Vec<Field> {
    controls.into_iter().map(|control| field(control, offset)).collect()
}

fn field(control: Control, offset: &UtcOffset) -> Field {
    let name = control.title.into_iter().next().map(|title| title.text).unwrap_or_default();
    let content = content(&control.kind, control.value, offset)
        .unwrap_or_else(|| Content::Unreadable(OddValue.explain()));
    Field { custom_id: None, id: control.id, name, content }
}

/// The value of a control; `None` if it does not have the documented shape.
fn content(control: &str, mut value: Map<String, Value>, offset: &UtcOffset) -> Option<Content> {
    let mut take = |name: &str| value.remove(name).unwrap_or_default();
    Some(match control {
        "Text" | "Textarea" => Content::Value(take("text")),
        "Number" => Content::Value(take("new_number")),
        "Money" => Content::Value(take("new_money")),
        "Date" => Content::Value(date(&take("date"), offset)?),
        "Selector" => Content::Value(selected(&take("selector"))?),
        "Contact" => Content::Value(contacts(&take("members"), &take("departments"))?),
        "Table" => Content::Rows(rows(take("children"), offset)?),
        "File" => match take("files") {
            Value::Null => Content::Value(Value::Null),
            Value::Array(files) if files.is_empty() => Content::Value(Value::Null),
            _ => Content::Unreadable(FilesNotRead.explain()),
        },
        // Other controls: a flow that reads one says that it is no text.
        _ => Content::Value(Value::Object(value)),
    })
}

/// The moment of a date: `{"type":"day","s_timestamp":"1811606400"}`, in seconds. Of a day it is
/// midnight in the corp's zone. An empty date has no timestamp.
fn date(value: &Value, offset: &UtcOffset) -> Option<Value> {
    let seconds = match &value["s_timestamp"] {
        Value::Null => return Some(Value::Null),
        Value::String(text) if text.is_empty() || text == "0" => return Some(Value::Null),
        Value::String(text) => text.parse::<i64>().ok()?,
        number => number.as_i64()?,
    };
    let at = Timestamp::from_millis(seconds.checked_mul(1_000)?);
    Some(Value::String(offset.format(at)?))
}

/// The texts of the chosen options: one text, or a list if several can be chosen.
fn selected(value: &Value) -> Option<Value> {
    let Some(options) = value["options"].as_array() else { return Some(Value::Null) };
    let text =
        |option: &Value| Some(Value::String(option["value"][0]["text"].as_str()?.to_owned()));
    let mut texts = options.iter().map(text).collect::<Option<Vec<_>>>()?;
    if value["type"] == "multi" {
        return Some(Value::Array(texts));
    }
    match texts.len() {
        0 => Some(Value::Null),
        1 => texts.pop(),
        _ => None,
    }
}

/// The ids of people, or the names of departments.
fn contacts(members: &Value, departments: &Value) -> Option<Value> {
    let of = |list: &Value, name: &str| match list {
        Value::Null => Some(Vec::new()),
        list => list.as_array()?.iter().map(|it| it[name].as_str().map(Value::from)).collect(),
    };
    let (members, departments): (Vec<_>, Vec<_>) =
        (of(members, "userid")?, of(departments, "name")?);
    Some(Value::Array(members.into_iter().chain(departments).collect()))
}

fn rows(children: Value, offset: &UtcOffset) -> Option<Vec<Vec<Field>>> {
    let rows: Option<Vec<Row>> = serde_json::from_value(children).ok()?;
    Some(rows.unwrap_or_default().into_iter().map(|row| fields(row.list, offset)).collect())
}
