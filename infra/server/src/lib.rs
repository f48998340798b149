//! `greenlight serve`: both use cases in one process, on one machine, with SQLite for queue,
//! dead-letter queue and ledger.
//!
//! * [`server`]: starts and stops listener and consumer.
//! * [`connections`]: the listener's connections, bounded in number, time and memory.
//! * [`streams`]: the connections to office systems that send their events over one.
//! * [`signals`]: SIGINT and SIGTERM.

pub mod connections;
mod consumer;
mod counters;
mod local;
mod prometheus;
pub mod server;
pub mod signals;
mod streams;
mod timer;
mod webhook;
