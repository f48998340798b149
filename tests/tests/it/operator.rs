//! The operator's command on one machine: reasons of dead letters, redrive, audit, replay, secrets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use greenlight::backend::{Address, Backend};
use greenlight::secrets::Secrets;
use greenlight::send_test::{SendError, Test, TestAnswer, send_test};
use greenlight_admin::audit::{find_grants, find_requests};
use greenlight_admin::dead_letters::{
    self, DeadLetterError, Pace, RedriveResult, Redriven, Which, redrive,
};
use greenlight_admin::replay::{Replay, ReplayError, ReplaySources};
use greenlight_admin::status::SystemStatus;
use greenlight_core::audit::{Grant, RequestHistory, RequestStatus};
use greenlight_core::breaker::Breaker;
use greenlight_core::explain::Explanation;
use greenlight_core::flow::SourceConfigs;
use greenlight_core::grant::HoldState;
use greenlight_core::ledger::EffectKey;
use greenlight_core::operator::QueueStatus;
use greenlight_core::ports::{Clock, DeadLetter, Http, SendDeadLetter};
use greenlight_core::{Class, Decision, Reason, Request};
use greenlight_render::dlq;
use greenlight_render::format::OutputFormat;
use greenlight_render::language::Language;
use greenlight_render::reasons::next_step;
use greenlight_sources::registry::Registry;
use greenlight_stores::private::write_private;
use greenlight_stores::sqlite::Database;
use greenlight_stores::{SecretFile, SystemClock};
use greenlight_testkit::request::request;
use greenlight_tests::scene::{APPROVAL_CODE, Scene, device};
use greenlight_tests::serving::{Serving, secrets};
use serde_json::Value;

const TEXT: OutputFormat = OutputFormat::Text(Language::English);

/// Puts a dead letter for `instance` into the dead-letter queue of `database`.
async fn send_dead_letter(database: &Database, instance: &str, class: Class) {
    let now = SystemClock.now();
    let request = Request { received_at: now, ..request(instance) };
    let (body, reason) =
        (request.to_json(), Reason::new(class, Explanation::quoted("because of the test")));
    let reason = Reason { target: Some("nac".into()), ..reason };
    let first_received = now.minus(Duration::from_hours(24));
    let letter = DeadLetter {
        body: &body,
        reason: &reason,
        receive_count: 7,
        first_received,
        failed_at: now,
    };
    database.send_dead_letter(&letter).await.unwrap();
}

async fn ids(backend: &Backend) -> Vec<String> {
    let seen = dead_letters::look(&*backend.stores.dead_letters, &SystemClock).await.unwrap();
    seen.letters.into_iter().map(|letter| letter.id).collect()
}

fn data(folder: &tempfile::TempDir) -> std::path::PathBuf {
    folder.path().join("data")
}

async fn open() -> (tempfile::TempDir, Database, Backend) {
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder);
    let database = Database::open(&data).await.unwrap();
    let backend = Backend::open(&Address::Folder(data)).await.unwrap();
    (folder, database, backend)
}

const AT_ONCE: Pace = Pace { is_dry: false, per_second: u32::MAX };

#[tokio::test]
async fn every_class_of_reason_has_a_next_step() {
    let (_folder, database, backend) = open().await;
    for class in Class::ALL {
        send_dead_letter(&database, class.as_str(), class).await;
    }
    let queue = &*backend.stores.dead_letters;
    let seen = dead_letters::look(queue, &SystemClock).await.unwrap();
    let listed = dlq::render_list(&seen, TEXT);
    let show = async |id: &str, format| {
        let letter = dead_letters::find(queue, id, &SystemClock).await;
        letter.map(|letter| dlq::render(&letter, format))
    };
    for (class, id) in Class::ALL.map(Class::as_str).into_iter().zip(1..) {
        assert!(listed.contains(&format!("  {class:<29}  7      {class}\n")), "{listed}");
        let shown = show(&format!("{id}"), TEXT).await.unwrap();
        assert!(
            shown.contains(&format!("next step        {}", next_step(class, Language::English))),
            "{shown}"
        );
    }
    let login = Class::ALL.iter().position(|class| *class == Class::TargetAuthFailed).unwrap() + 1;
    let shown = show(&login.to_string(), TEXT).await.unwrap();
    for expected in [
        "class            target_auth_failed\n",
        "reason           because of the test\n",
        "next step        correct the target's part of the secret, then redrive",
        "target           nac\n",
        "instance         target_auth_failed\n",
        "tries            7\n",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let form = Class::ALL.iter().position(|class| *class == Class::InvalidForm).unwrap() + 1;
    let shown = show(&form.to_string(), OutputFormat::Json).await.unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert!(shown["next_step"].as_str().unwrap().starts_with("tell the applicant"));
    let (first, last) = (shown["first_tried_at"].as_str(), shown["given_up_at"].as_str());
    assert!(first.unwrap() < last.unwrap(), "{shown}");
    let absent = show("99", TEXT).await.unwrap_err();
    assert!(matches!(absent, DeadLetterError::NotFound(id) if id == "99"));
}

#[tokio::test]
async fn redrive_by_class_moves_those_and_a_dry_run_none() {
    let (_folder, database, backend) = open().await;
    for (instance, class) in [
        ("1", Class::InvalidForm),
        ("2", Class::TargetUnavailable),
        ("3", Class::TargetUnavailable),
    ] {
        send_dead_letter(&database, instance, class).await;
    }
    let which = Which::OfClass("target_unavailable".into());
    let mut redriven = Vec::new();
    let dry = Pace { is_dry: true, ..AT_ONCE };
    let queue = &*backend.stores.dead_letters;
    redrive(queue, &backend.operator().await.unwrap(), &which, dry, &SystemClock, |one| {
        redriven.push(one);
    })
    .await
    .unwrap();
    let would_go_back = |id: &str, number| Redriven {
        id: id.to_owned(),
        result: RedriveResult::WouldGoBack,
        number,
        of: 2,
    };
    assert_eq!(redriven, [would_go_back("2", 1), would_go_back("3", 2)]);
    assert_eq!(ids(&backend).await, ["1", "2", "3"]);
    redrive(queue, &backend.operator().await.unwrap(), &which, AT_ONCE, &SystemClock, |_| {})
        .await
        .unwrap();
    assert_eq!(ids(&backend).await, ["1"]);
    let now = SystemClock.now();
    assert_eq!(database.receive(9, now, now).await.unwrap().len(), 2);
    let none =
        redrive(queue, &backend.operator().await.unwrap(), &which, AT_ONCE, &SystemClock, |_| {})
            .await
            .unwrap_err();
    assert!(
        matches!(&none, DeadLetterError::NoneOfClass { known, .. } if known == &["invalid_form"]),
        "{none}"
    );
    // An unknown id leaves the others unchanged.
    let which = Which::Ids(vec!["1".into(), "9".into()]);
    let absent =
        redrive(queue, &backend.operator().await.unwrap(), &which, AT_ONCE, &SystemClock, |_| {})
            .await
            .unwrap_err();
    assert!(matches!(absent, DeadLetterError::NotFound(id) if id == "9"));
    assert_eq!(ids(&backend).await, ["1"]);
}

#[tokio::test]
async fn a_discarded_letter_is_gone_once() {
    let (_folder, database, backend) = open().await;
    send_dead_letter(&database, "1", Class::NotApproved).await;
    let queue = &*backend.stores.dead_letters;
    dead_letters::discard(
        queue,
        &backend.operator().await.unwrap(),
        "1",
        "was taken back",
        &SystemClock,
    )
    .await
    .unwrap();
    assert!(ids(&backend).await.is_empty());
    let again = dead_letters::discard(
        queue,
        &backend.operator().await.unwrap(),
        "1",
        "again",
        &SystemClock,
    )
    .await
    .unwrap_err();
    assert!(matches!(again, DeadLetterError::NotFound(_)));
    let which = Which::Ids(vec!["1".into()]);
    let back =
        redrive(queue, &backend.operator().await.unwrap(), &which, AT_ONCE, &SystemClock, |_| {})
            .await
            .unwrap_err();
    assert!(matches!(back, DeadLetterError::NotFound(_)), "the message is in no queue");
}

/// One approval is done, one has a bad form, one waits for a NAC that is down: the audit finds each
/// by event, instance or device, and has its reason.
#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_found_by_event_instance_device_and_person_and_put_right() {
    let (scene, folder) = (Scene::set().await, tempfile::tempdir().unwrap());
    let serving = Serving::start(&scene, folder.path()).await;
    let backend = Backend::open(&Address::Folder(folder.path().join("data"))).await.unwrap();
    scene.approve("I-1", &[&device(1), &device(2)]);
    scene.approve("I-2", &[&device(3), "00:00:5e:00:53:O4"]);
    for (event, instance) in [("e-1", "I-1"), ("e-2", "I-2")] {
        let sent = scene.event(event, instance, "APPROVED");
        assert_eq!(scene.send_to(serving.url(), None, &sent).await.status, 200);
        // One after the other, so that they are listed in this order.
        completed(async || !find(&backend, instance).await.is_empty()).await;
    }
    let status_of = async |instance| {
        let histories = find(&backend, instance).await;
        histories.first().map(|history| history.status(SystemClock.now()))
    };
    completed(async || {
        status_of("I-1").await == Some(RequestStatus::Succeeded)
            && status_of("I-2").await == Some(RequestStatus::Failed)
    })
    .await;

    for wanted in ["e-1", "I-1", &device(1), "0000.5e00.5302"] {
        let histories = find(&backend, wanted).await;
        assert_eq!(histories.len(), 1, "{wanted}: {histories:?}");
        assert_eq!(histories[0].instance_id(), "I-1", "{wanted}");
        assert_eq!(histories[0].effects.len(), 2);
    }
    let person = find(&backend, "ou_stub").await;
    let instances: Vec<_> = person.iter().map(RequestHistory::instance_id).collect();
    assert_eq!(instances, ["I-1", "I-2"]);
    let history = find(&backend, &device(3)).await.remove(0);
    let ledger_says = (history.key.as_str(), history.event_id.as_str(), history.flow.as_deref());
    let key = format!("feishu#{APPROVAL_CODE}#I-2#approved");
    assert_eq!(ledger_says, (key.as_str(), "e-2", Some("device-whitelist")));
    assert_eq!(history.applicant.as_deref(), Some("ou_stub"));
    assert_eq!(history.form_number.as_deref(), Some("202611240001"));
    let effects: Vec<_> = history.effects.keys().map(EffectKey::as_str).collect();
    assert_eq!(effects, ["nac/add/mac:00:00:5e:00:53:03"]);
    let last_failure = history.last_failure.as_ref().unwrap();
    assert_eq!(last_failure.class, "invalid_form");
    assert!(last_failure.cause.text.contains("letter O at position 16"), "{last_failure:?}");
    assert_eq!(find(&backend, "I-9").await, []);

    // Grants: which person has which device, and why.
    let granted = grants(&backend, None).await;
    let devices: BTreeSet<_> =
        granted.iter().map(|grant| grant.kind_and_value().1.to_owned()).collect();
    assert_eq!(devices, [1, 2, 3].map(device).into());
    let of_one = grants(&backend, Some("00-00-5e-00-53-03")).await;
    assert_eq!(of_one.len(), 1);
    let approvals: Vec<_> = of_one[0].holders().iter().map(|(id, _)| id.instance_id()).collect();
    assert_eq!(approvals, ["I-2"]);
    assert_eq!(grants(&backend, Some("ou_stub")).await.len(), 3);

    // The applicant corrects the form: recorded effects are not repeated.
    let calls = scene.nac.calls();
    scene.approve("I-2", &[&device(3), &device(4)]);
    let again = |force| Replay {
        source: None,
        instance_id: "I-2".into(),
        decision: Decision::Approved,
        definition_id: None,
        force,
    };
    replay(&backend, &again(false)).await.unwrap();
    let is_done = async || status_of("I-2").await == Some(RequestStatus::Succeeded);
    completed(is_done).await;
    assert_eq!(scene.nac.calls(), calls + 1, "only device 4");
    let done = replay(&backend, &again(false)).await.unwrap_err();
    assert!(matches!(done, ReplayError::Completed(_)), "{done}");
    // The NAC lost its data: `--force` repeats all effects.
    replay(&backend, &again(true)).await.unwrap();
    scene.nac.wait_for_calls(calls + 3).await;
    completed(is_done).await;
    let unknown = replay(&backend, &Replay { instance_id: "I-7".into(), ..again(false) }).await;
    assert!(matches!(unknown, Err(ReplayError::Unknown(_))), "{unknown:?}");
    serving.stop().await;
}

/// A NAC that is down is the usual reason why a laptop has no access: the waiting request has it
/// as its last failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_says_what_it_waits_for() {
    let (scene, folder) = (Scene::set().await, tempfile::tempdir().unwrap());
    let serving = Serving::start(&scene, folder.path()).await;
    let backend = Backend::open(&Address::Folder(folder.path().join("data"))).await.unwrap();
    scene.nac.set_down(true);
    scene.approve("I-1", &[&device(1)]);
    let sent = scene.event("e-1", "I-1", "APPROVED");
    assert_eq!(scene.send_to(serving.url(), None, &sent).await.status, 200);
    // It is filed before the attempt is completed with its failure.
    completed(async || {
        find(&backend, &device(1)).await.iter().any(|history| history.last_failure.is_some())
    })
    .await;
    let history = find(&backend, &device(1)).await.remove(0);
    let last_failure = history.last_failure.as_ref().unwrap();
    assert_eq!(last_failure.class, "target_timeout");
    assert!(last_failure.cause.text.contains("HTTP 503"), "{last_failure:?}");
    assert_eq!(history.status(SystemClock.now()), RequestStatus::Retrying);
    // The target may have done what it did not confirm.
    let pending = grants(&backend, None).await;
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].holders()[0].1.state, HoldState::Pending);
    serving.stop().await;
}

/// An event from `send-test` is processed like one from Feishu, up to the whitelist.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_goes_the_whole_way() {
    let (scene, folder) = (Scene::set().await, tempfile::tempdir().unwrap());
    let serving = Serving::start(&scene, folder.path()).await;
    let file = secrets(&scene, folder.path());
    let secrets = Secrets::File(SecretFile::new(&file));
    let flows = SourceConfigs::parse(&scene.flows(), &|_| None).unwrap();
    let registry = Registry::new(&flows).unwrap();
    let answer =
        send_test(serving.url(), &registry, None, &secrets, &Test::UrlCheck).await.unwrap();
    assert_eq!(answer, TestAnswer::Challenge);
    scene.approve("I-1", &[&device(1)]);
    let approved =
        Test::Approved { definition_id: APPROVAL_CODE.into(), instance_id: "I-1".into() };
    let answer = send_test(serving.url(), &registry, None, &secrets, &approved).await.unwrap();
    assert!(matches!(answer, TestAnswer::Event { .. }), "{answer:?}");
    scene.nac.wait_for_whitelist(&[device(1)]).await;
    // Feishu's own event for the instance is the same request.
    let own = scene.event("e-1", "I-1", "APPROVED");
    assert_eq!(scene.send_to(serving.url(), None, &own).await.status, 200);
    let backend = Backend::open(&Address::Folder(folder.path().join("data"))).await.unwrap();
    completed(async || {
        let QueueStatus { waiting, in_flight, .. } = status(&backend).await.queue;
        (waiting, in_flight) == (0, 0)
    })
    .await;
    assert_eq!(scene.nac.calls(), 1);

    let mut other: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    other["sources"]["feishu"]["encrypt_key"] = "another".into();
    let wrong = folder.path().join("wrong.json");
    write_private(&wrong, &other.to_string()).unwrap();
    let wrong = Secrets::File(SecretFile::new(wrong));
    let error = send_test(serving.url(), &registry, None, &wrong, &approved).await.unwrap_err();
    assert!(matches!(error, SendError::Answer { status: 401, .. }), "{error}");
    serving.stop().await;
    let elsewhere = format!("{}/api/event", scene.nac.url());
    let unknown =
        send_test(&elsewhere, &registry, None, &secrets, &Test::UrlCheck).await.unwrap_err();
    assert!(matches!(unknown, SendError::Answer { status: 404, .. }), "{unknown}");
}

async fn get(scene: &Scene, serving: &Serving, path: &str) -> (u16, String) {
    let url = serving.url().replace("/api/event", path);
    let request = http::Request::get(url).body(bytes::Bytes::new()).unwrap();
    let response = scene.client.send(request).await.unwrap();
    let body = String::from_utf8(response.body().to_vec()).unwrap();
    (response.status().as_u16(), body)
}

/// The status and the metrics have the same figures.
#[tokio::test(flavor = "multi_thread")]
async fn status_and_metrics_agree() {
    let (scene, folder) = (Scene::set().await, tempfile::tempdir().unwrap());
    let serving = Serving::start(&scene, folder.path()).await;
    let data = folder.path().join("data");
    assert_eq!(get(&scene, &serving, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(&scene, &serving, "/readyz").await, (200, "ready\n".to_owned()));
    let backend = Backend::open(&Address::Folder(data.clone())).await.unwrap();
    assert_eq!(status(&backend).await.queue.dead_letters, 0);

    // A NAC that is down opens the breaker, and three requests wait for it.
    scene.nac.set_down(true);
    for number in 1..=3 {
        let instance = format!("I-{number}");
        scene.approve(&instance, &[&device(number)]);
        let event = scene.event(&format!("e-{number}"), &instance, "APPROVED");
        assert_eq!(scene.send_to(serving.url(), None, &event).await.status, 200);
    }
    scene.nac.wait_for_calls(3).await;
    send_dead_letter(&Database::open_beside(&data).await.unwrap(), "I-9", Class::TargetAuthFailed)
        .await;
    completed(async || {
        let status = status(&backend).await;
        let nac = status.breakers.get("nac").map(Breaker::as_str);
        nac == Some("open") && status.queue.waiting == 3
    })
    .await;
    let by_class = status(&backend).await.queue.dead_letters_by_class;
    assert_eq!(by_class, BTreeMap::from([("target_auth_failed".to_owned(), 1)]));
    let (code, metrics) = get(&scene, &serving, "/metrics").await;
    assert_eq!(code, 200);
    assert_eq!(status(&backend).await.queue.is_served, Some(true));
    for expected in [
        "greenlight_queue_waiting 3\n",
        "greenlight_webhooks_received_total{outcome=\"enqueued\"} 3\n",
        "greenlight_requests_retried_total{flow=\"device-whitelist\",class=\"target_timeout\"}",
        "greenlight_circuit_breaker_transitions_total{target=\"nac\",to=\"open\"} 1\n",
        "greenlight_dead_letters{class=\"target_auth_failed\"} 1\n",
        "greenlight_breaker_open{target=\"nac\"} 1\n",
    ] {
        assert!(metrics.contains(expected), "{expected}: {metrics}");
    }
    serving.stop().await;
    assert_eq!(status(&backend).await.queue.is_served, Some(false));
}

async fn status(backend: &Backend) -> SystemStatus {
    backend.stores.status(SystemClock.now()).await.unwrap()
}

async fn find(backend: &Backend, wanted: &str) -> Vec<RequestHistory> {
    find_requests(&*backend.stores.audit, wanted).await.unwrap()
}

async fn grants(backend: &Backend, of: Option<&str>) -> Vec<Grant> {
    find_grants(&*backend.stores.grants, of, 9).await.unwrap()
}

async fn replay(backend: &Backend, asked: &Replay) -> Result<Request, ReplayError> {
    let now = SystemClock.now();
    let sources = ReplaySources::default();
    let (audit, requests) = (&*backend.stores.audit, &*backend.stores.requests);
    greenlight_admin::replay::replay(
        audit,
        requests,
        &backend.operator().await.unwrap(),
        asked,
        &sources,
        now,
    )
    .await
}

/// Returns when `is_so` is true; a minute suffices on any machine.
async fn completed(is_so: impl AsyncFn() -> bool) {
    let look = async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while !is_so().await {
            pause.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), look).await.expect("the condition becomes true");
}

/// Requests that wait are listed with their target, their last failure and their next attempt; one
/// that waits for the office system has a line in the status.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_are_listed_with_what_they_wait_for() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(&scene, folder.path()).await;
    let backend = Backend::open(&Address::Folder(folder.path().join("data"))).await.unwrap();
    let waiting =
        async || backend.stores.audit.waiting_requests(9, SystemClock.now()).await.unwrap();
    assert_eq!(waiting().await, []);
    scene.nac.set_down(true);
    scene.approve("I-1", &[&device(1)]);
    let event = scene.event("e-1", "I-1", "APPROVED");
    assert_eq!(scene.send_to(serving.url(), None, &event).await.status, 200);
    completed(async || waiting().await.len() == 1).await;
    let one = waiting().await.remove(0);
    let last_failure = one.last_failure.as_ref().unwrap();
    assert_eq!((one.instance_id(), one.attempt), ("I-1", 1));
    assert_eq!(last_failure.target.as_deref(), Some("nac"));
    assert_eq!(last_failure.class, "target_timeout");
    assert!(one.next_attempt(SystemClock.now()) > Some(last_failure.at), "{one:?}");
    assert_eq!(find(&backend, "I-1").await[0].retry, one.retry);
    let SystemStatus { waiting_by_class, unreachable_sources, .. } = status(&backend).await;
    assert_eq!(waiting_by_class, BTreeMap::from([("target_timeout".to_owned(), 1)]));
    assert_eq!(unreachable_sources, BTreeMap::new());

    scene.feishu.set_down(true);
    let event = scene.event("e-2", "I-2", "APPROVED");
    assert_eq!(scene.send_to(serving.url(), None, &event).await.status, 200);
    let unreachable = BTreeMap::from([("feishu".to_owned(), 1)]);
    completed(async || status(&backend).await.unreachable_sources == unreachable).await;
    serving.stop().await;
}

/// An approval that ended, and whose event was lost, is found in the list of the office system.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_finds_the_approvals_whose_events_were_lost() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(&scene, folder.path()).await;
    let backend = Backend::open(&Address::Folder(folder.path().join("data"))).await.unwrap();
    let greenlight = async |words: &[&str]| {
        let mut command = tokio::process::Command::new(greenlight_tests::built("greenlight"));
        command
            .args(words)
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .env("NAC_URL", scene.nac.url())
            .env("APPROVAL_CODE", APPROVAL_CODE);
        let output = command.output().await.unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let found = async || {
        let flows = scene.flows_file(folder.path());
        let secrets = secrets(&scene, folder.path());
        let files = ["--flows", flows.to_str().unwrap(), "--secrets", secrets.to_str().unwrap()];
        let (said, _) = greenlight(&[&["doctor", "--json"], files.as_slice()].concat()).await;
        let checks = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of_list = ["found.missed", "found.none_missed"];
        let code = |check: &Value| check["cause"]["code"].as_str().unwrap_or_default().to_owned();
        let found: Vec<_> = checks.filter(|check| of_list.contains(&&*code(check))).collect();
        assert_eq!(found.len(), 1, "{said}");
        (code(&found[0]), found[0]["detail"].as_str().unwrap().to_owned())
    };
    let an_hour_ago = SystemClock.now().minus(Duration::from_hours(1)).as_millis();
    // The event of the first arrives, that of the second may be on its way, the third waits.
    scene.approve("I-1", &[&device(1)]);
    scene.feishu.end_at("I-1", an_hour_ago);
    let event = scene.event("e-1", "I-1", "APPROVED");
    assert_eq!(scene.send_to(serving.url(), None, &event).await.status, 200);
    completed(async || !find(&backend, "I-1").await.is_empty()).await;
    scene.approve("I-2", &[&device(2)]);
    scene.feishu.put_instance("I-3", APPROVAL_CODE, "PENDING", &Value::Array(vec![]));
    scene.feishu.end_at("I-3", an_hour_ago);
    assert_eq!(found().await.0, "found.none_missed");
    scene.approve("I-4", &[&device(4)]);
    scene.feishu.end_at("I-4", an_hour_ago);
    let (code, detail) = found().await;
    assert_eq!(code, "found.missed");
    let replay = format!("greenlight replay I-4 --definition-id {APPROVAL_CODE}");
    assert!(detail.starts_with("1 approval(s)") && detail.contains(&replay), "{detail}");
    let words = ["replay", "I-4", "--definition-id", APPROVAL_CODE, "--yes"];
    let (_, refused) = greenlight(&words).await;
    assert_eq!(refused, "");
    completed(async || !find(&backend, "I-4").await.is_empty()).await;
    assert_eq!(found().await.0, "found.none_missed");
    serving.stop().await;
}

/// Control characters in text from a form, a target or a message are escaped, and such text starts
/// no line.
#[tokio::test]
async fn foreign_text_steers_no_terminal_and_begins_no_line() {
    let evil = "\u{1b}[2J\u{1b}[H\nok    everything\r\u{9b}31m\u{202e}txt.exe\u{2066}\u{7f}";
    let (folder, database, backend) = open().await;
    let request = Request { received_at: SystemClock.now(), ..request("I-1") };
    for (body, reason) in [(request.to_json(), evil), (evil.to_owned(), "because")] {
        let reason = Reason {
            target: Some(evil.into()),
            ..Reason::new(Class::InvalidForm, Explanation::quoted(reason))
        };
        let now = SystemClock.now();
        let (receive_count, first_received, failed_at) = (1, now, now);
        let body = body.as_str();
        let letter = DeadLetter { body, reason: &reason, receive_count, first_received, failed_at };
        database.send_dead_letter(&letter).await.unwrap();
    }
    let seen = dead_letters::look(&*backend.stores.dead_letters, &SystemClock).await.unwrap();
    let listed = dlq::render_list(&seen, TEXT);
    assert_eq!(listed.lines().count(), 5, "a header, and two lines each: {listed}");
    drop(database);
    let run = async |arguments: &[&str]| {
        let output = tokio::process::Command::new(greenlight_tests::built("greenlight"))
            .args(arguments)
            .arg("--data-dir")
            .arg(data(&folder))
            .output()
            .await
            .unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    for arguments in [
        ["dlq", "list"].as_slice(),
        &["dlq", "list", "--json"],
        &["dlq", "show", "1"],
        &["dlq", "show", "2"],
        &["dlq", "show", "2", "--json"],
        &["dlq", "show", evil],
        &["audit", evil],
    ] {
        let shown = run(arguments).await;
        let is_raw =
            |char: char| (char.is_control() && char != '\n') || "\u{202e}\u{2066}".contains(char);
        assert!(!shown.is_empty() && !shown.contains(is_raw), "{arguments:?}: {shown:?}");
        assert!(!shown.lines().any(|line| line.starts_with("ok")), "{arguments:?}: {shown}");
    }
    let json = run(&["dlq", "show", "2", "--json"]).await;
    let shown: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(shown["message"], evil, "JSON has the original text");
}

/// A reader that closes the pipe early, such as `head`, causes no panic, and the work is completed.
#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let (folder, database, _backend) = open().await;
    for number in 0..50 {
        send_dead_letter(&database, &format!("I-{number}"), Class::InvalidForm).await;
    }
    drop(database);
    let greenlight = greenlight_tests::built("greenlight");
    let script = "\"$1\" dlq redrive --class invalid_form --dry-run --json --data-dir \"$2\" | head -n 1; \
                  echo \"status ${PIPESTATUS[0]}\"";
    let output = tokio::process::Command::new("bash")
        .args(["-c", script, "bash"])
        .arg(greenlight)
        .arg(data(&folder))
        .output()
        .await
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.starts_with("{\"id\"") && shown.ends_with("status 0\n"), "{shown}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
