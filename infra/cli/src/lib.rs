//! The operator's command, as a library: the binary parses [`arguments`] and calls [`command`].
//!
//! * [`help`]: the help, and the errors of the command line, in both languages.
//! * [`serve`]: runs the server on this machine.
//! * [`ui`]: serves the operator's page.
//! * [`backend`]: where greenlight runs, a data folder or a stack; the other commands work on both.
//! * [`doctor`], [`sources`], [`secrets`], [`send_test`]: check the set-up, and complete it.
//! * [`flows`], [`connectors`]: validate and plan flows, list connectors.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod access;
pub mod arguments;
pub mod backend;
pub mod command;
pub mod connectors;
pub mod doctor;
pub mod flows;
pub mod help;
mod outcome;
pub mod secrets;
pub mod send_test;
pub mod serve;
pub mod sources;
pub mod ui;
