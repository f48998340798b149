//! Running commands, and counting what they tested.

use std::io::{BufRead, BufReader, Write};
use std::ops::AddAssign;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::tools;

/// How much was tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
}

impl Tally {
    pub(crate) const ONE: Self = Self { passed: 1, failed: 0 };
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// A part that does not hold.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) text: String,
    pub(crate) tally: Tally,
}

impl Problem {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), tally: Tally { passed: 0, failed: 1 } }
    }
}

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A command in the workspace's folder, with the pinned tools on the path.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace()).env("PATH", tools::path());
    // Of this very build; they would make the child build everything anew.
    for variable in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a command whose success is one passed check.
pub(crate) fn check(program: &str, arguments: &[&str]) -> Result<Tally, Problem> {
    let shown = format!("{program} {}", arguments.join(" "));
    println!("$ {shown}");
    match command(program).args(arguments).status() {
        Ok(status) if status.success() => Ok(Tally::ONE),
        Ok(status) => Err(Problem::new(format!("`{shown}` ended with {status}"))),
        Err(error) => Err(Problem::new(format!("`{program}` cannot be started: {error}"))),
    }
}

/// The names of the tests that passed, a line each, since [`forget_passed`].
fn passed_file() -> PathBuf {
    workspace().join("target/verify-passed.txt")
}

/// Begins a whole run.
pub(crate) fn forget_passed() {
    let _ = std::fs::create_dir_all(workspace().join("target"));
    let _ = std::fs::write(passed_file(), "");
    IS_WHOLE.store(true, Ordering::Relaxed);
}

/// Whether all parts are run.
static IS_WHOLE: AtomicBool = AtomicBool::new(false);

fn remember_passed(name: &str) {
    let file = std::fs::OpenOptions::new().append(true).open(passed_file());
    let _ = file.and_then(|mut file| writeln!(file, "{name}"));
}

/// Runs `cargo test` and adds up what it says. Figures that tests print are shown.
pub(crate) fn tests(arguments: &[&str]) -> Result<Tally, Problem> {
    let shown = format!("cargo test {}", arguments.join(" "));
    println!("$ {shown}");
    let mut child = command("cargo")
        .arg("test")
        .args(arguments)
        .args(["--", "--show-output"])
        .envs(IS_WHOLE.load(Ordering::Relaxed).then(|| ("VERIFY_PASSED", passed_file())))
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Problem::new(format!("cargo cannot be started: {error}")))?;
    let mut tally = Tally::default();
    let Some(stdout) = child.stdout.take() else {
        return Err(Problem::new("cargo's output cannot be read"));
    };
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        println!("{line}");
        if let Some(result) = line.strip_prefix("test result: ") {
            tally += counts(result);
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|it| it.strip_suffix(" ... ok"))
        {
            remember_passed(name);
        }
    }
    let status = child.wait().map_err(|error| Problem::new(error.to_string()))?;
    if status.success() && tally.failed == 0 && tally.passed > 0 {
        return Ok(tally);
    }
    // Tests that did not even compile are one failure, and so is a run without any test.
    tally.failed = tally.failed.max(1);
    Err(Problem { text: format!("`{shown}` ended with {status}"), tally })
}

/// The numbers in `ok. 12 passed; 0 failed; ...`.
fn counts(result: &str) -> Tally {
    let number = |word: &str| {
        let before = result.split(word).next()?;
        before.trim().rsplit(' ').next()?.parse().ok()
    };
    Tally { passed: number(" passed").unwrap_or(0), failed: number(" failed").unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_closing_line_of_a_test_run() {
        let line = "FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(counts(line), Tally { passed: 12, failed: 3 });
    }
}
