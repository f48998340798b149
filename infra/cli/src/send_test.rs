//! `greenlight send-test`: sends a test event to a URL, as Feishu would.

use greenlight_core::explain::Explain;
use greenlight_core::ports::{Clock, Http, HttpError};
use greenlight_core::secret::{Secret, SecretError};
use greenlight_http::{Client, ClientError};
use greenlight_render::language::Language;
use greenlight_render::text;
use greenlight_sources::feishu::FeishuApp;
use greenlight_stores::SystemClock;
use secrecy::ExposeSecret;
use thiserror::Error;

use crate::secrets::Secrets;

/// What to send.
#[derive(Clone, Debug)]
pub enum TestEvent {
    /// A URL check, as the console sends when the request URL is entered.
    UrlCheck,
    /// The end of an approval instance.
    Approved {
        /// The approval definition.
        definition_id: String,
        instance_id: String,
    },
}

/// The event was not sent, or got a wrong answer.
#[derive(Debug, Error, Explain)]
#[explain("send_test")]
pub enum SendError {
    /// The secret cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The URL is invalid.
    #[error("`{url}` is not a URL: {cause}")]
    Url {
        /// What was given.
        url: String,
        /// Why.
        cause: http::Error,
    },
    /// No answer came.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The answer is wrong.
    #[error("answered HTTP {status}: {body}; Feishu would take that for a failure")]
    Answer { status: u16, body: String },
}

/// The answer to a test event, as Feishu expects it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestAnswer {
    /// The challenge was returned.
    Challenge,
    /// The event was accepted.
    Event {
        event_id: String,
        /// The body of the answer.
        body: String,
    },
}

/// Renders the answer.
#[must_use]
pub fn render(answer: &TestAnswer, language: Language) -> String {
    match answer {
        TestAnswer::Challenge => language
            .pick(
                "the challenge was returned: Feishu would accept the URL\n",
                "已正确返回校验码：飞书会接受该网址\n",
            )
            .to_owned(),
        TestAnswer::Event { event_id, body } => text!(
            language,
            "event {event_id}: answered HTTP 200 {body}\n",
            "事件 {event_id}：应答 HTTP 200 {body}\n"
        ),
    }
}

/// Sends `event` to `url`, encrypted and signed with the keys in `secrets`.
///
/// # Errors
/// [`SendError`] says why Feishu's own event would fail.
pub async fn send_test(
    url: &str,
    secrets: &Secrets,
    event: &TestEvent,
) -> Result<TestAnswer, SendError> {
    let app = app(secrets).await?;
    let now = SystemClock.now().as_millis();
    let challenge = format!("{:016x}", fastrand::u64(..));
    let event_id = format!("greenlight-test-{now}");
    let sent = match event {
        TestEvent::UrlCheck => app.url_check(&challenge),
        TestEvent::Approved { definition_id, instance_id } => {
            app.approval_instance(&event_id, definition_id, instance_id, "APPROVED", now)
        }
    };
    let bad_url = |cause| SendError::Url { url: url.to_owned(), cause };
    let response = Client::new(None)?.send(sent.to_request(url).map_err(bad_url)?).await?;
    let status = response.status().as_u16();
    let body = String::from_utf8_lossy(response.body()).into_owned();
    let is_right = match event {
        TestEvent::UrlCheck => body.contains(&challenge),
        TestEvent::Approved { .. } => true,
    };
    if status != 200 || !is_right {
        return Err(SendError::Answer { status, body });
    }
    Ok(match event {
        TestEvent::UrlCheck => TestAnswer::Challenge,
        TestEvent::Approved { .. } => TestAnswer::Event { event_id, body },
    })
}

async fn app(secrets: &Secrets) -> Result<FeishuApp, SecretError> {
    let Secret { feishu, .. } = secrets.read().await?;
    Ok(FeishuApp {
        app_id: feishu.app_id,
        app_secret: feishu.app_secret.expose_secret().to_owned(),
        encrypt_key: feishu.encrypt_key.expose_secret().to_owned(),
        verification_token: feishu.verification_token.expose_secret().to_owned(),
        tenant_key: "test".to_owned(),
    })
}
