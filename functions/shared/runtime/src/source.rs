//! The office system, with the sheets that are attached to its forms.

use greenlight_core::Failure;
use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::form::{Attachment, Field};
use greenlight_core::instance::Instance;
use greenlight_core::ports::{Clock, Http, ReadInstance, ReadSecret, ReadSheet};
use greenlight_core::transport::is_clear_text;
use greenlight_http::{Client, ClientError};
use greenlight_sources::feishu::FeishuClient;
use greenlight_stores::SystemClock;

use crate::error::StartError;

/// The API of the office system, over HTTP.
pub type Feishu<S> = FeishuClient<Client, S, SystemClock>;

/// The office system.
#[derive(Debug)]
pub struct Source<H, S, C>(pub FeishuClient<H, S, C>);

/// The office system, over HTTP.
pub type HttpSource<S> = Source<Client, S, SystemClock>;

impl<S: ReadSecret> HttpSource<S> {
    /// The office system at `base_url`.
    ///
    /// # Errors
    /// [`StartError::Client`] when the app's secret would be sent in clear text, or the machine has
    /// no trust anchors.
    pub fn new(base_url: &str, secret: S) -> Result<Self, StartError> {
        if is_clear_text(base_url) {
            return Err(ClientError::ClearText(base_url.to_owned()).into());
        }
        Ok(Self(FeishuClient::new(Client::new(None)?, secret, SystemClock, base_url)))
    }
}

impl<H: Http, S: ReadSecret, C: Clock> ReadInstance for Source<H, S, C> {
    async fn read_instance(&self, instance_id: &str) -> Result<Instance, Failure> {
        self.0.read_instance(instance_id).await
    }
}

impl<H: Http, S: ReadSecret, C: Clock> ReadSheet for Source<H, S, C> {
    async fn read_sheet(
        &self,
        file: &Attachment,
    ) -> Result<Result<Vec<Vec<Field>>, Explanation>, Failure> {
        let bytes = match self.0.download(file).await {
            Ok(bytes) => bytes,
            // Too large, or on another host: about this file, and not about the office system.
            Err(Failure::GiveUp { reason }) => return Ok(Err(reason.cause)),
            Err(failure) => return Err(failure),
        };
        Ok(greenlight_sheets::rows(&file.name, &bytes).map_err(|error| error.explain()))
    }
}
