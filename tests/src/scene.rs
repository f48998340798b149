//! The world around the functions: events from Feishu, Feishu's OpenAPI, and a NAC.

use std::path::{Path, PathBuf};

use greenlight_core::ports::{Clock, Http, HttpError};
use greenlight_http::Client;
use greenlight_sources::feishu::FeishuApp;
use greenlight_sources::test_request::Sent;
use greenlight_stores::SystemClock;
use greenlight_testkit::stub::{StubFeishu, StubNac, at_feishu, demo_app, form_of};

/// The approval definition in the flows of the suite.
pub const APPROVAL_CODE: &str = greenlight_testkit::request::DEFINITION_ID;

/// The bearer token that the NAC accepts.
pub const NAC_TOKEN: &str = "nac-token";

/// Events from Feishu, stubs of Feishu's OpenAPI and of a NAC.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The app in Feishu's console.
    pub app: FeishuApp,
    /// Feishu's OpenAPI.
    pub feishu: StubFeishu,
    pub nac: StubNac,
    /// An HTTP client, shared: building one is slow, as it reads the machine's root certificates.
    pub client: Client,
    /// How events arrive: `receive` of the source.
    pub receive: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    pub body: String,
}

impl Scene {
    /// Starts the stubs.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn set() -> Self {
        let app = demo_app();
        Self {
            feishu: StubFeishu::start(app.clone()).await.expect("the stub of Feishu starts"),
            nac: StubNac::start(NAC_TOKEN).await.expect("the stub of the NAC starts"),
            client: Client::new(None).expect("an HTTP client can be built"),
            app,
            receive: "webhook",
        }
    }

    /// The same, with events over the long connection.
    #[must_use]
    pub fn over_long_connection(self) -> Self {
        Self { receive: "long_connection", ..self }
    }

    /// The built-in flows, with the stub of Feishu as their source.
    #[must_use]
    pub fn flows(&self) -> String {
        let flows = at_feishu(include_str!("../../infra/flows.toml"), &self.feishu.url());
        let kind = "kind = \"feishu\"";
        flows.replacen(kind, &format!("receive = \"{}\"\n{kind}", self.receive), 1)
    }

    /// A file in `folder` with [`Scene::flows`].
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn flows_file(&self, folder: &Path) -> PathBuf {
        let file = folder.join("flows-of-scene.toml");
        std::fs::write(&file, self.flows()).expect("the flows can be written");
        file
    }

    /// The same Feishu with a new, empty NAC.
    pub async fn with_another_nac(&self) -> Self {
        let nac = StubNac::start(NAC_TOKEN).await.expect("the stub of the NAC starts");
        Self { nac, ..self.clone() }
    }

    /// Stores an approved instance at Feishu, with these devices in its table.
    pub fn approve(&self, instance_id: &str, devices: &[&str]) {
        self.approve_as(instance_id, APPROVAL_CODE, devices);
    }

    /// Like [`Scene::approve`], for another approval definition.
    pub fn approve_as(&self, instance_id: &str, definition_id: &str, devices: &[&str]) {
        let form = form_of("", devices);
        self.feishu.put_instance(instance_id, definition_id, "APPROVED", &form);
    }

    /// A newly signed event of an instance.
    #[must_use]
    pub fn event(&self, event_id: &str, instance_id: &str, status: &str) -> Sent {
        let now = SystemClock.now().as_millis();
        self.app.approval_instance(event_id, APPROVAL_CODE, instance_id, status, now)
    }

    /// Sends an event of an instance over the long connection; returns the code of its reply.
    pub async fn push(&self, event_id: &str, instance_id: &str, status: &str) -> Option<i64> {
        let now = SystemClock.now().as_millis();
        let event = self.app.approval_event(event_id, APPROVAL_CODE, instance_id, status, now);
        self.feishu.push(&event, 1).await
    }

    /// Sends an event to `url`; `host` is the virtual host of an API on a local AWS.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn send_to(&self, url: &str, host: Option<&str>, sent: &Sent) -> HttpAnswer {
        self.try_to_send(url, host, sent).await.expect("an answer comes")
    }

    /// Like [`Scene::send_to`], for a server that may have stopped.
    ///
    /// # Errors
    /// [`HttpError`] when no answer comes.
    ///
    /// # Panics
    /// When `url` or `host` is invalid.
    pub async fn try_to_send(
        &self,
        url: &str,
        host: Option<&str>,
        sent: &Sent,
    ) -> Result<HttpAnswer, HttpError> {
        let mut request = sent.to_request(url).expect("the URL is valid");
        if let Some(host) = host {
            let host = host.parse().expect("the host is valid");
            request.headers_mut().insert(http::header::HOST, host);
        }
        let response = self.client.send(request).await?;
        Ok(HttpAnswer {
            status: response.status().as_u16(),
            body: String::from_utf8_lossy(response.body()).into_owned(),
        })
    }
}

/// MAC address number `n`, lower case with colons. The first 256 are reserved for documentation;
/// the others follow in the same registry block.
#[must_use]
pub fn device(n: u32) -> String {
    let [_, a, b, c] = (0x5300 + n).to_be_bytes();
    format!("00:00:5e:{a:02x}:{b:02x}:{c:02x}")
}
