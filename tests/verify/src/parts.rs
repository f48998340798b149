//! The parts of `cargo verify`.

use crate::guards;
use crate::run::{Problem, Tally, check, command, tests};
use crate::tools;

/// One part.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) run: fn() -> Result<Tally, Problem>,
}

/// Makes the part `soak` ten times as long.
pub(crate) const LONG: &str = "--long";

/// All parts, in the order in which a mistake is found soonest.
pub(crate) const PARTS: &[Part] = &[
    Part { name: "tools", what: "the pinned tools are installed", run: tools::install },
    Part { name: "format", what: "rustfmt has nothing to change", run: format },
    Part { name: "lint", what: "clippy has nothing to say", run: lint },
    Part { name: "licences", what: "what is in the tree may be there", run: licences },
    Part { name: "tree", what: "the receiver's tree is small", run: tree },
    Part { name: "template", what: "template.yaml is valid", run: template },
    Part { name: "unit", what: "each room's own tests", run: unit },
    Part { name: "demo", what: "the demonstration's story is right", run: demo },
    Part { name: "serve", what: "both stories on one machine", run: serve },
    Part { name: "operator", what: "the operator's command on one machine", run: operator },
    Part { name: "page", what: "the operator's page, in a real browser", run: page },
    Part { name: "disk", what: "a disk that is full, a folder that may not be written", run: disk },
    Part { name: "connectors", what: "each connector keeps its contract", run: connectors },
    Part { name: "flows", what: "flows are checked, and tried without sending", run: flows },
    Part { name: "sql", what: "records in PostgreSQL, MariaDB and SQLite", run: sql },
    Part { name: "radius", what: "a real RADIUS server says yes", run: radius },
    Part { name: "http", what: "whom the outbound client trusts", run: http },
    Part { name: "crash", what: "a crash at every await, panics, hangs, patience", run: crash },
    Part { name: "ledger", what: "both ledgers are the same state machine", run: ledger },
    Part { name: "queue", what: "both queues have the same semantics", run: queue },
    Part { name: "wire", what: "the requests to AWS are those that were reviewed", run: wire },
    Part { name: "oracle", what: "the official Python SDK agrees with us", run: oracle },
    Part { name: "functions", what: "both Lambda binaries, killed and in trouble", run: functions },
    Part { name: "bundle", what: "sam build, for Amazon Linux 2023", run: bundle },
    Part { name: "guards", what: "what may not grow has not", run: guards::guards },
    Part { name: "cloud", what: "the deployed template, on a local AWS", run: cloud },
    Part {
        name: "stack",
        what: "the operator's command and page on it, and an upgrade",
        run: stack,
    },
    Part { name: "start", what: "the receiver's first answer, measured", run: start },
    Part { name: "soak", what: "a thousand approvals, every device accounted for", run: soak },
    Part { name: "pages", what: "the pages say what is there, and what ran", run: pages },
];

/// The part of that name, or the name.
pub(crate) fn named(name: &str) -> Result<&'static Part, &str> {
    PARTS.iter().find(|part| part.name == name).ok_or(name)
}

fn format() -> Result<Tally, Problem> {
    check("cargo", &["fmt", "--all", "--check"])
}

fn lint() -> Result<Tally, Problem> {
    check("cargo", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

fn licences() -> Result<Tally, Problem> {
    tools::install()?;
    check("cargo", &["deny", "--log-level", "error", "check", "bans", "licenses", "sources"])
}

fn tree() -> Result<Tally, Problem> {
    let crates = guards::crates("receiver")?;
    println!("cargo tree -p receiver: {} crates", crates.len());
    let unwanted =
        ["reqwest", "sqlx", "libsqlite3-sys", "aws-smithy-runtime", "h2", "regex", "minijinja"];
    let has = |wanted: &str| crates.iter().any(|name| name == wanted);
    if !has("lambda_http") {
        return Err(Problem::new("the receiver's tree lacks lambda_http"));
    }
    match unwanted.iter().find(|unwanted| has(unwanted)) {
        None => Ok(Tally::ONE),
        Some(unwanted) => Err(Problem::new(format!("the receiver's tree has {unwanted}"))),
    }
}

fn template() -> Result<Tally, Problem> {
    tools::install()?;
    let mut tally = check("sam", &["validate", "--lint", "--region", "us-east-1"])?;
    for region in ["us-east-1", "cn-north-1"] {
        tally += check("cfn-lint", &["--regions", region, "--", "template.yaml"])?;
    }
    // WAF for CloudFront is in us-east-1 alone.
    tally += check("cfn-lint", &["--regions", "us-east-1", "--", "infra/cloudfront.yaml"])?;
    tally += tests(&["--package", "greenlight-tests", "--test", "template"])?;
    Ok(tally)
}

fn unit() -> Result<Tally, Problem> {
    tests(&["--workspace", "--exclude", "greenlight-tests"])
}

fn demo() -> Result<Tally, Problem> {
    check("cargo", &["demo"])
}

/// The programs that the end-to-end suite starts.
fn build() -> Result<Tally, Problem> {
    tools::install()?;
    let programs = ["greenlight", "receiver", "worker"].map(|program| ["--package", program]);
    let mut arguments = vec!["build", "--quiet"];
    arguments.extend(programs.as_flattened());
    check("cargo", &arguments)
}

/// One file of the end-to-end suite.
fn suite(name: &str) -> Result<Tally, Problem> {
    build()?;
    tests(&["--package", "greenlight-tests", "--test", name])
}

fn serve() -> Result<Tally, Problem> {
    suite("serve")
}

fn operator() -> Result<Tally, Problem> {
    suite("operator")
}

fn page() -> Result<Tally, Problem> {
    tools::install_servers()?;
    suite("page")
}

fn connectors() -> Result<Tally, Problem> {
    let mut tally = suite("connectors")?;
    tally += suite("openapi")?;
    Ok(tally)
}

fn flows() -> Result<Tally, Problem> {
    suite("flows")
}

fn sql() -> Result<Tally, Problem> {
    tools::install_servers()?;
    suite("sql")
}

fn radius() -> Result<Tally, Problem> {
    tools::install_servers()?;
    suite("radius")
}

fn http() -> Result<Tally, Problem> {
    suite("http")
}

fn disk() -> Result<Tally, Problem> {
    suite("disk")
}

fn queue() -> Result<Tally, Problem> {
    suite("queue")
}

fn wire() -> Result<Tally, Problem> {
    let mut tally = suite("wire")?;
    tally += suite("lean")?;
    Ok(tally)
}

fn functions() -> Result<Tally, Problem> {
    suite("functions")
}

fn soak() -> Result<Tally, Problem> {
    build()?;
    let mut arguments = vec!["run", "--quiet", "--package", "greenlight-tests", "--bin", "soak"];
    if std::env::args().any(|argument| argument == LONG) {
        arguments.extend(["--", LONG]);
    }
    check("cargo", &arguments)
}

fn pages() -> Result<Tally, Problem> {
    suite("guarantees")
}

fn crash() -> Result<Tally, Problem> {
    suite("crash")
}

fn ledger() -> Result<Tally, Problem> {
    suite("ledger")
}

fn oracle() -> Result<Tally, Problem> {
    suite("oracle")
}

/// As a user builds it: cargo-lambda links with zig, against an older glibc than this machine's.
fn bundle() -> Result<Tally, Problem> {
    tools::install()?;
    let before = unknown_to_git()?;
    let status = command("sam")
        .arg("build")
        // Of a shell that builds for this machine alone.
        .env_remove("CARGO_LAMBDA_COMPILER")
        .env("SAM_CLI_TELEMETRY", "0")
        .status()
        .map_err(|error| Problem::new(format!("sam cannot be started: {error}")))?;
    if !status.success() {
        return Err(Problem::new("`sam build` failed"));
    }
    let mut tally = tests(&["--package", "greenlight-tests", "--test", "bundle"])?;
    let after = unknown_to_git()?;
    if after != before {
        return Err(Problem::new(format!("`sam build` leaves files for git to see:\n{after}")));
    }
    tally += Tally::ONE;
    Ok(tally)
}

/// The files that git neither has nor ignores.
fn unknown_to_git() -> Result<String, Problem> {
    let output = command("git")
        .args(["ls-files", "--others", "--exclude-standard"])
        .output()
        .map_err(|error| Problem::new(format!("git cannot be started: {error}")))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn cloud() -> Result<Tally, Problem> {
    suite("cloud")
}

fn stack() -> Result<Tally, Problem> {
    tools::install_servers()?;
    suite("stack")
}

fn start() -> Result<Tally, Problem> {
    suite("start")
}
