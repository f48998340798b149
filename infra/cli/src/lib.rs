//! The operator's command, as a library: the binary parses arguments and calls it, and so do the tests.
//!
//! * [`serve`]: both stories in one process, on one machine.
//! * [`dlq`]: what is in the dead-letter queue of this machine, and back or out with it.
//! * [`status`]: how things stand on this machine.
//! * [`flows`], [`connectors`]: is flows.toml right, what would it do, and what can be spoken to.
//! * [`simulator`], [`send_test`]: sends what Feishu would send.
//! * [`stub`]: stands in for Feishu's OpenAPI and for a NAC.
//! * [`demo`]: all of them together, telling a story.

pub mod connectors;
pub mod demo;
pub mod dlq;
pub mod flows;
pub mod send_test;
pub mod serve;
pub mod simulator;
pub mod status;
pub mod stub;
