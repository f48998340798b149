//! `greenlight serve` in a temporary folder, with the requests that are sent to it and the lines
//! about the steps.

use std::time::{Duration, Instant};

use bytes::Bytes;
use greenlight_core::ports::Http;
use greenlight_http::Client;
use greenlight_render::language::Language;
use greenlight_render::outln;
use greenlight_server::server::{Options, Server};
use greenlight_sources::test_request::Sent;
use greenlight_stores::private::write_private;
use serde_json::Value;
use tempfile::TempDir;

use crate::{DemoError, TIMEOUT};

pub(crate) struct Machine {
    pub(crate) language: Language,
    pub(crate) server: Server,
    pub(crate) events: usize,
    /// How long each answer took.
    pub(crate) answers: Vec<Duration>,
    /// The steps with an unexpected result.
    pub(crate) wrong: usize,
    client: Client,
    _folder: TempDir,
}

impl Machine {
    /// With its data, `flows` and the secret document in `folder`; a folder `connectors` in it is
    /// read.
    pub(crate) async fn start(
        folder: TempDir,
        flows: &str,
        secret: &Value,
        environment: &(dyn Fn(&str) -> Option<String> + Sync),
        language: Language,
    ) -> Result<Self, DemoError> {
        let at = |name: &str| folder.path().join(name);
        write_private(&at("secrets.json"), &secret.to_string())?;
        std::fs::write(at("flows.toml"), flows)?;
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            data: at("data"),
            secrets: at("secrets.json"),
            flows: Some(at("flows.toml")),
            connectors: Some(at("connectors")).filter(|connectors| connectors.exists()),
            // Access that ends by time is to be seen.
            tick_every: Duration::from_secs(1),
        };
        Ok(Self {
            language,
            server: Server::start_with(options, environment).await?,
            client: Client::new(None)?,
            events: 0,
            answers: Vec::new(),
            wrong: 0,
            _folder: folder,
        })
    }

    pub(crate) async fn send(&mut self, sent: &Sent) -> Result<(u16, String), DemoError> {
        let request = sent.to_request(&self.url())?;
        let start = Instant::now();
        let response: http::Response<Bytes> = self.client.send(request).await?;
        self.answers.push(start.elapsed());
        self.events += 1;
        let body = String::from_utf8_lossy(response.body()).into_owned();
        Ok((response.status().as_u16(), body))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/api/event", self.server.address())
    }

    pub(crate) async fn drained(&self) -> Result<(), DemoError> {
        match tokio::time::timeout(TIMEOUT, self.server.drained()).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(DemoError::NotDrained(TIMEOUT.as_secs())),
        }
    }

    /// Prints a step and its result, each in English and Chinese.
    pub(crate) fn report(
        &mut self,
        step: (&'static str, &'static str),
        is_right: bool,
        result: &str,
    ) {
        let mark = if is_right { "ok " } else { "BAD" };
        self.wrong += usize::from(!is_right);
        let (colon, step) = (self.language.pick(": ", "："), self.language.pick(step.0, step.1));
        outln!("{mark}  {step}{colon}{result}");
    }

    /// Stops the server.
    ///
    /// # Errors
    /// [`DemoError::Wrong`] when a step failed.
    pub(crate) async fn end(self) -> Result<(), DemoError> {
        self.server.stop().await;
        if self.wrong > 0 { Err(DemoError::Wrong(self.wrong)) } else { Ok(()) }
    }
}
