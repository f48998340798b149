use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::super::encrypt;
use super::*;
use greenlight_core::Decision;

const KEY: &str = "kudryavka";
const SIGNED_AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn secret_of(app_id: &str) -> Secret {
    let json = json!({"sources": {"feishu": {
        "app_id": app_id, "app_secret": "s", "encrypt_key": KEY, "verification_token": "v3r1f1c4t10n",
    }}});
    Secret::parse(&json.to_string()).unwrap()
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors.json")).unwrap()
}

fn case(name: &str) -> Value {
    let cases = vectors()["cases"].clone();
    let found = cases.as_array().unwrap().iter().find(|case| case["name"] == name);
    found.unwrap().clone()
}

fn headers(timestamp: &str, nonce: &str, signature: &str) -> HeaderMap {
    [(header::TIMESTAMP, timestamp), (header::NONCE, nonce), (header::SIGNATURE, signature)]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

fn request(headers: HeaderMap, body: impl Into<Bytes>) -> WebhookRequest {
    let mut request = http::Request::post("/api/event").body(()).unwrap();
    *request.headers_mut() = headers;
    WebhookRequest::new(request.into_parts().0, body.into()).unwrap()
}

fn signed(body: impl Into<Bytes>) -> WebhookRequest {
    let body = body.into();
    let signature = signature("1700000000", "nonce", KEY, &body);
    request(headers("1700000000", "nonce", &signature), body)
}

fn unsigned(body: impl Into<Bytes>) -> WebhookRequest {
    request(HeaderMap::new(), body)
}

fn of_case(case: &Value) -> WebhookRequest {
    let text = |key: &str| case[key].as_str().unwrap();
    request(headers(text("timestamp"), text("nonce"), text("signature")), text("body").to_owned())
}

fn authenticate_as(app_id: &str, webhook: &WebhookRequest) -> Result<Inbound, Rejection> {
    FeishuWebhook::new("feishu").parse(webhook, &secret_of(app_id), SIGNED_AT)
}

fn authenticate(webhook: &WebhookRequest) -> Result<Inbound, Rejection> {
    authenticate_as("cli_xxx", webhook)
}

fn encrypted(plain: &[u8]) -> String {
    json!({ "encrypt": encrypt(KEY, [7; 16], plain) }).to_string()
}

fn approval(status: &str) -> Value {
    json!({"uuid": "event-1", "token": "v3r1f1c4t10n", "type": "event_callback", "event": {
        "app_id": "cli_xxx", "tenant_key": "t", "type": "approval_instance",
        "approval_code": "A", "instance_code": "I", "status": status, "operate_time": "1666079207003"}})
}

fn is_challenge(result: &Result<Inbound, Rejection>) -> bool {
    matches!(result, Ok(Inbound::Challenge(text)) if text == "ajls384kdjxxxx")
}

#[test]
fn vectors_are_read_as_the_official_sdk_reads_them() {
    let Ok(Inbound::Approval(approved)) =
        authenticate(&of_case(&case("v1_approval_instance_APPROVED")))
    else {
        panic!("the approved vector is an approval");
    };
    assert_eq!(approved.decision, Some(Decision::Approved));
    assert_eq!(approved.event_id, "bc447199585340d1f3728d26b1c0297a");
    assert_eq!(approved.instance_id, "81D31358-93AF-92D6-7425-01A5D67C4E71");
    assert_eq!(approved.occurred_at, Some(Timestamp::from_millis(1_666_079_207_003)));

    let reverted = case("v1_approval_instance_REVERTED_int_operate_time");
    let Ok(Inbound::Approval(reverted)) = authenticate(&of_case(&reverted)) else {
        panic!("the reverted vector is an approval");
    };
    assert_eq!(reverted.decision, Some(Decision::Revoked));
    assert_eq!(reverted.occurred_at, Some(Timestamp::from_millis(1_666_079_207_003)));

    // Lark sends this one alone.
    let mut of_lark = approval("APPROVED");
    let event = of_lark["event"].as_object_mut().unwrap();
    let time = event.remove("operate_time").unwrap();
    event.insert("instance_operate_time".to_owned(), time);
    let Ok(Inbound::Approval(of_lark)) =
        authenticate(&signed(encrypted(of_lark.to_string().as_bytes())))
    else {
        panic!("the event of Lark is an approval");
    };
    assert_eq!(of_lark.occurred_at, Some(Timestamp::from_millis(1_666_079_207_003)));

    let deleted =
        authenticate_as("cli_9f5343c580712544", &of_case(&case("v2_contact.user.deleted_v3")));
    assert_eq!(
        deleted,
        Ok(Inbound::PersonLeft { person: "ou_7dab8a3d3cdcc9da365777c7ad535d62".into() })
    );

    assert!(is_challenge(&authenticate(&of_case(&case("challenge")))));
}

#[test]
fn a_url_check_needs_no_signature_but_the_token() {
    let body = case("challenge")["body"].as_str().unwrap().to_owned();
    assert!(is_challenge(&authenticate(&unsigned(body))));
    let plain = case("challenge")["plaintext"].as_str().unwrap().to_owned();
    assert!(is_challenge(&authenticate(&unsigned(plain.clone()))));
    let forged = plain.replace("v3r1f1c4t10n", "guess");
    assert_eq!(authenticate(&unsigned(forged.clone())), Err(Rejection::NotSigned));
    assert_eq!(authenticate(&unsigned(encrypted(forged.as_bytes()))), Err(Rejection::NotSigned));
}

#[test]
fn g03_unsigned_events_are_refused_however_they_are_wrapped() {
    let event = approval("APPROVED").to_string();
    assert_eq!(authenticate(&unsigned(encrypted(event.as_bytes()))), Err(Rejection::NotSigned));
    assert_eq!(authenticate(&unsigned(event)), Err(Rejection::NotSigned));
}

#[test]
fn g03_the_signature_is_over_the_raw_bytes() {
    let body = format!("{} ", encrypted(approval("APPROVED").to_string().as_bytes()));
    assert!(authenticate(&signed(body.clone())).is_ok());
    let mut tampered = signed(body.clone());
    tampered.body = body.trim_end().to_owned().into();
    assert_eq!(authenticate(&tampered), Err(Rejection::WrongSignature));
    for place in 0..body.len() {
        let mut bytes = body.clone().into_bytes();
        bytes[place] ^= 1;
        tampered.body = bytes.into();
        assert_eq!(authenticate(&tampered), Err(Rejection::WrongSignature), "byte {place}");
    }
    println!("{} bodies with one bit changed, all refused", body.len());
}

#[test]
fn g03_the_signature_is_checked_before_anything_is_decrypted() {
    let mut webhook = signed("not even JSON");
    webhook.headers.insert(header::SIGNATURE, "0".repeat(64).parse().unwrap());
    assert_eq!(authenticate(&webhook), Err(Rejection::WrongSignature));
    webhook.headers.remove(header::NONCE);
    assert_eq!(authenticate(&webhook), Err(Rejection::WrongSignature));
}

#[test]
fn an_unsigned_body_tells_nothing_about_its_padding() {
    let bad_padding = json!({ "encrypt": STANDARD.encode([0_u8; 48]) }).to_string();
    let good_padding = encrypted(b"no JSON");
    assert_eq!(authenticate(&unsigned(bad_padding)), Err(Rejection::NotSigned));
    assert_eq!(authenticate(&unsigned(good_padding)), Err(Rejection::NotSigned));
}

#[test]
fn a_signed_event_must_be_ours_and_encrypted() {
    let refused = |body: String| authenticate(&signed(body)).unwrap_err();
    let change = |from: &str, to: &str| {
        encrypted(approval("APPROVED").to_string().replace(from, to).as_bytes())
    };
    assert_eq!(refused(change("v3r1f1c4t10n", "other")), Rejection::WrongToken);
    assert_eq!(refused(change("cli_xxx", "cli_other")), Rejection::WrongApp);
    assert_eq!(refused(approval("APPROVED").to_string()), Rejection::SignedNoEvent);
    assert_eq!(refused(encrypted(b"no JSON")), Rejection::SignedNoEvent);
    assert_eq!(refused(encrypted(b"\xff\xfe")), Rejection::SignedNoEvent);
    assert_eq!(refused(json!({"encrypt": "%"}).to_string()), Rejection::NotDecryptable);
    assert_eq!(refused(json!({"encrypt": "AAAA"}).to_string()), Rejection::NotDecryptable);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(refused(encrypted(deep.as_bytes())), Rejection::SignedNoEvent);
}

#[test]
fn the_window_takes_every_retry_and_nothing_older() {
    let webhook = signed(encrypted(approval("APPROVED").to_string().as_bytes()));
    let at = |now: Timestamp| {
        FeishuWebhook::new("feishu").parse(&webhook, &secret_of("cli_xxx"), now).map(|_| ())
    };
    let after_the_last_retry = SIGNED_AT.plus(Duration::from_secs(15 + 300 + 3_600 + 21_600));
    assert_eq!(at(after_the_last_retry), Ok(()));
    assert_eq!(
        at(SIGNED_AT.plus(Duration::from_secs(8 * 3_600 + 1))),
        Err(Rejection::OutsideReplayWindow)
    );
    assert_eq!(at(Timestamp::from_millis(1_699_999_699_000)), Err(Rejection::OutsideReplayWindow));
}

#[test]
fn a_timestamp_in_milliseconds_is_taken_too() {
    let body: Bytes = encrypted(approval("APPROVED").to_string().as_bytes()).into();
    let signature = signature("1700000000000", "n", KEY, &body);
    let webhook = request(headers("1700000000000", "n", &signature), body);
    assert!(authenticate(&webhook).is_ok());
}

#[test]
fn every_other_status_and_type_is_authentic_all_the_same() {
    let of = |event: &Value| authenticate(&signed(encrypted(event.to_string().as_bytes())));
    for status in ["PENDING", "REJECTED", "DELETED", "OVERTIME_CLOSE", "SOMETHING_NEW"] {
        assert!(
            matches!(of(&approval(status)), Ok(Inbound::Approval(event)) if event.decision.is_none())
        );
    }
    // The source says which of the two was approved before.
    for status in ["REVERTED", "CANCELED"] {
        assert!(
            matches!(of(&approval(status)), Ok(Inbound::Approval(event)) if event.decision == Some(Decision::Revoked))
        );
    }
    let mut task = approval("APPROVED");
    task["event"]["type"] = "approval_task".into();
    assert_eq!(of(&task), Ok(Inbound::Other { event_type: "approval_task".into() }));
    let mut odd = approval("APPROVED");
    odd["event"]["instance_code"] = 7.into();
    assert_eq!(of(&odd), Ok(Inbound::Unreadable { event_type: "approval_instance".into() }));
}

/// The instance id identifies an approval: other malformed members must not reject the event.
#[test]
fn an_approval_with_an_odd_id_tenant_or_time_is_an_approval() {
    let odd =
        [json!(null), json!(""), json!(7), json!(1.5), json!([1]), json!({"a": 1}), json!(true)];
    for value in odd {
        for member in ["uuid", "tenant_key", "operate_time"] {
            let mut event = approval("APPROVED");
            let place = if member == "uuid" { &mut event } else { &mut event["event"] };
            place[member] = value.clone();
            let result = authenticate(&signed(encrypted(event.to_string().as_bytes())));
            assert!(
                matches!(&result, Ok(Inbound::Approval(event)) if event.decision == Some(Decision::Approved)),
                "{member} = {value}: {result:?}"
            );
        }
    }
    for member in ["uuid", "tenant_key", "operate_time"] {
        let mut event = approval("APPROVED");
        let place = if member == "uuid" { &mut event } else { &mut event["event"] };
        place.as_object_mut().unwrap().remove(member);
        let result = authenticate(&signed(encrypted(event.to_string().as_bytes())));
        assert!(matches!(&result, Ok(Inbound::Approval(_))), "without {member}: {result:?}");
    }
}

#[test]
fn the_second_version_of_the_approval_event_is_the_same_fact() {
    let event = json!({"schema": "2.0", "header": {"event_id": "e2", "token": "v3r1f1c4t10n",
        "event_type": "approval.instance.status_changed_v4", "app_id": "cli_xxx", "tenant_key": "t"},
        "event": {"approval_code": "A", "instance_code": "I", "status": "APPROVED", "operate_time": "1"}});
    let result = authenticate(&signed(encrypted(event.to_string().as_bytes())));
    assert!(matches!(result, Ok(Inbound::Approval(event))
        if event.event_id == "e2" && event.decision == Some(Decision::Approved)));
}
