use greenlight_connectors::{Connectors, Setup};
use greenlight_core::audit::DeployedFlows;
use greenlight_core::flow::Flows;
use greenlight_core::{Timestamp, ValidationErrors};
use greenlight_sources::kind::ReadFrom;
use greenlight_sources::registry::Registry;

use crate::error::StartError;

/// Flows with their sources and connectors, validated together.
#[derive(Debug)]
pub struct Configuration {
    pub flows: Flows,
    /// The sources of the flows, with their kinds.
    pub sources: Registry,
    /// The targets of the flows, with their connectors.
    pub setup: Setup,
    /// The flows that a host records in its ledger, for the operator's commands.
    pub deployed: DeployedFlows,
}

impl Configuration {
    /// Parses `text`, the content of flows.toml, with the values of `${NAME}` from `environment`.
    /// `now` is when the host starts.
    ///
    /// # Errors
    /// [`StartError::Flows`], [`StartError::Sources`] and [`StartError::Setup`] list every error.
    pub fn parse(
        text: String,
        connectors: &Connectors,
        environment: &dyn Fn(&str) -> Option<String>,
        now: Timestamp,
    ) -> Result<Self, StartError> {
        let flows = Flows::parse(&text, environment)?;
        let sources = Registry::new(&flows.sources)?;
        let setup = Setup::new(&flows, connectors)?;
        let reads = sources.iter().filter_map(|(name, kind)| Some((name, kind.reads()?)));
        let check = |(name, read): (_, &ReadFrom)| {
            setup.check_read(name, &read.target, &read.operation).err()
        };
        ValidationErrors::into_result(reads.filter_map(check).collect())?;
        let deployed = DeployedFlows { text, connectors: connectors.digest(), since: now };
        Ok(Self { flows, sources, setup, deployed })
    }
}
