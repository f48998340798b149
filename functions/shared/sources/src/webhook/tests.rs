use bytes::Bytes;
use futures_util::FutureExt;
use greenlight_core::event::{ApprovalEvent, Inbound};
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::flow::SourceConfigs;
use greenlight_core::form::Content;
use greenlight_core::instance::{Instance, Status};
use greenlight_core::ports::{Call, Clock, Http, HttpError, ReadTarget};
use greenlight_core::secret::{FixedSecret, Secret, SecretError};
use greenlight_core::trace::TraceId;
use greenlight_core::{
    Class, Decision, Failure, MAX_SIGNED_BODY_BYTES, Rejection, Request, Timestamp, WebhookRequest,
};
use greenlight_testkit::clock::TestClock;
use serde_json::{Value, json};
use std::sync::Arc;

use super::signature::Verified;
use crate::kind::{SettingsProblem, SettingsWarning, UsableValues};
use crate::registry::{Registry, SourceError};
use crate::source::SourcePorts;
use crate::test_request::{NotSendable, TestEvent};

/// A source with the message as its authority.
const SETTINGS: &str = r#"
    kind = "webhook"
    authority = "message"
    event = { instance_id = "/data/id", definition_id = "/data/form", status = "/data/result" }
    instance = { form = "/data/fields", applicant = "/data/by" }
    statuses = { approved = ["agree"], refused = ["refuse"], revoked = ["withdrawn"] }
"#;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

/// The settings with a target as the authority.
fn read_through(settings: &str) -> String {
    let read = "read = { target = \"office\", operation = \"read\" }";
    settings.replace("authority = \"message\"", read)
}

/// The settings with a place of the end.
fn ended(settings: &str) -> String {
    let ended = "instance = { ended_at = \"/data/ended\", utc_offset = \"+08:00\",";
    settings.replace("instance = {", ended)
}

fn registry(settings: &str) -> Registry {
    let text = format!("[sources.oa]\n{settings}");
    Registry::new(&SourceConfigs::parse(&text, &|_| None).unwrap()).unwrap()
}

fn with_signature(signature: &str) -> String {
    format!("{SETTINGS}\nsignature = {signature}")
}

fn secret(values: &Value) -> Secret {
    Secret::parse(&json!({"sources": {"oa": {"secret": values}}}).to_string()).unwrap()
}

fn request(headers: &[(&str, &str)], body: impl Into<Bytes>) -> WebhookRequest {
    let mut request = http::Request::post("/api/event/oa");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    WebhookRequest::new(head, body.into()).unwrap()
}

/// The outcome of a request to a source with these settings and secrets.
fn parse(
    settings: &str,
    secrets: &Value,
    request: &WebhookRequest,
    now: Timestamp,
) -> Result<Inbound, Rejection> {
    let webhooks = registry(settings).webhooks();
    let (_, webhook) = webhooks.find(Some("oa")).unwrap();
    webhook.parse(request, &secret(secrets), now)
}

/// The headers of a vector of Standard Webhooks.
fn of_vector(vector: &Value) -> [(&'static str, &str); 3] {
    let text = |name: &str| vector[name].as_str().unwrap();
    [
        ("webhook-id", text("id")),
        ("webhook-timestamp", text("timestamp")),
        ("webhook-signature", text("signature")),
    ]
}

fn at(vector: &Value) -> Timestamp {
    Timestamp::from_millis(vector["timestamp"].as_str().unwrap().parse::<i64>().unwrap() * 1_000)
}

/// Authentic bodies that are about no approval here are not understood, and not refused.
fn is_authentic(result: &Result<Inbound, Rejection>) -> bool {
    matches!(result, Ok(_) | Err(Rejection::SignedNoEvent))
}

#[test]
fn standard_vectors_are_authentic_and_nothing_else_is() {
    let vectors = vectors();
    let of = |kind: &str, key: &str| -> Vec<(Value, Value)> {
        let vectors = vectors[kind].as_array().unwrap().iter();
        vectors.map(|vector| (vector.clone(), vector[key].clone())).collect()
    };
    let all = [of("v1", "secret"), of("v1a", "public_key")].concat();
    assert_eq!(all.len(), 6);
    for (vector, key) in all {
        let body = vector["body"].as_str().unwrap();
        let authentic = request(&of_vector(&vector), body.to_owned());
        let result = parse(SETTINGS, &key, &authentic, at(&vector));
        assert!(is_authentic(&result), "{vector}: {result:?}");
        // A secret among others, during a rotation.
        let rotated = json!(["whsec_b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhl", "no base64!", key]);
        assert!(is_authentic(&parse(SETTINGS, &rotated, &authentic, at(&vector))), "{vector}");
        let other = json!("whsec_b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhl");
        let wrong = Err(Rejection::WrongSignature);
        assert_eq!(parse(SETTINGS, &other, &authentic, at(&vector)), wrong);
        let tampered = request(&of_vector(&vector), format!("{body} "));
        assert_eq!(parse(SETTINGS, &key, &tampered, at(&vector)), wrong);
        for (place, value) in [(0, "msg_other"), (0, "a.b"), (1, "1700000001"), (1, "1.5")] {
            let mut headers = of_vector(&vector);
            headers[place].1 = value;
            let tampered = request(&headers, body.to_owned());
            assert_eq!(parse(SETTINGS, &key, &tampered, at(&vector)), wrong, "{value}");
        }
        for late in [301_000, -301_000] {
            let now = Timestamp::from_millis(at(&vector).as_millis() + late);
            let old = Err(Rejection::OutsideReplayWindow);
            assert_eq!(parse(SETTINGS, &key, &authentic, now), old);
        }
    }
}

#[test]
fn standard_signatures_of_other_shapes_are_skipped() {
    let vector = vectors()["v1"][0].clone();
    let [id, timestamp, (name, signature)] = of_vector(&vector);
    let body = vector["body"].as_str().unwrap();
    let parse = |signature: &str| {
        let request = request(&[id, timestamp, (name, signature)], body.to_owned());
        parse(SETTINGS, &vector["secret"], &request, at(&vector))
    };
    assert!(is_authentic(&parse(&format!("v2,x v1 v1,no-base64 v1a,AAAA {signature}"))));
    let digest = signature.trim_start_matches("v1,");
    let v2 = format!("v2,{digest}");
    let v1a = format!("v1a,{digest}");
    for wrong in [&v2, &v1a, digest, "", ",", "v1,"] {
        assert_eq!(parse(wrong), Err(Rejection::WrongSignature), "{wrong:?}");
    }
    let many = "v1,AAAA ".repeat(16) + signature;
    assert_eq!(parse(&many), Err(Rejection::WrongSignature), "only the first 16 are read");
}

#[test]
fn standard_fields_are_of_one_set_of_headers_and_each_is_there_once() {
    let vector = vectors()["v1"][0].clone();
    let headers = of_vector(&vector);
    let body = vector["body"].as_str().unwrap();
    let parse = |headers: &[(&str, &str)]| {
        parse(SETTINGS, &vector["secret"], &request(headers, body.to_owned()), at(&vector))
    };
    let svix = headers.map(|(name, value)| (name.replace("webhook", "svix"), value));
    let svix: Vec<_> = svix.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert!(is_authentic(&parse(&svix)));
    let mixed = [headers[0], svix[1], svix[2]];
    assert_eq!(parse(&mixed), Err(Rejection::NotSigned));
    assert_eq!(parse(&[]), Err(Rejection::NotSigned));
    assert_eq!(parse(&headers[..2]), Err(Rejection::NotSigned));
    let twice = [headers.as_slice(), &headers[2..]].concat();
    assert_eq!(parse(&twice), Err(Rejection::WrongSignature));
}

#[test]
fn hmac_headers_are_those_of_github_and_of_any_configured_sender() {
    let vectors = vectors();
    let github = SETTINGS.replace("instance = {", "instance = { ended_at = \"/at\",")
        + "signature = { scheme = \"github\" }";
    for vector in vectors["hub256"].as_array().unwrap() {
        let body = vector["body"].as_str().unwrap();
        let value = vector["value"].as_str().unwrap();
        let parse = |value: &str| {
            let request = request(&[("X-Hub-Signature-256", value)], body.to_owned());
            verify(&github, &vector["secret"], &request)
        };
        assert!(parse(value).is_ok(), "{vector}");
        let upper = value.to_uppercase().replace("SHA256=", "sha256=");
        assert!(parse(&upper).is_ok(), "hexadecimal digits have no case");
        for wrong in [value.trim_start_matches("sha256="), "sha256=", "sha256=00", ""] {
            assert_eq!(parse(wrong), Err(Rejection::WrongSignature), "{wrong}");
        }
    }
    let vector = &vectors["plain_hmac"][0];
    let slack = with_signature(
        r#"{ scheme = "hmac", header = "X-Slack-Signature", prefix = "v0=", content = "v0:{timestamp}:{body}", timestamp_header = "X-Slack-Request-Timestamp" }"#,
    );
    let timestamp = vector["timestamp"].as_str().unwrap();
    let value = vector["value"].as_str().unwrap();
    let parse = |timestamp: &str, now: Timestamp| {
        let headers = [("x-slack-signature", value), ("x-slack-request-timestamp", timestamp)];
        let request = request(&headers, vector["body"].as_str().unwrap().to_owned());
        verify(&slack, &vector["secret"], &request)?.check_age(now)
    };
    assert_eq!(parse(timestamp, NOW), Ok(()));
    assert_eq!(parse("1700000001", NOW), Err(Rejection::WrongSignature));
    let late = NOW.plus(std::time::Duration::from_secs(301));
    assert_eq!(parse(timestamp, late), Err(Rejection::OutsideReplayWindow));
}

#[test]
fn token_is_compared_and_never_the_authority_on_a_body() {
    let settings = read_through(&ended(SETTINGS)) + "signature = { scheme = \"token\" }";
    let parse = |header: &str| {
        let request = request(&[("authorization", header)], "{}");
        parse(&settings, &json!("t0ken-of-16-bytes"), &request, NOW)
    };
    assert!(is_authentic(&parse("Bearer t0ken-of-16-bytes")));
    for wrong in
        ["Bearer t0kem-of-16-bytes", "t0ken-of-16-bytes", "Bearer ", "bearer t0ken-of-16-bytes "]
    {
        assert_eq!(parse(wrong), Err(Rejection::WrongSignature), "{wrong}");
    }
    let warnings: Vec<_> = registry(&settings).warnings().map(|(_, it)| it).collect();
    assert_eq!(warnings, [SettingsWarning::SharedToken]);
}

fn body() -> Value {
    json!({"type": "approval.ended", "data": {"id": "I-1", "form": "F-1", "result": "agree",
        "by": "u-7", "fields": {"mac": "00005e005301", "devices": [{"mac": "x"}], "tags": ["a"]}}})
}

fn settings_of(settings: &str) -> super::SignedWebhook {
    let mut table: toml::Table = toml::from_str(settings).unwrap();
    table.remove("kind");
    serde_json::from_value(serde_json::to_value(table).unwrap()).unwrap()
}

/// Verifies the signature alone: the secrets of some vectors are too short to be used.
fn verify(settings: &str, secret: &Value, request: &WebhookRequest) -> Result<Verified, Rejection> {
    let secrets = secret.as_str().into_iter();
    settings_of(settings).signature.verify(&request.headers, &request.body, secrets)
}

/// A request with `body`, signed as a test event of the source is, but for its body.
fn signed(settings: &str, secrets: &Value, body: &Value) -> WebhookRequest {
    signed_as("msg_1", settings, secrets, body)
}

/// The same with another id of the message.
fn signed_as(id: &str, settings: &str, secrets: &Value, body: &Value) -> WebhookRequest {
    let config = settings_of(settings);
    let first = secrets.as_str().or_else(|| secrets[0].as_str()).unwrap();
    let body = body.to_string();
    let headers = config.signature.sign(id, body.as_bytes(), first, NOW).unwrap();
    let headers: Vec<_> = headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    request(&headers, body)
}

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn event(settings: &str, body: &Value) -> Result<Inbound, Rejection> {
    parse(settings, &json!(KEY), &signed(settings, &json!(KEY), body), NOW)
}

fn approval(settings: &str, body: &Value) -> ApprovalEvent {
    match event(settings, body) {
        Ok(Inbound::Approval(event)) => event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn event_is_where_the_mapping_says() {
    let found = approval(SETTINGS, &body());
    assert_eq!(
        (found.instance_id.as_str(), found.definition_id.as_str(), found.event_id.as_str()),
        ("I-1", "F-1", "msg_1")
    );
    assert_eq!((found.decision, found.occurred_at), (Some(Decision::Approved), Some(NOW)));
    for (status, decision) in [("withdrawn", Some(Decision::Revoked)), ("refuse", None)] {
        let mut body = body();
        body["data"]["result"] = status.into();
        assert_eq!(approval(SETTINGS, &body).decision, decision, "{status}");
    }
    let mut new = body();
    new["data"]["result"] = "Agree".into();
    let unreadable = event(SETTINGS, &new);
    assert_eq!(unreadable, Ok(Inbound::Unmapped { key: "statuses" }));
    let mut numbered = body();
    numbered["data"]["id"] = 9_007_199_254_740_993_u64.into();
    assert_eq!(approval(SETTINGS, &numbered).instance_id, "9007199254740993");
    let mut without = body();
    without["data"]["id"] = Value::Null;
    let unmapped = Ok(Inbound::Unmapped { key: "event.instance_id" });
    assert_eq!(event(SETTINGS, &without), unmapped);
    // Two of these numbers would be read as one.
    without["data"]["id"] = serde_json::from_str("18446744073709551616").unwrap();
    assert_eq!(event(SETTINGS, &without), unmapped);
    let of_types = SETTINGS
        .replace("event = {", "event = { type = \"/type\", types = [\"approval.withdrawn\"],");
    let other = Ok(Inbound::Other { event_type: "approval.ended".into() });
    assert_eq!(event(&of_types, &body()), other);
    let fixed = SETTINGS.replace("\"/data/form\"", "\"the-only-form\"");
    assert_eq!(approval(&fixed, &body()).definition_id, "the-only-form");
    let read = read_through(&ended(SETTINGS));
    assert_eq!(approval(&read, &body()).signed, None, "only an authority travels");
}

/// Its border to the timestamp would be ambiguous, although the signature is right.
#[test]
fn standard_id_with_a_dot_is_refused() {
    let request = signed_as("msg.1", SETTINGS, &json!(KEY), &body());
    assert_eq!(parse(SETTINGS, &json!(KEY), &request, NOW), Err(Rejection::WrongSignature));
}

#[test]
fn a_body_that_cannot_travel_is_refused() {
    let sized = |size: usize| {
        let mut body = body();
        body["filler"] = "".into();
        let rest = size - body.to_string().len();
        body["filler"] = "x".repeat(rest).into();
        event(SETTINGS, &body)
    };
    assert!(matches!(sized(MAX_SIGNED_BODY_BYTES), Ok(Inbound::Approval(_))));
    assert_eq!(sized(MAX_SIGNED_BODY_BYTES + 1), Err(Rejection::TooLargeToCarry));
}

/// No network, and a target with one document.
#[derive(Clone, Debug)]
struct Elsewhere(Result<Value, Class>);

impl Http for Elsewhere {
    async fn send(&self, _: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        panic!("nothing here calls an office system");
    }
}

impl ReadTarget for Elsewhere {
    async fn read(&self, call: &Call<'_>) -> Result<Value, Failure> {
        assert_eq!((call.target, call.operation), ("office", "read"));
        assert_eq!(call.variables["instance_id"], "I-1");
        match &self.0 {
            Ok(document) => Ok(document.clone()),
            Err(class) => {
                Err(Failure::give_up(*class, Explanation::quoted("as the test wants it")))
            }
        }
    }
}

fn read(
    settings: &str,
    secrets: &Value,
    target: Result<Value, Class>,
    request: &Request,
) -> Result<Instance, Failure> {
    let clock = TestClock::standing(NOW);
    assert_eq!(clock.now(), NOW);
    let secret = FixedSecret(Arc::new(secret(secrets)));
    let elsewhere = Elsewhere(target);
    let ports = SourcePorts::new(elsewhere.clone(), secret, clock, elsewhere);
    let sources = registry(settings).clients(&ports);
    let source = sources.find("oa").unwrap();
    source.read_instance(request).now_or_never().unwrap()
}

fn message(settings: &str, body: &Value) -> Request {
    let event = approval(settings, body);
    let request = Request::new("oa", event, Decision::Approved, NOW, TraceId::random()).unwrap();
    Request::parse(&request.to_json()).unwrap()
}

fn class(result: Result<Instance, Failure>) -> Class {
    match result {
        Err(Failure::GiveUp { reason }) => reason.class,
        other => panic!("{other:?}"),
    }
}

#[test]
fn instance_of_a_signed_message_is_verified_again() {
    let request = message(SETTINGS, &body());
    let read =
        |secrets: &Value, request: &Request| read(SETTINGS, secrets, Err(Class::NotFound), request);
    let instance = read(&json!(KEY), &request).unwrap();
    assert_eq!((instance.instance_id.as_str(), instance.status), ("I-1", Status::Approved));
    assert_eq!((instance.applicant.as_str(), instance.ended_at), ("u-7", Some(NOW)));
    assert_eq!(instance.form.find("mac")[0].content, Content::Value("00005e005301".into()));
    assert!(
        matches!(&instance.form.find("devices")[0].content, Content::Rows(rows) if rows.len() == 1)
    );
    assert_eq!(instance.form.find("tags")[0].content, Content::Value(json!(["a"])));
    // A secret that was replaced stays beside the new one until its messages are done.
    assert!(read(&json!(["whsec_b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhl", KEY]), &request).is_ok());
    assert_eq!(
        class(read(&json!("whsec_b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhl"), &request)),
        Class::SourceRejected
    );
    assert!(matches!(read(&json!(" "), &request), Err(Failure::Retry { .. })));
    let without = Request { signed: None, ..request.clone() };
    assert_eq!(class(read(&json!(KEY), &without)), Class::SourceRejected);
    let mut forged = request.clone();
    let original = request.signed.as_ref().unwrap().body.clone();
    forged.signed.as_mut().unwrap().body = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        body().to_string().replace("00005e005301", "00005e005399"),
    );
    assert_eq!(class(read(&json!(KEY), &forged)), Class::SourceRejected);
    assert!(!format!("{request:?}").contains(&original), "it is never in a log");
}

#[test]
fn instance_is_read_through_a_target() {
    let settings = read_through(&ended(SETTINGS));
    let request = message(&settings, &body());
    let mut document = body();
    for (ended, millis) in [
        (json!("2023-11-14T22:13:20Z"), 1_700_000_000_000),
        (json!("2023-11-15 06:13:20"), 1_700_000_000_000),
        (json!(1_700_000_000), 1_700_000_000_000),
        (json!("1700000000001"), 1_700_000_000_001),
    ] {
        document["data"]["ended"] = ended;
        let instance = read(&settings, &json!(KEY), Ok(document.clone()), &request).unwrap();
        assert_eq!(instance.ended_at, Some(Timestamp::from_millis(millis)));
    }
    for wrong in [json!("soon"), Value::Null, json!({})] {
        document["data"]["ended"] = wrong.clone();
        let result = read(&settings, &json!(KEY), Ok(document.clone()), &request);
        assert_eq!(class(result), Class::SourceRejected, "{wrong}");
    }
    // The read lags behind the webhook: there is no end yet, and the worker tries again.
    document["data"]["result"] = "running".into();
    document["data"]["ended"] = Value::Null;
    let pending = read(&settings, &json!(KEY), Ok(document.clone()), &request).unwrap();
    assert_eq!((pending.status, pending.ended_at), (Status::Unknown, None));
    // A failure is the source's, and one of the configuration stays one.
    for (of_target, of_source) in [
        (Class::TargetRejected, Class::SourceRejected),
        (Class::NotFound, Class::SourceRejected),
        (Class::NotConfigured, Class::NotConfigured),
    ] {
        assert_eq!(class(read(&settings, &json!(KEY), Err(of_target), &request)), of_source);
    }
}

#[test]
fn form_is_an_object_or_a_list_of_fields() {
    let parse = |fields: Value| {
        let mut body = body();
        body["data"]["fields"] = fields;
        let registry = registry(SETTINGS);
        let (_, kind) = registry.find(None).unwrap();
        kind.parse_instance(&body.to_string()).map(|instance| instance.form)
    };
    let list = parse(json!([
        {"id": "f1", "name": "MAC", "value": "00005e005301"},
        {"id": 7, "name": "Devices", "value": [[{"id": "c", "name": "mac", "value": "x"}], []]},
    ]))
    .unwrap();
    assert_eq!(list.find("MAC")[0].content, Content::Value("00005e005301".into()));
    assert_eq!(list.find("f1")[0].id, "f1");
    let Content::Rows(rows) = &list.find("7")[0].content else { panic!("{list:?}") };
    assert_eq!((rows.len(), rows[0][0].name.as_str()), (2, "mac"));
    for none in
        [json!("text"), Value::Null, json!([{"value": 1}]), json!([7]), json!([{"id": "a"}])]
    {
        assert!(parse(none.clone()).is_err(), "{none}");
    }
}

#[test]
fn settings_that_could_let_anything_in_are_refused() {
    let read = "read = { target = \"oa\", operation = \"read\" }";
    let problem = |settings: &str| {
        let text = format!("[sources.oa]\n{settings}");
        let errors = Registry::new(&SourceConfigs::parse(&text, &|_| None).unwrap()).unwrap_err();
        match errors.iter().next().unwrap() {
            SourceError::Settings { problem, .. } => problem.clone(),
            unknown @ SourceError::UnknownKind { .. } => panic!("{unknown}"),
        }
    };
    let hmac =
        |rest: &str| with_signature(&format!("{{ scheme = \"hmac\", header = \"x\"{rest} }}"));
    for (settings, expected) in [
        (SETTINGS.replace("authority = \"message\"", ""), SettingsProblem::NoAuthority),
        (format!("{SETTINGS}\n{read}"), SettingsProblem::TwoAuthorities),
        (with_signature("{ scheme = \"token\" }"), SettingsProblem::NotSigned),
        (with_signature("{ scheme = \"github\" }"), SettingsProblem::NoTime),
        (hmac(""), SettingsProblem::NoTime),
        (hmac(", timestamp_header = \"t\""), SettingsProblem::SignedContent),
        (hmac(", content = \"{timestamp}.{body}\""), SettingsProblem::SignedContent),
        (hmac(", content = \"x\""), SettingsProblem::SignedContent),
        (
            hmac(", timestamp_header = \"a b\", content = \"{timestamp}{body}\""),
            SettingsProblem::NotAHeader { key: "signature.timestamp_header" },
        ),
        (SETTINGS.replace("[\"agree\"]", "[]"), SettingsProblem::NeverApproved),
        (SETTINGS.replace("\"refuse\"", "\"agree\""), SettingsProblem::AmbiguousStatus),
        (SETTINGS.replace("event = {", "event = { types = [\"a\"],"), SettingsProblem::NoType),
        (read_through(SETTINGS), SettingsProblem::NoEnd),
        (
            read_through(&ended(&SETTINGS.replace("/data/form", "the-only-form"))),
            SettingsProblem::FormUnchecked,
        ),
    ] {
        assert_eq!(problem(&settings), expected, "{settings}");
    }
    for typo in [
        "authorty = 1",
        "signature = { scheme = \"hmc\" }",
        "signature = { scheme = \"standard\", x = 1 }",
    ] {
        let problem = problem(&format!("{SETTINGS}\n{typo}"));
        assert!(matches!(problem, SettingsProblem::Invalid { .. }), "{typo}: {problem}");
    }
    let pointer = problem(&SETTINGS.replace("/data/id", "data.id"));
    assert!(pointer.to_string().contains("no JSON Pointer"), "{pointer}");
}

/// Each source has secrets of its own, which cannot be guessed, and of its scheme.
#[test]
fn secrets_of_sources_are_checked() {
    let hmac = with_signature("{ scheme = \"github\" }")
        .replace("instance = {", "instance = { ended_at = \"/at\",");
    let flows = format!("[sources.a]\ndefault = true\n{SETTINGS}\n[sources.b]\n{hmac}");
    let registry = Registry::new(&SourceConfigs::parse(&flows, &|_| None).unwrap()).unwrap();
    let check = |a: Value, b: Value| {
        let document = json!({"sources": {"a": {"secret": a}, "b": {"secret": b}}});
        registry.check_credentials(&Secret::parse(&document.to_string()).unwrap())
    };
    let long = "0123456789abcdef";
    assert_eq!(
        check(json!([KEY, "whpk_MCowBQYDK2VwAyEAMCowBQYDK2VwAyEAMCowBQYDK2U="]), json!(long)),
        Ok(())
    );
    let unusable = |source: &str| {
        let path = format!("sources.{source}.secret");
        Err(SecretError::Unusable { path, usable: UsableValues::WebhookSecret.explain() })
    };
    let bare = KEY.trim_start_matches("whsec_");
    for wrong in [json!([KEY, bare]), json!("plain text of a person"), json!("whsec_short")] {
        assert_eq!(check(wrong, json!(long)), unusable("a"));
    }
    for wrong in ["short", "whpk_MCowBQYDK2VwAyEAMCowBQYDK2VwAyEAMCowBQYDK2U="] {
        assert_eq!(check(json!(KEY), json!(wrong)), unusable("b"));
    }
    let (first, second) = ("sources.a.secret".to_owned(), "sources.b.secret".to_owned());
    assert_eq!(check(json!(KEY), json!([long, KEY])), Err(SecretError::Shared { first, second }));
}

/// Two apps of one corporation have its id, which is no secret, and secrets of their own.
#[test]
fn sources_may_call_as_the_same_organisation() {
    let flows = "[sources.a]\nkind = \"wecom\"\ndefault = true\n[sources.b]\nkind = \"wecom\"";
    let registry = Registry::new(&SourceConfigs::parse(flows, &|_| None).unwrap()).unwrap();
    let check = |secret: &str| {
        let app = |number: u8, secret: &str| {
            json!({"corp_id": "wx5823bf96d3bd56c7", "secret": secret,
                "token": format!("token-{number}"),
                "encoding_aes_key": number.to_string().repeat(43)})
        };
        let document = json!({"sources": {"a": app(1, "secret-1"), "b": app(2, secret)}});
        registry.check_credentials(&Secret::parse(&document.to_string()).unwrap())
    };
    assert_eq!(check("secret-2"), Ok(()));
    let (first, second) = ("sources.a.secret".to_owned(), "sources.b.secret".to_owned());
    assert_eq!(check("secret-1"), Err(SecretError::Shared { first, second }));
}

/// A test event is what the source itself accepts, for every scheme.
#[test]
fn test_request_is_accepted_by_the_source() {
    let ended = SETTINGS.replace("instance = {", "instance = { ended_at = \"/at\",");
    for signature in [
        "{ scheme = \"standard\" }",
        "{ scheme = \"github\" }",
        "{ scheme = \"hmac\", header = \"X-S\", encoding = \"base64\", content = \"{timestamp}.{body}\", timestamp_header = \"X-T\" }",
    ] {
        for (of_authority, decision) in
            [(ended.clone(), None), (read_through(&ended), Some(Decision::Approved))]
        {
            let settings = format!("{of_authority}\nsignature = {signature}");
            let registry = registry(&settings);
            let secret = secret(&json!([KEY]));
            let event = TestEvent::Approved {
                event_id: "test-1".into(),
                definition_id: "F-1".into(),
                instance_id: "I-9".into(),
            };
            let (_, kind) = registry.find(None).unwrap();
            let sent = kind.test_request(&event, secret.source("oa").unwrap(), NOW).unwrap();
            let headers: Vec<_> =
                sent.headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            let result = parse(&settings, &json!(KEY), &request(&headers, sent.body.clone()), NOW);
            let Ok(Inbound::Approval(found)) = result else { panic!("{signature}: {result:?}") };
            assert_eq!((found.instance_id.as_str(), found.decision), ("I-9", decision));
        }
    }
    let undecided = registry(&SETTINGS.replace(", refused = [\"refuse\"]", ""));
    let (_, kind) = undecided.find(None).unwrap();
    let event = TestEvent::Approved {
        event_id: "test-1".into(),
        definition_id: "F-1".into(),
        instance_id: "I-9".into(),
    };
    let sent = kind.test_request(&event, secret(&json!([KEY])).source("oa").unwrap(), NOW);
    assert_eq!(sent, Err(NotSendable::WouldBeCarriedOut));
}
