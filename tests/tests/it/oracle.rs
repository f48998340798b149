//! Feishu's official Python SDK as an oracle for our stubs and clients.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use greenlight_connectors::connector::ConnectorError;
use greenlight_connectors::{Connectors, Preview, Setup, Targets};
use greenlight_core::event::Inbound;
use greenlight_core::flow::Flows;
use greenlight_core::ports::Clock;
use greenlight_core::secret::{FixedSecret, Secret};
use greenlight_core::webhook::Webhook;
use greenlight_core::{WEBHOOK_PATH, WebhookRequest};
use greenlight_http::Client;
use greenlight_sources::feishu::FeishuWebhook;
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::{form_of, secret_document};
use greenlight_testkit::subject::call;
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
