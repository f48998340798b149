//! The form of a flow, as XML: `formExport`, with the columns of the form and of its sub-forms.

use greenlight_core::form::{Content, Field, Form};
use serde_json::Value;

use crate::xml::Element;

/// The form; `None` if the document is another one, such as a page for people.
pub(super) fn form_in(document: &str) -> Option<Form> {
    let root = Element::parse(document).ok().filter(|root| root.is_named("formExport"))?;
    let mut fields = columns(root.child("values")?);
    let sub_forms = root.child("subForms").into_iter().flat_map(|it| it.all("subForm"));
    fields.extend(sub_forms.enumerate().map(|(index, sub_form)| table(index + 1, sub_form)));
    Some(Form { fields })
}

/// A sub-form is a table. Its name is not in every version: `subForm1` is the first one.
fn table(number: usize, sub_form: &Element) -> Field {
    let rows = sub_form.child("values").into_iter().flat_map(|values| values.all("row"));
    Field {
        custom_id: None,
        id: format!("subForm{number}"),
        name: sub_form.attribute("name").unwrap_or_default().to_owned(),
        content: Content::Rows(rows.map(columns).collect()),
    }
}

/// The columns, which are named by the labels that people see.
fn columns(of: &Element) -> Vec<Field> {
    let columns = of.all("column").filter_map(|column| Some((column.attribute("name")?, column)));
    columns.map(|(name, column)| field(name, column.text_of("value"))).collect()
}

fn field(name: &str, value: &str) -> Field {
    let value = if value.is_empty() { Value::Null } else { Value::String(value.to_owned()) };
    Field {
        custom_id: None,
        id: String::new(),
        name: name.to_owned(),
        content: Content::Value(value),
    }
}
