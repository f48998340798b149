//! The flows that are built in are right, or there is no bundle. `greenlight flows check` says more.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use greenlight_core::flow::Flows;

fn main() -> ExitCode {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let path = Path::new(&manifest).join("../../infra/flows.toml");
    println!("cargo::rerun-if-changed={}", path.display());
    // What stands for ${NAME} is known when it is deployed.
    let environment = |name: &str| Some(format!("https://{name}.invalid"));
    let checked = fs::read_to_string(&path)
        .map_err(|error| error.to_string())
        .and_then(|text| Flows::parse(&text, &environment).map_err(|error| error.to_string()));
    match checked {
        Ok(_) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("cargo::error={}", problem.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}
