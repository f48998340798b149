//! Thousands of approvals under kills and outages, and an account of every device.
//!
//! `soak` takes two minutes and a half: 1,000 approvals through `greenlight serve`, 30 through the
//! deployed template. `soak --long` sends 10,000 through `serve`.

mod account;
mod load;
mod on_aws;
mod on_one_machine;

use std::process::ExitCode;

use account::Account;

#[tokio::main]
async fn main() -> ExitCode {
    let approvals = match std::env::args().nth(1).as_deref() {
        None => 1_000,
        Some("--long") => 10_000,
        Some(other) => {
            eprintln!("soak: unknown argument `{other}`; known: --long");
            return ExitCode::FAILURE;
        }
    };
    let accounts = [on_one_machine::run(approvals).await, on_aws::run(30).await];
    if accounts.iter().all(Account::is_even) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
