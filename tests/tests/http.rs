//! The outbound HTTP client: whom it trusts, and what it does not do.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use bytes::Bytes;
use greenlight_core::ports::{Http, HttpError};
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
