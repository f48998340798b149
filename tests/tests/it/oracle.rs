//! Feishu's official Python SDK as an oracle for our stubs and clients.

use std::io::Write as _;
use std::process::{Command, Stdio};

use greenlight_core::WebhookRequest;
use greenlight_core::event::Inbound;
use greenlight_core::ports::{Authenticate, Clock};
use greenlight_core::secret::Secret;
use greenlight_sources::feishu::FeishuWebhook;
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::{form_of, secret_document};
use greenlight_tests::scene::{APPROVAL_CODE, NAC_TOKEN, Scene};
use greenlight_tests::{tool, workspace};
use serde_json::{Value, json};

/// Runs `tests/oracle/<script>.py` with JSON input and returns its JSON output.
fn ask(script: &str, question: &Value) -> Value {
    let mut python = Command::new(tool("feishu-sdk", "python"))
        .arg(workspace().join(format!("tests/oracle/{script}.py")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{script} failed");
    serde_json::from_slice(&output.stdout).unwrap()
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
            let headers: serde_json::Map<String, Value> = sent
                .headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect();
            json!({"name": name, "headers": headers, "body": sent.body})
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
    let question = json!({"base_url": scene.feishu.url(), "app_id": scene.app.app_id,
        "app_secret": scene.app.app_secret, "instance_code": "I-1", "approval_code": APPROVAL_CODE});
    let answer = tokio::task::spawn_blocking(move || ask("reads", &question)).await.unwrap();
    assert_eq!(answer["instance"]["status"], "APPROVED");
    assert_eq!(answer["instance"]["approval_code"], APPROVAL_CODE);
    let read: Value = serde_json::from_str(answer["instance"]["form"].as_str().unwrap()).unwrap();
    assert_eq!(read, form);
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
    let headers = answer["headers"].as_object().unwrap().iter();
    let headers = headers.map(|(name, value)| {
        (name.parse::<http::HeaderName>().unwrap(), value.as_str().unwrap().parse().unwrap())
    });
    let delivery = WebhookRequest {
        headers: headers.collect(),
        body: answer["body"].as_str().unwrap().to_owned().into(),
    };
    let secret = Secret::parse(&secret_document(app, NAC_TOKEN).to_string()).unwrap();
    let event = FeishuWebhook::default().authenticate(&delivery, &secret, now);
    assert!(matches!(event, Ok(Inbound::Approval(event)) if event.event_id == "event-1"));
}
