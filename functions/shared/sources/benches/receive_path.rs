//! The receive path without the network; `cargo verify guards` counts its instructions.
//!
//! `cargo bench -p greenlight-sources --bench receive_path -- verify|decrypt|authenticate|receive TIMES`

#![allow(clippy::expect_used, reason = "a benchmark without its set-up cannot run")]

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use greenlight_core::metrics::NoMetrics;
use greenlight_core::ports::{Clock, Enqueue, QueueError, QueueMessage};
use greenlight_core::secret::{FixedSecret, Secret};
use greenlight_core::webhook::{Webhook, Webhooks};
use greenlight_core::{Receiver, Timestamp, WEBHOOK_PATH, WebhookRequest, receive};
use greenlight_sources::feishu::{FeishuWebhook, decrypt, encrypt, header, signature};
use greenlight_testkit::clock::TestClock;
use serde_json::json;

const KEY: &str = "an-encrypt-key";
const NOW: i64 = 1_800_000_000_000;
const TIMESTAMP: &str = "1800000000";
const NONCE: &str = "0123456789abcdef";

/// A queue that serializes every message and discards it.
struct Taking;

impl Enqueue for Taking {
    async fn enqueue(&self, message: &impl QueueMessage) -> Result<(), QueueError> {
        black_box(message.body());
        Ok(())
    }
}

fn event() -> String {
    let event = json!({
        "ts": "1800000000.000000",
        "uuid": "0f4c7d1e8a9b4c5d",
        "token": "a-verification-token",
        "type": "event_callback",
        "event": {
            "app_id": "cli_a1b2c3d4e5f6",
            "tenant_key": "a1b2c3d4e5f6",
            "type": "approval_instance",
            "approval_code": "7C468A54-8745-2245-9675-08B7C63E7A85",
            "instance_code": "81D31358-93AF-92D6-7425-01A5D67C4E71",
            "status": "APPROVED",
            "operate_time": NOW.to_string(),
            "instance_operate_time": NOW.to_string(),
        },
    });
    json!({ "encrypt": encrypt(KEY, [7; 16], event.to_string().as_bytes()) }).to_string()
}

fn webhook(body: &str) -> WebhookRequest {
    let signature = signature(TIMESTAMP, NONCE, KEY, body.as_bytes());
    let headers = [
        (header::TIMESTAMP, TIMESTAMP),
        (header::NONCE, NONCE),
        (header::SIGNATURE, signature.as_str()),
    ];
    let mut request = http::Request::post(WEBHOOK_PATH);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let (head, ()) = request.body(()).expect("the headers are valid").into_parts();
    WebhookRequest::new(head, body.to_owned().into()).expect("it is the path of webhooks")
}

fn secret() -> Secret {
    let secret = json!({"sources": {"feishu": {"app_id": "cli_a1b2c3d4e5f6", "app_secret": "an-app-secret",
        "encrypt_key": KEY, "verification_token": "a-verification-token"}}});
    Secret::parse(&secret.to_string()).expect("the secret is complete")
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let [function, times] = arguments.as_slice() else {
        println!("usage: receive_path FUNCTION TIMES");
        return;
    };
    let times: u32 = times.parse().expect("TIMES is a number");
    let (body, secret) = (event(), secret());
    let request = webhook(&body);
    let encrypted: serde_json::Value = serde_json::from_str(&body).expect("it is JSON");
    let encrypted = encrypted["encrypt"].as_str().expect("it is encrypted");
    let webhook = FeishuWebhook::new("feishu");
    let boxed: Box<dyn Webhook> = Box::new(webhook.clone());
    let sources = [("feishu".to_owned(), boxed)].into();
    let clock = TestClock::standing(Timestamp::from_millis(NOW));
    let receiver = Receiver {
        sources: Webhooks::new(sources, Some("feishu".to_owned())),
        secret: FixedSecret(Arc::new(secret.clone())),
        queue: Taking,
        clock: clock.clone(),
        metrics: Arc::new(NoMetrics),
    };
    for _ in 0..times {
        match function.as_str() {
            "verify" => {
                drop(black_box(signature(TIMESTAMP, NONCE, KEY, black_box(body.as_bytes()))));
            }
            "decrypt" => drop(black_box(decrypt(KEY, black_box(encrypted)))),
            "authenticate" => {
                let event = webhook.parse(black_box(&request), &secret, clock.now());
                black_box(event.expect("it is authentic"));
            }
            "receive" => {
                let response = pin!(receive(black_box(&request), &receiver));
                let Poll::Ready(response) = response.poll(&mut Context::from_waker(Waker::noop()))
                else {
                    panic!("nothing here waits");
                };
                assert_eq!((response.reply.status, response.outcome.as_str()), (200, "enqueued"));
            }
            unknown => panic!("unknown function {unknown}"),
        }
    }
}
