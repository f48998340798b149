//! One start of one contender.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use greenlight::simulator::FeishuApp;
use greenlight_core::ports::Clock;
use greenlight_stores::SystemClock;
use greenlight_tests::lambda::{RuntimeApi, http_api_event};
use greenlight_tests::scene::{APPROVAL_CODE, NAC_TOKEN};
use greenlight_tests::stub_aws::StubAws;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::contenders::Contender;

/// What every contender stands between.
pub(crate) struct Bench {
    app: FeishuApp,
    aws: StubAws,
    bundle: PathBuf,
    number: usize,
    _folder: tempfile::TempDir,
}

/// The figures of one start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// From the spawn to the first answer, in ms.
    pub(crate) first_ms: f64,
    /// The median of the warm events, in ms.
    pub(crate) warm_ms: f64,
    /// CPU time per warm event, in ms.
    pub(crate) cpu_ms: f64,
    /// The most memory so far, in MiB.
    pub(crate) peak_mib: f64,
}

impl Bench {
    pub(crate) async fn set() -> Self {
        let app = FeishuApp::default();
        let folder = tempfile::tempdir().expect("a folder can be made");
        let bundle = folder.path().join("roots.pem");
        let aws = StubAws::start(&app.secret_document(NAC_TOKEN), &bundle).await;
        Self { app, aws, bundle, number: 0, _folder: folder }
    }

    fn event(&mut self) -> Value {
        self.number += 1;
        let now = SystemClock.now().as_millis();
        let (event, instance) = (format!("e-{}", self.number), format!("I-{}", self.number));
        let sent = self.app.approval_instance(&event, APPROVAL_CODE, &instance, "APPROVED", now);
        http_api_event(&sent.headers, &sent.body)
    }

    /// Starts it, sends it `events` more when it is warm, and ends it.
    pub(crate) async fn run(&mut self, contender: &Contender, events: usize) -> Run {
        let mut api = RuntimeApi::start().await;
        let event = self.event();
        let start = Instant::now();
        let mut process = self.spawn(contender, &api);
        self.answered(&mut api, event, contender).await;
        let first_ms = millis(start.elapsed());
        // Caches fill, and compilers of the moment compile.
        for _ in 0..20 {
            let event = self.event();
            self.answered(&mut api, event, contender).await;
        }
        let cpu_before = cpu(&process);
        let mut warm = Vec::new();
        for _ in 0..events {
            let event = self.event();
            let start = Instant::now();
            self.answered(&mut api, event, contender).await;
            warm.push(millis(start.elapsed()));
        }
        let count = u32::try_from(events).map_or(f64::NAN, f64::from);
        let cpu_ms = millis(cpu(&process).saturating_sub(cpu_before)) / count;
        let peak_mib = peak_memory(&process);
        let _ = process.kill().await;
        warm.sort_by(f64::total_cmp);
        Run { first_ms, warm_ms: warm[warm.len() / 2], cpu_ms, peak_mib }
    }

    fn spawn(&self, contender: &Contender, api: &RuntimeApi) -> Child {
        let (program, arguments) = contender.command.split_first().expect("there is a program");
        let aws = self.aws.url();
        Command::new(program)
            .args(arguments)
            .current_dir(&contender.folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(api.environment())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_SESSION_TOKEN", "test")
            .env("AWS_ENDPOINT_URL", &aws)
            .env("SSL_CERT_FILE", &self.bundle)
            .env("AWS_CA_BUNDLE", &self.bundle)
            .env("NODE_EXTRA_CA_CERTS", &self.bundle)
            .env("QUEUE_URL", format!("{aws}/000000000000/queue"))
            .env("SECRET_ARN", "secret")
            .env("APPROVAL_CODE", APPROVAL_CODE)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", contender.name))
    }

    /// Whoever answers 200 and did not enqueue is no contender.
    async fn answered(&mut self, api: &mut RuntimeApi, event: Value, contender: &Contender) {
        let answer = api.invoke(event).await;
        assert_eq!(answer["statusCode"], 200, "{}: {answer}", contender.name);
        if contender.enqueues {
            let sent = self.aws.next_message();
            let sent = sent.unwrap_or_else(|| panic!("{} did not enqueue", contender.name));
            let expected = format!("I-{}", self.number);
            let body = sent["MessageBody"].as_str().unwrap_or_default();
            assert!(body.contains(&expected), "{}: {body}", contender.name);
        }
    }
}

/// CPU time that a process used so far, by `/proc/PID/stat`: user and system, in ticks of 10 ms.
fn cpu(process: &Child) -> Duration {
    let path = format!("/proc/{}/stat", process.id().expect("it runs"));
    let stat = std::fs::read_to_string(path).expect("a process has a state");
    // The name, in parentheses, may hold anything.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The most memory that a process had so far, in MiB.
fn peak_memory(process: &Child) -> f64 {
    let path = format!("/proc/{}/status", process.id().expect("it runs"));
    let status = std::fs::read_to_string(path).expect("a process has a state");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    let kib: f64 =
        line.split_whitespace().nth(1).and_then(|it| it.parse().ok()).unwrap_or(f64::NAN);
    kib / 1024.0
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
