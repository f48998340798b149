//! The sources, with the sheets that are attached to their forms.

use std::ops::Range;

use greenlight_core::explain::{Explain, Explanation};
use greenlight_core::form::{Attachment, Field};
use greenlight_core::instance::Instance;
use greenlight_core::person::{PersonKey, Presence};
use greenlight_core::ports::{
    ListInstances, Listed, ReadInstance, ReadPerson, ReadSecret, ReadSheet, ReadTarget,
};
use greenlight_core::sweep::{Pace, SweepKey};
use greenlight_core::{Failure, Request, Timestamp};
use greenlight_http::Client;
use greenlight_sheets::SheetError;
use greenlight_sources::registry::Registry;
use greenlight_sources::source::{SourcePorts, Sources};
use greenlight_stores::SystemClock;
use tokio::task::spawn_blocking;

use crate::error::StartError;

/// The sources of a host, and the HTTP client with which they call the office systems.
#[derive(Clone, Debug)]
pub struct HttpSources(pub Sources, pub Client);

impl HttpSources {
    /// The sources of `registry`, with their credentials from `secret`. Some are read through
    /// `targets`.
    ///
    /// # Errors
    /// [`StartError::Client`] when the machine has no trust anchors.
    pub fn new(
        registry: &Registry,
        secret: impl ReadSecret + 'static,
        targets: impl ReadTarget + 'static,
    ) -> Result<Self, StartError> {
        let client = Client::new(None)?;
        let ports = SourcePorts::new(client.clone(), secret, SystemClock, targets);
        Ok(Self(registry.clients(&ports), client))
    }

    /// The HTTP client with which the office systems are called.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.1
    }
}

impl ReadInstance for HttpSources {
    async fn read_instance(&self, request: &Request) -> Result<Instance, Failure> {
        self.0.read_instance(request).await
    }
}

impl ListInstances for HttpSources {
    fn pace(&self, source: &str) -> Option<Pace> {
        self.0.pace(source)
    }

    async fn list_created(
        &self,
        key: &SweepKey,
        window: Range<Timestamp>,
    ) -> Result<Listed, Failure> {
        self.0.list_created(key, window).await
    }
}

impl ReadPerson for HttpSources {
    async fn presence(&self, person: &PersonKey) -> Result<Presence, Failure> {
        self.0.presence(person).await
    }
}

impl ReadSheet for HttpSources {
    async fn read_sheet(
        &self,
        source: &str,
        file: &Attachment,
    ) -> Result<Result<Vec<Vec<Field>>, Explanation>, Failure> {
        let bytes = match self.0.find(source)?.download(file).await {
            Ok(bytes) => bytes,
            // Too large, or on another host: about this file, and not about the office system.
            Err(Failure::GiveUp { reason }) => return Ok(Err(reason.cause)),
            Err(failure) => return Err(failure),
        };
        // Reading it takes a while, in which other requests go on.
        let name = file.name.clone();
        let rows = spawn_blocking(move || greenlight_sheets::rows(&name, &bytes)).await;
        Ok(rows.unwrap_or(Err(SheetError::Damaged)).map_err(|error| error.explain()))
    }
}
