//! The flows and connectors that are built in are right and go together, or there is no bundle.
//! `greenlight flows check` says more.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use greenlight_actions::connector::ConnectorError;
use greenlight_actions::{AnyConnector, Connectors, Setup};
use greenlight_core::Mistakes;
use greenlight_core::flow::{Flows, stand_in};

fn main() -> ExitCode {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let path = Path::new(&manifest).join("../../infra/flows.toml");
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(&path).map_err(|error| vec![error.to_string()]);
    match text.and_then(|text| check(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(mistakes) => {
            for mistake in mistakes {
                println!("cargo::error={}", mistake.replace('\n', " "));
            }
            ExitCode::FAILURE
        }
    }
}

fn check(flows: &str) -> Result<(), Vec<String>> {
    // What stands for ${NAME} is known when it is deployed.
    let environment = |name: &str| Some(stand_in(name));
    let flows = Flows::parse(flows, &environment).map_err(|mistakes| in_flows(&mistakes))?;
    let connectors = Connectors::built_in();
    for (name, text) in connectors.iter() {
        AnyConnector::parse(name, text).map_err(|mistake| vec![mistake.to_string()])?;
    }
    Setup::new(&flows, &connectors).map_err(|mistakes| in_flows(&mistakes))?;
    match flows.targets.iter().find(|(_, target)| target.url.starts_with("sqlite:")) {
        None => Ok(()),
        Some((name, _)) => {
            let error = ConnectorError::NoSqlite(name.clone());
            Err(vec![format!("infra/flows.toml: {error}")])
        }
    }
}

fn in_flows(mistakes: &Mistakes<impl ToString>) -> Vec<String> {
    mistakes.iter().map(|mistake| format!("infra/flows.toml: {}", mistake.to_string())).collect()
}
