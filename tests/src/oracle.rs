//! Programs that judge: official libraries, in `tests/oracle`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command as AsyncCommand};

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

/// Longer than a client of another library takes on a busy machine: one that lost a message would
/// be waited for without end.
const TIMEOUT: Duration = Duration::from_mins(3);

/// Waits for what programs of other libraries do.
///
/// # Panics
/// When they do not do it.
pub async fn in_time<T>(done: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, done).await.expect("the other program answers")
}

/// A program that goes on and prints lines of JSON. It is killed on drop.
#[derive(Debug)]
pub struct Judge {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Judge {
    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(command: &mut AsyncCommand) -> Self {
        let child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let mut child = child.expect("it starts");
        let output = child.stdout.take().expect("it has an output");
        Self { _child: child, lines: BufReader::new(output).lines() }
    }

    /// The next line.
    ///
    /// # Panics
    /// When it ends, or prints something else.
    pub async fn next_json(&mut self) -> Value {
        let line = self.lines.next_line().await.expect("its output can be read");
        serde_json::from_str(&line.expect("it goes on")).expect("it prints JSON")
    }
}
