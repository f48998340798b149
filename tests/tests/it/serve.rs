//! Both use cases on one machine: `greenlight serve` over real HTTP and SQLite, in this process and
//! as a process that is killed.

use std::path::Path;
use std::time::Duration;

use axum::http::StatusCode;
use greenlight_admin::replay::{self, Replay, ReplaySources};
use greenlight_core::operator::{AuditReader, DeadLetterQueue};
use greenlight_core::ports::Clock;
use greenlight_core::tick::TICK_EVERY;
use greenlight_core::{Decision, RequestKey};
use greenlight_runtime::StartError;
use greenlight_server::server::{Options, ServeError, Server};
use greenlight_sources::kind::SettingsProblem;
use greenlight_sources::registry::SourceError;
use greenlight_sources::test_request::Sent;
use greenlight_stores::SystemClock;
use greenlight_stores::sqlite::Database;
use greenlight_testkit::stub::{at_feishu, forged, secret_document};
use greenlight_tests::scene::{APPROVAL_CODE, NAC_TOKEN, Scene, device};
use greenlight_tests::serving::{Serving, failures, operator, secrets};
use serde_json::{Value, json};
use tempfile::TempDir;

struct Machine {
    scene: Scene,
    server: Server,
    folder: TempDir,
}

impl Machine {
    async fn open() -> Self {
        let scene = Scene::set().await;
        let folder = tempfile::tempdir().unwrap();
        let server = start(&scene, folder.path(), "data").await.unwrap();
        Self { scene, server, folder }
    }

    async fn send(&self, sent: &Sent) -> u16 {
        let url = format!("http://{}/api/event", self.server.address());
        self.scene.send_to(&url, None, sent).await.status
    }

    /// Sends a raw body, signed with the key.
    async fn send_body(&self, body: &str) -> u16 {
        self.send(&Sent::post(vec![], body.to_owned())).await
    }

    async fn drained(&self) {
        self.server.drained().await.unwrap();
    }
}

async fn start(scene: &Scene, folder: &Path, data: &str) -> Result<Server, ServeError> {
    let options = Options {
        listen: ([127, 0, 0, 1], 0).into(),
        data: folder.join(data),
        secrets: secrets(scene, folder),
        flows: Some(scene.flows_file(folder)),
        connectors: None,
        tick_every: TICK_EVERY,
    };
    let nac_url = scene.nac.url();
    let environment = move |name: &str| match name {
        "NAC_URL" => Some(nac_url.clone()),
        "APPROVAL_CODE" => Some(APPROVAL_CODE.to_owned()),
        _ => None,
    };
    Server::start_with(options, &environment).await
}

#[tokio::test]
async fn g04_05_one_set_of_effects_however_often_the_event_comes() {
    let machine = Machine::open().await;
    machine.scene.approve("I-1", &[&device(1), &device(2)]);
    let event = machine.scene.event("e-1", "I-1", "APPROVED");
    let other_id = machine.scene.event("e-2", "I-1", "APPROVED");
    // All at the same time.
    let (a, b, c, d) = tokio::join!(
        machine.send(&event),
        machine.send(&event),
        machine.send(&other_id),
        machine.send(&event)
    );
    assert_eq!((a, b, c, d), (200, 200, 200, 200));
    machine.drained().await;
    assert_eq!(machine.send(&event).await, 200);
    machine.drained().await;
    assert_eq!(machine.scene.nac.whitelist(), [device(1), device(2)]);
    assert_eq!(machine.scene.nac.calls(), 2);
}

#[tokio::test]
async fn g02_every_authentic_event_is_answered_200() {
    let machine = Machine::open().await;
    let app = &machine.scene.app;
    let now = SystemClock.now().as_millis();
    for status in
        ["PENDING", "REJECTED", "CANCELED", "DELETED", "REVERTED", "OVERTIME_CLOSE", "NEW"]
    {
        assert_eq!(machine.send(&machine.scene.event("e", "I", status)).await, 200, "{status}");
    }
    for kind in ["approval_task", "approval_cc", "leave_approval", "something_new"] {
        let event = json!({"uuid": "u", "token": app.verification_token, "type": "event_callback",
            "event": {"app_id": app.app_id, "tenant_key": "t", "type": kind}});
        assert_eq!(machine.send(&app.signed(&event, now)).await, 200, "{kind}");
    }
    let other_approval = app.approval_instance("e", "OTHER", "I", "APPROVED", now);
    assert_eq!(machine.send(&other_approval).await, 200);
    let odd = json!({"uuid": "u", "token": app.verification_token, "type": "event_callback",
        "event": {"app_id": app.app_id, "tenant_key": "t", "type": "approval_instance", "status": 7}});
    assert_eq!(machine.send(&app.signed(&odd, now)).await, 200);
    machine.drained().await;
    assert_eq!(failures(&machine.server).await, []);
    // What no flow wants is counted by definition and decision.
    let unwanted = machine.server.database().unwanted(9).await.unwrap();
    let mut unwanted: Vec<_> =
        unwanted.into_iter().map(|it| (it.definition_id, it.decision, it.count)).collect();
    unwanted.sort();
    assert_eq!(unwanted, [("OTHER".to_owned(), "approved".to_owned(), 1)]);
    assert_eq!(machine.scene.feishu.reads(), 1, "only what a flow wants is read: a withdrawal");
    println!("13 authentic events of no interest, all answered 200");
}

/// An event that is sent again, or a message that someone put into the queue, does not renew the
/// access of an old approval; an operator can.
#[tokio::test]
async fn an_approval_that_ended_long_ago_is_refused_unless_an_operator_replays_it() {
    let machine = Machine::open().await;
    let scene = &machine.scene;
    let now = SystemClock.now();
    for (instance, days) in [("I-1", 29), ("I-2", 31)] {
        scene.approve(instance, &[&device(days)]);
        let ended_at = now.minus(Duration::from_hours(24 * u64::from(days))).as_millis();
        scene.feishu.end_at(instance, ended_at);
        let event = scene.event(&format!("e-{instance}"), instance, "APPROVED");
        assert_eq!(machine.send(&event).await, 200);
    }
    machine.drained().await;
    assert_eq!(scene.nac.whitelist(), [device(29)]);
    let letters = failures(&machine.server).await;
    let [(class, reason)] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(class, "too_old");
    assert!(reason.starts_with("the approval ended 31 days ago"), "{reason}");

    let database = machine.server.database();
    let replay = Replay {
        source: None,
        instance_id: "I-2".into(),
        decision: Decision::Approved,
        definition_id: None,
        force: false,
    };
    let sources = ReplaySources::default();
    replay::replay(database, database, &operator(database), &replay, &sources, now).await.unwrap();
    // The command writes into the database of another process, which looks for it by itself.
    scene.nac.wait_for_whitelist(&[device(29), device(31)]).await;
}

/// The instance id identifies a request: event id and tenant are optional, and events with and
/// without them are one request.
#[tokio::test]
async fn g02_05_an_approval_without_event_id_or_tenant_is_enqueued_once() {
    let machine = Machine::open().await;
    machine.scene.approve("I-1", &[&device(1)]);
    let app = &machine.scene.app;
    let now = SystemClock.now().as_millis();
    let event = |uuid: Value, tenant: Value, time: Value| {
        app.signed(
            &json!({"uuid": uuid, "token": app.verification_token, "type": "event_callback",
            "event": {"app_id": app.app_id, "tenant_key": tenant, "type": "approval_instance",
                "approval_code": APPROVAL_CODE, "instance_code": "I-1", "status": "APPROVED",
                "operate_time": time}}),
            now,
        )
    };
    for odd in [
        event(json!(""), json!(""), json!("")),
        event(Value::Null, Value::Null, json!({"a": [1]})),
        event(json!("e-1"), json!("t"), json!(1.5)),
        machine.scene.event("e-2", "I-1", "APPROVED"),
    ] {
        assert_eq!(machine.send(&odd).await, 200);
    }
    machine.drained().await;
    assert_eq!(machine.scene.nac.whitelist(), [device(1)]);
    assert_eq!(machine.scene.nac.calls(), 1);
}

#[tokio::test]
async fn an_address_with_a_slash_at_its_end_is_the_same_one() {
    let machine = Machine::open().await;
    let url = format!("http://{}/api/event/", machine.server.address());
    let answer =
        machine.scene.send_to(&url, None, &machine.scene.app.url_check("with-a-slash")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"challenge":"with-a-slash"}"#));
}

#[tokio::test]
async fn g15_bad_input_gets_4xx_and_enqueues_nothing() {
    let machine = Machine::open().await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let large = format!("{{\"encrypt\":\"{}\"}}", "A".repeat(1_000_000));
    for (body, status) in [
        ("", 400),
        ("hello", 400),
        ("{\"encrypt\":", 400),
        ("{\"encrypt\":\"no base64!\"}", 400),
        ("{\"encrypt\":\"AAAA\"}", 401),
        (&deep, 400),
        (&large, 413),
        ("{\"type\":\"event_callback\"}", 401),
        ("{\"type\":\"url_verification\",\"challenge\":\"x\",\"token\":\"guess\"}", 401),
    ] {
        let shown: String = body.chars().take(40).collect();
        assert_eq!(machine.send_body(body).await, status, "{shown}");
    }
    let stale = SystemClock.now().as_millis() - 9 * 3_600_000;
    let app = &machine.scene.app;
    let stale = app.approval_instance("e", APPROVAL_CODE, "I", "APPROVED", stale);
    assert_eq!(machine.send(&stale).await, 401);
    assert_eq!(machine.send(&forged(machine.scene.event("e", "I", "APPROVED"))).await, 401);
    assert_eq!(machine.server.database().next_visible().await.unwrap(), None);
    println!("11 bad deliveries of up to 1 MB, all answered 4xx");
}

#[tokio::test]
async fn g12_nothing_is_done_unless_the_source_says_approved_now() {
    let machine = Machine::open().await;
    machine.scene.approve("I-reverted", &[&device(1)]);
    machine.scene.feishu.revert("I-reverted");
    assert_eq!(machine.send(&machine.scene.event("e-1", "I-reverted", "APPROVED")).await, 200);
    machine.drained().await;
    let form = greenlight_testkit::stub::form_of(&device(2), &[]);
    machine.scene.feishu.put_instance("I-other", "ANOTHER-APPROVAL", "APPROVED", &form);
    assert_eq!(machine.send(&machine.scene.event("e-2", "I-other", "APPROVED")).await, 200);
    machine.drained().await;
    assert_eq!(machine.scene.nac.calls(), 0);
    println!("2 events that the source does not confirm, 0 calls");
    let classes: Vec<_> =
        failures(&machine.server).await.into_iter().map(|(class, _)| class).collect();
    assert_eq!(classes, ["not_approved"]);
    let withdrawn = RequestKey::of("feishu", APPROVAL_CODE, "I-reverted", Decision::Approved);
    let withdrawn = machine.server.database().read_request(&withdrawn).await.unwrap().unwrap();
    assert_eq!(withdrawn.last_failure.unwrap().class, "withdrawn", "it is no dead letter");
}

#[tokio::test]
async fn g10_11_what_cannot_succeed_is_dead_lettered_and_a_redrive_does_the_rest() {
    let machine = Machine::open().await;
    machine.scene.approve("I-1", &[&device(1), "00:00:5e:00:53:0O"]);
    assert_eq!(machine.send(&machine.scene.event("e-1", "I-1", "APPROVED")).await, 200);
    machine.drained().await;
    assert_eq!(machine.scene.nac.whitelist(), [device(1)]);
    let letters = machine.server.database().dead_letters().await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].class(), "invalid_form");

    // The applicant corrects the form, the operator redrives the dead letter.
    machine.scene.approve("I-1", &[&device(1), &device(2)]);
    let beside = Database::open_beside(&machine.folder.path().join("data")).await.unwrap();
    let held = beside.hold(SystemClock.now()).await.unwrap().held;
    assert!(beside.redrive(&held[0]).await.unwrap());
    assert!(!beside.redrive(&held[0]).await.unwrap(), "it exists once");
    machine.drained().await;
    assert_eq!(machine.scene.nac.whitelist(), [device(1), device(2)]);
    assert_eq!(machine.scene.nac.calls(), 2, "no second call for the first device");
    assert_eq!(failures(&machine.server).await.len(), 0);
    println!("2 devices, 2 calls, 1 dead letter and its redrive between them");
}

/// Guarantee 8: a bad form and a NAC that does not answer for one device do not affect the other
/// approvals.
#[tokio::test]
async fn g08_one_bad_request_costs_the_others_nothing_on_one_machine() {
    let machine = Machine::open().await;
    machine.scene.nac.set_silent_about(&device(9), true);
    machine.scene.approve("I-0", &["00:00:5e:00:53:0O"]);
    for n in 1..10 {
        machine.scene.approve(&format!("I-{n}"), &[&device(n)]);
    }
    for n in (0..10).rev() {
        let event = machine.scene.event(&format!("e-{n}"), &format!("I-{n}"), "APPROVED");
        assert_eq!(machine.send(&event).await, 200);
    }
    machine.scene.nac.wait_for_whitelist(&(1..10).map(device).collect::<Vec<_>>()).await;
    // All requests except the hanging one have ended; it is retried.
    machine.scene.nac.set_silent_about(&device(9), false);
    machine.drained().await;
    let calls = machine.scene.nac.calls_per_device();
    assert!((1..9).all(|n| calls[&device(n)] == 1), "{calls:?}");
    assert_eq!(calls[&device(9)], 2, "the retry finds that the device exists");
    let letters = failures(&machine.server).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].0, "invalid_form");
    println!("10 requests, 1 hangs and 1 is bad: 8 done with one call each");
}

#[tokio::test]
async fn a_target_that_refuses_is_no_target_that_is_away() {
    let machine = Machine::open().await;
    machine.scene.nac.fail_next([StatusCode::UNPROCESSABLE_ENTITY]);
    machine.scene.approve("I-1", &[&device(1), &device(2)]);
    machine.send(&machine.scene.event("e-1", "I-1", "APPROVED")).await;
    machine.drained().await;
    assert_eq!(machine.scene.nac.whitelist(), [device(2)]);
    let letters = failures(&machine.server).await;
    assert_eq!(letters.len(), 1);
    let (class, reason) = &letters[0];
    assert_eq!(class, "target_rejected");
    assert!(reason.contains("HTTP 422") && reason.contains("00:00:5e:**:**:01"), "{reason}");
}

#[tokio::test]
async fn a_token_that_expired_is_replaced() {
    let machine = Machine::open().await;
    for (n, instance) in [(1, "I-1"), (2, "I-2")] {
        machine.scene.approve(instance, &[&device(n)]);
        machine.send(&machine.scene.event(&format!("e-{n}"), instance, "APPROVED")).await;
        machine.drained().await;
        machine.scene.feishu.expire_tokens();
    }
    assert_eq!(machine.scene.nac.whitelist(), [device(1), device(2)]);
    assert_eq!(failures(&machine.server).await.len(), 0);
}

#[tokio::test]
async fn a_second_serve_on_the_same_folder_is_refused() {
    let machine = Machine::open().await;
    let second = start(&machine.scene, machine.folder.path(), "data").await;
    assert!(
        matches!(second, Err(ServeError::Database(error)) if error.to_string().contains("in use"))
    );
}

#[tokio::test]
async fn a_start_that_cannot_be_names_what_is_missing() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let options = |secrets: &str| Options {
        listen: ([127, 0, 0, 1], 0).into(),
        data: folder.path().join("data"),
        secrets: folder.path().join(secrets),
        flows: Some(scene.flows_file(folder.path())),
        connectors: None,
        tick_every: TICK_EVERY,
    };
    let complete = |name: &str| match name {
        "NAC_URL" => Some("https://nac".to_owned()),
        _ => Some("A".to_owned()),
    };
    let said = |result: Result<Server, ServeError>| result.map(|_| ()).unwrap_err().to_string();
    let missing = said(Server::start_with(options("none.json"), &complete).await);
    assert!(missing.contains("none.json"), "{missing}");
    let path = secrets(&scene, folder.path());
    let unset = said(Server::start_with(options("secrets.json"), &|_| None).await);
    assert!(unset.contains("NAC_URL"), "{unset}");
    let mut document = secret_document(&scene.app, "");
    std::fs::write(&path, document.to_string()).unwrap();
    let empty = said(Server::start_with(options("secrets.json"), &complete).await);
    assert!(empty.contains("`targets.nac.token`"), "{empty}");
    document["sources"]["feishu"]["encrypt_key"] = "".into();
    std::fs::write(&path, document.to_string()).unwrap();
    let empty = said(Server::start_with(options("secrets.json"), &complete).await);
    assert!(empty.contains("`sources.feishu.encrypt_key`"), "{empty}");
}

/// Guarantees 1 and 6: an event that was answered 200 survives SIGKILL, and takes effect once.
#[tokio::test(flavor = "multi_thread")]
async fn g01_06_what_was_answered_200_survives_sigkill() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for n in 0..20 {
        let process = Serving::start(&scene, folder.path()).await;
        let instance = format!("I-{n}");
        scene.approve(&instance, &[&device(2 * n), &device(2 * n + 1)]);
        expected.extend([device(2 * n), device(2 * n + 1)]);
        let event = scene.event(&format!("e-{n}"), &instance, "APPROVED");
        assert_eq!(scene.send_to(process.url(), None, &event).await.status, 200);
        // Each kill is at another point of the attempt: before, between and after the two calls.
        let calls = scene.nac.calls() + usize::try_from(n % 3).unwrap();
        let reached = scene.nac.wait_for_calls(calls);
        let _ = tokio::time::timeout(Duration::from_millis(50), reached).await;
        process.kill().await;
    }
    let server = start(&scene, folder.path(), "data").await.unwrap();
    // Sooner than a lease or visibility timeout expires: those of a dead process are released.
    let drained = tokio::time::timeout(Duration::from_secs(45), server.drained()).await;
    drained.expect("everything is finished").unwrap();
    assert_eq!(scene.nac.whitelist(), expected, "nothing is lost");
    let calls = scene.nac.calls();
    println!("20 kills: {} devices, {calls} calls", expected.len());

    // Recorded effects are not repeated, however often the event arrives.
    let url = format!("http://{}/api/event", server.address());
    for n in 0..20 {
        let event = scene.event(&format!("e-{n}"), &format!("I-{n}"), "APPROVED");
        assert_eq!(scene.send_to(&url, None, &event).await.status, 200);
    }
    server.drained().await.unwrap();
    assert_eq!(scene.nac.calls(), calls);
    assert!(server.database().dead_letters().await.unwrap().is_empty());
    server.stop().await;
}

/// Guarantee 13: the log never has a secret, form content or a full MAC address.
#[tokio::test(flavor = "multi_thread")]
async fn g13_logs_hold_no_secret_and_no_form_content() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let process = Serving::start(&scene, folder.path()).await;
    scene.approve("I-1", &[&device(1), "hunter2-typed-here", "00:00:5e:00:53:0O"]);
    scene.nac.fail_next([StatusCode::UNPROCESSABLE_ENTITY, StatusCode::SERVICE_UNAVAILABLE]);
    let event = scene.event("e-1", "I-1", "APPROVED");
    for sent in [
        scene.app.url_check("challenge-text"),
        forged(event.clone()),
        event,
        Sent::post(vec![], "hunter2-sent-here".to_owned()),
    ] {
        scene.send_to(process.url(), None, &sent).await;
    }
    // A fault, the quick retry and a rejection, all before the next approval.
    scene.nac.wait_for_calls(2).await;
    scene.approve("I-2", &[&device(2)]);
    scene.send_to(process.url(), None, &scene.event("e-2", "I-2", "APPROVED")).await;
    scene.nac.wait_for_whitelist(&[device(2)]).await;
    let log = process.stop().await;
    assert!(log.contains("effect done") && log.contains("dead-letter queue"), "{log}");
    assert!(
        log.contains("I-1") && log.contains("e-2"),
        "the log has the instance and the event: {log}"
    );
    let app = &scene.app;
    for secret in [
        &app.app_secret,
        &app.encrypt_key,
        &app.verification_token,
        NAC_TOKEN,
        "hunter2",
        &device(1),
        &device(2),
        "challenge-text",
        "t-stub",
    ] {
        assert!(!log.contains(secret), "{secret:?} is in the log: {log}");
    }
    println!("9 secret values searched in {} lines of log, none found", log.lines().count());
}

/// Guarantee 1: if the request cannot be enqueued the answer is 503, so that Feishu sends the event
/// again.
#[tokio::test]
async fn g01_what_is_not_enqueued_is_not_answered_200() {
    let machine = Machine::open().await;
    machine.server.database().close().await;
    assert_eq!(machine.send(&machine.scene.event("e-1", "I-1", "APPROVED")).await, 503);
    // Requests that need no queue are answered.
    assert_eq!(machine.send(&machine.scene.event("e-2", "I-1", "PENDING")).await, 200);
    assert_eq!(machine.send(&machine.scene.app.url_check("x")).await, 200);
}

/// A hanging attempt does not delay the stop; the request is done after the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_target_that_hangs_and_loses_nothing() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(&scene, folder.path()).await;
    scene.nac.set_silent_about(&device(1), true);
    scene.approve("I-1", &[&device(1)]);
    let event = scene.event("e-1", "I-1", "APPROVED");
    assert_eq!(scene.send_to(serving.url(), None, &event).await.status, 200);
    scene.nac.wait_for_calls(1).await;
    serving.stop().await;
    scene.nac.set_silent_about(&device(1), false);
    let serving = Serving::start(&scene, folder.path()).await;
    scene.nac.wait_for_calls(2).await;
    assert_eq!(scene.nac.whitelist(), [device(1)]);
    let log = serving.stop().await;
    assert!(log.contains("request done"), "{log}");
}

/// Files with people and devices are accessible to their owner only; others are rejected with the
/// command that corrects them.
#[tokio::test]
async fn a_data_folder_that_others_may_read_is_refused_with_the_command_that_corrects_it() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    for mode in [0o755, 0o750, 0o701] {
        std::fs::set_permissions(&data, PermissionsExt::from_mode(mode)).unwrap();
        let error = start(&scene, folder.path(), "data").await.unwrap_err().to_string();
        let command = error.split('`').nth(1).expect("the error has a command");
        assert_eq!(command, format!("chmod 700 {}", data.display()));
        let status = std::process::Command::new("sh").args(["-c", command]).status().unwrap();
        assert!(status.success());
        start(&scene, folder.path(), "data").await.unwrap().stop().await;
    }
    std::fs::remove_dir_all(&data).unwrap();
    let serving = Serving::start(&scene, folder.path()).await;
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}: {mode:o}", path.display());
    }
    serving.stop().await;
}

#[tokio::test]
async fn feishu_is_not_spoken_to_in_clear_text() {
    let (scene, folder) = (Scene::set().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("flows.toml");
    let flows = include_str!("../../../infra/flows.toml");
    std::fs::write(&file, at_feishu(flows, "http://feishu.example.com")).unwrap();
    let options = Options {
        listen: ([127, 0, 0, 1], 0).into(),
        data: folder.path().join("data"),
        secrets: secrets(&scene, folder.path()),
        flows: Some(file),
        connectors: None,
        tick_every: TICK_EVERY,
    };
    let anything = |_: &str| Some("nac".to_owned());
    let error = Server::start_with(options, &anything).await.unwrap_err();
    let ServeError::Start(StartError::Sources(errors)) = error else { panic!("{error}") };
    let problem = SettingsProblem::ClearText { key: "base_url" };
    let expected = SourceError::Settings { source_name: "feishu".into(), problem };
    assert_eq!(errors.iter().collect::<Vec<_>>(), [&expected]);
}
