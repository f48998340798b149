//! Creates requests as DingTalk sends them: encrypted and signed events, and the URL check. For
//! `greenlight send-test`, and for tests.

use greenlight_core::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::callback_cipher::CallbackCipher;
use crate::test_request::Sent;

/// An app of an organisation, as far as its events go.
#[derive(Clone, Debug)]
pub struct DingTalkApp {
    pub app_key: String,
    pub app_secret: String,
    pub token: String,
    pub encoding_aes_key: String,
    pub corp_id: String,
}

/// A change of an approval instance.
#[derive(Clone, Copy, Debug)]
pub struct InstanceChange<'a> {
    pub event_id: &'a str,
    pub process_code: &'a str,
    pub instance_id: &'a str,
    /// `start`, `finish`, `terminate` or `delete`.
    pub kind: &'a str,
    /// `agree` or `refuse`, of `finish`.
    pub result: Option<&'a str>,
}

impl DingTalkApp {
    /// The data of an event, as a stream sends it.
    #[must_use]
    pub fn data(&self, change: InstanceChange<'_>, now: Timestamp) -> Value {
        let InstanceChange { process_code, instance_id, kind, result, .. } = change;
        let millis = now.as_millis();
        json!({
            "processInstanceId": instance_id,
            "processCode": process_code,
            "corpId": self.corp_id,
            "businessId": "202611300001",
            "bizCategoryId": "",
            "title": "张三提交的设备入网申请",
            "type": kind,
            "result": result,
            "staffId": "user001",
            "url": "https://aflow.dingtalk.com/x",
            "createTime": millis - 60_000,
            "finishTime": millis,
        })
    }

    /// An event, as HTTP push sends it: its data with the members of the event beside them; `None`
    /// if `encoding_aes_key` is invalid.
    #[must_use]
    pub fn instance_change(&self, change: InstanceChange<'_>, now: Timestamp) -> Option<Sent> {
        let mut event = self.data(change, now);
        event["EventType"] = "bpms_instance_change".into();
        event["eventId"] = change.event_id.into();
        self.pushed(&event, now)
    }

    /// The check of the URL; `None` if `encoding_aes_key` is invalid.
    #[must_use]
    pub fn url_check(&self, now: Timestamp) -> Option<Sent> {
        self.pushed(&json!({ "EventType": "check_url" }), now)
    }

    /// An event with these members; `None` if `encoding_aes_key` is invalid.
    #[must_use]
    pub fn pushed(&self, event: &Value, now: Timestamp) -> Option<Sent> {
        let cipher = CallbackCipher::new(&self.token, &self.encoding_aes_key, &self.app_key)?;
        let random = fastrand::u128(..).to_be_bytes();
        let encrypted = cipher.encrypt(random, event.to_string().as_bytes());
        let (timestamp, nonce) = (now.as_millis().to_string(), fastrand::u32(..).to_string());
        let signature = cipher.signature(&timestamp, &nonce, &encrypted);
        let signature = utf8_percent_encode(&signature, NON_ALPHANUMERIC);
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let body = json!({ "encrypt": encrypted }).to_string();
        let query = format!("signature={signature}&timestamp={timestamp}&nonce={nonce}");
        Some(Sent { query, ..Sent::post(headers, body) })
    }
}
