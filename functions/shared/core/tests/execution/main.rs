//! Order and reach of effects: the calls of a request's attempts at its targets, for every failure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says by a panic that something is not as it should be"
)]

mod ends;
mod outcomes;
mod persons;
mod sweeps;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use greenlight_core::explain::Explanation;
use greenlight_core::form::Form;
use greenlight_core::grant::{GrantKey, GrantRecord, HoldId, HoldState, Outcome, Phase, Terms};
use greenlight_core::lease::Lease;
use greenlight_core::ports::{Clock, KeepGrants};
use greenlight_core::{Class, Disposition, Failure, Reason};
use greenlight_testkit::request::request;

use greenlight_testkit::subject::{device_number as device, number_of};
use world::{Run, START, World, field, form};

const ADD: &str = r#"{ target = "nac", operation = "add", for_each = "mac" }"#;
const REMOVE_THEN_ADD: &str = r#"{ target = "nac", operation = "remove", for_each = "mac" },
    { target = "nac", operation = "add", for_each = "mac" }"#;

type Call = fn() -> Result<(), Failure>;

/// The failures of a call for one device; the maximum number of devices to test (a panic is printed
/// each time); the number of attempts after which all other devices must be done. Timeouts of the
/// first devices can concern the whole target: they open its circuit, and each time it closes the
/// next device is tried.
const SUBJECT_FAILURES: [(Call, u8, usize); 5] = [
    (|| Err(Failure::retry(Class::TargetFailed, Explanation::quoted("HTTP 500"))), 10, 1),
    (|| Err(Failure::retry(Class::TargetTimeout, Explanation::quoted("HTTP 504"))), 10, 20),
    (|| Err(Failure::give_up(Class::TargetRejected, Explanation::quoted("HTTP 422"))), 10, 1),
    (|| Err(Failure::give_up(Class::NotFound, Explanation::quoted("HTTP 404"))), 10, 1),
    (|| panic!("a defect"), 4, 1),
];

/// The failures of a target as a whole.
const TARGET_FAILURES: [Class; 2] = [Class::TargetUnavailable, Class::TargetAuthFailed];

/// The devices of a mask.
fn devices_of(mask: u16) -> BTreeSet<u8> {
    (0..16).filter(|bit| mask & (1 << bit) != 0).map(|bit| bit + 1).collect()
}

#[tokio::test]
async fn g17_devices_that_fail_never_keep_the_others_from_being_done() {
    let mut runs = 0_u32;
    for (failure, most, attempts) in SUBJECT_FAILURES {
        for count in 1..=most {
            for mask in 0..1_u16 << count {
                let failing = devices_of(mask);
                let fails = failing.clone();
                let world = World::new(form(1..=count)).behaves(move |call, _| {
                    if fails.contains(&number_of(call.subject)) { failure() } else { Ok(()) }
                });
                let mut run = Run::new(world, ADD);
                let expected: BTreeSet<u8> =
                    (1..=count).filter(|it| !failing.contains(it)).collect();
                for _ in 0..attempts {
                    let end = run.attempt().await;
                    let Disposition::RetryAfter { after, .. } = end else { break };
                    if run.world.done("nac", "add") == expected {
                        break;
                    }
                    run.world.advance(after);
                }
                assert_eq!(run.world.done("nac", "add"), expected, "{count} devices, {failing:?}");
                runs += 1;
            }
        }
    }
    println!("{runs} forms of 1 to 10 devices, each subset failing in 5 ways");
}

#[tokio::test]
async fn g17_devices_that_use_up_the_time_of_an_attempt_go_last_in_the_next() {
    for count in 1..=7_u8 {
        for mask in 0..1_u16 << count {
            let failing = devices_of(mask);
            let fails = failing.clone();
            let world = World::new(form(1..=count)).behaves(move |call, _| {
                if fails.contains(&number_of(call.subject)) {
                    Err(Failure::retry(Class::TargetFailed, Explanation::quoted("HTTP 500")))
                } else {
                    Ok(())
                }
            });
            // There is time for one call in an attempt.
            let mut run = Run::new(World { call_takes: Duration::from_mins(1), ..world }, ADD);
            let _ = run.play(usize::from(count)).await;
            let expected: BTreeSet<u8> = (1..=count).filter(|it| !failing.contains(it)).collect();
            assert_eq!(run.world.done("nac", "add"), expected, "{count} devices, {failing:?}");
        }
    }
}

#[tokio::test]
async fn g17_devices_that_failed_before_a_redrive_go_last_after_it() {
    let world = World::new(form([1, 2, 3])).behaves(|call, _| match number_of(call.subject) {
        1 => Err(Failure::retry(Class::TargetFailed, Explanation::quoted("HTTP 500"))),
        2 => Err(Failure::give_up(Class::TargetRejected, Explanation::quoted("HTTP 422"))),
        _ => Ok(()),
    });
    let mut run = Run::new(World { call_takes: Duration::from_mins(1), ..world }, ADD);
    let (_, end) = run.play(1_000).await;
    assert!(matches!(end, Disposition::DeadLettered(_)), "{end:?}");
    assert_eq!(run.world.done("nac", "add"), [3].into());
    *run.world.form.lock().unwrap() = form([1, 2, 3, 4]);
    let _ = run.redrive().await;
    assert_eq!(run.world.done("nac", "add"), [3, 4].into(), "the new one was tried first");
}

#[tokio::test]
async fn a_target_that_cannot_be_used_as_a_whole_is_asked_once_per_attempt() {
    for class in TARGET_FAILURES {
        let world = World::new(form(1..=10)).behaves(move |_, number| match number {
            1..=2 => Err(Failure::retry(class, Explanation::quoted("away"))),
            _ => Ok(()),
        });
        let mut run = Run::new(world, ADD);
        let _ = run.attempt().await;
        assert_eq!(run.world.seen.lock().unwrap().len(), 1, "{class}");
        let (_, end) = run.play(3).await;
        assert_eq!(end, Disposition::Done, "{class}");
        assert_eq!(run.world.done("nac", "add").len(), 10, "{class}");
    }
}

#[tokio::test]
async fn g16_actions_of_a_device_keep_their_order_whatever_fails_and_when() {
    let mut runs = 0_u32;
    let mut failures: Vec<Box<dyn Fn() -> Failure + Send + Sync>> = Vec::new();
    for class in TARGET_FAILURES.into_iter().chain([Class::TargetFailed, Class::TargetTimeout]) {
        failures.push(Box::new(move || Failure::retry(class, Explanation::quoted("not now"))));
    }
    for failure in failures {
        let failure = Arc::new(failure);
        for count in 1..=5_u8 {
            // Which of the first seven calls fail.
            for mask in 0..1_u16 << 7 {
                let failure = Arc::clone(&failure);
                let world = World::new(form(1..=count)).behaves(move |_, number| {
                    let fails = number <= 7 && mask & (1 << (number - 1)) != 0;
                    if fails { Err(failure()) } else { Ok(()) }
                });
                let mut run = Run::new(world, REMOVE_THEN_ADD);
                let (_, end) = run.play(20).await;
                assert_eq!(end, Disposition::Done);
                for last in 1..=count {
                    let seen = run.world.seen.lock().unwrap().clone();
                    assert!(seen.iter().all(|it| !it.overlaps), "one begins when another is over");
                    let select_mac = seen.iter().filter(|it| it.device == last);
                    let (mut removed, mut added) = (0, 0);
                    for call in select_mac {
                        if call.operation == "remove" {
                            assert_eq!(added, 0, "removed after it was added: {seen:?}");
                            removed += u32::from(call.is_done);
                        } else {
                            assert_eq!(removed, 1, "added before it was removed: {seen:?}");
                            added += u32::from(call.is_done);
                        }
                    }
                    assert_eq!((removed, added), (1, 1), "each once: {seen:?}");
                }
                runs += 1;
            }
        }
    }
    println!(
        "{runs} forms of 1 to 5 devices, two actions each, 128 patterns of failing calls in 4 ways"
    );
}

#[tokio::test]
async fn g16_targets_are_independent_of_each_other() {
    let actions = format!(r#"{ADD}, {{ target = "wlc", operation = "add", for_each = "mac" }}"#);
    for class in [Class::TargetUnavailable, Class::TargetFailed, Class::TargetTimeout] {
        let world = World::new(form(1..=5)).behaves(move |call, _| match call.target {
            "nac" => Err(Failure::retry(class, Explanation::quoted("not now"))),
            _ => Ok(()),
        });
        let mut run = Run::new(world, &actions);
        let _ = run.attempt().await;
        assert_eq!(run.world.done("wlc", "add").len(), 5, "{class}");
        assert_eq!(run.world.done("nac", "add").len(), 0, "{class}");
    }
}

#[tokio::test]
async fn a_device_in_two_fields_is_one_effect() {
    let fields = r#"
        mac = { kind = "mac", from = [{ field = "mac" }] }
        spare = { kind = "mac", from = [{ field = "spare" }] }
    "#;
    let actions = format!(r#"{ADD}, {{ target = "nac", operation = "add", for_each = "spare" }}"#);
    let mut form = form([1, 2]);
    form.fields.push(field("spare", &device(2).to_string()));
    let mut run = Run::with_fields(World::new(form), fields, &actions);
    assert_eq!(run.attempt().await, Disposition::Done);
    assert_eq!(run.world.seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn effects_that_the_ledger_could_not_keep_are_refused_before_the_first_call() {
    let devices: Vec<_> = (0..1_000).map(|n| format!("00005e10{n:04x}")).collect();
    let many = (0..9).map(|n| {
        format!(r#"{{ target = "nac", operation = "add_to_the_group_{n}", for_each = "mac" }}"#)
    });
    let actions = many.collect::<Vec<_>>().join(", ");
    let form = Form { fields: vec![field("mac", &devices.join("\n"))] };
    let mut run = Run::new(World::new(form), &actions);
    let end = run.attempt().await;
    let Disposition::DeadLettered(Reason { class, .. }) = end else { panic!("{end:?}") };
    assert_eq!(class, Class::InvalidForm);
    assert_eq!(run.world.seen.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn g19_an_action_whose_value_cannot_be_read_waits_for_the_correction() {
    let fields = r#"
        mac = { kind = "mac", from = [{ field = "mac" }] }
        valid_until = { kind = "date", from = [{ field = "until" }], optional = true }
    "#;
    let mut form = form([1]);
    form.fields.push(field("until", "31.12.2027"));
    let used_by = Some(("nac", "add", "valid_until"));
    let world = World { used_by, ..World::new(form.clone()) };
    let mut run = Run::with_fields(world, fields, ADD);
    let end = run.attempt().await;
    assert!(
        matches!(&end, Disposition::DeadLettered(reason) if reason.class == Class::InvalidForm),
        "{end:?}"
    );
    assert_eq!(
        run.world.seen.lock().unwrap().len(),
        0,
        "no access without the end that was asked for"
    );
    form.fields[1] = field("until", "2027-12-31T00:00:00+08:00");
    *run.world.form.lock().unwrap() = form;
    assert_eq!(run.attempt().await, Disposition::Done);
    assert_eq!(run.world.done("nac", "add"), [1].into());
}

#[tokio::test]
async fn an_action_that_does_not_use_the_value_is_performed() {
    let fields = r#"
        mac = { kind = "mac", from = [{ field = "mac" }] }
        count = { kind = "number", from = [{ field = "count" }], optional = true }
    "#;
    let mut form = form([1]);
    form.fields.push(field("count", "two"));
    let mut run = Run::with_fields(World::new(form), fields, ADD);
    let end = run.attempt().await;
    assert!(
        matches!(&end, Disposition::DeadLettered(reason) if reason.class == Class::InvalidForm),
        "{end:?}"
    );
    assert_eq!(run.world.done("nac", "add"), [1].into());
}

/// Actions after the one with the unreadable value wait with it: they would otherwise be done
/// first.
#[tokio::test]
async fn g16_actions_behind_one_that_cannot_be_performed_wait_for_it() {
    let fields = r#"
        mac = { kind = "mac", from = [{ field = "mac" }] }
        valid_until = { kind = "date", from = [{ field = "until" }], optional = true }
    "#;
    let by_template = r#"{ target = "nac", operation = "add", for_each = "mac" },
        { target = "nac", operation = "second", for_each = "mac" },
        { target = "wlc", operation = "add", for_each = "mac" }"#;
    let by_condition = by_template.replacen("\"add\",", "\"add\", when = \"valid_until\",", 1);
    for (actions, is_used) in [(by_template, true), (by_condition.as_str(), false)] {
        let mut form = form([1]);
        form.fields.push(field("until", "31.12.2027"));
        let mut world = World::new(form.clone());
        world.used_by = is_used.then_some(("nac", "add", "valid_until"));
        let mut run = Run::with_fields(world, fields, actions);
        let _ = run.attempt().await;
        assert_eq!(run.world.done("nac", "add"), [].into());
        assert_eq!(run.world.done("nac", "second"), [].into());
        assert_eq!(run.world.done("wlc", "add"), [1].into(), "another target does not wait");
        form.fields[1] = field("until", "2027-12-31T00:00:00+08:00");
        *run.world.form.lock().unwrap() = form;
        assert_eq!(run.redrive().await, Disposition::Done);
        let seen = run.world.seen.lock().unwrap().clone();
        let at_nac = seen.iter().filter(|it| it.target == "nac").map(|it| it.operation.as_str());
        assert_eq!(at_nac.collect::<Vec<_>>(), ["add", "second"]);
    }
}

#[tokio::test]
async fn g27_a_second_message_has_no_budget_of_its_own_and_a_redrive_has() {
    let world = World::new(form([1]))
        .behaves(|_, _| Err(Failure::retry(Class::TargetUnavailable, Explanation::quoted("away"))));
    let mut run = Run::new(world, ADD);
    let (_, end) = run.play(1_000).await;
    assert!(matches!(end, Disposition::DeadLettered(_)), "{end:?}");
    run.world.advance(Duration::from_mins(10));
    // The other message was in the queue before the first one was given up.
    let end = run.attempt().await;
    assert!(matches!(end, Disposition::DeadLettered(_)), "{end:?}");
    let end = run.redrive().await;
    assert!(matches!(end, Disposition::RetryAfter { .. }), "{end:?}");
}

/// A call of another approval about one subject keeps no other subject from being done, and the
/// hold is recorded meanwhile.
#[tokio::test]
async fn g17_a_subject_with_a_call_under_way_waits_alone() {
    let mut run = Run::new(World::new(form([1, 2])), ADD);
    let key = GrantKey::new("nac", &device(1));
    let other = HoldId::of_approval("feishu", "A", "I-other");
    let now = run.world.clock.now();
    let lease = Lease { id: "other".into(), until: now.plus(Duration::from_hours(1)) };
    let ledger = run.world.ledger.clone();
    let begin = |it: GrantRecord| it.begin_grant(&other, &Terms::default(), &lease, now);
    let (_, generation) = ledger.change_grant(&key, begin).await.unwrap();
    let end = run.attempt().await;
    assert!(
        matches!(&end, Disposition::RetryAfter { reason, .. } if reason.class == Class::GrantHeld),
        "{end:?}"
    );
    let effects = ledger.record(&run.request().key()).unwrap().effects;
    let done: Vec<_> = effects.keys().filter_map(|key| key.parts()?.subject).collect();
    assert_eq!(done, [device(2).key()]);
    assert_eq!(ledger.grant(&key).holds.len(), 2);
    let settle = |it: GrantRecord| {
        let granted = Outcome::Granted { hold: other.clone() };
        it.settle(&lease.id, generation.unwrap(), granted, now)
    };
    ledger.change_grant(&key, settle).await.unwrap().1.unwrap();
    run.world.advance(Duration::from_mins(3));
    assert_eq!(run.attempt().await, Disposition::Done);
    let holds = ledger.grant(&key).holds;
    assert!(holds.values().all(|hold| hold.state == HoldState::Active), "{holds:?}");
}

/// A hold whose request is given up after a call with an unknown outcome is ended: its access is to
/// be removed.
#[tokio::test]
async fn a_request_that_is_given_up_ends_its_pending_holds() {
    let world = World::new(form([1])).behaves(|_, _| {
        Err(Failure::retry(Class::TargetTimeout, Explanation::quoted("no answer")))
    });
    let mut run = Run::new(world, ADD);
    let (_, end) = run.play(200).await;
    assert!(matches!(end, Disposition::DeadLettered(_)), "{end:?}");
    let record = run.world.ledger.grant(&GrantKey::new("nac", &device(1)));
    assert_eq!(record.phase(), Phase::Ending, "{record:?}");
    let world = World::new(form([1]))
        .behaves(|_, _| Err(Failure::give_up(Class::TargetRejected, Explanation::quoted("no"))));
    let mut run = Run::new(world, ADD);
    assert!(matches!(run.attempt().await, Disposition::DeadLettered(_)));
    let record = run.world.ledger.grant(&GrantKey::new("nac", &device(1)));
    assert_eq!(record.phase(), Phase::Ended, "the target did nothing: {record:?}");
}

#[tokio::test]
async fn g27_the_first_failure_after_a_weekend_is_tried_again() {
    let world = World::new(form([1]))
        .behaves(|_, _| Err(Failure::retry(Class::TargetUnavailable, Explanation::quoted("away"))));
    let mut run = Run::new(world, ADD);
    let _ = run.play(3).await;
    run.world.advance(Duration::from_hours(64));
    let end = run.attempt().await;
    assert!(matches!(end, Disposition::RetryAfter { .. }), "{end:?}");
    let spent = run.world.ledger.record(&run.request().key()).unwrap().retry.unwrap().spent_ms;
    assert!(spent < 300_000, "three waits and not a weekend: {spent} ms");
}

#[tokio::test]
async fn g27_a_message_is_given_up_before_the_queue_deletes_it() {
    let world = World::new(form([1]))
        .behaves(|_, _| Err(Failure::retry(Class::TargetUnavailable, Explanation::quoted("away"))));
    let mut run = Run::new(world, ADD);
    run.expires_at = Some(START.plus(Duration::from_hours(13)));
    assert!(matches!(run.attempt().await, Disposition::RetryAfter { .. }));
    run.world.advance(Duration::from_hours(2));
    let end = run.attempt().await;
    assert!(
        matches!(&end, Disposition::DeadLettered(reason) if reason.class == Class::TargetUnavailable)
    );
    assert_eq!(run.world.letters.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_wait_that_one_target_asks_for_is_not_borrowed_for_another() {
    let actions = format!(r#"{ADD}, {{ target = "wlc", operation = "add", for_each = "mac" }}"#);
    let two_days = Duration::from_hours(48);
    let world = World::new(form([1])).behaves(move |call, _| match call.target {
        "nac" => Err(Failure::retry_after(
            Some(Duration::from_secs(30)),
            Class::CircuitOpen,
            Explanation::quoted("open"),
        )),
        _ => Err(Failure::retry_after(
            Some(two_days),
            Class::TargetUnavailable,
            Explanation::quoted("HTTP 429"),
        )),
    });
    let mut run = Run::new(world, &actions);
    let Disposition::RetryAfter { after, reason } = run.attempt().await else {
        panic!("it is retried")
    };
    assert_eq!(reason.class, Class::TargetUnavailable);
    assert!(after <= Duration::from_mins(15), "{after:?}");
    for endless in [two_days, Duration::MAX] {
        let world = World::new(form([1])).behaves(move |_, _| {
            Err(Failure::retry_after(
                Some(endless),
                Class::CircuitOpen,
                Explanation::quoted("open"),
            ))
        });
        let Disposition::RetryAfter { after, .. } = Run::new(world, ADD).attempt().await else {
            panic!("it is retried")
        };
        assert!(after <= Duration::from_mins(16), "{after:?}");
    }
}

#[tokio::test]
async fn a_panic_outside_of_the_attempt_costs_only_its_message_a_wait() {
    let world = World::new(form([1])).behaves(|_, _| {
        Err(Failure::give_up(Class::TargetRejected, Explanation::quoted("HTTP 422")))
    });
    let mut run = Run::new(World { dead_letter_queue_panics: true, ..world }, ADD);
    let end = run.attempt().await;
    assert!(
        matches!(&end, Disposition::RetryAfter { reason, .. } if reason.class == Class::InternalError)
    );
}

/// A definition that no flow names is counted, and no dead letter, unless an operator asked for it.
#[tokio::test]
async fn what_no_flow_wants_is_counted_and_an_operator_gets_an_answer() {
    let mut run = Run::new(World::new(form([1])), ADD);
    run.definition_id = "B";
    for count in 1..=2 {
        assert_eq!(run.attempt().await, Disposition::Unwanted);
        let expected = [("feishu#B#approved".to_owned(), count)].into();
        assert_eq!(run.world.ledger.unwanted(), expected);
    }
    let key = run.request().key();
    assert_eq!(run.world.ledger.record(&key), None, "no request was claimed");
    run.world.ledger.replay(key, &run.request().event_id);
    let end = run.attempt().await;
    assert!(
        matches!(&end, Disposition::DeadLettered(reason) if reason.class == Class::NotConfigured),
        "{end:?}"
    );
    assert_eq!(*run.world.seen.lock().unwrap(), [], "nothing was done");
}

/// Flows that were changed while a request waits must not lose it.
#[tokio::test]
async fn a_request_that_began_is_a_dead_letter_when_its_flow_is_gone() {
    let world = World::new(form([1])).behaves(|_, _| {
        Err(Failure::retry(Class::TargetUnavailable, Explanation::quoted("no route")))
    });
    let mut run = Run::new(world, ADD);
    assert!(matches!(run.attempt().await, Disposition::RetryAfter { .. }));
    run.lose_flows();
    let end = run.attempt().await;
    assert!(
        matches!(&end, Disposition::DeadLettered(reason) if reason.class == Class::NotConfigured),
        "{end:?}"
    );
    assert_eq!(run.world.ledger.unwanted(), [].into());
}

/// A message about an old approval makes nothing happen, whether it is a copy or forged.
#[tokio::test]
async fn an_approval_that_ended_too_long_ago_is_refused_unless_it_is_replayed() {
    let month = Duration::from_hours(30 * 24);
    for (age, is_replayed, is_done) in [
        (month, false, true),
        (month + Duration::from_secs(1), false, false),
        (month + Duration::from_secs(1), true, false),
        (month * 12, true, true),
    ] {
        // A copy of a message that an operator asked for once has another event id.
        let event_id = if is_done { request("I-1").event_id } else { "of the replay".to_owned() };

        let world = World { ended_at: Some(START.minus(age)), ..World::new(form([1])) };
        let mut run = Run::new(world, ADD);
        if is_replayed {
            run.world.ledger.replay(run.request().key(), &event_id);
        }
        let end = run.attempt().await;
        assert_eq!(end == Disposition::Done, is_done, "{age:?}: {end:?}");
        assert_eq!(run.world.seen.lock().unwrap().len(), usize::from(is_done));
        if !is_done {
            let reason = run.world.letters.lock().unwrap()[0].clone();
            assert_eq!(reason.class, Class::TooOld);
            let said =
                "the approval ended 31 days ago, and the flow refuses what is older than 30 days";
            assert!(reason.cause.text.starts_with(said), "{reason}");
        }
    }
}
