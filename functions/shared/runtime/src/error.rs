use greenlight_connectors::connector::ConnectorError;
use greenlight_core::ValidationErrors;
use greenlight_core::explain::Explain;
use greenlight_core::flow::FlowsError;
use greenlight_core::secret::SecretError;
use greenlight_http::ClientError;
use greenlight_sources::registry::SourceError;
use greenlight_stores::BadFlowsFile;
use thiserror::Error;

/// The reason for which a host cannot start.
#[derive(Debug, Error, Explain)]
#[explain("start")]
pub enum StartError {
    /// The flows file cannot be read.
    #[error(transparent)]
    FlowsFile(#[from] BadFlowsFile),
    /// The flows are invalid.
    #[error("flows.toml: {0}")]
    Flows(#[from] ValidationErrors<FlowsError>),
    /// The sources are invalid.
    #[error("flows.toml: {0}")]
    Sources(#[from] ValidationErrors<SourceError>),
    /// Flows and connectors do not match.
    #[error("flows.toml: {0}")]
    Setup(#[from] ValidationErrors<ConnectorError>),
    /// A connector cannot be read, or the secret lacks what it needs.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// The secret cannot be read, or is incomplete.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// An HTTP client cannot be built, or would send its secret in clear text.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A store cannot be opened, or its location is not configured.
    #[error(transparent)]
    Store(Box<dyn std::error::Error + Send + Sync>),
}

impl StartError {
    /// A store cannot be opened.
    pub fn store(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Store(Box::new(error))
    }
}
