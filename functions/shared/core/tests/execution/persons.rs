//! What a person may hold: nothing after leaving, no more than the flow allows, and one thing in
//! place of another.

use std::time::Duration;

use greenlight_core::explain::Explanation;
use greenlight_core::form::Form;
use greenlight_core::grant::{EndReason, GrantKey, GrantRecord, HoldId, HoldState, Phase, Terms};
use greenlight_core::lease::Lease;
use greenlight_core::person::{PersonKey, PersonRecord, Presence, Wanted};
use greenlight_core::ports::{Call, KeepGrants, KeepPersons};
use greenlight_core::{Class, Disposition, Failure};
use greenlight_testkit::subject::{device_number as device, number_of};

use super::ends::{called, calls, end_reasons, record};
use super::world::{APPLICANT, Run, START, World, field, form};

/// A second look for what a worker was about to record comes so long after the first.
const SECOND_LOOK: Duration = Duration::from_mins(10);

/// Of the attempts.
const LEASE: Duration = Duration::from_mins(2);

fn is_dead_letter(end: &Disposition, class: Class) -> bool {
    matches!(end, Disposition::DeadLettered(reason) if reason.class == class)
}

fn is_wait(end: &Disposition, class: Class) -> bool {
    matches!(end, Disposition::RetryAfter { reason, .. } if reason.class == class)
}

fn is_withdrawn(end: &Disposition) -> bool {
    matches!(end, Disposition::Withdrawn(reason) if reason.class == Class::Withdrawn)
}

/// Another person holds the device.
async fn hold_for(run: &Run, owner: &str, device_number: u8) {
    let (owner, operation) = (owner.to_owned(), "add".to_owned());
    let terms = Terms { owner, operation, ..Terms::default() };
    let lease = Lease { id: "other".into(), until: START };
    let hold = HoldId::of_approval("feishu", "A", "I-of-another");
    let key = GrantKey::new("nac", &device(device_number));
    let begin = |it: GrantRecord| it.begin_grant(&hold, &terms, &lease, START);
    run.world.ledger.change_grant(&key, begin).await.unwrap().1.unwrap();
}

#[tokio::test]
async fn g22_a_person_who_left_holds_nothing_and_gets_nothing() {
    let mut run = Run::with_end(World::new(form([1, 2])), "");
    assert_eq!(run.attempt().await, Disposition::Done);
    hold_for(&run, "ou_2", 2).await;
    *run.world.presence.lock().unwrap() = Presence::Left;
    let again = run.leave().await;
    assert!(
        matches!(&again, Disposition::RetryAfter { after, .. } if *after == SECOND_LOOK),
        "{again:?}"
    );
    assert_eq!(run.deliver_enqueued().await, 1);
    assert_eq!(calls(&run), called(&[("add", 1), ("add", 2), ("remove", 1)]));
    assert_eq!(end_reasons(&record(&run, 2)), [EndReason::Left]);
    assert_eq!(record(&run, 2).phase(), Phase::Held, "another person holds it");
    // An approval that was carried out at the same moment.
    assert!(is_withdrawn(&run.approve("I-2", form([3])).await));
    let unrecorded = HoldId::of_approval("feishu", "A", "I-3");
    let terms = Terms { owner: APPLICANT.into(), ..Terms::default() };
    let lease = Lease { id: "late".into(), until: START };
    let begin = |it: GrantRecord| it.begin_grant(&unrecorded, &terms, &lease, START);
    let key = GrantKey::new("nac", &device(4));
    run.world.ledger.change_grant(&key, begin).await.unwrap().1.unwrap();
    run.world.advance(SECOND_LOOK);
    assert_eq!(run.leave().await, Disposition::PersonLeft);
    assert_eq!(end_reasons(&record(&run, 4)), [EndReason::Left]);
    assert_eq!(run.world.letters.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_person_who_came_back_is_granted_what_is_approved_then() {
    let mut run = Run::with_end(World::new(form([1])), "");
    *run.world.presence.lock().unwrap() = Presence::Left;
    let _ = run.leave().await;
    assert!(is_withdrawn(&run.approve("I-2", form([2])).await));
    *run.world.presence.lock().unwrap() = Presence::Present;
    assert_eq!(run.approve("I-3", form([3])).await, Disposition::Done);
    assert_eq!(calls(&run), called(&[("add", 3)]));
}

/// "Left" is what the source says: not what the message says, and not that the person is unknown.
#[tokio::test]
async fn a_person_of_whom_the_source_does_not_say_so_has_not_left() {
    let mut run = Run::with_end(World::new(form([1])), "");
    assert_eq!(run.attempt().await, Disposition::Done);
    assert!(is_wait(&run.leave().await, Class::DeadlineExceeded), "its reads can lag behind");
    run.world.advance(Duration::from_hours(1));
    assert_eq!(run.leave().await, Disposition::PersonLeft, "a member: nothing to do");
    *run.world.presence.lock().unwrap() = Presence::Unknown;
    assert!(is_dead_letter(&run.leave().await, Class::NotApproved));
    assert_eq!(run.deliver_enqueued().await, 0);
    assert_eq!(record(&run, 1).phase(), Phase::Held);
}

#[tokio::test]
async fn a_person_gets_no_more_than_the_flow_allows() {
    let mut run = Run::with_end(World::new(form([1])), "per_owner = 2\nlasts = \"2h\"");
    assert_eq!(run.approve("I-1", form([1])).await, Disposition::Done);
    assert_eq!(run.approve("I-2", form([1])).await, Disposition::Done, "the same device");
    run.world.advance(Duration::from_hours(1));
    assert_eq!(run.approve("I-3", form([2])).await, Disposition::Done);
    assert!(is_dead_letter(&run.approve("I-4", form([3])).await, Class::LimitReached));
    assert_eq!(record(&run, 3), GrantRecord::default(), "no hold is recorded");
    // The first has ended.
    run.world.advance(Duration::from_hours(1));
    assert_eq!(run.approve("I-4", form([3])).await, Disposition::Done);
    assert!(is_dead_letter(&run.approve("I-5", form([4])).await, Class::LimitReached));
    assert_eq!(run.world.done("nac", "add"), [1, 2, 3].into());
}

/// A form with more devices than the limit: those that fit are granted.
#[tokio::test]
async fn a_form_is_granted_as_much_as_the_limit_allows() {
    let mut run = Run::with_end(World::new(form([1, 2, 3, 4, 5])), "per_owner = 3");
    let (_, end) = run.play(20).await;
    assert!(is_dead_letter(&end, Class::LimitReached), "{end:?}");
    assert_eq!(run.world.done("nac", "add").len(), 3);
}

/// A worker dies after it counted a subject: that is dropped when the lease is over.
#[tokio::test]
async fn a_subject_that_was_counted_in_vain_is_dropped() {
    let mut run = Run::with_end(World::new(form([1])), "per_owner = 1");
    let person = PersonKey::new("feishu", APPLICANT).unwrap();
    let reserved_until = START.plus(Duration::from_mins(2));
    let subject = device(9).key();
    let (definition_id, per_owner) = ("A", Some(1));
    let wanted = Wanted { definition_id, subject: &subject, per_owner, reserved_until };
    let count = |it: PersonRecord| it.count(&wanted);
    run.world.ledger.change_person(&person, count).await.unwrap().1.unwrap();
    let end = run.attempt().await;
    assert!(is_wait(&end, Class::GrantHeld), "its hold may be recorded at this moment: {end:?}");
    run.world.advance(Duration::from_mins(2));
    assert_eq!(run.attempt().await, Disposition::Done);
}

#[tokio::test]
async fn the_oldest_access_ends_where_the_flow_says_so() {
    let mut run = Run::with_end(World::new(form([1])), "per_owner = 2\nwhen_full = \"end_oldest\"");
    for (instance, number) in [("I-1", 1), ("I-2", 2)] {
        assert_eq!(run.approve(instance, form([number])).await, Disposition::Done);
        run.world.advance(Duration::from_secs(1));
    }
    // Another worker may be about to record a hold of what was counted just now.
    assert!(is_wait(&run.approve("I-3", form([3])).await, Class::GrantHeld));
    run.world.advance(LEASE);
    assert_eq!(run.approve("I-3", form([3])).await, Disposition::Done);
    assert_eq!(run.deliver_enqueued().await, 1);
    assert_eq!(end_reasons(&record(&run, 1)), [EndReason::Replaced]);
    let expected = [("add", 1), ("add", 2), ("add", 3), ("remove", 1)];
    assert_eq!(calls(&run), called(&expected));
}

/// A form with more devices than the limit ends nothing that it gives itself.
#[tokio::test]
async fn a_form_does_not_end_what_it_gives_itself() {
    let mut run = Run::with_end(
        World::new(form([1, 2, 3])),
        "per_owner = 2\nwhen_full = \"end_oldest\"\nreplaces = \"old\"",
    );
    let (_, end) = run.play(20).await;
    assert!(is_dead_letter(&end, Class::LimitReached), "{end:?}");
    assert_eq!(calls(&run).len(), 2, "no removal");
    // The old device is the new one, and the first attempt fails at the target.
    let fails_once = |_: &Call<'_>, number| match number {
        1 => Err(Failure::retry(Class::TargetFailed, Explanation::quoted("HTTP 500"))),
        _ => Ok(()),
    };
    let mut run =
        Run::with_end(World::new(replacing(1, 1)).behaves(fails_once), "replaces = \"old\"");
    let (_, end) = run.play(3).await;
    assert_eq!(end, Disposition::Done);
    assert_eq!(run.world.done("nac", "add"), [1].into());
    // A device does not replace itself: another approval that holds it goes on.
    assert_eq!(run.approve("I-2", replacing(1, 1)).await, Disposition::Done);
    assert_eq!(end_reasons(&record(&run, 1)), []);
}

/// The limit, and what it ends, is about the access by this flow alone.
#[tokio::test]
async fn what_an_operator_gave_neither_counts_nor_is_replaced() {
    let mut run = Run::with_end(World::new(form([1])), "per_owner = 1\nreplaces = \"old\"");
    let (owner, operation) = (APPLICANT.to_owned(), "add".to_owned());
    let terms = Terms { owner, operation, ..Terms::default() };
    let key = GrantKey::new("nac", &device(9));
    let add = |it: GrantRecord| it.add_hold(&HoldId::of_act("a1"), &terms, START);
    run.world.ledger.change_grant(&key, add).await.unwrap().1.unwrap();
    assert_eq!(run.approve("I-1", replacing(1, 9)).await, Disposition::Done);
    assert!(record(&run, 9).is_held());
}

/// What makes room ends when the new access is given: a refused one leaves the old.
#[tokio::test]
async fn an_access_that_is_not_given_ends_no_other() {
    for grant in [
        "per_owner = 1\nreplaces = \"old\"",
        "per_owner = 1\nwhen_full = \"end_oldest\"\nreplaces = \"old\"",
    ] {
        let refuses = |call: &Call<'_>, _| match number_of(call.subject) {
            2 => Err(Failure::give_up(Class::TargetRejected, Explanation::quoted("HTTP 422"))),
            _ => Ok(()),
        };
        let mut run = Run::with_end(World::new(form([1])).behaves(refuses), grant);
        assert_eq!(run.approve("I-1", form([1])).await, Disposition::Done);
        run.world.advance(LEASE);
        let end = run.approve("I-2", replacing(2, 1)).await;
        assert!(is_dead_letter(&end, Class::TargetRejected), "{end:?}");
        assert!(record(&run, 1).is_held(), "{grant}");
        assert_eq!(run.approve("I-3", replacing(3, 1)).await, Disposition::Done, "{grant}");
        assert!(!record(&run, 1).is_held(), "{grant}");
    }
}

/// What the target refuses takes no room from the other devices of the form.
#[tokio::test]
async fn a_device_that_is_refused_leaves_its_room_to_the_others() {
    let refuses = |call: &Call<'_>, _| match number_of(call.subject) {
        2 => Err(Failure::give_up(Class::TargetRejected, Explanation::quoted("HTTP 422"))),
        _ => Ok(()),
    };
    let mut run = Run::with_end(World::new(form([1])).behaves(refuses), "per_owner = 2");
    assert_eq!(run.approve("I-1", form([1])).await, Disposition::Done);
    run.world.advance(LEASE);
    let mut end = run.approve("I-2", form([2, 3])).await;
    for _ in 0..3 {
        run.world.advance(LEASE);
        if is_wait(&end, Class::GrantHeld) {
            end = run.approve("I-2", form([2, 3])).await;
        }
    }
    assert!(is_dead_letter(&end, Class::TargetRejected), "{end:?}");
    assert_eq!(run.world.done("nac", "add"), [1, 3].into());
}

/// A device that was replaced, and is asked for again, is a new one; one that is held is not.
#[tokio::test]
async fn a_device_that_is_held_is_approved_again_at_the_limit() {
    let mut run = Run::with_end(World::new(form([1])), "per_owner = 1\nreplaces = \"old\"");
    assert_eq!(run.approve("I-1", form([1])).await, Disposition::Done);
    run.world.advance(LEASE);
    assert_eq!(run.approve("I-2", replacing(2, 1)).await, Disposition::Done);
    assert_eq!(run.approve("I-3", form([2])).await, Disposition::Done);
    run.world.advance(LEASE);
    assert!(is_dead_letter(&run.approve("I-4", form([1])).await, Class::LimitReached));
}

/// A worker dies after the new access was given, and before the old one ended.
#[tokio::test]
async fn what_a_dead_worker_was_to_end_ends_at_the_next_look() {
    let mut run = Run::with_end(World::new(form([1])), "per_owner = 1\nreplaces = \"old\"");
    assert_eq!(run.approve("I-1", form([1])).await, Disposition::Done);
    run.world.advance(LEASE);
    assert_eq!(run.approve("I-2", replacing(2, 1)).await, Disposition::Done);
    // As if the end had not been recorded.
    let person = PersonKey::new("feishu", APPLICANT).unwrap();
    let undone = |mut it: PersonRecord| {
        let counted = it.counted.get_mut("A").and_then(|all| all.get_mut(&device(2).key()));
        counted.unwrap().instead_of = Some(device(1).key());
        (it, ())
    };
    run.world.ledger.change_person(&person, undone).await.unwrap();
    let revive = |mut it: GrantRecord| {
        it.holds.values_mut().for_each(|hold| hold.state = HoldState::Active);
        (it, ())
    };
    let key = GrantKey::new("nac", &device(1));
    run.world.ledger.change_grant(&key, revive).await.unwrap();
    run.world.advance(LEASE);
    assert!(is_dead_letter(&run.approve("I-3", form([3])).await, Class::LimitReached));
    assert!(!record(&run, 1).is_held() && record(&run, 2).is_held());
}

/// An approval that was overtaken by a younger one ends nothing of it, and gives nothing.
#[tokio::test]
async fn the_younger_of_two_approvals_stays() {
    let fails_once = |_: &Call<'_>, number| match number {
        1 => Err(Failure::retry(Class::TargetTimeout, Explanation::quoted("no answer"))),
        _ => Ok(()),
    };
    let world = World::new(form([1])).behaves(fails_once);
    let mut run = Run::with_end(world, "per_owner = 1\nwhen_full = \"end_oldest\"");
    assert!(matches!(run.approve("I-1", form([1])).await, Disposition::RetryAfter { .. }));
    run.world.advance(Duration::from_mins(5));
    assert_eq!(run.approve("I-2", form([2])).await, Disposition::Done);
    assert!(is_withdrawn(&run.approve("I-1", form([1])).await));
    assert!(record(&run, 2).is_held() && !record(&run, 1).is_held());
}

fn replacing(new: u8, old: u8) -> Form {
    let mut form = form([new]);
    form.fields.push(field("old", device(old).value()));
    form
}

#[tokio::test]
async fn a_new_access_replaces_what_the_same_person_holds() {
    let mut run = Run::with_end(World::new(form([1])), "per_owner = 1\nreplaces = \"old\"");
    assert_eq!(run.approve("I-1", form([1])).await, Disposition::Done);
    run.world.advance(LEASE);
    assert_eq!(run.approve("I-2", replacing(2, 1)).await, Disposition::Done);
    assert_eq!(run.deliver_enqueued().await, 1);
    assert_eq!(calls(&run), called(&[("add", 1), ("add", 2), ("remove", 1)]));
    assert_eq!(end_reasons(&record(&run, 1)), [EndReason::Replaced]);
    // What is not held any more is replaced already.
    assert_eq!(run.approve("I-3", replacing(2, 1)).await, Disposition::Done);
}

#[tokio::test]
async fn a_form_does_not_end_what_another_person_holds() {
    let mut run = Run::with_end(World::new(form([1])), "replaces = \"old\"");
    hold_for(&run, "ou_2", 1).await;
    assert!(is_dead_letter(&run.approve("I-2", replacing(2, 1)).await, Class::InvalidForm));
    let holds: Vec<_> = record(&run, 1).holds.into_values().map(|hold| hold.state).collect();
    assert_eq!(holds, [HoldState::Pending]);
    assert_eq!(calls(&run), []);
}
