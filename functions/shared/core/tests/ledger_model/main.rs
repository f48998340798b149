//! Checks the ledger's state machine exhaustively: every order of deliveries, crashes, expired
//! leases and redrives that two or three workers with separate clocks can cause.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by a panic that something is not as it should be"
)]

#[path = "../model/discoveries.rs"]
mod model;
mod world;

use greenlight_core::Timestamp;
use greenlight_core::ledger::{Command, CommandResult, Record, State, apply};
use stateright::{Checker, HasDiscoveries, Model};

use world::{Machine, World};

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

/// The properties that do not hold with this machine.
fn discoveries(machine: Machine) -> Vec<&'static str> {
    let worlds = worlds().into_iter().map(|world| World { machine, ..world });
    model::discoveries(worlds, 16)
}

/// Bug: a write is accepted under any lease.
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

/// Bug: writes ignore the expiry of the lease.
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

/// Bug: a claim ignores a valid lease.
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
