//! The parts of `cargo verify`.

use std::collections::BTreeSet;

use crate::run::{Output, Problem, Tally, command, linting};
use crate::{guards, supply, tools, words};

/// A part of `cargo verify`.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// The parts that must pass before it.
    pub(crate) needs: &'static [&'static str],
    /// The parts that must end before it, if they are in the same run.
    pub(crate) after: &'static [&'static str],
    /// Whether no other part runs beside it: it measures time, or reads the results of the others.
    pub(crate) is_alone: bool,
    pub(crate) run: fn(Output) -> Result<Tally, Problem>,
}

const fn part(
    name: &'static str,
    what: &'static str,
    needs: &'static [&'static str],
    run: fn(Output) -> Result<Tally, Problem>,
) -> Part {
    Part { name, what, needs, after: &[], is_alone: false, run }
}

impl Part {
    const fn after(mut self, parts: &'static [&'static str]) -> Self {
        self.after = parts;
        self
    }

    const fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }
}

/// The flag that makes the part `soak` ten times as long.
pub(crate) const LONG: &str = "--long";

/// All parts. A part starts when the parts that it needs have passed and a lane is free; of several
/// parts the first, so the long ones are early.
pub(crate) const PARTS: &[Part] = &[
    part("format", "rustfmt changes nothing", &[], format),
    part("words", "the field's terms, in lines of 100 columns", &[], words::words),
    part("tools", "the pinned tools are installed", &[], tools::install),
    part("build", "everything compiles without warnings of rustc and clippy", &[], build),
    part("bundle", "sam build for Amazon Linux 2023", &[TOOLS], bundle),
    part("servers", "the servers are installed", &[], tools::install_servers),
    part("licences", "licences and sources of all crates are allowed", &[TOOLS], supply::licences),
    part("yanked", "no crate is yanked", &[TOOLS], supply::yanked),
    part("tree", "the programs' dependencies have no forbidden crate", &[], guards::tree),
    part("unit", "unit and integration tests of each crate", &[BUILD], unit),
    part("template", "template.yaml is valid", &[TOOLS, BUILD], template),
    part("crash", "crashes at every await, panics, hangs, retries", &[BUILD], suite),
    part("serve", "both functions on one machine", &[BUILD], suite),
    part("sources", "several sources at once, and approvals by signed webhooks", &[BUILD], suite),
    part("extension", "a kind of subject is one file, a source one module", &[BUILD], suite),
    part(
        "ends",
        "access ends: withdrawn, by time, by an operator, whatever fails",
        &[BUILD],
        suite,
    ),
    part("lives", "10,000 grants from their approvals to their ends", &[BUILD], suite),
    part("rows", "rows of tables and of attached sheets", &[BUILD], suite),
    part("examples", "the flows of docs/examples.md, as they are written", &[BUILD], suite),
    part("listener", "clients that stall, flood or send nothing", &[BUILD], suite),
    part("command", "exit statuses, prompts and JSON output of the command", &[BUILD], suite),
    part("operator", "operator commands on one machine: redrive, audit, replay", &[BUILD], suite),
    part("page", "the operator's page in a real browser", &[SERVERS, BUILD], suite),
    part("disk", "a full disk and a folder without write permission", &[BUILD], suite),
    part("connectors", "each connector keeps its contract", &[BUILD], suite),
    part("openapi", "PacketFence's connector against its OpenAPI document", &[BUILD], suite),
    part("flows", "flows.toml is validated, and planned without sending", &[BUILD], suite),
    part("secrets", "secrets are set, and nothing else is lost", &[BUILD], suite),
    part("sql", "SQL actions on real PostgreSQL, MariaDB and SQLite", &[SERVERS, BUILD], suite),
    part("radius", "a real RADIUS server accepts an approved device", &[SERVERS, BUILD], suite),
    part("kea", "a real Kea gives a client the approved address", &[SERVERS, BUILD], suite),
    part("http", "certificates and pins that the HTTP client trusts", &[BUILD], suite),
    part("ledger", "both ledgers behave as the same state machine", &[TOOLS, BUILD], suite),
    part("queue", "both queues have the same semantics", &[TOOLS, BUILD], suite),
    part("wire", "requests to AWS equal the reviewed snapshots", &[BUILD], suite),
    part("minimal", "the receiver's own AWS client under throttling and errors", &[BUILD], suite),
    part(
        "streams",
        "connections that the host holds, with the official clients and frames",
        &[TOOLS, BUILD],
        suite,
    ),
    part(
        "dingtalk",
        "approvals of DingTalk, by push and by streams, with the official clients",
        &[TOOLS, BUILD],
        suite,
    ),
    part(
        "wecom",
        "approvals of WeCom, with its own library and another one",
        &[TOOLS, BUILD],
        suite,
    ),
    part("seeyon", "approvals of Seeyon, by polling and by the hook's messages", &[BUILD], suite),
    part("kinds", "one suite for the sources of every kind", &[BUILD], suite),
    part("weaver", "approvals of Weaver, with what its login encrypts", &[TOOLS, BUILD], suite),
    part(
        "oracle",
        "the official SDKs of sources agree with our simulators and stubs",
        &[TOOLS, BUILD],
        suite,
    ),
    part("functions", "both Lambda binaries under kills and AWS faults", &[TOOLS, BUILD], suite),
    part(
        "stack",
        "the operator's command and page on a deployed stack",
        &[SERVERS, BUILD, BUNDLE],
        suite,
    ),
    // While compiling it holds the lock on `target/debug`, which the tests' cargo needs, too.
    part("demo", "the demonstration as a new user runs it", &[], demo).after(&[BUILD]),
    part("soak", "1,000 approvals, every device accounted for", &[BUILD, BUNDLE], soak),
    part("cloud", "the deployed template on a local AWS", &[BUILD, BUNDLE], suite),
    part("glibc", "the bundle needs no newer glibc than Lambda has", &[BUILD, BUNDLE], suite),
    part(
        "guards",
        "sizes and instruction counts have not grown",
        &[SERVERS, BUNDLE],
        guards::guards,
    ),
    part("start", "the receiver's first answer and peak memory", &[BUILD, BUNDLE], suite).alone(),
    part("guarantees", "docs/guarantees.md agrees with the tests", &[BUILD], suite).alone(),
];

const BUILD: &str = "build";
const BUNDLE: &str = "bundle";
const SERVERS: &str = "servers";
const TOOLS: &str = "tools";

/// The parts of `cargo verify quick`, for use while editing.
pub(crate) fn quick() -> Vec<&'static Part> {
    const SQLITE: &Part = &part("sqlite", "end-to-end tests over SQLite", &[BUILD], sqlite);
    let names = ["format", "words", BUILD, "unit"];
    names.iter().filter_map(|name| named(name).ok()).chain([SQLITE]).collect()
}

/// The part of that name; the name itself if there is none.
pub(crate) fn named(name: &str) -> Result<&'static Part, &str> {
    PARTS.iter().find(|part| part.name == name).ok_or(name)
}

fn format(output: Output) -> Result<Tally, Problem> {
    output.check("cargo", &["fmt", "--all", "--check"])
}

/// Builds all programs and tests with one set of features: each selection of packages would have
/// its own and would rebuild crates. `nice` gives priority to the bundle, which takes longer and
/// which the longest tests need.
fn build(output: Output) -> Result<Tally, Problem> {
    let mut build = linting(command("nice"));
    build.args(["cargo", "build", "--locked", "--workspace", "--all-targets"]);
    output.check_command(&mut build)
}

fn template(output: Output) -> Result<Tally, Problem> {
    let mut tally = output.check("sam", &["validate", "--lint", "--region", "us-east-1"])?;
    for region in ["us-east-1", "cn-north-1"] {
        tally += output.check("cfn-lint", &["--regions", region, "--", "template.yaml"])?;
    }
    // WAF for CloudFront exists in us-east-1 only.
    tally +=
        output.check("cfn-lint", &["--regions", "us-east-1", "--", "infra/cloudfront.yaml"])?;
    tally += suite(output)?;
    Ok(tally)
}

/// Unit tests, and the integration tests of all crates except the end-to-end suite.
pub(crate) const UNIT: &[&str] = &[
    "--lib",
    "--bins",
    "--test",
    "execution",
    "--test",
    "grant_model",
    "--test",
    "ledger_model",
    "--test",
    "plan",
    "--test",
    "receive",
    "--test",
    "subjects",
];

fn unit(output: Output) -> Result<Tally, Problem> {
    output.tests(UNIT, &[])
}

/// The demonstration is built with its own set of features, a build that clippy does not check,
/// so compiler warnings fail this part.
fn demo(output: Output) -> Result<Tally, Problem> {
    let mut has_warnings = false;
    for arguments in [&["demo"][..], &["demo", "--source", "all"]] {
        let mut demo = command("cargo");
        let demo = demo.args(arguments).env("CARGO_TERM_COLOR", "never");
        let status = output.run(demo, |line| has_warnings |= line.starts_with("warning"))?;
        if !status.success() {
            let words = arguments.join(" ");
            return Err(Problem::new(format!("`cargo {words}` ended with {status}")));
        }
    }
    if has_warnings { Err(Problem::new("the build has warnings")) } else { Ok(Tally::CHECK) }
}

/// Runs the module of the end-to-end suite that has the part's name.
fn suite(output: Output) -> Result<Tally, Problem> {
    output.tests(&["--test", "it"], &[&format!("{}::", output.part)])
}

/// Runs the fast modules of the end-to-end suite that need neither tools nor servers, without the
/// test that waits for a whole retry interval.
fn sqlite(output: Output) -> Result<Tally, Problem> {
    let modules = [
        "command::",
        "connectors::",
        "examples::",
        "flows::",
        "ledger::sqlite",
        "operator::",
        "queue::sqlite",
        "rows::",
        "serve::",
    ];
    let slow = ["--skip", "one_bad_request_costs_the_others_nothing"];
    output.tests(&["--test", "it"], &[&modules[..], &slow].concat())
}

fn soak(output: Output) -> Result<Tally, Problem> {
    let is_long = std::env::args().any(|argument| argument == LONG);
    // Cargo builds `soak` beside this program.
    let soak = std::env::current_exe().unwrap_or_default().with_file_name("soak");
    let mut soak = command(&soak.to_string_lossy());
    output.check_command(if is_long { soak.arg(LONG) } else { &mut soak })
}

/// Builds as a user does: cargo-lambda links with zig, against an older glibc than this machine's.
fn bundle(output: Output) -> Result<Tally, Problem> {
    let before = unknown_to_git()?;
    let mut sam = command("sam");
    // CARGO_LAMBDA_COMPILER is set in shells that build for this machine only.
    sam.arg("build").env_remove("CARGO_LAMBDA_COMPILER").env("SAM_CLI_TELEMETRY", "0");
    let mut tally = output.check_command(&mut sam)?;
    let new: Vec<String> = unknown_to_git()?.difference(&before).cloned().collect();
    if !new.is_empty() {
        let new = new.join(", ");
        return Err(Problem::new(format!("`sam build` created untracked files: {new}")));
    }
    tally += Tally::CHECK;
    Ok(tally)
}

/// The files that git neither tracks nor ignores.
fn unknown_to_git() -> Result<BTreeSet<String>, Problem> {
    let output = command("git")
        .args(["ls-files", "--others", "--exclude-standard"])
        .output()
        .map_err(|error| Problem::new(format!("git cannot be started: {error}")))?;
    if !output.status.success() {
        return Err(Problem::new(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::run::workspace;

    #[test]
    fn each_module_of_the_end_to_end_suite_has_a_part_that_runs_it() {
        let main = fs::read_to_string(workspace().join("tests/tests/it/main.rs")).unwrap();
        let modules = main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
        let runs = |part: &Part| std::ptr::fn_addr_eq(part.run, suite as fn(_) -> _);
        let is_run = |module: &&str| match named(module) {
            Ok(part) => part.name == "template" || runs(part),
            Err(_) => false,
        };
        let missing: Vec<_> = modules.filter(|module| !is_run(module)).collect();
        assert_eq!(missing, [""; 0]);
    }

    /// The names of the integration tests below `folder`: `tests/NAME.rs` and `tests/NAME/main.rs`.
    fn integration_tests(folder: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let is_below_tests = folder.ends_with("tests") && folder.parent() != Some(&workspace());
            let is_program = path.extension().is_some_and(|it| it == "rs");
            if is_below_tests && (is_program || path.join("main.rs").exists()) {
                into.push(name);
            } else if path.is_dir() && name != "target" {
                integration_tests(&path, into);
            }
        }
    }

    #[test]
    fn each_integration_test_is_run_by_unit_or_is_the_suite() {
        let mut found = Vec::new();
        for folder in ["functions", "infra", "tests"] {
            integration_tests(&workspace().join(folder), &mut found);
        }
        found.retain(|name| name != "it");
        found.sort();
        let run: Vec<_> = UNIT.iter().skip(2).filter(|it| **it != "--test").collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), run);
    }

    #[test]
    fn guarantees_is_last_as_it_looks_at_the_tests_that_ran() {
        assert_eq!(PARTS.last().map(|part| (part.name, part.is_alone)), Some(("guarantees", true)));
    }
}
