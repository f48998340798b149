//! Stubs of office systems and of a NAC, on loopback, with faults on request; and a real RADIUS
//! server.

mod connections;
mod dingtalk;
mod feishu;
mod long_connection;
mod nac;
mod office;
mod radius;
mod seeyon;
mod system;
mod weaver;
mod webhook;
mod websocket;
mod wecom;

use std::io;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use greenlight_core::Timestamp;
use tokio::net::TcpListener;

pub use dingtalk::{StubDingTalk, dingtalk_app};
pub use feishu::{StubFeishu, at_feishu, demo_app, forged, form_of, secret_document};
pub use nac::{GROUPS_CONNECTOR, NacCall, StubNac};
pub use office::{OFFICE_TOKEN, StubOffice};
pub use radius::{Access, Radius, RadiusError, Whitelist};
pub use seeyon::{SEEYON_ACCOUNT, StubSeeyon};
pub use system::{
    Change, Fault, OFFICE_SYSTEMS, OfficeSystem, Outcome, altered, flows_for_devices,
};
pub use weaver::{StubWeaver, WEAVER_APP};
pub use webhook::{message_of, signed_webhook, signed_webhook_at};
pub use wecom::{StubWeCom, wecom_app};

/// The time of this machine.
fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Timestamp::from_millis(i64::try_from(now).unwrap_or_default())
}

/// Serves `app` on a free port of loopback for as long as the process lives.
async fn serve(app: Router) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}
