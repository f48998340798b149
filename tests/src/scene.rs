//! A scene: what Feishu sends, Feishu's OpenAPI, and a NAC.

use greenlight::simulator::{FeishuApp, Sent};
use greenlight::stub::{StubFeishu, StubNac, form_of};
use greenlight_core::ports::{Clock, Http, HttpError};
use greenlight_http::Client;
use greenlight_stores::SystemClock;

/// The approval that the flows of the suite are for.
pub const APPROVAL_CODE: &str = greenlight_testkit::request::DEFINITION_ID;

/// What the NAC wants as bearer token.
pub const NAC_TOKEN: &str = "nac-token";

/// What Feishu sends, Feishu's OpenAPI, and a NAC.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The app in Feishu's console.
    pub app: FeishuApp,
    /// Feishu's OpenAPI.
    pub feishu: StubFeishu,
    /// The NAC.
    pub nac: StubNac,
    /// An HTTP client; making one reads the machine's roots of trust, which takes a while.
    pub client: Client,
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Scene {
    /// Starts the stubs.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn set() -> Self {
        let app = FeishuApp::default();
        Self {
            feishu: StubFeishu::start(app.clone()).await.expect("the stub of Feishu starts"),
            nac: StubNac::start(NAC_TOKEN).await.expect("the stub of the NAC starts"),
            client: Client::new(None).expect("there is an HTTP client"),
            app,
        }
    }

    /// The same Feishu, and a NAC that knows no device yet.
    pub async fn with_another_nac(&self) -> Self {
        let nac = StubNac::start(NAC_TOKEN).await.expect("the stub of the NAC starts");
        Self { nac, ..self.clone() }
    }

    /// Keeps an approved instance at Feishu, with these devices in its table.
    pub fn approve(&self, instance_id: &str, devices: &[&str]) {
        self.approve_as(instance_id, APPROVAL_CODE, devices);
    }

    /// As [`Scene::approve`], of another approval.
    pub fn approve_as(&self, instance_id: &str, definition_id: &str, devices: &[&str]) {
        let form = form_of("", devices);
        self.feishu.put_instance(instance_id, definition_id, "APPROVED", &form);
    }

    /// The event of an instance, signed now.
    #[must_use]
    pub fn event(&self, event_id: &str, instance_id: &str, status: &str) -> Sent {
        let now = SystemClock.now().as_millis();
        self.app.approval_instance(event_id, APPROVAL_CODE, instance_id, status, now)
    }

    /// Sends to `url`; `host` is the virtual host of an API on a local AWS.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn send_to(&self, url: &str, host: Option<&str>, sent: &Sent) -> HttpAnswer {
        self.try_to_send(url, host, sent).await.expect("an answer comes")
    }

    /// As [`Scene::send_to`], where the server may be gone.
    ///
    /// # Errors
    /// [`HttpError`] when no answer comes.
    ///
    /// # Panics
    /// When `url` or `host` is none.
    pub async fn try_to_send(
        &self,
        url: &str,
        host: Option<&str>,
        sent: &Sent,
    ) -> Result<HttpAnswer, HttpError> {
        let mut request = sent.to_request(url).expect("the URL is one");
        if let Some(host) = host {
            let host = host.parse().expect("the host is one");
            request.headers_mut().insert(http::header::HOST, host);
        }
        let response = self.client.send(request).await?;
        Ok(HttpAnswer {
            status: response.status().as_u16(),
            body: String::from_utf8_lossy(response.body()).into_owned(),
        })
    }
}

/// Address number `n`, lower case with colons: the first 256 are those for documentation, the
/// others follow them in the block of the same registry.
#[must_use]
pub fn device(n: u32) -> String {
    let [_, a, b, c] = (0x5300 + n).to_be_bytes();
    format!("00:00:5e:{a:02x}:{b:02x}:{c:02x}")
}
