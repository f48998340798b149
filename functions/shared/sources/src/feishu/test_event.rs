//! Creates requests as Feishu sends them: encrypted and signed events, and URL checks. For
//! `greenlight send-test`, and for tests.

use serde_json::{Value, json};

use super::webhook::header;
use super::{encrypt, signature};
use crate::test_request::Sent;

/// An app in the Feishu console, as far as its events go.
#[derive(Clone, Debug)]
pub struct FeishuApp {
    pub app_id: String,
    pub app_secret: String,
    pub encrypt_key: String,
    pub verification_token: String,
    /// The organisation that installed it.
    pub tenant_key: String,
}

impl FeishuApp {
    /// A URL check: encrypted, and never signed.
    #[must_use]
    pub fn url_check(&self, challenge: &str) -> Sent {
        let event = json!({
            "challenge": challenge,
            "token": self.verification_token,
            "type": "url_verification",
        });
        Sent::post(vec![content_type()], self.encrypted(&event))
    }

    /// A change of an approval instance's status, as a webhook sends it.
    #[must_use]
    pub fn approval_instance(
        &self,
        event_id: &str,
        approval_code: &str,
        instance_code: &str,
        status: &str,
        now: i64,
    ) -> Sent {
        let event = self.approval_event(event_id, approval_code, instance_code, status, now);
        self.signed(&event, now)
    }

    /// A change of an approval instance's status, as a long connection sends it.
    #[must_use]
    pub fn approval_event(
        &self,
        event_id: &str,
        approval_code: &str,
        instance_code: &str,
        status: &str,
        now: i64,
    ) -> Value {
        // An integer when the status is REVERTED, a string otherwise: as documented.
        let operate_time = if status == "REVERTED" { json!(now) } else { json!(now.to_string()) };
        json!({
            "ts": format!("{}.{:06}", now / 1000, now % 1000 * 1000),
            "uuid": event_id,
            "token": self.verification_token,
            "type": "event_callback",
            "event": {
                "app_id": self.app_id,
                "tenant_key": self.tenant_key,
                "type": "approval_instance",
                "approval_code": approval_code,
                "instance_code": instance_code,
                "status": status,
                "operate_time": operate_time,
                "instance_operate_time": now.to_string(),
            },
        })
    }

    /// A person left the organisation.
    #[must_use]
    pub fn person_left(&self, event_id: &str, open_id: &str, now: i64) -> Sent {
        let event = json!({
            "schema": "2.0",
            "header": {
                "event_id": event_id,
                "event_type": "contact.user.deleted_v3",
                "create_time": now.to_string(),
                "token": self.verification_token,
                "app_id": self.app_id,
                "tenant_key": self.tenant_key,
            },
            "event": {
                "object": { "open_id": open_id, "status": { "is_resigned": true } },
                "old_object": { "open_id": open_id },
            },
        });
        self.signed(&event, now)
    }

    /// Any event, encrypted and signed at `now` (ms since the Unix epoch).
    #[must_use]
    pub fn signed(&self, event: &Value, now: i64) -> Sent {
        let body = self.encrypted(event);
        let timestamp = (now / 1000).to_string();
        let nonce = format!("{:016x}", fastrand::u64(..));
        let signature = signature(&timestamp, &nonce, &self.encrypt_key, body.as_bytes());
        let headers = vec![
            content_type(),
            (header::TIMESTAMP.to_owned(), timestamp),
            (header::NONCE.to_owned(), nonce),
            (header::SIGNATURE.to_owned(), signature),
        ];
        Sent::post(headers, body)
    }

    fn encrypted(&self, event: &Value) -> String {
        let iv = fastrand::u128(..).to_be_bytes();
        let encrypted = encrypt(&self.encrypt_key, iv, event.to_string().as_bytes());
        json!({ "encrypt": encrypted }).to_string()
    }
}

fn content_type() -> (String, String) {
    ("content-type".to_owned(), "application/json;charset=utf-8".to_owned())
}
