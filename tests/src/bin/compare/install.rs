//! The contenders, installed from pinned packages and built with optimisation.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use greenlight_tests::workspace;

use crate::contenders::Contender;

/// All contenders: ours, the floor, and what people would use instead.
pub(crate) fn everything() -> Result<Vec<Contender>, String> {
    let root = workspace().canonicalize().map_err(|error| error.to_string())?;
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--quiet", "--package", "receiver", "--package", "hello"]);
    run(build.current_dir(&root))?;
    let rust = |name: &'static str, program: &str, made_of: String| -> Result<Contender, String> {
        let path = root.join("target/release").join(program);
        Ok(Contender {
            name,
            made_of,
            zip_bytes: zipped(&path)?,
            command: vec![path.into()],
            folder: root.clone(),
            enqueues: program != "hello",
        })
    };
    Ok(vec![
        rust("hello (the floor)", "hello", "Rust, lambda_http alone; only answers 200".to_owned())?,
        rust("greenlight", "receiver", format!("Rust, {}", version("rustc", "--version")))?,
        node(&root)?,
        python(&root)?,
    ])
}

fn node(root: &Path) -> Result<Contender, String> {
    let folder = root.join(".tools/compare-node");
    let source = root.join("tests/compare/node");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for file in ["package.json", "package-lock.json", "receiver.js"] {
        fs::copy(source.join(file), folder.join(file))
            .map_err(|error| format!("{file}: {error}"))?;
    }
    if !folder.join("node_modules").exists() {
        run(Command::new("npm").args(["ci", "--silent", "--omit=dev"]).current_dir(&folder))?;
    }
    Ok(Contender {
        name: "Node",
        made_of: format!("Node {}, official SDK, AWS SDK v3", version("node", "--version")),
        zip_bytes: zipped(&folder)?,
        command: vec!["node".into(), folder.join("receiver.js").into()],
        folder,
        enqueues: true,
    })
}

fn python(root: &Path) -> Result<Contender, String> {
    let folder = root.join(".tools/compare-python");
    let python = folder.join("bin/python");
    if !folder.join("installed").exists() {
        let _ = fs::remove_dir_all(&folder);
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        let pins = root.join("tests/tools/compare-python.txt");
        let mut pip = Command::new(&python);
        run(pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "-r"]).arg(pins))?;
        fs::write(folder.join("installed"), "").map_err(|error| error.to_string())?;
    }
    let packages = folder.join("lib");
    Ok(Contender {
        name: "Python",
        made_of: format!("{}, official SDK, boto3", version("python3", "--version")),
        zip_bytes: zipped(&packages)?,
        command: vec![python.into(), "-m".into(), "awslambdaric".into(), "receiver.handler".into()],
        folder: root.join("tests/compare"),
        enqueues: true,
    })
}

fn version(program: &str, flag: &str) -> String {
    let output = Command::new(program).arg(flag).output();
    output
        .map_or_else(|_| "?".to_owned(), |it| String::from_utf8_lossy(&it.stdout).trim().to_owned())
}

/// The size of a file or folder as a deflated zip.
fn zipped(path: &Path) -> Result<u64, String> {
    let script = "import os, sys, tempfile, zipfile
path = sys.argv[1]
with tempfile.TemporaryFile() as file:
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
        if os.path.isfile(path):
            archive.write(path, 'bootstrap')
        for folder, _, names in os.walk(path):
            for name in names:
                if not name.endswith('.pyc') and '/pip' not in folder:
                    archive.write(os.path.join(folder, name), os.path.relpath(os.path.join(folder, name), path))
    print(file.tell())";
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
