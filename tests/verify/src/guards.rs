//! What may not grow unnoticed: instructions of the receive path, the receiver's tree, the size of what is deployed.
//!
//! Each is compared with `tests/baseline.txt`. Instructions are counted and not timed, so that a busy machine
//! changes nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Stdio;

use crate::run::{Problem, Tally, command, workspace};
use crate::tools;

const BASELINE: &str = "tests/baseline.txt";

/// Writes the baseline anew instead of comparing.
pub(crate) const WRITE: &str = "--write";

/// More than so many percent above the baseline is too much. As many below is worth a new baseline.
const TOLERANCE: u64 = 5;

/// So often a function runs in the second of two counts, more than in the first: what a process costs by itself is
/// in both.
const TIMES: u64 = 200;

type Figures = BTreeMap<String, u64>;

pub(crate) fn guards() -> Result<Tally, Problem> {
    tools::install_servers()?;
    let mut found = instructions()?;
    found.insert("receiver crates".to_owned(), crates("receiver")?.len() as u64);
    for (function, folder) in [("receiver", "ReceiverFunction"), ("worker", "WorkerFunction")] {
        found.insert(format!("{function} bytes"), bootstrap(folder)?);
    }
    let path = workspace().join(BASELINE);
    if std::env::args().any(|argument| argument == WRITE) {
        std::fs::write(&path, told(&found)).map_err(|error| Problem::new(error.to_string()))?;
        println!("{BASELINE}: written");
        return Ok(Tally::ONE);
    }
    let baseline = std::fs::read_to_string(&path)
        .map_err(|error| Problem::new(format!("{BASELINE}: {error}")))?;
    compare(&read(&baseline), &found)
}

/// The crates that `package` is made of, itself included.
pub(crate) fn crates(package: &str) -> Result<Vec<String>, Problem> {
    let arguments = ["tree", "-p", package, "--edges", "normal", "--prefix", "none"];
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

/// The size of what SAM deploys, which `cargo verify bundle` builds.
fn bootstrap(folder: &str) -> Result<u64, Problem> {
    let path = format!(".aws-sam/build/{folder}/bootstrap");
    match std::fs::metadata(workspace().join(&path)) {
        Ok(file) => Ok(file.len()),
        Err(_) => Err(Problem::new(format!("no {path}: run `cargo verify bundle` first"))),
    }
}

/// Instructions of one event, by function.
fn instructions() -> Result<Figures, Problem> {
    let verify = count("verify")?;
    let decrypt = count("decrypt")?;
    let authenticate = count("authenticate")?;
    let receive = count("receive")?;
    // The rest of a function that calls the others.
    let rest = |whole: u64, parts: u64| {
        let rest = whole.checked_sub(parts).filter(|rest| *rest > 0);
        rest.ok_or_else(|| Problem::new("a function takes less than what it calls"))
    };
    let parse = rest(authenticate, verify + decrypt)?;
    let triage = rest(receive, authenticate)?;
    let figures = [("verify", verify), ("decrypt", decrypt), ("parse", parse), ("triage", triage)];
    let name = |name: &str| format!("{name} instructions");
    Ok(figures.into_iter().map(|(function, count)| (name(function), count)).collect())
}

/// Instructions that `function` of the benchmark takes once.
fn count(function: &str) -> Result<u64, Problem> {
    let (few, many) = (collected(function, TIMES)?, collected(function, 2 * TIMES)?);
    match many.checked_sub(few) {
        Some(count) if count >= TIMES => Ok(count / TIMES),
        _ => {
            Err(Problem::new(format!("`{function}` does not take longer when it runs more often")))
        }
    }
}

/// Instructions of a whole process that runs `function` so often.
fn collected(function: &str, times: u64) -> Result<u64, Problem> {
    let valgrind = "target.'cfg(all())'.runner=['valgrind','--tool=callgrind','--callgrind-out-file=/dev/null']";
    let output = command("cargo")
        .args(["bench", "--quiet", "--config", valgrind])
        .args(["--package", "greenlight-sources", "--bench", "receive_path"])
        .args(["--", function, &times.to_string()])
        .stdin(Stdio::null())
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

/// One line each: name and figure, with a tab between.
fn read(text: &str) -> Figures {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let figure = |line: &str| {
        let (name, figure) = line.split_once('\t')?;
        Some((name.to_owned(), figure.trim().parse().ok()?))
    };
    lines.filter_map(figure).collect()
}

fn told(figures: &Figures) -> String {
    let mut text = String::from(
        "# What may not grow by more than 5 %. `cargo verify guards --write` writes it anew, after `cargo verify bundle`.\n\
         # Instructions are those of one compiler on x86-64 with AVX2, and a new compiler may need a new baseline.\n",
    );
    for (name, figure) in figures {
        let _ = writeln!(text, "{name}\t{figure}");
    }
    text
}

fn compare(baseline: &Figures, found: &Figures) -> Result<Tally, Problem> {
    let mut tally = Tally::default();
    let mut grown = Vec::new();
    for (name, &figure) in found {
        let Some(&allowed) = baseline.get(name) else {
            grown.push(format!("{name}: {figure}, and {BASELINE} does not have it"));
            tally += Tally { passed: 0, failed: 1 };
            continue;
        };
        println!("{name:<22} {figure:>10}  baseline {allowed:>10}");
        if figure * 100 > allowed * (100 + TOLERANCE) {
            grown.push(format!("{name}: {figure}, more than {TOLERANCE} % above {allowed}"));
            tally += Tally { passed: 0, failed: 1 };
        } else {
            tally += Tally::ONE;
        }
        if figure * 100 < allowed * (100 - TOLERANCE) {
            println!("{name} is smaller by now: `cargo verify guards {WRITE}` keeps it so");
        }
    }
    if grown.is_empty() { Ok(tally) } else { Err(Problem { text: grown.join("; "), tally }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(of: &[(&str, u64)]) -> Figures {
        of.iter().map(|(name, figure)| ((*name).to_owned(), *figure)).collect()
    }

    #[test]
    fn what_grew_by_more_than_five_percent_is_named() {
        let baseline = figures(&[("verify", 1_000), ("decrypt", 1_000)]);
        assert_eq!(read(&told(&baseline)), baseline);
        let same = compare(&baseline, &figures(&[("verify", 1_050), ("decrypt", 1_000)]));
        assert_eq!(same.ok(), Some(Tally { passed: 2, failed: 0 }));
        let problem = compare(&baseline, &figures(&[("verify", 1_051), ("decrypt", 900)]));
        let problem = problem.err().map(|problem| (problem.text, problem.tally));
        let text = "verify: 1051, more than 5 % above 1000".to_owned();
        assert_eq!(problem, Some((text, Tally { passed: 1, failed: 1 })));
        assert!(compare(&baseline, &figures(&[("triage", 1)])).is_err());
    }
}
