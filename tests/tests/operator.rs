//! The operator's command on one machine: why is it in the dead-letter queue, and what then?

use std::path::Path;

use greenlight::dlq::{self, DlqError, Which};
use greenlight::send_test::{Event, SendError, send_test};
use greenlight_core::Reason;
use greenlight_core::ports::{Bury, Clock, DeadLetter};
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
    let told = dlq::redrive(folder.path(), &which, true).await.unwrap();
    assert_eq!(told, "2 would go back into the queue\n3 would go back into the queue\n");
    assert_eq!(ids(folder.path()).await, [1, 2, 3]);
    dlq::redrive(folder.path(), &which, false).await.unwrap();
    assert_eq!(ids(folder.path()).await, [1]);
    let now = SystemClock.now();
    assert_eq!(database.receive(9, now, now).await.unwrap().len(), 2);
    let none = dlq::redrive(folder.path(), &which, false).await.unwrap_err().to_string();
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
    let back = dlq::redrive(folder.path(), &Which::Ids(vec![1]), false).await.unwrap_err();
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
    let approved =
        Event::Approved { approval_code: APPROVAL_CODE.into(), instance_code: "I-1".into() };
    let told = send_test(serving.url(), &secrets, &approved).await.unwrap();
    assert!(told.contains("answered HTTP 200"), "{told}");
    scene.nac.wait_for_whitelist(&[device(1)]).await;

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
