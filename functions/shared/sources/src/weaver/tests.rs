use greenlight_core::form::Content;
use greenlight_core::instance::{Instance, Status};
use greenlight_core::{Failure, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::client_kind::ClientKind;
use crate::kind::SourceKind;

fn settings(field: &str, value: &str) -> Weaver {
    let approved = json!({"field": field, "value": value});
    serde_json::from_value(json!({"base_url": "https://oa.example.com", "approved": approved}))
        .unwrap()
}

/// The answer to `getWorkflowRequest`, with the shape that independent integrators describe.
fn answer() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn read(weaver: &Weaver, answer: &Value) -> Result<Instance, Failure> {
    weaver.parse_instance(&answer.to_string())
}

#[test]
fn a_form_is_read_by_field_name_or_label() {
    let instance = read(&settings("jg", "同意"), &answer()).unwrap();
    assert_eq!(instance.status, Status::Approved);
    assert_eq!((instance.instance_id.as_str(), instance.definition_id.as_str()), ("341001", "77"));
    assert_eq!(instance.applicant, "21");
    assert_eq!(instance.ended_at, Timestamp::of_moment("2026-11-20T11:05:09+08:00"));
    let value = |name: &str| instance.form.find(name)[0].content.clone();
    // A person is the id, a list its text.
    assert_eq!(value("sqr"), Content::Value(json!("21")));
    assert_eq!(value("区域"), Content::Value(json!("办公网")));
    assert_eq!(value("到期日期"), Content::Value(json!("2027-05-30")));
    for table in ["formtable_main_77_dt1", "设备"] {
        let Content::Rows(rows) = value(table) else { panic!("{table}") };
        let macs: Vec<_> = rows.iter().map(|row| row[0].content.clone()).collect();
        assert_eq!(macs, ["3C:22:FB:12:34:56", "3c22fb123457"].map(|it| Content::Value(json!(it))));
        assert_eq!(
            (rows[0][0].custom_id.as_deref(), rows[0][0].name.as_str()),
            (Some("mac"), "MAC 地址")
        );
    }
}

/// A refused form can be archived, too.
#[test]
fn an_archived_form_is_approved_only_if_its_field_says_so() {
    let of = |field: &str, value: &str| read(&settings(field, value), &answer()).unwrap().status;
    for (field, value) in [("jg", "1"), ("jg", "同意"), ("审批结论", "同意")] {
        assert_eq!(of(field, value), Status::Approved, "{field} {value}");
    }
    for (field, value) in [("jg", "0"), ("jg", ""), ("result", "1"), ("审批结论", "拒绝")] {
        assert_eq!(of(field, value), Status::Refused, "{field} {value}");
    }
}

#[test]
fn an_approval_without_a_readable_end_is_refused() {
    let mut answer = answer();
    answer["data"]["lastOperateTime"] = json!("昨天");
    assert!(matches!(read(&settings("jg", "1"), &answer), Err(Failure::GiveUp { .. })));
    assert!(read(&settings("jg", "0"), &answer).is_ok());
}

#[test]
fn codes_come_as_a_text_or_an_object() {
    let weaver = settings("jg", "1");
    for code in [json!("SUCCESS"), json!({"name": "SUCCESS", "statusCode": 1}), Value::Null] {
        let mut answer = answer();
        answer["code"] = code;
        assert!(read(&weaver, &answer).is_ok(), "{answer}");
    }
    for code in [json!("NO_PERMISSION"), json!({"name": "PARAM_ERROR"}), json!({})] {
        let answer = json!({"code": code, "data": null});
        assert!(read(&weaver, &answer).is_err(), "{answer}");
    }
    assert_eq!(weaver.credentials(), ["app_id", "secret", "spk", "user_id", "hook_secret"]);
}
