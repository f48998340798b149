//! Feishu's long connection: `greenlight serve` without a public address, against our stub of
//! Feishu and a server of the official SDK's frames; and the stub against the official clients.

use std::time::Duration;

use greenlight_core::operator::RequestStore;
use greenlight_core::ports::{Clock, Enqueue, KeepSweeps};
use greenlight_core::queued::SweepDue;
use greenlight_core::request::Via;
use greenlight_core::sweep::{Sweep, SweepKey};
use greenlight_core::{Decision, Request, Timestamp};
use greenlight_server::server::Server;
use greenlight_sources::feishu::frame::{DATA, Frame, Header, key};
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::secret_document;
use greenlight_tests::oracle::{self, Judge, in_time, node};
use greenlight_tests::scene::{APPROVAL_CODE, NAC_TOKEN, Scene, device};
use greenlight_tests::serving::{Serving, serve_in, wait_for_sweep};
use greenlight_tests::tool;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// The flows of a scene, without variables.
fn flows(scene: &Scene) -> String {
    let flows = scene.flows().replace("${NAC_URL}", &scene.nac.url());
    flows.replace("${APPROVAL_CODE}", APPROVAL_CODE)
}

/// The secret of an app whose events come over the long connection: no keys of webhooks.
fn secret(scene: &Scene) -> Value {
    let mut secret = secret_document(&scene.app, NAC_TOKEN);
    let feishu = secret["sources"]["feishu"].as_object_mut().unwrap();
    feishu.retain(|name, _| name == "app_id" || name == "app_secret");
    secret
}

struct Connected {
    scene: Scene,
    server: Server,
    _folder: TempDir,
}

impl Connected {
    async fn open() -> Self {
        Self::open_at(Scene::set().await.over_long_connection()).await
    }

    async fn open_at(scene: Scene) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = serve_in(folder.path(), &flows(&scene), &secret(&scene)).await;
        scene.feishu.wait_until_opened(1).await;
        Self { scene, server, _folder: folder }
    }

    async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.server.address());
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_comes_over_the_long_connection_without_keys_of_webhooks() {
    let connected = Connected::open().await;
    let scene = &connected.scene;
    scene.approve("I-1", &[&device(1), &device(2)]);
    assert_eq!(scene.push("e-1", "I-1", "APPROVED").await, Some(200));
    connected.server.drained().await.unwrap();
    assert_eq!(scene.nac.whitelist(), [device(1), device(2)]);
    // In pieces, of which the last comes first, and again.
    let event = scene.app.approval_event("e-1", APPROVAL_CODE, "I-1", "APPROVED", 1);
    for pieces in [3, 64] {
        assert_eq!(scene.feishu.push(&event, pieces).await, Some(200));
    }
    connected.server.drained().await.unwrap();
    assert_eq!(scene.nac.calls(), 2, "one set of effects");
    // What is of no use is answered as well: otherwise Feishu sends it again and again.
    let other = json!({"schema": "2.0", "header": {"event_id": "e", "event_type": "im.message",
        "app_id": scene.app.app_id, "tenant_key": "t", "token": ""}, "event": {}});
    for event in [&other, &json!({"uuid": 1}), &json!([1])] {
        assert_eq!(scene.feishu.push(event, 1).await, Some(200), "{event}");
    }
    let metrics = connected.metrics().await;
    for line in [
        "greenlight_stream_connected{source=\"feishu\"} 1",
        "greenlight_stream_events_received_total{outcome=\"enqueued\"} 3",
        "greenlight_stream_events_received_total{outcome=\"ignored\",reason=\"event_type\"} 2",
        "greenlight_stream_connections_total{source=\"feishu\",outcome=\"opened\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    // Without the keys a webhook is not authentic.
    let url = format!("http://{}/api/event", connected.server.address());
    let sent = scene.event("e-2", "I-1", "APPROVED");
    assert_eq!(scene.send_to(&url, None, &sent).await.status, 503);
    connected.server.stop().await;
}

/// While an app is switched from one way to the other, both are in use; a sweep finds what an
/// operator replays, and what is on its way.
#[tokio::test(flavor = "multi_thread")]
async fn g20_one_set_of_effects_by_webhook_long_connection_poll_sweep_and_replay_at_once() {
    let scene = Scene::set().await.over_long_connection();
    let folder = tempfile::tempdir().unwrap();
    let server =
        serve_in(folder.path(), &flows(&scene), &secret_document(&scene.app, NAC_TOKEN)).await;
    scene.feishu.wait_until_opened(1).await;
    let url = format!("http://{}/api/event", server.address());
    let database = server.database();
    let key = SweepKey { source: "feishu".into(), definition_id: APPROVAL_CODE.into() };
    wait_for_sweep(database, &key).await;
    // As if the flow were older: what ended before it is left alone.
    let older = |it: Sweep| (Sweep { since: Timestamp::from_millis(1), ..it }, ());
    database.change_sweep(&key, older).await.unwrap();
    for n in 1..=10 {
        let instance = format!("I-{n}");
        scene.approve(&instance, &[&device(n)]);
        scene.feishu.end_before(&instance, Duration::from_mins(11));
        let sent = scene.event("e-1", &instance, "APPROVED");
        let now = SystemClock.now();
        let replayed = Request::about("feishu", APPROVAL_CODE, &instance, Decision::Approved, now);
        let replayed = replayed.unwrap();
        // As a source that is polled enqueues it.
        let polled = Request { via: Via::Poll, ..replayed.clone() };
        let sweep = SweepDue::new(key.clone(), now);
        let (swept, polled, by_webhook, pushed, replayed, again) = tokio::join!(
            database.enqueue(&sweep),
            database.enqueue(&polled),
            scene.send_to(&url, None, &sent),
            scene.push("e-1", &instance, "APPROVED"),
            database.enqueue_replay(&replayed, now),
            scene.push("e-2", &instance, "APPROVED"),
        );
        swept.unwrap();
        polled.unwrap();
        replayed.unwrap();
        assert_eq!((by_webhook.status, pushed, again), (200, Some(200), Some(200)));
    }
    server.drained().await.unwrap();
    assert_eq!(scene.nac.calls(), 10);
    assert_eq!(scene.nac.whitelist(), (1..=10).map(device).collect::<Vec<_>>());
    println!("30 deliveries, 10 polls, 10 sweeps and 10 replays of 10 approvals: 10 calls");
    server.stop().await;
}

/// Without an address of its own, too, an event that is not stored is not lost: Feishu sends again
/// what is answered 500.
#[tokio::test(flavor = "multi_thread")]
async fn g01_an_event_that_the_queue_does_not_take_is_answered_500() {
    let scene = Scene::set().await.over_long_connection();
    let folder = tempfile::tempdir().unwrap();
    // A write beyond 256 KiB of a file fails, as on a full disk.
    let full = ["sh", "-c", "trap '' XFSZ; ulimit -S -f 512; exec \"$@\"", "sh"];
    let serving = Serving::start_by(&scene, folder.path(), &full).await;
    scene.feishu.wait_until_opened(1).await;
    let mut accepted = 0;
    let refused = loop {
        let instance = format!("I-{accepted}");
        scene.approve(&instance, &[&device(accepted)]);
        match scene.push(&format!("e-{accepted}"), &instance, "APPROVED").await {
            Some(200) => accepted += 1,
            other => break other,
        }
    };
    assert_eq!(refused, Some(500));
    assert!(accepted > 0);
    serving.set_limit("--fsize=unlimited").await;
    let instance = format!("I-{accepted}");
    assert_eq!(scene.push("e-again", &instance, "APPROVED").await, Some(200));
    let expected: Vec<String> = (0..=accepted).map(device).collect();
    scene.nac.wait_for_whitelist(&expected).await;
    println!("{accepted} events were answered 200 before the disk was full, all have their effect");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_or_silent_is_opened_again() {
    let scene = Scene::set().await;
    scene.feishu.set_pings(1, false);
    let connected = Connected::open_at(scene.over_long_connection()).await;
    let scene = &connected.scene;
    // Two pings are not answered.
    scene.feishu.wait_until_open(0).await;
    scene.feishu.set_pings(90, true);
    scene.feishu.wait_until_opened(2).await;
    scene.feishu.close_connections();
    scene.feishu.wait_until_opened(3).await;
    scene.approve("I-1", &[&device(1)]);
    assert_eq!(scene.push("e-1", "I-1", "APPROVED").await, Some(200));
    connected.server.drained().await.unwrap();
    assert_eq!(scene.nac.whitelist(), [device(1)]);
    connected.server.stop().await;
    scene.feishu.wait_until_open(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_counted_and_not_repeated_at_once() {
    let scene = Scene::set().await.over_long_connection();
    scene.feishu.set_connection_code(1_000_040_351);
    let folder = tempfile::tempdir().unwrap();
    let server = serve_in(folder.path(), &flows(&scene), &secret(&scene)).await;
    let url = format!("http://{}/metrics", server.address());
    let refused = "greenlight_stream_connections_total{source=\"feishu\",outcome=\"refused\"} 1";
    loop {
        let metrics = reqwest::get(&url).await.unwrap().text().await.unwrap();
        assert!(metrics.contains("greenlight_stream_connected{source=\"feishu\"} 0"), "{metrics}");
        if metrics.contains(refused) {
            break;
        }
        tokio::task::yield_now().await;
    }
    // A failure that may pass is tried again within seconds.
    let busy = Scene::set().await.over_long_connection();
    busy.feishu.set_connection_code(1);
    let other = tempfile::tempdir().unwrap();
    let trying = serve_in(other.path(), &flows(&busy), &secret(&busy)).await;
    busy.feishu.wait_until_asked(2).await;
    busy.feishu.set_connection_code(0);
    busy.feishu.wait_until_opened(1).await;
    let metrics = reqwest::get(&url).await.unwrap().text().await.unwrap();
    assert!(metrics.contains(refused), "once: {metrics}");
    server.stop().await;
    trying.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_what_the_connection_needs() {
    let scene = Scene::set().await.over_long_connection();
    let folder = tempfile::tempdir().unwrap();
    let server = serve_in(folder.path(), &flows(&scene), &secret(&scene)).await;
    scene.feishu.wait_until_opened(1).await;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let greenlight = async |words: &[&str]| {
        let mut command = Command::new(greenlight_tests::built("greenlight"));
        let output = command.args(words).output().await.unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        out + &err
    };
    let (data, files, secrets) = (at("data"), at("flows.toml"), at("secrets.json"));
    let words = ["--data-dir", &data, "--flows", &files, "--secrets", &secrets];
    let doctor = async || greenlight(&[&["doctor"], &words[..]].concat()).await;
    let found = doctor().await;
    assert!(found.contains("another program with the same credentials would receive"), "{found}");
    scene.feishu.set_connection_code(1_000_040_351);
    let found = doctor().await;
    assert!(found.contains("(code 1000040351): an app of Lark belongs to"), "{found}");
    server.stop().await;
    let found = doctor().await;
    assert!(found.contains("no `greenlight serve` runs on this data folder"), "{found}");
    let url = ["send-test", "http://127.0.0.1:9/api/event"];
    let words = ["--flows", &files, "--secrets", &secrets];
    let refused = greenlight(&[&url[..], &words[..]].concat()).await;
    assert!(refused.contains("there is no URL to send a test to"), "{refused}");
}

/// Guarantee 15: what a message claims costs nothing, and the connection goes on.
#[tokio::test(flavor = "multi_thread")]
async fn g15_hostile_messages_on_the_connection_are_bounded() {
    let connected = Connected::open().await;
    let scene = &connected.scene;
    let frame = |headers: &[(&str, &str)], payload: &'static [u8]| Frame {
        method: DATA,
        headers: headers.iter().map(|(key, value)| Header::new(key, *value)).collect(),
        payload: Some(payload.into()),
        ..Frame::default()
    };
    let of = |sum: &str, seq: &str| {
        let headers = [(key::TYPE, "event"), (key::MESSAGE_ID, "m"), (key::SUM, sum)];
        frame(&[&headers[..], &[(key::SEQ, seq)]].concat(), b"{}")
    };
    let hostile = [
        of("1000000", "0"),
        of("99999999999999999999999", "0"),
        of("-1", "0"),
        of("0", "0"),
        of("2", "9007199254740993"),
        frame(&[(key::TYPE, "event")], b"{}"),
        frame(&[(key::TYPE, "card")], b"{}"),
        frame(&[], b"\xff\xfe"),
        Frame { method: 7, ..Frame::default() },
    ];
    scene.feishu.push_raw(&hostile);
    scene.approve("I-1", &[&device(1)]);
    assert_eq!(scene.push("e-1", "I-1", "APPROVED").await, Some(200));
    connected.server.drained().await.unwrap();
    assert_eq!(scene.nac.whitelist(), [device(1)]);
    let metrics = connected.metrics().await;
    let unreadable = |reason| {
        let labels = format!("{{outcome=\"unreadable\",reason=\"{reason}\"}}");
        format!("greenlight_stream_events_received_total{labels}")
    };
    for (reason, count) in [("too_many_pieces", 1), ("shape", 3), ("wrong_piece", 2)] {
        let line = format!("{} {count}", unreadable(reason));
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    // A message that is too large ends the connection, and it is opened again.
    let large = Frame { payload: Some(vec![0; 5 * 1024 * 1024].into()), ..hostile[0].clone() };
    scene.feishu.push_raw(&[large]);
    scene.feishu.wait_until_opened(2).await;
    scene.approve("I-2", &[&device(2)]);
    assert_eq!(scene.push("e-2", "I-2", "APPROVED").await, Some(200));
    connected.server.drained().await.unwrap();
    assert_eq!(connected.server.database().dead_letters().await.unwrap().len(), 0);
    connected.server.stop().await;
}

fn python(script: &str, question: &Value) -> Judge {
    let mut program = Command::new(tool("feishu-sdk", "python"));
    Judge::start(program.arg(oracle::python(script)).arg(question.to_string()))
}

/// The official clients connect to the stub, read its events and reply.
#[tokio::test(flavor = "multi_thread")]
async fn the_official_clients_connect_to_the_stub() {
    for is_node in [false, true] {
        let scene = Scene::set().await;
        let question = json!({"base_url": scene.feishu.url(), "app_id": scene.app.app_id,
            "app_secret": scene.app.app_secret});
        let mut client = if is_node {
            let mut node = Command::from(node("connects"));
            node.arg(question.to_string());
            Judge::start(&mut node)
        } else {
            python("connects", &question)
        };
        in_time(scene.feishu.wait_until_opened(1)).await;
        let reply = in_time(scene.push("e-1", "I-1", "APPROVED")).await;
        assert_eq!(reply, Some(200), "{is_node}");
        let event = in_time(client.next_json()).await.to_string();
        assert!(event.contains("I-1") && event.contains("APPROVED"), "{event}");
        let left = json!({"schema": "2.0", "header": {"event_id": "e-2", "token": "",
            "event_type": "contact.user.deleted_v3", "app_id": scene.app.app_id,
            "create_time": "1700000000000", "tenant_key": "t"},
            "event": {"object": {"open_id": "ou_1", "name": "张三"}}});
        assert_eq!(in_time(scene.feishu.push(&left, 7)).await, Some(200), "{is_node}");
        let event = in_time(client.next_json()).await.to_string();
        assert!(event.contains("ou_1") && event.contains("张三"), "{event}");
    }
}

/// Frames of the official SDK, sent by a server of another library, are read and answered; what is
/// sent is what that SDK reads.
#[tokio::test(flavor = "multi_thread")]
async fn frames_of_the_official_sdk_are_read_and_answered() {
    let scene = Scene::set().await.over_long_connection();
    let approval = scene.app.approval_event("e-1", APPROVAL_CODE, "I-1", "APPROVED", 1);
    let other = json!({"schema": "2.0", "header": {"event_type": "im.message", "app_id":
        scene.app.app_id}, "event": {"text": "张三李四"}});
    let events = [("m-1", &approval, 1), ("m-2", &approval, 3), ("m-3", &other, 2)];
    let events = events
        .map(|(id, event, pieces)| json!({"id": id, "body": event.to_string(), "pieces": pieces}));
    let mut feishu = python("long_connection", &json!({"events": events}));
    let url = feishu.next_json().await["url"].as_str().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let flows = flows(&scene).replace(&scene.feishu.url(), &url);
    let server = serve_in(folder.path(), &flows, &secret(&scene)).await;

    let asked = feishu.next_json().await;
    assert_eq!(asked["asked"], "/callback/ws/endpoint");
    let app = json!({"AppID": scene.app.app_id, "AppSecret": scene.app.app_secret});
    assert_eq!(asked["body"], app);
    assert_eq!(
        feishu.next_json().await["opened"],
        "/ws/v2?device_id=1&service_id=33554678&ticket=t"
    );
    // The ping of both official clients, byte by byte.
    let ping = "0800100018f681801020002a0c0a0474797065120470696e67";
    assert_eq!(feishu.next_json().await["hex"], ping);
    for (id, seq, sum) in [("m-1", "0", "1"), ("m-2", "0", "3"), ("m-3", "0", "2")] {
        // The worker asks the same server, which answers all requests alike.
        let mut reply = feishu.next_json().await;
        while reply.get("asked").is_some() {
            reply = feishu.next_json().await;
        }
        assert_eq!(reply["payload"], json!({"code": 200}).to_string());
        assert_eq!(
            (&reply["seq"], &reply["log"], &reply["log_new"], &reply["method"]),
            (&json!(7), &json!(42), &json!("lognew-1"), &json!(1))
        );
        let headers = reply["headers"].as_array().unwrap();
        let expected = [
            json!(["type", "event"]),
            json!(["message_id", id]),
            json!(["sum", sum]),
            json!(["seq", seq]),
            json!(["trace_id", "tr-1"]),
            json!(["timestamp", "1700000000000"]),
        ];
        assert_eq!(headers[..6], expected, "of the piece that came last");
        assert_eq!((headers.len(), &headers[6][0]), (7, &json!("biz_rt")));
    }
    server.stop().await;
}
