//! Approvals that hold one grant, workers that call the target for them, and calls that reach the
//! target late.

use greenlight_core::Timestamp;
use greenlight_core::grant::{
    Access, BeginError, EndReason, GrantRecord, HoldId, HoldState, Outcome, Phase, Removal, Terms,
};
use greenlight_core::lease::{Lease, LeaseId, LeaseLost};
use stateright::{Model, Property};

/// The duration of a lease, in ticks.
pub(crate) const LEASE: i64 = 3;

/// A call reaches the target so many ticks after its lease was acquired, or never: the lease
/// outlives the call, whatever the clocks of the workers say.
pub(crate) const LANDS_WITHIN: i64 = 1;

type Begin = fn(GrantRecord, &HoldId, &Lease, Timestamp) -> (GrantRecord, Result<u64, BeginError>);

type BeginRemoval = fn(GrantRecord, &Lease, Timestamp) -> (GrantRecord, Removal);

type Settle =
    fn(GrantRecord, &LeaseId, u64, Outcome, Timestamp) -> (GrantRecord, Result<(), LeaseLost>);

/// The operations on the record: the real ones, or some with a deliberate bug.
#[derive(Clone, Copy)]
pub(crate) struct Machine {
    pub(crate) begin_grant: Begin,
    pub(crate) begin_removal: BeginRemoval,
    pub(crate) settle: Settle,
}

pub(crate) fn real_begin(
    record: GrantRecord,
    hold: &HoldId,
    lease: &Lease,
    now: Timestamp,
) -> (GrantRecord, Result<u64, BeginError>) {
    let revoked_by = Some("remove".to_owned());
    record.begin_grant(hold, &Terms { revoked_by, ..Terms::default() }, lease, now)
}

/// The machine under test.
pub(crate) const REAL: Machine = Machine {
    begin_grant: real_begin,
    begin_removal: GrantRecord::begin_removal,
    settle: GrantRecord::settle,
};

/// The possible events, and how often they occur.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) machine: Machine,
    /// How far the clock of each worker is ahead, in ticks.
    pub(crate) clocks: Vec<i64>,
    /// The number of approvals; each grants the access, and ends at some time.
    pub(crate) approvals: usize,
    pub(crate) crashes: u8,
    /// Granting calls that the target refuses.
    pub(crate) refusals: u8,
    /// Calls whose answer is not waited for.
    pub(crate) timeouts: u8,
    /// Ticks that may pass while the worker that holds the lease is alive, but slow.
    pub(crate) slowness: u8,
}

/// What is left to be done for one approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    /// Its request is in the queue, or being processed.
    Grant,
    /// It was granted, or given up.
    Over,
}

/// A worker's call, from the acquisition of the lease to the record of its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Attempt {
    /// The approval of a granting call; `None` for the revoking call.
    pub(crate) approval: Option<usize>,
    pub(crate) lease: LeaseId,
    pub(crate) generation: u64,
    pub(crate) answer: Answer,
}

/// What the worker knows about its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    /// It is not sent yet.
    NotSent,
    /// It is sent.
    None,
    /// The target has done it.
    Done,
    /// The target has refused it.
    Refused,
    /// The worker no longer waits for the answer.
    Timeout,
}

/// A call on its way to the target.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct InFlight {
    pub(crate) lease: LeaseId,
    pub(crate) grants: bool,
    /// It does not arrive after this tick.
    pub(crate) until: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Moment {
    pub(crate) record: GrantRecord,
    pub(crate) now: i64,
    /// What the target has.
    pub(crate) has_access: bool,
    pub(crate) tasks: Vec<Task>,
    /// The approvals that were withdrawn.
    pub(crate) is_withdrawn: Vec<bool>,
    pub(crate) workers: Vec<Option<Attempt>>,
    pub(crate) in_flight: Vec<InFlight>,
    pub(crate) crashes_left: u8,
    pub(crate) refusals_left: u8,
    pub(crate) timeouts_left: u8,
    pub(crate) slowness_left: u8,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ModelStep {
    /// A worker takes up the request of an approval.
    Grant(usize, usize),
    /// A worker takes up the removal that is due.
    Remove(usize),
    /// It sends its call.
    Send(usize),
    /// A call reaches the target.
    Land(usize),
    /// A call never reaches the target.
    Lose(usize),
    /// The target refuses the granting call of a worker.
    Refuse(usize, usize),
    /// A worker no longer waits for the answer to its call.
    TimeOut(usize),
    /// A worker records the outcome.
    Settle(usize),
    Crash(usize),
    /// An approval is withdrawn.
    Withdraw(usize),
    Tick,
}

fn hold(approval: usize) -> HoldId {
    HoldId::of_approval("feishu", "A", &format!("I-{approval}"))
}

impl World {
    fn time_of(&self, worker: usize, moment: &Moment) -> Timestamp {
        Timestamp::from_millis(1_000 + moment.now + self.clocks[worker])
    }

    /// A lease with an id of its own: each acquisition is a generation.
    fn new_lease(&self, worker: usize, moment: &Moment) -> Lease {
        let until = self.time_of(worker, moment).as_millis() + LEASE;
        let id = LeaseId::from(format!("lease-{}", moment.record.generation).as_str());
        Lease { id, until: Timestamp::from_millis(until) }
    }

    fn grant(&self, worker: usize, approval: usize, moment: &mut Moment) -> bool {
        let (lease, now) = (self.new_lease(worker, moment), self.time_of(worker, moment));
        let before = moment.record.clone();
        let (record, result) =
            (self.machine.begin_grant)(before.clone(), &hold(approval), &lease, now);
        moment.record = record;
        match result {
            Ok(generation) => {
                let answer = Answer::NotSent;
                let approval = Some(approval);
                moment.workers[worker] =
                    Some(Attempt { approval, lease: lease.id, generation, answer });
                true
            }
            Err(BeginError::Ended { .. }) => {
                moment.tasks[approval] = Task::Over;
                true
            }
            // The request is tried again; its hold is recorded.
            Err(BeginError::Wait { .. } | BeginError::Full) => moment.record != before,
        }
    }

    fn remove(&self, worker: usize, moment: &mut Moment) -> bool {
        let (lease, now) = (self.new_lease(worker, moment), self.time_of(worker, moment));
        let (record, removal) = (self.machine.begin_removal)(moment.record.clone(), &lease, now);
        moment.record = record;
        match removal {
            Removal::StillHeld | Removal::NothingToDo | Removal::Wait { .. } => return false,
            Removal::Call { generation, .. } => {
                let answer = Answer::NotSent;
                moment.workers[worker] =
                    Some(Attempt { approval: None, lease: lease.id, generation, answer });
            }
        }
        true
    }

    fn settle(&self, worker: usize, moment: &mut Moment) -> Option<()> {
        let attempt = moment.workers[worker].take()?;
        let outcome = match (attempt.approval, attempt.answer) {
            (Some(approval), Answer::Done) => Outcome::Granted { hold: hold(approval) },
            (None, Answer::Done) => Outcome::Revoked { session: None },
            (_, Answer::Refused) => Outcome::Unchanged,
            (_, Answer::Timeout) => Outcome::Unknown,
            (_, Answer::NotSent | Answer::None) => return None,
        };
        let now = self.time_of(worker, moment);
        let (record, result) = (self.machine.settle)(
            moment.record.clone(),
            &attempt.lease,
            attempt.generation,
            outcome,
            now,
        );
        moment.record = record;
        if result.is_err() {
            // The request, or the removal that is due, is tried again.
            return Some(());
        }
        match (attempt.approval, attempt.answer) {
            // It is tried again.
            (_, Answer::Timeout) | (None, _) => {}
            (Some(approval), Answer::Refused) => {
                // The request is given up: no removal may be needed, which the record decides.
                let record = std::mem::take(&mut moment.record);
                moment.record = record.end(&hold(approval), EndReason::GivenUp, now);
                moment.tasks[approval] = Task::Over;
            }
            (Some(approval), _) => moment.tasks[approval] = Task::Over,
        }
        Some(())
    }
}

impl Moment {
    /// The living worker whose lease is in the record.
    fn holder(&self) -> Option<&Attempt> {
        let lease = &self.record.call.as_ref()?.lease;
        self.workers.iter().flatten().find(|attempt| attempt.lease == lease.id)
    }

    fn answer(&mut self, lease: &LeaseId, answer: Answer) {
        for attempt in self.workers.iter_mut().flatten() {
            if attempt.lease == *lease && attempt.answer == Answer::None {
                attempt.answer = answer;
            }
        }
    }

    /// Whether a tick makes a message about the removal.
    fn is_due(&self) -> bool {
        !self.record.is_held() && self.record.due().is_some()
    }

    fn is_over(&self) -> bool {
        self.is_withdrawn.iter().all(|it| *it)
            && self.tasks.iter().all(|task| *task == Task::Over)
            && !self.is_due()
            && self.in_flight.is_empty()
            && self.workers.iter().all(Option::is_none)
    }
}

impl Model for World {
    type State = Moment;
    type Action = ModelStep;

    fn init_states(&self) -> Vec<Moment> {
        vec![Moment {
            record: GrantRecord::default(),
            now: 0,
            has_access: false,
            tasks: vec![Task::Grant; self.approvals],
            is_withdrawn: vec![false; self.approvals],
            workers: vec![None; self.clocks.len()],
            in_flight: Vec::new(),
            crashes_left: self.crashes,
            refusals_left: self.refusals,
            timeouts_left: self.timeouts,
            slowness_left: self.slowness,
        }]
    }

    fn actions(&self, moment: &Moment, steps: &mut Vec<ModelStep>) {
        for (worker, attempt) in moment.workers.iter().enumerate() {
            match attempt {
                None => {
                    for (approval, task) in moment.tasks.iter().enumerate() {
                        let is_taken =
                            moment.workers.iter().flatten().any(|it| it.approval == Some(approval));
                        if *task == Task::Grant && !is_taken {
                            steps.push(ModelStep::Grant(worker, approval));
                        }
                    }
                    let is_taken = moment.workers.iter().flatten().any(|it| it.approval.is_none());
                    if moment.is_due() && !is_taken {
                        steps.push(ModelStep::Remove(worker));
                    }
                }
                Some(attempt) => {
                    match attempt.answer {
                        Answer::NotSent => steps.push(ModelStep::Send(worker)),
                        Answer::Done | Answer::Refused | Answer::Timeout => {
                            steps.push(ModelStep::Settle(worker));
                        }
                        Answer::None => {
                            if moment.timeouts_left > 0 {
                                steps.push(ModelStep::TimeOut(worker));
                            }
                            let of_it = |call: &InFlight| call.lease == attempt.lease;
                            let call = moment.in_flight.iter().position(of_it);
                            if let Some(call) = call
                                .filter(|_| attempt.approval.is_some() && moment.refusals_left > 0)
                            {
                                steps.push(ModelStep::Refuse(worker, call));
                            }
                        }
                    }
                    if moment.crashes_left > 0 {
                        steps.push(ModelStep::Crash(worker));
                    }
                }
            }
        }
        for call in 0..moment.in_flight.len() {
            steps.push(ModelStep::Land(call));
            // A worker that waits for the answer gets one; a timeout comes before the loss.
            let waits = |it: &Attempt| {
                it.lease == moment.in_flight[call].lease && it.answer == Answer::None
            };
            if !moment.workers.iter().flatten().any(waits) {
                steps.push(ModelStep::Lose(call));
            }
        }
        for (approval, is_withdrawn) in moment.is_withdrawn.iter().enumerate() {
            if !is_withdrawn {
                steps.push(ModelStep::Withdraw(approval));
            }
        }
        let until = moment.record.call.as_ref().map(|call| call.lease.until);
        if let Some(until) = until.max(moment.record.late.map(|late| late.until)) {
            let is_over = Timestamp::from_millis(1_000 + moment.now) >= until;
            let is_late = moment.in_flight.iter().any(|call| call.until <= moment.now);
            let is_idle = moment.holder().is_none() || moment.slowness_left > 0;
            if !is_over && !is_late && is_idle {
                steps.push(ModelStep::Tick);
            }
        }
    }

    fn next_state(&self, last: &Moment, step: ModelStep) -> Option<Moment> {
        let mut moment = last.clone();
        match step {
            ModelStep::Grant(worker, approval) => {
                return self.grant(worker, approval, &mut moment).then_some(moment);
            }
            ModelStep::Remove(worker) => {
                return self.remove(worker, &mut moment).then_some(moment);
            }
            ModelStep::Send(worker) => {
                let now = moment.now;
                let attempt = moment.workers[worker].as_mut()?;
                attempt.answer = Answer::None;
                let (lease, grants) = (attempt.lease.clone(), attempt.approval.is_some());
                moment.in_flight.push(InFlight { lease, grants, until: now + LANDS_WITHIN });
                moment.in_flight.sort();
            }
            ModelStep::Land(call) => {
                let call = moment.in_flight.remove(call);
                moment.has_access = call.grants;
                moment.answer(&call.lease, Answer::Done);
            }
            ModelStep::Lose(call) => drop(moment.in_flight.remove(call)),
            ModelStep::Refuse(worker, call) => {
                moment.in_flight.remove(call);
                moment.refusals_left -= 1;
                moment.workers[worker].as_mut()?.answer = Answer::Refused;
            }
            ModelStep::TimeOut(worker) => {
                moment.timeouts_left -= 1;
                moment.workers[worker].as_mut()?.answer = Answer::Timeout;
            }
            ModelStep::Settle(worker) => self.settle(worker, &mut moment)?,
            ModelStep::Crash(worker) => {
                moment.workers[worker] = None;
                moment.crashes_left -= 1;
            }
            ModelStep::Withdraw(approval) => {
                moment.is_withdrawn[approval] = true;
                let (now, record) = (1_000 + moment.now, moment.record);
                let now = Timestamp::from_millis(now);
                moment.record = record.end(&hold(approval), EndReason::Withdrawn, now);
            }
            ModelStep::Tick => {
                moment.slowness_left -= u8::from(moment.holder().is_some());
                moment.now += 1;
            }
        }
        Some(moment)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ACTIVE_HAS_ACCESS, |_, moment: &Moment| {
                let is_active = |state| matches!(state, HoldState::Active);
                moment.has_access || !moment.record.holds.values().any(|it| is_active(it.state))
            }),
            Property::always(SETTLED_IS_TRUE, |_, moment: &Moment| {
                let is_settled = moment.record.is_settled();
                let recorded = moment.record.access == Access::Present;
                let is_same = |call: &InFlight| call.grants == recorded;
                !is_settled
                    || (recorded == moment.has_access && moment.in_flight.iter().all(is_same))
            }),
            Property::always(OVER_IS_WITHOUT_ACCESS, |_, moment: &Moment| {
                !moment.is_over() || (!moment.has_access && moment.record.phase() == Phase::Ended)
            }),
            Property::eventually(IT_ENDS, |_, moment: &Moment| moment.is_over()),
        ]
    }
}

pub(crate) const ACTIVE_HAS_ACCESS: &str = "an active hold has its access";
pub(crate) const SETTLED_IS_TRUE: &str = "what is settled is so at the target";
pub(crate) const OVER_IS_WITHOUT_ACCESS: &str = "without holds nothing is left";
pub(crate) const IT_ENDS: &str = "it ends";
