//! `greenlight`: an approval turns green, and the rest follows.

use std::process::ExitCode;

use clap::Parser;
use greenlight::arguments::Arguments;

fn main() -> ExitCode {
    greenlight::command::run(Arguments::parse())
}
