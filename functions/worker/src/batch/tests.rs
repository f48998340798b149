use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Mutex;

use greenlight_core::explain::Explanation;
use greenlight_core::flow::Flows;
use greenlight_core::form::{Attachment, Content, Field, Form};
use greenlight_core::instance::{Instance, Status};
use greenlight_core::ledger::{EffectKind, EffectOutcome};
use greenlight_core::metrics::NoMetrics;
use greenlight_core::person::{PersonKey, Presence};
use greenlight_core::ports::{
    Act, Acted, Call, Conditions, ListInstances, Listed, QueueError, ReadInstance, ReadPerson,
    ReadSheet,
};
use greenlight_core::sweep::{Pace, SweepKey};
use greenlight_core::{Failure, Request};
use greenlight_testkit::clock::TestClock;
use greenlight_testkit::hook::{Hook, Hooked, PortCall};
use greenlight_testkit::memory::{MemoryDeadLetters, MemoryLedger, MemoryQueue};
use greenlight_testkit::request::{DEFINITION_ID, request};
use lambda_runtime::Context;
use tokio::sync::watch;

use super::*;

/// Approves everything; the panic and the hang are those of an adapter with a bug.
#[derive(Debug)]
struct Source;

impl ReadInstance for Source {
    async fn read_instance(&self, request: &Request) -> Result<Instance, Failure> {
        let instance_id = request.instance_id.as_str();
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
            definition_id: DEFINITION_ID.into(),
            status: Status::Approved,
            ended_at: None,
            applicant: String::new(),
            form_number: String::new(),
            form: Form { fields: vec![field] },
            revokes: None,
        })
    }
}

/// How many records have ended their attempt.
#[derive(Clone, Debug)]
struct Ended(watch::Sender<usize>);

impl Hook for Ended {
    async fn before(&self, _: &PortCall) {}

    async fn after(&self, call: &PortCall, _: bool) {
        if matches!(call, PortCall::Complete(_)) {
            self.0.send_modify(|count| *count += 1);
        }
    }
}

impl ListInstances for Source {
    fn pace(&self, _: &str) -> Option<Pace> {
        None
    }

    async fn list_created(&self, key: &SweepKey, _: Range<Timestamp>) -> Result<Listed, Failure> {
        panic!("nothing is swept here: {key:?}")
    }
}

impl ReadPerson for Source {
    async fn presence(&self, person: &PersonKey) -> Result<Presence, Failure> {
        panic!("no person is asked for here: {person:?}")
    }
}

impl ReadSheet for Source {
    async fn read_sheet(
        &self,
        _: &str,
        file: &Attachment,
    ) -> Result<Result<Vec<Vec<Field>>, Explanation>, Failure> {
        panic!("no form here has a sheet: {file:?}")
    }
}

/// A target that accepts everything.
#[derive(Debug)]
struct TestTargets(Mutex<BTreeSet<String>>);

impl Conditions for TestTargets {
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

    fn kind(&self, _: &str, _: &str) -> EffectKind {
        EffectKind::Grant
    }

    fn revoked_by(&self, _: &str, _: &str) -> Option<String> {
        None
    }
}

impl Act for TestTargets {
    fn is_exclusive(&self, _: &str) -> bool {
        false
    }

    fn concurrency(&self, _: &str) -> usize {
        8
    }

    async fn act(&self, call: &Call<'_>) -> Result<Acted, Failure> {
        self.0.lock().unwrap().insert(call.key().as_str().to_owned());
        Ok(EffectOutcome::Done.into())
    }
}

/// Records the receipt handles of the messages that become visible again.
#[derive(Debug)]
struct Queue(Mutex<BTreeSet<String>>, Ended);

impl ChangeVisibility for Queue {
    async fn change_visibility(&self, receipt_handle: &str, _: Duration) -> Result<(), QueueError> {
        self.0.lock().unwrap().insert(receipt_handle.to_owned());
        self.1.0.send_modify(|count| *count += 1);
        Ok(())
    }
}

/// The time until an attempt is aborted.
const ATTEMPT: Duration = Duration::from_secs(20);

/// The ports of the test.
struct InTest;

impl Ports for InTest {
    type Ledger = Hooked<MemoryLedger, Ended>;
    type Source = Source;
    type Targets = TestTargets;
    type Queue = MemoryQueue;
    type DeadLetters = MemoryDeadLetters;
    type Clock = TestClock;
}

fn record(n: usize, body: String) -> SqsMessage {
    let mut record = SqsMessage::default();
    record.message_id = Some(format!("message-{n}"));
    record.receipt_handle = Some(format!("receipt-{n}"));
    record.body = Some(body);
    record
}

#[tokio::test]
async fn g08_a_panic_a_hang_and_poison_cost_the_other_seven_records_nothing() {
    let environment = |name: &str| match name {
        "NAC_URL" => Some("http://nac".to_owned()),
        _ => Some(DEFINITION_ID.to_owned()),
    };
    let flows = include_str!("../../../../infra/flows.toml");
    let (ended, clock) = (Ended(watch::Sender::new(0)), TestClock::standing(Timestamp::default()));
    let processor = Processor::<InTest> {
        ledger: Hooked { port: MemoryLedger::default(), hook: ended.clone() },
        source: Source,
        targets: TestTargets(Mutex::default()),
        queue: MemoryQueue::default(),
        dead_letters: MemoryDeadLetters::default(),
        clock: clock.clone(),
        flows: Flows::parse(flows, &environment).unwrap(),
        metrics: NoMetrics::nowhere(),
    };
    let mut records: Vec<_> =
        (1..10).map(|n| record(n, request(&format!("I-{n}")).to_json())).collect();
    records.push(record(10, "poison".to_owned()));
    let mut event = SqsEvent::default();
    event.records = records;
    let mut context = Context::default();
    context.deadline = u64::try_from((ATTEMPT + Duration::from_secs(6)).as_millis()).unwrap();
    let queue = Queue(Mutex::default(), ended.clone());
    // The attempts run out of time once seven are completed and one is to be retried; the batch
    // never does.
    let end_attempts = async {
        ended.0.subscribe().wait_for(|&count| count >= 8).await.unwrap();
        clock.end_sleeps(ATTEMPT);
    };
    let batch = process(LambdaEvent::new(event, context), &processor, &queue);
    let (response, ()) = tokio::join!(batch, end_attempts);
    let response = response.unwrap();

    let failed: Vec<_> =
        response.batch_item_failures.iter().map(|failure| &*failure.item_identifier).collect();
    assert_eq!(failed, ["message-1", "message-2"]);
    let given_out_again: Vec<_> = queue.0.lock().unwrap().iter().cloned().collect();
    assert_eq!(given_out_again, ["receipt-1", "receipt-2"]);
    assert_eq!(processor.targets.0.lock().unwrap().len(), 7);
    let letters = processor.dead_letters.all();
    let letters: Vec<_> =
        letters.iter().map(|(body, reason)| (body.as_str(), reason.class.as_str())).collect();
    assert_eq!(letters, [("poison", "invalid_message")]);
    println!("10 records, 1 panics, 1 hangs and 1 is poison: 7 done");
}
