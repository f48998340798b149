//! The worker: a batch of ten requests with one device each, for a NAC that takes 50 ms; the same
//! batch again, as a queue may redeliver it; and the growth of the time with batch and form size.

use std::time::{Duration, Instant};

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use greenlight_core::ports::Clock;
use greenlight_stores::SystemClock;
use greenlight_testkit::request::request;
use greenlight_tests::lambda::{RuntimeApi, sqs_event};
use greenlight_tests::process::{cpu, peak_memory};
use greenlight_tests::scene::device;
use tokio::process::Child;

use crate::figures::{Column, Measured, median, millis, number};
use crate::growth::Growth;
use crate::install::Bootstrap;
use crate::stage::Stage;

const ROUNDS: usize = 7;

/// The default maximum batch size of SQS.
const BATCH: usize = 10;

const NAC_TAKES: Duration = Duration::from_millis(50);

/// Batches to a warm process.
const WARM_BATCHES: usize = 5;

pub(crate) const COLUMNS: &[Column] = &[
    Column { name: "first batch of ten", unit: "ms" },
    Column { name: "warm batch", unit: "ms" },
    Column { name: "batch of duplicates", unit: "ms" },
    Column { name: "CPU per batch", unit: "ms" },
    Column { name: "AWS calls per request", unit: "" },
    Column { name: "peak memory", unit: "MiB" },
];

/// A running worker and its surroundings.
struct Bench<'a> {
    stage: &'a Stage,
    next: &'a mut u32,
    api: RuntimeApi,
    process: Child,
    name: &'static str,
}

/// Measures all contenders in turn.
pub(crate) async fn measure(contenders: &[Bootstrap]) -> Vec<Measured> {
    let stage = Stage::set().await;
    stage.scene.nac.set_latency(NAC_TAKES);
    let mut next = 0;
    let mut results: Vec<_> =
        contenders.iter().map(|it| Measured::new(it.name, &it.made_of)).collect();
    for round in 1..=ROUNDS {
        for (contender, result) in contenders.iter().zip(&mut results) {
            result.add(run(&stage, &mut next, contender).await);
        }
        println!("compare: worker, round {round} of {ROUNDS}");
    }
    results
}

async fn run(stage: &Stage, next: &mut u32, contender: &Bootstrap) -> Vec<f64> {
    let start = Instant::now();
    let mut bench = Bench::start(stage, next, contender).await;
    let batch = bench.approvals(BATCH, 1);
    bench.done(&batch, BATCH).await;
    let first = start.elapsed();

    let pid = bench.process.id().expect("it runs");
    let (cpu_before, calls_before) = (cpu(pid), stage.aws.calls());
    let mut warm = Vec::new();
    let mut batch = batch;
    for _ in 0..WARM_BATCHES {
        batch = bench.approvals(BATCH, 1);
        warm.push(bench.done(&batch, BATCH).await);
    }
    let batches = number(WARM_BATCHES);
    let used = millis(cpu(pid).saturating_sub(cpu_before)) / batches;
    let calls = number(stage.aws.calls() - calls_before) / batches / number(BATCH);
    let mut again = Vec::new();
    for _ in 0..WARM_BATCHES {
        again.push(bench.done(&batch, 0).await);
    }
    let peak = peak_memory(pid);
    let _ = bench.process.kill().await;
    vec![millis(first), median(warm), median(again), used, calls, peak]
}

/// Milliseconds by devices in one form, and by requests in a batch, of greenlight's warm worker.
pub(crate) async fn growth(ours: &Bootstrap) -> Vec<Growth> {
    let stage = Stage::set().await;
    stage.scene.nac.set_latency(NAC_TAKES);
    let mut next = 0;
    let mut bench = Bench::start(&stage, &mut next, ours).await;
    let warm = bench.approvals(BATCH, 1);
    bench.done(&warm, BATCH).await;
    let (mut by_devices, mut by_requests) = (Vec::new(), Vec::new());
    for devices in [1, 50, 100, 200, 400, 600, 800, 1_000] {
        let batch = bench.approvals(1, devices);
        by_devices.push((devices, bench.done(&batch, devices as usize).await));
        println!("compare: {devices} devices in one form");
    }
    for requests in 1..=10 {
        let batch = bench.approvals(requests as usize, 1);
        by_requests.push((requests, bench.done(&batch, requests as usize).await));
    }
    vec![
        Growth { of: "devices in one form", points: by_devices },
        Growth { of: "requests in a batch", points: by_requests },
    ]
}

impl<'a> Bench<'a> {
    async fn start(stage: &'a Stage, next: &'a mut u32, contender: &Bootstrap) -> Self {
        let api = RuntimeApi::start().await;
        let process = stage.spawn(contender, &api);
        Self { stage, next, api, process, name: contender.name }
    }

    /// Messages about new approvals, each with `devices` new devices.
    fn approvals(&mut self, count: usize, devices: u32) -> Vec<Message> {
        (0..count).map(|_| self.approval(devices)).collect()
    }

    fn approval(&mut self, devices: u32) -> Message {
        let first = *self.next;
        *self.next += devices;
        let devices: Vec<String> = (first..*self.next).map(device).collect();
        let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
        let instance = format!("I-{first}");
        self.stage.scene.approve(&instance, &devices);
        Message::builder()
            .message_id(&instance)
            .receipt_handle(&instance)
            .body(request(&instance).to_json())
            .attributes(MessageSystemAttributeName::ApproximateReceiveCount, "1")
            .attributes(
                MessageSystemAttributeName::ApproximateFirstReceiveTimestamp,
                SystemClock.now().as_millis().to_string(),
            )
            .build()
    }

    /// The time until the batch is answered, in ms. Checks that all of it is done with `calls`
    /// calls of the NAC.
    async fn done(&mut self, batch: &[Message], calls: usize) -> f64 {
        let before = self.stage.scene.nac.calls();
        let start = Instant::now();
        let answer = self.api.invoke_within(sqs_event(batch), Duration::from_mins(10)).await;
        let took = millis(start.elapsed());
        let failures = answer["batchItemFailures"].as_array().map(Vec::len);
        assert_eq!(failures, Some(0), "{}: {answer}", self.name);
        assert_eq!(self.stage.scene.nac.calls() - before, calls, "{}", self.name);
        took
    }
}
