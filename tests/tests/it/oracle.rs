//! Official SDKs as oracles for our stubs and clients: Feishu's, and those of Standard Webhooks.

use std::process::Command;
use std::sync::Arc;

use greenlight_connectors::connector::ConnectorError;
use greenlight_connectors::{Connectors, Preview, Setup, Targets};
use greenlight_core::event::Inbound;
use greenlight_core::flow::{Flows, SourceConfigs};
use greenlight_core::ports::Clock;
use greenlight_core::secret::{FixedSecret, Secret};
use greenlight_core::webhook::Webhook;
use greenlight_core::{WEBHOOK_PATH, WebhookRequest};
use greenlight_http::Client;
use greenlight_sources::feishu::FeishuWebhook;
use greenlight_sources::registry::Registry;
use greenlight_sources::test_request::{Sent, TestEvent};
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::{form_of, secret_document, signed_webhook};
use greenlight_testkit::subject::call;
use greenlight_tests::oracle::{answer, node, python};
use greenlight_tests::scene::{APPROVAL_CODE, NAC_TOKEN, Scene};
use greenlight_tests::tool;
use serde_json::{Value, json};

/// Asks `tests/oracle/<script>.py` about Feishu.
fn ask(script: &str, question: &Value) -> Value {
    answer(Command::new(tool("feishu-sdk", "python")).arg(python(script)), question)
}

/// A request, for a question.
fn delivery(sent: &Sent) -> Value {
    let headers: serde_json::Map<String, Value> =
        sent.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({"headers": headers, "body": sent.body})
}

#[tokio::test]
async fn the_sdk_accepts_every_event_that_the_simulator_sends() {
    let scene = Scene::set().await;
    let app = &scene.app;
    let now = SystemClock.now().as_millis();
    let mut sent = vec![("challenge", app.url_check("are-you-there"))];
    for status in ["PENDING", "APPROVED", "REJECTED", "CANCELED", "DELETED", "REVERTED"] {
        sent.push((status, app.approval_instance("event-1", APPROVAL_CODE, "I-1", status, now)));
    }
    let deliveries: Vec<Value> = sent
        .iter()
        .map(|(name, sent)| {
            let mut delivery = delivery(sent);
            delivery["name"] = json!(name);
            delivery
        })
        .collect();
    let answer = ask(
        "accepts",
        &json!({"encrypt_key": app.encrypt_key, "verification_token": app.verification_token,
            "deliveries": deliveries}),
    );
    let answers = answer.as_array().unwrap();
    assert_eq!(answers.len(), sent.len());
    assert_eq!(
        answers[0],
        json!({"status": 200, "body": {"challenge": "are-you-there"}, "events": []})
    );
    for ((status, _), answer) in sent.iter().zip(answers).skip(1) {
        assert_eq!(answer["status"], 200, "{status}: {answer}");
        assert_eq!(answer["events"][0]["uuid"], "event-1", "{status}: {answer}");
        assert_eq!(answer["events"][0]["event"]["status"], *status, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdks_client_reads_the_answers_of_the_stub() {
    let scene = Scene::set().await;
    let form = form_of("00:00:5e:00:53:01", &["00:00:5e:00:53:02"]);
    scene.feishu.put_instance("I-1", APPROVAL_CODE, "APPROVED", &form);
    scene.approve("I-2", &[]);
    scene.approve_as("I-3", "OTHER", &[]);
    let now = SystemClock.now().as_millis();
    let question = json!({"base_url": scene.feishu.url(), "app_id": scene.app.app_id,
        "app_secret": scene.app.app_secret, "instance_code": "I-1", "approval_code": APPROVAL_CODE,
        "window": [now - 36_000_000, now], "persons": ["ou_stub", "ou_left"]});
    scene.feishu.leave("ou_left");
    let answer = tokio::task::spawn_blocking(move || ask("reads", &question)).await.unwrap();
    assert_eq!(answer["instance"]["status"], "APPROVED");
    assert_eq!(answer["instance"]["approval_code"], APPROVAL_CODE);
    let read: Value = serde_json::from_str(answer["instance"]["form"].as_str().unwrap()).unwrap();
    assert_eq!(read, form);
    assert_eq!(answer["listed"], json!(["I-1", "I-2"]));
    assert_eq!(answer["has_left"], json!([false, true]));
    assert_eq!(answer["stranger"], 41_050);
    assert_eq!(answer["missing"], 1_390_003);
    assert_eq!(answer["subscribe"], json!([0, 1_390_007]));
}

#[tokio::test]
async fn the_receiver_accepts_what_is_encrypted_beside_the_sdk() {
    let scene = Scene::set().await;
    let app = &scene.app;
    let now = SystemClock.now();
    let event = json!({"uuid": "event-1", "token": app.verification_token, "type": "event_callback",
        "event": {"app_id": app.app_id, "tenant_key": "t", "type": "approval_instance",
            "approval_code": "A", "instance_code": "I", "status": "APPROVED", "operate_time": "1",
            "applicant": "张三"}});
    let timestamp = (now.as_millis() / 1000).to_string();
    let answer = ask(
        "encrypts",
        &json!({"encrypt_key": app.encrypt_key, "event": event.to_string(), "timestamp": timestamp}),
    );
    let mut delivery = http::Request::post(WEBHOOK_PATH);
    for (name, value) in answer["headers"].as_object().unwrap() {
        delivery = delivery.header(name, value.as_str().unwrap());
    }
    let (head, ()) = delivery.body(()).unwrap().into_parts();
    let body = answer["body"].as_str().unwrap().to_owned();
    let delivery = WebhookRequest::new(head, body.into()).unwrap();
    let secret = Secret::parse(&secret_document(app, NAC_TOKEN).to_string()).unwrap();
    let event = FeishuWebhook::new("feishu").parse(&delivery, &secret, now);
    assert!(matches!(event, Ok(Inbound::Approval(event)) if event.event_id == "event-1"));
}

/// The connector `feishu-task` sends what the SDK would send: no name is lost when the SDK reads
/// the task, and both call the same path.
#[tokio::test]
async fn the_sdk_reads_the_tasks_that_the_connector_creates() {
    let flows = r#"
        sources.feishu.kind = "feishu"
        [targets.reminders]
        connector = "feishu-task"
        url = "https://open.feishu.cn"
        params = { minutes_before = 1440 }
        [[flows]]
        name = "reminders"
        definition_id = "A"
        fields.due = { kind = "date", from = [{ field = "until" }] }
        actions = [{ target = "reminders", operation = "remind" }]
    "#;
    let flows = Flows::parse(flows, &|_| None).unwrap();
    let mut secret = secret_document(&Scene::set().await.app, NAC_TOKEN);
    secret["targets"] = json!({"reminders": {"app_id": "a", "app_secret": "b"}});
    let secret = FixedSecret(Arc::new(Secret::parse(&secret.to_string()).unwrap()));
    let setup = Setup::new(&flows, &Connectors::built_in()).unwrap();
    let client = |_: &str, _: &_| Ok::<_, ConnectorError>(Client::new(None).unwrap());
    let targets = Targets::new(setup, secret, SystemClock, client).unwrap();
    let variables = json!({"applicant": "ou_1", "form_number": "7", "instance_id": "I-1",
        "due": "2027-12-31T18:00:00+08:00"});
    let variables = variables.as_object().unwrap();
    let call = call("reminders", "remind", None, variables, SystemClock.now());
    let previews = targets.preview(&call).unwrap();
    let Some(Preview::Request(sent)) = previews.last() else { panic!("no request") };
    let body: Value = serde_json::from_str(&sent.body).unwrap();
    let read = ask("tasks", &json!({"body": body}));
    assert_eq!(read["body"], body);
    let (path, id_type) = (read["path"].as_str().unwrap(), &read["query"]["user_id_type"]);
    let url = format!("https://open.feishu.cn{path}?user_id_type={}", id_type.as_str().unwrap());
    assert_eq!((&sent.url, &sent.method), (&url, &"POST".to_owned()));
    assert_eq!(read["method"], "POST");
    assert_eq!(read["members"], json!(["ou_1"]));
    assert_eq!(read["end"], 1_830_247_200_000_u64);
    assert_eq!(read["minutes"], json!([1440]));
}

/// What the official libraries sign is authentic here, and they accept what `send-test` signs.
#[test]
fn the_libraries_of_standard_webhooks_agree_with_the_source() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let flows = r#"[sources.oa]
        kind = "webhook"
        authority = "message"
        event = { instance_id = "/id", definition_id = "/form", status = "/status" }
        instance = { form = "/fields" }
        statuses = { approved = ["agree"], refused = ["refuse"] }"#;
    let registry = Registry::new(&SourceConfigs::parse(flows, &|_| None).unwrap()).unwrap();
    let now = SystemClock.now();
    let secret = |value: &str| {
        let document = json!({"sources": {"oa": {"secret": value}}});
        Secret::parse(&document.to_string()).unwrap()
    };
    let bodies = [
        json!({"id": "I-1", "form": "F", "status": "agree", "fields": {"name": "张三"}})
            .to_string(),
        "{ \"id\" : 7, \"form\":\"F\",\n\"status\":\"agree\", \"x\": \"\\u00e9\" }".to_owned(),
    ];
    let messages: Vec<Value> = bodies
        .iter()
        .enumerate()
        .map(|(n, body)| json!({"id": format!("msg_{n}"), "timestamp": now.as_seconds(), "body": body}))
        .collect();
    let (_, kind) = registry.find(None).unwrap();
    let event = TestEvent::Approved {
        event_id: "test-1".into(),
        definition_id: "F".into(),
        instance_id: "I-9".into(),
    };
    let sent = kind.test_request(&event, secret(SECRET).source("oa").unwrap(), now).unwrap();
    let tampered = Sent { body: sent.body.replace("I-9", "I-8"), ..sent.clone() };
    let deliveries = [
        delivery(&sent),
        delivery(&tampered),
        delivery(&signed_webhook(SECRET, "msg_9", &json!({"name": "张三"}))),
    ];
    let question = json!({"secret": SECRET, "messages": messages, "deliveries": deliveries});
    let by_python = answer(
        Command::new(tool("standard-webhooks", "python")).arg(python("webhooks")),
        &question,
    );
    let by_node = answer(&mut node("webhooks"), &question);
    let webhooks = registry.webhooks();
    let (_, webhook) = webhooks.find(None).unwrap();
    let public_key = by_python["public_key"].as_str().unwrap();
    for (n, body) in bodies.iter().enumerate() {
        for (signature, key) in [
            (&by_python["signed"][n]["v1"], SECRET),
            (&by_node["signed"][n]["v1"], SECRET),
            (&by_python["signed"][n]["v1a"], public_key),
        ] {
            let request = http::Request::post(WEBHOOK_PATH)
                .header("webhook-id", format!("msg_{n}"))
                .header("webhook-timestamp", now.as_seconds().to_string())
                .header("webhook-signature", signature.as_str().unwrap());
            let (head, ()) = request.body(()).unwrap().into_parts();
            let request = WebhookRequest::new(head, body.clone().into()).unwrap();
            let event = webhook.parse(&request, &secret(key), now);
            let Ok(Inbound::Approval(event)) = event else { panic!("{signature}: {event:?}") };
            assert_eq!(event.event_id, format!("msg_{n}"));
        }
    }
    assert_eq!(by_python["accepted"], json!([true, false, true]));
    assert_eq!(by_node["accepted"], json!([true, false, true]));
}
