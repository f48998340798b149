//! The text of `flows.toml`, and the values of its `${NAME}`.

use std::path::{Path, PathBuf};

use greenlight_core::explain::Explain;
use thiserror::Error;

/// The environment variable with the text of `flows.toml`: a parameter of template.yaml, for
/// deployments without a build.
const FLOWS: &str = "FLOWS";

/// The environment variable with the path of `flows.toml`.
const FLOWS_FILE: &str = "FLOWS_FILE";

/// The environment variable with values for `${NAME}` without a variable of their own:
/// `NAME=VALUE`, separated by commas.
const FLOW_VARIABLES: &str = "FLOW_VARIABLES";

/// The flows file cannot be read.
#[derive(Debug, Error, Explain)]
#[explain("flows_file")]
#[error("the flows file {path} cannot be read: {cause}")]
pub struct BadFlowsFile {
    path: String,
    cause: std::io::Error,
}

/// Returns the text of the file at `path`, else `built_in`.
///
/// # Errors
/// [`BadFlowsFile`] when there is a path and no such file.
pub fn flows_text(path: Option<&Path>, built_in: &str) -> Result<String, BadFlowsFile> {
    match path.filter(|path| !path.as_os_str().is_empty()) {
        None => Ok(built_in.to_owned()),
        Some(path) => std::fs::read_to_string(path)
            .map_err(|cause| BadFlowsFile { path: path.display().to_string(), cause }),
    }
}

/// Returns the flows of a function: the text in `FLOWS`, else the file that `FLOWS_FILE` names,
/// else `built_in`.
///
/// # Errors
/// [`BadFlowsFile`] when `FLOWS_FILE` names no file.
pub fn flows_of_function(built_in: &str) -> Result<String, BadFlowsFile> {
    match std::env::var(FLOWS).ok().filter(|text| !text.trim().is_empty()) {
        Some(text) => Ok(text),
        None => flows_text(std::env::var_os(FLOWS_FILE).map(PathBuf::from).as_deref(), built_in),
    }
}

/// Returns the value of `${NAME}` in `flows.toml`: the environment variable of that name, else its
/// entry in `FLOW_VARIABLES`. `None` when both are missing or empty.
#[must_use]
pub fn flow_variable(name: &str) -> Option<String> {
    let own = std::env::var(name).ok().filter(|value| !value.is_empty());
    own.or_else(|| variable_in(&std::env::var(FLOW_VARIABLES).ok()?, name))
}

/// Returns the value of `name` in a list of `NAME=VALUE`, separated by commas.
#[must_use]
pub fn variable_in(list: &str, name: &str) -> Option<String> {
    let pairs = list.split(',').filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(of, value)| *of == name && !value.is_empty());
    values.next().map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_in_finds_a_name_and_keeps_what_its_value_holds() {
        let list = "APPROVAL_CODE_2=B-2, NAC_URL_2=https://nac.example.com/api?site=2,EMPTY=";
        let value = |name| variable_in(list, name);
        assert_eq!(value("APPROVAL_CODE_2").as_deref(), Some("B-2"));
        assert_eq!(value("NAC_URL_2").as_deref(), Some("https://nac.example.com/api?site=2"));
        assert_eq!(
            (value("EMPTY"), value("APPROVAL_CODE"), variable_in("", "A")),
            (None, None, None)
        );
    }
}
