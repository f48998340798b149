//! Checks the grant's state machine exhaustively: approvals that come and are withdrawn, workers
//! that crash, and calls that reach the target late.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by a panic that something is not as it should be"
)]

#[path = "../model/discoveries.rs"]
mod model;
mod world;

use greenlight_core::Timestamp;
use greenlight_core::grant::{
    Access, BeginError, GrantCall, GrantRecord, HoldId, HoldState, Operation, Outcome, Removal,
};
use greenlight_core::lease::{Lease, LeaseId, LeaseLost};
use stateright::{Checker, Model};

use world::{
    ACTIVE_HAS_ACCESS, Machine, OVER_IS_WITHOUT_ACCESS, REAL, SETTLED_IS_TRUE, World, real_begin,
};

fn worlds() -> Vec<World> {
    let world = |clocks: &[i64], approvals, crashes, refusals, timeouts, slowness| World {
        machine: REAL,
        clocks: clocks.to_vec(),
        approvals,
        crashes,
        refusals,
        timeouts,
        slowness,
    };
    vec![
        world(&[0], 1, 2, 1, 1, 1),
        world(&[0, 0], 2, 1, 0, 1, 0),
        world(&[0, 0], 2, 1, 0, 0, 1),
        world(&[0, 0], 2, 0, 0, 1, 0),
        world(&[0, 1], 2, 1, 1, 0, 0),
    ]
}

/// Guarantee 22, for the record of a grant: in every reachable state of each world, what is held
/// has access, and what is not held ends without.
#[test]
fn g22_a_grant_ends_with_its_last_hold_and_not_before() {
    let mut states = 0;
    for world in worlds() {
        let checker = world.clone().checker().threads(2).spawn_bfs().join();
        checker.assert_properties();
        assert!(checker.is_done());
        println!("{} states of {:?}", checker.unique_state_count(), world.clocks);
        states += checker.unique_state_count();
    }
    println!("{states} states, all of them reached");
    assert!(states > 1_000, "the worlds are large enough to mean something: {states}");
}

/// The properties that do not hold with this machine.
fn discoveries(machine: Machine) -> Vec<&'static str> {
    let worlds = worlds().into_iter().map(|world| World { machine, ..world });
    model::discoveries(worlds, 20)
}

/// Bug: calls are made while another worker holds the lease.
fn without_the_lease(mut record: GrantRecord) -> GrantRecord {
    (record.call, record.late) = (None, None);
    record
}

#[test]
fn the_check_fails_without_the_lease_of_the_grant() {
    let found = discoveries(Machine {
        begin_grant: |record, hold, lease, now| {
            real_begin(without_the_lease(record), hold, lease, now)
        },
        begin_removal: |record, lease, now| without_the_lease(record).begin_removal(lease, now),
        settle: |mut record, id, generation, outcome, now| {
            // Its own lease again, as if no other worker had one.
            let lease = Lease { id: id.clone(), until: Timestamp::from_millis(i64::MAX) };
            let revokes = ["remove".to_owned()].into();
            record.call = Some(GrantCall { operation: Operation::Grant, revokes, lease });
            record.generation = generation;
            record.settle(id, generation, outcome, now)
        },
    });
    assert!(found.contains(&SETTLED_IS_TRUE), "{found:?}");
}

/// Bug: the record is trusted although a worker disappeared during its call.
fn trusted(mut record: GrantRecord) -> GrantRecord {
    record.settled = record.generation;
    record
}

fn trusting_begin(
    record: GrantRecord,
    hold: &HoldId,
    lease: &Lease,
    now: Timestamp,
) -> (GrantRecord, Result<u64, BeginError>) {
    let (record, result) = real_begin(record, hold, lease, now);
    (trusted(record), result)
}

fn trusting_removal(record: GrantRecord, lease: &Lease, now: Timestamp) -> (GrantRecord, Removal) {
    let (record, removal) = record.begin_removal(lease, now);
    (trusted(record), removal)
}

#[test]
fn the_check_fails_without_the_generation() {
    let settle = |mut record: GrantRecord,
                  id: &LeaseId,
                  generation: u64,
                  outcome: Outcome,
                  now: Timestamp|
     -> (GrantRecord, Result<(), LeaseLost>) {
        record.settled = generation.saturating_sub(1);
        let (record, result) = record.settle(id, generation, outcome, now);
        (trusted(record), result)
    };
    let machine = Machine { begin_grant: trusting_begin, begin_removal: trusting_removal, settle };
    let found = discoveries(machine);
    assert!(
        found.contains(&OVER_IS_WITHOUT_ACCESS) || found.contains(&SETTLED_IS_TRUE),
        "{found:?}"
    );
}

/// Bug: the removal is recorded before the call.
fn recorded_before(record: GrantRecord, lease: &Lease, now: Timestamp) -> (GrantRecord, Removal) {
    let (mut record, removal) = record.begin_removal(lease, now);
    if matches!(removal, Removal::Call { .. }) {
        (record.access, record.settled) = (Access::Absent, record.generation);
    }
    (record, removal)
}

#[test]
fn the_check_fails_if_the_end_is_recorded_before_the_call() {
    let found = discoveries(Machine { begin_removal: recorded_before, ..REAL });
    assert!(
        found.contains(&OVER_IS_WITHOUT_ACCESS) || found.contains(&SETTLED_IS_TRUE),
        "{found:?}"
    );
}

/// Bug: a hold that ended during the granting call becomes active.
#[test]
fn the_check_fails_if_an_ended_hold_becomes_active_again() {
    let settle = |record: GrantRecord,
                  id: &LeaseId,
                  generation: u64,
                  outcome: Outcome,
                  now: Timestamp|
     -> (GrantRecord, Result<(), LeaseLost>) {
        let hold = match &outcome {
            Outcome::Granted { hold } => Some(hold.clone()),
            _ => None,
        };
        let (mut record, result) = record.settle(id, generation, outcome, now);
        if let Some(hold) = hold.and_then(|hold| record.holds.get_mut(&hold)) {
            hold.state = HoldState::Active;
        }
        (record, result)
    };
    let found = discoveries(Machine { settle, ..REAL });
    assert!(!found.is_empty(), "{found:?}");
    let _ = ACTIVE_HAS_ACCESS;
}
