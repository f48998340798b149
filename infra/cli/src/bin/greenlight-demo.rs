//! `cargo demo`: the command `greenlight demo` as a program of its own. It is built without the AWS
//! SDK, and must not overwrite the full `greenlight`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use greenlight::arguments::Arguments;

fn main() -> ExitCode {
    let given = std::env::args_os().skip(1);
    let arguments = ["greenlight", "demo"].map(OsString::from).into_iter().chain(given);
    greenlight::command::run(Arguments::parse_from(arguments))
}
