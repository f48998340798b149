//! The end-to-end suite, one module per subject, in one program: linking takes most of the time
//! that each further program would cost.

mod cloud;
mod command;
mod connectors;
mod crash;
mod disk;
mod flows;
mod functions;
mod glibc;
mod guarantees;
mod http;
mod ledger;
mod listener;
mod minimal;
mod openapi;
mod operator;
mod oracle;
mod page;
mod queue;
mod radius;
mod serve;
mod sql;
mod stack;
mod start;
mod template;
mod wire;
