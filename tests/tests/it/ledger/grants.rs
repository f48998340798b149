//! Grants, and the ticks about them.

use std::time::Duration;

use greenlight_core::audit::{AttemptRecord, Grant, Lookup};
use greenlight_core::explain::Explanation;
use greenlight_core::grant::{
    BeginError, CONFIRM_EVERY, EndReason, GrantKey, GrantRecord, HoldId, Outcome, Phase, Terms,
};
use greenlight_core::lease::{Lease, LeaseId, LeaseLost};
use greenlight_core::ledger::{Completion, Effect, EffectKey, EffectKind, EffectOutcome, Standing};
use greenlight_core::operator::GrantChange;
use greenlight_core::person::{PersonKey, PersonRecord, Wanted};
use greenlight_core::retry::RetryState;
use greenlight_core::schedule::Schedule;
use greenlight_core::subject::Subject;
use greenlight_core::sweep::{Begun, Pace, Seen, Step, Sweep, SweepKey};
use greenlight_core::{Class, Reason, Timestamp};
use greenlight_testkit::request::request;
use greenlight_testkit::subject::{BADGE, device};

use super::{Ledger, at, end, find, lease};

/// The grant of a subject at the target `nac`.
async fn grant_of<L: Ledger>(ledger: &L, subject: &Subject) -> Vec<Grant> {
    let mut grants = ledger.grants_of(&[("nac".to_owned(), subject.key())]).await.unwrap();
    grants.retain(|grant| grant.record.due().is_some());
    grants
}

fn terms() -> Terms {
    let (owner, applicant, operation) = ("ou_2".into(), "ou_1".into(), "add".into());
    Terms { owner, applicant, operation, revoked_by: Some("remove".into()), ..Terms::default() }
}

/// Grants are found when they are due, those first that are due longest, and not before.
pub(super) async fn grants_are_due_when_a_hold_ends_or_is_to_be_confirmed<L: Ledger>(ledger: &L) {
    let start = Timestamp::from_millis(10_000_000);
    let key = |n: u8| GrantKey::new("due", &device(&format!("00:00:5e:00:54:{n:02x}")));
    let hold = HoldId::of_approval("feishu", "A", "due");
    // The second ends first, the third has no end.
    for (n, until) in [(1, Some(3_000)), (2, Some(2_000)), (3, None)] {
        let until = until.map(|millis| start.plus(Duration::from_millis(millis)));
        let lease = Lease { id: "l".into(), until: start.plus(Duration::from_secs(90)) };
        let begin =
            |it: GrantRecord| it.begin_grant(&hold, &Terms { until, ..terms() }, &lease, start);
        let (_, generation) = ledger.change_grant(&key(n), begin).await.unwrap();
        let granted = Outcome::Granted { hold: hold.clone() };
        let generation = generation.unwrap();
        let settle = |it: GrantRecord| it.settle(&lease.id, generation, granted.clone(), start);
        ledger.change_grant(&key(n), settle).await.unwrap().1.unwrap();
    }
    let due = async |millis: u64, at_most: usize| {
        let due = ledger.due_grants(start.plus(Duration::from_millis(millis)), at_most).await;
        let mut due = due.unwrap();
        due.retain(|key| key.target == "due");
        due
    };
    assert_eq!(due(1_999, 999).await, []);
    assert_eq!(due(2_000, 999).await, [key(2)]);
    assert_eq!(due(3_000, 999).await, [key(2), key(1)]);
    let week = u64::try_from(CONFIRM_EVERY.as_millis()).unwrap();
    assert_eq!(due(week, 999).await, [key(2), key(1), key(3)]);
    let now = start.plus(Duration::from_secs(4));
    let later = now.plus(Duration::from_mins(10));
    let postpone = |it: GrantRecord| it.postpone(now, later);
    ledger.change_grant(&key(2), postpone).await.unwrap();
    assert_eq!(due(4_000, 999).await, [key(1)]);
    let all = ledger.due_grants(later, 999).await.unwrap();
    assert_eq!(ledger.due_grants(later, 1).await.unwrap(), all[..1]);
}

/// The grants that a person holds are found, and nothing else.
pub(super) async fn what_a_person_holds_is_found<L: Ledger>(ledger: &L) {
    let key = |n: u8| GrantKey::new("nac", &device(&format!("00:00:5e:00:55:{n:02x}")));
    let now = Timestamp::from_millis(20_000_000);
    for (n, owner, instance) in [(1, "ou_9", "I-1"), (2, "ou_99", "I-1"), (3, "ou_9", "I-ended")] {
        let hold = HoldId::of_approval("feishu", "A", instance);
        let terms = Terms { owner: owner.to_owned(), ..terms() };
        let add = |it: GrantRecord| it.add_hold(&hold, &terms, now);
        ledger.change_grant(&key(n), add).await.unwrap().1.unwrap();
        if instance == "I-ended" {
            let end = |it: GrantRecord| (it.end(&hold, EndReason::Ended, now), ());
            ledger.change_grant(&key(n), end).await.unwrap();
        }
    }
    let held = ledger.grants_held_by("ou_9").await.unwrap();
    let record = ledger.change_grant(&key(1), |it| (it, ())).await.unwrap().0;
    assert_eq!(held, [(key(1), record)]);
    assert_eq!(ledger.grants_held_by("nobody").await.unwrap(), []);
}

/// The record of a person is the person's at that source alone, and is changed by all workers.
pub(super) async fn a_person_is_known_by_source_and_id<L: Ledger>(ledger: &L) {
    let person = |source: &str| PersonKey::new(source, "ou_7").unwrap();
    let leave = |it: PersonRecord| (it.leave(at(5), at(5)), ());
    ledger.change_person(&person("feishu"), leave).await.unwrap();
    let read =
        async |source: &str| ledger.change_person(&person(source), |it| (it, ())).await.unwrap().0;
    assert_eq!(read("feishu").await.left_at, Some(at(5)));
    assert_eq!(read("other").await, PersonRecord::default());
    let attempts = (0..8).map(|n| async move {
        let (subject, reserved_until) = (format!("text:{n}"), at(9));
        let wanted = Wanted {
            definition_id: "laptops",
            subject: &subject,
            per_owner: Some(3),
            reserved_until,
        };
        let count = |it: PersonRecord| it.count(&wanted);
        ledger.change_person(&person("other"), count).await.unwrap().1.is_ok()
    });
    let taken = futures_util::future::join_all(attempts).await;
    assert_eq!(taken.into_iter().filter(|is_taken| *is_taken).count(), 3, "at the same moment");
    assert_eq!(read("other").await.counted["laptops"].len(), 3);
}

/// A pseudonym replaces the person everywhere but in access that is held, also the second time.
pub(super) async fn a_person_is_renamed_in_requests_and_in_what_has_ended<L: Ledger>(ledger: &L) {
    let request = request("renamed");
    let (id, now) = (LeaseId::from("renamed"), at(30));
    ledger.claim(&request, &lease("renamed", 90), now).await.unwrap().unwrap();
    let applicant = "ou_old".to_owned();
    let found = AttemptRecord { applicant, is_read: true, ..AttemptRecord::default() };
    end(ledger, &request, &id, &Completion::Done, &found, now).await;
    let holds = ["R-ended", "R-live"].map(|it| HoldId::of_approval("feishu", "A", it));
    let key = GrantKey::new("nac", &device("00:00:5e:00:56:01"));
    for hold in &holds {
        let terms = Terms { owner: "ou_old".to_owned(), ..terms() };
        let add = |it: GrantRecord| it.add_hold(hold, &terms, now);
        ledger.change_grant(&key, add).await.unwrap().1.unwrap();
    }
    let end_first = |it: GrantRecord| (it.end(&holds[0], EndReason::Ended, now), ());
    ledger.change_grant(&key, end_first).await.unwrap();
    let person = PersonKey::new("feishu", "ou_old").unwrap();
    let leave = |it: PersonRecord| (it.leave(now, now), ());
    ledger.change_person(&person, leave).await.unwrap();

    for _ in 0..2 {
        ledger.rename_in_request(&request.key(), "ou_old", "erased-1").await.unwrap();
        let rename =
            GrantChange::Rename { person: "ou_old".to_owned(), pseudonym: "erased-1".to_owned() };
        ledger.change(&key, &rename, now).await.unwrap().1.unwrap();
        ledger.forget_person(&person).await.unwrap();

        assert_eq!(find(ledger, Lookup::person("ou_old")).await, []);
        let found = find(ledger, Lookup::person("erased-1")).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].applicant.as_deref(), Some("erased-1"));
        let record = ledger.change_grant(&key, |it: GrantRecord| (it, ())).await.unwrap().0;
        let owners = holds.each_ref().map(|hold| record.holds[hold].terms.owner.clone());
        assert_eq!(owners, ["erased-1", "ou_old"], "who holds access must be known");
        let known = ledger.change_person(&person, |it| (it, ())).await.unwrap().0;
        assert_eq!(known.left_at, Some(now), "nothing is granted to one who left");
    }
    let other = PersonKey::new("feishu", "ou_other").unwrap();
    ledger.forget_person(&other).await.unwrap();
}

/// One tick at a time: the second begins when the first has ended, or its lease has.
pub(super) async fn one_tick_at_a_time<L: Ledger>(ledger: &L) {
    let begin = async |id: &str, millis: i64| {
        let (lease, now) = (lease(id, millis + 10), at(millis));
        ledger.change_schedule(|it: Schedule| it.begin(&lease, now)).await.unwrap().1
    };
    let end = async |id: &str, millis: i64| {
        let (id, now) = (LeaseId::from(id), at(millis));
        ledger.change_schedule(|it: Schedule| (it.end(&id, now), ())).await.unwrap().0.last
    };
    assert_eq!((begin("a", 0).await, begin("b", 9).await), (true, false));
    assert_eq!(end("b", 9).await, None, "it has not begun");
    assert_eq!(end("a", 9).await, Some(at(9)));
    assert!(begin("b", 9).await);
    assert!(begin("c", 19).await, "the lease of b is over");
}

/// A sweep has one worker at a time, which lists from where the one before it died.
pub(super) async fn one_sweep_of_a_definition_at_a_time<L: Ledger>(ledger: &L) {
    let pace = Pace::hourly(Duration::from_hours(10));
    let key = |definition: &str| {
        let (source, definition_id) = ("feishu".to_owned(), definition.to_owned());
        SweepKey { source, definition_id }
    };
    let acquire = async |definition: &str, id: &str, millis: i64| {
        let (lease, now) = (lease(id, millis + 10), at(millis));
        let acquire = |it: Sweep| it.begin(&lease, &pace, now, now);
        ledger.change_sweep(&key(definition), acquire).await.unwrap()
    };
    let (record, _) = acquire("S-1", "a", 0).await;
    let window = record.next_window(pace.window).unwrap();
    assert_eq!(acquire("S-1", "b", 9).await.1, Begun::Held { until: at(10) });
    assert!(matches!(acquire("S-2", "c", 9).await.1, Begun::Pass(_)), "another definition");
    let open = Seen::open(at(1), at(5));
    let seen = [("I-1".to_owned(), Some(open.clone())), ("I-2".to_owned(), None)].into();
    let step = Step { listed_until: Some(window.end), seen, calls: 3, found: 1 };
    let saw = |it: Sweep| it.saw(&"a".into(), &step, at(9));
    ledger.change_sweep(&key("S-1"), saw).await.unwrap().1.unwrap();
    let (record, begun) = acquire("S-1", "b", 11).await;
    let Begun::Pass(pass) = begun else { panic!("{begun:?}") };
    assert_eq!(pass.next, window.end);
    assert_eq!((record.calls.count, record.found, record.last_found), (3, 1, Some(at(9))));
    assert_eq!(record.instances, [("I-1".to_owned(), open)].into());
    let late = ledger.change_sweep(&key("S-1"), saw).await.unwrap().1;
    assert_eq!(late, Err(LeaseLost));
    let listed = ledger.sweeps().await.unwrap();
    let definitions: Vec<_> = listed.iter().map(|(key, _)| key.definition_id.as_str()).collect();
    assert_eq!(definitions, ["S-1", "S-2"]);
    assert_eq!(listed[0].1, record);
}

/// What the attempts of a request recorded leads to the grants that it holds, or may hold.
pub(super) async fn progress_tells_the_grants_of_a_request<L: Ledger>(ledger: &L) {
    let request = request("progress");
    assert_eq!(ledger.progress(&request.key()).await.unwrap(), None);
    ledger.claim(&request, &lease("a", 10), at(0)).await.unwrap().unwrap();
    let of = |operation: &str| EffectKey::new("nac", operation, Some(&device("00:00:5e:00:55:01")));
    for (operation, kind) in [("add", EffectKind::Grant), ("note", EffectKind::Write)] {
        let effect = Effect { kind, outcome: EffectOutcome::Done, at: at(1) };
        ledger
            .record_effect(&request.key(), &"a".into(), &of(operation), effect, at(1))
            .await
            .unwrap()
            .unwrap();
    }
    let pending = GrantKey::new("wlc", &device("00:00:5e:00:55:02"));
    let retry =
        RetryState { pending: [pending.clone()].into(), attempt: 1, ..RetryState::default() };
    let reason = Reason::new(Class::TargetFailed, Explanation::quoted("busy"));
    let released = Completion::Released { reason, retry };
    ledger.complete(&request.key(), &"a".into(), &released, at(2)).await.unwrap().unwrap();
    let progress = ledger.progress(&request.key()).await.unwrap().unwrap();
    let granted = GrantKey::new("nac", &device("00:00:5e:00:55:01"));
    assert_eq!(progress.claimed.grants(), [granted, pending].into());
    assert!(
        matches!(progress.standing, Standing::Running { until } if until == Timestamp::default())
    );
}

pub(super) async fn a_grant_is_listed_with_its_holds_until_it_is_removed<L: Ledger>(ledger: &L) {
    for (subject, n) in
        [(device("00:00:5e:00:53:b1"), 0), (Subject::parse(&BADGE, "12").unwrap(), 9)]
    {
        a_grant_of(ledger, subject, n).await;
    }
}

/// The times begin at `n` seconds.
async fn a_grant_of<L: Ledger>(ledger: &L, subject: Subject, n: i64) {
    let key = GrantKey::new("nac", &subject);
    let hold = |instance: &str| HoldId::of_approval("feishu", "A", instance);
    let at = |millis: i64| at(n * 1_000 + millis);
    let lease = |id: &str, until: i64| Lease { id: id.into(), until: at(until) };
    let begin = async |instance: &str, millis: i64| {
        let (hold, lease) = (hold(instance), lease(instance, millis + 100));
        let begin = |it: GrantRecord| it.begin_grant(&hold, &terms(), &lease, at(millis));
        ledger.change_grant(&key, begin).await.unwrap().1
    };
    let settle = async |id: &str, generation: u64, outcome: Outcome, millis: i64| {
        let id = LeaseId::from(id);
        let settle = |it: GrantRecord| it.settle(&id, generation, outcome.clone(), at(millis));
        ledger.change_grant(&key, settle).await.unwrap()
    };
    assert_eq!(begin("1", 0).await, Ok(1));
    assert_eq!(begin("2", 1).await, Err(BeginError::Wait { until: at(100) }));
    let pending = grant_of(ledger, &subject).await;
    assert_eq!(pending.len(), 1, "it is seen before the call");
    let (_, settled) = settle("1", 1, Outcome::Granted { hold: hold("1") }, 2).await;
    settled.unwrap();
    assert_eq!(begin("2", 3).await, Ok(2));
    let (record, settled) = settle("2", 2, Outcome::Granted { hold: hold("2") }, 4).await;
    settled.unwrap();
    let granted = grant_of(ledger, &subject).await;
    assert_eq!(granted[0].record, record);
    assert_eq!((&*granted[0].target, granted[0].subject.clone()), ("nac", subject.key()));
    let holders: Vec<_> = granted[0].holders().into_iter().map(|(id, _)| id.clone()).collect();
    assert_eq!((holders, record.since()), (vec![hold("1"), hold("2")], at(0)));
    assert!(ledger.grants(999).await.unwrap().contains(&granted[0]));

    // It is listed until its removal is confirmed.
    let returned = lease("r", 100);
    let (record, generation) = ledger
        .change_grant(&key, |it| it.begin_return((&hold("R"), at(5)), "remove", &returned, at(5)))
        .await
        .unwrap();
    assert_eq!((record.phase(), generation), (Phase::Ending, Ok(Some(3))));
    assert_eq!(grant_of(ledger, &subject).await[0].record, record);
    let (record, _) = settle("r", 3, Outcome::Revoked { session: None }, 6).await;
    assert_eq!(record.phase(), Phase::Ended);
    assert_eq!(grant_of(ledger, &subject).await, []);
    let listed = ledger.grants(999).await.unwrap();
    assert!(listed.iter().all(|grant| grant.subject != subject.key()));
    // A new approval holds it from its own time.
    assert_eq!(begin("3", 7).await, Ok(4));
    assert_eq!(grant_of(ledger, &subject).await[0].record.since(), at(7));
}

/// Two workers that change a grant at the same moment both do: no change is lost.
pub(super) async fn changes_of_a_grant_at_the_same_moment_are_all_kept<L: Ledger>(ledger: &L) {
    let key = GrantKey::new("nac", &device("00:00:5e:00:53:b7"));
    let ends = (0..5).map(|n| {
        let (key, hold) = (&key, HoldId::of_approval("feishu", "A", &format!("I-{n}")));
        async move {
            let end = |it: GrantRecord| (it.end(&hold, EndReason::Withdrawn, at(n)), ());
            ledger.change_grant(key, end).await.unwrap();
        }
    });
    futures_util::future::join_all(ends).await;
    let (record, ()) = ledger.change_grant(&key, |it| (it, ())).await.unwrap();
    assert_eq!(record.holds.len(), 5);
}
