//! The exact requests that go to AWS, pinned: a changed condition or key is seen in review.
//!
//! `INSTA_UPDATE=always cargo test -p greenlight-tests --test wire` writes them anew.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use greenlight_core::audit::Findings;
use greenlight_core::breaker::{Breaker, Health};
use greenlight_core::ledger::{Effect, EffectKey, EffectOutcome, Lease, Owner, Settlement};
use greenlight_core::mac::Eui48;
use greenlight_core::ports::{
    Bury, Claim, DeadLetter, Enqueue, FetchSecret, KeepBreakers, Postpone, RecordEffect, Settle,
};
use greenlight_core::{Class, Reason, Request, Timestamp, Verdict};
use greenlight_stores::aws::{AwsEnvironment, DynamoLedger, Patience, SecretsManager, SqsQueue};
use serde_json::{Value, json};
use tokio::net::TcpListener;

type Recorded = Arc<Mutex<Vec<Value>>>;

/// Answers every call with what the adapters need to go on, and records it.
async fn record(State(recorded): State<Recorded>, headers: HeaderMap, body: Bytes) -> String {
    let operation = headers["x-amz-target"].to_str().unwrap().to_owned();
    let mut request: Value = serde_json::from_slice(&body).unwrap();
    if let Some(token) = request.get_mut("ClientRequestToken") {
        *token = json!("[one per call]");
    }
    let answer = match operation.as_str() {
        "DynamoDB_20120810.UpdateItem" => {
            json!({"Attributes": {"attempt": {"N": "1"}, "effects": {"M": {}}}})
        }
        "secretsmanager.GetSecretValue" => json!({"SecretString": "{}"}),
        "AmazonSQS.SendMessage" => json!({"MessageId": "m"}),
        _ => json!({}),
    };
    recorded.lock().unwrap().push(json!({"operation": operation, "request": request}));
    answer.to_string()
}

#[tokio::test]
async fn requests_to_aws() {
    let recorded = Recorded::default();
    let routes = Router::new().route("/", post(record)).with_state(Arc::clone(&recorded));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let second = Duration::from_secs(1);
    let patience = Patience { connect: second, attempt: second, operation: second, attempts: 1 };
    let config = AwsEnvironment::new("us-east-1", "test", "test", Some(&url)).config(patience);

    let at = |millis: i64| Timestamp::from_millis(1_700_000_000_000 + millis);
    let request = Request {
        v: 1,
        source: "feishu".into(),
        tenant: "tenant".into(),
        event_id: "event".into(),
        approval_code: "approval".into(),
        instance_code: "instance".into(),
        verdict: Verdict::Approved,
        occurred_at: Some(at(-2)),
        received_at: at(-1),
    };
    let owner = Owner::from("me");
    let reason = Reason::new(Class::BadForm, "no device");

    let ledger = DynamoLedger::new(&config, "ledger");
    let lease = Lease { owner: owner.clone(), until: at(90_000) };
    ledger.claim(&request, &lease, at(0)).await.unwrap().unwrap();
    let key = EffectKey::from("nac/add/00:00:5e:00:53:01");
    let effect = Effect { outcome: EffectOutcome::AlreadyThere, at: at(1) };
    ledger.record_effect(&request.key(), &owner, &key, effect, at(1)).await.unwrap().unwrap();
    let device = Eui48::parse("00:00:5e:00:53:01").unwrap();
    let findings = Findings {
        flow: "flow".into(),
        applicant: "ou_1".into(),
        serial_number: "1".into(),
        devices: [device].into(),
        effects: [(key, effect)].into(),
    };
    let released = Settlement::Released(Reason {
        target: Some("nac".into()),
        ..Reason::new(Class::TargetUnavailable, "away")
    });
    for (settlement, findings) in [
        (Settlement::Done, Some(&findings)),
        (released, None),
        (Settlement::Failed(reason.clone()), None),
    ] {
        ledger.settle(&request, &owner, &settlement, findings, at(2)).await.unwrap().unwrap();
    }
    let revoked = Request { verdict: Verdict::Revoked, ..request.clone() };
    let settlement = Settlement::Done;
    ledger.settle(&revoked, &owner, &settlement, Some(&findings), at(2)).await.unwrap().unwrap();
    ledger.file_event(&request, at(3)).await.unwrap();
    ledger.change_breaker("nac", |breaker| (breaker, ())).await.unwrap();
    let report = |breaker: Breaker| (breaker.report(&owner, Health::Down, at(5)), ());
    ledger.change_breaker("nac", report).await.unwrap();

    let queue = SqsQueue::new(&config, format!("{url}/000000000000/queue"));
    queue.enqueue(&request).await.unwrap();
    queue.postpone("receipt", Duration::from_millis(1_001)).await.unwrap();
    let body = request.to_json();
    let letter = DeadLetter {
        body: &body,
        reason: &reason,
        receive_count: 2,
        first_received: at(4),
        failed_at: at(6),
    };
    queue.bury(&letter).await.unwrap();
    SecretsManager::new(&config, "secret").fetch().await.unwrap();

    let mut requests = json!(recorded.lock().unwrap().clone());
    requests.sort_all_objects();
    let requests = serde_json::to_string_pretty(&requests).unwrap();
    insta::assert_snapshot!(requests.replace(&url, "[AWS]"));
}
