use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use greenlight_core::audit::AttemptRecord;
use greenlight_core::breaker::Breaker;
use greenlight_core::flow::Flows;
use greenlight_core::form::{Content, Field, Form};
use greenlight_core::instance::{Instance, Status};
use greenlight_core::ledger::{
    ClaimError, Claimed, Completion, Effect, EffectKey, EffectOutcome, LeaseLost,
};
use greenlight_core::metrics::NoMetrics;
use greenlight_core::ports::{
    Call, Claim, Complete, KeepBreakers, LedgerError, QueueError, RecordEffect,
};
use greenlight_core::{Decision, Failure, Request, RequestKey};
use greenlight_stores::sqlite::Database;
use lambda_runtime::Context;
use tokio::sync::watch;

use super::*;

/// Approves everything; the panic and the hang are those of an adapter with a defect.
#[derive(Debug)]
struct Source;

impl ReadInstance for Source {
    async fn read_instance(&self, instance_id: &str) -> Result<Instance, Failure> {
        match instance_id {
            "I-1" => panic!("on purpose"),
            "I-2" => std::future::pending().await,
            _ => {}
        }
        let mac = format!("00:00:5e:00:53:0{}", &instance_id[2..]);
        let field = Field {
            custom_id: Some("device_mac".into()),
            id: "widget1".into(),
            name: "MAC".into(),
            content: Content::Value(mac.into()),
        };
        Ok(Instance {
            instance_id: instance_id.into(),
            definition_id: "approval".into(),
            status: Status::Approved,
            applicant: String::new(),
            form_number: String::new(),
            form: Form { fields: vec![field] },
        })
    }
}

/// Remembers what it was told of, and counts.
#[derive(Debug)]
struct Told {
    of: Mutex<BTreeSet<String>>,
    count: Arc<watch::Sender<usize>>,
}

impl Told {
    fn new(count: &Arc<watch::Sender<usize>>) -> Self {
        Self { of: Mutex::default(), count: Arc::clone(count) }
    }

    fn add(&self, what: &str) {
        self.of.lock().unwrap().insert(what.to_owned());
        self.count.send_modify(|count| *count += 1);
    }
}

/// A target that takes everything.
#[derive(Debug)]
struct Target(Mutex<BTreeSet<String>>);

impl Act for Target {
    fn condition_uses(&self, _: &str, _: &str) -> bool {
        false
    }

    fn uses(&self, _: &str, _: &str, _: &str) -> bool {
        false
    }

    fn holds(
        &self,
        condition: &str,
        variables: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<bool, Failure> {
        panic!("no flow here has conditions: {condition} {variables:?}")
    }

    fn is_exclusive(&self, _: &str) -> bool {
        false
    }

    fn concurrency(&self, _: &str) -> usize {
        8
    }

    async fn act(&self, call: &Call<'_>) -> Result<EffectOutcome, Failure> {
        self.0.lock().unwrap().insert(call.device.to_string());
        Ok(EffectOutcome::Done)
    }
}

#[derive(Debug)]
struct Queue(Told);

impl ChangeVisibility for Queue {
    async fn change_visibility(&self, receipt_handle: &str, _: Duration) -> Result<(), QueueError> {
        self.0.add(receipt_handle);
        Ok(())
    }
}

/// A ledger that counts what was completed.
#[derive(Debug)]
struct Counting(Database, Told);

impl Claim for Counting {
    async fn claim(
        &self,
        request: &Request,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<Result<Claimed, ClaimError>, LedgerError> {
        self.0.claim(request, lease, now).await
    }
}

impl RecordEffect for Counting {
    async fn record_effect(
        &self,
        request: &RequestKey,
        lease_id: &LeaseId,
        key: &EffectKey,
        effect: Effect,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        self.0.record_effect(request, lease_id, key, effect, now).await
    }
}

impl Complete for Counting {
    async fn complete(
        &self,
        request: &Request,
        lease_id: &LeaseId,
        completion: &Completion,
        attempt_record: Option<&AttemptRecord>,
        now: Timestamp,
    ) -> Result<Result<(), LeaseLost>, LedgerError> {
        let result = self.0.complete(request, lease_id, completion, attempt_record, now).await;
        self.1.add(&request.instance_id);
        result
    }

    async fn file_event(&self, request: &Request, now: Timestamp) -> Result<(), LedgerError> {
        self.0.file_event(request, now).await
    }
}

impl KeepBreakers for Counting {
    async fn change_breaker<T: Send>(
        &self,
        target: &str,
        change: impl Fn(Breaker) -> (Breaker, T) + Send + Sync,
    ) -> Result<(Breaker, T), LedgerError> {
        self.0.change_breaker(target, change).await
    }
}

/// The time until an attempt is aborted.
const ATTEMPT: Duration = Duration::from_secs(20);

/// The time of an attempt is over when seven were completed and one postponed, that of the batch never.
#[derive(Debug)]
struct TestClock(Arc<watch::Sender<usize>>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    async fn sleep(&self, duration: Duration) {
        if duration > ATTEMPT {
            std::future::pending::<()>().await;
        }
        let _ = self.0.subscribe().wait_for(|&count| count >= 8).await;
    }
}

fn record(n: usize, body: String) -> SqsMessage {
    let mut record = SqsMessage::default();
    record.message_id = Some(format!("message-{n}"));
    record.receipt_handle = Some(format!("receipt-{n}"));
    record.body = Some(body);
    record
}

fn request(n: usize) -> String {
    let request = Request {
        v: greenlight_core::request::VERSION,
        source: "feishu".into(),
        tenant: "t".into(),
        event_id: format!("e-{n}"),
        definition_id: "approval".into(),
        instance_id: format!("I-{n}"),
        decision: Decision::Approved,
        occurred_at: None,
        received_at: Timestamp::from_millis(0),
        trace_id: None,
    };
    request.to_json()
}

#[tokio::test]
async fn statement_08_a_panic_a_hang_and_poison_cost_the_other_seven_records_nothing() {
    let environment = |name: &str| match name {
        "NAC_URL" => Some("http://nac".to_owned()),
        _ => Some("approval".to_owned()),
    };
    let flows = include_str!("../../../../infra/flows.toml");
    let count = Arc::new(watch::Sender::new(0));
    let database = Database::in_memory().await.unwrap();
    let processor = Processor {
        ledger: Counting(database.clone(), Told::new(&count)),
        source: Source,
        actions: Target(Mutex::default()),
        dead_letters: database.clone(),
        clock: TestClock(Arc::clone(&count)),
        flows: Flows::parse(flows, &environment).unwrap(),
        metrics: NoMetrics::nowhere(),
    };
    let mut records: Vec<_> = (1..10).map(|n| record(n, request(n))).collect();
    records.push(record(10, "poison".to_owned()));
    let mut event = SqsEvent::default();
    event.records = records;
    let mut context = Context::default();
    context.deadline = u64::try_from((ATTEMPT + Duration::from_secs(6)).as_millis()).unwrap();
    let queue = Queue(Told::new(&count));
    let response = process(LambdaEvent::new(event, context), &processor, &queue).await.unwrap();

    let come_back: Vec<_> = response
        .batch_item_failures
        .iter()
        .map(|failure| failure.item_identifier.as_str())
        .collect();
    assert_eq!(come_back, ["message-1", "message-2"]);
    let postponed: Vec<_> = queue.0.of.lock().unwrap().iter().cloned().collect();
    assert_eq!(postponed, ["receipt-1", "receipt-2"]);
    assert_eq!(processor.actions.0.lock().unwrap().len(), 7);
    let letters = database.dead_letters().await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].class(), letters[0].body.as_str()), ("invalid_message", "poison"));
    println!("10 records, 1 panics, 1 hangs and 1 is poison: 7 done");
}
