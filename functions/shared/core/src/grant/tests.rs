use super::*;
use crate::lease::{LeaseId, LeaseLost};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn hold(instance: &str) -> HoldId {
    HoldId::of_approval("feishu", "A", instance)
}

fn lease(id: &str, until: i64) -> Lease {
    Lease { id: id.into(), until: at(until) }
}

fn terms() -> Terms {
    let (owner, operation) = ("ou_1".to_owned(), "add".to_owned());
    Terms { applicant: owner.clone(), owner, operation, ..Terms::default() }
}

/// Begins to grant, until `until`; the lease has the name of the instance and expires at 100.
fn begin(
    record: GrantRecord,
    instance: &str,
    until: Option<i64>,
    now: i64,
) -> (GrantRecord, Result<u64, BeginError>) {
    let lease = lease(instance, 100);
    let terms = Terms { until: until.map(at), revoked_by: Some("remove".into()), ..terms() };
    record.begin_grant(&hold(instance), &terms, &lease, at(now))
}

/// A grant that these approvals hold.
fn held_by(instances: &[&str]) -> GrantRecord {
    instances.iter().fold(GrantRecord::default(), |record, instance| {
        let (record, begun) = begin(record, instance, None, 1);
        let granted = Outcome::Granted { hold: hold(instance) };
        let (record, settled) =
            record.settle(&LeaseId::from(*instance), begun.unwrap(), granted, at(2));
        settled.unwrap();
        record
    })
}

#[test]
fn a_hold_is_pending_before_the_call_and_active_after_it() {
    let (record, begun) = begin(GrantRecord::default(), "I-1", Some(50), 1);
    let state = |record: &GrantRecord| record.holds[&hold("I-1")].state;
    assert_eq!((begun, state(&record)), (Ok(1), HoldState::Pending));
    assert!(!record.is_settled());
    let granted = Outcome::Granted { hold: hold("I-1") };
    let (record, settled) = record.settle(&"I-1".into(), 1, granted, at(2));
    assert_eq!((settled, state(&record)), (Ok(()), HoldState::Active));
    assert!(record.is_settled());
    assert_eq!((record.phase(), record.next_end()), (Phase::Held, Some(at(50))));
}

#[test]
fn g22_a_grant_is_removed_when_its_last_hold_ends() {
    let record = held_by(&["I-1", "I-2"]);
    let record = record.end(&hold("I-1"), EndReason::Withdrawn, at(5));
    let (record, removal) = record.begin_removal(&lease("r", 100), at(6));
    assert_eq!(removal, Removal::StillHeld);
    let record = record.end(&hold("I-2"), EndReason::Withdrawn, at(7));
    assert_eq!(record.phase(), Phase::Ending);
    let (record, removal) = record.begin_removal(&lease("r", 100), at(8));
    let Removal::Call { generation, operations } = removal else { panic!("{removal:?}") };
    assert_eq!(operations, ["remove".to_owned()].into());
    let (record, settled) =
        record.settle(&"r".into(), generation, Outcome::Revoked { session: None }, at(9));
    assert_eq!((settled, record.phase()), (Ok(()), Phase::Ended));
    let (_, removal) = record.begin_removal(&lease("s", 100), at(10));
    assert_eq!(removal, Removal::NothingToDo);
}

#[test]
fn a_hold_ends_by_itself_at_its_time() {
    let (record, begun) = begin(GrantRecord::default(), "I-1", Some(50), 1);
    let granted = Outcome::Granted { hold: hold("I-1") };
    let (record, _) = record.settle(&"I-1".into(), begun.unwrap(), granted, at(2));
    let (record, removal) = record.begin_removal(&lease("r", 100), at(49));
    assert_eq!(removal, Removal::StillHeld);
    let (record, removal) = record.begin_removal(&lease("r", 100), at(50));
    assert!(matches!(removal, Removal::Call { .. }));
    let ended = HoldState::Ended { at: at(50), reason: EndReason::Expired };
    assert_eq!(record.holds[&hold("I-1")].state, ended);
}

#[test]
fn an_approval_that_was_withdrawn_first_cannot_begin() {
    let record = GrantRecord::default().end(&hold("I-1"), EndReason::Withdrawn, at(1));
    let (record, begun) = begin(record, "I-1", None, 2);
    assert_eq!(begun, Err(BeginError::Ended { reason: EndReason::Withdrawn }));
    assert_eq!(record.phase(), Phase::Ended);
}

#[test]
fn a_request_that_was_given_up_can_begin_again_unless_it_was_withdrawn_since() {
    let (record, _) = begin(GrantRecord::default(), "I-1", None, 1);
    let record = record.end(&hold("I-1"), EndReason::GivenUp, at(2));
    assert_eq!(record.phase(), Phase::Ending, "the outcome of its call is unknown");
    let (again, begun) = begin(record.clone(), "I-1", None, 101);
    assert_eq!((begun, again.phase()), (Ok(2), Phase::Held));
    let record = record.end(&hold("I-1"), EndReason::Withdrawn, at(3));
    let record = record.end(&hold("I-1"), EndReason::GivenUp, at(4));
    assert_eq!(
        begin(record, "I-1", None, 101).1.unwrap_err(),
        BeginError::Ended { reason: EndReason::Withdrawn }
    );
}

#[test]
fn a_call_whose_outcome_is_unknown_may_be_repeated_but_not_reverted_until_its_lease_expires() {
    let (record, begun) = begin(GrantRecord::default(), "I-1", None, 1);
    let (record, settled) = record.settle(&"I-1".into(), begun.unwrap(), Outcome::Unknown, at(2));
    assert_eq!(settled, Ok(()));
    let ended = record.clone().end(&hold("I-1"), EndReason::Withdrawn, at(3));
    let (_, removal) = ended.clone().begin_removal(&lease("r", 200), at(4));
    assert_eq!(removal, Removal::Wait { until: at(100) });
    let (_, removal) = ended.begin_removal(&lease("r", 200), at(100));
    assert!(matches!(removal, Removal::Call { .. }));
    // Another approval grants at once; a removal still waits for the first call.
    let (record, begun) = begin(record, "I-2", None, 5);
    let granted = Outcome::Granted { hold: hold("I-2") };
    let (record, _) = record.settle(&"I-2".into(), begun.unwrap(), granted, at(6));
    let (_, generation) =
        record.begin_return((&hold("R"), at(6)), "remove", &lease("r", 200), at(7));
    assert_eq!(generation, Err(at(100)));
}

#[test]
fn a_refused_call_leaves_unknown_what_an_earlier_one_left_unknown() {
    let (record, begun) = begin(GrantRecord::default(), "I-1", None, 1);
    let refused = record.clone().settle(&"I-1".into(), begun.unwrap(), Outcome::Unchanged, at(2)).0;
    let ended = refused.end(&hold("I-1"), EndReason::GivenUp, at(3));
    assert_eq!(ended.phase(), Phase::Ended, "nothing was given");
    let unknown = record.settle(&"I-1".into(), begun.unwrap(), Outcome::Unknown, at(2)).0;
    let (record, begun) = begin(unknown, "I-1", None, 3);
    let record = record.settle(&"I-1".into(), begun.unwrap(), Outcome::Unchanged, at(4)).0;
    assert_eq!(record.end(&hold("I-1"), EndReason::GivenUp, at(5)).phase(), Phase::Ending);
}

#[test]
fn g07_an_expired_lease_settles_nothing() {
    let (record, begun) = begin(GrantRecord::default(), "I-1", None, 1);
    let granted = || Outcome::Granted { hold: hold("I-1") };
    let late = record.clone().settle(&"I-1".into(), begun.unwrap(), granted(), at(100));
    assert_eq!(late, (record.clone(), Err(LeaseLost)));
    let (record, _) = begin(record, "I-2", None, 100);
    let late = record.clone().settle(&"I-1".into(), begun.unwrap(), granted(), at(50));
    assert_eq!(late, (record, Err(LeaseLost)));
}

#[test]
fn a_change_whose_answer_was_lost_is_applied_once() {
    let (record, begun) = begin(GrantRecord::default(), "I-1", None, 1);
    assert_eq!(begin(record.clone(), "I-1", None, 1), (record.clone(), begun));
    let granted = || Outcome::Granted { hold: hold("I-1") };
    let (record, settled) = record.settle(&"I-1".into(), begun.unwrap(), granted(), at(2));
    let again = record.clone().settle(&"I-1".into(), begun.unwrap(), granted(), at(2));
    assert_eq!(again, (record, settled));
}

#[test]
fn at_most_a_hundred_approvals_hold_a_grant_and_ended_holds_make_room() {
    let instances: Vec<_> = (0..MAX_HOLDS).map(|n| format!("I-{n:03}")).collect();
    let names: Vec<_> = instances.iter().map(String::as_str).collect();
    let record = held_by(&names);
    let (record, begun) = begin(record, "I-100", None, 3);
    assert_eq!(begun, Err(BeginError::Full));
    let record = record.end(&hold("I-000"), EndReason::Withdrawn, at(4));
    let (record, begun) = begin(record, "I-100", None, 5);
    assert!(begun.is_ok());
    assert_eq!(record.holds.len(), MAX_HOLDS);
    assert!(!record.holds.contains_key(&hold("I-000")), "the one that ended is dropped");
}

/// A return takes away what was granted before it, and not what a younger approval holds.
#[test]
fn a_return_ends_no_younger_hold() {
    let begin_at = |record: GrantRecord, instance: &str, asked_at: i64| {
        let terms = Terms { asked_at: at(asked_at), revoked_by: Some("remove".into()), ..terms() };
        let lease = lease(instance, 100);
        let (record, begun) = record.begin_grant(&hold(instance), &terms, &lease, at(10));
        let granted = Outcome::Granted { hold: hold(instance) };
        record.settle(&lease.id, begun.unwrap(), granted, at(11)).0
    };
    let record = begin_at(begin_at(GrantRecord::default(), "old", 1), "young", 7);
    let returned = (&hold("R"), at(5));
    let (record, generation) = record.begin_return(returned, "remove", &lease("r", 100), at(12));
    assert_eq!(generation, Ok(None), "no call is made");
    let state = |instance: &str| record.holds[&hold(instance)].state;
    assert!(matches!(state("old"), HoldState::Ended { reason: EndReason::Returned, .. }));
    assert_eq!((state("young"), record.phase()), (HoldState::Active, Phase::Held));
}

/// What one operation gave is not taken away by the return of what another one gave.
#[test]
fn a_return_by_one_operation_leaves_the_rest_to_be_removed() {
    let begin = |record: GrantRecord, instance: &str, revoked_by: &str| {
        let terms = Terms { revoked_by: Some(revoked_by.into()), ..terms() };
        let lease = lease(instance, 100);
        let (record, begun) = record.begin_grant(&hold(instance), &terms, &lease, at(1));
        let granted = Outcome::Granted { hold: hold(instance) };
        record.settle(&lease.id, begun.unwrap(), granted, at(2)).0
    };
    let record = begin(begin(GrantRecord::default(), "a", "remove_guest"), "b", "remove_staff");
    let returned = (&hold("R"), at(5));
    let (record, generation) =
        record.begin_return(returned, "remove_guest", &lease("r", 99), at(6));
    let (record, settled) = record.settle(
        &"r".into(),
        generation.unwrap().unwrap(),
        Outcome::Revoked { session: None },
        at(7),
    );
    settled.unwrap();
    assert_eq!((record.phase(), record.access), (Phase::Ending, Access::Present));
    let (record, removal) = record.begin_removal(&lease("q", 200), at(8));
    let Removal::Call { generation, operations } = removal else { panic!("{removal:?}") };
    assert_eq!(operations, ["remove_staff".to_owned()].into());
    let (record, _) =
        record.settle(&"q".into(), generation, Outcome::Revoked { session: None }, at(9));
    assert_eq!((record.phase(), record.due()), (Phase::Ended, None));
}

/// A request that is given up keeps what the target has confirmed.
#[test]
fn giving_up_ends_a_pending_hold_alone() {
    let record = held_by(&["I-1"]);
    assert_eq!(record.clone().give_up(&hold("I-1"), at(5)), record);
    let (record, _) = begin(record, "I-2", None, 6);
    let record = record.give_up(&hold("I-2"), at(7));
    assert!(!record.holds[&hold("I-2")].is_live());
    assert!(record.holds[&hold("I-1")].is_live());
}

/// The act of an operator does not begin again after a block.
#[test]
fn what_an_operator_asked_for_does_not_begin_again() {
    let id = HoldId::of_act("1");
    let (record, held) = GrantRecord::default().add_hold(&id, &terms(), at(1));
    held.unwrap();
    assert_eq!(record.due(), Some(at(1)), "the worker makes the call");
    let record = record.end(&id, EndReason::Blocked, at(2));
    let (_, begun) = record.begin_grant(&id, &terms(), &lease("a", 100), at(3));
    assert_eq!(begun, Err(BeginError::Ended { reason: EndReason::Blocked }));
}
