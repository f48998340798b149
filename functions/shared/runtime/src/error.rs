use greenlight_connectors::connector::ConnectorError;
use greenlight_core::ValidationErrors;
use greenlight_core::flow::FlowsError;
use greenlight_core::secret::SecretError;
use greenlight_http::ClientError;
use greenlight_stores::BadFlowsFile;
use thiserror::Error;

/// The reason for which a host cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The flows file cannot be read.
    #[error(transparent)]
    FlowsFile(#[from] BadFlowsFile),
    /// The flows are wrong.
    #[error("flows.toml: {0}")]
    Flows(#[from] ValidationErrors<FlowsError>),
    /// Flows and connectors do not go together.
    #[error("flows.toml: {0}")]
    Setup(#[from] ValidationErrors<ConnectorError>),
    /// A connector cannot be read, or the secret lacks what it needs.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// The secret cannot be read, or is not complete.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// An HTTP client cannot be made, or its secret would go over clear text.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A store cannot be opened, or its place is not configured.
    #[error(transparent)]
    Store(Box<dyn std::error::Error + Send + Sync>),
}

impl StartError {
    /// A store cannot be opened.
    pub fn store(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Store(Box::new(error))
    }
}
