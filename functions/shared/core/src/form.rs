//! A filled-in form, independent of the office system.

use serde_json::Value;

use crate::explain::Explanation;

/// The fields that the applicant filled in. Instruction texts are not part of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Form {
    /// The fields in the order of the form.
    pub fields: Vec<Field>,
}

/// One filled-in field.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// The custom id that the form's designer gave it, if any.
    pub custom_id: Option<String>,
    /// The office system's own id of the field.
    pub id: String,
    /// The label that people see.
    pub name: String,
    /// The value.
    pub content: Content,
}

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A value in the office system's own shape: mostly a string.
    Value(Value),
    /// A table: rows of fields.
    Rows(Vec<Vec<Field>>),
    /// Attached files.
    Files(Vec<Attachment>),
    /// Filled in, and not readable for this reason.
    Unreadable(Explanation),
}

/// A file that is attached to a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The name that people see, with its extension.
    pub name: String,
    /// The office system's URL of the content.
    pub url: String,
}

impl Form {
    /// All fields that `reference` names: by `custom_id`, else by `id`, else by `name`.
    ///
    /// Names can repeat in a form, ids cannot: a match by custom id or id excludes matches by name.
    #[must_use]
    pub fn find(&self, reference: &str) -> Vec<&Field> {
        find(&self.fields, reference)
    }

    /// Whether `reference` names this field of the form.
    #[must_use]
    pub fn names(&self, reference: &str, field: &Field) -> bool {
        self.find(reference).iter().any(|found| std::ptr::eq(*found, field))
    }
}

/// Same as [`Form::find`], within one row of a table.
#[must_use]
pub fn find<'a>(fields: &'a [Field], reference: &str) -> Vec<&'a Field> {
    let by = |matches: fn(&Field, &str) -> bool| -> Vec<&'a Field> {
        fields.iter().filter(|field| matches(field, reference)).collect()
    };
    let by_custom_id = by(|field, reference| field.custom_id.as_deref() == Some(reference));
    if !by_custom_id.is_empty() {
        return by_custom_id;
    }
    let by_id = by(|field, reference| field.id == reference);
    if !by_id.is_empty() {
        return by_id;
    }
    by(|field, reference| field.name == reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(custom_id: Option<&str>, id: &str, name: &str) -> Field {
        Field {
            custom_id: custom_id.map(Into::into),
            id: id.into(),
            name: name.into(),
            content: Content::Value(Value::Null),
        }
    }

    #[test]
    fn custom_id_beats_id_beats_name() {
        let form = Form {
            fields: vec![
                field(None, "widget1", "mac"),
                field(None, "mac", "first"),
                field(Some("mac"), "widget2", "second"),
            ],
        };
        let names =
            |reference| form.find(reference).iter().map(|f| f.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names("mac"), ["second"]);
        assert_eq!(names("widget1"), ["mac"]);
        assert_eq!(names("first"), ["first"]);
        assert!(names("absent").is_empty());
    }
}
