//! The ledger's state machine, checked exhaustively: every order of deliveries, crashes, leases
//! that run out and redrives that two or three workers with clocks of their own can bring about.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by a panic that something is not as it should be"
)]

use greenlight_core::ledger::{
    Command, CommandResult, Completion, Effect, EffectKey, EffectOutcome, Lease, LeaseId, Record,
    State, apply,
};
use greenlight_core::retry::RetryState;
use greenlight_core::{Class, Reason, Timestamp};
use stateright::{Checker, HasDiscoveries, Model, Property};

/// The effects of the request: two actions on one device, in the order of the flow.
const EFFECTS: [&str; 2] = ["nac/remove/one", "nac/add/one"];

/// How long a lease holds, in ticks.
const LEASE: i64 = 2;

/// The state machine under test: the real one, or one that is broken on purpose.
type Machine = fn(Option<Record>, Command, Timestamp) -> (Option<Record>, CommandResult);

/// What may happen, and how often.
#[derive(Clone)]
struct World {
    machine: Machine,
    /// How far each worker's clock is ahead, in ticks.
    clocks: Vec<i64>,
    /// Messages that tell of the request: an event, its duplicate, another event id.
    messages: u8,
    crashes: u8,
    /// Ticks that may pass while the holder of the lease is alive, and so is slow.
    slowness: u8,
    redrives: u8,
    /// Whether a device of the form is bad, so that the request ends as failed.
    is_bad: bool,
    /// Whether each attempt begins at another effect, as if their order did not matter.
    rotates: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Moment {
    record: Option<Record>,
    now: i64,
    /// Messages that can be delivered.
    queue: u8,
    workers: Vec<Option<Attempt>>,
    crashes_left: u8,
    slowness_left: u8,
    redrives_left: u8,
    claims: u8,
    /// How often each effect was attempted at the target, and recorded in the ledger.
    attempted: [u8; 2],
    recorded: [u8; 2],
    /// Crashes, and leases that were lost by a living worker.
    excuses: u8,
    /// Whether a write without the lease changed something.
    is_breached: bool,
    /// Whether the second effect was begun before the first was recorded.
    is_out_of_order: bool,
}

/// A worker at it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Attempt {
    lease_id: LeaseId,
    /// Effects that are left to do.
    left: Vec<usize>,
    /// The effect that was done at the target and is not recorded yet.
    done: Option<usize>,
}

#[derive(Clone, Debug, PartialEq)]
enum ModelStep {
    Deliver(usize),
    Act(usize),
    Record(usize),
    Complete(usize),
    Crash(usize),
    Tick,
    Redrive,
}

impl World {
    fn time_of(&self, worker: usize, moment: &Moment) -> Timestamp {
        Timestamp::from_millis(1_000 + moment.now + self.clocks[worker])
    }

    /// Runs a command as a worker, and watches for a write without the lease.
    fn run(&self, worker: usize, moment: &mut Moment, command: Command) -> CommandResult {
        let now = self.time_of(worker, moment);
        let holds = |record: &Option<Record>, lease_id: &LeaseId| {
            record.as_ref().is_some_and(|record| {
                matches!(&record.state, State::Running(lease) if lease.id == *lease_id && now < lease.until)
            })
        };
        let (is_write, may) = match &command {
            Command::Claim(_) | Command::Reset => (false, true),
            Command::RecordEffect(lease_id, ..) | Command::Complete(lease_id, _) => {
                (true, holds(&moment.record, lease_id))
            }
        };
        let before = moment.record.clone();
        let (record, answer) = (self.machine)(moment.record.take(), command, now);
        moment.is_breached |= is_write && !may && record != before;
        moment.record = record;
        answer
    }

    fn deliver(&self, worker: usize, moment: &mut Moment) -> bool {
        let lease_id = LeaseId::from(format!("owner-{}", moment.claims).as_str());
        let until = self.time_of(worker, moment).as_millis() + LEASE;
        let lease = Lease { id: lease_id.clone(), until: Timestamp::from_millis(until) };
        let now = self.time_of(worker, moment);
        let is_lost_by_the_living = moment.holder().is_some() && moment.has_run_out(now);
        match self.run(worker, moment, Command::Claim(lease)) {
            CommandResult::Claim(Ok(taken)) => {
                moment.queue -= 1;
                moment.claims += 1;
                moment.excuses += u8::from(is_lost_by_the_living);
                let is_left = |effect: &usize| !taken.effects.contains_key(&key(*effect));
                let mut left: Vec<_> = (0..EFFECTS.len()).filter(is_left).collect();
                if self.rotates && !left.is_empty() {
                    let first = usize::from(moment.claims) % left.len();
                    left.rotate_left(first);
                }
                moment.workers[worker] = Some(Attempt { lease_id, left, done: None });
                true
            }
            CommandResult::Claim(Err(greenlight_core::ledger::ClaimError::Completed)) => {
                moment.queue -= 1;
                true
            }
            // The lease is held: the message is given out again.
            _ => false,
        }
    }

    fn record(&self, worker: usize, moment: &mut Moment, mut attempt: Attempt, effect: usize) {
        let done = Effect { outcome: EffectOutcome::Done, at: self.time_of(worker, moment) };
        let command = Command::RecordEffect(attempt.lease_id.clone(), key(effect), done);
        if self.run(worker, moment, command) == CommandResult::Write(Ok(())) {
            moment.recorded[effect] += 1;
            attempt.done = None;
            moment.workers[worker] = Some(attempt);
        } else {
            moment.lose(worker);
        }
    }

    fn complete(&self, worker: usize, moment: &mut Moment, attempt: &Attempt) {
        let completion = if self.is_bad {
            let reason = Reason::new(Class::InvalidForm, "a device is mistyped");
            Completion::Failed { reason, retry: RetryState::default() }
        } else {
            Completion::Done
        };
        let command = Command::Complete(attempt.lease_id.clone(), completion);
        if self.run(worker, moment, command) == CommandResult::Write(Ok(())) {
            moment.workers[worker] = None;
        } else {
            moment.lose(worker);
        }
    }
}

impl Moment {
    /// The living worker whose lease the ledger knows, however old it is.
    fn holder(&self) -> Option<&Attempt> {
        let Some(State::Running(lease)) = self.record.as_ref().map(|record| &record.state) else {
            return None;
        };
        self.workers.iter().flatten().find(|attempt| attempt.lease_id == lease.id)
    }

    /// The worker learns that its lease is lost: its message is given out again.
    fn lose(&mut self, worker: usize) {
        self.workers[worker] = None;
        self.queue += 1;
        self.excuses += 1;
    }

    fn state(&self) -> Option<&State> {
        self.record.as_ref().map(|record| &record.state)
    }

    /// Whether the last lease is void at `now`.
    fn has_run_out(&self, now: Timestamp) -> bool {
        matches!(self.state(), Some(State::Running(lease)) if lease.until <= now)
    }

    fn has_ended(&self) -> bool {
        matches!(self.state(), Some(State::Done { .. } | State::Failed { .. }))
    }
}

fn key(effect: usize) -> EffectKey {
    EffectKey::from(EFFECTS[effect])
}

impl Model for World {
    type State = Moment;
    type Action = ModelStep;

    fn init_states(&self) -> Vec<Moment> {
        vec![Moment {
            record: None,
            now: 0,
            queue: self.messages,
            workers: vec![None; self.clocks.len()],
            crashes_left: self.crashes,
            slowness_left: self.slowness,
            redrives_left: self.redrives,
            claims: 0,
            attempted: [0; 2],
            recorded: [0; 2],
            excuses: 0,
            is_breached: false,
            is_out_of_order: false,
        }]
    }

    fn actions(&self, moment: &Moment, steps: &mut Vec<ModelStep>) {
        for (worker, attempt) in moment.workers.iter().enumerate() {
            match attempt {
                None if moment.queue > 0 => steps.push(ModelStep::Deliver(worker)),
                None => {}
                Some(attempt) => {
                    steps.push(match (attempt.done, attempt.left.is_empty()) {
                        (Some(_), _) => ModelStep::Record(worker),
                        (None, false) => ModelStep::Act(worker),
                        (None, true) => ModelStep::Complete(worker),
                    });
                    if moment.crashes_left > 0 {
                        steps.push(ModelStep::Crash(worker));
                    }
                }
            }
        }
        if let Some(State::Running(lease)) = moment.state() {
            // Time passes by itself while the lease of a dead worker holds, by the slowest clock.
            let is_over = Timestamp::from_millis(1_000 + moment.now) >= lease.until;
            if !is_over && (moment.holder().is_none() || moment.slowness_left > 0) {
                steps.push(ModelStep::Tick);
            }
        }
        if moment.redrives_left > 0 && matches!(moment.state(), Some(State::Failed { .. })) {
            steps.push(ModelStep::Redrive);
        }
    }

    fn next_state(&self, last: &Moment, step: ModelStep) -> Option<Moment> {
        let mut moment = last.clone();
        match step {
            ModelStep::Deliver(worker) => {
                return self.deliver(worker, &mut moment).then_some(moment);
            }
            ModelStep::Act(worker) => {
                let attempt = moment.workers[worker].as_mut()?;
                let effect = attempt.left.remove(0);
                attempt.done = Some(effect);
                moment.attempted[effect] += 1;
                moment.is_out_of_order |= effect == 1 && moment.recorded[0] == 0;
            }
            ModelStep::Record(worker) => {
                let attempt = moment.workers[worker].clone()?;
                let effect = attempt.done?;
                self.record(worker, &mut moment, attempt, effect);
            }
            ModelStep::Complete(worker) => {
                let attempt = moment.workers[worker].clone()?;
                self.complete(worker, &mut moment, &attempt);
            }
            ModelStep::Crash(worker) => {
                moment.workers[worker] = None;
                moment.queue += 1;
                moment.crashes_left -= 1;
                moment.excuses += 1;
            }
            ModelStep::Tick => {
                moment.slowness_left -= u8::from(moment.holder().is_some());
                moment.now += 1;
            }
            ModelStep::Redrive => {
                moment.redrives_left -= 1;
                moment.queue += 1;
            }
        }
        Some(moment)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no effect is recorded twice", |_, moment: &Moment| {
                moment.recorded.iter().all(|&times| times <= 1)
            }),
            Property::always("a second attempt has an excuse", |_, moment: &Moment| {
                moment.attempted.iter().all(|&times| times <= 1 + moment.excuses)
            }),
            Property::always("without the lease nothing changes", |_, moment: &Moment| {
                !moment.is_breached
            }),
            Property::always("one begins when the one before is done", |_, moment: &Moment| {
                !moment.is_out_of_order
            }),
            Property::always("done means that everything is recorded", |_, moment: &Moment| {
                let is_done = matches!(moment.state(), Some(State::Done { .. }));
                !is_done || moment.recorded == [1, 1]
            }),
            Property::eventually("it ends", |_, moment: &Moment| moment.has_ended()),
        ]
    }
}

fn worlds() -> Vec<World> {
    let world = |clocks: &[i64], messages, crashes, slowness, redrives, is_bad| World {
        machine: apply,
        clocks: clocks.to_vec(),
        messages,
        crashes,
        slowness,
        redrives,
        is_bad,
        rotates: false,
    };
    vec![
        world(&[0, 0], 3, 2, 3, 0, false),
        world(&[0, 1], 3, 2, 3, 0, false),
        world(&[0, 1], 2, 2, 3, 1, true),
        world(&[0, 0, 1], 3, 1, 2, 0, false),
        world(&[0, 1, 2], 2, 1, 2, 1, true),
    ]
}

/// Guarantees 4 to 7 and 11, for the ledger: every reachable state of each world.
#[test]
fn g04_05_06_07_11_hold_in_every_reachable_state() {
    let mut states = 0;
    for world in worlds() {
        let checker = world.checker().threads(2).spawn_bfs().join();
        checker.assert_properties();
        assert!(checker.is_done());
        states += checker.unique_state_count();
    }
    println!("{states} states, all of them reached");
    assert!(states > 1_000, "the worlds are large enough to mean something: {states}");
}

/// Guarantee 16 does not hold if attempts begin at another effect each.
#[test]
fn g16_the_check_fails_if_attempts_rotate_the_actions_of_a_device() {
    for world in worlds() {
        let world = World { rotates: true, ..world };
        let checker = world.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        assert!(checker.discovery("one begins when the one before is done").is_some());
    }
}

fn discoveries(machine: Machine) -> Vec<&'static str> {
    let mut found = Vec::new();
    for world in worlds() {
        // A broken machine may go on for ever.
        let checker = World { machine, ..world }
            .checker()
            .finish_when(HasDiscoveries::AnyFailures)
            .target_max_depth(16)
            .spawn_bfs()
            .join();
        found.extend(checker.discoveries().into_keys());
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// A write is accepted under any lease.
fn without_the_owner(
    record: Option<Record>,
    command: Command,
    now: Timestamp,
) -> (Option<Record>, CommandResult) {
    let holder = match record.as_ref().map(|record| &record.state) {
        Some(State::Running(lease)) => Some(lease.id.clone()),
        _ => None,
    };
    let command = match (command, holder) {
        (Command::RecordEffect(_, key, effect), Some(holder)) => {
            Command::RecordEffect(holder, key, effect)
        }
        (Command::Complete(_, completion), Some(holder)) => Command::Complete(holder, completion),
        (command, _) => command,
    };
    apply(record, command, now)
}

/// A lease never runs out for the one who writes.
fn writes_without_the_expiry(
    record: Option<Record>,
    command: Command,
    now: Timestamp,
) -> (Option<Record>, CommandResult) {
    match command {
        Command::Claim(_) => apply(record, command, now),
        _ => apply(record, command, Timestamp::default()),
    }
}

/// A lease that holds is no reason to wait.
fn claims_without_the_expiry(
    record: Option<Record>,
    command: Command,
    now: Timestamp,
) -> (Option<Record>, CommandResult) {
    match command {
        Command::Claim(_) => apply(record, command, Timestamp::from_millis(i64::MAX)),
        _ => apply(record, command, now),
    }
}

#[test]
fn the_check_fails_without_the_owner_in_the_condition() {
    let found = discoveries(without_the_owner);
    assert!(found.contains(&"without the lease nothing changes"), "{found:?}");
}

#[test]
fn the_check_fails_without_the_expiry_in_the_condition_of_writes() {
    let found = discoveries(writes_without_the_expiry);
    assert!(found.contains(&"without the lease nothing changes"), "{found:?}");
}

#[test]
fn the_check_fails_without_the_expiry_in_the_condition_of_claims() {
    let found = discoveries(claims_without_the_expiry);
    assert!(found.contains(&"a second attempt has an excuse"), "{found:?}");
}
