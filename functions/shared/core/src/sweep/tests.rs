use super::*;

const EVERY: Pace = Pace::hourly(Duration::from_hours(10));

fn at(hours: u64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000).plus(Duration::from_hours(hours))
}

fn lease(name: &str, until: Timestamp) -> Lease {
    Lease { id: name.into(), until }
}

/// A sweep at `now` that lists all of its pass; its windows.
fn swept(sweep: Sweep, now: Timestamp) -> (Sweep, Vec<Range<Timestamp>>) {
    let lease = lease("a", now.plus(Duration::from_mins(1)));
    let (mut sweep, begun) = sweep.begin(&lease, &EVERY, now, now);
    assert!(matches!(begun, Begun::Pass(_)), "{begun:?}");
    let mut windows = Vec::new();
    while let Some(window) = sweep.next_window(EVERY.window) {
        let step = Step { listed_until: Some(window.end), ..Step::default() };
        windows.push(window);
        let (next, recorded) = sweep.saw(&lease.id, &step, now);
        recorded.unwrap();
        sweep = next;
    }
    (sweep.end(&lease.id, &EVERY, now), windows)
}

#[test]
fn a_sweep_lists_two_weeks_once_a_day_and_ten_hours_else() {
    let start = at(1_000);
    let (sweep, first) = swept(Sweep::new(start), start);
    assert_eq!(first.len(), 34);
    assert_eq!(first.first().unwrap().start, start.minus(EVERY.far_reach));
    assert_eq!(first.last().unwrap().end, start);
    assert!(first.windows(2).all(|pair| pair[0].end == pair[1].start));
    let (sweep, second) = swept(sweep, at(1_001));
    assert_eq!(second, [at(990)..at(1_000), at(1_000)..at(1_001)]);
    let (_, next_day) = swept(sweep, at(1_024));
    assert_eq!(next_day.len(), 34);
}

#[test]
fn after_an_outage_nothing_is_left_out() {
    let (sweep, _) = swept(Sweep::new(at(1_000)), at(1_000));
    // Longer than the reach of a sweep, and no sweep with the long reach is due.
    let (_, windows) = swept(sweep, at(1_020));
    assert_eq!(windows.first().unwrap().start, at(990));
    assert_eq!(windows.last().unwrap().end, at(1_020));
}

#[test]
fn a_pass_that_a_worker_left_is_continued() {
    let now = at(1_000);
    let first = lease("a", now.plus(Duration::from_mins(1)));
    let (sweep, _) = Sweep::new(now).begin(&first, &EVERY, now, now);
    let window = sweep.next_window(EVERY.window).unwrap();
    let step = Step { listed_until: Some(window.end), calls: 1, ..Step::default() };
    let (sweep, recorded) = sweep.saw(&first.id, &step, now);
    recorded.unwrap();
    let second = lease("b", now.plus(Duration::from_mins(3)));
    let (sweep, begun) = sweep.begin(&second, &EVERY, now, now);
    assert_eq!(begun, Begun::Held { until: first.until });
    let (sweep, _) = sweep.begin(&second, &EVERY, first.until, first.until);
    assert_eq!(sweep.next_window(EVERY.window).unwrap().start, window.end);
    let (sweep, late) = sweep.saw(&first.id, &step, now);
    assert_eq!(late, Err(LeaseLost));
    assert_eq!(sweep.calls.count, 1);
    // Neither may the first worker end the pass of the second.
    let ended = sweep.clone().end(&first.id, &EVERY, now);
    assert_eq!(ended, sweep);
}

#[test]
fn a_record_that_was_deleted_begins_anew() {
    let now = at(1_000);
    let lease = lease("a", now.plus(Duration::from_mins(1)));
    let (sweep, begun) = Sweep::default().begin(&lease, &EVERY, now, now);
    assert!(matches!(begun, Begun::Pass(_)), "{begun:?}");
    assert_eq!(sweep.since, now.minus(Duration::from_mins(1)));
}

#[test]
fn an_instance_that_waits_is_read_less_often() {
    let since = at(0);
    let again = |hours| EVERY.read_again_at(since, at(hours)).since(at(hours));
    assert_eq!(again(0), Duration::from_mins(30));
    assert_eq!(again(10), Duration::from_hours(1));
    assert_eq!(again(100), Duration::from_hours(10));
    assert_eq!(again(1_000), Duration::from_hours(100));
    assert_eq!(again(10_000), Duration::from_hours(7 * 24));
}

#[test]
fn what_is_remembered_is_bounded_and_open_instances_stay_longest() {
    let now = at(1_000);
    let lease = lease("a", now.plus(Duration::from_mins(1)));
    let (mut sweep, _) = Sweep::new(now).begin(&lease, &EVERY, now, now);
    for number in 0..MOST_SEEN {
        sweep.instances.insert(format!("open-{number}"), Seen::open(at(10), now));
        sweep.instances.insert(format!("settled-{number}"), Seen::settled(at(999)));
    }
    let listed = Step { listed_until: Some(now), ..Step::default() };
    let (mut sweep, recorded) = sweep.saw(&lease.id, &listed, now);
    recorded.unwrap();
    assert_eq!(sweep.instances.len(), MOST_SEEN);
    assert_eq!(sweep.open(), MOST_SEEN);
    sweep.instances.insert("long-ago".into(), Seen::settled(at(1)));
    let sweep = sweep.end(&lease.id, &EVERY, now);
    assert_eq!((sweep.instances.len(), sweep.pass), (MOST_SEEN, None));
}

#[test]
fn a_record_is_small_enough_for_an_item() {
    let now = at(1_000);
    let id = "81D31358-93AF-92D6-7425-01A5D67C4E71";
    let instances = (0..MOST_SEEN).map(|number| (format!("{id}{number:04}"), Seen::open(now, now)));
    let sweep = Sweep { instances: instances.collect(), ..Sweep::new(now) };
    let json = serde_json::to_string(&sweep).unwrap();
    assert!(json.len() < 300_000, "{}", json.len());
    assert_eq!(serde_json::from_str::<Sweep>(&json).unwrap(), sweep);
}

#[test]
fn half_of_the_allowed_calls_are_for_sweeps() {
    let pace = Pace { monthly_calls: Some(10_000), ..EVERY };
    assert_eq!(pace.calls_for_one_of(1), Some(5_000));
    assert_eq!(pace.calls_for_one_of(4), Some(1_250));
    assert_eq!(EVERY.calls_for_one_of(1), None);
}
