//! The receiver's own AWS client, against a server that throttles, fails and hangs.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use greenlight_core::ports::{Enqueue, FetchSecret};
use greenlight_stores::aws::minimal::{Aws, SecretsManager, SqsQueue};
use greenlight_stores::aws::{AwsEnvironment, TimeoutConfig};
use greenlight_testkit::request::request;
use serde_json::json;
use tokio::net::TcpListener;

/// The answer to the next call; calls after the last one succeed.
#[derive(Clone, Debug)]
enum Next {
    Status(u16, &'static str),
    /// And the connection is closed.
    LastAnswer,
    Silence,
}

#[derive(Clone, Default)]
struct Server {
    next: Arc<Mutex<VecDeque<Next>>>,
    calls: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Starts the server and returns a client for it.
    async fn start(next: &[Next]) -> (Self, Aws) {
        let server = Self { next: Arc::new(Mutex::new(next.to_vec().into())), ..Self::default() };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::clone(&server.connections);
        let listener = listener.tap_io(move |_| {
            connections.fetch_add(1, Ordering::SeqCst);
        });
        let routes = Router::new().route("/", post(answer)).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let environment = AwsEnvironment::new("us-east-1", "test", "test", Some(&url));
        (server, Aws::new(environment).unwrap())
    }

    fn counts(&self) -> (usize, usize) {
        (self.calls.load(Ordering::SeqCst), self.connections.load(Ordering::SeqCst))
    }
}

async fn answer(State(server): State<Server>) -> Response {
    server.calls.fetch_add(1, Ordering::SeqCst);
    let next = server.next.lock().unwrap().pop_front();
    let success = json!({"MessageId": "m", "SecretString": "{}"}).to_string();
    match next {
        None => success.into_response(),
        Some(Next::LastAnswer) => ([("connection", "close")], success).into_response(),
        Some(Next::Status(status, body)) => {
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        }
        Some(Next::Silence) => std::future::pending().await,
    }
}

fn timeouts(attempts: u32) -> TimeoutConfig {
    let attempt = Duration::from_millis(400);
    TimeoutConfig {
        connect: attempt,
        attempt,
        operation: Duration::from_secs(5),
        max_attempts: attempts,
    }
}

fn queue(aws: &Aws, attempts: u32) -> SqsQueue {
    SqsQueue::new(aws, "http://queue".to_owned(), timeouts(attempts)).unwrap()
}

#[tokio::test]
async fn one_connection_serves_all_calls_and_is_opened_ahead() {
    let (server, aws) = Server::start(&[]).await;
    let queue = queue(&aws, 1);
    queue.open().await;
    for _ in 0..3 {
        queue.enqueue(&request("I-1")).await.unwrap();
    }
    assert_eq!(server.counts(), (3, 1));
}

#[tokio::test]
async fn a_connection_that_was_closed_costs_no_attempt() {
    let (server, aws) = Server::start(&[Next::LastAnswer]).await;
    let queue = queue(&aws, 1);
    for _ in 0..3 {
        queue.enqueue(&request("I-1")).await.unwrap();
    }
    assert_eq!(server.counts(), (3, 2));
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_told() {
    let throttled = Next::Status(400, r#"{"__type":"com.amazonaws.sqs#RequestThrottled"}"#);
    let (server, aws) = Server::start(&[Next::Status(500, ""), throttled.clone()]).await;
    queue(&aws, 3).enqueue(&request("I-1")).await.unwrap();
    assert_eq!(server.counts().0, 3);

    let (server, aws) = Server::start(&[throttled.clone(), throttled]).await;
    let error = queue(&aws, 2).enqueue(&request("I-1")).await.unwrap_err();
    assert!(error.to_string().ends_with("RequestThrottled: no message"), "{error}");
    assert_eq!(server.counts().0, 2);

    let absent =
        Next::Status(400, r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"none"}"#);
    let (server, aws) = Server::start(&[absent]).await;
    let error = queue(&aws, 3).enqueue(&request("I-1")).await.unwrap_err();
    assert!(error.to_string().ends_with("QueueDoesNotExist: none"), "{error}");
    assert_eq!(server.counts().0, 1);
}

#[tokio::test]
async fn who_never_answers_is_left_and_asked_over_another_connection() {
    let (server, aws) = Server::start(&[Next::Silence]).await;
    let secret = SecretsManager::new(&aws, "secret".to_owned(), timeouts(1)).unwrap();
    let error = secret.fetch().await.unwrap_err();
    assert!(error.to_string().ends_with("no answer in time"), "{error}");
    assert_eq!(secret.fetch().await.unwrap(), "{}");
    assert_eq!(server.counts(), (2, 2));
}

#[tokio::test]
async fn where_nobody_listens_there_is_no_connection() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let aws = Aws::new(AwsEnvironment::new("us-east-1", "test", "test", Some(&url))).unwrap();
    let error = queue(&aws, 2).enqueue(&request("I-1")).await.unwrap_err();
    assert!(error.to_string().contains("no connection"), "{error}");
    assert!(Aws::new(AwsEnvironment::new("us-east-1", "t", "t", Some("http:/none"))).is_ok_and(
        |aws| {
            SqsQueue::new(&aws, "http://queue".to_owned(), timeouts(1))
                .is_err_and(|error| error.to_string().contains("AWS_ENDPOINT_URL"))
        }
    ));
}
