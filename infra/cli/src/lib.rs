//! The operator's command, as a library: the binary parses [`arguments`] and calls [`command`].
//!
//! * [`serve`]: both use cases in one process, on one machine.
//! * [`backend`]: where greenlight runs, a data folder or a stack; all that follows works on both.
//! * [`status`], [`audit`], [`dlq`], [`replay`]: how things stand, what happened, and put right.
//! * [`ui`]: the same as a page.
//! * [`doctor`], [`feishu`], [`secrets`]: is everything set up, and set it up.
//! * [`flows`], [`connectors`]: is flows.toml right, what would it do, and what can be spoken to.
//! * [`simulator`], [`send_test`]: sends what Feishu would send.
//! * [`stub`]: stands in for Feishu's OpenAPI and for a NAC.
//! * [`format`], [`output`]: how it is laid out, and the one way to a terminal.
//! * [`demo`]: all of them together, step by step.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod arguments;
pub mod audit;
pub mod backend;
pub mod command;
mod connections;
pub mod connectors;
pub mod demo;
pub mod dlq;
pub mod doctor;
pub mod feishu;
pub mod flows;
pub mod format;
pub mod output;
pub mod reasons;
#[cfg(test)]
mod renderings;
pub mod replay;
pub mod secrets;
pub mod send_test;
pub mod serve;
mod signals;
pub mod simulator;
pub mod status;
pub mod stub;
pub mod ui;
