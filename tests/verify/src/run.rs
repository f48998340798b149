//! Running commands for a part, and counting what they tested.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::tools;

/// The numbers of tests and other checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed, as `cargo test` counts them.
    pub(crate) tests: u32,
    /// Other checks that passed: a command that succeeded, a figure within its bound.
    pub(crate) checks: u32,
    /// Tests and checks that failed.
    pub(crate) failed: u32,
}

impl Tally {
    /// One check that passed.
    pub(crate) const CHECK: Self = Self { tests: 0, checks: 1, failed: 0 };
    /// One check that failed.
    pub(crate) const FAILED: Self = Self { tests: 0, checks: 0, failed: 1 };

    /// Tests and checks that passed.
    pub(crate) const fn passed(self) -> u32 {
        self.tests + self.checks
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.tests += other.tests;
        self.checks += other.checks;
        self.failed += other.failed;
    }
}

/// More than there are cores: most end-to-end tests wait for a server or for a time that has to pass.
const TEST_THREADS: &str = "--test-threads=4";

/// The reason for which a part failed.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) text: String,
    pub(crate) tally: Tally,
}

impl Problem {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), tally: Tally::FAILED }
    }

    fn cannot_start(command: &Command, error: &io::Error) -> Self {
        let program = command.get_program().to_string_lossy();
        Self::new(format!("`{program}` cannot be started: {error}"))
    }
}

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let this = Path::new(env!("CARGO_MANIFEST_DIR"));
    this.ancestors().nth(2).unwrap_or(this).to_owned()
}

/// A command in the workspace's folder, with the pinned tools on the path.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace()).env("PATH", tools::path()).stdin(Stdio::null());
    // Of this very build; they would make the child build everything anew.
    for variable in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(variable);
    }
    command
}

/// Cargo with clippy's driver as the compiler of the workspace's crates: it lints and compiles in one
/// pass, where `cargo clippy` and `cargo build` would go over every dependency twice. Warnings are
/// errors. The variables are those that `cargo clippy` sets.
pub(crate) fn linting_cargo() -> Command {
    let mut command = command("cargo");
    command
        .env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver")
        .env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__");
    command
}

/// The output of one part. In a whole run several parts run at once, and each line begins with the name
/// of its part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) part: &'static str,
    pub(crate) is_whole_run: bool,
}

impl Output {
    /// Prints a line.
    pub(crate) fn line(self, line: &str) {
        let mut stdout = io::stdout().lock();
        // A closed pipe ends nothing: the exit status still says how the run went.
        let _ = if self.is_whole_run {
            writeln!(stdout, "{:>10} | {line}", self.part)
        } else {
            writeln!(stdout, "{line}")
        };
    }

    /// Runs a command, prints what it prints, and hands each line to `read`.
    ///
    /// # Errors
    /// [`Problem`] when it cannot be started.
    pub(crate) fn run(
        self,
        command: &mut Command,
        mut read: impl FnMut(&str),
    ) -> Result<ExitStatus, Problem> {
        lines_of(command, |line| {
            self.line(line);
            read(line);
        })
    }

    /// Runs a command whose success is one passed check.
    pub(crate) fn check(self, program: &str, arguments: &[&str]) -> Result<Tally, Problem> {
        self.check_command(command(program).args(arguments))
    }

    /// As [`Output::check`], of any command.
    pub(crate) fn check_command(self, command: &mut Command) -> Result<Tally, Problem> {
        let shown = shown(command);
        self.line(&format!("$ {shown}"));
        // On a terminal cargo shows its progress.
        let status = if self.is_whole_run {
            self.run(command, |_| ())?
        } else {
            command.status().map_err(|error| Problem::cannot_start(command, &error))?
        };
        if status.success() {
            return Ok(Tally::CHECK);
        }
        Err(Problem::new(format!("`{shown}` ended with {status}")))
    }

    /// Runs `cargo test` and adds up the results that it prints. Figures that tests print are shown.
    pub(crate) fn tests(self, arguments: &[&str], filters: &[&str]) -> Result<Tally, Problem> {
        let mut command = linting_cargo();
        command.args(["test", "--locked", "--workspace"]).args(arguments).arg("--").args(filters);
        let shown = shown(&command);
        self.line(&format!("$ {shown}"));
        let mut tally = Tally::default();
        let status = self.run(
            command
                .args(["--show-output", TEST_THREADS])
                .envs(self.is_whole_run.then(|| ("VERIFY_PASSED", passed_file()))),
            |line| {
                if let Some(result) = line.strip_prefix("test result: ") {
                    tally += counts(result);
                } else if let Some(name) = passed(line) {
                    remember_passed(name);
                }
            },
        )?;
        if status.success() && tally.failed == 0 && tally.tests > 0 {
            return Ok(tally);
        }
        // Tests that did not even compile are one failure, and so is a run without any test.
        tally.failed = tally.failed.max(1);
        Err(Problem { text: format!("`{shown}` ended with {status}"), tally })
    }
}

/// Runs a command and hands each line of both its streams to `read`.
///
/// # Errors
/// [`Problem`] when it cannot be started.
pub(crate) fn lines_of(
    command: &mut Command,
    mut read: impl FnMut(&str),
) -> Result<ExitStatus, Problem> {
    let failed = |error: io::Error| Problem::new(format!("no pipe: {error}"));
    let (reader, writer) = io::pipe().map_err(failed)?;
    command.stderr(writer.try_clone().map_err(failed)?).stdout(writer);
    let child = command.spawn();
    // The command holds the writing end of the pipe, which has to be closed before its lines end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.map_err(|error| Problem::cannot_start(command, &error))?;
    for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
        read(&String::from_utf8_lossy(&line));
    }
    child.wait().map_err(|error| Problem::new(error.to_string()))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// The names of the tests that passed, a line each, since [`forget_passed`].
fn passed_file() -> PathBuf {
    workspace().join("target/verify-passed.txt")
}

/// Begins a run.
pub(crate) fn forget_passed() {
    let _ = fs::create_dir_all(workspace().join("target"));
    let _ = fs::write(passed_file(), "");
}

fn remember_passed(name: &str) {
    let file = fs::OpenOptions::new().append(true).open(passed_file());
    let _ = file.and_then(|mut file| writeln!(file, "{name}"));
}

/// The name of a test, of the line that says that it passed.
fn passed(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... ok")
}

/// The numbers in `ok. 12 passed; 0 failed; ...`.
fn counts(result: &str) -> Tally {
    let number = |word: &str| {
        let before = result.split(word).next()?;
        before.trim().rsplit(' ').next()?.parse().ok()
    };
    Tally {
        tests: number(" passed").unwrap_or(0),
        checks: 0,
        failed: number(" failed").unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_closing_line_of_a_test_run() {
        let line = "FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(counts(line), Tally { tests: 12, checks: 0, failed: 3 });
    }

    #[test]
    fn lines_of_hands_over_each_line_of_both_streams() {
        let mut lines = Vec::new();
        let mut script = command("sh");
        script.args(["-c", "echo one; echo two >&2; exit 3"]);
        let status = lines_of(&mut script, |line| lines.push(line.to_owned())).unwrap();
        assert_eq!((status.code(), lines), (Some(3), vec!["one".to_owned(), "two".to_owned()]));
    }
}
