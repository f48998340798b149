//! One machine: `greenlight serve`, and a Django API view under gunicorn, as articles show it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use greenlight_tests::load::{Went, send_all};
use greenlight_tests::local_aws::free_port;
use greenlight_tests::process::{memory, share_of_memory};
use greenlight_tests::scene::{Scene, device};
use greenlight_tests::serving::{Serving, serve_command};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::figures::{Column, Measured, millis, number};
use crate::install::Server;

const ROUNDS: usize = 3;

/// The number of connections, and so of concurrent events.
const CONNECTIONS: usize = 64;

/// Events per contender: enough for a few seconds.
const EVENTS: usize = 30_000;
const EVENTS_DJANGO: usize = 4_000;

/// Approvals with one device each, measured until all are on the whitelist.
const APPROVALS: usize = 2_000;

/// The measured figures.
pub(crate) const COLUMNS: &[Column] = &[
    Column { name: "events to the queue", unit: "/s" },
    Column { name: "99 % answered within", unit: "ms" },
    Column { name: "memory", unit: "MiB" },
    Column { name: "events to the whitelist", unit: "/s" },
];

/// Measures both in turn.
pub(crate) async fn measure(ours: &Path, django: &Server) -> Vec<Measured> {
    let mut results = vec![
        Measured::new("Django", &django.made_of),
        Measured::new("greenlight", "greenlight serve"),
    ];
    for round in 1..=ROUNDS {
        results[0].add(run_django(django).await);
        results[1].add(run_ours(ours).await);
        println!("compare: serve, round {round} of {ROUNDS}");
    }
    results
}

fn figures(went: &Went, held_mib: f64, to_the_whitelist: f64) -> Vec<f64> {
    let p99 = millis(went.percentile(99));
    vec![went.per_second(), p99, held_mib, to_the_whitelist]
}

fn events(scene: &Scene, count: usize, of: &str) -> Vec<greenlight_sources::test_request::Sent> {
    (0..count)
        .map(|n| scene.event(&format!("e-{of}-{n}"), &format!("{of}-{n}"), "APPROVED"))
        .collect()
}

/// `greenlight serve`, with readable approvals of one device each.
struct Ours {
    scene: Scene,
    serving: Serving,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Ours {
    async fn start(program: &Path, approvals: usize, of: &str) -> Self {
        let scene = Scene::set().await;
        let folder = tempfile::tempdir().expect("a folder can be made");
        for n in 0..approvals {
            let number = u32::try_from(n).expect("the number is an address");
            scene.approve(&format!("{of}-{n}"), &[&device(number)]);
        }
        let serving = Serving::run(serve_command(&scene, folder.path(), &[], program)).await;
        let url = serving.url().trim_start_matches("http://");
        let address = url.trim_end_matches("/api/event").parse().expect("the address is valid");
        Self { scene, serving, address, _folder: folder }
    }
}

/// Measures `serve`, which also reads instances, calls the NAC and writes its ledger while it
/// receives events.
async fn run_ours(program: &Path) -> Vec<f64> {
    let ours = Ours::start(program, EVENTS, "I").await;
    let went = send_all(ours.address, events(&ours.scene, EVENTS, "I"), CONNECTIONS).await;
    let held = share_of_memory(ours.serving.id());
    drop(ours.serving.kill().await);

    let ours = Ours::start(program, APPROVALS, "W").await;
    let sent = events(&ours.scene, APPROVALS, "W");
    let start = Instant::now();
    send_all(ours.address, sent, CONNECTIONS).await;
    ours.scene.nac.wait_for_calls(APPROVALS).await;
    let took = start.elapsed();
    assert_eq!(ours.scene.nac.whitelist().len(), APPROVALS);
    drop(ours.serving.kill().await);
    figures(&went, held, number(APPROVALS) / took.as_secs_f64())
}

/// The memory of `serve`, in MiB, after each hundred thousand of a million events about a thousand
/// approvals.
pub(crate) async fn million(program: &Path) -> Vec<(u32, f64)> {
    let Ours { scene, serving, address, _folder } = Ours::start(program, 1_000, "M").await;
    let mut held = Vec::new();
    for step in 1..=40_u32 {
        let event =
            |n: u32| scene.event(&format!("m-{step}-{n}"), &format!("M-{}", n % 1_000), "APPROVED");
        let went = send_all(address, (0..25_000).map(event).collect(), CONNECTIONS).await;
        if step % 4 == 0 {
            let (events, mib) = (step * 25_000, memory(serving.id()));
            held.push((events, mib));
            println!("{events} events: {mib:.1} MiB, {:.0}/s", went.per_second());
        }
    }
    drop(serving.kill().await);
    held
}

async fn run_django(server: &Server) -> Vec<f64> {
    let scene = Scene::set().await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let command = |program: &Path| {
        let mut command = Command::new(program);
        command
            .current_dir(&server.folder)
            .env("DATABASE", folder.path().join("queue.db"))
            .env("ENCRYPT_KEY", &scene.app.encrypt_key)
            .env("VERIFICATION_TOKEN", &scene.app.verification_token)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    };
    let made = command(&server.python).arg("django_receiver.py").status().await;
    assert!(made.expect("Python can be started").success(), "the table can be created");
    let mut gunicorn = command(&server.gunicorn)
        .args(["django_receiver:application", "--workers", "3", "--log-level", "error"])
        .args(["--bind", &address.to_string()])
        .spawn()
        .expect("gunicorn can be started");
    answers(address).await;
    send_all(address, events(&scene, 100, "warm"), CONNECTIONS).await;
    let went = send_all(address, events(&scene, EVENTS_DJANGO, "I"), CONNECTIONS).await;
    let held = family_memory(&gunicorn);
    // SIGTERM, so that gunicorn stops its workers, too.
    let pid = gunicorn.id().expect("it runs").to_string();
    let _ = Command::new("kill").arg(pid).status().await;
    let _ = gunicorn.wait().await;
    figures(&went, held, f64::NAN)
}

/// Returns when a process listens at `address`.
async fn answers(address: SocketAddr) {
    while TcpStream::connect(address).await.is_err() {
        tokio::task::yield_now().await;
    }
}

/// The memory of a process and its children together.
fn family_memory(parent: &Child) -> f64 {
    let pid = parent.id().expect("it runs");
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = std::fs::read_to_string(path).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    children.chain([pid]).map(share_of_memory).sum()
}
