//! Fails the build if the built-in flows and connectors are invalid or do not match. `greenlight
//! flows validate` prints the details.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use greenlight_connectors::sql::refuse_file;
use greenlight_connectors::{AnyConnector, Connectors, Setup};
use greenlight_core::ValidationErrors;
use greenlight_core::flow::{Flows, stand_in};
use greenlight_sources::registry::Registry;

fn main() -> ExitCode {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let path = Path::new(&manifest).join("../../infra/flows.toml");
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(&path).map_err(|error| vec![error.to_string()]);
    match text.and_then(|text| check(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(errors) => {
            for error in errors {
                println!("cargo::error={}", error.replace('\n', " "));
            }
            ExitCode::FAILURE
        }
    }
}

fn check(flows: &str) -> Result<(), Vec<String>> {
    // The values of ${NAME} are known at deployment only.
    let environment = |name: &str| Some(stand_in(name));
    let flows = Flows::parse(flows, &environment).map_err(|errors| in_flows(&errors))?;
    Registry::new(&flows.sources).map_err(|errors| in_flows(&errors))?;
    let connectors = Connectors::built_in();
    for (name, text) in connectors.iter() {
        AnyConnector::parse(name, text).map_err(|error| vec![error.to_string()])?;
    }
    Setup::new(&flows, &connectors).map_err(|errors| in_flows(&errors))?;
    for (name, target) in &flows.targets {
        refuse_file(name, &target.url).map_err(|error| in_flows(&error.into()))?;
    }
    Ok(())
}

fn in_flows(errors: &ValidationErrors<impl ToString>) -> Vec<String> {
    errors.iter().map(|error| format!("infra/flows.toml: {}", error.to_string())).collect()
}
