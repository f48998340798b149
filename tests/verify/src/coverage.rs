//! Test coverage by crate.
//!
//! Debian's `llvm-22` reads the profiles of rustc 1.95: both use LLVM 22.

use std::collections::BTreeMap;
use std::fs;
use std::ops::AddAssign;
use std::path::Path;
use std::process::Command;

use crate::parts::UNIT;
use crate::run::{Output, Problem, Tally, command, lines_of, workspace};
use crate::tools;

/// Relative to the workspace's folder.
const TARGET: &str = "target/coverage";

/// Modules of the end-to-end suite that need neither a bundle nor Debian's servers.
const SUITES: &[&str] = &[
    "connectors::",
    "crash::",
    "disk::",
    "flows::",
    "functions::",
    "http::",
    "ledger::sqlite",
    "listener::",
    "operator::",
    "queue::sqlite",
    "serve::",
];

/// The maximum number of listed files, those with the most uncovered regions first.
const MOST_FILES: usize = 25;

/// Regions and lines of code: all, and those that no test ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cover {
    regions: u32,
    regions_missed: u32,
    lines: u32,
    lines_missed: u32,
}

impl AddAssign for Cover {
    fn add_assign(&mut self, other: Self) {
        self.regions += other.regions;
        self.regions_missed += other.regions_missed;
        self.lines += other.lines;
        self.lines_missed += other.lines_missed;
    }
}

/// Builds everything with counters, runs the tests and prints the coverage of each crate.
pub(crate) fn coverage(output: Output) -> Result<Tally, Problem> {
    tools::install(output)?;
    if !Path::new("/usr/bin/llvm-cov-22").exists() {
        tools::install_packages(output, &["llvm-22"])?;
    }
    let profiles = workspace().join(TARGET).join("profiles");
    let _ = fs::remove_dir_all(&profiles);
    let instrumented = |arguments: &[&str]| {
        let mut cargo = command("cargo");
        cargo.args(arguments).args(["--locked", "--workspace"]);
        cargo
            .env("CARGO_TERM_COLOR", "never")
            .env("CARGO_TARGET_DIR", TARGET)
            .env("RUSTFLAGS", "-C instrument-coverage");
        cargo.env("LLVM_PROFILE_FILE", profiles.join("%m-%p.profraw"));
        cargo
    };
    output.check_command(&mut instrumented(&["build", "--all-targets"]))?;
    let mut programs = programs(output, &mut instrumented(&["test", "--no-run"]))?;
    let built = ["greenlight", "receiver", "worker"];
    programs.extend(built.map(|program| format!("{TARGET}/debug/{program}")));
    // Profiles of build scripts and of earlier runs would be counted, too.
    let _ = fs::remove_dir_all(&profiles);
    output.check_command(&mut instrumented(&[&["test"], UNIT].concat()))?;
    let suites = [&["--"], SUITES].concat();
    output.check_command(instrumented(&["test", "--test", "it"]).args(suites))?;
    let merged = profiles.join("merged.profdata");
    let mut merge = command("llvm-profdata-22");
    merge.args(["merge", "--sparse", "--failure-mode=all"]).arg(&profiles).arg("-o").arg(&merged);
    output.check_command(&mut merge)?;
    let mut report = command("llvm-cov-22");
    report.arg("report").arg("--instr-profile").arg(&merged);
    report.args(programs.iter().flat_map(|program| ["--object", program]));
    let mut files = BTreeMap::new();
    let status = lines_of(&mut report, |line| files.extend(row(line)), |line| output.line(line))?;
    if !status.success() || files.is_empty() {
        return Err(Problem::new(format!("llvm-cov ended with {status}")));
    }
    print(output, &files);
    Ok(Tally::CHECK)
}

/// The test programs, from the output of `cargo test --no-run`.
fn programs(output: Output, build: &mut Command) -> Result<Vec<String>, Problem> {
    let mut programs = Vec::new();
    let status = output.run(build, |line| {
        let program =
            line.trim_start().strip_prefix("Executable").and_then(|it| it.split_once('('));
        programs.extend(program.map(|(_, path)| path.trim_end_matches(')').to_owned()));
    })?;
    if status.success() { Ok(programs) } else { Err(Problem::new("the tests do not compile")) }
}

/// The figures of a project file, from a line of `llvm-cov report`.
fn row(line: &str) -> Option<(String, Cover)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [path, regions, regions_missed, _, _, _, _, lines, lines_missed, ..] = words.as_slice()
    else {
        return None;
    };
    let inside = path.find("functions/").or_else(|| path.find("infra/"))?;
    let is_foreign = path.contains("/registry/") || path.contains("/rustc/");
    let is_test = path.ends_with("/tests.rs") || !path.contains("/src/");
    let cover = Cover {
        regions: regions.parse().ok()?,
        regions_missed: regions_missed.parse().ok()?,
        lines: lines.parse().ok()?,
        lines_missed: lines_missed.parse().ok()?,
    };
    (!is_foreign && !is_test).then(|| (path[inside..].to_owned(), cover))
}

fn print(output: Output, files: &BTreeMap<String, Cover>) {
    let mut crates: BTreeMap<&str, Cover> = BTreeMap::new();
    for (path, cover) in files {
        let folder = path.split_once("/src/").map_or("", |(folder, _)| folder);
        *crates.entry(folder).or_default() += *cover;
    }
    output.line(&format!("{:<28} {:>16} {:>16}", "\nCRATE", "REGIONS", "LINES"));
    for (folder, cover) in &crates {
        output.line(&crate_row(folder, cover));
    }
    let mut files: Vec<_> = files.iter().filter(|(_, cover)| cover.regions_missed > 0).collect();
    files.sort_by_key(|(_, cover)| std::cmp::Reverse(cover.regions_missed));
    output.line(&format!("{:<60} {:>10}", "\nFILE", "NOT RUN"));
    for (path, cover) in files.iter().take(MOST_FILES) {
        output.line(&format!("{path:<59} {:>10}", cover.regions_missed));
    }
}

/// A row: `functions/shared/core  97.1 % of 3210  98.0 % of 2210`.
fn crate_row(name: &str, cover: &Cover) -> String {
    let percent = |missed: u32, all: u32| {
        let covered = f64::from(all - missed) * 100.0 / f64::from(all.max(1));
        format!("{covered:5.1} % of {all:>6}")
    };
    format!(
        "{name:<27} {} {}",
        percent(cover.regions_missed, cover.regions),
        percent(cover.lines_missed, cover.lines)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_reads_a_file_of_the_project_and_no_other() {
        let line = "functions/shared/core/src/mac.rs  200 4 98.00% 20 0 100.00% 150 3 98.00% 0 0 -";
        let cover = Cover { regions: 200, regions_missed: 4, lines: 150, lines_missed: 3 };
        assert_eq!(row(line), Some(("functions/shared/core/src/mac.rs".to_owned(), cover)));
        assert_eq!(row("/home/a/registry/src/infra/x.rs 2 1 50% 1 0 100% 2 1 50% 0 0 -"), None);
        assert_eq!(
            row("Filename Regions Missed Cover Functions Missed Executed Lines Missed"),
            None
        );
    }
}
