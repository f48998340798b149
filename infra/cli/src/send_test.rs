//! `greenlight send-test`: sends a test event to a URL, as the office system would.

use greenlight_core::explain::Explain;
use greenlight_core::ports::{Clock, Http, HttpError};
use greenlight_core::secret::{Credentials, SecretError};
use greenlight_core::transport::is_clear_text;
use greenlight_http::{Client, ClientError};
use greenlight_render::language::Language;
use greenlight_render::text;
use greenlight_sources::kind::SettingsWarning;
use greenlight_sources::registry::Registry;
use greenlight_sources::test_request::{NotSendable, TestEvent};
use greenlight_stores::SystemClock;
use thiserror::Error;

use crate::secrets::Secrets;
use crate::sources::NoSuchSource;

/// What to send.
#[derive(Clone, Debug)]
pub enum Test {
    /// A URL check, as when the URL is entered in the office system.
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
    /// There is no such source.
    #[error(transparent)]
    Source(#[from] NoSuchSource),
    /// Such an event does not exist, or cannot be signed.
    #[error(transparent)]
    NotSendable(#[from] NotSendable),
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
    /// A shared token would be sent in clear text.
    #[error("`{url}` would get the token of this source in clear text: use https://")]
    ClearText {
        /// What was given.
        url: String,
    },
    /// No answer came.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The answer is wrong.
    #[error("answered HTTP {status}: {body}; the office system would take that for a failure")]
    Answer { status: u16, body: String },
}

/// The answer to a test event, as the office system expects it.
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
                "the challenge was returned: the office system would accept the URL\n",
                "已正确返回校验码：办公系统会接受该网址\n",
            )
            .to_owned(),
        TestAnswer::Event { event_id, body } => text!(
            language,
            "event {event_id}: answered HTTP 200 {body}\n",
            "事件 {event_id}：应答 HTTP 200 {body}\n"
        ),
    }
}

/// Sends `test` to `url`, as `source` would with the keys in `secrets`.
///
/// # Errors
/// [`SendError`] says why the office system's own event would fail.
pub async fn send_test(
    url: &str,
    registry: &Registry,
    source: Option<&str>,
    secrets: &Secrets,
    test: &Test,
) -> Result<TestAnswer, SendError> {
    let (name, kind) = registry.find(source).ok_or_else(|| NoSuchSource::new(source, registry))?;
    if kind.warning() == Some(SettingsWarning::SharedToken) && is_clear_text(url) {
        return Err(SendError::ClearText { url: url.to_owned() });
    }
    let secret = secrets.read().await?;
    let now = SystemClock.now();
    let challenge = format!("{:016x}", fastrand::u64(..));
    let event_id = format!("greenlight-test-{}", now.as_millis());
    let event = match test.clone() {
        Test::UrlCheck => TestEvent::UrlCheck { challenge: challenge.clone() },
        Test::Approved { definition_id, instance_id } => {
            TestEvent::Approved { event_id: event_id.clone(), definition_id, instance_id }
        }
    };
    let none = Credentials::default();
    let sent = kind.test_request(&event, secret.source(name).unwrap_or(&none), now)?;
    let bad_url = |cause| SendError::Url { url: url.to_owned(), cause };
    let response = Client::new(None)?.send(sent.to_request(url).map_err(bad_url)?).await?;
    let status = response.status().as_u16();
    let body = String::from_utf8_lossy(response.body()).into_owned();
    let is_right = match test {
        Test::UrlCheck => body.contains(&challenge),
        Test::Approved { .. } => true,
    };
    if status != 200 || !is_right {
        return Err(SendError::Answer { status, body });
    }
    Ok(match test {
        Test::UrlCheck => TestAnswer::Challenge,
        Test::Approved { .. } => TestAnswer::Event { event_id, body },
    })
}
