//! `greenlight`: an approval turns green, and the rest follows.

use std::process::ExitCode;

use greenlight::help::{language, parse};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let language = language(&arguments, |name| std::env::var(name).ok());
    match parse(arguments, language) {
        Ok(arguments) => greenlight::command::run(arguments, language),
        Err(status) => status,
    }
}
