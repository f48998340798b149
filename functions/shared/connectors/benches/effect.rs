//! CPU time of one effect: rendering the request, sending it and evaluating the response, over HTTP
//! without TLS to a server in another thread of this process.
//!
//! `cargo bench -p greenlight-connectors --bench effect`

#![allow(clippy::expect_used, reason = "a benchmark without its set-up cannot run")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use greenlight_connectors::Connectors;
use greenlight_connectors::connector::ConnectorError;
use greenlight_connectors::http::{Connector, HttpConnector};
use greenlight_core::Timestamp;
use greenlight_core::flow::{Target, Tls};
use greenlight_core::ports::{Clock, Http};
use greenlight_core::secret::{FixedSecret, Secret};
use greenlight_http::Client;
use greenlight_testkit::clock::TestClock;
use greenlight_testkit::subject::{call, device_number};
use serde_json::json;

const EFFECTS: u32 = 5_000;

/// The CPU time of this thread.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

/// Answers every request of one connection with 201.
fn answer(stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line == "\r\n" {
                break;
            }
        }
        reader.read_exact(&mut vec![0; length]).ok()?;
        stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}").ok()?;
    }
}

fn main() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port on loopback");
    let url = format!("http://{}", listener.local_addr().expect("a listener has an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a tokio runtime");
    let client = Client::new(None).expect("an HTTP client");
    let ping =
        || http::Request::post(&url).body(bytes::Bytes::from_static(b"{}")).expect("a request");
    let bare = measure(&runtime, async || {
        client.send(ping()).await.expect("an answer");
    });
    println!("the HTTP client alone     {:>6.1} us CPU", micros(bare));
    for (name, text) in Connectors::built_in().iter() {
        let is_one_step = ["generic", "freeradius-rest", "meraki"].contains(&name);
        if !is_one_step {
            continue;
        }
        let connector = Connector::parse(name, text).expect("a valid connector");
        let effect = measure_effect(&runtime, &url, &client, connector);
        let ratio = effect.as_secs_f64() / bare.as_secs_f64();
        println!(
            "an effect by {name:<16} {:>6.1} us CPU, {ratio:.2} times the client",
            micros(effect)
        );
    }
}

fn measure_effect(
    runtime: &tokio::runtime::Runtime,
    url: &str,
    client: &Client,
    connector: Connector,
) -> Duration {
    let secret = json!({
        "feishu": {"app_id": "a", "app_secret": "b", "encrypt_key": "c", "verification_token": "d"},
        "targets": {"nac": {"token": "t", "api_key": "k"}},
    });
    let secret = FixedSecret(Arc::new(Secret::parse(&secret.to_string()).expect("a valid secret")));
    let params = BTreeMap::from([("network_id".to_owned(), toml::Value::from("n-1"))]);
    let params = if connector.params.is_empty() { BTreeMap::new() } else { params };
    let target = Target {
        connector: String::new(),
        url: url.to_owned(),
        params,
        tls: Tls::default(),
        plaintext: false,
        renamed_from: None,
    };
    let clock = TestClock::standing(Timestamp::from_millis(1_800_000_000_000));
    let mut http = HttpConnector::new(secret, clock.clone());
    let client = || Ok::<_, ConnectorError>(client.clone());
    http.add("nac", &target, connector, client).expect("connector and target match");
    let variables = json!({"instance_id": "I-1", "form_number": "7", "applicant": "ou_1"});
    let device = device_number(1);
    let variables = variables.as_object().expect("an object");
    let call =
        call("nac", "add", Some(&device), variables, clock.now().plus(Duration::from_mins(1)));
    measure(runtime, async || {
        http.act(&call).await.expect("the effect succeeds");
    })
}

/// CPU time of one iteration, after a warm-up.
fn measure(runtime: &tokio::runtime::Runtime, turn: impl AsyncFn()) -> Duration {
    runtime.block_on(async {
        for _ in 0..EFFECTS / 10 {
            turn().await;
        }
        let start = cpu();
        for _ in 0..EFFECTS {
            turn().await;
        }
        cpu().saturating_sub(start) / EFFECTS
    })
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
