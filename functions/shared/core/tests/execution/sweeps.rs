//! Approvals whose events were lost are found in the list of the office system.

use std::collections::BTreeMap;
use std::time::Duration;

use greenlight_core::event::Decision;
use greenlight_core::instance::Status;
use greenlight_core::queued::Queued;
use greenlight_core::request::Via;
use greenlight_core::sweep::{Pace, Seen, SeenState, Sweep, SweepKey};
use greenlight_core::{Class, Disposition, Failure, Request};
use greenlight_testkit::memory::MemoryLedger;

use super::ADD;
use super::world::{Run, START, World, form};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const PACE: Pace = Pace::hourly(Duration::from_hours(10));

fn key() -> SweepKey {
    SweepKey { source: "feishu".into(), definition_id: "A".into() }
}

/// A world whose source has a list.
fn world(pace: Pace) -> World {
    World { pace: Some(pace), ..World::new(form([1])) }
}

fn record(ledger: &MemoryLedger) -> Sweep {
    ledger.sweeps.lock().unwrap().get(&key()).cloned().unwrap_or_default()
}

/// An instance of this status, created `before` its end, which is `ago` before now.
fn instance(run: &Run, id: &str, status: Status, before: Duration, ago: Duration) {
    let ended_at = run.now().minus(ago);
    run.world.listed.lock().unwrap().push((id.to_owned(), ended_at.minus(before)));
    let ended_at = (status != Status::Pending).then_some(ended_at);
    run.world.instances.lock().unwrap().insert(id.to_owned(), (status, ended_at));
}

/// A tick, and the delivery of what it enqueued: the messages about sweeps, and then the requests.
/// The requests.
async fn sweep(run: &mut Run) -> Vec<Request> {
    run.tick_only().await;
    deliver(run).await
}

async fn deliver(run: &mut Run) -> Vec<Request> {
    let mut requests = Vec::new();
    for _ in 0..2 {
        for body in run.enqueued() {
            let expected = match Queued::parse(&body).unwrap() {
                Queued::Decision(request) => {
                    requests.push(request);
                    Disposition::Done
                }
                Queued::SweepDue(_) => Disposition::SweepDue,
                Queued::GrantDue(_) => Disposition::GrantDue,
                Queued::PersonLeft(left) => panic!("{left:?}"),
            };
            assert_eq!(run.deliver(&body).await, expected);
        }
    }
    requests
}

fn ids(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|request| request.instance_id.as_str()).collect()
}

#[tokio::test]
async fn g21_an_approval_whose_event_was_lost_is_found_and_counted_once() {
    let mut run = Run::new(world(PACE), ADD);
    assert_eq!(sweep(&mut run).await, []);
    run.world.advance(HOUR);
    instance(&run, "LOST", Status::Approved, HOUR / 2, MINUTE * 11);
    let found = sweep(&mut run).await;
    assert_eq!(ids(&found), ["LOST"]);
    assert_eq!((found[0].via, found[0].decision()), (Via::Sweep, Decision::Approved));
    assert_eq!(run.world.done("nac", "add").len(), 1);
    for _ in 0..30 {
        run.world.advance(HOUR);
        assert_eq!(sweep(&mut run).await, []);
    }
    assert_eq!(run.world.metrics.times("SweepFindings"), 1);
    assert_eq!(record(&run.world.ledger).found, 1);
    assert_eq!(record(&run.world.ledger).instances, BTreeMap::new());
}

#[tokio::test]
async fn g21_what_is_decided_after_weeks_is_found() {
    let mut run = Run::new(world(PACE), ADD);
    instance(&run, "SLOW", Status::Pending, Duration::ZERO, HOUR);
    sweep(&mut run).await;
    for _ in 0..24 * 40 {
        run.world.advance(HOUR);
        assert_eq!(sweep(&mut run).await, []);
    }
    let ended = (Status::Approved, Some(run.now()));
    run.world.instances.lock().unwrap().insert("SLOW".to_owned(), ended);
    let mut found = Vec::new();
    for _ in 0..25 {
        run.world.advance(HOUR);
        found.extend(sweep(&mut run).await);
    }
    assert_eq!(ids(&found), ["SLOW"]);
    let asked = run.world.asked.lock().unwrap().iter().filter(|it| *it == "SLOW").count();
    assert!(asked < 100, "it was read {asked} times");
}

#[tokio::test]
async fn what_ended_before_there_was_a_flow_is_left_alone() {
    let mut run = Run::new(world(PACE), ADD);
    instance(&run, "OLD", Status::Approved, HOUR, HOUR);
    instance(&run, "NO-END", Status::Approved, HOUR, HOUR);
    let no_end = (Status::Approved, None);
    run.world.instances.lock().unwrap().insert("NO-END".to_owned(), no_end);
    for _ in 0..50 {
        assert_eq!(sweep(&mut run).await, []);
        run.world.advance(HOUR);
    }
    // Each was read once.
    let asked = run.world.asked.lock().unwrap().clone();
    assert_eq!(asked.iter().filter(|it| *it != "list").count(), 2);
    assert!(run.world.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_event_has_ten_minutes_to_arrive() {
    let mut run = Run::new(world(PACE), ADD);
    sweep(&mut run).await;
    run.world.advance(HOUR);
    instance(&run, "NEW", Status::Approved, MINUTE, MINUTE * 9);
    assert_eq!(sweep(&mut run).await, []);
    // It arrives late, and the sweep finds the request in the ledger.
    assert_eq!(run.approve("NEW", form([1])).await, Disposition::Done);
    run.world.advance(HOUR);
    assert_eq!(sweep(&mut run).await, []);
    assert_eq!(run.world.metrics.times("SweepFindings"), 0);
    assert_eq!(record(&run.world.ledger).instances, BTreeMap::new());
}

#[tokio::test]
async fn what_was_refused_or_withdrawn_is_read_once() {
    let mut run = Run::new(world(PACE), ADD);
    sweep(&mut run).await;
    run.world.advance(HOUR);
    instance(&run, "NO", Status::Refused, MINUTE, MINUTE * 11);
    instance(&run, "BACK", Status::Revoked, MINUTE, MINUTE * 11);
    for _ in 0..24 * 30 {
        assert_eq!(sweep(&mut run).await, []);
        run.world.advance(HOUR);
    }
    let asked = run.world.asked.lock().unwrap().clone();
    for id in ["NO", "BACK"] {
        assert_eq!(asked.iter().filter(|it| *it == id).count(), 1, "{id}");
    }
    assert_eq!(record(&run.world.ledger).instances, BTreeMap::new());
}

/// A worker that dies between the two leaves a request in the queue that its successor does not
/// know of.
#[tokio::test]
async fn g21_a_request_that_was_lost_in_the_queue_is_enqueued_again_after_a_day() {
    let mut run = Run::new(world(PACE), ADD);
    sweep(&mut run).await;
    run.world.advance(HOUR);
    instance(&run, "LOST", Status::Approved, HOUR / 2, MINUTE * 11);
    run.tick_only().await;
    for body in run.enqueued() {
        assert_eq!(run.deliver(&body).await, Disposition::SweepDue);
    }
    assert_eq!(run.enqueued().len(), 1);
    let seen = record(&run.world.ledger).instances["LOST"].clone();
    assert!(matches!(seen, Seen { state: SeenState::Enqueued { .. }, .. }), "{seen:?}");
    let mut found = Vec::new();
    for _ in 0..25 {
        run.world.advance(HOUR);
        found.extend(sweep(&mut run).await);
    }
    assert_eq!(ids(&found), ["LOST"]);
}

#[tokio::test]
async fn where_there_are_no_events_nothing_is_lost_and_no_alarm_is_raised() {
    let mut run = Run::new(world(PACE.polling(MINUTE * 5)), ADD);
    sweep(&mut run).await;
    run.world.advance(MINUTE * 5);
    instance(&run, "NEW", Status::Approved, MINUTE, Duration::ZERO);
    let polled = sweep(&mut run).await;
    assert_eq!((ids(&polled), polled[0].via), (vec!["NEW"], Via::Poll));
    assert_eq!(run.world.metrics.times("SweepFindings"), 0);
    assert_eq!(record(&run.world.ledger).found, 0);
}

/// A revocation without an event is seen within a day.
#[tokio::test]
async fn where_there_are_no_events_a_revocation_is_polled() {
    let mut run = Run::new(world(PACE.polling(MINUTE * 5)), ADD);
    sweep(&mut run).await;
    run.world.advance(MINUTE * 5);
    instance(&run, "NEW", Status::Approved, MINUTE, Duration::ZERO);
    sweep(&mut run).await;
    run.world.advance(HOUR * 24);
    assert_eq!(sweep(&mut run).await, []);
    let revoked = (Status::Revoked, Some(run.now()));
    run.world.instances.lock().unwrap().insert("NEW".to_owned(), revoked);
    let mut polled = Vec::new();
    for _ in 0..24 {
        run.world.advance(HOUR);
        polled.extend(sweep(&mut run).await);
    }
    assert_eq!(ids(&polled), ["NEW"]);
    assert_eq!((polled[0].decision(), polled[0].via), (Decision::Revoked, Via::Poll));
    run.world.advance(HOUR * 24);
    assert_eq!(sweep(&mut run).await, []);
    assert_eq!(record(&run.world.ledger).instances, BTreeMap::new());
}

#[tokio::test]
async fn a_sweep_that_fails_is_tried_again_until_the_next_one_is_due() {
    let mut run = Run::new(world(PACE), ADD);
    let busy = Failure::retry(Class::SourceUnavailable, greenlight_core::lease::LeaseLost);
    *run.world.list_fails.lock().unwrap() = Some(busy);
    run.tick_only().await;
    let [body] = run.enqueued().try_into().unwrap();
    let mut attempts = 0;
    while let Disposition::RetryAfter { after, reason } = run.deliver(&body).await {
        assert_eq!(reason.class, Class::SourceUnavailable);
        attempts += 1;
        run.world.advance(after);
    }
    assert!((5..10).contains(&attempts), "{attempts}");
    assert!(run.now().since(START) < HOUR);
    assert_eq!(run.world.metrics.times("SweepsFailed"), 1);
    assert!(run.world.letters.lock().unwrap().is_empty());
    // The pass is continued by the next sweep.
    *run.world.list_fails.lock().unwrap() = None;
    run.world.advance(HOUR);
    sweep(&mut run).await;
    assert_eq!(run.world.metrics.times("Sweeps"), 1);
}

/// The office system refuses some instances for weeks, as of an applicant whom an app cannot see.
#[tokio::test]
async fn g21_instances_that_cannot_be_read_keep_no_others_waiting() {
    let mut run = Run::new(world(PACE), ADD);
    for number in 0..10 {
        let id = format!("A-{number}");
        instance(&run, &id, Status::Pending, Duration::ZERO, HOUR);
        let refused = Failure::retry(Class::SourceRejected, greenlight_core::lease::LeaseLost);
        run.world.unreadable.lock().unwrap().insert(id, refused);
    }
    sweep_with_retries(&mut run).await;
    assert_eq!(record(&run.world.ledger).open(), 10);
    run.world.advance(HOUR);
    instance(&run, "LOST", Status::Approved, HOUR / 2, MINUTE * 11);
    sweep_with_retries(&mut run).await;
    assert_eq!(ids(&deliver(&mut run).await), ["LOST"]);
    // They are read less often as they grow older.
    run.world.asked.lock().unwrap().clear();
    for _ in 0..24 * 14 {
        sweep_with_retries(&mut run).await;
        run.world.advance(HOUR);
    }
    let asked = run.world.asked.lock().unwrap().iter().filter(|it| *it == "A-1").count();
    assert!((14..100).contains(&asked), "{asked}");
}

async fn sweep_with_retries(run: &mut Run) {
    run.tick_only().await;
    for body in run.enqueued() {
        while let Disposition::RetryAfter { after, .. } = run.deliver(&body).await {
            run.world.advance(after);
        }
    }
}

/// A queue that is late for longer than the interval: each message is as late as the one before.
#[tokio::test]
async fn g21_late_messages_are_not_all_dropped() {
    let mut run = Run::new(world(PACE.polling(MINUTE * 5)), ADD);
    sweep(&mut run).await;
    run.world.advance(HOUR);
    instance(&run, "NEW", Status::Approved, MINUTE, MINUTE);
    run.tick_only().await;
    let [body] = run.enqueued().try_into().unwrap();
    run.world.advance(MINUTE * 20);
    assert_eq!(run.deliver(&body).await, Disposition::SweepDue);
    assert_eq!(ids(&deliver(&mut run).await), ["NEW"]);
    // One that a later message has replaced is.
    run.world.asked.lock().unwrap().clear();
    assert_eq!(run.deliver(&body).await, Disposition::SweepDue);
    assert_eq!(*run.world.asked.lock().unwrap(), Vec::<String>::new());
}

/// Where the office system does not say when an approval ended, one that was there before the flow
/// is not carried out because its first read failed.
#[tokio::test]
async fn what_could_not_be_read_at_first_may_be_old() {
    let mut run = Run::new(world(PACE.polling(HOUR)), ADD);
    for id in ["OLD", "OTHER"] {
        instance(&run, id, Status::Approved, HOUR, HOUR);
        run.world.instances.lock().unwrap().insert(id.to_owned(), (Status::Approved, None));
    }
    let busy = Failure::retry(Class::SourceUnavailable, greenlight_core::lease::LeaseLost);
    run.world.unreadable.lock().unwrap().insert("OLD".to_owned(), busy);
    assert_eq!(sweep(&mut run).await, []);
    run.world.unreadable.lock().unwrap().clear();
    for _ in 0..48 {
        run.world.advance(HOUR);
        assert_eq!(sweep(&mut run).await, []);
    }
    instance(&run, "NEW", Status::Approved, HOUR, MINUTE);
    run.world.instances.lock().unwrap().insert("NEW".to_owned(), (Status::Approved, None));
    run.world.advance(HOUR);
    assert_eq!(ids(&sweep(&mut run).await), ["NEW"]);
}

/// Its event would have become a dead letter, which says why: so does the sweep's request.
#[tokio::test]
async fn g21_what_can_never_be_read_is_enqueued_after_a_day() {
    let mut run = Run::new(world(PACE), ADD);
    sweep(&mut run).await;
    run.world.advance(HOUR);
    instance(&run, "ODD", Status::Approved, HOUR, MINUTE);
    let odd = Failure::give_up(Class::SourceRejected, greenlight_core::lease::LeaseLost);
    run.world.unreadable.lock().unwrap().insert("ODD".to_owned(), odd);
    let mut dead = 0;
    for _ in 0..48 {
        run.tick_only().await;
        for _ in 0..2 {
            for body in run.enqueued() {
                let disposition = run.deliver(&body).await;
                dead += usize::from(matches!(disposition, Disposition::DeadLettered(_)));
            }
        }
        run.world.advance(HOUR);
    }
    assert_eq!(dead, 1);
}

/// The office system refused all calls for weeks.
#[tokio::test]
async fn g21_the_list_is_read_from_where_it_ended() {
    let mut run = Run::new(world(PACE.polling(HOUR)), ADD);
    sweep(&mut run).await;
    run.world.advance(HOUR);
    let down = Failure::retry(Class::SourceUnavailable, greenlight_core::lease::LeaseLost);
    *run.world.list_fails.lock().unwrap() = Some(down);
    instance(&run, "DURING", Status::Approved, MINUTE, MINUTE);
    for _ in 0..21 * 24 {
        run.world.advance(HOUR);
    }
    *run.world.list_fails.lock().unwrap() = None;
    assert_eq!(ids(&sweep(&mut run).await), ["DURING"]);
}

#[tokio::test]
async fn a_sweep_that_can_read_nothing_counts_as_failed() {
    let mut run = Run::new(world(PACE), ADD);
    for id in ["A-1", "A-2", "A-3"] {
        instance(&run, id, Status::Pending, Duration::ZERO, HOUR);
        let refused = Failure::give_up(Class::SourceRejected, greenlight_core::lease::LeaseLost);
        run.world.unreadable.lock().unwrap().insert(id.to_owned(), refused);
    }
    sweep(&mut run).await;
    let times = |metric| run.world.metrics.times(metric);
    assert_eq!((times("SweepsFailed"), times("Sweeps")), (1, 0));
    run.world.unreadable.lock().unwrap().remove("A-3");
    run.world.advance(HOUR);
    sweep(&mut run).await;
    let times = |metric| run.world.metrics.times(metric);
    assert_eq!((times("SweepsFailed"), times("Sweeps")), (1, 1));
}

#[tokio::test]
async fn a_sweep_is_continued_where_the_time_of_a_worker_ended() {
    let mut run = Run::new(world(PACE), ADD);
    for number in 0..30 {
        instance(&run, &format!("I-{number}"), Status::Pending, Duration::ZERO, HOUR);
    }
    run.tick_only().await;
    let [body] = run.enqueued().try_into().unwrap();
    run.time = Duration::ZERO;
    let first = run.deliver(&body).await;
    assert!(
        matches!(&first, Disposition::RetryAfter { after, .. } if after.is_zero()),
        "{first:?}"
    );
    assert!(run.world.asked.lock().unwrap().is_empty());
    run.time = MINUTE;
    assert_eq!(run.deliver(&body).await, Disposition::SweepDue);
    assert_eq!(record(&run.world.ledger).open(), 30);
}

#[tokio::test]
async fn a_used_up_quota_pauses_the_sweeps_for_a_day() {
    let mut run = Run::new(world(PACE), ADD);
    let used_up = Failure::retry(Class::QuotaUsedUp, greenlight_core::lease::LeaseLost);
    *run.world.list_fails.lock().unwrap() = Some(used_up);
    for _ in 0..24 {
        assert_eq!(sweep(&mut run).await, []);
        run.world.advance(HOUR);
    }
    assert_eq!(*run.world.asked.lock().unwrap(), ["list"]);
    *run.world.list_fails.lock().unwrap() = None;
    sweep(&mut run).await;
    assert_eq!(record(&run.world.ledger).not_before, None);
    assert_eq!(run.world.metrics.times("Sweeps"), 1);
}

#[tokio::test]
async fn sweeps_use_half_of_the_calls_of_a_month() {
    let pace = Pace { monthly_calls: Some(100), ..PACE };
    let mut run = Run::new(world(pace), ADD);
    for number in 0..200 {
        instance(&run, &format!("I-{number}"), Status::Pending, Duration::ZERO, HOUR);
    }
    for _ in 0..48 {
        sweep(&mut run).await;
        run.world.advance(MINUTE * 10);
    }
    let calls = run.world.asked.lock().unwrap().len();
    assert!((50..75).contains(&calls), "{calls}");
    // In the next month they go on.
    run.world.advance(HOUR * 24 * 31);
    sweep(&mut run).await;
    assert!(run.world.asked.lock().unwrap().len() > calls + 40);
}

#[tokio::test]
async fn a_flow_that_comes_back_begins_anew() {
    let mut run = Run::new(world(PACE), ADD);
    sweep(&mut run).await;
    let flows = run.take_flows();
    run.world.advance(HOUR);
    assert_eq!(sweep(&mut run).await, []);
    instance(&run, "MEANWHILE", Status::Approved, MINUTE, Duration::ZERO);
    run.world.advance(HOUR);
    run.set_flows(flows);
    for _ in 0..30 {
        assert_eq!(sweep(&mut run).await, []);
        run.world.advance(HOUR);
    }
    assert!(record(&run.world.ledger).since > START.plus(HOUR));
}
