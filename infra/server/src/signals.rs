//! Signals that stop the process.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A listener for SIGINT and SIGTERM, active from its creation. Create it before the server
/// listens, so that no signal is missed.
pub struct StopSignals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl StopSignals {
    /// Listens from now on.
    #[must_use]
    pub fn listen() -> Self {
        let of = |kind| signal(kind).ok();
        Self { interrupt: of(SignalKind::interrupt()), terminate: of(SignalKind::terminate()) }
    }

    /// Returns after the first signal.
    pub async fn received(&mut self) {
        tokio::select! {
            () = received(self.interrupt.as_mut()) => {}
            () = received(self.terminate.as_mut()) => {}
        }
    }
}

async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
