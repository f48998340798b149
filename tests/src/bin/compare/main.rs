//! `cargo compare`: measures greenlight, common alternatives and a minimal baseline in one run on
//! this machine.
//!
//! Contenders do the same job in turn, on freshly encrypted and signed events; medians are shown.

mod figures;
mod growth;
mod install;
mod receiver;
mod report;
mod serve;
mod stage;
mod worker;

use std::process::ExitCode;

use figures::Section;

/// The sections, by their names on the command line.
const SECTIONS: [&str; 3] = ["receiver", "worker", "serve"];

#[tokio::main]
async fn main() -> ExitCode {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    if names == ["million"] {
        return million().await;
    }
    if let Some(unknown) = names.iter().find(|name| !SECTIONS.contains(&name.as_str())) {
        eprintln!("compare: unknown section `{unknown}`; known: {}, million", SECTIONS.join(", "));
        return ExitCode::from(2);
    }
    if names.is_empty() {
        names = SECTIONS.map(str::to_owned).to_vec();
    }
    println!("compare: installing alternatives, building with optimisation; slow the first time");
    println!("compare: on {}", report::machine());
    for name in names {
        let section = match compare(&name).await {
            Ok(section) => section,
            Err(problem) => {
                eprintln!("compare: {problem}");
                return ExitCode::FAILURE;
            }
        };
        println!("\n{}", report::table(&section));
        match report::write(&section) {
            Ok(files) => println!("written: {}", files.join(", ")),
            Err(error) => {
                eprintln!("compare: the results cannot be written: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Measures whether memory stays flat. It takes minutes, so it is not one of the sections.
async fn million() -> ExitCode {
    let program = match install::built("greenlight", "greenlight") {
        Ok(program) => program,
        Err(problem) => {
            eprintln!("compare: {problem}");
            return ExitCode::FAILURE;
        }
    };
    let held = serve::million(&program).await;
    match report::write_million(&held) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: the results cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn compare(name: &str) -> Result<Section, String> {
    match name {
        "serve" => {
            let (ours, django) = (install::built("greenlight", "greenlight")?, install::django()?);
            let results = serve::measure(&ours, &django).await;
            Ok(Section { name: "serve", columns: serve::COLUMNS, results, growth: Vec::new() })
        }
        "worker" => {
            let contenders = install::workers()?;
            let results = worker::measure(&contenders).await;
            let growth = worker::growth(contenders.last().ok_or("no worker")?).await;
            Ok(Section { name: "worker", columns: worker::COLUMNS, results, growth })
        }
        _ => {
            let results = receiver::measure(&install::receivers()?).await;
            Ok(Section {
                name: "receiver",
                columns: receiver::COLUMNS,
                results,
                growth: Vec::new(),
            })
        }
    }
}
