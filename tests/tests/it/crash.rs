//! Crashes at every await of an attempt: before and after each call of a port.
//!
//! Stores, source and target are the real ones: SQLite, Feishu's client, and the HTTP connector
//! over loopback.

mod sweeps;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenlight_connectors::connector::ConnectorError;
use greenlight_connectors::{Connectors, Setup, Targets};
use greenlight_core::budget::AttemptBudget;
use greenlight_core::flow::Flows;
use greenlight_core::lease::{Lease, LeaseLost};
use greenlight_core::ledger::{Effect, EffectKey, EffectKind, EffectOutcome};
use greenlight_core::metrics::NoMetrics;
use greenlight_core::ports::{Clock, Enqueue, Ports, RecordEffect};
use greenlight_core::secret::{FixedSecret, Secret};
use greenlight_core::{Disposition, Message, Processor, Request, Timestamp, process};
use greenlight_http::Client;
use greenlight_runtime::HttpSources;
use greenlight_sources::registry::Registry;
use greenlight_sources::source::SourcePorts;
use greenlight_stores::sqlite::Database;
use greenlight_testkit::clock::TestClock;
use greenlight_testkit::hook::{Hook, Hooked, PortCall};
use greenlight_testkit::request::request;
use greenlight_testkit::stub::{at_feishu, form_of, secret_document};
use greenlight_tests::fate::Fate;
use greenlight_tests::scene::{APPROVAL_CODE, NAC_TOKEN, Scene, device};

/// A crash point before and after each call of a port. Also checks that no recorded effect is
/// repeated.
#[derive(Clone, Debug)]
struct Crash {
    fate: Fate,
    recorded: Arc<Mutex<BTreeSet<EffectKey>>>,
}

impl Hook for Crash {
    async fn before(&self, call: &PortCall) {
        if let PortCall::Act(key) = call {
            let is_recorded = self.recorded.lock().unwrap().contains(key);
            assert!(!is_recorded, "a recorded effect is not repeated: {key:?}");
        }
        self.fate.point().await;
    }

    async fn after(&self, call: &PortCall, has_succeeded: bool) {
        if let PortCall::RecordEffect(key) = call
            && has_succeeded
        {
            self.recorded.lock().unwrap().insert(key.clone());
        }
        self.fate.point().await;
    }
}

/// The initial time of all clocks here.
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

const HELD_FOR: Duration = Duration::from_secs(90);

/// A worker that can crash.
#[derive(Clone, Debug)]
struct Mortal;

type Mortally<P> = Hooked<P, Crash>;

impl Ports for Mortal {
    type Ledger = Mortally<Database>;
    type Source = Mortally<HttpSources>;
    type Targets = Mortally<Targets<Client, FixedSecret, TestClock>>;
    type Queue = Mortally<Database>;
    type DeadLetters = Mortally<Database>;
    type Clock = TestClock;
}

/// One approval, from its event to its completion.
struct Case {
    scene: Scene,
    database: Database,
    clock: TestClock,
    recorded: Arc<Mutex<BTreeSet<EffectKey>>>,
    /// The valid devices of the form.
    good: Vec<String>,
    is_bad: bool,
    flows: String,
}

const FLOWS: &str = include_str!("../../../infra/flows.toml");

impl Case {
    /// A case with two valid devices, and a mistyped one if `is_bad`.
    async fn new(scene: &Scene, number: usize, is_bad: bool) -> Self {
        let scene = scene.with_another_nac().await;
        let bad = if is_bad { "00:00:5e:00:53:0O" } else { "" };
        let form = form_of(bad, &[&device(1), &device(2)]);
        let flows = at_feishu(FLOWS, &scene.feishu.url());
        scene.feishu.put_instance(&format!("I-{number}"), APPROVAL_CODE, "APPROVED", &form);
        Self {
            scene,
            database: Database::in_memory().await.unwrap(),
            clock: TestClock::standing(START),
            recorded: Arc::default(),
            good: vec![device(1), device(2)],
            is_bad,
            flows,
        }
    }

    fn processor(&self, fate: &Fate) -> Processor<Mortal> {
        let secret = secret_document(&self.scene.app, NAC_TOKEN).to_string();
        let secret = FixedSecret(Arc::new(Secret::parse(&secret).unwrap()));
        let clock = self.clock.clone();
        let environment = |name: &str| match name {
            "NAC_URL" => Some(self.scene.nac.url()),
            _ => Some(APPROVAL_CODE.to_owned()),
        };
        let flows = Flows::parse(&self.flows, &environment).unwrap();
        let http = self.scene.client.clone();
        let setup = Setup::new(&flows, &Connectors::built_in()).unwrap();
        let actions = Targets::new(setup, secret.clone(), clock.clone(), |_, _| {
            Ok::<_, ConnectorError>(http.clone())
        });
        let actions = actions.unwrap();
        let ports = SourcePorts::new(http.clone(), secret, clock.clone(), actions.clone());
        let sources = Registry::new(&flows.sources).unwrap().clients(&ports);
        Processor {
            ledger: self.mortal(fate, self.database.clone()),
            source: self.mortal(fate, HttpSources(sources, http.clone())),
            targets: self.mortal(fate, actions),
            queue: self.mortal(fate, self.database.clone()),
            dead_letters: self.mortal(fate, self.database.clone()),
            clock,
            flows,
            metrics: NoMetrics::nowhere(),
        }
    }

    fn mortal<P>(&self, fate: &Fate, port: P) -> Mortally<P> {
        let recorded = Arc::clone(&self.recorded);
        Hooked { port, hook: Crash { fate: fate.clone(), recorded } }
    }

    fn message(&self, body: &str, lease_id: &str) -> (String, Lease, Timestamp) {
        let now = self.clock.now();
        (body.to_owned(), Lease { id: lease_id.into(), until: now.plus(HELD_FOR) }, now)
    }

    /// Delivers the message once; `None` if the worker was killed.
    async fn deliver(&self, body: &str, lease_id: &str, fate: &Fate) -> Option<Disposition> {
        tokio::select! {
            biased;
            disposition = self.deliver_received(body, lease_id, fate) => Some(disposition),
            () = fate.killed() => None,
        }
    }

    async fn deliver_received(&self, body: &str, lease_id: &str, fate: &Fate) -> Disposition {
        let (body, lease, now) = self.message(body, lease_id);
        let processor = self.processor(fate);
        let message = Message {
            body: &body,
            receive_count: 1,
            first_received: now,
            expires_at: None,
            budget: AttemptBudget::until(now.plus(Duration::from_mins(2))),
            lease,
        };
        process(&message, &processor).await
    }

    /// Delivers the message until the request ends. Waits for the lease of a dead worker to expire.
    async fn deliver_to_the_end(&self, body: &str, lease_id: &str) {
        let mut last = None;
        // On a busy machine a call can take too long, too.
        for attempt in 0..20 {
            let lease_id = format!("{lease_id}-{attempt}");
            match self.deliver(body, &lease_id, &Fate::fatal(0)).await.unwrap() {
                Disposition::Done => return,
                other @ (Disposition::Unwanted
                | Disposition::Withdrawn(_)
                | Disposition::GrantDue
                | Disposition::SweepDue
                | Disposition::PersonLeft) => {
                    panic!("{other:?}")
                }
                Disposition::DeadLettered(_) => {
                    assert!(self.is_bad, "only the bad form is a dead letter");
                    return;
                }
                Disposition::RetryAfter { reason, .. } => {
                    last = Some(reason);
                    self.clock.advance(HELD_FOR);
                }
            }
        }
        panic!("the request does not end: {last:?}");
    }

    async fn check(&self, first_owner: &str, body: &str) {
        assert_eq!(self.scene.nac.whitelist(), self.good);
        let letters = self.database.dead_letters().await.unwrap();
        assert_eq!(!letters.is_empty(), self.is_bad, "{letters:?}");

        // Guarantee 7: the first worker continues long after its lease has expired.
        let request = Request::parse(body).unwrap();
        let key = EffectKey::from("nac/add/late");
        let effect =
            Effect { kind: EffectKind::Grant, outcome: EffectOutcome::Done, at: self.clock.now() };
        let late = self
            .database
            .record_effect(&request.key(), &first_owner.into(), &key, effect, self.clock.now())
            .await;
        assert_eq!(late.unwrap(), Err(LeaseLost));

        // Guarantees 4, 5 and 11: the same event, another event id, and a redrive add no call.
        let calls = self.scene.nac.calls();
        let other_id = Request { event_id: "another".into(), ..request }.to_json();
        for (body, lease_id) in [(body, "again"), (other_id.as_str(), "other"), (body, "redrive")] {
            self.deliver_to_the_end(body, lease_id).await;
        }
        assert_eq!(self.scene.nac.calls(), calls);
    }
}

fn body(number: usize) -> String {
    request(&format!("I-{number}")).to_json()
}

/// Guarantees 4, 5, 6, 7 and 11 for a crash at each point, and for two crashes at each pair of
/// points.
#[tokio::test(flavor = "multi_thread")]
async fn g04_05_06_07_11_hold_after_a_crash_at_every_await() {
    let scene = Scene::set().await;
    let (mut number, mut repeated) = (0, 0);
    for is_bad in [false, true] {
        let mut points = 0;
        for first in 1.. {
            let mut second_points = 0;
            for second in 1.. {
                number += 1;
                let case = Case::new(&scene, number, is_bad).await;
                let body = body(number);
                let fate = Fate::fatal(first);
                if case.deliver(&body, "first", &fate).await.is_some() {
                    points = fate.reached();
                    break;
                }
                case.clock.advance(HELD_FOR);
                let fate = Fate::fatal(second);
                let is_over = case.deliver(&body, "second", &fate).await.is_some();
                case.clock.advance(HELD_FOR);
                case.deliver_to_the_end(&body, "last").await;
                let calls = case.scene.nac.calls();
                assert!(calls <= case.good.len() + 2, "at most one call is repeated per crash");
                repeated += calls - case.good.len();
                case.check("first", &body).await;
                if is_over {
                    second_points = fate.reached();
                    break;
                }
            }
            if second_points == 0 {
                break;
            }
        }
        assert!(points > 10, "claim, read, act, record, complete have two points each: {points}");
        println!("bad form {is_bad}: {points} points");
    }
    println!("{number} runs, {repeated} calls repeated after a crash before the record");
    assert!(repeated > 0, "crashes between the call and its record were among them");
}

/// The device is on the list at the end only if every attempt removes it before it adds it.
#[tokio::test(flavor = "multi_thread")]
async fn g16_actions_keep_their_order_after_a_crash_at_every_await() {
    let scene = Scene::set().await;
    let action = "[[flows.actions]]\ntarget = \"nac\"\nfor_each = \"mac\"\n";
    let remove = format!("{action}operation = \"remove\"\n");
    let flows = at_feishu(FLOWS, &scene.feishu.url());
    let flows = flows.replacen("[[flows.actions]]", &format!("{remove}\n[[flows.actions]]"), 1);
    let mut points = 0;
    for number in 1.. {
        let case = Case { flows: flows.clone(), ..Case::new(&scene, number, false).await };
        let body = body(number);
        let fate = Fate::fatal(number);
        let is_over = case.deliver(&body, "first", &fate).await.is_some();
        case.clock.advance(HELD_FOR);
        case.deliver_to_the_end(&body, "last").await;
        assert_eq!(case.scene.nac.whitelist(), case.good, "crash at point {number}");
        assert!(case.scene.nac.calls() <= 5, "two effects per device, and one repeated");
        if is_over {
            points = fate.reached();
            break;
        }
    }
    assert!(points > 14, "two effects per device have four points each: {points}");
    println!("two actions per device: {points} points");
}

/// A source that panics for one instance and never answers for another.
#[derive(Clone, Debug)]
struct PanicAndHang;

impl Hook for PanicAndHang {
    async fn before(&self, call: &PortCall) {
        match call {
            PortCall::ReadInstance(instance) if instance == "I-1" => panic!("on purpose"),
            PortCall::ReadInstance(instance) if instance == "I-2" => std::future::pending().await,
            _ => {}
        }
    }

    async fn after(&self, _: &PortCall, _: bool) {}
}

/// A worker whose source fails.
#[derive(Debug)]
struct Defective;

impl Ports for Defective {
    type Ledger = <Mortal as Ports>::Ledger;
    type Source = Hooked<<Mortal as Ports>::Source, PanicAndHang>;
    type Targets = <Mortal as Ports>::Targets;
    type Queue = <Mortal as Ports>::Queue;
    type DeadLetters = <Mortal as Ports>::DeadLetters;
    type Clock = TestClock;
}

/// Guarantee 8: a panic, a hang and a poison message do not affect the other seven.
#[tokio::test(flavor = "multi_thread")]
async fn g08_one_bad_record_costs_the_others_nothing() {
    let scene = Scene::set().await;
    let case = Case::new(&scene, 0, false).await;
    for number in 1..10_u32 {
        let form = form_of("", &[&device(number)]);
        let instance = format!("I-{number}");
        scene.feishu.put_instance(&instance, APPROVAL_CODE, "APPROVED", &form);
    }
    let mortal = case.processor(&Fate::fatal(0));
    let clock = TestClock::standing(START);
    let processor = Processor::<Defective> {
        ledger: mortal.ledger,
        source: Hooked { port: mortal.source, hook: PanicAndHang },
        targets: mortal.targets,
        queue: mortal.queue,
        dead_letters: mortal.dead_letters,
        clock: clock.clone(),
        flows: mortal.flows,
        metrics: NoMetrics::nowhere(),
    };
    let mut bodies: Vec<String> = (1..10).map(body).collect();
    bodies.push("poison".to_owned());
    let now = processor.clock.now();
    let messages: Vec<Message<'_>> = bodies
        .iter()
        .enumerate()
        .map(|(n, body)| Message {
            body,
            receive_count: 1,
            first_received: now,
            expires_at: None,
            budget: AttemptBudget::until(now.plus(Duration::from_mins(2))),
            lease: Lease { id: format!("lease-{n}").as_str().into(), until: now.plus(HELD_FOR) },
        })
        .collect();
    // All run concurrently; the one that hangs runs out of time after the others have ended.
    let left = AtomicUsize::new(messages.len() - 1);
    let attempts = messages.iter().map(async |message| {
        let disposition = process(message, &processor).await;
        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
            clock.end_sleeps(Duration::MAX);
        }
        disposition
    });
    let dispositions = futures_util::future::join_all(attempts).await;
    for (n, disposition) in dispositions.iter().enumerate() {
        match (n, disposition) {
            (0 | 1, Disposition::RetryAfter { reason, .. }) => {
                assert_eq!(reason.class.as_str(), "internal_error");
            }
            (9, Disposition::DeadLettered(reason)) => {
                assert_eq!(reason.class.as_str(), "invalid_message");
            }
            (2..=8, Disposition::Done) => {}
            _ => panic!("message {n}: {disposition:?}"),
        }
    }
    let expected: Vec<String> = (3..10).map(device).collect();
    assert_eq!(case.scene.nac.whitelist(), expected);
}

/// Guarantee 9: requests for a target that is down are not dead-lettered before `max_elapsed`, and
/// it gets one probe at a time, however many requests wait.
#[tokio::test(flavor = "multi_thread")]
async fn g09_requests_are_retried_until_max_elapsed() {
    const WAITING: usize = 5;
    let scene = Scene::set().await;
    let case = Case::new(&scene, 1, false).await;
    for number in 1..=WAITING {
        let form = form_of("", &[&device(1)]);
        scene.feishu.put_instance(&format!("I-{number}"), APPROVAL_CODE, "APPROVED", &form);
    }
    let processor = case.processor(&Fate::fatal(0));
    let first_received = case.clock.now();
    case.scene.nac.set_down(true);
    let mut due = [first_received; WAITING];
    let mut receives = 0_u32;
    let ends = loop {
        // The next due message.
        let next = (0..WAITING).min_by_key(|&n| due[n]).unwrap();
        case.clock.advance(due[next].since(case.clock.now()));
        receives += 1;
        let now = case.clock.now();
        let body = body(next + 1);
        let message = Message {
            body: &body,
            receive_count: receives,
            first_received,
            expires_at: None,
            // Leaves no time for quick retries, which would sleep on a clock that stands still.
            budget: AttemptBudget {
                no_new_calls_after: now.plus(Duration::from_millis(1)),
                ..AttemptBudget::until(now.plus(Duration::from_mins(2)))
            },
            lease: Lease {
                id: format!("lease-{receives}").as_str().into(),
                until: now.plus(HELD_FOR),
            },
        };
        match process(&message, &processor).await {
            Disposition::RetryAfter { after, .. } => due[next] = now.plus(after),
            end => break (end, now),
        }
    };
    let (Disposition::DeadLettered(reason), ended) = ends else { panic!("{ends:?}") };
    assert!(reason.cause.text.contains("given up after 24 h"), "{reason}");
    let waited = ended.since(first_received);
    assert!(waited >= Duration::from_hours(24), "{waited:?}");
    let calls = case.scene.nac.calls();
    println!(
        "{WAITING} requests, {receives} receives and {calls} calls in {} h",
        waited.as_secs() / 3600
    );
    // One probe every five minutes is 288 a day; concurrent probes would be more.
    assert!(calls <= 300, "{calls}");
    assert!(calls >= 90, "at least one probe every quarter of an hour: {calls}");
}

/// Under any use the queue gives a message to one receiver at a time.
#[tokio::test]
async fn the_sqlite_queue_hides_messages_in_flight() {
    let database = Database::in_memory().await.unwrap();
    let request = Request::parse(&body(1)).unwrap();
    database.enqueue(&request).await.unwrap();
    let at = Timestamp::from_millis;
    let first = database.receive(10, at(0), at(10)).await.unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(database.receive(10, at(9), at(19)).await.unwrap(), []);
    let again = database.receive(10, at(10), at(20)).await.unwrap();
    assert_eq!(again[0].receive_count, 2);
    assert_eq!(again[0].first_received(), at(0));
    // A worker whose visibility timeout has expired deletes nothing.
    database.delete(&first[0]).await.unwrap();
    assert_eq!(database.next_visible().await.unwrap(), Some(at(20)));
    database.delete(&again[0]).await.unwrap();
    assert_eq!(database.next_visible().await.unwrap(), None);
}

#[tokio::test]
async fn a_clock_that_is_set_back_hides_no_message_for_longer_than_it_was_to_wait() {
    let database = Database::in_memory().await.unwrap();
    database.enqueue(&Request::parse(&body(1)).unwrap()).await.unwrap();
    let now = Timestamp::from_millis(1_700_000_000_000);
    let hour = Duration::from_hours(1);
    let first = database.receive(1, now, now.plus(hour)).await.unwrap();
    database.retry_after(&first[0], now, hour).await.unwrap();
    let corrected = now.minus(Duration::from_secs(10));
    assert_eq!(database.receive(1, corrected, corrected.plus(hour)).await.unwrap(), []);
    let set_back = now.minus(Duration::from_hours(24 * 365));
    let again = database.receive(1, set_back, set_back.plus(hour)).await.unwrap();
    assert_eq!(again.len(), 1, "it would be hidden for a year");
    assert_eq!(database.receive(1, set_back, set_back.plus(hour)).await.unwrap(), []);
    assert_eq!(database.receive(1, set_back.plus(hour), now).await.unwrap().len(), 1);
}
