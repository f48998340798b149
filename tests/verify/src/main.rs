//! `cargo verify`: everything that must hold before a change lands, with nothing else to set up.
//!
//! No dependencies, so that it starts within seconds on a fresh machine.

mod guards;
mod parts;
mod run;
mod tools;

use std::process::ExitCode;
use std::time::Instant;

use parts::{PARTS, Part};
use run::Tally;

fn main() -> ExitCode {
    let (flags, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    if flags.iter().any(|flag| flag == "--list") {
        for part in PARTS {
            println!("{:<10} {}", part.name, part.what);
        }
        return ExitCode::SUCCESS;
    }
    let known = [parts::LONG, guards::WRITE];
    if let Some(unknown) = flags.iter().find(|flag| !known.contains(&flag.as_str())) {
        eprintln!(
            "there is no `{unknown}`; there are `--list`, for the part soak `--long`, and for the part guards `--write`"
        );
        return ExitCode::from(2);
    }
    let chosen: Vec<&Part> = if names.is_empty() {
        run::forget_passed();
        PARTS.iter().collect()
    } else {
        match names.iter().map(|name| parts::named(name)).collect() {
            Ok(chosen) => chosen,
            Err(unknown) => {
                eprintln!("there is no part `{unknown}`; `cargo verify --list` names them");
                return ExitCode::from(2);
            }
        }
    };
    let mut total = Tally::default();
    let mut failed = Vec::new();
    let mut lines = Vec::new();
    for (number, part) in (1..).zip(&chosen) {
        println!("\n== {} ({number} of {}): {}", part.name, chosen.len(), part.what);
        let start = Instant::now();
        let (tally, note) = match (part.run)() {
            Ok(tally) => (tally, String::new()),
            Err(problem) => {
                failed.push(part.name);
                (problem.tally, format!("  {}", problem.text))
            }
        };
        let seconds = start.elapsed().as_secs();
        lines.push(format!(
            "{:<10} {:>4} passed {:>3} failed {:>5} s{note}",
            part.name, tally.passed, tally.failed, seconds
        ));
        total += tally;
    }
    println!("\n{}", lines.join("\n"));
    println!("\n{} passed, {} failed", total.passed, total.failed);
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
