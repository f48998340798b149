//! `greenlight serve`: runs the server, and the operator's page beside it, until a signal.

use std::path::Path;

use greenlight_admin::stores::Stores;
use greenlight_core::explain::Explain;
use greenlight_core::secret::SecretError;
use greenlight_server::server::{Options, ServeError, Server};
use greenlight_server::signals::StopSignals;
use greenlight_stores::SecretFile;
use greenlight_web_ui::token::Token;
use thiserror::Error;
use tokio::task::JoinHandle;

use crate::backend::local_user;
use crate::ui::{Ui, UiError};

/// The server cannot start, or ended by itself.
#[derive(Debug, Error, Explain)]
#[explain("serve")]
pub enum RunError {
    /// It cannot start.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The page cannot be shown.
    #[error(transparent)]
    Ui(#[from] UiError),
    /// The page's token cannot be written.
    #[error(transparent)]
    Token(#[from] SecretError),
    /// A part of it ended by itself.
    #[error("a part of the server ended by itself: the log says why")]
    Ended,
}

/// Serves until SIGINT or SIGTERM; `ui` is the port of loopback for the operator's page.
///
/// # Errors
/// [`RunError`] when the server cannot start, or a part of it ended.
pub async fn run(options: Options, ui: Option<u16>) -> Result<(), RunError> {
    let mut signals = StopSignals::listen();
    let data = options.data.clone();
    let mut server = tokio::select! {
        server = Server::start(options) => server?,
        () = signals.received() => return Ok(()),
    };
    let page = match ui {
        Some(port) => Some(show_page(&server, port, &data).await?),
        None => None,
    };
    tracing::info!("listening on http://{}/api/event", server.address());
    let result = tokio::select! {
        () = signals.received() => Ok(()),
        () = server.ended() => Err(RunError::Ended),
    };
    if let Some(page) = page {
        page.abort();
    }
    tracing::info!("stopping: running attempts are finished first");
    server.stop().await;
    result
}

/// The operator's page beside the server. Its token is in the data folder, for those who may read
/// that, and not in the log.
async fn show_page(server: &Server, port: u16, data: &Path) -> Result<JoinHandle<()>, RunError> {
    let token = Token::random();
    let file = data.join("ui-token");
    SecretFile::new(file.clone()).put(&format!("{token}\n"))?;
    let ui = Ui::bind(Stores::of(server.database().clone()), local_user(), port, token).await?;
    tracing::info!("the page is at http://{}, its token in {}", ui.address(), file.display());
    Ok(tokio::spawn(ui.serve()))
}
