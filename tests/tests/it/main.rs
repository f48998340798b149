//! The end-to-end suite: one module per subject in one program, to link only once.

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
mod rows;
mod serve;
mod sql;
mod stack;
mod start;
mod template;
mod wire;
