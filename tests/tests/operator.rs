//! The operator's command on one machine: why is it in the dead-letter queue, and what then?

use std::path::Path;
use std::time::Duration;

use greenlight::dlq::{self, DlqError, Which};
use greenlight::send_test::{Event, SendError, send_test};
use greenlight::status::status;
use greenlight_core::Reason;
use greenlight_core::ports::{Bury, Clock, DeadLetter, Http};
use greenlight_core::{Class, Request, Verdict};
use greenlight_stores::SystemClock;
use greenlight_stores::embedded::Database;
use greenlight_tests::scene::{APPROVAL_CODE, Scene, device};
use greenlight_tests::serving::{Serving, secrets};
use serde_json::Value;

/// Puts a letter for `instance` into the dead-letter queue of `database`.
async fn bury(database: &Database, instance: &str, class: Class) {
    let now = SystemClock.now();
    let request = Request {
        v: 1,
        source: "feishu".into(),
        tenant: "t".into(),
        event_id: format!("e-{instance}"),
        approval_code: APPROVAL_CODE.into(),
        instance_code: instance.into(),
        verdict: Verdict::Approved,
        occurred_at: None,
        received_at: now,
    };
    let (body, reason) = (request.to_json(), Reason::new(class, "because of the test"));
    let letter = DeadLetter { body: &body, reason: &reason, receive_count: 7, failed_at: now };
    database.bury(&letter).await.unwrap();
}

async fn ids(folder: &Path) -> Vec<i64> {
    let listed = dlq::list(folder, true).await.unwrap();
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_i64().unwrap();
    listed.lines().map(id).collect()
}

#[tokio::test]
async fn every_class_of_reason_has_a_next_step() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path()).await.unwrap();
    let classes = ["bad_form", "target_login", "not_configured", "target_unavailable", "defect"];
    for class in classes {
        bury(&database, class, serde_json::from_value(class.into()).unwrap()).await;
    }
    let listed = dlq::list(folder.path(), false).await.unwrap();
    for class in classes {
        assert!(listed.contains(&format!("  {class:<20}      7  {class}\n")), "{listed}");
    }
    let told = dlq::show(folder.path(), 2, false).await.unwrap();
    for expected in [
        "class        target_login\n",
        "reason       because of the test\n",
        "next step    mend the target's part of the secret, then redrive",
        "instance     target_login\n",
        "tries        7\n",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let told: Value =
        serde_json::from_str(&dlq::show(folder.path(), 1, true).await.unwrap()).unwrap();
    assert!(told["next_step"].as_str().unwrap().starts_with("tell the applicant"));
    let absent = dlq::show(folder.path(), 9, false).await.unwrap_err();
    assert!(matches!(absent, DlqError::NotThere(9)));
}

#[tokio::test]
async fn letters_go_back_by_class_and_a_dry_run_moves_none() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path()).await.unwrap();
    for (instance, class) in
        [("1", Class::BadForm), ("2", Class::TargetUnavailable), ("3", Class::TargetUnavailable)]
    {
        bury(&database, instance, class).await;
    }
    let which = Which::OfClass("target_unavailable".into());
    let mut told = Vec::new();
    dlq::redrive(folder.path(), &which, true, |line| told.push(line)).await.unwrap();
    assert_eq!(told, ["2 would go back into the queue", "3 would go back into the queue"]);
    assert_eq!(ids(folder.path()).await, [1, 2, 3]);
    dlq::redrive(folder.path(), &which, false, |_| {}).await.unwrap();
    assert_eq!(ids(folder.path()).await, [1]);
    let now = SystemClock.now();
    assert_eq!(database.receive(9, now, now).await.unwrap().len(), 2);
    let none = dlq::redrive(folder.path(), &which, false, |_| {}).await.unwrap_err().to_string();
    assert_eq!(none, "no dead letter has the class `target_unavailable`; there is: bad_form");
}

#[tokio::test]
async fn a_dropped_letter_is_gone_once() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path()).await.unwrap();
    bury(&database, "1", Class::NotApproved).await;
    let told = dlq::drop(folder.path(), 1, "was taken back").await.unwrap();
    assert_eq!(told, "1 is dropped: was taken back\n");
    assert!(ids(folder.path()).await.is_empty());
    let again = dlq::drop(folder.path(), 1, "again").await.unwrap_err();
    assert!(matches!(again, DlqError::NotThere(1)));
    let which = Which::Ids(vec![1]);
    let back = dlq::redrive(folder.path(), &which, false, |_| {}).await.unwrap_err();
    assert!(matches!(back, DlqError::NotThere(1)), "it is in no queue");
}

/// What `send-test` sends is taken as Feishu's own, all the way to the whitelist.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_goes_the_whole_way() {
    let (scene, folder) = (Scene::set().await, tempfile::tempdir().unwrap());
    let serving = Serving::start(&scene, folder.path()).await;
    let secrets = secrets(&scene, folder.path());
    let told = send_test(serving.url(), &secrets, &Event::UrlCheck).await.unwrap();
    assert!(told.starts_with("the challenge came back"), "{told}");
    scene.approve("I-1", &[&device(1)]);
    let approved = Event::Approved {
        approval_code: APPROVAL_CODE.into(),
        instance_code: "I-1".into(),
        tenant_key: scene.app.tenant_key.clone(),
    };
    let told = send_test(serving.url(), &secrets, &approved).await.unwrap();
    assert!(told.contains("answered HTTP 200"), "{told}");
    scene.nac.wait_for_whitelist(&[device(1)]).await;
    // Feishu's own event for it is the same request.
    let own = scene.event("e-1", "I-1", "APPROVED");
    assert_eq!(scene.send_to(serving.url(), None, &own).await.status, 200);
    let data = folder.path().join("data");
    settled(async || {
        overview(&data).await["waiting"] == 0 && overview(&data).await["in_flight"] == 0
    })
    .await;
    assert_eq!(scene.nac.calls(), 1);

    let mut other: Value = serde_json::from_slice(&std::fs::read(&secrets).unwrap()).unwrap();
    other["feishu"]["encrypt_key"] = "another".into();
    let wrong = folder.path().join("wrong.json");
    std::fs::write(&wrong, other.to_string()).unwrap();
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
    let told = status(&data, false).await.unwrap();
    assert!(told.contains("dead letters     none (无死信)\n"), "{told}");

    // A NAC that is down opens the breaker, and three requests wait for it.
    scene.nac.set_down(true);
    for number in 1..=3 {
        let instance = format!("I-{number}");
        scene.approve(&instance, &[&device(number)]);
        let event = scene.event(&format!("e-{number}"), &instance, "APPROVED");
        assert_eq!(scene.send_to(serving.url(), None, &event).await.status, 200);
    }
    scene.nac.wait_for_calls(3).await;
    bury(&Database::open_beside(&data).await.unwrap(), "I-9", Class::TargetLogin).await;
    settled(async || {
        let told = overview(&data).await;
        told["targets"]["nac"]["breaker"] == "open" && told["waiting"] == 3
    })
    .await;
    let told = status(&data, false).await.unwrap();
    for expected in
        ["waiting          3 (等待中)\n", "1 target_login", "target nac", "left in peace"]
    {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let (code, metrics) = get(&scene, &serving, "/metrics").await;
    assert_eq!(code, 200);
    for expected in [
        "greenlight_queue_waiting 3\n",
        "greenlight_dead_letters{class=\"target_login\"} 1\n",
        "greenlight_breaker_open{target=\"nac\"} 1\n",
    ] {
        assert!(metrics.contains(expected), "{expected}: {metrics}");
    }
    serving.stop().await;
}

async fn overview(data: &Path) -> Value {
    serde_json::from_str(&status(data, true).await.unwrap()).unwrap()
}

/// Returns when it is so; a minute is more than any machine needs.
async fn settled(is_so: impl AsyncFn() -> bool) {
    let look = async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while !is_so().await {
            pause.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), look).await.expect("it settles");
}
