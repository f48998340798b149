//! The surroundings of a function: the Runtime API, AWS over TLS, Feishu and a NAC.

use std::path::PathBuf;
use std::process::Stdio;

use greenlight_testkit::stub::secret_document;
use greenlight_tests::lambda::RuntimeApi;
use greenlight_tests::scene::{APPROVAL_CODE, NAC_TOKEN, Scene};
use greenlight_tests::stub_aws::StubAws;
use tokio::process::{Child, Command};

use crate::install::Bootstrap;

pub(crate) struct Stage {
    pub(crate) scene: Scene,
    pub(crate) aws: StubAws,
    bundle: PathBuf,
    _folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let scene = Scene::set().await;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let bundle = folder.path().join("roots.pem");
        let aws = StubAws::start(&secret_document(&scene.app, NAC_TOKEN), &bundle).await;
        Self { scene, aws, bundle, _folder: folder }
    }

    /// Starts a bootstrap, which fetches its events from `api`.
    pub(crate) fn spawn(&self, contender: &Bootstrap, api: &RuntimeApi) -> Child {
        let (program, arguments) = contender.command.split_first().expect("a program is given");
        let aws = self.aws.url();
        let queue = |name: &str| format!("{aws}/000000000000/{name}");
        Command::new(program)
            .args(arguments)
            .current_dir(&contender.folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(api.environment())
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_SESSION_TOKEN", "test")
            .env("AWS_ENDPOINT_URL", &aws)
            .env("SSL_CERT_FILE", &self.bundle)
            .env("AWS_CA_BUNDLE", &self.bundle)
            .env("NODE_EXTRA_CA_CERTS", &self.bundle)
            .env("QUEUE_URL", queue("queue"))
            .env("DLQ_URL", queue("dlq"))
            .env("LEDGER_TABLE", "ledger")
            .env("SECRET_ARN", "secret")
            .env("APPROVAL_CODE", APPROVAL_CODE)
            .env("FLOWS", self.scene.flows())
            .env("FEISHU_BASE_URL", self.scene.feishu.url())
            .env("NAC_URL", self.scene.nac.url())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", contender.name))
    }
}
