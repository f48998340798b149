//! Test requests: a body with the approval at the places of the mapping, signed.

use greenlight_core::Timestamp;
use greenlight_core::secret::Credentials;
use serde_json::{Map, Value, json};

use super::mapping::{Place, Pointer};
use super::settings::{SECRET, SignedWebhook};
use crate::test_request::{NotSendable, Sent, TestEvent};

/// The request about `event`. With the message as the authority its status is none that starts a
/// flow: a test would be carried out.
pub(super) fn test_request(
    settings: &SignedWebhook,
    event: &TestEvent,
    credentials: &Credentials,
    now: Timestamp,
) -> Result<Sent, NotSendable> {
    let TestEvent::Approved { event_id, definition_id, instance_id } = event else {
        return Err(NotSendable::NoUrlCheck);
    };
    let mapping = &settings.event;
    let mut body = Value::Object(Map::new());
    put(&mut body, &mapping.instance_id, instance_id);
    if let Place::At(pointer) = &mapping.definition_id {
        put(&mut body, pointer, definition_id);
    }
    let status = if settings.carries_message() {
        settings.statuses.without_decision().ok_or(NotSendable::WouldBeCarriedOut)?
    } else {
        settings.statuses.approved.first().map_or("", String::as_str)
    };
    put(&mut body, &mapping.status, status);
    for (pointer, text) in
        [(&mapping.event_id, Some(event_id)), (&mapping.event_type, mapping.types.first())]
    {
        if let Some((pointer, text)) = pointer.as_ref().zip(text) {
            put(&mut body, pointer, text);
        }
    }
    if settings.carries_message() {
        if let Some(ended_at) = &settings.instance.ended_at {
            put(&mut body, ended_at, &now.as_seconds().to_string());
        }
        *place(&mut body, &settings.instance.form) = Value::Object(Map::new());
    }
    let body = body.to_string();
    let mut secrets = credentials.all(SECRET).peekable();
    if secrets.peek().is_none() {
        return Err(NotSendable::NoCredential { name: SECRET });
    }
    let sign = |secret| settings.signature.sign(event_id, body.as_bytes(), secret, now);
    let mut headers = secrets.find_map(sign).ok_or(NotSendable::NoSigningKey)?;
    headers.push(("content-type".to_owned(), "application/json".to_owned()));
    Ok(Sent::post(headers, body))
}

/// Puts a text at a place.
fn put(document: &mut Value, pointer: &Pointer, text: &str) {
    *place(document, pointer) = json!(text);
}

/// The value at a place; the objects above it are created.
fn place<'a>(document: &'a mut Value, pointer: &Pointer) -> &'a mut Value {
    let names = pointer.0.split('/').skip(1);
    names.fold(document, |value, name| {
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        &mut value[name.replace("~1", "/").replace("~0", "~")]
    })
}
