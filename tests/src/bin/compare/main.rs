//! `cargo compare`: the receiver beside what people would use instead, and beside the floor, in one run on this machine.
//!
//! Each contender is a bootstrap process between an emulator of the Lambda Runtime API and a stub of AWS behind TLS, and
//! does the same job on the same freshly encrypted and signed event. Runs are interleaved; medians are told.

mod contenders;
mod install;
mod measure;
mod report;

use std::process::ExitCode;

use contenders::Contender;
use measure::Bench;

/// So many starts of each contender, interleaved.
const ROUNDS: usize = 11;

/// So many events to a process that is warm; CPU is counted over these.
const WARM_EVENTS: usize = 200;

#[tokio::main]
async fn main() -> ExitCode {
    println!(
        "compare: installing the peers and building with optimisation; minutes, the first time"
    );
    let contenders = match install::everything() {
        Ok(contenders) => contenders,
        Err(problem) => {
            eprintln!("compare: {problem}");
            return ExitCode::FAILURE;
        }
    };
    let mut bench = Bench::set().await;
    let mut results: Vec<_> = contenders.iter().map(Contender::unmeasured).collect();
    for round in 1..=ROUNDS {
        for (contender, result) in contenders.iter().zip(&mut results) {
            result.add(bench.run(contender, WARM_EVENTS).await);
        }
        println!("compare: round {round} of {ROUNDS}");
    }
    print!("{}", report::table(&results));
    match report::write(&results) {
        Ok(files) => {
            println!("written: {}", files.join(", "));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("compare: the results cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}
