//! Running commands for a part, and counting their tests and checks.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

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

/// The minimum number of concurrent tests: most end-to-end tests wait for a server or a timer.
const MIN_TEST_THREADS: usize = 4;

/// The reason why a part failed.
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
    // These variables of this build would make the child rebuild everything.
    for variable in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(variable);
    }
    command
}

/// The command with clippy's driver as the compiler of the workspace's crates: it lints and
/// compiles in one pass, where `cargo clippy` and `cargo build` would go over every dependency
/// twice. Warnings are errors. The variables are those that `cargo clippy` sets.
pub(crate) fn linting(mut cargo: Command) -> Command {
    cargo
        .env("RUSTC_WORKSPACE_WRAPPER", "clippy-driver")
        .env("CLIPPY_ARGS", "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__");
    cargo
}

/// The output of a running part. In a full run several parts run at once, and each line begins
/// with the name of its part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// The part's name, and the module of the end-to-end suite that `suite` runs.
    pub(crate) part: &'static str,
    pub(crate) is_whole_run: bool,
}

impl Output {
    /// Prints a line.
    pub(crate) fn line(self, line: &str) {
        if self.is_whole_run {
            println!("{:>10} | {line}", self.part);
        } else {
            println!("{line}");
        }
    }

    /// Runs a command, prints its output, and passes each line to `read`.
    ///
    /// # Errors
    /// [`Problem`] when it cannot be started.
    pub(crate) fn run(
        self,
        command: &mut Command,
        read: impl FnMut(&str) + Send,
    ) -> Result<ExitStatus, Problem> {
        let read = Mutex::new(read);
        let each = |line: &str| {
            self.line(line);
            (read.lock().unwrap_or_else(PoisonError::into_inner))(line);
        };
        lines_of(command, each, each)
    }

    /// Runs a command whose success is one passed check.
    pub(crate) fn check(self, program: &str, arguments: &[&str]) -> Result<Tally, Problem> {
        self.check_command(command(program).args(arguments))
    }

    /// Like [`Output::check`], for any command.
    pub(crate) fn check_command(self, command: &mut Command) -> Result<Tally, Problem> {
        let shown = shown(command);
        self.line(&format!("$ {shown}"));
        // Cargo shows its progress on a terminal only.
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

    /// Runs `cargo test` and sums up its results. Figures printed by tests are shown.
    pub(crate) fn tests(self, arguments: &[&str], filters: &[&str]) -> Result<Tally, Problem> {
        let mut command = linting(command("cargo"));
        command.args(["test", "--locked", "--workspace"]).args(arguments).arg("--").args(filters);
        let shown = shown(&command);
        self.line(&format!("$ {shown}"));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        command
            // The texts of the command are compared in English.
            .env("LC_ALL", "C")
            .env_remove("GREENLIGHT_LANG")
            .arg("--show-output")
            .arg(format!("--test-threads={}", threads.max(MIN_TEST_THREADS)));
        if self.is_whole_run {
            command.env("VERIFY_PASSED", passed_file());
        }
        let mut tally = Tally::default();
        let mut passed = String::new();
        // Processes that tests start write to standard error at any moment, within other lines too.
        let status = lines_of(
            &mut command,
            |line| {
                self.line(line);
                if let Some(result) = line.strip_prefix("test result: ") {
                    tally += counts(result);
                } else if let Some(name) = name_of_passed(line) {
                    passed.push_str(name);
                    passed.push('\n');
                }
            },
            |line| self.line(line),
        )?;
        remember_passed(&passed)?;
        if status.success() && tally.failed == 0 && tally.tests > 0 {
            return Ok(tally);
        }
        // Tests that do not compile, or a run without tests, count as one failure.
        tally.failed = tally.failed.max(1);
        Err(Problem { text: format!("`{shown}` ended with {status}"), tally })
    }
}

/// Runs a command and passes the lines of its standard output and standard error, from two
/// threads.
///
/// # Errors
/// [`Problem`] when it cannot be started.
pub(crate) fn lines_of(
    command: &mut Command,
    stdout: impl FnMut(&str),
    stderr: impl FnMut(&str) + Send,
) -> Result<ExitStatus, Problem> {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| Problem::cannot_start(command, &error))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        scope.spawn(|| each_line(err, stderr));
        each_line(out, stdout);
    });
    child.wait().map_err(|error| Problem::new(error.to_string()))
}

fn each_line(stream: Option<impl Read>, mut read: impl FnMut(&str)) {
    let lines = stream.into_iter().flat_map(|stream| BufReader::new(stream).split(b'\n'));
    for line in lines.map_while(Result::ok) {
        read(&String::from_utf8_lossy(&line));
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// The file with the names of the tests that passed since [`forget_passed`], one per line.
fn passed_file() -> PathBuf {
    workspace().join("target/verify-passed.txt")
}

/// Starts a full run: clears the names of an earlier one.
///
/// # Errors
/// [`Problem`] when the file cannot be written.
pub(crate) fn forget_passed() -> Result<(), Problem> {
    let file = passed_file();
    let folder = file.parent().map_or(Ok(()), fs::create_dir_all);
    folder.and_then(|()| fs::write(&file, "")).map_err(|error| not_written(&file, &error))
}

/// Appends lines in one write, because concurrent parts share the file.
fn remember_passed(names: &str) -> Result<(), Problem> {
    let path = passed_file();
    let file = fs::OpenOptions::new().append(true).create(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(names.as_bytes()));
    written.map_err(|error| not_written(&path, &error))
}

fn not_written(path: &Path, error: &io::Error) -> Problem {
    Problem::new(format!("{}: {error}", path.display()))
}

/// The name of a test, from the line that reports it as passed.
fn name_of_passed(line: &str) -> Option<&str> {
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
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut script = command("sh");
        script.args(["-c", "echo one; echo two >&2; printf three; exit 3"]);
        let status = lines_of(
            &mut script,
            |line| out.push(line.to_owned()),
            |line| err.push(line.to_owned()),
        );
        let texts = (out.join(" "), err.join(" "));
        assert_eq!(status.unwrap().code(), Some(3));
        assert_eq!(texts, ("one three".to_owned(), "two".to_owned()));
    }
}
