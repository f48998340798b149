//! `tests/baseline.txt`: figures that may not grow, and the number of tests, which may not fall.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use crate::run::{Output, Problem, Tally, workspace};

const FILE: &str = "tests/baseline.txt";

/// The flag that writes the baseline instead of comparing.
pub(crate) const WRITE: &str = "--write";

/// The percentage by which a figure may exceed the baseline. As far below, a new one is suggested.
const TOLERANCE: u64 = 5;

/// The row with the number of tests of a full run.
const TESTS: &str = "tests";

/// Figures by name.
pub(crate) type Figures = BTreeMap<String, u64>;

/// Compares figures with the baseline, or writes them into it.
pub(crate) fn compare(output: Output, found: &Figures) -> Result<Tally, Problem> {
    let baseline = read()?;
    if is_writing() {
        let mut written = baseline;
        written.extend(found.clone());
        write(&written)?;
        output.line(&format!("{FILE}: written"));
        return Ok(Tally::CHECK);
    }
    compare_with(output, &baseline, found)
}

/// Compares the number of tests that passed in a full run with the baseline, or writes it.
///
/// # Errors
/// [`Problem`] when the number fell, or the baseline has no such row.
pub(crate) fn count_of_tests(found: u32) -> Result<(), Problem> {
    let mut baseline = read()?;
    let before = baseline.insert(TESTS.to_owned(), found.into());
    if is_writing() {
        return write(&baseline);
    }
    let before = before.ok_or_else(|| Problem::new(format!("{FILE} has no row `{TESTS}`")))?;
    if u64::from(found) < before {
        return Err(Problem::new(format!("{found} tests, and {FILE} has {before}")));
    }
    if u64::from(found) > before {
        println!("{found} tests, and {FILE} has {before}: `cargo verify {WRITE}` records it");
    }
    Ok(())
}

fn is_writing() -> bool {
    std::env::args().any(|argument| argument == WRITE)
}

fn read() -> Result<Figures, Problem> {
    let text = fs::read_to_string(workspace().join(FILE));
    text.map(|text| parse(&text)).map_err(|error| Problem::new(format!("{FILE}: {error}")))
}

fn write(figures: &Figures) -> Result<(), Problem> {
    let written = fs::write(workspace().join(FILE), to_text(figures));
    written.map_err(|error| Problem::new(format!("{FILE}: {error}")))
}

/// One line per figure: name, tab, figure.
fn parse(text: &str) -> Figures {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let figure = |line: &str| {
        let (name, figure) = line.split_once('\t')?;
        Some((name.to_owned(), figure.trim().parse().ok()?))
    };
    lines.filter_map(figure).collect()
}

fn to_text(figures: &Figures) -> String {
    let mut text = String::from(
        "# The number of tests may not fall, and no other figure may grow by more than 5 %.\n\
         # `cargo verify --write` and `cargo verify guards --write` write them anew. Instructions are\n\
         # those of one compiler on x86-64 with AVX2: a new compiler may need a new baseline.\n",
    );
    for (name, figure) in figures {
        let _ = writeln!(text, "{name}\t{figure}");
    }
    text
}

fn compare_with(output: Output, baseline: &Figures, found: &Figures) -> Result<Tally, Problem> {
    let mut tally = Tally::default();
    let mut grown = Vec::new();
    for (name, &figure) in found {
        let Some(&allowed) = baseline.get(name) else {
            grown.push(format!("{name}: {figure}, but {FILE} has no such row"));
            tally += Tally::FAILED;
            continue;
        };
        output.line(&format!("{name:<22} {figure:>10}  baseline {allowed:>10}"));
        if figure * 100 > allowed * (100 + TOLERANCE) {
            grown.push(format!("{name}: {figure}, more than {TOLERANCE} % above {allowed}"));
            tally += Tally::FAILED;
        } else {
            tally += Tally::CHECK;
        }
        if figure * 100 < allowed * (100 - TOLERANCE) {
            output
                .line(&format!("{name} is smaller now: `cargo verify guards {WRITE}` records it"));
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
    fn compare_names_a_figure_that_grew_by_more_than_five_percent() {
        let output = Output { part: "guards", is_whole_run: false };
        let baseline = figures(&[("verify", 1_000), ("decrypt", 1_000)]);
        assert_eq!(parse(&to_text(&baseline)), baseline);
        let same = figures(&[("verify", 1_050), ("decrypt", 1_000)]);
        let same = compare_with(output, &baseline, &same);
        assert_eq!(same.ok(), Some(Tally { tests: 0, checks: 2, failed: 0 }));
        let grown = figures(&[("verify", 1_051), ("decrypt", 900)]);
        let problem = compare_with(output, &baseline, &grown).err();
        let problem = problem.map(|problem| (problem.text, problem.tally));
        let text = "verify: 1051, more than 5 % above 1000".to_owned();
        assert_eq!(problem, Some((text, Tally { tests: 0, checks: 1, failed: 1 })));
        assert!(compare_with(output, &baseline, &figures(&[("triage", 1)])).is_err());
    }
}
