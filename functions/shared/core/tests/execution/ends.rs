//! How grants end: with their time, with their approval, and never without a removal.

use std::time::Duration;

use greenlight_core::block::Block;
use greenlight_core::explain::Explanation;
use greenlight_core::grant::{
    Access, CONFIRM_EVERY, EndReason, GrantKey, GrantRecord, HoldId, HoldState, Outcome, Phase,
    Terms,
};
use greenlight_core::instance::Status;
use greenlight_core::lease::{Lease, LeaseId};
use greenlight_core::ports::{Clock, KeepBreakers, KeepGrants};
use greenlight_core::{Class, Decision, Disposition, Failure, Request, Timestamp};
use greenlight_testkit::subject::device_number as device;

use super::world::{Run, START, World, field, form};

const HOUR: Duration = Duration::from_hours(1);

pub(crate) fn record(run: &Run, device_number: u8) -> GrantRecord {
    run.world.ledger.grant(&GrantKey::new("nac", &device(device_number)))
}

/// The calls that were made, as operation and device.
pub(crate) fn calls(run: &Run) -> Vec<(String, u8)> {
    let seen = run.world.seen.lock().unwrap();
    seen.iter().map(|call| (call.operation.clone(), call.device)).collect()
}

pub(crate) fn called(calls: &[(&str, u8)]) -> Vec<(String, u8)> {
    calls.iter().map(|(operation, device)| ((*operation).to_owned(), *device)).collect()
}

pub(crate) fn end_reasons(record: &GrantRecord) -> Vec<EndReason> {
    let reason = |state| match state {
        HoldState::Ended { reason, .. } => Some(reason),
        HoldState::Pending | HoldState::Active => None,
    };
    record.holds.values().filter_map(|hold| reason(hold.state)).collect()
}

#[tokio::test]
async fn g22_access_ends_with_its_time_and_not_before() {
    let mut run = Run::with_end(World::new(form([1])), "lasts = \"2h\"");
    assert_eq!(run.attempt().await, Disposition::Done);
    assert_eq!(record(&run, 1).next_end(), Some(START.plus(2 * HOUR)));
    run.world.advance((2 * HOUR).saturating_sub(Duration::from_millis(1)));
    assert_eq!(run.tick().await, 0, "it is not due");
    run.world.advance(Duration::from_millis(1));
    assert_eq!(run.tick().await, 1);
    assert_eq!(calls(&run), called(&[("add", 1), ("remove", 1)]));
    let record = record(&run, 1);
    assert_eq!((record.phase(), record.due()), (Phase::Ended, None));
    assert_eq!(end_reasons(&record), [EndReason::Expired]);
    run.world.advance(HOUR);
    assert_eq!(run.tick().await, 0, "nothing is left to do");
}

/// The end of an earlier approval does not cut what a later one gave.
#[tokio::test]
async fn g22_the_end_of_one_approval_leaves_what_another_one_holds() {
    let mut run = Run::with_end(World::new(form([1])), "lasts = \"2h\"");
    assert_eq!(run.attempt().await, Disposition::Done);
    hold_as(&run, "I-2", Some(START.plus(5 * HOUR))).await;
    run.world.advance(3 * HOUR);
    assert_eq!(run.tick().await, 0, "there is nothing to be done at the target");
    assert_eq!(end_reasons(&record(&run, 1)), [EndReason::Expired]);
    assert_eq!(calls(&run), called(&[("add", 1)]), "the other approval holds it");
    assert_eq!(record(&run, 1).phase(), Phase::Held);
    run.world.advance(2 * HOUR);
    assert_eq!(run.tick().await, 1);
    assert_eq!(calls(&run), called(&[("add", 1), ("remove", 1)]));
}

/// Another approval holds the device.
async fn hold_as(run: &Run, instance: &str, until: Option<Timestamp>) {
    let (hold, now) = (HoldId::of_approval("feishu", "A", instance), run.world.clock.now());
    let lease = Lease { id: instance.into(), until: now.plus(Duration::from_mins(2)) };
    let terms = Terms { until, operation: "add".into(), ..Terms::default() };
    let key = GrantKey::new("nac", &device(1));
    let begin = |it: GrantRecord| it.begin_grant(&hold, &terms, &lease, now);
    let (_, generation) = run.world.ledger.change_grant(&key, begin).await.unwrap();
    let generation = generation.unwrap();
    let granted = Outcome::Granted { hold: hold.clone() };
    let settle = |it: GrantRecord| it.settle(&lease.id, generation, granted.clone(), now);
    run.world.ledger.change_grant(&key, settle).await.unwrap().1.unwrap();
}

#[tokio::test]
async fn g23_a_removal_that_fails_is_tried_until_it_is_done() {
    let is_down = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let down = std::sync::Arc::clone(&is_down);
    let world = World::new(form([1])).behaves(move |call, _| {
        if call.operation == "remove" && down.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Failure::retry(Class::TargetUnavailable, Explanation::quoted("away")));
        }
        Ok(())
    });
    let mut run = Run::with_end(world, "lasts = \"1h\"");
    assert_eq!(run.attempt().await, Disposition::Done);
    run.world.advance(HOUR);
    // Three days: far beyond the retry budget of a request.
    let (mut delivered, mut alarms) = (0, 0);
    let mut last_alarm = None;
    for _ in 0..3 * 24 * 60 {
        delivered += run.tick().await;
        run.world.advance(Duration::from_mins(1));
        let alarm_at = record(&run, 1).alarm_at;
        alarms += usize::from(alarm_at != last_alarm);
        last_alarm = alarm_at;
    }
    assert!(
        (200..3_000).contains(&delivered),
        "at most every minute, at least every 16: {delivered}"
    );
    assert_eq!(alarms, 3, "an alarm a day");
    assert_eq!(record(&run, 1).phase(), Phase::Ending);
    assert_eq!(run.world.letters.lock().unwrap().len(), 0, "it is in no dead-letter queue");
    is_down.store(false, std::sync::atomic::Ordering::Relaxed);
    for _ in 0..20 {
        run.tick().await;
        run.world.advance(Duration::from_mins(1));
    }
    let record = record(&run, 1);
    assert_eq!((record.phase(), record.access), (Phase::Ended, Access::Absent));
}

#[tokio::test]
async fn a_withdrawn_approval_holds_nothing() {
    let mut run = Run::with_end(World::new(form([1, 2])), "");
    assert_eq!(run.attempt().await, Disposition::Done);
    hold_as(&run, "I-2", None).await;
    run.world.withdraw();
    assert_eq!(run.attempt_revocation().await, Disposition::Done);
    assert_eq!(run.deliver_enqueued().await, 1, "the access that nothing else holds");
    assert_eq!(calls(&run), called(&[("add", 1), ("add", 2), ("remove", 2)]));
    assert_eq!(end_reasons(&record(&run, 1)), [EndReason::Withdrawn]);
    assert_eq!(record(&run, 1).phase(), Phase::Held);
    assert_eq!(record(&run, 2).phase(), Phase::Ended);
    // It is delivered again, and so is the approval.
    assert_eq!(run.attempt_revocation().await, Disposition::Done);
    assert_eq!(run.attempt().await, Disposition::Done);
    assert_eq!(calls(&run).len(), 3);
}

/// At some sources a revocation is an approval of its own: it grants nothing, and takes back what
/// the other one gave.
#[tokio::test]
async fn an_approval_that_is_a_revocation_takes_back_and_never_grants() {
    let mut run = Run::with_end(World::new(form([1])), "");
    assert_eq!(run.attempt().await, Disposition::Done);
    let approved = run.request().instance_id;
    *run.world.revokes.lock().unwrap() = Some(approved.clone());
    // Before it is approved it says nothing.
    *run.world.status.lock().unwrap() = Status::Pending;
    let disposition = run.approve("R-1", form([2])).await;
    assert!(matches!(disposition, Disposition::RetryAfter { .. }), "{disposition:?}");
    assert_eq!(run.enqueued().len(), 0);
    *run.world.status.lock().unwrap() = Status::Approved;
    assert_eq!(run.approve("R-2", form([2])).await, Disposition::Done);
    assert_eq!(calls(&run), called(&[("add", 1)]), "it grants nothing");
    let enqueued = run.enqueued();
    let [body] = enqueued.as_slice() else { panic!("{enqueued:?}") };
    let revocation = Request::parse(body).unwrap();
    assert_eq!((&revocation.instance_id, revocation.decision()), (&approved, Decision::Revoked));
    // The source confirms it.
    *run.world.revokes.lock().unwrap() = None;
    run.world.withdraw();
    assert_eq!(run.deliver(body).await, Disposition::Done);
    assert_eq!(run.deliver_enqueued().await, 1);
    assert_eq!(calls(&run), called(&[("add", 1), ("remove", 1)]));
    assert_eq!(record(&run, 1).phase(), Phase::Ended);
}

/// The events of an approval and of its withdrawal can come in any order.
#[tokio::test]
async fn withdrawn_before_it_was_carried_out_grants_nothing() {
    let mut run = Run::with_end(World::new(form([1])), "");
    run.world.withdraw();
    assert_eq!(run.attempt_revocation().await, Disposition::Done);
    let end = run.attempt().await;
    assert!(matches!(&end, Disposition::Withdrawn(_)), "{end:?}");
    assert_eq!(calls(&run), []);
    // A worker that read the approval before it was withdrawn begins too late.
    let mut late = Run::with_end(World::new(form([1])), "");
    late.world.withdraw();
    assert_eq!(late.attempt_revocation().await, Disposition::Done);
    *late.world.status.lock().unwrap() = greenlight_core::instance::Status::Approved;
    let end = late.attempt().await;
    assert!(matches!(&end, Disposition::Withdrawn(_)), "{end:?}");
    assert_eq!(calls(&late), []);
    assert_eq!(late.world.letters.lock().unwrap().len(), 0);
}

/// It was withdrawn between two attempts: what the first one gave is removed.
#[tokio::test]
async fn withdrawn_between_two_attempts_removes_what_was_granted() {
    let world = World::new(form([1, 2])).behaves(|call, _| {
        if call.subject == Some(&device(2)) {
            return Err(Failure::retry(Class::TargetTimeout, Explanation::quoted("no answer")));
        }
        Ok(())
    });
    let mut run = Run::with_end(world, "");
    assert!(matches!(run.attempt().await, Disposition::RetryAfter { .. }));
    run.world.withdraw();
    run.world.advance(Duration::from_mins(5));
    let end = run.attempt().await;
    assert!(matches!(&end, Disposition::Withdrawn(_)), "{end:?}");
    run.deliver_enqueued().await;
    assert_eq!(record(&run, 1).phase(), Phase::Ended);
    // The outcome of the call for the second is unknown: it is removed, too.
    let removed = calls(&run).into_iter().filter(|(operation, _)| operation == "remove").count();
    assert_eq!(removed, 2);
}

#[tokio::test]
async fn a_flow_can_keep_what_a_withdrawn_approval_gave() {
    let mut run = Run::with_end(World::new(form([1])), "when_withdrawn = \"keep\"\nlasts = \"9h\"");
    assert_eq!(run.attempt().await, Disposition::Done);
    run.world.withdraw();
    assert_eq!(run.attempt_revocation().await, Disposition::Done);
    assert_eq!(record(&run, 1).phase(), Phase::Held);
    run.world.advance(9 * HOUR);
    assert_eq!(run.tick().await, 1);
    assert_eq!(calls(&run), called(&[("add", 1), ("remove", 1)]));
}

/// The message about a withdrawal is lost: the source is asked again.
#[tokio::test]
async fn a_withdrawal_without_a_message_is_found() {
    let mut run = Run::with_end(World::new(form([1])), "");
    assert_eq!(run.attempt().await, Disposition::Done);
    run.world.advance(CONFIRM_EVERY);
    assert_eq!(run.tick().await, 1);
    assert_eq!(record(&run, 1).phase(), Phase::Held, "the source confirms it");
    assert_eq!(record(&run, 1).due(), Some(START.plus(2 * CONFIRM_EVERY)));
    run.world.withdraw();
    run.world.advance(CONFIRM_EVERY);
    assert_eq!(run.tick().await, 1);
    assert_eq!(calls(&run), called(&[("add", 1), ("remove", 1)]));
    assert_eq!(end_reasons(&record(&run, 1)), [EndReason::Withdrawn]);
}

/// The end that the form names is kept at the target, too; the later of two ends counts.
#[tokio::test]
async fn a_target_with_an_end_of_its_own_gets_the_end_of_the_last_hold() {
    let ends = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&ends);
    let world = World::new(form([1])).behaves(move |call, _| {
        seen.lock().unwrap().push(call.variables.get("valid_until").cloned());
        Ok(())
    });
    let end = "2023-11-20T00:00:00+08:00";
    world.form.lock().unwrap().fields.push(field("end", end));
    let mut run = Run::with_end(world, "until = \"end\"\nat_most = \"90days\"");
    assert_eq!(run.attempt().await, Disposition::Done);
    // A date without a time is the end of that day.
    let end_of_day = Timestamp::of_moment("2023-11-21T00:00:00+08:00");
    assert_eq!(record(&run, 1).next_end(), end_of_day);
    let first = ends.lock().unwrap().pop().flatten();
    assert_eq!(first, Some("2023-11-20T16:00:00Z".into()));
    // Another approval holds it for longer.
    let mut second = Run::with_end(World::new(form([1])), "lasts = \"1h\"");
    hold_as(&second, "I-2", None).await;
    let seen = std::sync::Arc::clone(&ends);
    *second.world.behaviour.lock().unwrap() = Box::new(move |call, _| {
        seen.lock().unwrap().push(call.variables.get("valid_until").cloned());
        Ok(())
    });
    assert_eq!(second.attempt().await, Disposition::Done);
    assert_eq!(ends.lock().unwrap().pop().flatten(), Some(serde_json::Value::Null));
}

#[tokio::test]
async fn no_access_without_the_end_that_the_flow_asks_for() {
    let past = "2023-11-13T00:00:00+08:00";
    for (value, grant) in
        [(Some(past), "until = \"end\"\nat_most = \"1day\""), (None, "lasts = \"1h\"")]
    {
        let mut world = World::new(form([1]));
        if let Some(value) = value {
            world.form.lock().unwrap().fields.push(field("end", value));
        } else {
            world.ended_at = Some(START.plus(HOUR).minus(3 * HOUR));
        }
        let mut run = Run::with_end(world, grant);
        let end = run.attempt().await;
        assert!(
            matches!(&end, Disposition::DeadLettered(reason) if reason.class == Class::InvalidForm),
            "{end:?}"
        );
        assert_eq!(calls(&run), []);
    }
}

/// A message about a grant, which anyone who can write to the queue could send, changes nothing
/// that is not due.
#[tokio::test]
async fn a_forged_message_about_a_grant_ends_nothing() {
    let mut run = Run::with_end(World::new(form([1])), "lasts = \"2h\"");
    assert_eq!(run.attempt().await, Disposition::Done);
    let before = record(&run, 1);
    for number in [1, 9] {
        run.enqueue_due(&GrantKey::new("nac", &device(number))).await;
    }
    assert_eq!(run.deliver_enqueued().await, 2);
    assert_eq!((record(&run, 1), calls(&run).len()), (before, 1));
}

/// An attempt died after its call, and a later one gave the request up without a call: the access
/// that nothing confirmed is removed.
#[tokio::test]
async fn what_an_attempt_that_died_granted_is_removed_when_its_request_is_given_up() {
    let mut run = Run::with_end(World::new(form([1])), "");
    // What the dead attempt left: a pending hold, and a call without an outcome.
    let (key, now) = (GrantKey::new("nac", &device(1)), run.world.clock.now());
    let lease = Lease { id: "dead".into(), until: now.plus(Duration::from_mins(2)) };
    let revoked_by = Some("remove".to_owned());
    let terms = Terms { operation: "add".into(), revoked_by, ..Terms::default() };
    let hold = run.request().hold();
    let begin = |it: GrantRecord| it.begin_grant(&hold, &terms, &lease, now);
    run.world.ledger.change_grant(&key, begin).await.unwrap().1.unwrap();
    *run.world.status.lock().unwrap() = greenlight_core::instance::Status::Refused;
    let end = run.attempt().await;
    assert!(matches!(&end, Disposition::DeadLettered(_)), "{end:?}");
    assert_eq!(record(&run, 1).phase(), Phase::Held, "the request did not know of it");
    run.world.advance(HOUR);
    assert_eq!(run.tick().await, 1);
    assert_eq!(end_reasons(&record(&run, 1)), [EndReason::GivenUp]);
    assert_eq!(record(&run, 1).phase(), Phase::Ended);
    assert_eq!(calls(&run), called(&[("remove", 1)]));
}

/// An operator blocks the subject: no approval grants it anything, and what an operator asked for
/// before is not given.
#[tokio::test]
async fn what_is_blocked_is_granted_nothing() {
    let mut run = Run::with_end(World::new(form([1, 2])), "");
    let block = Block { reason: "stolen".into(), who: "li".into(), since: START, until: None };
    run.world.ledger.block(&device(1).key(), block);
    let end = run.attempt().await;
    assert!(
        matches!(&end, Disposition::DeadLettered(reason) if reason.class == Class::Blocked),
        "{end:?}"
    );
    assert_eq!(calls(&run), called(&[("add", 2)]));
    assert_eq!(record(&run, 1).phase(), Phase::Ended);
    let terms = Terms { operation: "add".into(), ..Terms::default() };
    let key = GrantKey::new("nac", &device(1));
    let add = |it: GrantRecord| it.add_hold(&HoldId::of_act("1"), &terms, START);
    run.world.ledger.change_grant(&key, add).await.unwrap().1.unwrap();
    assert_eq!(run.tick().await, 1);
    assert_eq!(calls(&run), called(&[("add", 2)]));
    assert_eq!(record(&run, 1).due(), None);
}

/// What is not wanted any more hides no failure of the same request.
#[tokio::test]
async fn an_ended_hold_beside_a_failure_is_a_dead_letter_for_the_failure() {
    let world = World::new(form([1, 2])).behaves(|call, number| match (call.subject, number) {
        (Some(it), _) if *it == device(1) => Ok(()),
        (_, 1 | 2) => Err(Failure::retry(Class::TargetTimeout, Explanation::quoted("slow"))),
        _ => Err(Failure::give_up(Class::TargetRejected, Explanation::quoted("no"))),
    });
    let mut run = Run::with_end(world, "");
    let key = GrantKey::new("nac", &device(1));
    let hold = run.request().hold();
    let end = |it: GrantRecord| (it.end(&hold, EndReason::Ended, START), ());
    run.world.ledger.change_grant(&key, end).await.unwrap();
    let (_, end) = run.play(9).await;
    assert!(
        matches!(&end, Disposition::DeadLettered(it) if it.class == Class::TargetRejected),
        "{end:?}"
    );
}

/// An end that has passed since the access was given is no problem of the form.
#[tokio::test]
async fn an_end_that_passes_between_two_attempts_is_no_failure() {
    let world = World::new(form([1, 2])).behaves(|call, number| {
        if call.subject == Some(&device(2)) && number < 3 {
            return Err(Failure::retry(Class::TargetFailed, Explanation::quoted("busy")));
        }
        Ok(())
    });
    let mut run = Run::with_end(world, "lasts = \"1h\"");
    assert!(matches!(run.attempt().await, Disposition::RetryAfter { .. }));
    run.world.advance(2 * HOUR);
    // The other device asks for access that is over: that is a problem of the form.
    let end = run.attempt().await;
    assert!(matches!(&end, Disposition::DeadLettered(it) if it.class == Class::InvalidForm));
    let letters = run.world.letters.lock().unwrap();
    assert_eq!(letters[0].cause.text.matches("in the past").count(), 1, "{letters:?}");
}

/// The target refused an operation of which a part was done before: that part is removed.
#[tokio::test]
async fn a_grant_that_was_refused_half_way_is_removed() {
    let world = World::new(form([1])).behaves(|call, _| match call.operation {
        "add" => {
            let refused = Failure::give_up(Class::TargetRejected, Explanation::quoted("no"));
            Err(refused.after_a_change())
        }
        _ => Ok(()),
    });
    let mut run = Run::with_end(world, "");
    assert!(matches!(run.attempt().await, Disposition::DeadLettered(_)));
    assert_eq!(record(&run, 1).phase(), Phase::Ending);
    run.world.advance(Duration::from_mins(3));
    assert_eq!(run.tick().await, 1);
    assert_eq!(calls(&run), called(&[("add", 1), ("remove", 1)]));
    assert_eq!(record(&run, 1).phase(), Phase::Ended);
}

/// Another call has the exclusive lock of the target: that is no failed removal, and the message
/// comes again soon.
#[tokio::test]
async fn a_removal_waits_for_the_exclusive_lock_of_its_target() {
    let world = World { is_exclusive: true, ..World::new(form([1])) };
    let mut run = Run::with_end(world, "");
    assert_eq!(run.attempt().await, Disposition::Done);
    run.world.withdraw();
    let now = run.world.clock.now();
    let (other, until) = (LeaseId::from("other"), now.plus(Duration::from_secs(20)));
    let ledger = run.world.ledger.clone();
    ledger.change_breaker("nac", |it| it.lock(&other, until, now)).await.unwrap();
    assert_eq!(run.attempt_revocation().await, Disposition::Done);
    let [body] = run.enqueued().try_into().unwrap();
    let end = run.deliver(&body).await;
    assert!(
        matches!(&end, Disposition::RetryAfter { reason, .. } if reason.class == Class::LeaseHeld),
        "{end:?}"
    );
    assert_eq!(record(&run, 1).failed_calls, 0);
    run.world.advance(Duration::from_mins(1));
    assert_eq!(run.tick().await, 0, "the message is on its way");
    ledger.change_breaker("nac", |it| (it.unlock(&other), ())).await.unwrap();
    assert_eq!(run.deliver(&body).await, Disposition::GrantDue);
    assert_eq!(calls(&run), called(&[("add", 1), ("remove", 1)]));
    assert_eq!(record(&run, 1).phase(), Phase::Ended);
}
