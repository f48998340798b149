//! Programs that judge: official libraries, in `tests/oracle`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::workspace;

/// The Python program of this name.
#[must_use]
pub fn python(script: &str) -> PathBuf {
    workspace().join(format!("tests/oracle/{script}.py"))
}

/// The program of this name for Node, with its libraries.
#[must_use]
pub fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(workspace().join(format!("tests/oracle/node/{script}.js")))
        .env("NODE_PATH", workspace().join(".tools/oracle-node/node_modules"));
    command
}

/// Runs a program with JSON on its input and returns the JSON that it prints.
///
/// # Panics
/// When it fails.
#[must_use]
pub fn answer(program: &mut Command, question: &Value) -> Value {
    let program = program.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = program.spawn().expect("it starts");
    let mut input = process.stdin.take().expect("it has an input");
    input.write_all(question.to_string().as_bytes()).expect("it reads its input");
    drop(input);
    let output = process.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{program:?} failed");
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}
