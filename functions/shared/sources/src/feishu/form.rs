//! Converts Feishu's form widgets into core's form fields.

use greenlight_core::form::{Attachment, Content, Field, Form};
use serde_json::{Map, Value};

/// Parses `form`, a JSON string with an array of widgets.
///
/// Widgets of the type `text` are the designer's instructions, not input of the applicant: an
/// example address in them must not be added to a whitelist.
pub(super) fn parse(json: &str) -> Result<Form, serde_json::Error> {
    let widgets: Vec<Value> = serde_json::from_str(json)?;
    Ok(Form { fields: fields(widgets) })
}

fn fields(widgets: Vec<Value>) -> Vec<Field> {
    let widgets = widgets.into_iter().map(|widget| match widget {
        Value::Object(widget) => widget,
        _ => Map::new(),
    });
    let filled_in = widgets.filter(|widget| text(widget, "type").as_deref() != Some("text"));
    filled_in.map(field).collect()
}

/// The required members, of any type: an unexpected type makes one field empty and does not affect
/// the others. `ext` and `option` vary in shape and are not needed.
fn field(mut widget: Map<String, Value>) -> Field {
    let value = widget.remove("value").unwrap_or_default();
    let content = match text(&widget, "type").as_deref() {
        Some("fieldList") => table(value),
        Some("attachment" | "attachmentV2") => files(value, text(&widget, "ext")),
        _ => Content::Value(value),
    };
    Field {
        custom_id: text(&widget, "custom_id").filter(|id| !id.is_empty()),
        id: text(&widget, "id").unwrap_or_default(),
        name: text(&widget, "name").unwrap_or_default(),
        content,
    }
}

/// Returns the attached files: `value` has the URLs, and `ext` the names, separated by commas. A
/// value of another shape is kept.
fn files(value: Value, names: Option<String>) -> Content {
    let urls: Option<Vec<String>> = match &value {
        Value::Null => Some(Vec::new()),
        Value::String(text) if text.trim().is_empty() => Some(Vec::new()),
        Value::Array(urls) => urls.iter().map(|url| url.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    let Some(urls) = urls else { return Content::Value(value) };
    let names = names.unwrap_or_default();
    // The name of a single file can have a comma.
    let limit = if urls.len() == 1 { 1 } else { usize::MAX };
    let names = names.splitn(limit, ',').chain(std::iter::repeat(""));
    let file = |(url, name): (String, &str)| Attachment { name: name.trim().to_owned(), url };
    Content::Files(urls.into_iter().zip(names).map(file).collect())
}

/// Returns the rows of a table. A value of another shape is kept: the field is not empty, but it
/// cannot be parsed.
fn table(value: Value) -> Content {
    let is_row = |row: &Value| match row {
        Value::Null => true,
        Value::Array(widgets) => widgets.iter().all(|it| it.is_object() || it.is_null()),
        _ => false,
    };
    match value {
        Value::Array(rows) if rows.iter().all(is_row) => {
            let row = |row: Value| match row {
                Value::Array(widgets) => fields(widgets),
                _ => Vec::new(),
            };
            Content::Rows(rows.into_iter().map(row).collect())
        }
        Value::Null => Content::Rows(Vec::new()),
        Value::String(text) if text.trim().is_empty() => Content::Rows(Vec::new()),
        value => Content::Value(value),
    }
}

fn text(widget: &Map<String, Value>, member: &str) -> Option<String> {
    match widget.get(member)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shape of a real response, with addresses of the documentation range.
    const FORM: &str = r#"[
        {"id":"widget1","name":"说明 1","type":"text","ext":null,"value":"格式示例 00:00:5E:00:53:99"},
        {"id":"widget2","custom_id":"device_mac","name":"MAC 地址","type":"input","ext":null,"value":"00-00-5E-00-53-01"},
        {"id":"widget3","custom_id":"devices","name":"设备明细","type":"fieldList","ext":[],"value":[
            [{"id":"a","name":"设备","type":"radioV2","ext":null,"value":"手机","option":{"key":"k-0","text":"手机"}},
             {"id":"b","custom_id":"mac","name":"MAC","type":"input","ext":null,"value":"00005e005302"}],
            [{"id":"a","name":"设备","type":"text","value":"00005e005399"},
             {"id":"b","custom_id":"mac","name":"MAC","type":"input","ext":null,"value":"0000.5E00.5303"}]
          ],"option":{"input_type":"LIST"}},
        {"id":"widget4","name":"有效期","type":"date","ext":null,"value":"2025-12-31T00:00:00+08:00","timezoneOffset":-480}]"#;

    #[test]
    fn reads_widgets_and_rows_and_leaves_instructions_out() {
        let form = parse(FORM).unwrap();
        let ids: Vec<_> = form.fields.iter().map(|field| field.id.as_str()).collect();
        assert_eq!(ids, ["widget2", "widget3", "widget4"]);
        let Content::Rows(rows) = &form.find("devices")[0].content else {
            panic!("a table has rows");
        };
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert!(!format!("{form:?}").contains("5399"));
    }

    #[test]
    fn an_empty_table_has_no_rows() {
        let form = parse(r#"[{"id":"t","name":"t","type":"fieldList","value":null}]"#).unwrap();
        assert_eq!(form.fields[0].content, Content::Rows(vec![]));
    }

    #[test]
    fn what_is_no_form_is_an_error() {
        assert!(parse("{}").is_err());
        assert!(parse("[").is_err());
    }

    /// A table with an unexpected value must not count as empty: an optional field would be
    /// skipped.
    #[test]
    fn a_table_of_another_shape_stays_the_value_that_it_is() {
        let content = |value: &str| {
            let form = parse(&format!(r#"[{{"id":"t","type":"fieldList","value":{value}}}]"#));
            form.unwrap().fields.remove(0).content
        };
        for empty in ["null", r#""""#, "[]"] {
            assert_eq!(content(empty), Content::Rows(vec![]), "{empty}");
        }
        assert_eq!(content("[null]"), Content::Rows(vec![vec![]]));
        for filled in [r#""x""#, r#"{"a":1}"#, r#"[["x"]]"#, "[7]"] {
            let value = serde_json::from_str(filled).unwrap();
            assert_eq!(content(filled), Content::Value(value), "{filled}");
        }
    }

    #[test]
    fn an_odd_widget_is_a_field_without_text_and_costs_no_other() {
        let mac = r#"{"id":"m","custom_id":"device_mac","name":"MAC","type":"input","value":"00005e005301"}"#;
        for odd in [
            r#"{"id":"t","type":"fieldList","value":""}"#,
            r#"{"id":"t","type":"fieldList","value":[null]}"#,
            r#"{"id":"t","type":"fieldList","value":[["x"],[null],7]}"#,
            r#"{"id":"t","type":"fieldList","value":{"a":1}}"#,
            r#"{"id":7,"custom_id":[],"name":null,"type":"input","value":"x"}"#,
            r#"{"id":{},"type":9}"#,
            "null",
            r#""text""#,
            "[]",
        ] {
            let form = parse(&format!("[{odd},{mac}]")).unwrap();
            let found = form.find("device_mac");
            assert_eq!(found.len(), 1, "{odd}");
            assert_eq!(found[0].content, Content::Value("00005e005301".into()), "{odd}");
        }
    }
}
