//! The outbound HTTP client: trusted certificates, forbidden addresses and redirects.

use std::collections::BTreeMap;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use bytes::Bytes;
use greenlight_core::flow::{Target, Tls};
use greenlight_core::ports::{Http, HttpError};
use greenlight_core::secret::Secret;
use greenlight_http::{Client, MAX_ANSWER_BYTES};
use greenlight_tests::stub_aws::StubAws;
use serde_json::json;
use tokio::net::TcpListener;

fn get_request(url: &str) -> http::Request<Bytes> {
    http::Request::get(url).body(Bytes::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_ones_own_authority_is_trusted_only_when_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("roots.pem");
    let server = StubAws::start(&json!({}), &bundle).await;
    let pem = std::fs::read_to_string(bundle).unwrap();
    let stranger = Client::new(None).unwrap().send(get_request(&server.url())).await;
    assert!(matches!(stranger, Err(HttpError::Connect { .. })), "{stranger:?}");
    let friend = Client::new(Some(&pem)).unwrap().send(get_request(&server.url())).await;
    assert!(friend.is_ok(), "{friend:?}");
    assert!(Client::new(Some("no certificate")).is_err());
}

fn target(tls: Tls) -> Target {
    let (connector, url, params) = (String::new(), "https://nac".into(), BTreeMap::default());
    Target { connector, url, params, tls, plaintext: false, renamed_from: None }
}

fn secret() -> Secret {
    let json = json!({"feishu": {"app_id": "a", "app_secret": "b", "encrypt_key": "c", "verification_token": "d"}});
    Secret::parse(&json.to_string()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_certificate_is_the_only_one_and_insecure_takes_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let server = StubAws::start(&json!({}), &folder.path().join("roots.pem")).await;
    let request = || get_request(&server.url());
    let of = |tls| Client::of_target("nac", &target(tls), &secret());
    let pinned = |pin: &str| Tls { pin_sha256: Some(pin.to_owned()), insecure: false };
    let right = of(pinned(server.fingerprint())).unwrap();
    assert!(right.send(request()).await.is_ok());
    let colons: Vec<&str> = (0..32).map(|n| &server.fingerprint()[2 * n..2 * n + 2]).collect();
    assert!(of(pinned(&colons.join(":").to_uppercase())).unwrap().send(request()).await.is_ok());
    let wrong = of(pinned(&"0".repeat(64))).unwrap().send(request()).await;
    assert!(
        matches!(&wrong, Err(HttpError::Connect { cause, .. }) if cause.text.contains("pinned")),
        "{wrong:?}"
    );
    let anybody = of(Tls { pin_sha256: None, insecure: true }).unwrap();
    assert!(anybody.send(request()).await.is_ok());
    for bad in [pinned("12"), Tls { insecure: true, ..pinned(&"0".repeat(64)) }] {
        assert!(of(bad).is_err());
    }
}

#[tokio::test]
async fn metadata_services_are_never_asked() {
    let client = Client::new(None).unwrap();
    for url in [
        "http://169.254.169.254/latest/meta-data",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://169.254.169.254./",
    ] {
        let refused = client.send(get_request(url)).await;
        let is_refused = matches!(&refused, Err(HttpError::Connect { cause, .. }) if cause.text.contains("metadata"));
        assert!(is_refused, "{refused:?}");
    }
}

#[tokio::test]
async fn redirects_are_answers_and_answers_are_bounded() {
    let routes = Router::new()
        .route("/moved", get(|| async { (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]) }))
        .route("/large", get(|| async { vec![b'x'; MAX_ANSWER_BYTES + 1] }));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let client = Client::new(None).unwrap();
    let moved = client.send(get_request(&format!("{url}/moved"))).await.unwrap();
    assert_eq!(moved.status(), 302);
    let large = client.send(get_request(&format!("{url}/large"))).await;
    assert!(matches!(large, Err(HttpError::TooLarge { .. })), "{large:?}");
}
