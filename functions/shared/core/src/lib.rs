//! The domain of greenlight: when an approval is granted, the actions that follow from it are
//! performed once.
//!
//! Pure: no runtime, no AWS, no HTTP client, no clock of its own. All I/O goes through a
//! [port](ports), one trait per capability, so that a signature shows what a function may do.
//!
//! # Layout
//! * [`receive`](receive()): the first use case. Turns a webhook request into a response, and an
//!   approval into a queued [`Request`].
//! * [`process`](process()): the second use case. Turns a queued request into effects, each done
//!   once.
//! * [`tick`](tick::tick): the third use case. Enqueues a message for each grant that is due.
//! * [`event`], [`request`], [`instance`], [`form`], [`mac`]: the values of the use cases.
//! * [`flow`]: the rules from an approval to actions, read from `flows.toml`.
//! * [`subject`]: what an action is performed on: a table of kinds.
//! * [`extract`]: from a form, through a flow's fields, to subjects and values.
//! * [`ledger`]: the recorded effects and the lease of a request, as a pure state machine.
//! * [`grant`]: the life of a grant, held by approvals and ended with the last of them.
//! * [`queued`]: what a queue message is about: a decision, a grant or a sweep that is due.
//! * [`sweep`]: approvals whose events were lost, found in the list of the office system.
//! * [`act`], [`block`]: what operators did, and the subjects that they blocked.
//! * [`audit`]: the history of requests, and the grants.
//! * [`explain`]: texts for people as data, which a catalogue renders in another language.
//! * [`failure`], [`retry`], [`breaker`]: why an attempt failed, when it is retried, and when a
//!   target is not called.
//! * [`metrics`], [`trace`]: metrics, and the id that links log lines.
//! * [`webhook`], [`stream`]: the halves of sources that receive events: by requests to the host,
//!   or over a connection that the host holds.
//! * [`secret`]: the secret, cached and read again when it may have been rotated.

// The derive macro names the crate by its name.
extern crate self as greenlight_core;

pub mod act;
pub mod audit;
pub mod block;
pub mod breaker;
pub mod budget;
mod characters;
pub mod event;
pub mod explain;
pub mod extract;
pub mod failure;
pub mod flow;
pub mod form;
pub mod grant;
pub mod instance;
pub mod key_path;
pub mod lease;
pub mod ledger;
pub mod mac;
pub mod metrics;
pub mod names;
pub mod operator;
pub mod person;
pub mod ports;
mod process;
pub mod queued;
mod receive;
pub mod renamed;
pub mod request;
pub mod retry;
pub mod schedule;
pub mod secret;
pub mod stream;
pub mod subject;
pub mod sweep;
pub mod tick;
pub mod time;
pub mod trace;
pub mod transport;
mod validation_errors;
pub mod webhook;
mod webhook_request;

pub use event::Decision;
pub use failure::{Class, Failure, Reason};
pub use process::{
    Disposition, Message, NOTHING_RECORDED, Plan, PlanInput, PlannedEffect, Processor, VALID_UNTIL,
    plan, process, read_sheets,
};
pub use receive::{Receiver, WebhookResponse, receive, receive_event};
pub use request::{Request, RequestKey};
pub use time::Timestamp;
pub use validation_errors::ValidationErrors;
pub use webhook_request::{
    MAX_BODY_BYTES, MAX_SIGNED_BODY_BYTES, Rejection, WEBHOOK_PATH, WebhookRequest,
};
