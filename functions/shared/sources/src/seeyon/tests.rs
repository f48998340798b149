use greenlight_core::event::Inbound;
use greenlight_core::form::Content;
use greenlight_core::secret::{Credentials, Secret};
use greenlight_core::{Decision, Rejection, Timestamp, WebhookRequest};
use serde_json::{Value, json};

use super::*;
use crate::client_kind::ClientKind;
use crate::kind::{SettingsProblem, SourceKind, UsableValues};
use crate::test_request::TestEvent;

const NOW: Timestamp = Timestamp::from_millis(1_796_000_000_000);
const HOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn settings(more: &Value) -> Result<Seeyon, serde_json::Error> {
    let mut settings = json!({"base_url": "https://oa.example.com"});
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(settings)
}

fn secret() -> Secret {
    let secret = json!({"sources": {"seeyon": {"user_name": "rest", "password": "p",
        "hook_secret": HOOK_SECRET}}});
    Secret::parse(&secret.to_string()).unwrap()
}

fn parsed(event: &TestEvent, change: impl Fn(&mut String)) -> Result<Inbound, Rejection> {
    let seeyon = settings(&json!({"receive": "webhook"})).unwrap();
    let secret = secret();
    let credentials: &Credentials = secret.source("seeyon").unwrap();
    let mut sent = seeyon.test_request(event, credentials, NOW).unwrap();
    change(&mut sent.body);
    let (head, body) = sent.to_request("http://localhost/api/event/seeyon").unwrap().into_parts();
    let request = WebhookRequest::new(head, body).unwrap();
    seeyon.webhook("seeyon").parse(&request, &secret, NOW)
}

fn approved(instance_id: &str) -> TestEvent {
    let of = str::to_owned;
    TestEvent::Approved {
        event_id: of("msg_1"),
        definition_id: of("device_access"),
        instance_id: of(instance_id),
    }
}

#[test]
fn a_message_of_the_hook_names_the_flow() {
    let Ok(Inbound::Approval(event)) = parsed(&approved("-7386401598213497346"), |_| {}) else {
        panic!("it is authentic");
    };
    assert_eq!(event.instance_id, "-7386401598213497346");
    assert_eq!(event.definition_id, "device_access");
    assert_eq!(event.decision, Some(Decision::Approved));
    assert_eq!(event.event_id, "msg_1");
    let changed = parsed(&approved("1"), |body| *body = body.replace("approved", "revoked"));
    assert_eq!(changed, Err(Rejection::WrongSignature));
}

#[test]
fn a_form_has_its_columns_and_sub_forms() {
    let document = r#"<?xml version="1.0"?><formExport>
        <values><column name="申请人"><value>张三</value></column>
            <column name="备注"><value/></column></values>
        <subForms><subForm name="设备"><values>
            <row><column name="MAC &amp; 型号"><value><![CDATA[00:00:5e:00:53:01]]></value></column></row>
            <row><column name="MAC &amp; 型号"><value>00-00-5e-00-53-02</value></column></row>
        </values></subForm></subForms></formExport>"#;
    let instance = settings(&json!({})).unwrap().parse_instance(document).unwrap();
    let value = |name: &str| instance.form.find(name)[0].content.clone();
    assert_eq!(value("申请人"), Content::Value(json!("张三")));
    assert_eq!(value("备注"), Content::Value(Value::Null));
    let (by_name, by_number) = (value("设备"), value("subForm1"));
    assert_eq!(by_name, by_number);
    let Content::Rows(rows) = by_name else { panic!("{by_name:?}") };
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1][0].name, "MAC & 型号");
    assert_eq!(rows[1][0].content, Content::Value(json!("00-00-5e-00-53-02")));
}

#[test]
fn what_is_no_form_is_refused() {
    let refused = [
        "<html><body>Page Not Found</body></html>",
        "",
        "{}",
        "<!DOCTYPE a [<!ENTITY x 'y'>]><formExport><values/></formExport>",
        "<formExport><values><column name=\"&x;\"><value/></column></values></formExport>",
        "<formExport/>",
    ];
    for document in refused {
        assert!(settings(&json!({})).unwrap().parse_instance(document).is_err(), "{document}");
    }
}

#[test]
fn a_server_of_ones_own_may_be_in_clear_text_if_that_is_said() {
    let of = |more: &Value| settings(more).unwrap().problem();
    let clear = json!({"base_url": "http://oa.example.com"});
    assert_eq!(of(&clear), Some(SettingsProblem::ClearText { key: "base_url" }));
    assert_eq!(of(&json!({"base_url": "http://oa.example.com", "plaintext": true})), None);
    let often = json!({"poll_every": "10s"});
    assert_eq!(of(&often), Some(SettingsProblem::Interval { key: "poll_every" }));
    let url = json!({"base_url": "oa.example.com", "plaintext": true});
    assert_eq!(of(&url), Some(SettingsProblem::NotAUrl { key: "base_url" }));
}

#[test]
fn the_secret_of_the_hook_is_one_of_standard_webhooks() {
    let seeyon = settings(&json!({"receive": "webhook"})).unwrap();
    assert_eq!(seeyon.check_usable("hook_secret", HOOK_SECRET), Ok(()));
    assert_eq!(seeyon.check_usable("password", "short"), Ok(()));
    for bad in ["secret", "whsec_AAAA", "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
        assert_eq!(seeyon.check_usable("hook_secret", bad), Err(UsableValues::HookSecret), "{bad}");
    }
    assert_eq!(seeyon.credentials(), ["user_name", "password", "hook_secret"]);
    assert_eq!(settings(&json!({})).unwrap().credentials(), ["user_name", "password"]);
}
