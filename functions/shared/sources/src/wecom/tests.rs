use std::fmt::Write as _;

use greenlight_core::event::{ApprovalEvent, Inbound};
use greenlight_core::form::{Content, Field};
use greenlight_core::instance::Status;
use greenlight_core::secret::Secret;
use greenlight_core::webhook::{Ignored, Outcome};
use greenlight_core::{Decision, Rejection, Timestamp, WEBHOOK_PATH, WebhookRequest};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::settings::WeCom;
use super::test_event::ApprovalChange;
use super::{WeComApp, settings};
use crate::callback_cipher::CallbackCipher;
use crate::client_kind::ClientKind;
use crate::kind::{SourceKind, UsableValues};
use crate::test_request::Sent;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

/// The app of the vectors.
fn app() -> WeComApp {
    let keys = &vectors()["keys"];
    WeComApp {
        corp_id: text(keys, "receive_id").to_owned(),
        secret: "s".to_owned(),
        token: text(keys, "token").to_owned(),
        encoding_aes_key: text(keys, "encoding_aes_key").to_owned(),
    }
}

fn secret_of(app: &WeComApp) -> Secret {
    let document = json!({"sources": {"wecom": {"corp_id": app.corp_id, "secret": app.secret,
        "token": app.token, "encoding_aes_key": app.encoding_aes_key}}});
    Secret::parse(&document.to_string()).unwrap()
}

fn settings() -> WeCom {
    serde_json::from_value(json!({})).unwrap()
}

fn received(request: &Sent, app: &WeComApp, now: Timestamp) -> Result<Inbound, Rejection> {
    let (head, body) = request.to_request(WEBHOOK_PATH).unwrap().into_parts();
    let request = WebhookRequest::new(head, body).unwrap();
    settings().webhook("wecom").parse(&request, &secret_of(app), now)
}

fn at(vector: &Value) -> Timestamp {
    Timestamp::from_millis(text(vector, "timestamp").parse::<i64>().unwrap() * 1_000)
}

/// A callback with what a vector has.
fn posted(vector: &Value) -> Sent {
    let query = ["msg_signature", "timestamp", "nonce"]
        .map(|name| format!("{name}={}", text(vector, name)));
    let body = format!("<xml><Encrypt><![CDATA[{}]]></Encrypt></xml>", text(vector, "encrypt"));
    Sent { query: query.join("&"), ..Sent::post(vec![], body) }
}

#[test]
fn the_vectors_of_other_libraries_are_opened_and_made() {
    let (vectors, app) = (vectors(), app());
    let check = &vectors["verify_get"];
    let mut query = String::new();
    for (name, value) in check["query"].as_object().unwrap() {
        let value = value.as_str().unwrap().replace('+', "%2B");
        write!(query, "{name}={value}&").unwrap();
    }
    let challenge = received(&Sent::get(query.clone()), &app, at(&check["query"]));
    assert_eq!(challenge, Ok(Inbound::Challenge(text(check, "reply_plain").to_owned())));
    // A plus that the sender did not encode.
    let raw = Sent::get(query.replace("%2B", "+"));
    assert_eq!(received(&raw, &app, at(&check["query"])), challenge);

    let reply = &vectors["reply"];
    let cipher = CallbackCipher::new(&app.token, &app.encoding_aes_key, &app.corp_id).unwrap();
    let random: [u8; 16] = text(reply, "random16").as_bytes().try_into().unwrap();
    let encrypted = cipher.encrypt(random, text(reply, "plain").as_bytes());
    assert_eq!(encrypted, text(reply, "encrypt"));
    let signature = cipher.signature(text(reply, "timestamp"), text(reply, "nonce"), &encrypted);
    assert_eq!(signature, text(reply, "msg_signature"));

    let other = &vectors["wrong_receiver"];
    assert_eq!(received(&posted(other), &app, at(other)), Err(Rejection::WrongApp));

    let approval = &vectors["approval"];
    let event = received(&posted(approval), &app, at(approval));
    assert_eq!(
        event,
        Ok(Inbound::Approval(ApprovalEvent {
            tenant: "wx5823bf96d3bd56c7".to_owned(),
            event_id: "202506110001-2-2-1571732272".to_owned(),
            definition_id: "3TkaH5KFbrG9heEQWLJjhgpFwmqAFB4dLEnapaB7aaa".to_owned(),
            instance_id: "202506110001".to_owned(),
            decision: Some(Decision::Approved),
            occurred_at: Some(Timestamp::from_millis(1_571_732_272_000)),
            signed: None,
        }))
    );
}

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn change(sp_status: i64, event: i64) -> Sent {
    let change = ApprovalChange { template_id: "T-1", sp_no: "202611300001", sp_status, event };
    app().change(change, NOW).unwrap()
}

#[test]
fn only_the_status_of_the_whole_approval_is_a_decision() {
    for (sp_status, event, decision) in [
        (1, 1, None),
        // The first of two approvers agrees.
        (1, 2, None),
        (2, 2, Some(Decision::Approved)),
        (3, 3, None),
        (4, 6, Some(Decision::Revoked)),
        (6, 8, Some(Decision::Revoked)),
        (7, 0, None),
        (10, 0, Some(Decision::Approved)),
        (99, 0, None),
    ] {
        let received = received(&change(sp_status, event), &app(), NOW);
        let Ok(Inbound::Approval(received)) = received else { panic!("{received:?}") };
        assert_eq!(received.decision, decision, "{sp_status}");
        assert_eq!(received.instance_id, "202611300001");
    }
}

#[test]
fn other_events_are_of_no_use_and_unknown_shapes_raise_an_alarm() {
    let of = |message: &str| received(&app().callback(message, NOW).unwrap(), &app(), NOW);
    for event in ["open_approval_change", "change_contact"] {
        let message = format!("<xml><MsgType>event</MsgType><Event>{event}</Event></xml>");
        assert_eq!(of(&message), Ok(Inbound::Other { event_type: event.to_owned() }));
    }
    let text = "<xml><MsgType>text</MsgType><Content>hello</Content></xml>";
    assert_eq!(of(text), Ok(Inbound::Other { event_type: "text".to_owned() }));
    let unreadable = || Ok(Inbound::Unreadable { event_type: "sys_approval_change".to_owned() });
    for info in ["", "<ApprovalInfo/>", "<ApprovalInfo><SpNo>1</SpNo></ApprovalInfo>"] {
        let message = format!("<xml><Event>sys_approval_change</Event>{info}</xml>");
        assert_eq!(of(&message), unreadable(), "{info}");
    }
    assert_eq!(of("no XML"), Err(Rejection::SignedNoEvent));
    assert_eq!(of("<!DOCTYPE x><xml/>"), Err(Rejection::SignedNoEvent));
}

#[test]
fn what_is_not_authentic_is_rejected() {
    let (app, genuine) = (app(), change(2, 2));
    let received = |sent: &Sent| self::received(sent, &app, NOW);
    assert!(received(&genuine).is_ok());
    let with = |query: String| Sent { query, ..genuine.clone() };
    let forged = |name: &str| {
        let parts = genuine.query.split('&');
        let parts = parts.map(|part| match part.split_once('=') {
            Some((key, _)) if key == name => format!("{key}=1800000001"),
            _ => part.to_owned(),
        });
        with(parts.collect::<Vec<_>>().join("&"))
    };
    for name in ["msg_signature", "timestamp", "nonce"] {
        assert_eq!(received(&forged(name)), Err(Rejection::WrongSignature), "{name}");
    }
    let other = Sent { body: change(6, 8).body, ..genuine.clone() };
    assert_eq!(received(&other), Err(Rejection::WrongSignature));
    assert_eq!(received(&with(String::new())), Err(Rejection::NotSigned));
    let empty = Sent { body: "<xml/>".to_owned(), ..genuine.clone() };
    assert_eq!(received(&empty), Err(Rejection::NotSigned));
    for body in ["", "{}", "<!DOCTYPE a [<!ENTITY b \"c\">]><xml><Encrypt>&b;</Encrypt></xml>"] {
        let bad = Sent { body: body.to_owned(), ..genuine.clone() };
        assert_eq!(received(&bad), Err(Rejection::NotAnEvent), "{body}");
    }
    let put = Sent { method: Method::PUT, ..genuine.clone() };
    assert_eq!(received(&put), Err(Rejection::WrongMethod));
    // WeCom sends a callback again within seconds, and greenlight detects duplicates.
    let later = |minutes| NOW.plus(std::time::Duration::from_mins(minutes));
    assert!(self::received(&genuine, &app, later(60)).is_ok());
    let old = self::received(&genuine, &app, later(61));
    assert_eq!(old, Err(Rejection::OutsideReplayWindow));
    for missing in ["corp_id", "token", "encoding_aes_key"] {
        let mut document = json!({"corp_id": app.corp_id, "secret": "s", "token": app.token,
            "encoding_aes_key": app.encoding_aes_key});
        document[missing] = "".into();
        let document = json!({"sources": {"wecom": document}});
        let secret = Secret::parse(&document.to_string()).unwrap();
        let (head, body) = genuine.to_request(WEBHOOK_PATH).unwrap().into_parts();
        let request = WebhookRequest::new(head, body).unwrap();
        let parsed = settings().webhook("wecom").parse(&request, &secret, NOW);
        assert_eq!(parsed, Err(Rejection::NoCredentials), "{missing}");
    }
}

/// A callback is signed as a URL check is: a recorded one must not come back in clear text.
#[test]
fn a_callback_in_the_place_of_a_url_check_is_not_decrypted_for_its_sender() {
    let (app, callback) = (app(), change(2, 2));
    let (_, after) = callback.body.split_once("<Encrypt><![CDATA[").unwrap();
    let (encrypted, _) = after.split_once("]]>").unwrap();
    let encoded = utf8_percent_encode(encrypted, NON_ALPHANUMERIC);
    let check = Sent::get(format!("{}&echostr={encoded}", callback.query));
    assert_eq!(received(&check, &app, NOW), Err(Rejection::SignedNoEvent));
}

#[test]
fn the_replies_are_those_that_wecom_expects() {
    let webhook = settings().webhook("wecom");
    let reply_to = |outcome| webhook.reply(&outcome, &secret_of(&app()), NOW);
    let reply = reply_to(Outcome::Challenge("616".to_owned()));
    assert_eq!((reply.status, &*reply.body), (200, "616"));
    assert!(reply.content_type.starts_with("text/plain"));
    let reply = reply_to(Outcome::Ignored(Ignored::Status));
    assert_eq!((reply.status, &*reply.body), (200, ""));
    assert_eq!(reply_to(Outcome::Rejected(Rejection::WrongSignature)).status, 401);
}

#[test]
fn an_encoding_aes_key_has_43_characters_of_base64() {
    let check = |value: &str| settings().check_usable("encoding_aes_key", value);
    assert_eq!(check(&app().encoding_aes_key), Ok(()));
    for bad in ["", "short", &"!".repeat(43), &"a".repeat(44)] {
        assert_eq!(check(bad), Err(UsableValues::EncodingAesKey), "{bad}");
    }
    assert_eq!(settings().check_usable("token", "t"), Ok(()));
}

fn detail() -> Value {
    vectors()["detail"].clone()
}

fn instance(detail: &Value) -> greenlight_core::instance::Instance {
    settings().parse_instance(&detail.to_string()).unwrap()
}

fn value<'a>(fields: &'a [Field], name: &str) -> &'a Value {
    let field = fields.iter().find(|field| field.name == name).unwrap();
    match &field.content {
        Content::Value(value) => value,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn the_detail_is_read_by_its_controls() {
    let instance = instance(&detail());
    assert_eq!(instance.status, Status::Approved);
    assert_eq!((&*instance.instance_id, &*instance.applicant), ("202611200001", "ZhangSan"));
    assert_eq!(instance.definition_id, "3TkZjxugodbqpEMk9j7X6h6zKqYkc7MxQrrFmT7H");
    assert_eq!(instance.ended_at, Some(Timestamp::from_millis(1_795_000_300_000)));
    let fields = &instance.form.fields;
    for (name, expected) in [
        ("事由", json!("新员工入职")),
        ("说明", json!("第一行\n第二行")),
        ("天数", json!("30")),
        ("到期", json!("2027-05-30T00:00:00+08:00")),
        ("区域", json!("办公网")),
        ("使用人", json!(["LiSi"])),
    ] {
        assert_eq!(value(fields, name), &expected);
    }
    let Content::Rows(rows) = &instance.form.find("设备")[0].content else { panic!("no table") };
    let macs: Vec<_> = rows.iter().map(|row| value(row, "MAC 地址")).collect();
    assert_eq!(macs, ["3C:22:FB:12:34:56", "3c22.fb12.3457"]);
    assert_eq!(value(&rows[0], "类型"), &json!(["笔记本"]));
    assert_eq!(value(&rows[1], "类型"), &json!([]));
}

/// An approval of any age would count as a new one.
#[test]
fn an_approval_that_does_not_say_when_it_ended_is_refused() {
    let mut detail = detail();
    let info = &mut detail["info"];
    (info["sp_record"], info["apply_time"]) = (Value::Null, Value::Null);
    let refused = settings().parse_instance(&detail.to_string()).unwrap_err();
    assert_eq!(refused.reason().cause.code, "wecom.shape");
}

#[test]
fn every_status_is_told_apart() {
    for (status, expected) in [
        (1, Status::Pending),
        (2, Status::Approved),
        (3, Status::Refused),
        (4, Status::Revoked),
        (6, Status::Revoked),
        (7, Status::Refused),
        (10, Status::Approved),
        (99, Status::Unknown),
    ] {
        let mut detail = detail();
        detail["info"]["sp_status"] = status.into();
        let instance = instance(&detail);
        assert_eq!(instance.status, expected, "{status}");
        assert_eq!(instance.ended_at.is_none(), status == 1);
    }
    let mut undecided = detail();
    undecided["info"]["sp_record"] = json!([]);
    // When it ended is not said then, but that it did not end before it began.
    let applied = Timestamp::from_millis(1_795_000_000_000);
    assert_eq!(instance(&undecided).ended_at, Some(applied));
}

#[test]
fn an_odd_value_makes_one_field_unreadable_and_no_other() {
    let content = |control: &str, value: Value| {
        let mut detail = detail();
        let contents = detail["info"]["apply_data"]["contents"].as_array_mut().unwrap();
        let odd = json!({"control": control, "id": "x", "title": [], "value": value});
        contents.push(odd);
        let instance = instance(&detail);
        assert_eq!(value_of_first(&instance.form.fields), "新员工入职");
        instance.form.fields.last().unwrap().content.clone()
    };
    let empty = Content::Value(Value::Null);
    for (control, value) in [
        ("Text", json!({"members": []})),
        ("Date", json!({"date": {"type": "day", "s_timestamp": ""}})),
        ("Date", json!({})),
        ("Selector", json!({"selector": {"type": "single", "options": []}})),
        ("File", json!({"files": []})),
    ] {
        assert_eq!(content(control, value.clone()), empty, "{control} {value}");
    }
    assert_eq!(content("Table", json!({})), Content::Rows(vec![]));
    for (control, value) in [
        ("Date", json!({"date": {"s_timestamp": "soon"}})),
        ("Selector", json!({"selector": {"type": "single", "options": [{"key": "k"}]}})),
        ("Contact", json!({"members": [{"name": "李四"}]})),
        ("Table", json!({"children": "x"})),
        ("File", json!({"files": [{"file_id": "f"}]})),
    ] {
        let found = content(control, value.clone());
        assert!(matches!(found, Content::Unreadable(_)), "{control} {value}: {found:?}");
    }
}

fn value_of_first(fields: &[Field]) -> &str {
    value(fields, "事由").as_str().unwrap()
}

#[test]
fn settings_have_defaults_and_only_known_keys() {
    assert_eq!(settings().base_url, "https://qyapi.weixin.qq.com");
    for bad in [json!({"corp": "x"}), json!({"utc_offset": "8"})] {
        assert!(serde_json::from_value::<settings::WeCom>(bad).is_err());
    }
    let clear: WeCom = serde_json::from_value(json!({"base_url": "http://example.com"})).unwrap();
    assert!(clear.problem().is_some());
}
