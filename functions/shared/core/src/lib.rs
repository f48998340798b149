//! The domain of greenlight: an approval turns green, and the action that should follow is done once.
//!
//! Pure: no runtime, no AWS, no HTTP client, no clock of its own. Whatever touches the world is a
//! [port](ports), one trait per capability, so that a signature shows what a function may do.
//!
//! # Layout
//! * [`receive`](receive()): the first story. A delivery becomes an answer, and an approval a queued [`Request`].
//! * [`process`](process()): the second story. A queued request becomes effects, each done once.
//! * [`event`], [`request`], [`instance`], [`form`], [`mac`]: what the stories speak of.
//! * [`flow`]: the rules from an approval to actions, read from `flows.toml`.
//! * [`extract`]: from a form, through a flow's fields, to devices and values.
//! * [`ledger`]: what was done already, as a pure state machine.
//! * [`audit`]: what can be told afterwards, of requests, devices and the whole.
//! * [`failure`], [`retry`], [`breaker`]: why something did not work, when it is tried again, and when a
//!   target is left in peace.
//! * [`metrics`], [`trace`]: what is counted, and the id that ties logs together.
//! * [`secret`]: the one secret, cached and read again when it may have been rotated.

pub mod audit;
pub mod breaker;
pub mod budget;
pub mod event;
pub mod extract;
pub mod failure;
pub mod flow;
pub mod form;
pub mod instance;
pub mod ledger;
pub mod mac;
pub mod metrics;
pub mod operator;
pub mod ports;
mod process;
mod receive;
pub mod renamed;
pub mod request;
pub mod retry;
pub mod secret;
pub mod time;
pub mod trace;
pub mod transport;
mod validation_errors;
mod webhook_request;

pub use event::Decision;
pub use failure::{Class, Failure, Reason};
pub use process::{Disposition, Message, Plan, PlannedEffect, Processor, plan, process};
pub use receive::{Ignored, Outcome, Receiver, WebhookResponse, receive};
pub use request::{Request, RequestKey};
pub use time::Timestamp;
pub use validation_errors::ValidationErrors;
pub use webhook_request::{MAX_BODY_BYTES, Rejection, WebhookRequest};
