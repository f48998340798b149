//! Feishu's long connection: events over a WebSocket that the host opens, for hosts without a
//! public address. Self-built apps only; an app has at most 50 connections, and each event goes to
//! one of them.
//!
//! Protocol: the open platform's documentation, "Receive events through long connection", and the
//! official SDKs `lark-oapi` and `@larksuiteoapi/node-sdk`.

pub mod frame;
mod pieces;
mod session;

use std::time::Duration;

use futures_util::future::BoxFuture;
use greenlight_core::explain::Explain;
use greenlight_core::stream::{Endpoint, Stream};
use greenlight_core::{Class, Failure};
use http::{HeaderMap, StatusCode, Uri};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use thiserror::Error;

use self::session::{ClientConfig, LongConnection};
use super::client::FeishuClient;
use super::error::ApiError;
use crate::hosts::is_own_socket;
use crate::nullable::null_is_default;

/// Feishu sends an event again that is not answered within 3 s.
const ANSWER_WITHIN: Duration = Duration::from_millis(2_300);

/// Codes of the answer to the question for a connection, and of a refused handshake, from the
/// official SDKs.
mod code {
    pub(super) const FORBIDDEN: i64 = 403;
    pub(super) const AUTH_FAILED: i64 = 514;
    pub(super) const NO_CREDENTIAL: i64 = 1_000_040_344;
    pub(super) const TOO_MANY_CONNECTIONS: i64 = 1_000_040_350;
}

/// No connection to Feishu.
#[derive(Debug, Error, Explain)]
#[explain("feishu_connection")]
enum ConnectionError {
    #[error("{0}")]
    Api(ApiError),
    #[error(
        "Feishu refuses the connection (code {code}): check `app_id` and `app_secret`, and that the \
         app is a custom app of this organisation with a published version"
    )]
    Refused { code: i64 },
    #[error(
        "this app has 50 connections to Feishu already, the most that an app may have (code {code}): \
         other programs connect with the same `app_id`"
    )]
    TooMany { code: i64 },
    #[error("the connection that Feishu offers is not to its own servers: {host}")]
    OtherHost { host: String },
    #[error("the connection that Feishu offers has no `service_id`")]
    NoServiceId,
    #[error("Feishu did not open the connection: HTTP {status}, code {code}")]
    Handshake { status: u16, code: String },
}

impl ConnectionError {
    fn of_code(code: i64) -> Option<Self> {
        match code {
            code::FORBIDDEN | code::AUTH_FAILED | code::NO_CREDENTIAL => {
                Some(Self::Refused { code })
            }
            code::TOO_MANY_CONNECTIONS => Some(Self::TooMany { code }),
            _ => None,
        }
    }

    fn into_failure(self) -> Failure {
        match &self {
            Self::Refused { .. }
            | Self::TooMany { .. }
            | Self::OtherHost { .. }
            | Self::Api(ApiError::AppRefused { .. } | ApiError::NoCredentials) => {
                Failure::give_up(Class::SourceRejected, self)
            }
            Self::Api(_) | Self::NoServiceId | Self::Handshake { .. } => {
                Failure::retry(Class::SourceUnavailable, self)
            }
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Offer,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Offer {
    #[serde(rename = "URL")]
    url: SecretString,
    #[serde(default, deserialize_with = "null_is_default")]
    client_config: ClientConfig,
}

impl Stream for FeishuClient {
    /// `POST /callback/ws/endpoint`
    fn endpoint(&self) -> BoxFuture<'_, Result<Endpoint, Failure>> {
        Box::pin(async {
            let offered = self.offer().await.and_then(|offer| self.endpoint_of(offer));
            offered.map_err(ConnectionError::into_failure)
        })
    }

    /// Feishu says in headers why: `Handshake-Status` is a code as in the answer to the question,
    /// `Handshake-Autherrcode` the cause of its 514.
    fn handshake_failure(&self, status: StatusCode, headers: &HeaderMap) -> Failure {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name| text(name).and_then(|text| text.parse::<i64>().ok());
        let code = match number("handshake-status") {
            Some(code::AUTH_FAILED) => number("handshake-autherrcode"),
            code => code,
        };
        let error = match code.and_then(ConnectionError::of_code) {
            // 514 alone may pass: the official SDKs try again.
            Some(ConnectionError::Refused { code: code::AUTH_FAILED }) | None => {
                let code = code.map_or_else(|| "none".to_owned(), |code| code.to_string());
                ConnectionError::Handshake { status: status.as_u16(), code }
            }
            Some(error) => error,
        };
        error.into_failure()
    }

    fn answer_within(&self) -> Duration {
        ANSWER_WITHIN
    }
}

impl FeishuClient {
    async fn offer(&self) -> Result<Offer, ConnectionError> {
        let body = |id: &str, secret: &str| json!({ "AppID": id, "AppSecret": secret });
        let answer = self.post_as_app("/callback/ws/endpoint", body).await;
        match answer {
            Ok(Answer { data }) => Ok(data),
            Err(ApiError::Code { code, status, log_id, reset }) => {
                let other = ApiError::Code { code, status, log_id, reset };
                Err(ConnectionError::of_code(code).unwrap_or(ConnectionError::Api(other)))
            }
            Err(error) => Err(ConnectionError::Api(error)),
        }
    }

    fn endpoint_of(&self, offer: Offer) -> Result<Endpoint, ConnectionError> {
        use secrecy::ExposeSecret;
        let uri = offer.url.expose_secret().parse::<Uri>().unwrap_or_default();
        if !is_own_socket(self.base_url(), &uri) {
            let host = uri.host().unwrap_or("?").to_owned();
            return Err(ConnectionError::OtherHost { host });
        }
        let mut pairs = uri.query().unwrap_or_default().split('&');
        let service = pairs.find_map(|pair| pair.strip_prefix("service_id="));
        let service = service.and_then(|service| service.parse().ok());
        let service = service.ok_or(ConnectionError::NoServiceId)?;
        let app_id = self.app_id().ok_or(ConnectionError::Api(ApiError::NoCredentials))?;
        let session = LongConnection::new(service, app_id, offer.client_config);
        Ok(Endpoint { url: offer.url, session: Box::new(session) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use futures_util::FutureExt;
    use greenlight_core::Timestamp;
    use greenlight_core::explain::Explanation;
    use greenlight_core::ports::{Call, Http, HttpError, ReadTarget};
    use greenlight_core::secret::{FixedSecret, Secret};
    use greenlight_testkit::clock::TestClock;
    use serde_json::Value;

    use super::*;
    use crate::feishu::{Feishu, Receive};
    use crate::source::SourcePorts;

    /// Answers every request alike.
    #[derive(Debug)]
    struct Answers(Value);

    impl Http for Answers {
        async fn send(
            &self,
            request: http::Request<Bytes>,
        ) -> Result<http::Response<Bytes>, HttpError> {
            assert_eq!(request.uri().path(), "/callback/ws/endpoint");
            Ok(http::Response::new(self.0.to_string().into()))
        }
    }

    #[derive(Debug)]
    struct NoTargets;

    impl ReadTarget for NoTargets {
        async fn read(&self, _: &Call<'_>) -> Result<Value, Failure> {
            Err(Failure::give_up(Class::NotConfigured, Explanation::quoted("none")))
        }
    }

    fn client(base_url: &str, answer: &Value) -> FeishuClient {
        let secret = json!({"sources": {"feishu": {"app_id": "cli_1", "app_secret": "s"}}});
        let secret = FixedSecret(Arc::new(Secret::parse(&secret.to_string()).unwrap()));
        let clock = TestClock::advanced_by_sleeps(Timestamp::from_millis(0));
        let ports = SourcePorts::new(Answers(answer.clone()), secret, clock, NoTargets);
        let base_url = base_url.to_owned();
        FeishuClient::new("feishu", &Feishu { base_url, receive: Receive::LongConnection }, ports)
    }

    fn asked(base_url: &str, answer: &Value) -> Result<(), (bool, String)> {
        let asked = client(base_url, answer).endpoint().now_or_never().unwrap();
        asked.map(drop).map_err(|failure| {
            let may_pass = matches!(failure, Failure::Retry { .. });
            (may_pass, failure.reason().cause.text.clone())
        })
    }

    #[test]
    fn a_code_says_whether_to_try_again_and_names_the_cause() {
        for (code, may_pass, cause) in [
            (1, true, "code 1 "),
            (1_000_040_343, true, "code 1000040343"),
            (403, false, "refuses the connection"),
            (514, false, "refuses the connection"),
            (1_000_040_344, false, "refuses the connection"),
            (1_000_040_350, false, "50 connections"),
            (1_000_040_351, false, "an app of Lark belongs to https://open.larksuite.com"),
        ] {
            let answer = json!({"code": code, "msg": "m", "data": {}});
            let (found, text) = asked("https://open.feishu.cn", &answer).unwrap_err();
            assert_eq!(found, may_pass, "{code}: {text}");
            assert!(text.contains(cause), "{code}: {text}");
        }
    }

    #[test]
    fn a_connection_is_to_the_systems_own_servers_over_tls() {
        let offer = |url: &str| json!({"code": 0, "data": {"URL": url}});
        let feishu = "https://open.feishu.cn";
        let own = "wss://msg-frontier.feishu.cn/ws/v2?device_id=1&service_id=2&ticket=t";
        assert_eq!(asked(feishu, &offer(own)), Ok(()));
        let local = "ws://127.0.0.1:9/ws/v2?device_id=1&service_id=2";
        assert_eq!(asked("http://127.0.0.1:8", &offer(local)), Ok(()));
        for other in [
            "ws://msg-frontier.feishu.cn/ws/v2?service_id=2",
            "wss://msg-frontier.example.com/ws/v2?service_id=2",
            "wss://feishu.cn.example.com/ws/v2?service_id=2",
            "https://open.feishu.cn/ws/v2?service_id=2",
            local,
            "",
        ] {
            let (may_pass, text) = asked(feishu, &offer(other)).unwrap_err();
            assert!(!may_pass && text.contains("not to its own servers"), "{other}: {text}");
        }
        let (_, text) = asked(feishu, &offer("wss://x.feishu.cn/ws/v2?a=1")).unwrap_err();
        assert!(text.contains("no `service_id`"), "{text}");
    }

    #[test]
    fn a_refused_handshake_says_whether_to_try_again() {
        let client = client("https://open.feishu.cn", &Value::Null);
        for (status, code, may_pass) in [
            (Some("514"), Some("1000040350"), false),
            (Some("514"), Some("1000040343"), true),
            (Some("514"), None, true),
            (Some("403"), None, false),
            (Some("500"), None, true),
            (None, None, true),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(status) = status {
                headers.insert("handshake-status", status.parse().unwrap());
            }
            if let Some(code) = code {
                headers.insert("handshake-autherrcode", code.parse().unwrap());
            }
            let failure = client.handshake_failure(StatusCode::BAD_REQUEST, &headers);
            assert_eq!(matches!(failure, Failure::Retry { .. }), may_pass, "{failure:?}");
        }
    }
}
