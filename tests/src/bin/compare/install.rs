//! The contenders, installed from pinned packages and built with optimisation.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use greenlight_tests::workspace;

/// A contender that runs as a Lambda bootstrap.
#[derive(Clone, Debug)]
pub(crate) struct Bootstrap {
    /// The name in the table.
    pub(crate) name: &'static str,
    /// Its components, with versions.
    pub(crate) made_of: String,
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
    /// The working directory.
    pub(crate) folder: PathBuf,
    /// Whether it sends the event to the queue: the baseline `hello` does not.
    pub(crate) enqueues: bool,
    /// The zipped size of the deployment.
    pub(crate) zip_mib: f64,
}

/// A Django project.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) made_of: String,
    pub(crate) folder: PathBuf,
    pub(crate) python: PathBuf,
    pub(crate) gunicorn: PathBuf,
}

/// The receivers: the baseline `hello` first, greenlight, and common alternatives.
pub(crate) fn receivers() -> Result<Vec<Bootstrap>, String> {
    let root = root()?;
    Ok(vec![
        rust("hello (the floor)", "hello", "Rust, lambda_http alone; only answers 200".to_owned())?,
        rust("greenlight", "receiver", format!("Rust, {}", version("rustc", "--version")))?,
        node("node", "receiver.js", "official SDK, AWS SDK v3", true)?,
        python(&root)?,
    ])
}

fn root() -> Result<PathBuf, String> {
    workspace().canonicalize().map_err(|error| error.to_string())
}

/// Builds one program of the workspace with optimisation, by itself: other packages would enable
/// further features of shared crates.
pub(crate) fn built(package: &str, program: &str) -> Result<PathBuf, String> {
    let root = root()?;
    println!("compare: building {program}");
    let mut build = Command::new("cargo");
    build.args(["build", "--locked", "--release", "--quiet", "--package", package]);
    run(build.current_dir(&root))?;
    Ok(root.join("target/release").join(program))
}

fn rust(name: &'static str, program: &str, made_of: String) -> Result<Bootstrap, String> {
    let path = built(program, program)?;
    Ok(Bootstrap {
        name,
        made_of,
        zip_mib: zipped(&path)?,
        command: vec![path.into()],
        folder: root()?,
        enqueues: program != "hello",
    })
}

/// `script` in a folder below `tests/compare`, with the packages pinned in its lock file.
fn node(set: &str, script: &str, made_of: &str, enqueues: bool) -> Result<Bootstrap, String> {
    let root = root()?;
    let folder = root.join(".tools").join(format!("compare-{set}"));
    let source = root.join("tests/compare").join(set);
    let failed = |error: std::io::Error| format!("{set}: {error}");
    let wanted = fs::read_to_string(source.join("package-lock.json")).map_err(failed)?;
    let stamp = folder.join("installed.json");
    if !fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        println!("compare: installing compare-{set}");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(failed)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), folder.join(file)).map_err(failed)?;
        }
        run(Command::new("npm").args(["ci", "--silent", "--omit=dev"]).current_dir(&folder))?;
        fs::write(stamp, wanted).map_err(failed)?;
    }
    fs::copy(source.join(script), folder.join(script)).map_err(failed)?;
    Ok(Bootstrap {
        name: "Node",
        made_of: format!("Node {}, {made_of}", version("node", "--version")),
        zip_mib: zipped(&folder)?,
        command: vec!["node".into(), folder.join(script).into()],
        folder,
        enqueues,
    })
}

fn python(root: &Path) -> Result<Bootstrap, String> {
    let environment = environment("compare-python")?;
    let python = environment.join("bin/python");
    Ok(Bootstrap {
        name: "Python",
        made_of: format!("{}, official SDK, boto3", version("python3", "--version")),
        zip_mib: zipped(&environment.join("lib"))?,
        command: vec![python.into(), "-m".into(), "awslambdaric".into(), "receiver.handler".into()],
        folder: root.join("tests/compare"),
        enqueues: true,
    })
}

/// The workers: common alternatives first, then greenlight.
pub(crate) fn workers() -> Result<Vec<Bootstrap>, String> {
    let environment = environment("compare-worker")?;
    let python = environment.join("bin/python");
    Ok(vec![
        Bootstrap {
            name: "Python",
            made_of: format!(
                "{}, official SDK, boto3, Powertools for AWS Lambda",
                version("python3", "--version")
            ),
            zip_mib: zipped(&environment.join("lib"))?,
            command: vec![
                python.into(),
                "-m".into(),
                "awslambdaric".into(),
                "worker.handler".into(),
            ],
            folder: root()?.join("tests/compare"),
            enqueues: false,
        },
        node(
            "node-worker",
            "worker.js",
            "official SDK, AWS SDK v3, Powertools for AWS Lambda, all records at the same time",
            false,
        )?,
        rust("greenlight", "worker", format!("Rust, {}", version("rustc", "--version")))?,
    ])
}

/// The Django project under gunicorn.
pub(crate) fn django() -> Result<Server, String> {
    let bin = environment("compare-django")?.join("bin");
    let python = version("python3", "--version");
    Ok(Server {
        made_of: format!(
            "{python}, official SDK, Django APIView, gunicorn with 3 sync workers, SQLite"
        ),
        folder: root()?.join("tests/compare"),
        python: bin.join("python"),
        gunicorn: bin.join("gunicorn"),
    })
}

/// A Python environment with the packages that `tests/tools/<set>.txt` pins.
fn environment(set: &str) -> Result<PathBuf, String> {
    let root = root()?;
    let pins = root.join("tests/tools").join(format!("{set}.txt"));
    let wanted = fs::read_to_string(&pins).map_err(|error| format!("{set}: {error}"))?;
    let folder = root.join(".tools").join(set);
    let stamp = folder.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    println!("compare: installing {set}");
    let _ = fs::remove_dir_all(&folder);
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/python"));
    run(pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "-r"]).arg(pins))?;
    fs::write(stamp, wanted).map_err(|error| format!("{set}: {error}"))?;
    Ok(folder)
}

fn version(program: &str, flag: &str) -> String {
    let output = Command::new(program).arg(flag).output();
    output
        .map_or_else(|_| "?".to_owned(), |it| String::from_utf8_lossy(&it.stdout).trim().to_owned())
}

/// The size of a file or folder as a deflated zip, in MiB, with all packages: also AWS's SDK, which
/// some of Lambda's runtimes include.
fn zipped(path: &Path) -> Result<f64, String> {
    let script = "import os, sys, tempfile, zipfile
path = sys.argv[1]
with tempfile.TemporaryFile() as file:
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
        if os.path.isfile(path):
            archive.write(path, 'bootstrap')
        for folder, _, names in os.walk(path):
            for name in names:
                if not name.endswith('.pyc') and not any(part in folder for part in ('/pip', '/setuptools', '/pkg_resources', '/_distutils')):
                    archive.write(os.path.join(folder, name), os.path.relpath(os.path.join(folder, name), path))
    print(file.tell() / 2**20)";
    let arguments = [OsStr::new("-c"), OsStr::new(script), path.as_os_str()];
    let output = Command::new("python3").args(arguments).output();
    let output = output.map_err(|error| format!("python3 cannot be started: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| format!("{} cannot be zipped", path.display()))
}

fn run(command: &mut Command) -> Result<(), String> {
    let shown = PathBuf::from(command.get_program());
    let shown = shown.display();
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` ended with {status}")),
        Err(error) => Err(format!("`{shown}` cannot be started: {error}")),
    }
}
