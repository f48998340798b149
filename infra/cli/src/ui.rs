//! Serves the operator's page on loopback: `greenlight ui`, and `serve --ui` beside the server.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use greenlight_admin::stores::Stores;
use greenlight_core::explain::Explain;
use greenlight_render::language::Language;
use greenlight_render::outln;
use greenlight_server::connections;
use greenlight_server::signals::StopSignals;
use greenlight_web_ui::page;
use greenlight_web_ui::token::Token;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The page cannot be shown.
#[derive(Debug, Error, Explain)]
#[explain("ui")]
pub enum UiError {
    /// The port is taken.
    #[error("the page cannot listen on 127.0.0.1:{port}: {cause}")]
    Listen {
        port: u16,
        /// Why.
        cause: io::Error,
    },
}

/// Enough connections for the browser of one operator.
const MAX_CONNECTIONS: usize = 32;

/// The page of a backend, on a port of loopback.
#[derive(Debug)]
pub(crate) struct Ui {
    listener: TcpListener,
    address: SocketAddr,
    stores: Stores,
    who: String,
    token: Token,
}

/// Shows the page of `stores` to `who` until SIGINT or SIGTERM.
///
/// # Errors
/// [`UiError`] when the port is taken.
pub async fn run(
    stores: Stores,
    who: String,
    port: u16,
    language: Language,
) -> Result<(), UiError> {
    let mut signals = StopSignals::listen();
    let token = Token::random();
    let ui = Ui::bind(stores, who, port, token.clone()).await?;
    outln!("http://{}/?token={token}&lang={}", ui.address(), language.code());
    let advice = language.pick(
        "Open it in a browser of this machine; Ctrl-C ends it.",
        "请在本机浏览器中打开；按 Ctrl-C 结束。",
    );
    outln!("{advice}");
    tokio::select! {
        () = ui.serve() => {}
        () = signals.received() => {}
    }
    Ok(())
}

impl Ui {
    /// Binds the port, on loopback only.
    pub(crate) async fn bind(
        stores: Stores,
        who: String,
        port: u16,
        token: Token,
    ) -> Result<Self, UiError> {
        let failed = |cause| UiError::Listen { port, cause };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, stores, who, token })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the page until the future is dropped.
    pub(crate) async fn serve(self) {
        let app = page(self.stores, &self.who, self.token, self.address.port());
        // Never set: the future ends when it is dropped.
        let (_running, stopped) = watch::channel(false);
        connections::serve(self.listener, app, MAX_CONNECTIONS, stopped).await;
    }
}
