use super::*;
use crate::explain::Explanation;
use crate::failure::Class;
use crate::lease::LeaseLost;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn reason() -> Reason {
    Reason::new(Class::InvalidForm, Explanation::quoted("no device"))
}

fn claim_by(lease_id: &str, until: i64) -> Command {
    Command::Claim(Lease { id: lease_id.into(), until: at(until) })
}

fn effect() -> Effect {
    Effect { kind: EffectKind::Grant, outcome: EffectOutcome::Done, at: at(5) }
}

/// Runs commands in order; returns the last record and result.
fn run(steps: impl IntoIterator<Item = (i64, Command)>) -> (Option<Record>, Vec<CommandResult>) {
    let mut record = None;
    let mut answers = Vec::new();
    for (now, command) in steps {
        let (next, answer) = apply(record, command, at(now));
        record = next;
        answers.push(answer);
    }
    (record, answers)
}

#[test]
fn the_second_claim_waits_for_the_lease() {
    let (_, answers) =
        run([(0, claim_by("a", 10)), (9, claim_by("b", 19)), (10, claim_by("c", 20))]);
    assert!(matches!(answers[0], CommandResult::Claim(Ok(Claimed { attempt: 1, .. }))));
    assert_eq!(answers[1], CommandResult::Claim(Err(ClaimError::Held { until: at(10) })));
    assert!(matches!(answers[2], CommandResult::Claim(Ok(Claimed { attempt: 2, .. }))));
}

#[test]
fn g07_expired_lease_cannot_record_effects() {
    let record_as =
        |lease_id: &str| Command::RecordEffect(lease_id.into(), "nac/add/x".into(), effect());
    let complete_as = |lease_id: &str| Command::Complete(lease_id.into(), Completion::Done);
    let (record, answers) = run([
        (0, claim_by("a", 10)),
        (10, record_as("a")),
        (11, claim_by("b", 20)),
        (12, record_as("a")),
        (13, complete_as("a")),
    ]);
    assert_eq!(answers[1], CommandResult::Write(Err(LeaseLost)));
    assert_eq!(answers[3], CommandResult::Write(Err(LeaseLost)));
    assert_eq!(answers[4], CommandResult::Write(Err(LeaseLost)));
    assert!(record.is_some_and(|record| record.effects.is_empty()
        && matches!(record.state, State::Running(lease) if lease.id == "b".into())));
}

#[test]
fn a_later_attempt_is_told_what_was_done() {
    let key = EffectKey::from("nac/add/x");
    let retry = RetryState { attempt: 1, wait_ms: 30_000, ..RetryState::default() };
    let (reason, left) = (reason(), retry.clone());
    let released = Completion::Released { reason: reason.clone(), retry: left.clone() };
    for ending in [released, Completion::Failed { reason, retry: left }] {
        let (_, answers) = run([
            (0, claim_by("a", 10)),
            (1, Command::RecordEffect("a".into(), key.clone(), effect())),
            (2, Command::Complete("a".into(), ending)),
            (3, claim_by("b", 13)),
        ]);
        let effects = BTreeMap::from([(key.clone(), effect())]);
        let taken = Claimed { attempt: 2, effects, retry: Some(retry.clone()) };
        assert_eq!(answers[3], CommandResult::Claim(Ok(taken)));
    }
}

#[test]
fn a_claim_that_is_sent_again_gets_the_same_answer() {
    let (_, answers) = run([(0, claim_by("a", 10)), (1, claim_by("a", 10))]);
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn reset_forgets_what_was_done_unless_a_worker_holds_the_lease() {
    let record_effect = Command::RecordEffect("a".into(), "nac/add/x".into(), effect());
    let (_, answers) = run([
        (0, Command::Reset { attempt: 1 }),
        (1, claim_by("a", 10)),
        (2, record_effect),
        (3, Command::Reset { attempt: 1 }),
        (4, Command::Complete("a".into(), Completion::Done)),
        (5, Command::Reset { attempt: 2 }),
        (5, Command::Reset { attempt: 1 }),
        (5, Command::Reset { attempt: 1 }),
        (6, claim_by("b", 20)),
    ]);
    assert_eq!(answers[0], CommandResult::Reset(Err(ResetError::Unknown)));
    assert_eq!(answers[3], CommandResult::Reset(Err(ResetError::Running)));
    assert_eq!(answers[5], CommandResult::Reset(Err(ResetError::Changed)));
    assert_eq!(answers[6], CommandResult::Reset(Ok(())));
    assert_eq!(answers[7], CommandResult::Reset(Ok(())), "it is sent again");
    let anew = Claimed { attempt: 1, effects: BTreeMap::new(), retry: None };
    assert_eq!(answers[8], CommandResult::Claim(Ok(anew)));
}

#[test]
fn complete_that_is_sent_again_gets_the_same_answer() {
    let (reason, retry) = (reason(), RetryState { attempt: 1, ..RetryState::default() });
    let failed = Completion::Failed { reason: reason.clone(), retry: retry.clone() };
    let released = Completion::Released { reason, retry };
    for completion in [Completion::Done, failed, released] {
        let complete = |lease_id: &str| Command::Complete(lease_id.into(), completion.clone());
        let (record, answers) = run([
            (0, claim_by("a", 10)),
            (1, complete("a")),
            (1, complete("a")),
            (1, complete("b")),
        ]);
        assert_eq!(answers[2], CommandResult::Write(Ok(())), "{record:?}");
        assert_eq!(answers[3], CommandResult::Write(Err(LeaseLost)), "{record:?}");
    }
}

#[test]
fn release_with_another_retry_state_is_not_the_same_release() {
    let release = |attempt| {
        let retry = RetryState { attempt, ..RetryState::default() };
        Command::Complete("a".into(), Completion::Released { reason: reason(), retry })
    };
    let (record, answers) = run([(0, claim_by("a", 10)), (1, release(1)), (1, release(2))]);
    assert_eq!(answers[2], CommandResult::Write(Err(LeaseLost)));
    assert_eq!(record.unwrap().retry.map(|retry| retry.attempt), Some(1));
}

#[test]
fn done_is_done() {
    let (_, answers) = run([
        (0, claim_by("a", 10)),
        (1, Command::Complete("a".into(), Completion::Done)),
        (1_000_000, claim_by("b", 2_000_000)),
    ]);
    assert_eq!(answers[2], CommandResult::Claim(Err(ClaimError::Completed)));
}
