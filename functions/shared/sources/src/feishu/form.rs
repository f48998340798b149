//! Feishu's form widgets as core's form fields.

use greenlight_core::form::{Content, Field, Form};
use serde::Deserialize;
use serde_json::Value;

/// One widget of an instance's form; `ext` and `option` have many shapes and are not needed.
#[derive(Deserialize)]
struct Widget {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    custom_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    value: Value,
}

/// Reads `form`, a JSON string that holds an array of widgets.
///
/// Widgets of the type `text` are the designer's instructions and not what the applicant filled in:
/// an example address in them must not end on a whitelist.
pub(super) fn parse(json: &str) -> Result<Form, serde_json::Error> {
    let widgets: Vec<Widget> = serde_json::from_str(json)?;
    Ok(Form { fields: fields(widgets)? })
}

fn fields(widgets: Vec<Widget>) -> Result<Vec<Field>, serde_json::Error> {
    let filled_in = widgets.into_iter().filter(|widget| widget.kind.as_deref() != Some("text"));
    filled_in.map(field).collect()
}

fn field(widget: Widget) -> Result<Field, serde_json::Error> {
    let content = match (widget.kind.as_deref().unwrap_or_default(), widget.value) {
        ("fieldList", Value::Null) => Content::Rows(Vec::new()),
        ("fieldList", value) => {
            let rows: Vec<Vec<Widget>> = serde_json::from_value(value)?;
            Content::Rows(rows.into_iter().map(fields).collect::<Result<_, _>>()?)
        }
        (_, value) => Content::Value(value),
    };
    Ok(Field {
        custom_id: widget.custom_id.filter(|id| !id.is_empty()),
        id: widget.id.unwrap_or_default(),
        name: widget.name.unwrap_or_default(),
        content,
    })
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
        assert!(parse(r#"[{"id":"t","type":"fieldList","value":"x"}]"#).is_err());
    }
}
