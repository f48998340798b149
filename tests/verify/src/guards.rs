//! Regression guards: instructions of the receive path, the receiver's dependency tree, the size
//! of the deployed bundle.
//!
//! Each figure is compared with `tests/baseline.txt`. Instructions are counted, not timed, so that
//! the load of the machine does not matter.

use crate::baseline::{self, Figures};
use crate::run::{Output, Problem, Tally, command, workspace};

/// The additional runs of a function in the second of two counts. The difference of both counts
/// removes the cost of the process itself.
const TIMES: u64 = 200;

pub(crate) fn guards(output: Output) -> Result<Tally, Problem> {
    let mut found = instructions()?;
    found.insert("receiver crates".to_owned(), crates("receiver")?.len() as u64);
    for (function, folder) in [("receiver", "ReceiverFunction"), ("worker", "WorkerFunction")] {
        found.insert(format!("{function} bytes"), bootstrap(folder)?);
    }
    baseline::compare(output, &found)
}

/// Checks that the receiver's dependency tree has the required crates and no forbidden one, and
/// that no program in production has stubs.
pub(crate) fn tree(output: Output) -> Result<Tally, Problem> {
    let crates = crates("receiver")?;
    output.line(&format!("cargo tree -p receiver: {} crates", crates.len()));
    let unwanted =
        ["reqwest", "sqlx", "libsqlite3-sys", "aws-smithy-runtime", "h2", "regex", "minijinja"];
    let has = |wanted: &str| crates.iter().any(|name| name == wanted);
    if !has("lambda_http") {
        return Err(Problem::new("the receiver's tree lacks lambda_http"));
    }
    if let Some(unwanted) = unwanted.iter().find(|unwanted| has(unwanted)) {
        return Err(Problem::new(format!("the receiver's tree has {unwanted}")));
    }
    for program in ["greenlight", "worker", "receiver"] {
        if self::crates(program)?.iter().any(|name| name == "greenlight-testkit") {
            return Err(Problem::new(format!("the tree of {program} has stubs of tests")));
        }
    }
    // A Lambda function has no persistent disk for SQLite.
    if self::crates("worker")?.iter().any(|name| name == "libsqlite3-sys") {
        return Err(Problem::new("the worker's tree has libsqlite3-sys"));
    }
    Ok(Tally::CHECK)
}

/// The dependency tree of `package`, itself included.
fn crates(package: &str) -> Result<Vec<String>, Problem> {
    let arguments = ["tree", "--locked", "-p", package, "--edges", "normal", "--prefix", "none"];
    let output = command("cargo")
        .args(arguments)
        .output()
        .map_err(|error| Problem::new(format!("cargo cannot be started: {error}")))?;
    let tree = String::from_utf8_lossy(&output.stdout);
    let mut crates: Vec<String> =
        tree.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect();
    crates.sort_unstable();
    crates.dedup();
    if !output.status.success() || crates.len() < 2 {
        return Err(Problem::new(format!("`cargo tree -p {package}` failed")));
    }
    Ok(crates)
}

/// The size of the bundle that SAM deploys; `cargo verify bundle` builds it.
fn bootstrap(folder: &str) -> Result<u64, Problem> {
    let path = format!(".aws-sam/build/{folder}/bootstrap");
    match std::fs::metadata(workspace().join(&path)) {
        Ok(file) => Ok(file.len()),
        Err(_) => Err(Problem::new(format!("no {path}: run `cargo verify bundle` first"))),
    }
}

/// The instructions for one event, by function.
fn instructions() -> Result<Figures, Problem> {
    let verify = count("verify")?;
    let decrypt = count("decrypt")?;
    let authenticate = count("authenticate")?;
    let receive = count("receive")?;
    // What remains of a function after subtracting the functions that it calls.
    let rest = |whole: u64, parts: u64| {
        let rest = whole.checked_sub(parts).filter(|rest| *rest > 0);
        rest.ok_or_else(|| Problem::new("a function takes fewer instructions than its callees"))
    };
    let parse = rest(authenticate, verify + decrypt)?;
    let triage = rest(receive, authenticate)?;
    let figures = [("verify", verify), ("decrypt", decrypt), ("parse", parse), ("triage", triage)];
    let name = |name: &str| format!("{name} instructions");
    Ok(figures.into_iter().map(|(function, count)| (name(function), count)).collect())
}

/// The instructions of one run of the benchmark's `function`.
fn count(function: &str) -> Result<u64, Problem> {
    let (few, many) = (collected(function, TIMES)?, collected(function, 2 * TIMES)?);
    match many.checked_sub(few) {
        Some(count) if count >= TIMES => Ok(count / TIMES),
        _ => {
            Err(Problem::new(format!("`{function}` does not take longer when it runs more often")))
        }
    }
}

/// The instructions of a whole process that runs `function` a number of times.
fn collected(function: &str, times: u64) -> Result<u64, Problem> {
    let valgrind = "target.'cfg(all())'.runner=['valgrind','--tool=callgrind','--callgrind-out-file=/dev/null']";
    let output = command("cargo")
        .args(["bench", "--locked", "--quiet", "--config", valgrind])
        .args(["--package", "greenlight-sources", "--bench", "receive_path"])
        .args(["--", function, &times.to_string()])
        .output()
        .map_err(|error| Problem::new(format!("cargo cannot be started: {error}")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(Problem::new(format!("the benchmark `{function}` failed: {said}")));
    }
    let collected = said.lines().find_map(|line| line.split("Collected : ").nth(1));
    let collected = collected.and_then(|number| number.trim().parse().ok());
    collected
        .ok_or_else(|| Problem::new(format!("callgrind counted nothing of {function}: {said}")))
}
