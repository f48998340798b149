//! The ledger's conformance suite, over SQLite and over DynamoDB on a local AWS.

mod grants;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use greenlight_core::audit::{AttemptRecord, Lookup, RequestHistory, RequestStatus};
use greenlight_core::breaker::{Breaker, BreakerState, Health, Permit};
use greenlight_core::explain::Explanation;
use greenlight_core::extract::Problem;
use greenlight_core::grant::GrantKey;
use greenlight_core::lease::{Lease, LeaseId, LeaseLost};
use greenlight_core::ledger::{
    ClaimError, Claimed, Command, CommandResult, Completion, Effect, EffectKey, EffectKind,
    EffectOutcome, Record, ResetError, apply,
};
use greenlight_core::operator::{AuditReader, GrantStore, PersonStore};
use greenlight_core::ports::{self, Claim, FileAudit, LedgerError, RecordReplay, ResetRequest};
use greenlight_core::retry::RetryState;
use greenlight_core::subject::Subject;
use greenlight_core::{Class, Reason, Request, Timestamp};
use greenlight_stores::aws::DynamoLedger;
use greenlight_stores::sqlite::Database;
use greenlight_testkit::request::request;
use greenlight_testkit::subject::{BADGE, device};
use greenlight_tests::local_aws::LocalAws;
use greenlight_tests::resources::create_table;
use tokio::sync::Barrier;

use self::grants::{
    a_grant_is_listed_with_its_holds_until_it_is_removed, a_person_is_known_by_source_and_id,
    a_person_is_renamed_in_requests_and_in_what_has_ended,
    changes_of_a_grant_at_the_same_moment_are_all_kept,
    grants_are_due_when_a_hold_ends_or_is_to_be_confirmed, one_sweep_of_a_definition_at_a_time,
    one_tick_at_a_time, progress_tells_the_grants_of_a_request, what_a_person_holds_is_found,
};

/// The ports that the suite needs.
trait Ledger:
    ports::Ledger
    + ResetRequest
    + RecordReplay
    + AuditReader
    + GrantStore
    + PersonStore
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl Ledger for Database {}
impl Ledger for DynamoLedger {}

/// The request histories of `subject`.
async fn find<L: Ledger>(ledger: &L, lookup: Lookup) -> Vec<RequestHistory> {
    ledger.find_requests(&[lookup], 9).await.unwrap()
}

/// Each function of the suite is a test over SQLite; all of them together are one over DynamoDB.
macro_rules! suite {
    ($($statement:ident),* $(,)?) => {
        mod sqlite {
            use greenlight_stores::sqlite::Database;

            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $statement() {
                    super::$statement(&Database::in_memory().await.unwrap()).await;
                }
            )*
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn dynamodb() {
            let aws = LocalAws::start().await;
            create_table(&aws, "ledger").await;
            let ledger = DynamoLedger::new(&aws.config(), "ledger");
            $(
                println!("{}", stringify!($statement));
                $statement(&ledger).await;
            )*
            an_item_of_the_first_edition_is_refused_and_left_alone(&aws, &ledger).await;
        }
    };
}

suite!(
    of_32_concurrent_claims_exactly_one_wins,
    g07_expired_lease_cannot_record_effects,
    a_lease_that_ran_out_can_be_claimed_however_late_old_items_are_deleted,
    a_claim_is_idempotent_for_its_owner,
    g27_the_next_attempt_gets_what_the_last_one_left,
    g11_a_redrive_knows_what_was_done,
    g09_of_32_workers_one_probes_a_target_that_was_down,
    of_32_workers_one_has_a_target_to_itself,
    every_command_answers_as_the_state_machine_does,
    what_an_attempt_found_out_is_found_again,
    a_grant_is_listed_with_its_holds_until_it_is_removed,
    changes_of_a_grant_at_the_same_moment_are_all_kept,
    grants_are_due_when_a_hold_ends_or_is_to_be_confirmed,
    one_tick_at_a_time,
    one_sweep_of_a_definition_at_a_time,
    what_a_person_holds_is_found,
    a_person_is_known_by_source_and_id,
    a_person_is_renamed_in_requests_and_in_what_has_ended,
    progress_tells_the_grants_of_a_request,
    reset_request_is_done_again,
    what_no_flow_wants_is_counted_by_definition_and_decision,
    a_request_is_not_done_from_its_first_claim_until_it_is,
    a_replay_is_known_once_an_operator_asked_for_it,
);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

fn lease(lease_id: &str, until: i64) -> Lease {
    Lease { id: lease_id.into(), until: at(until) }
}

fn effect(millis: i64) -> Effect {
    Effect { kind: EffectKind::Grant, outcome: EffectOutcome::Done, at: at(millis) }
}

async fn of_32_concurrent_claims_exactly_one_wins<L: Ledger>(ledger: &L) {
    let barrier = Arc::new(Barrier::new(32));
    let claims = (0..32).map(|n| {
        let (ledger, barrier) = (ledger.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            ledger
                .claim(&request("race"), &lease(&format!("lease-{n}"), 60_000), at(0))
                .await
                .unwrap()
        })
    });
    let claims: Vec<_> = claims.collect();
    let mut won = 0;
    for claim in claims {
        match claim.await.unwrap() {
            Ok(_) => won += 1,
            Err(refused) => assert_eq!(refused, ClaimError::Held { until: at(60_000) }),
        }
    }
    assert_eq!(won, 1);
}

async fn g07_expired_lease_cannot_record_effects<L: Ledger>(ledger: &L) {
    let request = request("fencing");
    let (slow, fast) = (LeaseId::from("slow"), LeaseId::from("fast"));
    let key = EffectKey::from("nac/add/mac:00:00:5e:00:53:01");
    ledger.claim(&request, &lease("slow", 10), at(0)).await.unwrap().unwrap();
    // The lease has expired, although no other worker has claimed the request yet.
    let late = ledger.record_effect(&request.key(), &slow, &key, effect(10), at(10)).await.unwrap();
    assert_eq!(late, Err(LeaseLost));
    ledger.claim(&request, &lease("fast", 100), at(20)).await.unwrap().unwrap();
    let late = ledger.record_effect(&request.key(), &slow, &key, effect(21), at(21)).await.unwrap();
    assert_eq!(late, Err(LeaseLost));
    for completion in [Completion::Done, released(), failed()] {
        assert_eq!(
            ledger.complete(&request.key(), &slow, &completion, at(22)).await.unwrap(),
            Err(LeaseLost)
        );
    }
    assert_eq!(
        ledger.complete(&request.key(), &fast, &Completion::Done, at(23)).await.unwrap(),
        Ok(())
    );
}

fn failed() -> Completion {
    let reason =
        Reason::new(Class::InvalidForm, Problem::NoneFound { field: "mac".into(), kind: "mac" });
    Completion::Failed { reason, retry: retry(0, 0) }
}

fn retry(wait_ms: u64, spent_ms: u64) -> RetryState {
    let failed = ["nac/00:00:5e:00:53:01".to_owned()].into();
    let pending = [GrantKey { target: "nac".into(), subject: "mac:00:00:5e:00:53:01".into() }];
    let pending = pending.into();
    RetryState {
        attempt: 1,
        ended_at: at(2),
        wait_ms,
        spent_ms,
        gave_up: false,
        is_free: wait_ms > 0,
        failed,
        pending,
    }
}

fn released() -> Completion {
    let reason =
        Reason::new(Class::TargetUnavailable, Explanation::quoted("the NAC is unreachable"));
    let reason = Reason { target: Some("nac".into()), ..reason };
    Completion::Released { reason, retry: retry(30_000, 90_000) }
}

/// Records are kept as long as the setting says, and not longer.
#[tokio::test]
async fn a_purge_deletes_what_has_expired_and_nothing_else() {
    let ledger = Database::in_memory().await.unwrap().keeping(Duration::from_millis(100));
    for (instance, millis) in [("older", 0), ("younger", 50)] {
        let request = Request { received_at: at(millis), ..request(instance) };
        ledger.file_event(&request, at(millis)).await.unwrap();
        ledger.claim(&request, &lease(instance, millis + 9), at(millis)).await.unwrap().unwrap();
        let (id, nothing) = (LeaseId::from(instance), AttemptRecord::default());
        end(&ledger, &request, &id, &Completion::Done, &nothing, at(millis + 5)).await;
    }
    let kept = async |millis: i64| {
        ledger.purge(at(millis)).await.unwrap();
        let mut kept = Vec::new();
        for instance in ["older", "younger"] {
            kept.push(find(&ledger, Lookup::instance(instance)).await.len());
        }
        kept
    };
    assert_eq!(kept(105).await, [1, 1]);
    assert_eq!(kept(106).await, [0, 1]);
    assert_eq!(kept(156).await, [0, 0]);
}

async fn a_lease_that_ran_out_can_be_claimed_however_late_old_items_are_deleted<L: Ledger>(
    ledger: &L,
) {
    let request = request("expiry");
    ledger.claim(&request, &lease("first", 10), at(0)).await.unwrap().unwrap();
    let early = ledger.claim(&request, &lease("second", 30), at(9)).await.unwrap();
    assert_eq!(early, Err(ClaimError::Held { until: at(10) }));
    let taken = ledger.claim(&request, &lease("second", 30), at(10)).await.unwrap().unwrap();
    assert_eq!(taken, Claimed { attempt: 2, effects: BTreeMap::new(), retry: None });
}

async fn g27_the_next_attempt_gets_what_the_last_one_left<L: Ledger>(ledger: &L) {
    let request = request("retry-state");
    for (ending, left, attempt) in
        [(released(), retry(30_000, 90_000), 2), (failed(), retry(0, 0), 3)]
    {
        let lease_id = LeaseId::from(format!("lease-{attempt}").as_str());
        let until = Lease { id: lease_id.clone(), until: at(attempt * 100) };
        ledger.claim(&request, &until, at(attempt * 10)).await.unwrap().unwrap();
        let now = at(attempt * 10 + 1);
        ledger.complete(&request.key(), &lease_id, &ending, now).await.unwrap().unwrap();
        let next = lease(&format!("next-{attempt}"), attempt * 10 + 3);
        let taken = ledger.claim(&request, &next, at(attempt * 10 + 2)).await.unwrap().unwrap();
        assert_eq!(taken.retry, Some(left));
    }
}

async fn a_claim_is_idempotent_for_its_owner<L: Ledger>(ledger: &L) {
    let request = request("idempotent");
    let first = ledger.claim(&request, &lease("same", 10), at(0)).await.unwrap();
    let again = ledger.claim(&request, &lease("same", 10), at(1)).await.unwrap();
    assert_eq!(first, again);
}

async fn g11_a_redrive_knows_what_was_done<L: Ledger>(ledger: &L) {
    let request = request("redrive");
    let key = EffectKey::from("nac/add/mac:00:00:5e:00:53:01");
    ledger.claim(&request, &lease("first", 100), at(0)).await.unwrap().unwrap();
    let lease_id = LeaseId::from("first");
    ledger.record_effect(&request.key(), &lease_id, &key, effect(1), at(1)).await.unwrap().unwrap();
    ledger.complete(&request.key(), &lease_id, &failed(), at(2)).await.unwrap().unwrap();
    let weeks = 28 * 24 * 3_600_000;
    let taken =
        ledger.claim(&request, &lease("second", weeks + 100), at(weeks)).await.unwrap().unwrap();
    let effects = BTreeMap::from([(key, effect(1))]);
    assert_eq!(taken, Claimed { attempt: 2, effects, retry: Some(retry(0, 0)) });
}

fn attempt_record(subjects: &[Subject], effects: &[(&EffectKey, Effect)]) -> AttemptRecord {
    AttemptRecord {
        flow: "whitelist".into(),
        is_read: true,
        applicant: "ou_1".into(),
        form_number: "42".into(),
        subjects: subjects.iter().cloned().collect(),
        owners: BTreeMap::new(),
        effects: effects.iter().map(|(key, effect)| ((*key).clone(), *effect)).collect(),
        has_waited: false,
    }
}

/// A day of its own, so that its figures exclude the other tests.
const DAY: i64 = 5 * 86_400_000;

async fn what_an_attempt_found_out_is_found_again<L: Ledger>(ledger: &L) {
    let request = Request { received_at: at(DAY - 5), ..request("found") };
    let lease_id = LeaseId::from("first");
    let key = EffectKey::from("nac/add/mac:00:00:5e:00:53:a1");
    ledger.claim(&request, &lease("first", DAY + 100), at(DAY)).await.unwrap().unwrap();
    let effect = effect(DAY + 1);
    ledger
        .record_effect(&request.key(), &lease_id, &key, effect, effect.at)
        .await
        .unwrap()
        .unwrap();
    let badge = Subject::parse(&BADGE, "4711").unwrap();
    let subjects = [device("00:00:5e:00:53:a1"), device("00:00:5e:00:53:a2"), badge.clone()];
    let owners = BTreeMap::from([(key.clone(), "ou_2".to_owned())]);
    let found = AttemptRecord { owners, ..attempt_record(&subjects, &[(&key, effect)]) };
    end(ledger, &request, &lease_id, &released(), &found, at(DAY + 2)).await;

    for lookup in [
        Lookup::event(&request.event_id),
        Lookup::instance("found"),
        Lookup::subject(&device("00:00:5e:00:53:a2")),
        Lookup::subject(&badge),
        Lookup::person("ou_1"),
        Lookup::person("ou_2"),
    ] {
        let histories = find(ledger, lookup.clone()).await;
        let [history] = histories.as_slice() else { panic!("{lookup:?}: {histories:?}") };
        assert_eq!(history.key, request.key().as_str());
        assert_eq!(history.instance_id(), "found");
        assert_eq!(history.received_at, Some(at(DAY - 5)));
        assert_eq!(history.first_claimed_at, Some(at(DAY)));
        assert_eq!(history.flow.as_deref(), Some("whitelist"));
        assert_eq!(history.applicant.as_deref(), Some("ou_1"));
        assert_eq!(history.form_number.as_deref(), Some("42"));
        assert_eq!(history.status(at(DAY + 3)), RequestStatus::Retrying);
        assert_eq!(history.effects, BTreeMap::from([(key.clone(), effect)]));
        let last_failure = history.last_failure.as_ref().unwrap();
        assert_eq!(
            (last_failure.class.as_str(), last_failure.at),
            ("target_unavailable", at(DAY + 2))
        );
        assert_eq!(last_failure.target.as_deref(), Some("nac"));
    }
    assert_eq!(find(ledger, Lookup::subject(&device("00:00:5e:00:53:af"))).await, []);

    // The next attempt did not read the source; the known data of the instance stay.
    let lease_id = LeaseId::from("second");
    ledger.claim(&request, &lease("second", DAY + 200), at(DAY + 10)).await.unwrap().unwrap();
    let nothing = AttemptRecord::default();
    end(ledger, &request, &lease_id, &Completion::Done, &nothing, at(DAY + 11)).await;
    let histories = ledger.recent_requests(1, at(DAY + 20)).await.unwrap();
    assert_eq!(histories[0].key, request.key().as_str());
    assert_eq!(histories[0].applicant.as_deref(), Some("ou_1"));
    assert_eq!(histories[0].first_claimed_at, Some(at(DAY)));
    assert_eq!(histories[0].status(at(DAY + 20)), RequestStatus::Succeeded);
    assert_eq!(histories[0].took(), Some(std::time::Duration::from_millis(16)));
    let figures = ledger.count_requests(at(DAY - 100), at(DAY + 20)).await.unwrap();
    assert_eq!(figures, BTreeMap::from([(RequestStatus::Succeeded, 1)]));
    // Another event of the same approval finds it, too.
    let again = Request { event_id: "another-event".into(), ..request.clone() };
    ledger.file_event(&again, at(DAY + 30)).await.unwrap();
    assert_eq!(find(ledger, Lookup::event("another-event")).await.len(), 1);
}

/// Files the record of an attempt and completes it.
async fn end<L: Ledger>(
    ledger: &L,
    request: &Request,
    lease_id: &LeaseId,
    completion: &Completion,
    record: &AttemptRecord,
    now: Timestamp,
) {
    ledger.file_attempt(request, completion, Some(record), now).await.unwrap();
    ledger.complete(&request.key(), lease_id, completion, now).await.unwrap().unwrap();
}

async fn what_no_flow_wants_is_counted_by_definition_and_decision<L: Ledger>(ledger: &L) {
    let of = |definition: &str| Request { definition_id: definition.into(), ..request("unwanted") };
    for (definition, millis) in [("first", 1), ("second", 2), ("first", 3)] {
        ledger.count_unwanted(&of(definition), at(millis)).await.unwrap();
    }
    let unwanted = ledger.unwanted(9).await.unwrap();
    let counts = unwanted.iter().map(|it| (it.definition_id.as_str(), it.count, it.last));
    assert_eq!(counts.collect::<Vec<_>>(), [("first", 2, at(3)), ("second", 1, at(2))]);
    assert_eq!((&*unwanted[0].source, &*unwanted[0].decision), ("feishu", "approved"));
    assert_eq!(ledger.unwanted(1).await.unwrap().len(), 1);
}

async fn a_request_is_not_done_from_its_first_claim_until_it_is<L: Ledger>(ledger: &L) {
    let request = request("unfinished");
    let is_done = async || ledger.is_done(&request.key()).await.unwrap();
    assert_eq!(is_done().await, None, "it was never claimed");
    let lease_id = LeaseId::from("a");
    ledger.claim(&request, &lease("a", 10), at(0)).await.unwrap().unwrap();
    assert_eq!(is_done().await, Some(false));
    ledger.complete(&request.key(), &lease_id, &failed(), at(1)).await.unwrap().unwrap();
    assert_eq!(is_done().await, Some(false), "it can be redriven");
    ledger.claim(&request, &lease("a", 10), at(2)).await.unwrap().unwrap();
    ledger.complete(&request.key(), &lease_id, &Completion::Done, at(3)).await.unwrap().unwrap();
    assert_eq!(is_done().await, Some(true));
}

async fn a_replay_is_known_once_an_operator_asked_for_it<L: Ledger>(ledger: &L) {
    let request = request("replayed");
    assert!(!ledger.is_replayed(&request).await.unwrap());
    ledger.record_replay(&request, at(1)).await.unwrap();
    assert!(ledger.is_replayed(&request).await.unwrap());
    // Another message about the same instance, and another instance with the same event id.
    let copied = Request { event_id: "another".into(), ..request.clone() };
    assert!(!ledger.is_replayed(&copied).await.unwrap());
    let other = Request { event_id: request.event_id.clone(), ..self::request("other") };
    assert!(!ledger.is_replayed(&other).await.unwrap());
}

async fn reset_request_is_done_again<L: Ledger>(ledger: &L) {
    let request = request("forgotten");
    let key = EffectKey::from("nac/add/mac:00:00:5e:00:53:c1");
    let lease_id = LeaseId::from("first");
    let reset = async |attempt, millis| {
        ledger.reset_request(&request.key(), attempt, at(millis)).await.unwrap()
    };
    assert_eq!(reset(1, 0).await, Err(ResetError::Unknown));
    ledger.claim(&request, &lease("first", 100), at(0)).await.unwrap().unwrap();
    ledger.record_effect(&request.key(), &lease_id, &key, effect(1), at(1)).await.unwrap().unwrap();
    assert_eq!(reset(1, 2).await, Err(ResetError::Running));
    let key = request.key();
    ledger.complete(&key, &lease_id, &Completion::Done, at(2)).await.unwrap().unwrap();
    assert_eq!(reset(2, 3).await, Err(ResetError::Changed));
    assert_eq!(reset(1, 3).await, Ok(()));
    let taken = ledger.claim(&request, &lease("second", 100), at(3)).await.unwrap().unwrap();
    let first = Claimed { attempt: 1, effects: BTreeMap::new(), retry: None };
    assert_eq!(taken, first, "as if there had been no attempt");
}

async fn g09_of_32_workers_one_probes_a_target_that_was_down<L: Ledger>(ledger: &L) {
    let lease_id = LeaseId::from("unlucky");
    for _ in 0..3 {
        let (_, permit) = enter(ledger, "nac", &lease_id, at(0)).await;
        assert_eq!(permit, Permit::Granted);
        report(ledger, &lease_id, Health::Down, at(0)).await;
    }
    let (breaker, permit) = enter(ledger, "nac", &lease_id, at(0)).await;
    let BreakerState::Open { until } = breaker.state else { panic!("{breaker:?}") };
    assert_eq!(permit, Permit::Denied { until });
    let (other, permit) = enter(ledger, "another", &lease_id, at(0)).await;
    assert_eq!(
        (other, permit),
        (Breaker::default(), Permit::Granted),
        "targets do not share a breaker"
    );

    let barrier = Arc::new(Barrier::new(32));
    let entries = (0..32).map(|n| {
        let (ledger, barrier) = (ledger.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            let lease_id = LeaseId::from(format!("lease-{n}").as_str());
            barrier.wait().await;
            let (_, permit) = enter(&ledger, "nac", &lease_id, until).await;
            (permit == Permit::Granted).then_some(lease_id)
        })
    });
    let entries: Vec<_> = entries.collect();
    let mut probes = Vec::new();
    for entry in entries {
        probes.extend(entry.await.unwrap());
    }
    assert_eq!(probes.len(), 1, "{probes:?}");
    let closed = report(ledger, &probes[0], Health::Up, until).await;
    assert_eq!(closed, Breaker::default());
    assert_eq!(ledger.breakers().await.unwrap().get("nac"), Some(&closed));
}

async fn enter<L: Ledger>(
    ledger: &L,
    target: &str,
    lease_id: &LeaseId,
    now: Timestamp,
) -> (Breaker, Permit) {
    ledger.change_breaker(target, |breaker| breaker.try_acquire(lease_id, now)).await.unwrap()
}

async fn report<L: Ledger>(
    ledger: &L,
    lease_id: &LeaseId,
    health: Health,
    now: Timestamp,
) -> Breaker {
    let change = |breaker: Breaker| (breaker.record(lease_id, health, now), ());
    ledger.change_breaker("nac", change).await.unwrap().0
}

async fn of_32_workers_one_has_a_target_to_itself<L: Ledger>(ledger: &L) {
    let barrier = Arc::new(Barrier::new(32));
    let holds = (0..32).map(|n| {
        let (ledger, barrier) = (ledger.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            let lease_id = LeaseId::from(format!("lease-{n}").as_str());
            barrier.wait().await;
            let hold = |breaker: Breaker| breaker.lock(&lease_id, at(90_000), at(0));
            let (_, permit) = ledger.change_breaker("list", hold).await.unwrap();
            (permit == Permit::Granted).then_some(lease_id)
        })
    });
    let holds: Vec<_> = holds.collect();
    let mut held = Vec::new();
    for hold in holds {
        held.extend(hold.await.unwrap());
    }
    assert_eq!(held.len(), 1, "{held:?}");
}

/// Items of the first edition had no `v`.
async fn an_item_of_the_first_edition_is_refused_and_left_alone(
    aws: &LocalAws,
    ledger: &DynamoLedger,
) {
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let request = request("old");
    let old = HashMap::from([
        ("pk".to_owned(), text(&format!("request#{}", request.key()))),
        ("state".to_owned(), text("failed")),
    ]);
    let dynamodb = aws_sdk_dynamodb::Client::new(&aws.config());
    let put = dynamodb.put_item().table_name("ledger").set_item(Some(old.clone()));
    put.send().await.unwrap();
    let LedgerError(error) = ledger.claim(&request, &lease("new", 10), at(0)).await.unwrap_err();
    assert_eq!(error.code, "table.version");
    let get = dynamodb.get_item().table_name("ledger").key("pk", old["pk"].clone());
    assert_eq!(get.send().await.unwrap().item, Some(old));
}

/// Random commands under three leases, in any order and at any time.
async fn every_command_answers_as_the_state_machine_does<L: Ledger>(ledger: &L) {
    let mut random = fastrand::Rng::with_seed(20_261_124);
    for run in 0..25 {
        let request = request(&format!("random-{run}"));
        let mut record: Option<Record> = None;
        let mut now = 0;
        let mut history = Vec::new();
        for _ in 0..16 {
            now += random.i64(0..15);
            let lease_id = LeaseId::from(["a", "b", "c"][random.usize(0..3)]);
            let command = match random.u8(0..8) {
                0..=2 => Command::Claim(Lease { id: lease_id, until: at(now + random.i64(1..20)) }),
                3..=4 => {
                    let key = EffectKey::from(["x", "y"][random.usize(0..2)]);
                    let outcome =
                        [EffectOutcome::Done, EffectOutcome::AlreadyExists][random.usize(0..2)];
                    Command::RecordEffect(
                        lease_id,
                        key,
                        Effect { kind: EffectKind::Grant, outcome, at: at(now) },
                    )
                }
                5 => Command::Complete(lease_id, released()),
                6 => Command::Reset { attempt: random.u32(0..4) },
                _ if random.bool() => Command::Complete(lease_id, failed()),
                _ => Command::Complete(lease_id, Completion::Done),
            };
            history.push((now, command.clone()));
            let answer = ask(ledger, &request, &command, at(now)).await;
            let (next, expected) = apply(record, command, at(now));
            record = next;
            assert_eq!(answer, expected, "after {history:#?}");
        }
    }
}

async fn ask<L: Ledger>(
    ledger: &L,
    request: &Request,
    command: &Command,
    now: Timestamp,
) -> CommandResult {
    match command {
        Command::Claim(lease) => {
            CommandResult::Claim(ledger.claim(request, lease, now).await.unwrap())
        }
        Command::RecordEffect(lease_id, key, effect) => {
            let key_of_request = request.key();
            let result = ledger.record_effect(&key_of_request, lease_id, key, *effect, now).await;
            CommandResult::Write(result.unwrap())
        }
        Command::Complete(lease_id, completion) => CommandResult::Write(
            ledger.complete(&request.key(), lease_id, completion, now).await.unwrap(),
        ),
        Command::Reset { attempt } => {
            let reset = ledger.reset_request(&request.key(), *attempt, now).await;
            CommandResult::Reset(reset.unwrap())
        }
    }
}
