//! The load through `greenlight serve`, which is killed repeatedly; the NAC fails, and is
//! unreachable twice. Of some approvals the event is lost.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use greenlight_core::Timestamp;
use greenlight_core::ports::{Clock, Enqueue, KeepSweeps};
use greenlight_core::queued::SweepDue;
use greenlight_core::sweep::{Seen, Sweep, SweepKey};
use greenlight_stores::SystemClock;
use greenlight_stores::sqlite::Database;
use greenlight_tests::scene::{APPROVAL_CODE, Scene};
use greenlight_tests::serving::{Serving, wait_for_sweep};
use greenlight_tests::stack::TIMEOUT;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::account::Account;
use crate::load::{Approval, NAC_ERRORS, approvals, lose_events};

/// The number of concurrent events.
const SENDERS: usize = 8;

/// The interval before an event is sent again; Feishu waits 15 s and more.
const SEND_AGAIN: Duration = Duration::from_millis(50);

/// The interval of polls for an empty queue.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A kill follows after this many approvals.
const KILL_EVERY: usize = 100;

pub(crate) async fn run(count: u32) -> Account {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    scene.nac.set_fault_rate(NAC_ERRORS);
    scene.nac.set_latency(Duration::from_millis(2));
    let mut load = approvals(&scene, count, 20);
    lose_events(&mut load);
    scene.feishu.set_page_size(100);
    let serving = Serving::start(&scene, folder.path()).await;
    let (address, url) = watch::channel(serving.url().to_owned());
    let total = load.len();
    let (sent, mut progress) = watch::channel(0);

    let kills = Mutex::new(Vec::new());
    let trouble = async {
        let mut serving = serving;
        for step in 1..=total {
            progress.wait_for(|sent| *sent >= step).await.expect("the sender exists");
            // Unreachable from a quarter to a third, and from a half to three fifths.
            if step == total / 4 || step == total / 2 {
                scene.nac.set_down(true);
            } else if step == total / 3 || step == total * 3 / 5 {
                scene.nac.set_down(false);
            }
            if step % KILL_EVERY == 0 {
                serving.kill().await;
                kills.lock().expect("no thread panicked").push(Instant::now());
                serving = Serving::start(&scene, folder.path()).await;
                address.send_replace(serving.url().to_owned());
            }
            if step % total.div_ceil(10) == 0 {
                eprintln!("soak: {step} of {total} approvals sent");
            }
        }
        serving
    };
    let (load, serving) = tokio::join!(send_all(&scene, load, &url, &sent), trouble);
    let database =
        Database::open_beside(&folder.path().join("data")).await.expect("the database can be read");
    drain(&database).await;
    let found = sweep(&scene, &load, &database).await;
    let letters = database.dead_letters().await.expect("the database can be read");
    let letters: Vec<_> =
        letters.into_iter().map(|letter| (letter.class().to_owned(), letter.body)).collect();
    serving.stop().await;
    let kills = kills.into_inner().expect("no thread panicked");
    let account =
        Account::of("through `greenlight serve`", &load, &scene.nac.log(), &kills, &letters, found);
    account.print();
    account
}

async fn drain(database: &Database) {
    let drained = async {
        let mut pause = tokio::time::interval(LOOK_EVERY);
        while database.next_visible().await.expect("the database can be read").is_some() {
            pause.tick().await;
        }
    };
    if tokio::time::timeout(TIMEOUT, drained).await.is_err() {
        eprintln!("soak: the queue is not empty after {TIMEOUT:?}");
    }
}

/// The approvals ended long enough ago that no event can still come, and a sweep is due. Returns
/// the number that it found.
async fn sweep(scene: &Scene, load: &[Approval], database: &Database) -> u64 {
    let key = SweepKey { source: "feishu".into(), definition_id: APPROVAL_CODE.into() };
    for approval in load.iter().filter(|approval| approval.event_ids.is_empty()) {
        scene.feishu.end_before(&approval.instance, Duration::from_mins(11));
    }
    // As if the flow were older: what ended before it is left alone.
    let older = |it: Sweep| {
        let instances = it
            .instances
            .into_iter()
            .map(|(id, seen)| (id, Seen::open(seen.since, Timestamp::default())));
        (Sweep { since: Timestamp::from_millis(1), instances: instances.collect(), ..it }, ())
    };
    database.change_sweep(&key, older).await.expect("the ledger can be written");
    let due = SweepDue::new(key.clone(), SystemClock.now());
    database.enqueue(&due).await.expect("the queue can be written");
    drain(database).await;
    wait_for_sweep(database, &key).await.found
}

/// Sends each event until it is answered 200.
async fn send_all(
    scene: &Scene,
    load: Vec<Approval>,
    url: &watch::Receiver<String>,
    sent: &watch::Sender<usize>,
) -> Vec<Approval> {
    let room = Arc::new(Semaphore::new(SENDERS));
    let mut running = JoinSet::new();
    for mut approval in load {
        let permit = Arc::clone(&room).acquire_owned().await.expect("it is never closed");
        let (scene, url) = (scene.clone(), url.clone());
        let sent = sent.clone();
        running.spawn(async move {
            approval.sent_at = Some(Instant::now()).filter(|_| !approval.event_ids.is_empty());
            for id in &approval.event_ids {
                deliver(&scene, &url, id, &approval.instance).await;
            }
            sent.send_modify(|sent| *sent += 1);
            drop(permit);
            approval
        });
    }
    running.join_all().await
}

async fn deliver(scene: &Scene, url: &watch::Receiver<String>, id: &str, instance: &str) {
    let mut pause = tokio::time::interval(SEND_AGAIN);
    loop {
        pause.tick().await;
        let url = url.borrow().clone();
        let event = scene.event(id, instance, "APPROVED");
        if scene.try_to_send(&url, None, &event).await.is_ok_and(|answer| answer.status == 200) {
            return;
        }
    }
}
