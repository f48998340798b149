//! Ten thousand grants from their approvals to their ends, on a clock of the test: holds that
//! overlap, withdrawals, operators, workers that die, and a target that is down at times.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use greenlight_admin::grants::{self, NewGrant};
use greenlight_admin::operator::Operator;
use greenlight_admin::stores::Stores;
use greenlight_core::budget::AttemptBudget;
use greenlight_core::explain::Explanation;
use greenlight_core::flow::Flows;
use greenlight_core::form::{Attachment, Content, Field, Form};
use greenlight_core::grant::{CONFIRM_EVERY, GrantKey, Phase};
use greenlight_core::instance::{Instance, Status};
use greenlight_core::lease::{Lease, LeaseId};
use greenlight_core::ledger::{EffectKind, EffectOutcome};
use greenlight_core::metrics::NoMetrics;
use greenlight_core::operator::ActStore;
use greenlight_core::person::{PersonKey, Presence};
use greenlight_core::ports::{
    Act, Acted, Call, Clock, Conditions, Enqueue, KeepGrants, ListInstances, Listed, Ports,
    ReadInstance, ReadPerson, ReadSheet,
};
use greenlight_core::request::Trigger;
use greenlight_core::sweep::{Pace, SweepKey};
use greenlight_core::tick::{Scheduler, tick};
use greenlight_core::{
    Class, Decision, Disposition, Failure, Message, Processor, Request, Timestamp, process,
};
use greenlight_stores::sqlite::{Database, Received};
use greenlight_testkit::clock::TestClock;
use greenlight_testkit::hook::{Hook, Hooked, PortCall};
use greenlight_testkit::request::{DEFINITION_ID, request};
use greenlight_testkit::subject::device as subject;
use greenlight_tests::fate::Fate;
use greenlight_tests::scene::device;
use serde_json::{Map, Value, json};

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

const DEVICES: u32 = 10_000;

/// The time between two ticks here: a third of what guarantee 22 allows.
const STEP: Duration = Duration::from_mins(5);

/// The steps in which approvals begin.
const BEGINNING: u64 = 12 * 24;

/// The steps until the last withdrawal.
const MIDDLE: u64 = 12 * 24 * 4;

/// The steps of the whole run: withdrawals without a message are found by then.
const ALL: u64 = 12 * 24 * 12;

/// How much later than its end access may be removed, when the target works: a tick, the lease of
/// a worker that died, and the message of another tick.
const BOUND: Duration = Duration::from_mins(15);

/// How much later while the target was down, or workers died: the longest wait between two
/// attempts, more than once.
const BOUND_AFTER_FAULTS: Duration = Duration::from_hours(2);

/// An approval, or an operator's grant, of one device.
#[derive(Clone, Debug)]
struct Approval {
    device: u32,
    ended_at: Timestamp,
    until: Option<Timestamp>,
    withdrawn_at: Option<Timestamp>,
    /// Whether the message about the withdrawal is lost.
    is_message_lost: bool,
}

/// What an approval means for the access of its device, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// It holds it.
    Holds,
    /// It was withdrawn without a message, and may be found to be.
    MayHold,
    /// It has not held it since then; the latest first.
    Ended(std::cmp::Reverse<Timestamp>),
}

impl Approval {
    fn claim(&self, now: Timestamp) -> Claim {
        let is_past = |end: &Timestamp| *end <= now;
        let withdrawn_at = self.withdrawn_at.filter(is_past);
        let found_by =
            withdrawn_at.map(|at| if self.is_message_lost { at.plus(CONFIRM_EVERY) } else { at });
        let end = [self.until, found_by].into_iter().flatten().min().filter(is_past);
        match (end, withdrawn_at) {
            (Some(end), _) => Claim::Ended(std::cmp::Reverse(end)),
            (None, Some(_)) => Claim::MayHold,
            (None, None) => Claim::Holds,
        }
    }
}

/// The office system, and the target.
#[derive(Debug)]
struct Outside {
    clock: TestClock,
    approvals: Mutex<BTreeMap<String, Approval>>,
    allowed: Mutex<BTreeSet<String>>,
    random: Mutex<fastrand::Rng>,
}

#[derive(Clone, Debug)]
struct Port(Arc<Outside>);

impl Outside {
    /// The target is down for three hours of each day.
    fn is_down(&self) -> bool {
        let hour = self.clock.now().since(START).as_secs() / 3_600;
        hour % 24 >= 21
    }

    fn happens(&self, probability: f64) -> bool {
        self.random.lock().unwrap().f64() < probability
    }
}

impl ReadInstance for Port {
    async fn read_instance(&self, request: &Request) -> Result<Instance, Failure> {
        let approvals = self.0.approvals.lock().unwrap();
        let approval = &approvals[&request.instance_id];
        let is_withdrawn = approval.withdrawn_at.is_some_and(|at| at <= self.0.clock.now());
        let field = |name: &str, value: String| Field {
            custom_id: Some(name.into()),
            id: name.into(),
            name: name.into(),
            content: Content::Value(json!(value)),
        };
        let mut fields = vec![field("mac", device(approval.device))];
        let until = approval.until.and_then(|until| {
            Some(jiff::Timestamp::from_millisecond(until.as_millis()).ok()?.to_string())
        });
        fields.extend(until.map(|until| field("until", until)));
        Ok(Instance {
            instance_id: request.instance_id.clone(),
            definition_id: request.definition_id.clone(),
            status: if is_withdrawn { Status::Revoked } else { Status::Approved },
            ended_at: Some(approval.ended_at),
            applicant: "ou_1".into(),
            form_number: "1".into(),
            form: Form { fields },
            revokes: None,
        })
    }
}

impl ListInstances for Port {
    fn pace(&self, _: &str) -> Option<Pace> {
        None
    }

    async fn list_created(&self, key: &SweepKey, _: Range<Timestamp>) -> Result<Listed, Failure> {
        panic!("nothing is swept here: {key:?}")
    }
}

impl ReadPerson for Port {
    async fn presence(&self, person: &PersonKey) -> Result<Presence, Failure> {
        panic!("no person is asked for here: {person:?}")
    }
}

impl ReadSheet for Port {
    async fn read_sheet(
        &self,
        _: &str,
        file: &Attachment,
    ) -> Result<Result<Vec<Vec<Field>>, Explanation>, Failure> {
        panic!("no form here has a sheet: {file:?}")
    }
}

impl Conditions for Port {
    fn holds(&self, _: &str, _: &Map<String, Value>) -> Result<bool, Failure> {
        Ok(true)
    }

    fn condition_uses(&self, _: &str, _: &str) -> bool {
        false
    }

    fn uses(&self, _: &str, _: &str, _: &str) -> bool {
        false
    }

    fn kind(&self, _: &str, _: &str) -> EffectKind {
        EffectKind::Grant
    }

    fn revoked_by(&self, _: &str, _: &str) -> Option<String> {
        Some("remove".into())
    }
}

impl Act for Port {
    fn is_exclusive(&self, _: &str) -> bool {
        false
    }

    fn concurrency(&self, _: &str) -> usize {
        4
    }

    async fn act(&self, call: &Call<'_>) -> Result<Acted, Failure> {
        let fails = |class| Failure::retry(class, Explanation::quoted("for the test"));
        if self.0.is_down() {
            return Err(fails(Class::TargetUnavailable));
        }
        let device = call.subject.unwrap().value().to_owned();
        let is_new = if call.operation == "add" {
            self.0.allowed.lock().unwrap().insert(device)
        } else {
            self.0.allowed.lock().unwrap().remove(&device)
        };
        // It was done, and the answer is lost.
        if self.0.happens(0.02) {
            return Err(fails(Class::TargetTimeout));
        }
        Ok(if is_new { EffectOutcome::Done } else { EffectOutcome::AlreadyExists }.into())
    }
}

/// Kills the worker before or after the chosen call of a port.
#[derive(Clone, Debug)]
struct Kill(Fate);

impl Hook for Kill {
    async fn before(&self, _: &PortCall) {
        self.0.point().await;
    }

    async fn after(&self, _: &PortCall, _: bool) {
        self.0.point().await;
    }
}

struct Mortal;

impl Ports for Mortal {
    type Ledger = Hooked<Database, Kill>;
    type Source = Hooked<Port, Kill>;
    type Targets = Hooked<Port, Kill>;
    type Queue = Hooked<Database, Kill>;
    type DeadLetters = Hooked<Database, Kill>;
    type Clock = TestClock;
}

const FLOWS: &str = r#"
    sources.feishu.kind = "feishu"
    targets.nac = { connector = "generic", url = "https://nac.example.com" }
    [[flows]]
    name = "devices"
    definition_id = "DEFINITION"
    fields.mac = { kind = "mac", from = [{ field = "mac" }] }
    fields.until = { kind = "date", from = [{ field = "until" }], optional = true }
    grant = { until = "until", at_most = "900days" }
    actions = [{ target = "nac", operation = "add", for_each = "mac" }]
"#;

struct Run {
    outside: Arc<Outside>,
    database: Database,
    flows: Flows,
    /// The messages that arrive at each step.
    arrivals: BTreeMap<u64, Vec<Request>>,
    delivered: usize,
    killed: usize,
}

impl Run {
    async fn new(seed: u64) -> Self {
        let clock = TestClock::standing(START);
        let outside = Outside {
            clock,
            approvals: Mutex::default(),
            allowed: Mutex::default(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        };
        let flows = FLOWS.replace("DEFINITION", DEFINITION_ID);
        Self {
            outside: Arc::new(outside),
            database: Database::in_memory().await.unwrap(),
            flows: Flows::parse(&flows, &|_| None).unwrap(),
            arrivals: BTreeMap::new(),
            delivered: 0,
            killed: 0,
        }
    }

    /// Hands in one or two approvals for each device.
    fn hand_in(&mut self) {
        let outside = Arc::clone(&self.outside);
        let mut random = outside.random.lock().unwrap();
        let at = |step: u64| START.plus(STEP * u32::try_from(step).unwrap());
        for device in 0..DEVICES {
            for number in 0..random.u64(1..=2) {
                let begins = random.u64(1..BEGINNING);
                let ended_at = at(begins);
                // Never at midnight, which would be a date without a time.
                let lasts = Duration::from_secs(random.u64(60..6 * 24 * 60) * 60 + 1);
                let until = (random.f64() < 0.6).then(|| ended_at.plus(lasts));
                let withdrawn = (random.f64() < 0.4).then(|| random.u64(begins + 1..MIDDLE));
                let is_message_lost = random.f64() < 0.05;
                let instance = format!("I-{device}-{number}");
                let approved = Request { received_at: ended_at, ..request(&instance) };
                if let Some(step) = withdrawn.filter(|_| !is_message_lost) {
                    let trigger = Trigger::Decision(Decision::Revoked);
                    let revoked = Request { trigger, received_at: at(step), ..request(&instance) };
                    self.arrivals.entry(step).or_default().push(revoked);
                }
                self.arrivals.entry(begins).or_default().push(approved);
                let withdrawn_at = withdrawn.map(at);
                let approval = Approval { device, ended_at, until, withdrawn_at, is_message_lost };
                outside.approvals.lock().unwrap().insert(instance, approval);
            }
        }
    }

    fn processor(&self, fate: &Fate) -> Processor<Mortal> {
        let hook = || Kill(fate.clone());
        let database = || Hooked { port: self.database.clone(), hook: hook() };
        let outside = || Hooked { port: Port(Arc::clone(&self.outside)), hook: hook() };
        Processor {
            ledger: database(),
            source: outside(),
            targets: outside(),
            queue: database(),
            dead_letters: database(),
            clock: self.outside.clock.clone(),
            flows: self.flows.clone(),
            metrics: NoMetrics::nowhere(),
        }
    }

    /// Delivers a message to a worker, which may die; `true` if it did.
    async fn deliver(&self, received: Received, number: usize) -> bool {
        let is_fatal = self.outside.happens(0.02);
        let point = self.outside.random.lock().unwrap().usize(1..30);
        let fate = Fate::fatal(if is_fatal { point } else { 0 });
        self.deliver_with(received, number, &fate).await
    }

    async fn deliver_with(&self, received: Received, number: usize, fate: &Fate) -> bool {
        let now = self.outside.clock.now();
        let processor = self.processor(fate);
        let message = Message {
            body: &received.body,
            receive_count: received.receive_count,
            first_received: received.first_received(),
            expires_at: None,
            budget: AttemptBudget::until(now.plus(Duration::from_mins(2))),
            lease: Lease {
                id: LeaseId::from(format!("lease-{number}").as_str()),
                until: now.plus(Duration::from_secs(90)),
            },
        };
        let disposition = tokio::select! {
            biased;
            disposition = process(&message, &processor) => disposition,
            () = fate.killed() => return true,
        };
        match disposition {
            Disposition::RetryAfter { after, .. } => {
                self.database.retry_after(&received, now, after).await.unwrap();
            }
            _ => self.database.delete(&received).await.unwrap(),
        }
        false
    }

    /// Delivers everything that is visible now, sixteen messages at a time.
    async fn deliver_all(&mut self) {
        let now = self.outside.clock.now();
        let hidden_until = now.plus(Duration::from_secs(90));
        loop {
            let received = self.database.receive(16, now, hidden_until).await.unwrap();
            if received.is_empty() {
                return;
            }
            let delivered = self.delivered;
            self.delivered += received.len();
            let numbered = received.into_iter().zip(delivered..);
            let deliveries = numbered.map(|(message, number)| self.deliver(message, number));
            let mut deliveries = deliveries.collect::<FuturesUnordered<_>>();
            let mut killed = 0;
            while let Some(is_killed) = deliveries.next().await {
                killed += usize::from(is_killed);
            }
            drop(deliveries);
            self.killed += killed;
        }
    }

    async fn step(&mut self, step: u64) {
        for request in self.arrivals.remove(&step).unwrap_or_default() {
            self.database.enqueue(&request).await.unwrap();
        }
        let (ledger, queue) = (&self.database, &self.database);
        let (clock, metrics) = (&self.outside.clock, &NoMetrics::nowhere());
        let (source, flows) = (&Port(Arc::clone(&self.outside)), &self.flows);
        let scheduler = Scheduler { ledger, source, queue, clock, flows, metrics };
        tick(&scheduler, &LeaseId::from(format!("tick-{step}").as_str())).await.unwrap();
        self.deliver_all().await;
    }

    /// The strongest claim to the access of each device.
    fn claims(&self) -> BTreeMap<u32, Claim> {
        let now = self.outside.clock.now();
        let mut claims = BTreeMap::new();
        for approval in self.outside.approvals.lock().unwrap().values() {
            if approval.ended_at <= now {
                let claim = approval.claim(now);
                let strongest = claims.entry(approval.device).or_insert(claim);
                *strongest = claim.min(*strongest);
            }
        }
        claims
    }

    /// Checks every device; returns the longest time that access was left.
    fn check(&self, granted: &mut BTreeSet<u32>) -> Duration {
        let now = self.outside.clock.now();
        let allowed = self.outside.allowed.lock().unwrap();
        let mut latest = Duration::ZERO;
        for (number, claim) in self.claims() {
            match (claim, allowed.contains(&device(number))) {
                (Claim::Holds, true) => drop(granted.insert(number)),
                (Claim::Holds, false) => {
                    let is_early = granted.contains(&number) && !self.is_being_granted(number);
                    assert!(!is_early, "the access of {number} ended early");
                }
                (Claim::Ended(end), true) => latest = latest.max(now.since(end.0)),
                (Claim::MayHold, _) | (Claim::Ended(_), false) => drop(granted.remove(&number)),
            }
        }
        latest
    }

    /// Whether an approval of the device ended within the time that its grant may take.
    fn is_being_granted(&self, number: u32) -> bool {
        let now = self.outside.clock.now();
        let approvals = self.outside.approvals.lock().unwrap();
        let mut of_device = approvals.values().filter(|approval| approval.device == number);
        of_device.any(|it| it.ended_at <= now && now.since(it.ended_at) < Duration::from_hours(6))
    }
}

/// Guarantees 22, 23 and 26 over ten thousand grants: none ends early, none later than its bound,
/// none is left over, and every act of the operators is recorded.
#[tokio::test]
async fn g22_23_26_ten_thousand_grants_end_when_they_should() {
    let mut run = Run::new(1).await;
    run.hand_in();
    let stores = Stores::of(run.database.clone());
    let operator = Operator { who: "li@host".into(), acts: Arc::new(run.database.clone()) };
    let (mut granted, mut acts) = (BTreeSet::new(), 0);
    let (mut latest, mut latest_of_all) = (Duration::ZERO, Duration::ZERO);
    for step in 1..ALL {
        run.outside.clock.advance(STEP);
        let now = run.outside.clock.now();
        // An operator gives a device access for three hours, in each hour of the second day.
        if (BEGINNING..2 * BEGINNING).contains(&step) && step % 12 == 0 {
            let device_number = DEVICES + acts;
            let until = now.plus(Duration::from_hours(3));
            let new = NewGrant {
                target: "nac".into(),
                subject: subject(&device(device_number)),
                operation: "add".into(),
                revoked_by: Some("remove".into()),
                owner: "ou_2".into(),
                until,
            };
            grants::grant(&stores, &operator, &new, "a visitor", now).await.unwrap();
            let (until, withdrawn_at) = (Some(until), None);
            let approval = Approval {
                device: device_number,
                ended_at: now,
                until,
                withdrawn_at,
                is_message_lost: false,
            };
            run.outside.approvals.lock().unwrap().insert(format!("act-{acts}"), approval);
            acts += 1;
        }
        run.step(step).await;
        if step % 24 == 0 {
            let late = run.check(&mut granted);
            latest_of_all = latest_of_all.max(late);
            // Faults apart: workers that die, lost answers, and the hours after an outage.
            if step % (12 * 24) < 12 * 20 && step % (12 * 24) > 12 * 3 {
                latest = latest.max(late);
            }
        }
    }
    println!(
        "{} messages, {} workers killed; the latest removal {latest:?} after its end, \
         {latest_of_all:?} with outages",
        run.delivered, run.killed
    );
    assert!(run.killed > 300, "{}", run.killed);
    assert!(latest <= BOUND + STEP * 4, "{latest:?}");
    assert!(latest_of_all <= Duration::from_hours(3) + BOUND_AFTER_FAULTS, "{latest_of_all:?}");

    // Nothing is left over, and nothing is missing.
    let claims = run.claims();
    let held = claims.iter().filter(|(_, claim)| **claim == Claim::Holds);
    let held: BTreeSet<_> = held.map(|(number, _)| device(*number)).collect();
    assert_eq!(*run.outside.allowed.lock().unwrap(), held);
    for number in claims.keys() {
        let key = GrantKey::new("nac", &subject(&device(*number)));
        let record = run.database.change_grant(&key, |it| (it, ())).await.unwrap().0;
        let is_held = held.contains(&device(*number));
        assert_eq!(record.phase(), if is_held { Phase::Held } else { Phase::Ended }, "{record:?}");
    }
    // While the target was down the end of some came before their beginning.
    let letters = run.database.dead_letters().await.unwrap();
    let codes = letters.iter().map(|letter| &*letter.last_failure.as_ref().unwrap().cause.code);
    assert!(codes.clone().all(|code| code == "no_end.past"), "{:?}", codes.collect::<Vec<_>>());
    let forever = Timestamp::from_millis(i64::MAX);
    let recorded = run.database.acts(usize::from(u16::MAX), forever).await.unwrap();
    assert_eq!(recorded.len(), usize::try_from(acts).unwrap());
    println!("{} devices had access, {} have it still", claims.len(), held.len());
}

/// One approval whose access ends, with a worker that dies at the chosen point of that; the number
/// of points that were reached.
async fn end_with_a_crash_at(point: usize, is_withdrawn: bool) -> usize {
    let mut run = Run::new(2).await;
    let approval = Approval {
        device: 1,
        ended_at: START,
        until: (!is_withdrawn).then(|| START.plus(Duration::from_secs(3_601))),
        withdrawn_at: None,
        is_message_lost: false,
    };
    run.outside.approvals.lock().unwrap().insert("I-1".into(), approval);
    run.database.enqueue(&Request { received_at: START, ..request("I-1") }).await.unwrap();
    let never = Fate::fatal(0);
    run.deliver_each(&never).await;
    assert_eq!(run.outside.allowed.lock().unwrap().len(), 1);
    run.outside.clock.advance(Duration::from_hours(2));
    let now = run.outside.clock.now();
    if is_withdrawn {
        run.outside.approvals.lock().unwrap().get_mut("I-1").unwrap().withdrawn_at = Some(now);
        let trigger = Trigger::Decision(Decision::Revoked);
        let revoked = Request { trigger, received_at: now, ..request("I-1") };
        run.database.enqueue(&revoked).await.unwrap();
    }
    let fate = Fate::fatal(point);
    for step in 0..12 {
        let scheduler = Scheduler {
            ledger: &run.database,
            source: &Port(Arc::clone(&run.outside)),
            queue: &run.database,
            clock: &run.outside.clock,
            flows: &run.flows,
            metrics: &NoMetrics::nowhere(),
        };
        tick(&scheduler, &LeaseId::from(format!("tick-{step}").as_str())).await.unwrap();
        run.deliver_each(&fate).await;
        run.outside.clock.advance(STEP);
    }
    let key = GrantKey::new("nac", &subject(&device(1)));
    let record = run.database.change_grant(&key, |it| (it, ())).await.unwrap().0;
    assert_eq!((record.phase(), record.due()), (Phase::Ended, None), "point {point}: {record:?}");
    assert_eq!(run.outside.allowed.lock().unwrap().len(), 0, "point {point}");
    assert_eq!(run.database.dead_letters().await.unwrap(), [], "point {point}");
    fate.reached()
}

impl Run {
    /// Delivers everything that is visible now, one message after the other.
    async fn deliver_each(&mut self, fate: &Fate) {
        let now = self.outside.clock.now();
        let hidden_until = now.plus(Duration::from_secs(90));
        while let Some(received) = self.database.receive(1, now, hidden_until).await.unwrap().pop()
        {
            self.delivered += 1;
            self.deliver_with(received, self.delivered, fate).await;
        }
    }
}

/// A crash before or after each call of a port, from the end of the last hold to the record of its
/// removal: the access is removed all the same.
#[tokio::test]
async fn g22_23_access_ends_after_a_crash_at_every_await() {
    for is_withdrawn in [true, false] {
        let points = end_with_a_crash_at(0, is_withdrawn).await;
        assert!(points >= 10, "{points}");
        for point in 1..=points {
            end_with_a_crash_at(point, is_withdrawn).await;
        }
        println!("{points} points, withdrawn: {is_withdrawn}");
    }
}
