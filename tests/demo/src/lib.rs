//! The demonstration: serve, with stubs of Feishu and of a NAC, and a line per step.

mod kind;
mod machine;
mod radius;
mod rows;
mod scenario;

use std::io;
use std::time::Duration;

use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::operator::StoreError;
use greenlight_core::ports::{Clock, HttpError, QueueError};
use greenlight_http::ClientError;
use greenlight_stores::SystemClock;
use tempfile::TempDir;
use thiserror::Error;

use greenlight_render::language::Language;
use greenlight_render::{outln, text};
use greenlight_server::server::ServeError;
use greenlight_server::signals::StopSignals;
use greenlight_sources::feishu::FeishuApp;
use greenlight_sources::test_request::Sent;
use greenlight_testkit::stub::{
    GROUPS_CONNECTOR, RadiusError, StubFeishu, StubNac, at_feishu, demo_app, secret_document,
};

pub use kind::{kinds, run_kind};
pub use radius::run_radius;

use machine::Machine;

const APPROVAL_CODE: &str = "7C468A54-8745-2245-9675-08B7C63E7A85";
const NAC_TOKEN: &str = "demo-nac-token";

/// Enough for a slow machine: the scenario takes less than a second on most.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The demonstration could not run, or a step failed.
#[derive(Debug, Error)]
pub enum DemoError {
    /// Loopback or the temporary folder cannot be used.
    #[error("the stubs cannot be started: {0}")]
    Stub(#[from] io::Error),
    /// Serving failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A request got no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A request could not be built.
    #[error("a request cannot be built: {0}")]
    Request(#[from] http::Error),
    /// The queue cannot be read.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The grants cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no RADIUS server.
    #[error(transparent)]
    Radius(#[from] RadiusError),
    /// The device of the scenario is none.
    #[error("{0}")]
    Subject(Explanation),
    /// Requests are left in the queue.
    #[error("the queue was not empty after {0} s")]
    NotDrained(u64),
    /// Steps had an unexpected result.
    #[error("the demonstration failed: {0} step(s) had an unexpected result")]
    Wrong(usize),
}

impl DemoError {
    /// For people.
    #[must_use]
    pub fn render(&self, language: Language) -> String {
        match self {
            Self::Serve(error) => language.explain(&error.explain()),
            Self::Client(error) => language.explain(&error.explain()),
            Self::Http(error) => language.explain(&error.explain()),
            Self::Queue(error) => language.explain(&error.explain()),
            Self::Store(error) => language.explain(&error.explain()),
            Self::Radius(RadiusError::NotInstalled(path)) => text!(
                language,
                "{path} is absent: install it with `apt-get install {packages}` (Debian 12)",
                "没有 {path}：请用 `apt-get install {packages}`（Debian 12）安装",
                packages = "freeradius freeradius-utils freeradius-rest"
            ),
            Self::Subject(cause) => language.explain(cause),
            Self::Radius(error) => error.to_string(),
            Self::Stub(error) => text!(
                language,
                "the stubs cannot be started: {error}",
                "无法启动桩服务：{error}",
                error = language.explain(&error.explain())
            ),
            Self::Request(error) => {
                text!(language, "a request cannot be built: {error}", "无法构造请求：{error}")
            }
            Self::NotDrained(seconds) => text!(
                language,
                "the queue was not empty after {seconds} s",
                "{seconds} 秒后队列仍未清空"
            ),
            Self::Wrong(count) => text!(
                language,
                "the demonstration failed: {count} step(s) had an unexpected result",
                "演示失败：有 {count} 步结果不符合预期"
            ),
        }
    }
}

/// Runs the scenario; `keep` leaves everything running until it is interrupted.
///
/// # Errors
/// [`DemoError::Wrong`] when a step failed, the others when it could not run.
pub async fn run(keep: bool, language: Language) -> Result<(), DemoError> {
    let mut stage = Stage::set(language).await?;
    let title = language.pick(
        "greenlight demo: Feishu and the NAC are stubs on loopback, everything else is real",
        "greenlight 演示：飞书与 NAC 为本机桩服务，其余均为真实流程",
    );
    outln!("{title}\n");
    stage.play().await?;
    stage.figures().await?;
    if keep {
        stage.invite();
        StopSignals::listen().received().await;
    }
    stage.machine.end().await
}

struct Stage {
    machine: Machine,
    app: FeishuApp,
    feishu: StubFeishu,
    nac: StubNac,
}

impl Stage {
    /// With the flows that are built in, and one over rows.
    async fn set(language: Language) -> Result<Self, DemoError> {
        let (feishu, nac) = Self::stubs().await?;
        let flows = [include_str!("../../../infra/flows.toml"), rows::FLOW].concat();
        Self::set_with(feishu, nac, tempfile::tempdir()?, &flows, language).await
    }

    async fn stubs() -> io::Result<(StubFeishu, StubNac)> {
        Ok((StubFeishu::start(demo_app()).await?, StubNac::start(NAC_TOKEN).await?))
    }

    async fn set_with(
        feishu: StubFeishu,
        nac: StubNac,
        folder: TempDir,
        flows: &str,
        language: Language,
    ) -> Result<Self, DemoError> {
        let app = demo_app();
        let mut document = secret_document(&app, NAC_TOKEN);
        for target in ["phones", "laptops"] {
            document["targets"][target] = document["targets"]["nac"].clone();
        }
        let connectors = folder.path().join("connectors");
        std::fs::create_dir(&connectors)?;
        std::fs::write(connectors.join("groups.toml"), GROUPS_CONNECTOR)?;
        let nac_url = nac.url();
        let environment = move |name: &str| match name {
            "NAC_URL" => Some(nac_url.clone()),
            "APPROVAL_CODE" => Some(APPROVAL_CODE.to_owned()),
            _ => None,
        };
        let flows = at_feishu(flows, &feishu.url());
        let machine = Machine::start(folder, &flows, &document, &environment, language).await?;
        Ok(Self { machine, app, feishu, nac })
    }

    fn approval(&self, event_id: &str, instance_id: &str, status: &str) -> Sent {
        self.approval_of(APPROVAL_CODE, event_id, instance_id, status)
    }

    fn approval_of(
        &self,
        definition_id: &str,
        event_id: &str,
        instance_id: &str,
        status: &str,
    ) -> Sent {
        let now = SystemClock.now().as_millis();
        self.app.approval_instance(event_id, definition_id, instance_id, status, now)
    }
}
