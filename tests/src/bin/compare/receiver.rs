//! The receiver: each contender is started in turn.

use std::time::Instant;

use greenlight_tests::lambda::{RuntimeApi, http_api_event};
use greenlight_tests::process::{cpu, peak_memory};
use serde_json::Value;

use crate::figures::{Column, Measured, median, millis, number};
use crate::install::Bootstrap;
use crate::stage::Stage;

/// Starts per contender, interleaved.
const ROUNDS: usize = 11;

/// Events to a warm process; CPU time is measured over them.
const WARM_EVENTS: usize = 400;

pub(crate) const COLUMNS: &[Column] = &[
    Column { name: "first answer", unit: "ms" },
    Column { name: "warm event", unit: "ms" },
    Column { name: "CPU per event", unit: "ms" },
    Column { name: "peak memory", unit: "MiB" },
    Column { name: "zip", unit: "MiB" },
];

struct Bench {
    stage: Stage,
    number: usize,
}

/// Measures all contenders in turn.
pub(crate) async fn measure(contenders: &[Bootstrap]) -> Vec<Measured> {
    let mut bench = Bench { stage: Stage::set().await, number: 0 };
    let mut results: Vec<_> =
        contenders.iter().map(|it| Measured::new(it.name, &it.made_of)).collect();
    for round in 1..=ROUNDS {
        for (contender, result) in contenders.iter().zip(&mut results) {
            result.add(bench.run(contender).await);
        }
        println!("compare: receiver, round {round} of {ROUNDS}");
    }
    results
}

impl Bench {
    fn event(&mut self) -> Value {
        self.number += 1;
        let (event, instance) = (format!("e-{}", self.number), format!("I-{}", self.number));
        let sent = self.stage.scene.event(&event, &instance, "APPROVED");
        http_api_event(&sent.headers, &sent.body)
    }

    /// Starts a contender, sends more events when it is warm, and ends it; returns the figures of
    /// [`COLUMNS`].
    async fn run(&mut self, contender: &Bootstrap) -> Vec<f64> {
        let mut api = RuntimeApi::start().await;
        let event = self.event();
        let start = Instant::now();
        let mut process = self.stage.spawn(contender, &api);
        self.answered(&mut api, event, contender).await;
        let first_ms = millis(start.elapsed());
        // Warm-up: caches fill, and JIT compilers run.
        for _ in 0..20 {
            let event = self.event();
            self.answered(&mut api, event, contender).await;
        }
        let pid = process.id().expect("it runs");
        let cpu_before = cpu(pid);
        let mut warm = Vec::new();
        for _ in 0..WARM_EVENTS {
            let event = self.event();
            let start = Instant::now();
            self.answered(&mut api, event, contender).await;
            warm.push(millis(start.elapsed()));
        }
        let cpu_ms = millis(cpu(pid).saturating_sub(cpu_before)) / number(WARM_EVENTS);
        let peak_mib = peak_memory(pid);
        let _ = process.kill().await;
        vec![first_ms, median(warm), cpu_ms, peak_mib, contender.zip_mib]
    }

    /// Fails if a receiver answers 200 without having enqueued the event.
    async fn answered(&mut self, api: &mut RuntimeApi, event: Value, contender: &Bootstrap) {
        let answer = api.invoke(event).await;
        assert_eq!(answer["statusCode"], 200, "{}: {answer}", contender.name);
        if contender.enqueues {
            let sent = self.stage.aws.next_message();
            let sent = sent.unwrap_or_else(|| panic!("{} did not enqueue", contender.name));
            let expected = format!("I-{}", self.number);
            let body = sent["MessageBody"].as_str().unwrap_or_default();
            assert!(body.contains(&expected), "{}: {body}", contender.name);
        }
    }
}
