//! The approval instance in a document: in what is read, or in the signed message itself.

use greenlight_core::Timestamp;
use greenlight_core::explain::Explain;
use greenlight_core::flow::UtcOffset;
use greenlight_core::form::{Content, Field, Form};
use greenlight_core::instance::{Instance, Status};
use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::mapping::{EventMapping, Place, Pointer, Statuses};
use crate::signed_at::signed_at;

/// Where in a document the approval instance is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InstanceMapping {
    /// Default: the place in the event.
    instance_id: Option<Pointer>,
    /// Default: the place in the event.
    definition_id: Option<Place>,
    /// Default: the place in the event.
    status: Option<Pointer>,
    /// When it ended: RFC 3339, or seconds or milliseconds since the Unix epoch.
    pub(super) ended_at: Option<Pointer>,
    /// The offset from UTC of an `ended_at` that has none: `"+08:00"`.
    utc_offset: Option<UtcOffset>,
    /// The person who applied.
    applicant: Option<Pointer>,
    /// The number that people see.
    form_number: Option<Pointer>,
    /// The form: an object with a member per field, or a list of fields. A value that is a list of
    /// objects is a table.
    pub(super) form: Pointer,
    /// The members of a field in a list.
    #[serde(default)]
    field: FieldMembers,
}

/// The members of a field in a list of fields.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FieldMembers {
    id: String,
    name: String,
    value: String,
}

impl Default for FieldMembers {
    fn default() -> Self {
        let [id, name, value] = ["id", "name", "value"].map(str::to_owned);
        Self { id, name, value }
    }
}

/// A document without the approval that is expected in it.
#[derive(Clone, Debug, Error, Explain, PartialEq, Eq)]
#[explain("webhook_instance")]
pub(super) enum NoInstance {
    #[error("the document has no text at `{pointer}`, the place of `{key}`")]
    Missing { key: &'static str, pointer: String },
    #[error("the document has no time at `{pointer}`, the place of `ended_at`")]
    NoTime { pointer: String },
    #[error("the document has no form at `{pointer}`: neither an object nor a list of fields")]
    NoForm { pointer: String },
}

impl InstanceMapping {
    /// Whether the fixed form of the event is that of what is read, too, only by default.
    pub(super) const fn is_form_unchecked(&self, event: &EventMapping) -> bool {
        self.definition_id.is_none() && matches!(event.definition_id, Place::Fixed(_))
    }

    /// The instance in `document`. `signed_at` is when it ended if the document does not say so.
    pub(super) fn instance(
        &self,
        document: &Value,
        event: &EventMapping,
        statuses: &Statuses,
        signed_at: Option<Timestamp>,
    ) -> Result<Instance, NoInstance> {
        let text = |key, pointer: &Pointer| {
            let missing = || NoInstance::Missing { key, pointer: pointer.0.clone() };
            pointer.text(document).ok_or_else(missing)
        };
        let definition_id = match self.definition_id.as_ref().unwrap_or(&event.definition_id) {
            Place::At(pointer) => text("definition_id", pointer)?,
            Place::Fixed(fixed) => fixed.clone(),
        };
        let status = text("status", self.status.as_ref().unwrap_or(&event.status))?;
        let status = statuses.status(&status);
        // An approval that is not decided yet has no end.
        let is_over = matches!(status, Status::Approved | Status::Revoked);
        let ended_at = if is_over { self.ended_at(document)?.or(signed_at) } else { None };
        let optional = |pointer: &Option<Pointer>| {
            pointer.as_ref().and_then(|pointer| pointer.text(document)).unwrap_or_default()
        };
        Ok(Instance {
            instance_id: text(
                "instance_id",
                self.instance_id.as_ref().unwrap_or(&event.instance_id),
            )?,
            definition_id,
            status,
            ended_at,
            applicant: optional(&self.applicant),
            form_number: optional(&self.form_number),
            form: self.form(document)?,
            revokes: None,
        })
    }

    fn ended_at(&self, document: &Value) -> Result<Option<Timestamp>, NoInstance> {
        let Some(pointer) = &self.ended_at else { return Ok(None) };
        let no_time = || NoInstance::NoTime { pointer: pointer.0.clone() };
        let text = pointer.text(document).ok_or_else(no_time)?;
        let local = || self.utc_offset.as_ref()?.moment(&text);
        let moment = Timestamp::of_moment(&text).or_else(|| signed_at(&text));
        let moment = moment.or_else(|| Timestamp::of_moment(&local()?));
        moment.map(Some).ok_or_else(no_time)
    }

    fn form(&self, document: &Value) -> Result<Form, NoInstance> {
        let no_form = || NoInstance::NoForm { pointer: self.form.0.clone() };
        let fields = match document.pointer(&self.form.0) {
            Some(Value::Object(members)) => self.members(members),
            Some(Value::Array(fields)) => self.list(fields).ok_or_else(no_form)?,
            _ => return Err(no_form()),
        };
        Ok(Form { fields })
    }

    /// A field per member.
    fn members(&self, members: &Map<String, Value>) -> Vec<Field> {
        let field = |(name, value): (&String, &Value)| Field {
            custom_id: None,
            id: name.clone(),
            name: name.clone(),
            content: self.content(value),
        };
        members.iter().map(field).collect()
    }

    /// A field per item; `None` unless all are fields.
    fn list(&self, fields: &[Value]) -> Option<Vec<Field>> {
        fields.iter().map(|field| self.field(field.as_object()?)).collect()
    }

    fn field(&self, field: &Map<String, Value>) -> Option<Field> {
        let text = |name: &str| match field.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let (id, name) = (text(&self.field.id), text(&self.field.name));
        if id.is_empty() && name.is_empty() {
            return None;
        }
        let content = self.content(field.get(&self.field.value)?);
        Some(Field { custom_id: None, id, name, content })
    }

    /// A table, if the value is a list of objects or of lists of fields.
    fn content(&self, value: &Value) -> Content {
        let row = |row: &Value| match row {
            Value::Object(members) => Some(self.members(members)),
            Value::Array(fields) => self.list(fields),
            _ => None,
        };
        let rows = value.as_array().filter(|rows| !rows.is_empty());
        match rows.and_then(|rows| rows.iter().map(row).collect()) {
            Some(rows) => Content::Rows(rows),
            None => Content::Value(value.clone()),
        }
    }
}
