//! The flows and connectors that are built in are right and go together, or there is no bundle.
//! `greenlight flows check` says more.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use greenlight_actions::{AnyConnector, Connectors, Setup};
use greenlight_core::flow::{Flows, stand_in};

fn main() -> ExitCode {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let path = Path::new(&manifest).join("../../infra/flows.toml");
    println!("cargo::rerun-if-changed={}", path.display());
    match fs::read_to_string(&path).map_err(|error| error.to_string()).and_then(|it| check(&it)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(mistakes) => {
            for line in mistakes.lines().filter(|line| !line.trim().is_empty()) {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn check(flows: &str) -> Result<(), String> {
    // What stands for ${NAME} is known when it is deployed.
    let environment = |name: &str| Some(stand_in(name));
    let flows = Flows::parse(flows, &environment)
        .map_err(|mistakes| format!("infra/flows.toml: {mistakes}"))?;
    let connectors = Connectors::built_in();
    for (name, text) in connectors.iter() {
        AnyConnector::parse(name, text).map_err(|mistake| mistake.to_string())?;
    }
    Setup::new(&flows, &connectors)
        .map(drop)
        .map_err(|mistakes| format!("infra/flows.toml: {mistakes}"))
}
