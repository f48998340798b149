//! Snapshots of the exact requests to AWS: a changed condition or key is visible in review.
//!
//! `INSTA_UPDATE=always cargo test --test it wire::` updates them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_types::SdkConfig;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use greenlight_core::audit::{AttemptRecord, Lookup};
use greenlight_core::breaker::{Breaker, Health};
use greenlight_core::explain::Explanation;
use greenlight_core::extract::Problem;
use greenlight_core::lease::{Lease, LeaseId};
use greenlight_core::ledger::{Completion, Effect, EffectKey, EffectKind, EffectOutcome};
use greenlight_core::operator::{AuditReader, GrantStore};
use greenlight_core::ports::{
    ChangeVisibility, Claim, Complete, CountUnwanted, DeadLetter, Enqueue, FetchSecret, FileAudit,
    KeepBreakers, ReadRequest, RecordEffect, SendDeadLetter,
};
use greenlight_core::retry::RetryState;
use greenlight_core::{Class, Reason, Request, Timestamp};
use greenlight_stores::aws::{
    AwsEnvironment, DynamoLedger, Sdk, SecretsManager, SqsQueue, TimeoutConfig, minimal,
};
use greenlight_testkit::request::request;
use greenlight_testkit::subject::device_number;
use serde_json::{Value, json};
use tokio::net::TcpListener;

type Recorded = Arc<Mutex<Vec<Value>>>;

/// Records every call and answers as the adapters need it.
async fn record(State(recorded): State<Recorded>, headers: HeaderMap, body: Bytes) -> String {
    let operation = headers["x-amz-target"].to_str().unwrap().to_owned();
    let mut request: Value = serde_json::from_slice(&body).unwrap();
    if let Some(token) = request.get_mut("ClientRequestToken") {
        *token = json!("[one per call]");
    }
    let answer = match operation.as_str() {
        "DynamoDB_20120810.UpdateItem" => {
            json!({"Attributes": {"v": {"N": "2"}, "attempt": {"N": "1"}, "effects": {"M": {}}}})
        }
        "DynamoDB_20120810.Query" => {
            json!({"Items": [{"pk": {"S": "request#a"}, "request": {"S": "a"}, "state": {"S": "done"},
                "target": {"S": "nac"}, "subject": {"S": "mac:00:00:5e:00:53:01"}, "grant": {"S": "{\"holds\":{},\"call\":null,\"generation\":0,\"settled\":0,\"access\":\"absent\"}"},
                "gsi1sk": {"N": "1"}, "v": {"N": "2"}, "breaker": {"S": "{\"failures\":0,\"state\":\"closed\"}"}}]})
        }
        "secretsmanager.GetSecretValue" => json!({"SecretString": "{}"}),
        "AmazonSQS.SendMessage" => json!({"MessageId": "m"}),
        _ => json!({}),
    };
    let signed = headers["authorization"].to_str().unwrap();
    // `AWS4-HMAC-SHA256 Credential=test/20261124/us-east-1/sqs/aws4_request, SignedHeaders=.., Signature=..`
    let scope = signed.split(['/', ',']).skip(2).take(3).collect::<Vec<_>>().join("/");
    let content_type = headers["content-type"].to_str().unwrap();
    recorded.lock().unwrap().push(json!({
        "operation": operation, "request": request, "scope": scope, "content_type": content_type,
    }));
    answer.to_string()
}

/// A recording stub of AWS: its configuration and URL.
async fn recording_aws(recorded: &Recorded) -> (SdkConfig, String) {
    let routes = Router::new().route("/", post(record)).with_state(Arc::clone(recorded));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let second = Duration::from_secs(1);
    let timeouts =
        TimeoutConfig { connect: second, attempt: second, operation: second, max_attempts: 1 };
    (Sdk::new(AwsEnvironment::new("us-east-1", "test", "test", Some(&url))).config(timeouts), url)
}

/// Each lookup uses keys and one index, with a fixed number of calls, whatever the ledger's size.
#[tokio::test]
async fn an_operator_asks_by_keys_and_never_scans() {
    let recorded = Recorded::default();
    let (config, _) = recording_aws(&recorded).await;
    let ledger = DynamoLedger::new(&config, "ledger");
    let now = Timestamp::from_millis(1_700_000_000_000);
    let hour_ago = now.minus(Duration::from_hours(1));
    let asked = async |question: &str, queries: usize, gets: usize| {
        let requests = std::mem::take(&mut *recorded.lock().unwrap());
        let of = |operation: &str| {
            let name = format!("DynamoDB_20120810.{operation}");
            requests.iter().filter(|request| request["operation"] == name.as_str()).count()
        };
        assert_eq!((of("Query"), of("BatchGetItem")), (queries, gets), "{question}: {requests:?}");
        assert_eq!(requests.len(), queries + gets, "{question}: {requests:?}");
        for query in requests.iter().filter(|it| it["operation"] == "DynamoDB_20120810.Query") {
            assert_eq!(query["request"]["IndexName"], "gsi1", "{question}");
        }
        println!("{question}: {queries} queries, {gets} reads by key");
    };
    ledger.find_requests(&Lookup::guess("00:00:5e:00:53:01"), 50).await.unwrap();
    asked("audit MAC", 4, 1).await;
    ledger.find_requests(&Lookup::guess("I-1"), 50).await.unwrap();
    asked("audit INSTANCE", 4, 1).await;
    ledger.count_requests(hour_ago, now).await.unwrap();
    ledger.breakers().await.unwrap();
    asked("status", 2, 0).await;
    ledger.unwanted(20).await.unwrap();
    asked("status, what no flow wants", 1, 1).await;
    ledger.grants(100).await.unwrap();
    asked("grants", 1, 0).await;
    ledger.grants_of(&[("nac".into(), "mac:00:00:5e:00:53:01".into())]).await.unwrap();
    asked("grants MAC", 0, 1).await;
    ledger.read_request(&request("I-1").key()).await.unwrap();
    asked("a dead letter's reason", 0, 1).await;
}

/// The receiver's own client makes the same requests as the SDK: operation, body, and scope of the
/// signature.
#[tokio::test]
async fn the_receivers_own_requests_are_those_of_the_sdk() {
    let recorded = Recorded::default();
    let (config, url) = recording_aws(&recorded).await;
    let second = Duration::from_secs(1);
    let timeouts =
        TimeoutConfig { connect: second, attempt: second, operation: second, max_attempts: 1 };
    let aws =
        minimal::Aws::new(AwsEnvironment::new("us-east-1", "test", "test", Some(&url))).unwrap();
    let queue_url = format!("{url}/000000000000/queue");

    SqsQueue::new(&config, &queue_url).enqueue(&request("I-1")).await.unwrap();
    SecretsManager::new(&config, "secret").fetch().await.unwrap();
    let by_the_sdk = std::mem::take(&mut *recorded.lock().unwrap());
    minimal::SqsQueue::new(&aws, queue_url, timeouts)
        .unwrap()
        .enqueue(&request("I-1"))
        .await
        .unwrap();
    minimal::SecretsManager::new(&aws, "secret".to_owned(), timeouts)
        .unwrap()
        .fetch()
        .await
        .unwrap();
    assert_eq!(by_the_sdk, *recorded.lock().unwrap());
    assert_eq!(by_the_sdk.len(), 2);
}

#[tokio::test]
async fn requests_to_aws() {
    let recorded = Recorded::default();
    let (config, url) = recording_aws(&recorded).await;

    let at = |millis: i64| Timestamp::from_millis(1_700_000_000_000 + millis);
    let request = Request {
        event_id: "event".into(),
        occurred_at: Some(at(-2)),
        received_at: at(-1),
        ..request("instance")
    };
    let lease_id = LeaseId::from("me");
    let reason =
        Reason::new(Class::InvalidForm, Problem::NoneFound { field: "mac".into(), kind: "mac" });

    let ledger = DynamoLedger::new(&config, "ledger");
    let lease = Lease { id: lease_id.clone(), until: at(90_000) };
    ledger.claim(&request, &lease, at(0)).await.unwrap().unwrap();
    let key = EffectKey::new("nac", "add", Some(&device_number(1)));
    let effect =
        Effect { kind: EffectKind::Grant, outcome: EffectOutcome::AlreadyExists, at: at(1) };
    ledger.record_effect(&request.key(), &lease_id, &key, effect, at(1)).await.unwrap().unwrap();
    let device = device_number(1);
    let attempt_record = AttemptRecord {
        flow: "flow".into(),
        is_read: true,
        applicant: "ou_1".into(),
        form_number: "1".into(),
        subjects: [device.clone()].into(),
        owners: std::collections::BTreeMap::new(),
        effects: [(key, effect)].into(),
        has_waited: false,
    };
    let away = Reason::new(Class::TargetUnavailable, Explanation::quoted("away"));
    let away = Reason { target: Some("nac".into()), ..away };
    let retry =
        RetryState { attempt: 1, ended_at: at(2), wait_ms: 30_000, ..RetryState::default() };
    let released = Completion::Released { reason: away, retry: retry.clone() };
    let failed = Completion::Failed { reason: reason.clone(), retry };
    for (completion, attempt_record) in
        [(Completion::Done, Some(&attempt_record)), (released, None), (failed, None)]
    {
        ledger.file_attempt(&request, &completion, attempt_record, at(2)).await.unwrap();
        ledger.complete(&request.key(), &lease_id, &completion, at(2)).await.unwrap().unwrap();
    }
    let attempt_record = AttemptRecord {
        effects: [(EffectKey::new("nac", "remove", Some(&device)), effect)].into(),
        has_waited: true,
        ..attempt_record
    };
    ledger.file_attempt(&request, &Completion::Done, Some(&attempt_record), at(2)).await.unwrap();
    ledger.file_event(&request, at(3)).await.unwrap();
    ledger.count_unwanted(&request, at(3)).await.unwrap();
    ledger.is_replayed(&request).await.unwrap();
    ledger.is_done(&request.key()).await.unwrap();
    ledger.change_breaker("nac", |breaker| (breaker, ())).await.unwrap();
    let report = |breaker: Breaker| (breaker.record(&lease_id, Health::Down, at(5)), ());
    ledger.change_breaker("nac", report).await.unwrap();

    let queue = SqsQueue::new(&config, format!("{url}/000000000000/queue"));
    queue.enqueue(&request).await.unwrap();
    queue.change_visibility("receipt", Duration::from_millis(1_001)).await.unwrap();
    let body = request.to_json();
    let letter = DeadLetter {
        body: &body,
        reason: &reason,
        receive_count: 2,
        first_received: at(4),
        failed_at: at(6),
    };
    queue.send_dead_letter(&letter).await.unwrap();
    SecretsManager::new(&config, "secret").fetch().await.unwrap();

    let mut requests = json!(recorded.lock().unwrap().clone());
    requests.sort_all_objects();
    let requests = serde_json::to_string_pretty(&requests).unwrap();
    insta::assert_snapshot!(requests.replace(&url, "[AWS]"));
}
