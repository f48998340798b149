//! The receiver's bootstrap as Lambda starts it: time to the first answer, and peak memory.
//!
//! The time is only printed, as machines differ; the memory has a limit.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use greenlight_core::ports::Clock;
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::secret_document;
use greenlight_tests::lambda::{RuntimeApi, http_api_event};
use greenlight_tests::process::peak_memory;
use greenlight_tests::scene::{APPROVAL_CODE, NAC_TOKEN};
use greenlight_tests::stub_aws::StubAws;
use greenlight_tests::workspace;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

/// The maximum peak memory after the first event, in MiB.
const MOST_MEMORY: f64 = 12.0;

const STARTS: usize = 21;

fn bootstrap(api: &RuntimeApi, aws: &str, bundle: &Path) -> Child {
    bootstrap_command(api, aws, bundle).spawn().unwrap()
}

fn bootstrap_command(api: &RuntimeApi, aws: &str, bundle: &Path) -> Command {
    let path = workspace().join(".aws-sam/build/ReceiverFunction/bootstrap");
    assert!(path.exists(), "nothing is built: run `cargo verify bundle` first");
    let mut command = Command::new(path);
    command
        .env_clear()
        .envs(api.environment())
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_SESSION_TOKEN", "test")
        .env("AWS_ENDPOINT_URL", aws)
        .env("SSL_CERT_FILE", bundle)
        .env("QUEUE_URL", format!("{aws}/000000000000/queue"))
        .env("SECRET_ARN", "secret")
        .env("APPROVAL_CODE", APPROVAL_CODE)
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_answer_is_quick_and_small() {
    let app = greenlight_testkit::stub::demo_app();
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("roots.pem");
    let mut aws = StubAws::start(&secret_document(&app, NAC_TOKEN), &bundle).await;
    let url = aws.url();
    let (mut first, mut warm, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..STARTS {
        let mut api = RuntimeApi::start().await;
        let event = || {
            let now = SystemClock.now().as_millis();
            let id = format!("event-{n}");
            let sent = app.approval_instance(&id, APPROVAL_CODE, "I-1", "APPROVED", now);
            http_api_event(&sent.headers, &sent.body)
        };
        let event_of_start = event();
        let start = Instant::now();
        let process = bootstrap(&api, &url, &bundle);
        let answer = api.invoke(event_of_start).await;
        first.push(millis(start.elapsed()));
        assert_eq!(answer["statusCode"], 200, "{answer}");
        let message = aws.next_message().expect("the queue has it before the answer is 200");
        let body: Value = serde_json::from_str(message["MessageBody"].as_str().unwrap()).unwrap();
        assert_eq!(body["instance_id"], "I-1");
        memory.push(peak_memory(process.id().unwrap()));
        let next = event();
        let start = Instant::now();
        api.invoke(next).await;
        warm.push(millis(start.elapsed()));
        aws.next_message();
    }
    let memory = median(memory);
    println!(
        "receiver, {STARTS} starts, medians: first answer {:.1} ms after the spawn, second {:.1} ms, peak {memory:.1} MiB",
        median(first),
        median(warm)
    );
    assert!(memory <= MOST_MEMORY, "{memory} MiB");
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// A direct invocation, without the API, can have any shape.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_event_is_answered_400_and_the_function_lives_on() {
    let app = greenlight_testkit::stub::demo_app();
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("roots.pem");
    let aws = StubAws::start(&secret_document(&app, NAC_TOKEN), &bundle).await;
    let mut api = RuntimeApi::start().await;
    let _process = bootstrap(&api, &aws.url(), &bundle);
    let mut event = http_api_event(&[], "no base64!");
    event["isBase64Encoded"] = true.into();
    let answer = api.invoke(event).await;
    assert_eq!(answer["statusCode"], 400, "{answer}");
    for (member, value) in [
        ("rawQueryString", json!("x=<y>\"")),
        ("headers", json!({"host": "a b"})),
        ("headers", json!({"host": "localhost", "x-forwarded-proto": "https, http"})),
    ] {
        let mut event = http_api_event(&[], "{}");
        event[member] = value;
        let answer = api.invoke(event.clone()).await;
        assert_eq!(answer["statusCode"], 400, "{event}: {answer}");
    }
    let answer = api.invoke(json!({"not": "an HTTP API"})).await;
    assert!(answer["errorMessage"].is_string(), "{answer}");
    let check = app.url_check("still-there");
    let answer = api.invoke(http_api_event(&check.headers, &check.body)).await;
    assert_eq!(answer["statusCode"], 200, "{answer}");
}

/// Runs a start that must fail, and returns its output.
async fn failed_start(aws: &StubAws, trusted: &Path) -> String {
    let api = RuntimeApi::start().await;
    let process = bootstrap_command(&api, &aws.url(), trusted).stdout(Stdio::piped()).output();
    let output = process.await.unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The other sources, if there are any, work: only requests of this one are answered 503, until
/// its secret is set.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_a_complete_secret_names_the_field_and_answers_503() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("roots.pem");
    let app = greenlight_testkit::stub::demo_app();
    let mut incomplete = secret_document(&app, NAC_TOKEN);
    incomplete["sources"]["feishu"]["encrypt_key"] = "".into();
    let aws = StubAws::start(&incomplete, &bundle).await;
    let mut api = RuntimeApi::start().await;
    let command = &mut bootstrap_command(&api, &aws.url(), &bundle);
    let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let check = app.url_check("x");
    let answer = api.invoke(http_api_event(&check.headers, &check.body)).await;
    assert_eq!(answer["statusCode"], 503, "{answer}");
    process.kill().await.unwrap();
    let output = process.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("the secret lacks `sources.feishu.encrypt_key`"), "{said}");
    assert!(!said.contains(&app.app_secret), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_that_nobody_vouches_for_is_told_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let app = greenlight_testkit::stub::demo_app();
    let secret = secret_document(&app, NAC_TOKEN);
    let aws = StubAws::start(&secret, &folder.path().join("roots.pem")).await;
    let said = failed_start(&aws, Path::new("/etc/ssl/certs/ca-certificates.crt")).await;
    assert!(said.contains("no connection: invalid peer certificate"), "{said}");
    assert_eq!(aws.calls(), 0);

    let none = folder.path().join("none.pem");
    let said = failed_start(&aws, &none).await;
    assert!(said.contains("none.pem cannot be read"), "{said}");
    std::fs::write(&none, "no certificate").unwrap();
    let said = failed_start(&aws, &none).await;
    assert!(said.contains("none.pem holds no certificate"), "{said}");
}
