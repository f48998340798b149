//! Both ledgers are the same state machine: one suite over SQLite and over DynamoDB on a local AWS.

use std::collections::BTreeMap;

use greenlight_core::breaker::{Breaker, BreakerState, Health, Pass};
use greenlight_core::ledger::{
    Answer, Command, Effect, EffectKey, EffectOutcome, Lease, LeaseLost, Owner, Record, Refused,
    Settlement, Taken, apply,
};
use greenlight_core::ports;
use greenlight_core::{Class, Reason, Request, Timestamp};
use greenlight_stores::aws::DynamoLedger;
use greenlight_tests::local_aws::LocalAws;
use greenlight_tests::resources::create_table;
use greenlight_tests::scene::request;
use std::sync::Arc;
use tokio::sync::Barrier;

/// What the suite is over.
trait Ledger: ports::Ledger + Clone + Send + Sync + 'static {}
impl<T: ports::Ledger + Clone + Send + Sync + 'static> Ledger for T {}

/// Each statement of the suite is a test over SQLite, and all of them together one over DynamoDB.
macro_rules! suite {
    ($($statement:ident),* $(,)?) => {
        mod sqlite {
            use greenlight_stores::embedded::Database;

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
        }
    };
}

suite!(
    of_32_concurrent_claims_exactly_one_wins,
    statement_07_an_owner_whose_lease_ran_out_records_nothing,
    a_lease_that_ran_out_can_be_claimed_however_late_old_items_are_deleted,
    a_claim_is_idempotent_for_its_owner,
    statement_11_a_redrive_is_told_what_was_done,
    statement_09_of_32_workers_one_probes_a_target_that_was_down,
    of_32_workers_one_has_a_target_to_itself,
    every_command_answers_as_the_state_machine_does,
);

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + millis)
}

fn lease(owner: &str, until: i64) -> Lease {
    Lease { owner: owner.into(), until: at(until) }
}

fn effect(millis: i64) -> Effect {
    Effect { outcome: EffectOutcome::Done, at: at(millis) }
}

async fn of_32_concurrent_claims_exactly_one_wins<L: Ledger>(ledger: &L) {
    let barrier = Arc::new(Barrier::new(32));
    let claims = (0..32).map(|n| {
        let (ledger, barrier) = (ledger.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            ledger
                .claim(&request("race"), &lease(&format!("owner-{n}"), 60_000), at(0))
                .await
                .unwrap()
        })
    });
    let claims: Vec<_> = claims.collect();
    let mut won = 0;
    for claim in claims {
        match claim.await.unwrap() {
            Ok(_) => won += 1,
            Err(refused) => assert_eq!(refused, Refused::Busy { until: at(60_000) }),
        }
    }
    assert_eq!(won, 1);
}

async fn statement_07_an_owner_whose_lease_ran_out_records_nothing<L: Ledger>(ledger: &L) {
    let request = request("fencing");
    let (slow, fast) = (Owner::from("slow"), Owner::from("fast"));
    let key = EffectKey::from("nac/add/00:00:5e:00:53:01");
    ledger.claim(&request, &lease("slow", 10), at(0)).await.unwrap().unwrap();
    // Nobody took over yet, and still: the lease is over.
    let late = ledger.record_effect(&request.key(), &slow, &key, effect(10), at(10)).await.unwrap();
    assert_eq!(late, Err(LeaseLost));
    ledger.claim(&request, &lease("fast", 100), at(20)).await.unwrap().unwrap();
    let late = ledger.record_effect(&request.key(), &slow, &key, effect(21), at(21)).await.unwrap();
    assert_eq!(late, Err(LeaseLost));
    for settlement in [Settlement::Done, Settlement::Released, failed()] {
        assert_eq!(
            ledger.settle(&request, &slow, &settlement, at(22)).await.unwrap(),
            Err(LeaseLost)
        );
    }
    assert_eq!(ledger.settle(&request, &fast, &Settlement::Done, at(23)).await.unwrap(), Ok(()));
}

fn failed() -> Settlement {
    Settlement::Failed(Reason::new(Class::BadForm, "no device"))
}

async fn a_lease_that_ran_out_can_be_claimed_however_late_old_items_are_deleted<L: Ledger>(
    ledger: &L,
) {
    let request = request("expiry");
    ledger.claim(&request, &lease("first", 10), at(0)).await.unwrap().unwrap();
    let early = ledger.claim(&request, &lease("second", 30), at(9)).await.unwrap();
    assert_eq!(early, Err(Refused::Busy { until: at(10) }));
    let taken = ledger.claim(&request, &lease("second", 30), at(10)).await.unwrap().unwrap();
    assert_eq!(taken, Taken { attempt: 2, effects: BTreeMap::new() });
}

async fn a_claim_is_idempotent_for_its_owner<L: Ledger>(ledger: &L) {
    let request = request("idempotent");
    let first = ledger.claim(&request, &lease("same", 10), at(0)).await.unwrap();
    let again = ledger.claim(&request, &lease("same", 10), at(1)).await.unwrap();
    assert_eq!(first, again);
}

async fn statement_11_a_redrive_is_told_what_was_done<L: Ledger>(ledger: &L) {
    let request = request("redrive");
    let key = EffectKey::from("nac/add/00:00:5e:00:53:01");
    ledger.claim(&request, &lease("first", 100), at(0)).await.unwrap().unwrap();
    let owner = Owner::from("first");
    ledger.record_effect(&request.key(), &owner, &key, effect(1), at(1)).await.unwrap().unwrap();
    ledger.settle(&request, &owner, &failed(), at(2)).await.unwrap().unwrap();
    let weeks = 28 * 24 * 3_600_000;
    let taken =
        ledger.claim(&request, &lease("second", weeks + 100), at(weeks)).await.unwrap().unwrap();
    assert_eq!(taken, Taken { attempt: 2, effects: BTreeMap::from([(key, effect(1))]) });
}

async fn statement_09_of_32_workers_one_probes_a_target_that_was_down<L: Ledger>(ledger: &L) {
    let owner = Owner::from("unlucky");
    for _ in 0..3 {
        let (_, pass) = enter(ledger, "nac", &owner, at(0)).await;
        assert_eq!(pass, Pass::Go);
        report(ledger, &owner, Health::Down, at(0)).await;
    }
    let (breaker, pass) = enter(ledger, "nac", &owner, at(0)).await;
    let BreakerState::Open { until } = breaker.state else { panic!("{breaker:?}") };
    assert_eq!(pass, Pass::Wait { until });
    let (other, pass) = enter(ledger, "another", &owner, at(0)).await;
    assert_eq!((other, pass), (Breaker::default(), Pass::Go), "targets do not share a breaker");

    let barrier = Arc::new(Barrier::new(32));
    let entries = (0..32).map(|n| {
        let (ledger, barrier) = (ledger.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            let owner = Owner::from(format!("owner-{n}").as_str());
            barrier.wait().await;
            let (_, pass) = enter(&ledger, "nac", &owner, until).await;
            (pass == Pass::Go).then_some(owner)
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
}

async fn enter<L: Ledger>(
    ledger: &L,
    target: &str,
    owner: &Owner,
    now: Timestamp,
) -> (Breaker, Pass) {
    ledger.change_breaker(target, |breaker| breaker.enter(owner, now)).await.unwrap()
}

async fn report<L: Ledger>(ledger: &L, owner: &Owner, health: Health, now: Timestamp) -> Breaker {
    let change = |breaker: Breaker| (breaker.report(owner, health, now), ());
    ledger.change_breaker("nac", change).await.unwrap().0
}

async fn of_32_workers_one_has_a_target_to_itself<L: Ledger>(ledger: &L) {
    let barrier = Arc::new(Barrier::new(32));
    let holds = (0..32).map(|n| {
        let (ledger, barrier) = (ledger.clone(), Arc::clone(&barrier));
        tokio::spawn(async move {
            let owner = Owner::from(format!("owner-{n}").as_str());
            barrier.wait().await;
            let hold = |breaker: Breaker| breaker.hold(&owner, at(90_000), at(0));
            let (_, pass) = ledger.change_breaker("list", hold).await.unwrap();
            (pass == Pass::Go).then_some(owner)
        })
    });
    let holds: Vec<_> = holds.collect();
    let mut held = Vec::new();
    for hold in holds {
        held.extend(hold.await.unwrap());
    }
    assert_eq!(held.len(), 1, "{held:?}");
}

/// Random commands of three owners, in any order and at any time.
async fn every_command_answers_as_the_state_machine_does<L: Ledger>(ledger: &L) {
    let mut random = fastrand::Rng::with_seed(20_261_124);
    for run in 0..25 {
        let request = request(&format!("random-{run}"));
        let mut record: Option<Record> = None;
        let mut now = 0;
        let mut history = Vec::new();
        for _ in 0..16 {
            now += random.i64(0..15);
            let owner = Owner::from(["a", "b", "c"][random.usize(0..3)]);
            let command = match random.u8(0..7) {
                0..=2 => Command::Claim(Lease { owner, until: at(now + random.i64(1..20)) }),
                3..=4 => {
                    let key = EffectKey::from(["x", "y"][random.usize(0..2)]);
                    let outcome =
                        [EffectOutcome::Done, EffectOutcome::AlreadyThere][random.usize(0..2)];
                    Command::RecordEffect(owner, key, Effect { outcome, at: at(now) })
                }
                5 => Command::Settle(owner, Settlement::Released),
                _ if random.bool() => Command::Settle(owner, failed()),
                _ => Command::Settle(owner, Settlement::Done),
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
) -> Answer {
    match command {
        Command::Claim(lease) => Answer::Claim(ledger.claim(request, lease, now).await.unwrap()),
        Command::RecordEffect(owner, key, effect) => {
            let key_of_request = request.key();
            let result = ledger.record_effect(&key_of_request, owner, key, *effect, now).await;
            Answer::Write(result.unwrap())
        }
        Command::Settle(owner, settlement) => {
            Answer::Write(ledger.settle(request, owner, settlement, now).await.unwrap())
        }
    }
}
