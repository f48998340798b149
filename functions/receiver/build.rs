//! Writes the sources of the built-in flows, which are all that the receiver needs of them: a new
//! flow does not change the receiver. Fails the build if they are invalid.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use greenlight_core::flow::{SourceConfigs, stand_in};
use greenlight_sources::registry::Registry;

fn main() -> ExitCode {
    let folder = |name: &str| env::var_os(name).unwrap_or_default();
    let path = Path::new(&folder("CARGO_MANIFEST_DIR")).join("../../infra/flows.toml");
    println!("cargo::rerun-if-changed={}", path.display());
    let written = fs::read_to_string(&path)
        .map_err(|error| error.to_string())
        .and_then(|text| sources_of(&text))
        .and_then(|sources| {
            let file = Path::new(&folder("OUT_DIR")).join("sources.toml");
            fs::write(file, sources).map_err(|error| error.to_string())
        });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error=infra/flows.toml: {}", error.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

/// The table `sources` of a flows.toml, checked.
fn sources_of(flows: &str) -> Result<String, String> {
    // The values of ${NAME} are known at deployment only.
    let sources = SourceConfigs::parse(flows, &|name| Some(stand_in(name)));
    let sources = sources.map_err(|errors| errors.to_string())?;
    Registry::new(&sources).map_err(|errors| errors.to_string())?;
    let mut flows: toml::Table = toml::from_str(flows).map_err(|error| error.to_string())?;
    flows.retain(|key, _| key == "sources");
    toml::to_string(&flows).map_err(|error| error.to_string())
}
