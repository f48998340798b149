//! The operator's command, as a library: the binary parses [`arguments`] and calls [`command`].
//!
//! * [`serve`]: both use cases in one process, on one machine.
//! * [`backend`]: where greenlight runs, a data folder or a stack; all that follows works on both.
//! * [`status`], [`audit`], [`dlq`], [`replay`]: show status, history and dead letters; retry.
//! * [`ui`]: the same as a page in the browser.
//! * [`doctor`], [`feishu`], [`secrets`]: check the set-up, and complete it.
//! * [`flows`], [`connectors`]: validate and plan flows, list connectors.
//! * [`simulator`], [`send_test`]: send test events as Feishu would.
//! * [`stub`]: stubs of Feishu's OpenAPI and of a NAC.
//! * [`format`], [`output`]: layout of texts, and safe output to a terminal.
//! * [`demo`]: all parts together, step by step.

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
