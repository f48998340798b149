use std::time::Instant;

use greenlight_core::event::{ApprovalEvent, Inbound};
use greenlight_core::explain::Explanation;
use greenlight_core::form::{Content, Field};
use greenlight_core::instance::{Instance, Status};
use greenlight_core::ports::QueueError;
use greenlight_core::secret::Secret;
use greenlight_core::stream::{Message, MessageProblem, Received, Session};
use greenlight_core::webhook::{Ignored, Outcome};
use greenlight_core::{Decision, Rejection, Timestamp, WEBHOOK_PATH, WebhookRequest};
use http::Method;
use serde_json::{Value, json};

use super::stream::StreamSession;
use super::{DingTalk, DingTalkApp, InstanceChange};
use crate::callback_cipher::CallbackCipher;
use crate::client_kind::ClientKind;
use crate::kind::SourceKind;
use crate::test_request::Sent;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

/// The app of the vectors.
fn app() -> DingTalkApp {
    let pushed = &vectors()["pushed"];
    DingTalkApp {
        app_key: text(pushed, "owner_key").to_owned(),
        app_secret: "s".to_owned(),
        token: text(pushed, "token").to_owned(),
        encoding_aes_key: text(pushed, "aes_key").to_owned(),
        corp_id: "dingcorp".to_owned(),
    }
}

fn secret_of(app: &DingTalkApp, owner_key: &str) -> Secret {
    let document = json!({"sources": {"dingtalk": {"app_key": app.app_key, "app_secret": "s",
        "token": app.token, "encoding_aes_key": app.encoding_aes_key, "owner_key": owner_key}}});
    Secret::parse(&document.to_string()).unwrap()
}

fn settings() -> DingTalk {
    serde_json::from_value(json!({})).unwrap()
}

fn received_with(sent: &Sent, secret: &Secret, now: Timestamp) -> Result<Inbound, Rejection> {
    let (head, body) = sent.to_request(WEBHOOK_PATH).unwrap().into_parts();
    let request = WebhookRequest::new(head, body).unwrap();
    settings().webhook("dingtalk").parse(&request, secret, now)
}

fn received(sent: &Sent, now: Timestamp) -> Result<Inbound, Rejection> {
    received_with(sent, &secret_of(&app(), ""), now)
}

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

#[test]
fn the_vectors_of_other_libraries_are_opened_and_made() {
    let vectors = vectors();
    let (pushed, now) = (&vectors["pushed"], Timestamp::from_millis(1_608_001_896_814));
    for [signature, timestamp] in [["signature", "timestamp"], ["msg_signature", "timeStamp"]] {
        let query = format!(
            "{signature}={}&{timestamp}={}&nonce={}",
            text(pushed, "signature"),
            text(pushed, "timestamp"),
            text(pushed, "nonce")
        );
        let body = json!({"encrypt": vectors["body"]}).to_string();
        let event = received(&Sent { query, ..Sent::post(vec![], body) }, now);
        assert_eq!(
            event,
            Ok(Inbound::Approval(ApprovalEvent {
                tenant: "ding6ccabc44d2c8d38b".to_owned(),
                event_id: String::new(),
                definition_id: "PROC-MAC-0001".to_owned(),
                instance_id: "ad253df6-e175-4caf-9c4f-000000000001".to_owned(),
                decision: Some(Decision::Approved),
                occurred_at: Some(Timestamp::from_millis(1_495_592_305_000)),
                signed: None,
            }))
        );
    }
    let reply = &vectors["success_reply"];
    let cipher =
        CallbackCipher::new(text(reply, "token"), text(reply, "aes_key"), text(reply, "owner"));
    let cipher = cipher.unwrap();
    let encrypted = cipher.encrypt(*b"0123456789abcdef", text(reply, "plain").as_bytes());
    assert_eq!(encrypted, text(reply, "encrypt"));
    let signature = cipher.signature(text(reply, "timestamp"), text(reply, "nonce"), &encrypted);
    assert_eq!(signature, text(reply, "msg_signature"));
}

fn change(kind: &str, result: Option<&str>) -> Sent {
    let change = InstanceChange {
        event_id: "e-1",
        process_code: "PROC-1",
        instance_id: "I-1",
        kind,
        result,
    };
    app().instance_change(change, NOW).unwrap()
}

#[test]
fn only_the_end_with_consent_is_a_decision() {
    for (kind, result, decision) in [
        ("finish", Some("agree"), Some(Decision::Approved)),
        ("finish", Some("refuse"), None),
        ("finish", None, None),
        ("start", None, None),
        // Withdrawn before its end: nothing was granted.
        ("terminate", None, None),
        ("delete", Some("agree"), None),
        ("new", Some("agree"), None),
    ] {
        let event = received(&change(kind, result), NOW);
        let Ok(Inbound::Approval(event)) = event else { panic!("{event:?}") };
        assert_eq!(event.decision, decision, "{kind} {result:?}");
        assert_eq!((&*event.event_id, &*event.tenant), ("e-1", "dingcorp"));
    }
}

#[test]
fn an_approved_termination_says_that_a_person_leaves() {
    let event = |result: &str, staff: Value| {
        let event = json!({"EventType": "bpms_instance_change", "processInstanceId": "I",
            "processCode": "P", "type": "finish", "result": result,
            "bizCategoryId": "hrm.termination", "staffId": staff});
        received(&app().pushed(&event, NOW).unwrap(), NOW)
    };
    let left = Inbound::PersonLeft { person: "user001".to_owned() };
    assert_eq!(event("agree", json!("user001")), Ok(left));
    assert!(matches!(event("agree", Value::Null), Ok(Inbound::Unreadable { .. })));
    let refused = event("refuse", json!("user001"));
    assert!(matches!(refused, Ok(Inbound::Approval(ApprovalEvent { decision: None, .. }))));
}

#[test]
fn other_events_are_of_no_use_and_unknown_shapes_raise_an_alarm() {
    let of = |event: &Value| received(&app().pushed(event, NOW).unwrap(), NOW);
    for kind in ["check_url", "bpms_task_change", "user_leave_org"] {
        let other = Inbound::Other { event_type: kind.to_owned() };
        assert_eq!(of(&json!({"EventType": kind})), Ok(other));
    }
    let odd = of(&json!({"EventType": "bpms_instance_change", "type": 7}));
    assert!(matches!(odd, Ok(Inbound::Unreadable { .. })), "{odd:?}");
    assert_eq!(of(&json!(["x"])), Err(Rejection::SignedNoEvent));
    assert_eq!(of(&json!({"type": "x"})), Err(Rejection::SignedNoEvent));
}

#[test]
fn what_is_not_authentic_is_rejected() {
    let genuine = change("finish", Some("agree"));
    assert!(received(&genuine, NOW).is_ok());
    let other_body = Sent { body: change("start", None).body, ..genuine.clone() };
    assert_eq!(received(&other_body, NOW), Err(Rejection::WrongSignature));
    let unsigned = Sent { query: String::new(), ..genuine.clone() };
    assert_eq!(received(&unsigned, NOW), Err(Rejection::NotSigned));
    for body in ["", "[]", "{\"encrypt\":7}"] {
        let bad = Sent { body: body.to_owned(), ..genuine.clone() };
        assert_eq!(received(&bad, NOW), Err(Rejection::NotAnEvent), "{body}");
    }
    let get = Sent { method: Method::GET, ..genuine.clone() };
    assert_eq!(received(&get, NOW), Err(Rejection::WrongMethod));
    let late = NOW.plus(std::time::Duration::from_hours(9));
    assert_eq!(received(&genuine, late), Err(Rejection::OutsideReplayWindow));
    // Of another app, and of an app whose push was registered for the organisation.
    let of_corp = DingTalkApp { app_key: "dingcorp".to_owned(), ..app() };
    let of_corp = of_corp.url_check(NOW).unwrap();
    assert_eq!(received(&of_corp, NOW), Err(Rejection::WrongApp));
    let both = secret_of(&app(), "dingcorp");
    assert!(received_with(&of_corp, &both, NOW).is_ok());
    assert!(received_with(&genuine, &both, NOW).is_ok());
    let none = Secret::parse(r#"{"sources":{"dingtalk":{"app_key":"a"}}}"#).unwrap();
    assert_eq!(received_with(&genuine, &none, NOW), Err(Rejection::NoCredentials));
}

/// The reply is the encrypted word; every other one lets DingTalk send the event again.
#[test]
fn the_reply_is_success_encrypted() {
    let webhook = settings().webhook("dingtalk");
    let secret = secret_of(&app(), "");
    let reply = webhook.reply(&Outcome::Ignored(Ignored::Status), &secret, NOW);
    assert_eq!(reply.status, 200);
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    let app = app();
    let cipher = CallbackCipher::new(&app.token, &app.encoding_aes_key, &app.app_key).unwrap();
    let encrypted = text(&body, "encrypt");
    let signature = cipher.signature(text(&body, "timeStamp"), text(&body, "nonce"), encrypted);
    assert_eq!(text(&body, "msg_signature"), signature);
    let signed = crate::callback_cipher::Signed {
        signature: &signature,
        timestamp: text(&body, "timeStamp"),
        nonce: text(&body, "nonce"),
    };
    let opened = cipher.open(signed, encrypted, NOW, std::time::Duration::ZERO);
    assert_eq!(opened.unwrap(), b"success");
    let again = webhook.reply(&Outcome::Ignored(Ignored::Status), &secret, NOW);
    assert_ne!(again.body, reply.body, "with other random bytes");
    let full = Outcome::NotEnqueued(QueueError(Explanation::quoted("full")));
    assert_eq!(webhook.reply(&full, &secret, NOW).status, 503);
    let rejected = Outcome::Rejected(Rejection::WrongSignature);
    assert_eq!(webhook.reply(&rejected, &secret, NOW).status, 401);
}

/// A recording of the official clients: the session reads the server's messages, and answers as
/// they do.
#[test]
fn a_recorded_stream_is_read_and_answered() {
    for recorded in vectors()["stream"].as_array().unwrap() {
        let (mut session, mut replies, mut events) = (StreamSession, Vec::new(), Vec::new());
        let mut is_closing = false;
        for message in recorded["messages"].as_array().unwrap() {
            if message["from"] == "client" {
                continue;
            }
            let text = Message::Text(text(message, "text").to_owned());
            match session.receive(text, Instant::now()) {
                Received::Reply(reply) => replies.push(json_of(&reply)),
                Received::Event { event, reply } => {
                    let outcome = Outcome::Ignored(Ignored::Status);
                    replies.push(json_of(&reply(&outcome, std::time::Duration::ZERO)));
                    events.push(event.unwrap());
                }
                Received::Closing => is_closing = true,
                Received::Nothing => {}
                Received::Unreadable(problem) => panic!("{problem}"),
            }
        }
        assert!(is_closing);
        let ping = &replies[0];
        assert_eq!((&ping["code"], &ping["message"]), (&json!(200), &json!("OK")));
        assert_eq!(
            (text(&ping["headers"], "messageId"), text(ping, "data")),
            ("ping-1", r#"{"opaque":"op-1"}"#)
        );
        assert_eq!(text(&replies[1]["headers"], "messageId"), "m-1");
        let data: Value = serde_json::from_str(text(&replies[1], "data")).unwrap();
        assert_eq!(data["status"], "SUCCESS");
        let [Inbound::Approval(first), Inbound::Approval(second)] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!((&*first.event_id, &*first.instance_id), ("evt-m-1", "9Qgx5QqjR7axMw0001"));
        assert_eq!((first.decision, second.decision), (Some(Decision::Approved), None));
    }
}

fn json_of(message: &Message) -> Value {
    let Message::Text(text) = message else { panic!("{message:?}") };
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_event_that_is_not_stored_is_answered_later() {
    let frame = json!({"type": "EVENT", "headers": {"messageId": "m", "eventType": "x"},
        "data": "{}"});
    let received = StreamSession.receive(Message::Text(frame.to_string()), Instant::now());
    let Received::Event { reply, .. } = received else { panic!("no event") };
    let full = Outcome::NotEnqueued(QueueError(Explanation::quoted("full")));
    let reply = json_of(&reply(&full, std::time::Duration::ZERO));
    assert_eq!(reply["code"], 500);
    assert!(text(&reply, "data").contains("LATER"));
    for odd in ["", "{}", "[]", r#"{"type":"EVENT","headers":{"messageId":"m"},"data":"x"}"#] {
        let received = StreamSession.receive(Message::Text(odd.to_owned()), Instant::now());
        assert!(matches!(received, Received::Unreadable(MessageProblem::Shape)), "{odd}");
    }
}

fn instance(detail: &Value) -> Instance {
    settings().parse_instance(&detail.to_string()).unwrap()
}

fn detail() -> Value {
    vectors()["detail"].clone()
}

fn value<'a>(fields: &'a [Field], name: &str) -> &'a Value {
    let field = fields.iter().find(|field| field.name == name).unwrap();
    match &field.content {
        Content::Value(value) => value,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn the_detail_is_read_with_its_traps() {
    let instance = instance(&detail());
    assert_eq!((instance.status, &*instance.applicant), (Status::Approved, "user001"));
    assert_eq!(instance.form_number, "202611200210000000001");
    // `2026-11-20T03:05Z`, without seconds.
    assert_eq!(instance.ended_at, Some(Timestamp::from_millis(1_795_143_900_000)));
    assert_eq!(instance.revokes, None);
    let fields = &instance.form.fields;
    for (name, expected) in [
        ("事由", json!("新员工入职")),
        ("备注", Value::Null),
        ("区域", json!("办公网")),
        ("设备类型", json!(["笔记本", "手机"])),
        ("到期", json!("2027-05-30T00:00:00+08:00")),
        ("天数", json!("10")),
        ("使用人", json!(["user002"])),
    ] {
        assert_eq!(value(fields, name), &expected, "{name}");
    }
    let rows = |name: &str| match &instance.form.find(name)[0].content {
        Content::Rows(rows) => rows.clone(),
        other => panic!("{other:?}"),
    };
    let devices = rows("设备");
    let macs: Vec<_> = devices.iter().map(|row| value(row, "MAC 地址")).collect();
    assert_eq!(macs, ["3C:22:FB:12:34:56", "3c22-fb12-3457"]);
    assert_eq!(value(&devices[1], "位置"), "四楼");
    // A table that was not filled in has its columns as its value.
    assert_eq!(rows("附加设备"), Vec::<Vec<Field>>::new());
}

#[test]
fn every_status_is_told_apart() {
    for (status, result, expected) in [
        ("RUNNING", "", Status::Pending),
        ("COMPLETED", "agree", Status::Approved),
        ("COMPLETED", "refuse", Status::Refused),
        ("TERMINATED", "", Status::Refused),
        ("COMPLETED", "", Status::Unknown),
        ("NEW", "agree", Status::Unknown),
    ] {
        let mut detail = detail();
        detail["result"]["status"] = status.into();
        detail["result"]["result"] = result.into();
        assert_eq!(instance(&detail).status, expected, "{status} {result}");
    }
    let mut revocation = detail();
    revocation["result"]["bizAction"] = "REVOKE".into();
    revocation["result"]["mainProcessInstanceId"] = "I-1".into();
    assert_eq!(instance(&revocation).revokes.as_deref(), Some("I-1"));
}

#[test]
fn an_odd_value_makes_one_field_unreadable_and_no_other() {
    for (kind, value_of) in [
        ("TableField", json!("no JSON")),
        ("TableField", json!("{\"a\":1}")),
        ("DDMultiSelectField", json!("[1]")),
        ("InnerContactField", json!("李四")),
        ("DDAttachment", json!("[{\"fileId\":\"1\"}]")),
    ] {
        let mut detail = detail();
        let components = detail["result"]["formComponentValues"].as_array_mut().unwrap();
        components.push(json!({"id": "x", "name": "x", "componentType": kind, "value": value_of}));
        let instance = instance(&detail);
        let found = &instance.form.find("x")[0].content;
        assert!(matches!(found, Content::Unreadable(_)), "{kind}: {found:?}");
        assert_eq!(value(&instance.form.fields, "事由"), "新员工入职");
    }
}

#[test]
fn settings_say_which_credentials_are_needed() {
    let of = |receive: &str| -> DingTalk {
        serde_json::from_value(json!({"receive": receive})).unwrap()
    };
    assert_eq!(of("stream").credentials(), ["app_key", "app_secret"]);
    assert!(of("stream").needs_connection() && !of("webhook").needs_connection());
    assert_eq!(of("webhook").credentials().len(), 4);
    assert!(serde_json::from_value::<DingTalk>(json!({"receive": "poll"})).is_err());
}
