//! A world of workers around one record, and every step that it can take.

use greenlight_core::explain::Explanation;
use greenlight_core::lease::{Lease, LeaseId};
use greenlight_core::ledger::{
    Command, CommandResult, Completion, Effect, EffectKey, EffectKind, EffectOutcome, Record, State,
};
use greenlight_core::retry::RetryState;
use greenlight_core::{Class, Reason, Timestamp};
use stateright::{Model, Property};

/// The effects of the request: two actions on one device, in the order of the flow.
pub(crate) const EFFECTS: [&str; 2] = ["nac/remove/one", "nac/add/one"];

/// The duration of a lease, in ticks.
pub(crate) const LEASE: i64 = 2;

/// The state machine under test: the real one, or one with a deliberate bug.
pub(crate) type Machine = fn(Option<Record>, Command, Timestamp) -> (Option<Record>, CommandResult);

/// The possible events, and how often they occur.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) machine: Machine,
    /// How far each worker's clock is ahead, in ticks.
    pub(crate) clocks: Vec<i64>,
    /// The number of messages about the request: an event, its duplicate, another event id.
    pub(crate) messages: u8,
    pub(crate) crashes: u8,
    /// Ticks that may pass while the worker that holds the lease is alive, but slow.
    pub(crate) slowness: u8,
    pub(crate) redrives: u8,
    /// Whether a device of the form is invalid, so that the request ends as failed.
    pub(crate) is_bad: bool,
    /// Whether each attempt begins at another effect, as if their order did not matter.
    pub(crate) rotates: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Moment {
    pub(crate) record: Option<Record>,
    pub(crate) now: i64,
    /// Messages that can be delivered.
    pub(crate) queue: u8,
    pub(crate) workers: Vec<Option<Attempt>>,
    pub(crate) crashes_left: u8,
    pub(crate) slowness_left: u8,
    pub(crate) redrives_left: u8,
    pub(crate) claims: u8,
    /// How often each effect was attempted at the target, and recorded in the ledger.
    pub(crate) attempted: [u8; 2],
    pub(crate) recorded: [u8; 2],
    /// Crashes, and leases that a living worker lost.
    pub(crate) excuses: u8,
    /// Whether a write without the lease changed the record.
    pub(crate) is_breached: bool,
    /// Whether the second effect began before the first was recorded.
    pub(crate) is_out_of_order: bool,
}

/// A worker at it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    pub(crate) lease_id: LeaseId,
    /// Effects that are left to do.
    pub(crate) left: Vec<usize>,
    /// The effect that was done at the target and is not recorded yet.
    pub(crate) done: Option<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ModelStep {
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

    /// Runs a command of a worker, and checks that only the worker that holds the lease changes the
    /// record.
    fn run(&self, worker: usize, moment: &mut Moment, command: Command) -> CommandResult {
        let now = self.time_of(worker, moment);
        let holds = |record: &Option<Record>, lease_id: &LeaseId| {
            record.as_ref().is_some_and(|record| {
                matches!(&record.state, State::Running(lease) if lease.id == *lease_id && now < lease.until)
            })
        };
        let (is_write, may) = match &command {
            Command::Claim(_) | Command::Reset { .. } => (false, true),
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
        let lease_id = LeaseId::from(format!("lease-{}", moment.claims).as_str());
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
        let done = Effect {
            kind: EffectKind::Grant,
            outcome: EffectOutcome::Done,
            at: self.time_of(worker, moment),
        };
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
            let reason =
                Reason::new(Class::InvalidForm, Explanation::quoted("a device is mistyped"));
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
    /// The living worker whose lease is in the ledger, even if the lease has expired.
    fn holder(&self) -> Option<&Attempt> {
        let Some(State::Running(lease)) = self.record.as_ref().map(|record| &record.state) else {
            return None;
        };
        self.workers.iter().flatten().find(|attempt| attempt.lease_id == lease.id)
    }

    /// The worker finds its lease lost: its message becomes visible again.
    fn lose(&mut self, worker: usize) {
        self.workers[worker] = None;
        self.queue += 1;
        self.excuses += 1;
    }

    fn state(&self) -> Option<&State> {
        self.record.as_ref().map(|record| &record.state)
    }

    /// Whether the last lease has expired at `now`.
    fn has_run_out(&self, now: Timestamp) -> bool {
        matches!(self.state(), Some(State::Running(lease)) if lease.until <= now)
    }

    fn has_ended(&self) -> bool {
        matches!(self.state(), Some(State::Done { .. } | State::Failed { .. }))
    }
}

pub(crate) fn key(effect: usize) -> EffectKey {
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
            // Time passes while the lease of a crashed worker is valid, by the slowest clock.
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
