//! The operator's command on one machine: why is it in the dead-letter queue, and what then?

use std::time::Duration;

use greenlight::audit::{AuditError, audit, grants};
use greenlight::backend::{Address, Backend};
use greenlight::dlq::{self, DlqError, Pace, Which};
use greenlight::reasons::next_step;
use greenlight::replay::{Replay, ReplayError, replay};
use greenlight::secrets::{Secrets, SecretsError, set, set_from};
use greenlight::send_test::{Event, SendError, send_test};
use greenlight::status::{status, waiting};
use greenlight_core::Reason;
use greenlight_core::ports::{Clock, DeadLetter, Http, SendDeadLetter};
use greenlight_core::{Class, Decision, Request};
use greenlight_stores::private::write_private;
use greenlight_stores::sqlite::Database;
use greenlight_stores::{SecretFile, SystemClock};
use greenlight_testkit::request::request;
use greenlight_tests::scene::{APPROVAL_CODE, Scene, device};
use greenlight_tests::serving::{Serving, secrets};
use serde_json::Value;

/// Puts a letter for `instance` into the dead-letter queue of `database`.
async fn send_dead_letter(database: &Database, instance: &str, class: Class) {
    let now = SystemClock.now();
    let request = Request { received_at: now, ..request(instance) };
    let (body, reason) = (request.to_json(), Reason::new(class, "because of the test"));
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
    let listed = dlq::list(backend, true).await.unwrap().text;
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].clone();
    listed.lines().map(|line| id(line).as_str().unwrap().to_owned()).collect()
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
    let listed = dlq::list(&backend, false).await.unwrap().text;
    for (class, id) in Class::ALL.map(Class::as_str).into_iter().zip(1..) {
        assert!(listed.contains(&format!("  {class:<29}  7      {class}\n")), "{listed}");
        let shown = dlq::show(&backend, &format!("{id}"), false).await.unwrap();
        assert!(shown.contains(&format!("next step        {}", next_step(class))), "{shown}");
    }
    let login = Class::ALL.iter().position(|class| *class == Class::TargetAuthFailed).unwrap() + 1;
    let shown = dlq::show(&backend, &login.to_string(), false).await.unwrap();
    for expected in [
        "class            target_auth_failed\n",
        "reason           because of the test\n",
        "next step        mend the target's part of the secret, then redrive",
        "target           nac\n",
        "instance         target_auth_failed\n",
        "tries            7\n",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let shown: Value =
        serde_json::from_str(&dlq::show(&backend, "4", true).await.unwrap()).unwrap();
    assert!(shown["next_step"].as_str().unwrap().starts_with("tell the applicant"));
    let (first, last) = (shown["first_tried_at"].as_str(), shown["given_up_at"].as_str());
    assert!(first.unwrap() < last.unwrap(), "{shown}");
    let absent = dlq::show(&backend, "99", false).await.unwrap_err();
    assert!(matches!(absent, DlqError::NotThere(id) if id == "99"));
}

#[tokio::test]
async fn letters_go_back_by_class_and_a_dry_run_moves_none() {
    let (_folder, database, backend) = open().await;
    for (instance, class) in [
        ("1", Class::InvalidForm),
        ("2", Class::TargetUnavailable),
        ("3", Class::TargetUnavailable),
    ] {
        send_dead_letter(&database, instance, class).await;
    }
    let which = Which::OfClass("target_unavailable".into());
    let mut shown = Vec::new();
    let dry = Pace { is_dry: true, ..AT_ONCE };
    let progress = |step: dlq::Step| shown.push((step.line, step.number, step.of));
    dlq::redrive(&backend, &which, dry, progress).await.unwrap();
    let line = |id| format!("{id} would go back into the queue");
    assert_eq!(shown, [(line(2), 1, 2), (line(3), 2, 2)]);
    assert_eq!(ids(&backend).await, ["1", "2", "3"]);
    dlq::redrive(&backend, &which, AT_ONCE, |_| {}).await.unwrap();
    assert_eq!(ids(&backend).await, ["1"]);
    let now = SystemClock.now();
    assert_eq!(database.receive(9, now, now).await.unwrap().len(), 2);
    let none = dlq::redrive(&backend, &which, AT_ONCE, |_| {}).await.unwrap_err().to_string();
    assert_eq!(none, "no dead letter has the class `target_unavailable`; there is: invalid_form");
    // One that is not there keeps the others where they are.
    let which = Which::Ids(vec!["1".into(), "9".into()]);
    let absent = dlq::redrive(&backend, &which, AT_ONCE, |_| {}).await.unwrap_err();
    assert!(matches!(absent, DlqError::NotThere(id) if id == "9"));
    assert_eq!(ids(&backend).await, ["1"]);
}

#[tokio::test]
async fn a_dropped_letter_is_gone_once() {
    let (_folder, database, backend) = open().await;
    send_dead_letter(&database, "1", Class::NotApproved).await;
    let shown = dlq::discard(&backend, "1", "was taken back").await.unwrap();
    assert_eq!(shown, "1 is discarded: was taken back\n");
    assert!(ids(&backend).await.is_empty());
    let again = dlq::discard(&backend, "1", "again").await.unwrap_err();
    assert!(matches!(again, DlqError::NotThere(_)));
    let which = Which::Ids(vec!["1".into()]);
    let back = dlq::redrive(&backend, &which, AT_ONCE, |_| {}).await.unwrap_err();
    assert!(matches!(back, DlqError::NotThere(_)), "it is in no queue");
}

/// One approval is done, one is bad, one waits for a NAC that is away: each can be found by whatever is at hand,
/// and says what happened.
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
        // One after the other, so that they are told in this order.
        completed(async || audit(&backend, instance, true).await.is_ok()).await;
    }
    let history = async |wanted: &str| -> Vec<Value> {
        let shown = audit(&backend, wanted, true).await.unwrap();
        shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    completed(async || {
        let ended = async |instance, status| {
            let shown = audit(&backend, instance, true).await.unwrap_or_default();
            shown.contains(&format!("\"status\":\"{status}\""))
        };
        ended("I-1", "succeeded").await && ended("I-2", "failed").await
    })
    .await;

    for wanted in ["e-1", "I-1", &device(1), "0000.5e00.5302"] {
        let histories = history(wanted).await;
        assert_eq!(histories.len(), 1, "{wanted}: {histories:?}");
        assert_eq!(histories[0]["instance"], "I-1", "{wanted}");
        assert_eq!(histories[0]["effects"].as_array().unwrap().len(), 2);
    }
    let person = history("ou_stub").await;
    assert_eq!(
        person.iter().map(|it| it["instance"].as_str().unwrap()).collect::<Vec<_>>(),
        ["I-1", "I-2"]
    );
    let shown = audit(&backend, &device(3), false).await.unwrap();
    for expected in [
        "I-2 approved (feishu",
        "applicant ou_stub, form 202611240001, flow device-whitelist, event e-2",
        "event received, request enqueued",
        "add 00:00:5e:00:53:03 at nac: done",
        "attempt failed: invalid_form",
        "letter O at position 16",
        "next: tell the applicant",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let unknown = audit(&backend, "I-9", false).await.unwrap_err();
    assert!(matches!(unknown, AuditError::NotThere(_)), "{unknown}");

    // Who has which device, and why.
    let granted = grants(&backend, None, 9, false).await.unwrap();
    for number in 1..=3 {
        assert!(granted.contains(&device(number)), "{granted}");
    }
    let of_one = grants(&backend, Some("00-00-5e-00-53-03"), 9, true).await.unwrap();
    let of_one: Value = serde_json::from_str(of_one.trim()).unwrap();
    assert_eq!(of_one["request"], "feishu#I-2#approved");
    assert_eq!(grants(&backend, Some("ou_stub"), 9, true).await.unwrap().lines().count(), 3);

    // The applicant mends the form: what was done is not done again.
    let calls = scene.nac.calls();
    scene.approve("I-2", &[&device(3), &device(4)]);
    let again = |force| Replay {
        instance_id: "I-2".into(),
        decision: Decision::Approved,
        definition_id: None,
        force,
    };
    replay(&backend, &again(false)).await.unwrap();
    let is_done = async || history("I-2").await[0]["status"] == "succeeded";
    completed(is_done).await;
    assert_eq!(scene.nac.calls(), calls + 1, "device 4 alone");
    let done = replay(&backend, &again(false)).await.unwrap_err();
    assert!(matches!(done, ReplayError::Done(_)), "{done}");
    // The NAC lost everything: all of it once more, since the operator says so.
    replay(&backend, &again(true)).await.unwrap();
    scene.nac.wait_for_calls(calls + 3).await;
    completed(is_done).await;
    let unknown = replay(&backend, &Replay { instance_id: "I-7".into(), ..again(false) }).await;
    assert!(matches!(unknown, Err(ReplayError::Unknown(_))), "{unknown:?}");
    serving.stop().await;
}

/// A NAC that is away for long is the usual reason why a laptop is kept out: the waiting request says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_says_what_it_waits_for() {
    let (scene, folder) = (Scene::set().await, tempfile::tempdir().unwrap());
    let serving = Serving::start(&scene, folder.path()).await;
    let backend = Backend::open(&Address::Folder(folder.path().join("data"))).await.unwrap();
    scene.nac.set_down(true);
    scene.approve("I-1", &[&device(1)]);
    let sent = scene.event("e-1", "I-1", "APPROVED");
    assert_eq!(scene.send_to(serving.url(), None, &sent).await.status, 200);
    completed(async || audit(&backend, &device(1), false).await.is_ok()).await;
    let shown = audit(&backend, &device(1), false).await.unwrap();
    for expected in ["attempt failed: target_timeout: ", "HTTP 503", "waits for its next attempt"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    assert!(grants(&backend, None, 9, false).await.unwrap().starts_with("No device is granted"));
    serving.stop().await;
}

/// What `send-test` sends is taken as Feishu's own, all the way to the whitelist.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_goes_the_whole_way() {
    let (scene, folder) = (Scene::set().await, tempfile::tempdir().unwrap());
    let serving = Serving::start(&scene, folder.path()).await;
    let file = secrets(&scene, folder.path());
    let secrets = Secrets::File(SecretFile::new(&file));
    let shown = send_test(serving.url(), &secrets, &Event::UrlCheck).await.unwrap();
    assert!(shown.starts_with("the challenge came back"), "{shown}");
    scene.approve("I-1", &[&device(1)]);
    let approved =
        Event::Approved { definition_id: APPROVAL_CODE.into(), instance_id: "I-1".into() };
    let shown = send_test(serving.url(), &secrets, &approved).await.unwrap();
    assert!(shown.contains("answered HTTP 200"), "{shown}");
    scene.nac.wait_for_whitelist(&[device(1)]).await;
    // Feishu's own event for it is the same request.
    let own = scene.event("e-1", "I-1", "APPROVED");
    assert_eq!(scene.send_to(serving.url(), None, &own).await.status, 200);
    let backend = Backend::open(&Address::Folder(folder.path().join("data"))).await.unwrap();
    completed(async || {
        overview(&backend).await["waiting"] == 0 && overview(&backend).await["in_flight"] == 0
    })
    .await;
    assert_eq!(scene.nac.calls(), 1);

    let mut other: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    other["feishu"]["encrypt_key"] = "another".into();
    let wrong = folder.path().join("wrong.json");
    write_private(&wrong, &other.to_string()).unwrap();
    let wrong = Secrets::File(SecretFile::new(wrong));
    let error = send_test(serving.url(), &wrong, &approved).await.unwrap_err();
    assert!(matches!(error, SendError::Answer { status: 401, .. }), "{error}");
    serving.stop().await;
    let elsewhere = format!("{}/api/event", scene.nac.url());
    let nobody = send_test(&elsewhere, &secrets, &Event::UrlCheck).await.unwrap_err();
    assert!(matches!(nobody, SendError::Answer { status: 404, .. }), "{nobody}");
}

async fn get(scene: &Scene, serving: &Serving, path: &str) -> (u16, String) {
    let url = serving.url().replace("/api/event", path);
    let request = http::Request::get(url).body(bytes::Bytes::new()).unwrap();
    let response = scene.client.send(request).await.unwrap();
    let body = String::from_utf8(response.body().to_vec()).unwrap();
    (response.status().as_u16(), body)
}

/// A terminal, a script and a monitoring system are told the same.
#[tokio::test(flavor = "multi_thread")]
async fn how_things_stand_is_told_to_people_and_machines() {
    let (scene, folder) = (Scene::set().await, tempfile::tempdir().unwrap());
    let serving = Serving::start(&scene, folder.path()).await;
    let data = folder.path().join("data");
    assert_eq!(get(&scene, &serving, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(&scene, &serving, "/readyz").await, (200, "ready\n".to_owned()));
    let backend = Backend::open(&Address::Folder(data.clone())).await.unwrap();
    let shown = status(&backend, false).await.unwrap();
    assert!(shown.contains("dead letters     none (无死信)\n"), "{shown}");

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
        let shown = overview(&backend).await;
        shown["targets"]["nac"]["breaker"] == "open" && shown["waiting"] == 3
    })
    .await;
    let shown = status(&backend, false).await.unwrap();
    for expected in
        ["waiting          3 (等待中)\n", "1 target_auth_failed", "target nac", "left in peace"]
    {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let (code, metrics) = get(&scene, &serving, "/metrics").await;
    assert_eq!(code, 200);
    assert_eq!(overview(&backend).await["is_served"], true);
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
    assert_eq!(overview(&backend).await["is_served"], false);
    assert!(status(&backend, false).await.unwrap().contains("serve            is not running"));
}

async fn overview(backend: &Backend) -> Value {
    serde_json::from_str(&status(backend, true).await.unwrap()).unwrap()
}

/// Returns when it is so; a minute is more than any machine needs.
async fn completed(is_so: impl AsyncFn() -> bool) {
    let look = async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while !is_so().await {
            pause.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), look).await.expect("it settles");
}

/// What is asked for is put in, what is not asked for stays, and what cannot be read is not written over.
#[tokio::test]
async fn secrets_are_set_and_nothing_else_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secrets.json");
    let secrets = Secrets::File(SecretFile::new(&file));
    let needed = [("nac".to_owned(), "token".to_owned())];
    let mut asked = Vec::new();
    let answer = |path: &str, is_set: bool| {
        asked.push((path.to_owned(), is_set));
        Ok(format!("{path} value"))
    };
    let written = set(&secrets, &needed, answer).await.unwrap();
    assert_eq!(written.fields.len(), 5);
    assert_eq!(written.place, format!("the file {}", file.display()));
    let paths: Vec<_> = asked.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "feishu.app_id",
            "feishu.app_secret",
            "feishu.encrypt_key",
            "feishu.verification_token",
            "targets.nac.token"
        ]
    );
    assert!(asked.iter().all(|(_, is_set)| !is_set));

    let read = || serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap();
    let mut document = read();
    let certificate = rcgen::generate_simple_self_signed(["nac".to_owned()]).unwrap().cert.pem();
    document["targets"]["nac"]["ca_pem"] = certificate.into();
    std::fs::write(&file, document.to_string()).unwrap();
    let only_token = |path: &str, is_set: bool| {
        assert!(is_set, "{path}");
        Ok(if path == "targets.nac.token" { "new".to_owned() } else { String::new() })
    };
    set(&secrets, &needed, only_token).await.unwrap();
    document["targets"]["nac"]["token"] = "new".into();
    assert_eq!(read(), document);

    std::fs::write(&file, "{\"feishu\": ").unwrap();
    let error = set(&secrets, &needed, |_, _| Ok("x".to_owned())).await.unwrap_err();
    assert!(matches!(error, SecretsError::NotJson { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"feishu\": ");
    std::fs::write(&file, b"{\"other\": \"\xff\"}").unwrap();
    let error = set(&secrets, &needed, |_, _| Ok("x".to_owned())).await.unwrap_err();
    assert!(matches!(error, SecretsError::Secret(_)), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), b"{\"other\": \"\xff\"}");
    std::fs::remove_file(&file).unwrap();
    let nothing = set(&secrets, &needed, |_, _| Ok(String::new())).await.unwrap_err();
    assert!(
        matches!(&nothing, SecretsError::Missing(paths) if paths == &["feishu.app_id"]),
        "{nothing}"
    );
    assert!(!file.exists());
}

/// What is piped in is a document, or names what it sets, or is refused without being quoted.
#[tokio::test]
async fn secrets_set_from_a_pipe_takes_names_or_a_document_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("made/secrets.json");
    let secrets = Secrets::File(SecretFile::new(&file));
    let needed = [("nac".to_owned(), "token".to_owned())];
    let read = || serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap();
    let lines = "# a comment\n\nfeishu.app_id=cli_a\nfeishu.app_secret=a=b=\n\
                 feishu.encrypt_key= k \nfeishu.verification_token=t\ntargets.nac.token=n\n";
    let written = set_from(&secrets, &needed, lines).await.unwrap();
    let feishu = serde_json::json!({"app_id": "cli_a", "app_secret": "a=b=", "encrypt_key": " k ",
        "verification_token": "t"});
    assert_eq!(read(), serde_json::json!({"feishu": feishu, "targets": {"nac": {"token": "n"}}}));
    assert_eq!(written.fields[0], "feishu.app_id");

    // One name changes one value, and a target's own authority can be set, too.
    let certificate = rcgen::generate_simple_self_signed(["nac".to_owned()]).unwrap().cert.pem();
    let more =
        format!("targets.nac.token=new\ntargets.nac.ca_pem={}", certificate.replace('\n', "\\n"));
    set_from(&secrets, &needed, &more).await.unwrap();
    let with_authority = serde_json::json!({"token": "new", "ca_pem": certificate});
    assert_eq!(read(), serde_json::json!({"feishu": feishu, "targets": {"nac": with_authority}}));

    // A document replaces what is there, also what is broken.
    std::fs::write(&file, "{broken").unwrap();
    let document = serde_json::json!({"feishu": feishu, "targets": {"nac": {"token": "again"}}});
    let error = set_from(&secrets, &needed, "targets.nac.token=x").await.unwrap_err();
    assert!(matches!(error, SecretsError::NotJson { .. }), "{error}");
    set_from(&secrets, &needed, &format!("\n{document:#}\n")).await.unwrap();
    assert_eq!(read(), document);

    for (bad, why) in [
        ("s3cret\n", "line 1 is no NAME=VALUE"),
        ("s3cret", "line 1 is no NAME=VALUE"),
        ("feishu.app_id=s3cret\ns3cret\n", "line 2 is no NAME=VALUE"),
        ("s3cret=s3cret", "line 1 has a NAME that is not needed"),
        ("feishu.app_id=", "line 1 has no value"),
        ("", "line 1 is missing"),
        ("targets.nac.ca_pem=s3cret", "targets.nac.ca_pem: the custom CA is not"),
        ("{\"feishu\": {\"app_id\": \"s3cret\"}}", "targets.nac.token are needed"),
        ("{\"feishu\": \"s3cret\"", "a syntax error at line 1"),
    ] {
        let error = set_from(&secrets, &needed, bad).await.unwrap_err().to_string();
        assert!(error.contains(why) && !error.contains("s3cret"), "{bad}: {error}");
        assert_eq!(read(), document, "nothing is written");
    }
}

/// Requests that wait are listed with their target, their last failure and their next attempt; one
/// that waits for the office system has a line in the status.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_are_listed_with_what_they_wait_for() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(&scene, folder.path()).await;
    let backend = Backend::open(&Address::Folder(folder.path().join("data"))).await.unwrap();
    assert!(waiting(&backend, false).await.unwrap().starts_with("No request waits"));
    scene.nac.set_down(true);
    scene.approve("I-1", &[&device(1)]);
    let event = scene.event("e-1", "I-1", "APPROVED");
    assert_eq!(scene.send_to(serving.url(), None, &event).await.status, 200);
    let listed = async || -> Vec<Value> {
        let shown = waiting(&backend, true).await.unwrap();
        shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    completed(async || listed().await.len() == 1).await;
    let one = listed().await.remove(0);
    assert_eq!((&one["instance"], &one["target"]), (&"I-1".into(), &"nac".into()));
    assert_eq!((&one["class"], &one["attempts"]), (&"target_timeout".into(), &1.into()));
    assert!(one["next_attempt_at"].as_str() > one["failed_at"].as_str(), "{one}");
    let shown = audit(&backend, "I-1", false).await.unwrap();
    let next = format!("next attempt at {}", one["next_attempt_at"].as_str().unwrap());
    assert!(shown.contains(&next), "{shown}");
    let status_now = overview(&backend).await;
    assert_eq!(status_now["waiting_by_class"]["target_timeout"], 1, "{status_now}");
    assert_eq!(status_now["unreachable_sources"], serde_json::json!({}));

    scene.feishu.set_down(true);
    let event = scene.event("e-2", "I-2", "APPROVED");
    assert_eq!(scene.send_to(serving.url(), None, &event).await.status, 200);
    completed(async || overview(&backend).await["unreachable_sources"]["feishu"] == 1).await;
    let shown = status(&backend, false).await.unwrap();
    assert!(
        shown.contains("source feishu    cannot be reached, 1 request(s) wait for it"),
        "{shown}"
    );
    serving.stop().await;
}

/// Text from a form, a target or a queue's message reaches no terminal as it is, and begins no line.
#[tokio::test]
async fn foreign_text_steers_no_terminal_and_begins_no_line() {
    let evil = "\u{1b}[2J\u{1b}[H\nok    everything\r\u{9b}31m\u{202e}txt.exe\u{2066}\u{7f}";
    let (folder, database, backend) = open().await;
    let request = Request { received_at: SystemClock.now(), ..request("I-1") };
    for (body, reason) in [(request.to_json(), evil), (evil.to_owned(), "because")] {
        let reason =
            Reason { target: Some(evil.into()), ..Reason::new(Class::InvalidForm, reason) };
        let now = SystemClock.now();
        let (receive_count, first_received, failed_at) = (1, now, now);
        let body = body.as_str();
        let letter = DeadLetter { body, reason: &reason, receive_count, first_received, failed_at };
        database.send_dead_letter(&letter).await.unwrap();
    }
    let listed = dlq::list(&backend, false).await.unwrap().text;
    assert_eq!(listed.lines().count(), 5, "a head, and two lines for each: {listed}");
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
    assert_eq!(shown["message"], evil, "JSON still says the same");
}

/// A reader that has enough, as `head` does, costs the work nothing and is no panic.
#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let (folder, database, _site) = open().await;
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
