//! Ports in memory, fast enough for thousands of whole requests: the ledger runs the real state
//! machine, the target fails as a test defines.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenlight_core::budget::AttemptBudget;
use greenlight_core::explain::Explanation;
use greenlight_core::flow::{Flow, Flows};
use greenlight_core::form::{Attachment, Content, Field, Form};
use greenlight_core::grant::GrantKey;
use greenlight_core::instance::{Instance, Status};
use greenlight_core::lease::{Lease, LeaseId};
use greenlight_core::ledger::{EffectKind, EffectOutcome};
use greenlight_core::metrics::{Measure, Metric};
use greenlight_core::person::{PersonKey, Presence};
use greenlight_core::ports::{
    Act, Acted, Call, Clock, Conditions, DeadLetter, Enqueue, ListInstances, Listed, Ports,
    QueueError, QueueMessage, ReadInstance, ReadPerson, ReadSheet, SendDeadLetter,
};
use greenlight_core::queued::{GrantDue, PersonLeft};
use greenlight_core::request::Trigger;
use greenlight_core::sweep::{Pace, SweepKey};
use greenlight_core::tick::{Scheduler, tick};
use greenlight_core::trace::TraceId;
use greenlight_core::{
    Decision, Disposition, Failure, Message, Processor, Reason, Request, Timestamp, process,
};
use greenlight_testkit::clock::TestClock;
use greenlight_testkit::memory::{MemoryLedger, MemoryQueue};
use greenlight_testkit::request::request;
use greenlight_testkit::subject::{device_number, number_of};
use serde_json::{Map, Value, json};

/// One call, as the target saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) target: String,
    pub(crate) operation: String,
    pub(crate) device: u8,
    pub(crate) is_done: bool,
    /// Whether another call for the same device at the same target was running.
    pub(crate) overlaps: bool,
}

/// The behaviour of the target for a call. May panic.
pub(crate) type Behaviour = Box<dyn Fn(&Call<'_>, usize) -> Result<(), Failure> + Send + Sync>;

/// The environment of a request.
pub(crate) struct World {
    pub(crate) ledger: MemoryLedger,
    pub(crate) clock: TestClock,
    pub(crate) form: Mutex<Form>,
    /// When the approval ended.
    pub(crate) ended_at: Option<Timestamp>,
    /// The status of the approval at its source.
    pub(crate) status: Mutex<Status>,
    /// What the source lists, with the time of creation.
    pub(crate) listed: Mutex<Vec<(String, Timestamp)>>,
    /// When the source is swept.
    pub(crate) pace: Option<Pace>,
    /// The failure of the source's list.
    pub(crate) list_fails: Mutex<Option<Failure>>,
    /// The failures of instances that cannot be read.
    pub(crate) unreadable: Mutex<BTreeMap<String, Failure>>,
    /// The queries of the list, and the instances that were read.
    pub(crate) asked: Mutex<Vec<String>>,
    /// The status of instances with another one, and their end.
    pub(crate) instances: Mutex<BTreeMap<String, (Status, Option<Timestamp>)>>,
    /// The metrics.
    pub(crate) metrics: Arc<Counted>,
    /// The instance that every one revokes.
    pub(crate) revokes: Mutex<Option<String>>,
    /// What the source says about every person.
    pub(crate) presence: Mutex<Presence>,
    pub(crate) seen: Mutex<Vec<Seen>>,
    pub(crate) behaviour: Mutex<Behaviour>,
    /// Whether the targets allow one operation at a time.
    pub(crate) is_exclusive: bool,
    /// The duration of each call.
    pub(crate) call_takes: Duration,
    /// The target, the operation and the field that it depends on.
    pub(crate) used_by: Option<(&'static str, &'static str, &'static str)>,
    pub(crate) letters: Mutex<Vec<Reason>>,
    pub(crate) under_way: Mutex<BTreeSet<(String, u8)>>,
    pub(crate) dead_letter_queue_panics: bool,
}

/// The names of the metrics that were counted.
#[derive(Debug, Default)]
pub(crate) struct Counted(Mutex<Vec<&'static str>>);

impl Measure for Counted {
    fn measure(&self, metric: &Metric<'_>) {
        self.0.lock().unwrap().push(metric.name);
    }
}

impl Counted {
    /// How often the metric was counted.
    pub(crate) fn times(&self, name: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|counted| **counted == name).count()
    }
}

/// The applicant of every approval.
pub(crate) const APPLICANT: &str = "ou_1";

/// The time at which a [`World`] begins.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

impl World {
    pub(crate) fn new(form: Form) -> Self {
        Self {
            ledger: MemoryLedger::default(),
            clock: TestClock::standing(START),
            form: Mutex::new(form),
            ended_at: None,
            status: Mutex::new(Status::Approved),
            listed: Mutex::default(),
            pace: None,
            list_fails: Mutex::default(),
            unreadable: Mutex::default(),
            asked: Mutex::default(),
            instances: Mutex::default(),
            metrics: Arc::default(),
            revokes: Mutex::default(),
            presence: Mutex::new(Presence::Present),
            seen: Mutex::default(),
            behaviour: Mutex::new(Box::new(|_, _| Ok(()))),
            is_exclusive: false,
            call_takes: Duration::ZERO,
            used_by: None,
            letters: Mutex::default(),
            under_way: Mutex::default(),
            dead_letter_queue_panics: false,
        }
    }

    pub(crate) fn behaves(
        self,
        behaviour: impl Fn(&Call<'_>, usize) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        Self { behaviour: Mutex::new(Box::new(behaviour)), ..self }
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    /// The source reports the approval as revoked from now on.
    pub(crate) fn withdraw(&self) {
        *self.status.lock().unwrap() = Status::Revoked;
    }

    /// The last octets of the devices for which `operation` was done at `target`.
    pub(crate) fn done(&self, target: &str, operation: &str) -> BTreeSet<u8> {
        let seen = self.seen.lock().unwrap();
        let seen = seen.iter().filter(|it| it.is_done);
        seen.filter(|it| it.target == target && it.operation == operation)
            .map(|it| it.device)
            .collect()
    }
}

/// The ports with a behaviour that a test chooses, all of them the same world.
#[derive(Clone)]
pub(crate) struct WorldPort(pub(crate) Arc<World>);

impl ReadInstance for WorldPort {
    async fn read_instance(&self, request: &Request) -> Result<Instance, Failure> {
        self.0.asked.lock().unwrap().push(request.instance_id.clone());
        if let Some(failure) = self.0.unreadable.lock().unwrap().get(&request.instance_id) {
            return Err(failure.clone());
        }
        let own = self.0.instances.lock().unwrap().get(&request.instance_id).copied();
        let (status, ended_at) =
            own.unwrap_or_else(|| (*self.0.status.lock().unwrap(), self.0.ended_at));
        Ok(Instance {
            instance_id: request.instance_id.clone(),
            definition_id: "A".into(),
            status,
            ended_at,
            applicant: APPLICANT.into(),
            form_number: "1".into(),
            form: self.0.form.lock().unwrap().clone(),
            revokes: self.0.revokes.lock().unwrap().clone(),
        })
    }
}

impl ListInstances for WorldPort {
    fn pace(&self, _: &str) -> Option<Pace> {
        self.0.pace
    }

    async fn list_created(
        &self,
        _: &SweepKey,
        window: Range<Timestamp>,
    ) -> Result<Listed, Failure> {
        self.0.asked.lock().unwrap().push("list".to_owned());
        if let Some(failure) = self.0.list_fails.lock().unwrap().clone() {
            return Err(failure);
        }
        let listed = self.0.listed.lock().unwrap();
        let ids = listed.iter().filter(|(_, created)| window.contains(created));
        Ok(Listed { ids: ids.map(|(id, _)| id.clone()).collect(), calls: 1 })
    }
}

impl ReadPerson for WorldPort {
    async fn presence(&self, _: &PersonKey) -> Result<Presence, Failure> {
        Ok(*self.0.presence.lock().unwrap())
    }
}

impl ReadSheet for WorldPort {
    async fn read_sheet(
        &self,
        _: &str,
        file: &Attachment,
    ) -> Result<Result<Vec<Vec<Field>>, Explanation>, Failure> {
        panic!("no form here has a sheet: {file:?}")
    }
}

impl Conditions for WorldPort {
    fn holds(&self, _: &str, _: &Map<String, Value>) -> Result<bool, Failure> {
        Ok(true)
    }

    fn condition_uses(&self, condition: &str, field: &str) -> bool {
        condition.contains(field)
    }

    fn uses(&self, target: &str, operation: &str, field: &str) -> bool {
        self.0.used_by == Some((target, operation, field))
    }

    fn kind(&self, _: &str, operation: &str) -> EffectKind {
        if operation == "remove" { EffectKind::Revoke } else { EffectKind::Grant }
    }

    fn revoked_by(&self, _: &str, _: &str) -> Option<String> {
        Some("remove".to_owned())
    }
}

impl Act for WorldPort {
    fn is_exclusive(&self, _: &str) -> bool {
        self.0.is_exclusive
    }

    fn concurrency(&self, _: &str) -> usize {
        4
    }

    async fn act(&self, call: &Call<'_>) -> Result<Acted, Failure> {
        self.0.advance(self.0.call_takes);
        let device = number_of(call.subject);
        let (target, operation) = (call.target.to_owned(), call.operation.to_owned());
        let subject = (target.clone(), device);
        let number = {
            let overlaps = !self.0.under_way.lock().unwrap().insert(subject.clone());
            let mut seen = self.0.seen.lock().unwrap();
            seen.push(Seen { target, operation, device, is_done: false, overlaps });
            seen.len()
        };
        // Calls yield, so that those of one attempt run concurrently.
        for _ in 0..(number + usize::from(device)) % 4 {
            tokio::task::yield_now().await;
        }
        self.0.under_way.lock().unwrap().remove(&subject);
        let result = {
            let behaviour = self.0.behaviour.lock().unwrap_or_else(|error| error.into_inner());
            behaviour(call, number)
        };
        self.0.seen.lock().unwrap()[number - 1].is_done = result.is_ok();
        result.map(|()| EffectOutcome::Done.into())
    }
}

impl SendDeadLetter for WorldPort {
    async fn send_dead_letter(&self, letter: &DeadLetter<'_>) -> Result<(), QueueError> {
        assert!(!self.0.dead_letter_queue_panics, "the dead-letter queue breaks");
        self.0.letters.lock().unwrap().push(letter.reason.clone());
        Ok(())
    }
}

/// The ports of a request in a [`World`].
struct InWorld;

impl Ports for InWorld {
    type Ledger = MemoryLedger;
    type Source = WorldPort;
    type Targets = WorldPort;
    type Queue = MemoryQueue;
    type DeadLetters = WorldPort;
    type Clock = TestClock;
}

/// A request, from attempt to attempt.
pub(crate) struct Run {
    pub(crate) world: Arc<World>,
    processor: Processor<InWorld>,
    pub(crate) receives: u32,
    pub(crate) first_received: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    /// How long an attempt may start calls for.
    pub(crate) time: Duration,
    /// The definition that the message names.
    pub(crate) definition_id: &'static str,
}

impl Run {
    /// A request of a flow with these `actions`, in TOML, and the targets `nac` and `wlc`.
    pub(crate) fn new(world: World, actions: &str) -> Self {
        Self::with_fields(world, "mac = { kind = \"mac\", from = [{ field = \"mac\" }] }", actions)
    }

    pub(crate) fn with_fields(world: World, fields: &str, actions: &str) -> Self {
        Self::of_flow(world, fields, actions, "")
    }

    /// With the keys of `[flows.grant]`.
    pub(crate) fn with_end(world: World, grant: &str) -> Self {
        let fields = "mac = { kind = \"mac\", from = [{ field = \"mac\" }] }
            end = { kind = \"date\", from = [{ field = \"end\" }], optional = true }
            old = { kind = \"mac\", from = [{ field = \"old\" }], optional = true }";
        let add = r#"{ target = "nac", operation = "add", for_each = "mac" }"#;
        Self::of_flow(world, fields, add, grant)
    }

    fn of_flow(world: World, fields: &str, actions: &str, grant: &str) -> Self {
        let text = format!(
            r#"
            sources.feishu.kind = "any"
            [targets]
            nac = {{ connector = "generic", url = "http://nac" }}
            wlc = {{ connector = "generic", url = "http://wlc" }}
            [[flows]]
            name = "devices"
            definition_id = "A"
            actions = [{actions}]
            [flows.fields]
            {fields}
            [flows.grant]
            {grant}
            "#
        );
        let world = Arc::new(world);
        let port = || WorldPort(Arc::clone(&world));
        let processor = Processor {
            ledger: world.ledger.clone(),
            source: port(),
            targets: port(),
            queue: MemoryQueue::default(),
            dead_letters: port(),
            clock: world.clock.clone(),
            flows: Flows::parse(&text, &|_| None).unwrap(),
            metrics: Arc::<Counted>::clone(&world.metrics),
        };
        Self {
            world,
            processor,
            receives: 0,
            first_received: START,
            expires_at: None,
            time: Duration::from_mins(1),
            definition_id: "A",
        }
    }

    /// Delivers another message about the same request, as a redrive does.
    pub(crate) async fn redrive(&mut self) -> Disposition {
        self.world.advance(Duration::from_hours(1));
        self.receives = 0;
        self.first_received = self.world.clock.now();
        self.attempt().await
    }

    /// The request of the message.
    pub(crate) fn request(&self) -> Request {
        let definition_id = self.definition_id.into();
        Request { definition_id, received_at: START, ..request("I-1") }
    }

    /// The configuration loses its flows.
    pub(crate) fn lose_flows(&mut self) {
        self.take_flows();
    }

    /// Takes the flows out of the configuration.
    pub(crate) fn take_flows(&mut self) -> Vec<Flow> {
        std::mem::take(&mut self.processor.flows.flows)
    }

    /// The configuration has these flows.
    pub(crate) fn set_flows(&mut self, flows: Vec<Flow>) {
        self.processor.flows.flows = flows;
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    /// Delivers the message.
    pub(crate) async fn attempt(&mut self) -> Disposition {
        let body = self.request().to_json();
        self.deliver(&body).await
    }

    /// Another approval, of these devices, is delivered.
    pub(crate) async fn approve(&mut self, instance: &str, form: Form) -> Disposition {
        *self.world.form.lock().unwrap() = form;
        let received_at = self.world.clock.now();
        let body =
            Request { instance_id: instance.into(), received_at, ..self.request() }.to_json();
        self.deliver(&body).await
    }

    /// The source sends the event that the applicant of every approval left.
    pub(crate) async fn leave(&mut self) -> Disposition {
        let person = PersonKey::new("feishu", APPLICANT).unwrap();
        let now = self.world.clock.now();
        let body = PersonLeft::new(person, TraceId::random(), now).body();
        self.deliver(&body).await
    }

    /// A tick enqueues what is due, and the messages are delivered. The number of them.
    pub(crate) async fn tick(&mut self) -> usize {
        self.tick_only().await;
        self.deliver_enqueued().await
    }

    /// A tick enqueues what is due.
    pub(crate) async fn tick_only(&self) {
        let Processor { ledger, source, queue, clock, metrics, flows, .. } = &self.processor;
        let scheduler = Scheduler { ledger, source, queue, clock, flows, metrics };
        let lease_id = LeaseId::from(format!("tick-{}", clock.now()).as_str());
        tick(&scheduler, &lease_id).await.unwrap();
    }

    /// Puts a message about a grant into the queue.
    pub(crate) async fn enqueue_due(&self, key: &GrantKey) {
        let due = GrantDue::new(key.clone(), self.world.clock.now());
        self.processor.queue.enqueue(&due).await.unwrap();
    }

    /// Delivers what the worker itself enqueued. The number of messages.
    pub(crate) async fn deliver_enqueued(&mut self) -> usize {
        let bodies = self.enqueued();
        for body in &bodies {
            assert_eq!(self.deliver(body).await, Disposition::GrantDue);
        }
        bodies.len()
    }

    /// Delivers a message about the end of the approval that was withdrawn.
    pub(crate) async fn attempt_revocation(&mut self) -> Disposition {
        let trigger = Trigger::Decision(Decision::Revoked);
        let body = Request { trigger, ..self.request() }.to_json();
        self.deliver(&body).await
    }

    /// The messages that the worker itself enqueued, which are taken out of the queue.
    pub(crate) fn enqueued(&self) -> Vec<String> {
        self.processor.queue.take()
    }

    pub(crate) async fn deliver(&mut self, body: &str) -> Disposition {
        self.receives += 1;
        let now = self.world.clock.now();
        let lease_id = LeaseId::from(format!("lease-{now}-{}", self.receives).as_str());
        let message = Message {
            body,
            receive_count: self.receives,
            first_received: self.first_received,
            expires_at: self.expires_at,
            budget: AttemptBudget {
                no_new_calls_after: now.plus(self.time),
                abort_after: now.plus(Duration::from_hours(1)),
                respond_before: now.plus(Duration::from_hours(1)),
            },
            lease: Lease { id: lease_id, until: now.plus(Duration::from_mins(2)) },
        };
        process(&message, &self.processor).await
    }

    /// Runs attempts, each after the wait of the previous one, until the message leaves the queue
    /// or `most` of them ran. Returns their number, and the end.
    pub(crate) async fn play(&mut self, most: usize) -> (usize, Disposition) {
        for number in 1.. {
            match self.attempt().await {
                Disposition::RetryAfter { after, .. } if number < most => self.world.advance(after),
                end => return (number, end),
            }
        }
        unreachable!("the loop ends with `most` attempts")
    }
}

/// A text field.
pub(crate) fn field(name: &str, value: &str) -> Field {
    Field {
        custom_id: Some(name.into()),
        id: name.into(),
        name: name.into(),
        content: Content::Value(json!(value)),
    }
}

/// A form whose field `mac` has these devices.
pub(crate) fn form(devices: impl IntoIterator<Item = u8>) -> Form {
    let devices: Vec<_> = devices.into_iter().map(|last| device_number(last).to_string()).collect();
    Form { fields: vec![field("mac", &devices.join("\n"))] }
}
