//! `cargo verify`: all checks before a change lands, without further setup.
//!
//! No dependencies, so that it starts within seconds on a fresh machine.

mod baseline;
mod coverage;
mod guards;
mod parts;
mod run;
mod schedule;
mod supply;
mod tools;
mod words;

use std::process::ExitCode;
use std::time::Instant;

use parts::{PARTS, Part};
use run::{Output, Problem, Tally};
use schedule::Ended;

const USAGE: &str = "\
cargo verify                 all parts, as before a change lands
cargo verify PART...         these parts, and those that they need
cargo verify quick           format, lint, and the tests that need no more than SQLite
cargo verify coverage        what those tests cover, by crate (Debian's llvm-22, and root)
cargo verify advisories DB   Cargo.lock against a copy of RustSec's advisory database
--list                       the parts
--write                      with all parts or guards: writes tests/baseline.txt anew
--long                       with soak: ten times as many approvals";

fn main() -> ExitCode {
    let (flags, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    if flags.iter().any(|flag| flag == "--list") {
        for part in PARTS {
            println!("{:<10} {}", part.name, part.what);
        }
        return ExitCode::SUCCESS;
    }
    let known = [parts::LONG, baseline::WRITE];
    if let Some(unknown) = flags.iter().find(|flag| !known.contains(&flag.as_str())) {
        return refused(&format!("unknown argument `{unknown}`"));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (flag, part) in [(parts::LONG, "soak"), (baseline::WRITE, "guards")] {
        let is_used = names.is_empty() || names.contains(&part);
        if flags.iter().any(|given| given == flag) && !is_used {
            return refused(&format!("`{flag}` is for the part `{part}`"));
        }
    }
    match names.as_slice() {
        [] => whole(),
        ["quick"] => report(&schedule::run(&parts::quick(), false), Ok(())),
        ["coverage"] => single("coverage", coverage::coverage),
        ["advisories", database] => {
            single("advisories", |output| supply::advisories(output, database))
        }
        ["advisories", ..] => {
            refused("advisories needs the folder of a copy of RustSec's database")
        }
        names => match names.iter().map(|name| parts::named(name)).collect::<Result<Vec<_>, _>>() {
            Ok(chosen) => report(&schedule::run(&schedule::with_needs(&chosen), false), Ok(())),
            Err(unknown) => refused(&format!("unknown part `{unknown}`")),
        },
    }
}

fn refused(problem: &str) -> ExitCode {
    eprintln!("{problem}\n\n{USAGE}");
    ExitCode::from(2)
}

fn whole() -> ExitCode {
    let start = Instant::now();
    if let Err(problem) = run::forget_passed() {
        eprintln!("{}", problem.text);
        return ExitCode::FAILURE;
    }
    let parts: Vec<&Part> = PARTS.iter().collect();
    let ended = schedule::run(&parts, true);
    println!("\n{} parts in {} s", ended.len(), start.elapsed().as_secs());
    println!(
        "advisories: not looked up, as no copy of RustSec's database is at hand: \
         `cargo verify advisories DB`"
    );
    let tests = ended.iter().map(|ended| ended.tally.tests).sum();
    // The number is comparable only if all tests ran.
    let has_passed = ended.iter().all(|ended| ended.problem.is_none());
    let count = if has_passed { baseline::count_of_tests(tests) } else { Ok(()) };
    report(&ended, count)
}

/// Runs a separate command that is not part of a full run.
fn single(part: &'static str, command: impl Fn(Output) -> Result<Tally, Problem>) -> ExitCode {
    match command(Output { part, is_whole_run: false }) {
        Ok(_) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{part}: {}", problem.text);
            ExitCode::FAILURE
        }
    }
}

/// Prints the table of parts and the sum.
fn report(ended: &[Ended], count: Result<(), Problem>) -> ExitCode {
    println!("\n{:<10} {:>5} {:>6} {:>6} {:>6}", "PART", "TESTS", "CHECKS", "FAILED", "TIME");
    let mut total = Tally::default();
    for Ended { part, tally, problem, took } in ended {
        let Tally { tests, checks, failed } = *tally;
        let note = problem.as_ref().map(|problem| format!("  {problem}")).unwrap_or_default();
        let seconds = took.as_secs();
        println!("{:<10} {tests:>5} {checks:>6} {failed:>6} {seconds:>4} s{note}", part.name);
        total += *tally;
    }
    if let Err(problem) = count {
        println!("{}", problem.text);
        total += problem.tally;
    }
    println!("\n{} tests and {} checks", total.tests, total.checks);
    println!("{} passed, {} failed", total.passed(), total.failed);
    let has_failed = total.failed > 0 || ended.iter().any(|ended| ended.problem.is_some());
    if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
