//! Both Lambda binaries as processes: batches with bad records, deadlines, kills and AWS faults.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use greenlight_testkit::request::request;
use greenlight_testkit::stub::{forged, secret_document};
use greenlight_tests::faults::{FAULTS, Fault};
use greenlight_tests::fleet::{Fleet, Sending, deliver, repetitions};
use greenlight_tests::lambda::{Function, Kill, http_api_event, sqs_event};
use greenlight_tests::scene::{NAC_TOKEN, Scene, device};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;

/// The built-in flows with an initial retry interval that is short enough for tests.
fn flows_with_short_retries(scene: &Scene, folder: &TempDir) -> PathBuf {
    let path = folder.path().join("flows.toml");
    let text = format!("{}\n[retry]\ninitial_interval = \"1s\"\n", scene.flows());
    std::fs::write(&path, text).unwrap();
    path
}

/// Guarantee 8: of ten records one is poison and one hangs at the NAC; eight are done at once.
#[tokio::test(flavor = "multi_thread")]
async fn g08_one_bad_record_of_a_batch_costs_the_others_nothing() {
    let fleet = Fleet::set().await;
    let folder = tempfile::tempdir().unwrap();
    let silent = device(1);
    fleet.scene.nac.set_silent_about(&silent, true);
    for n in 1..10 {
        let instance = format!("I-{n}");
        fleet.scene.approve(&instance, &[&device(n)]);
        fleet.resources.put_message(&request(&instance).to_json()).await;
    }
    fleet.resources.put_message("no JSON").await;
    let batch = fleet.resources.receive(120).await;
    assert_eq!(batch.len(), 10);
    let hanging = batch.iter().find(|message| message.body().unwrap().contains("\"I-1\""));
    let hanging = hanging.unwrap().message_id().unwrap();

    let mut worker = fleet.worker(Some(&flows_with_short_retries(&fleet.scene, &folder)));
    let mut answer = Box::pin(worker.invoke(sqs_event(&batch), Duration::from_mins(1)));
    // The other calls are made while it hangs.
    tokio::select! {
        biased;
        answer = &mut answer => panic!("the batch ended before nine calls: {answer:?}"),
        () = fleet.scene.nac.wait_for_calls(9) => {}
    }
    let answer = answer.await.unwrap();
    let failures = &answer["batchItemFailures"];
    assert_eq!(failures.as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(failures[0]["itemIdentifier"], hanging);
    let done = fleet.scene.nac.calls_per_device();
    assert!((2..10).all(|n| done[&device(n)] == 1), "{done:?}");
    let letters = fleet.resources.dead_letters().await;
    assert_eq!(letters, [("invalid_message".to_owned(), "no JSON".to_owned())]);

    // The NAC added the device without answering: the next attempt finds it there.
    fleet.scene.nac.set_silent_about(&silent, false);
    fleet.consume_one(&mut worker).await;
    assert_eq!(fleet.scene.nac.calls_per_device()[&silent], 2);
    assert!(fleet.resources.dead_letters().await.is_empty());
    println!("10 records, 1 is poison and 1 hangs: 8 done with one call each");
}

/// Guarantee 8: a worker that runs out of time starts no new call; the next one does the rest.
#[tokio::test(flavor = "multi_thread")]
async fn g08_what_is_not_started_in_time_is_given_out_again() {
    let fleet = Fleet::set().await;
    let devices: Vec<String> = (0..150).map(device).collect();
    let typed: Vec<&str> = devices.iter().map(String::as_str).collect();
    fleet.scene.approve("I-1", &typed);
    fleet.scene.nac.set_latency(Duration::from_millis(400));
    fleet.resources.put_message(&request("I-1").to_json()).await;
    let batches = fleet.consume_one(&mut fleet.worker(None)).await;
    // 150 calls of 400 ms, ten at a time, exceed the five seconds in which a batch may start calls.
    assert!(batches > 1);
    assert_eq!(fleet.scene.nac.whitelist(), devices);
    assert_eq!(fleet.scene.nac.calls(), devices.len(), "one call per device");
    println!("150 devices, 150 calls in {batches} batches");
}

/// Approvals with one to five devices each.
struct Load {
    devices: BTreeSet<String>,
    instances: Vec<String>,
}

impl Load {
    fn of(fleet: &Fleet, approvals: u32) -> Self {
        let mut load = Self { devices: BTreeSet::new(), instances: Vec::new() };
        for n in 0..approvals {
            let instance = format!("I-{n}");
            let devices: Vec<String> = (0..=n % 5).map(|k| device(n * 5 + k)).collect();
            let typed: Vec<&str> = devices.iter().map(String::as_str).collect();
            fleet.scene.approve(&instance, &typed);
            load.devices.extend(devices);
            load.instances.push(instance);
        }
        load
    }

    /// Sends all events, every third one twice, then sets `is_sent`.
    async fn send(&self, fleet: &Fleet, is_sent: watch::Sender<bool>) -> Sending {
        let mut receiver = fleet.receiver();
        self.send_by(fleet, &mut receiver, 0, is_sent).await
    }

    async fn send_by(
        &self,
        fleet: &Fleet,
        receiver: &mut Function,
        kill_every: usize,
        is_sent: watch::Sender<bool>,
    ) -> Sending {
        let mut total = Sending::default();
        // The cold start is not measured: it ends before the first event.
        deliver(receiver, || fleet.scene.app.url_check("warm")).await;
        for (n, instance) in self.instances.iter().enumerate() {
            if kill_every > 0 && n % kill_every == 0 {
                receiver.kill().now();
            }
            for _ in 0..=usize::from(n % 3 == 0) {
                let id = format!("e-{n}");
                let event = || fleet.scene.event(&id, instance, "APPROVED");
                let sending = deliver(receiver, event).await;
                total.times += sending.times;
                total.unanswered += sending.unanswered;
                total.longest = total.longest.max(sending.longest);
            }
        }
        is_sent.send_replace(true);
        total
    }

    fn on_whitelist(&self, fleet: &Fleet) -> bool {
        fleet.scene.nac.whitelist().into_iter().collect::<BTreeSet<_>>() == self.devices
    }
}

/// Guarantees 1, 4 and 6: both functions are killed repeatedly during invocations.
#[tokio::test(flavor = "multi_thread")]
async fn g01_04_06_functions_that_are_killed_lose_and_double_nothing() {
    let fleet = Fleet::set().await;
    let load = Load::of(&fleet, 60);
    fleet.scene.nac.set_latency(Duration::from_millis(10));
    let (sent, is_sent) = watch::channel(false);
    let mut receiver = fleet.receiver();
    let workers = [fleet.worker(None), fleet.worker(None)];
    let kills = [workers[0].kill(), workers[1].kill()];
    let receivers = receiver.kill();
    let killer = async {
        // Kills by progress, not by time: every few calls one function is killed.
        for n in 1..=12 {
            fleet.scene.nac.wait_for_calls(n * 9).await;
            kills[n % 2].now();
        }
    };
    let [one, two] = workers;
    let (sending, ..) = tokio::join!(
        load.send_by(&fleet, &mut receiver, 10, sent),
        killer,
        fleet.consume(one, is_sent.clone()),
        fleet.consume(two, is_sent.clone()),
    );
    let losses: Vec<_> = kills.iter().flat_map(Kill::done).collect();
    let (explained, doubled) = repetitions(&fleet.scene.nac.log(), &losses);
    println!(
        "kills: {} of the receiver, {} of workers; {} events sent; {} devices, {} calls, {explained} repeated after a kill, {doubled} doubled",
        receivers.count(),
        losses.len(),
        sending.times,
        load.devices.len(),
        fleet.scene.nac.calls(),
    );
    assert!(losses.len() >= 6 && receivers.count() == 6, "they died");
    assert!(load.on_whitelist(&fleet), "nothing is lost");
    assert_eq!(doubled, 0);
    assert!(fleet.resources.dead_letters().await.is_empty());
}

/// Guarantees 1, 4, 6 and 10: AWS throttles, fails, closes connections, loses answers or hangs.
#[tokio::test(flavor = "multi_thread")]
async fn g01_04_06_10_faults_of_aws_lose_nothing() {
    let fleet = Fleet::set().await;
    let load = Load::of(&fleet, 60);
    // The secret cannot be read at the start; later one call in six has a fault.
    let mut random = fastrand::Rng::with_seed(4);
    let mut away = 6;
    fleet.faulty.plan(move |operation| {
        if operation.ends_with("GetSecretValue") && away > 0 {
            away -= 1;
            return Some(Fault::Failed);
        }
        (random.u8(0..6) == 0).then(|| FAULTS[random.usize(0..FAULTS.len())])
    });
    let (sent, is_sent) = watch::channel(false);
    let (sending, ..) = tokio::join!(
        load.send(&fleet, sent),
        fleet.consume(fleet.worker(None), is_sent.clone()),
        fleet.consume(fleet.worker(None), is_sent.clone()),
    );
    let fired = fleet.faulty.fired();
    let calls = fleet.scene.nac.calls();
    for ((operation, fault), times) in &fired {
        println!("{operation:36} {fault:?} {times}");
    }
    println!(
        "faults of AWS: {}; {} events sent, the longest answer took {} ms; {} devices, {calls} calls",
        fired.values().sum::<usize>(),
        sending.times,
        sending.longest.as_millis(),
        load.devices.len(),
    );
    assert!(FAULTS.iter().all(|fault| fired.keys().any(|(_, fired)| fired == fault)));
    assert_eq!(sending.unanswered, 0, "every answer came before Feishu's timeout");
    assert!(load.on_whitelist(&fleet), "nothing is lost");
    // Only calls that could not be recorded are repeated.
    let lost_records: usize = fired
        .iter()
        .filter(|((operation, _), _)| operation.ends_with("UpdateItem"))
        .map(|(_, times)| times)
        .sum();
    assert!(calls - load.devices.len() <= lost_records, "{calls} calls");
    assert!(fleet.resources.dead_letters().await.is_empty());
}

/// A key that is rotated in Feishu's console and in the secret needs no deployment, even if the
/// secret cannot be read at that moment: Feishu sends again what was not answered 200.
#[tokio::test(flavor = "multi_thread")]
async fn g01_a_rotation_while_the_secret_is_away_loses_nothing() {
    let mut fleet = Fleet::set().await;
    fleet.scene.approve("I-1", &[&device(1)]);
    let mut receiver = fleet.receiver();
    deliver(&mut receiver, || fleet.scene.event("e-1", "I-1", "APPROVED")).await;

    fleet.scene.app.encrypt_key = "the-next-encrypt-key".into();
    fleet.resources.rotate_secret(&secret_document(&fleet.scene.app, NAC_TOKEN)).await;
    let mut away = 2;
    fleet.faulty.plan(move |operation| {
        let is_away = operation.ends_with("GetSecretValue") && away > 0;
        away -= u32::from(is_away);
        is_away.then_some(Fault::Failed)
    });
    fleet.scene.approve("I-2", &[&device(2)]);
    deliver(&mut receiver, || fleet.scene.event("e-2", "I-2", "APPROVED")).await;
    let away = (String::from("secretsmanager.GetSecretValue"), Fault::Failed);
    assert_eq!(fleet.faulty.fired().get(&away), Some(&2), "the secret could not be read");
    println!("1 event rejected while the secret was unreadable, and accepted when sent again");
    let (_, is_sent) = watch::channel(true);
    fleet.consume(fleet.worker(None), is_sent).await;
    assert_eq!(fleet.scene.nac.whitelist(), [device(1), device(2)]);
}

/// The trace id passes from the event through the queue to the NAC, and both functions print
/// metrics for CloudWatch.
#[tokio::test(flavor = "multi_thread")]
async fn a_trace_and_figures_go_with_an_approval() {
    let fleet = Fleet::set().await;
    fleet.scene.approve("I-1", &[&device(1)]);
    let (mut receiver, mut worker) = (fleet.receiver(), fleet.worker(None));
    let event = fleet.scene.event("e-1", "I-1", "APPROVED");
    let mut headers = event.headers.clone();
    let root = "Root=1-67891233-abcdef012345678912345678;Sampled=0";
    headers.push(("x-amzn-trace-id".to_owned(), root.to_owned()));
    let answer = receiver.invoke(http_api_event(&headers, &event.body), Duration::from_mins(1));
    assert_eq!(answer.await.unwrap()["statusCode"], 200);
    let forged = forged(event);
    let answer =
        receiver.invoke(http_api_event(&forged.headers, &forged.body), Duration::from_mins(1));
    assert_eq!(answer.await.unwrap()["statusCode"], 401);
    fleet.consume_one(&mut worker).await;
    let trace_id = "67891233abcdef012345678912345678";
    let sent = &fleet.scene.nac.log()[0].traceparent;
    assert!(sent.starts_with(&format!("00-{trace_id}-")), "{sent}");
    for (function, expected) in [
        (
            &receiver,
            vec!["WebhooksReceived enqueued", "WebhooksReceived rejected", "WebhooksRejected"],
        ),
        (&worker, vec!["EffectsApplied", "EventToEffectLatency", "RequestsCompleted"]),
    ] {
        let printed = function.printed();
        assert!(printed.contains(trace_id), "each function logs it: {printed}");
        let lines = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let figure = |line: Value| {
            let name = line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"].as_str()?;
            assert!(line[name].is_u64(), "{line}");
            let outcome = line["outcome"].as_str().map(|outcome| format!(" {outcome}"));
            Some(format!("{name}{}", outcome.unwrap_or_default()))
        };
        let figures: Vec<String> = lines.filter_map(figure).collect();
        assert_eq!(figures, expected);
    }
}

/// The AWS calls of the end of a grant, with warm functions, as `docs/cost.md` says.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_grant_asks_no_more_of_aws_than_the_cost_page_says() {
    let fleet = Fleet::set().await;
    let (mut receiver, mut worker) = (fleet.receiver(), fleet.worker(None));
    let counts = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let counted = Arc::clone(&counts);
    fleet.faulty.plan(move |operation| {
        let name = operation.rsplit('.').next().unwrap_or_default().to_owned();
        *counted.lock().unwrap().entry(name).or_default() += 1;
        None
    });
    let mut send = async |instance: &str, status: &str| {
        let event = fleet.scene.event(&format!("{status}-{instance}"), instance, status);
        let event = http_api_event(&event.headers, &event.body);
        let answer = receiver.invoke(event, Duration::from_mins(1)).await.unwrap();
        assert_eq!(answer["statusCode"], 200);
    };
    let taken = || std::mem::take(&mut *counts.lock().unwrap());
    let tick = serde_json::json!({"trigger": "tick"});
    // The first tick enqueues a sweep.
    worker.invoke(tick.clone(), Duration::from_mins(1)).await.unwrap();
    taken();
    fleet.consume_one(&mut worker).await;
    assert_eq!([taken()], written("## Sweeps")[..]);
    let mut measured = Vec::new();
    for instance in ["I-cold", "I-warm"] {
        fleet.scene.approve(instance, &[&device(7)]);
        send(instance, "APPROVED").await;
        fleet.consume_one(&mut worker).await;
        worker.invoke(tick.clone(), Duration::from_mins(1)).await.unwrap();
        fleet.scene.feishu.revert(instance);
        taken();
        send(instance, "REVERTED").await;
        fleet.consume_one(&mut worker).await;
        let withdrawal = taken();
        fleet.consume_one(&mut worker).await;
        let removal = taken();
        worker.invoke(tick.clone(), Duration::from_mins(1)).await.unwrap();
        measured = vec![withdrawal, removal, taken()];
        assert_eq!(fleet.scene.nac.whitelist(), Vec::<String>::new());
    }
    assert_eq!(measured, written("## The end of a grant"));
}

/// The numbers of calls in the table of a section of the cost page, a map per column.
fn written(section: &str) -> Vec<BTreeMap<String, usize>> {
    let page = include_str!("../../../docs/cost.md");
    let table = page.split(section).nth(1).unwrap().split("\n## ").next().unwrap();
    let mut columns = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let counts: Vec<usize> = cells[2..].iter().map_while(|cell| cell.parse().ok()).collect();
        columns.resize(columns.len().max(counts.len()), BTreeMap::new());
        for (column, count) in columns.iter_mut().zip(counts).filter(|(_, count)| *count > 0) {
            column.insert(cells[1].trim_matches('`').to_owned(), count);
        }
    }
    columns
}

/// The AWS calls of one approval with warm functions; `docs/cost.md` is based on them.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_asks_no_more_of_aws_than_the_cost_page_says() {
    let fleet = Fleet::set().await;
    let (mut receiver, mut worker) = (fleet.receiver(), fleet.worker(None));
    let counts = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let mut asked = async |instance: &str, devices: &[String]| {
        let typed: Vec<_> = devices.iter().map(String::as_str).collect();
        fleet.scene.approve(instance, &typed);
        counts.lock().unwrap().clear();
        let event = fleet.scene.event(&format!("e-{instance}"), instance, "APPROVED");
        let event = http_api_event(&event.headers, &event.body);
        let answer = receiver.invoke(event, Duration::from_mins(1)).await.unwrap();
        assert_eq!(answer["statusCode"], 200);
        fleet.consume_one(&mut worker).await;
        counts.lock().unwrap().clone()
    };
    let counted = Arc::clone(&counts);
    fleet.faulty.plan(move |operation| {
        let name = operation.rsplit('.').next().unwrap_or_default().to_owned();
        *counted.lock().unwrap().entry(name).or_default() += 1;
        None
    });
    asked("I-cold", &[device(1)]).await;
    let page = include_str!("../../../docs/cost.md").split("## The end of a grant").next().unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    for (instance, devices) in [("I-one", 1), ("I-ten", 10)] {
        let devices: Vec<_> = (0..devices).map(|n| device(devices * 10 + n)).collect();
        let counts = asked(instance, &devices).await;
        for (operation, count) in &counts {
            println!("{} device(s): {count} {operation}", devices.len());
            let row = page.lines().find(|line| line.contains(&format!("`{operation}`")));
            let row = row.unwrap_or_else(|| panic!("docs/cost.md has no row for {operation}"));
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let cell = cells[if devices.len() == 1 { 2 } else { 3 }];
            let most: usize = cell.parse().unwrap();
            // Effects that end at the same time are recorded together, so there may be fewer.
            let least = if devices.len() == 1 { most } else { most.div_ceil(3) };
            assert!((least..=most).contains(count), "{operation}: {count}, expected {cell}");
        }
        assert_eq!(counts.len(), rows, "docs/cost.md has calls that are not made: {counts:?}");
    }
    println!("printed so far: {} bytes", receiver.printed().len() + worker.printed().len());
}
