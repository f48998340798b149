//! The listener of `greenlight serve` against clients that hold connections open, send too much, or
//! read nothing.

use std::time::Duration;

use greenlight_sources::test_request::Sent;
use greenlight_tests::scene::{Scene, device};
use greenlight_tests::serving::{Serving, serve_command, webhook_url};

/// The limit of open files of this process, for tests with more connections than it allows.
fn raise_open_files(wanted: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).unwrap();
}

/// Opens `count` connections and sends half a request header on each.
async fn half_open(address: &str, count: usize) -> Vec<tokio::net::TcpStream> {
    use tokio::io::AsyncWriteExt;
    let mut connections = Vec::new();
    for _ in 0..count {
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        // A connection that the server closed in favour of another may fail.
        let _ = connection.write_all(b"POST /api/event HTTP/1.1\r\nhost: x\r\n").await;
        connections.push(connection);
    }
    connections
}

fn address(serving: &Serving) -> String {
    serving.url().trim_start_matches("http://").trim_end_matches("/api/event").to_owned()
}

/// Guarantee 15: clients that hold connections open do not block events.
#[tokio::test(flavor = "multi_thread")]
async fn g15_two_thousand_half_open_connections_keep_no_event_out() {
    raise_open_files(8_192);
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(&scene, folder.path()).await;
    let held = half_open(&address(&serving), 2_000).await;
    let open = || std::fs::read_dir(format!("/proc/{}/fd", serving.id())).unwrap().count();
    // The tasks of the connections that it chose to close end while it answers.
    for _ in 0..50 {
        if open() < 600 {
            break;
        }
        let answer = scene.send_to(serving.url(), None, &scene.app.url_check("x")).await;
        assert_eq!(answer.status, 200);
    }
    assert!(open() < 600, "{} files are open", open());
    scene.approve("I-1", &[&device(1)]);
    let event = scene.event("e-1", "I-1", "APPROVED");
    assert_eq!(scene.send_to(serving.url(), None, &event).await.status, 200);
    scene.nac.wait_for_whitelist(&[device(1)]).await;
    // The connections do not delay the stop.
    serving.stop().await;
    drop(held);
}

/// A low limit of open files is logged, and events are still accepted.
#[tokio::test(flavor = "multi_thread")]
async fn g15_a_low_limit_of_open_files_is_logged_and_keeps_no_event_out() {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(&scene, folder.path()).await;
    let open = std::fs::read_dir(format!("/proc/{}/fd", serving.id())).unwrap().count();
    serving.set_limit(&format!("--nofile={}", open + 20)).await;
    let held = half_open(&address(&serving), 100).await;
    let answer = scene.send_to(serving.url(), None, &scene.app.url_check("x")).await;
    assert_eq!(answer.status, 200);
    drop(held);
    let log = serving.stop().await;
    assert!(log.contains("no more connections can be accepted"), "{log}");
}

/// The server waits only a few seconds for the rest of a header or for the next request.
#[tokio::test(flavor = "multi_thread")]
async fn g15_connections_that_send_nothing_are_closed() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(&scene, folder.path()).await;
    for request in ["", "POST /api/event HTTP/1.1\r\n", "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"]
    {
        let mut connection = tokio::net::TcpStream::connect(address(&serving)).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = connection.read_to_end(&mut answer);
        let closed = tokio::time::timeout(Duration::from_mins(1), read).await;
        assert!(closed.is_ok(), "{request:?}: the connection stays open");
    }
    serving.stop().await;
}

/// A stalled reader of the log loses log lines; answers and the stop are not delayed.
#[tokio::test(flavor = "multi_thread")]
async fn g15_a_log_that_is_not_read_holds_up_nothing() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let greenlight = greenlight_tests::built("greenlight");
    let mut command = serve_command(&scene, folder.path(), &[], &greenlight);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::with_capacity(64, child.stderr.take().unwrap()).lines();
    let url = loop {
        let line = lines.next_line().await.unwrap().expect("it listens before it ends");
        if let Some(url) = webhook_url(&line) {
            break url;
        }
    };
    // From here on the log is not read, and each rejection writes a line: more than a pipe holds.
    let unsigned = Sent::post(vec![], "{}".to_owned());
    for _ in 0..1_500 {
        assert_eq!(scene.send_to(&url, None, &unsigned).await.status, 401);
    }
    scene.approve("I-1", &[&device(1)]);
    let event = scene.event("e-1", "I-1", "APPROVED");
    assert_eq!(scene.send_to(&url, None, &event).await.status, 200);
    scene.nac.wait_for_whitelist(&[device(1)]).await;
    let pid = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").arg(pid).status().unwrap().success());
    let ended = tokio::time::timeout(Duration::from_mins(1), child.wait()).await;
    assert!(ended.expect("the server stops").unwrap().success());
    drop(lines);
}

/// Header sections and bodies are bounded, however many connections send them.
#[tokio::test(flavor = "multi_thread")]
async fn g15_large_headers_and_bodies_are_refused() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(&scene, folder.path()).await;
    let header = format!("POST /api/event HTTP/1.1\r\nhost: x\r\nx: {}\r\n", "a".repeat(40_000));
    let body = format!(
        "POST /api/event HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n{}",
        "a".repeat(300_000)
    );
    for (request, status) in [(header, "431"), (body, "413")] {
        let mut connection = tokio::net::TcpStream::connect(address(&serving)).await.unwrap();
        // The server may close the connection before it has read the whole request.
        let _ = connection.write_all(request.as_bytes()).await;
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"));
    }
    serving.stop().await;
}
