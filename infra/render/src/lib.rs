//! What operators see: renderings of the data that [`greenlight_admin`] returns, for the command
//! and the page.
//!
//! * [`status`], [`audit`], [`grants`], [`access`], [`acts`], [`dlq`], [`replay`]: as text and as
//!   JSON.
//! * [`reasons`]: the next step for a failure.
//! * [`language`]: English and Chinese; `zh.toml` has the Chinese texts of errors.
//! * [`format`], [`output`]: layout of texts, and safe output to a terminal.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod access;
pub mod acts;
pub mod audit;
pub mod dlq;
pub mod format;
pub mod grants;
pub mod grants_csv;
pub mod language;
pub mod output;
pub mod reasons;
#[cfg(test)]
mod renderings;
pub mod replay;
pub mod status;
