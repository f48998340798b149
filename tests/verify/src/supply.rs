//! The supply chain: licences and sources of dependencies, yanked crates and known advisories.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{Output, Problem, Tally, command, workspace};
use crate::tools;

const CONFIG: &str = "deny.toml";

/// The folder name of cargo-deny's copy of RustSec's database, below `db-path`.
const DATABASE: &str = "advisory-db-3157b0e258782691";

/// An advisory for no crate: cargo-deny checks for yanked crates and advisories together, and
/// rejects an empty database.
const STAND_IN: &str = r#"```toml
[advisory]
id = "RUSTSEC-2000-0001"
package = "stand-in-of-greenlight"
date = "2000-01-01"

[versions]
patched = []
```

# No crate has this name
"#;

/// Checks licences, bans and sources against deny.toml, and the dates of its exceptions.
pub(crate) fn licences(output: Output) -> Result<Tally, Problem> {
    let checks = ["bans", "licenses", "sources"];
    let arguments = ["deny", "--locked", "--log-level", "error", "check"];
    refuse_overdue()?;
    output.check_command(command("cargo").args(arguments).args(checks))
}

/// Rejects a Cargo.lock with a crate that is yanked in cargo's copy of the registry index.
pub(crate) fn yanked(output: Output) -> Result<Tally, Problem> {
    let folder = emptied("yanked")?;
    let advisories = folder.join("database/crates/stand-in-of-greenlight");
    fs::create_dir_all(&advisories).map_err(|error| failed(&advisories, &error))?;
    let advisory = advisories.join("RUSTSEC-2000-0001.md");
    fs::write(&advisory, STAND_IN).map_err(|error| failed(&advisory, &error))?;
    let database = folder.join("database");
    // Independent of the user's own configuration of commits.
    let settings = ["user.name=verify", "user.email=verify@example.com", "commit.gpgsign=false"];
    let settings = settings.iter().flat_map(|setting| ["-c", setting]);
    for arguments in
        [&["init", "--quiet"][..], &["add", "."], &["commit", "--quiet", "--message", "Stand-in"]]
    {
        let mut git = command("git");
        output
            .check_command(git.arg("-C").arg(&database).args(settings.clone()).args(arguments))?;
    }
    check_advisories(output, &folder, &database)
}

/// Checks Cargo.lock against a copy of RustSec's database, with the exceptions of deny.toml that
/// have not expired.
pub(crate) fn advisories(output: Output, database: &str) -> Result<Tally, Problem> {
    tools::install(output)?;
    refuse_overdue()?;
    let database =
        fs::canonicalize(database).map_err(|error| Problem::new(format!("{database}: {error}")))?;
    let show = ["show", "--no-patch", "--format=%H of %cs", "HEAD"];
    let commit = first_line(command("git").arg("-C").arg(&database).args(show))?;
    output.line(&format!("RustSec's database, {commit}"));
    check_advisories(output, &emptied("advisories")?, &database)
}

/// Runs cargo-deny with a clone of `database` below `folder`. It runs offline, so that it does not
/// fetch another database; cargo's index has every crate after `cargo fetch`.
fn check_advisories(output: Output, folder: &Path, database: &Path) -> Result<Tally, Problem> {
    output.check("cargo", &["fetch", "--locked", "--quiet"])?;
    let clones = folder.join("clones");
    let mut git = command("git");
    git.args(["clone", "--quiet"]).arg(database).arg(clones.join(DATABASE));
    output.check_command(&mut git)?;
    let table = "[advisories]\n";
    // The copy may exceed the age limit of cargo-deny; its date is printed.
    let with_clones = format!(
        "{table}db-path = {:?}\nmaximum-db-staleness = \"P9999D\"\n",
        clones.to_string_lossy()
    );
    let config = folder.join(CONFIG);
    fs::write(&config, read_config()?.replacen(table, &with_clones, 1))
        .map_err(|error| failed(&config, &error))?;
    let mut deny = command("cargo");
    deny.args(["deny", "--offline", "--locked", "--config"]).arg(&config);
    // A crate that is missing in the index could be yanked.
    output.check_command(deny.args(["check", "--deny", "index-failure", "advisories"]))
}

fn refuse_overdue() -> Result<(), Problem> {
    let today = first_line(command("date").arg("+%F"))?;
    let overdue = overdue(&read_config()?, &today);
    if overdue.is_empty() {
        return Ok(());
    }
    let overdue = overdue.join(", ");
    Err(Problem::new(format!("exceptions of {CONFIG} without a future date: {overdue}")))
}

/// A new folder below `target`.
fn emptied(name: &str) -> Result<PathBuf, Problem> {
    let folder = workspace().join("target/supply").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
    fs::canonicalize(&folder).map_err(|error| failed(&folder, &error))
}

fn failed(path: &Path, error: &std::io::Error) -> Problem {
    Problem::new(format!("{}: {error}", path.display()))
}

fn read_config() -> Result<String, Problem> {
    let path = workspace().join(CONFIG);
    fs::read_to_string(&path).map_err(|error| failed(&path, &error))
}

fn first_line(command: &mut std::process::Command) -> Result<String, Problem> {
    let output = command.output().map_err(|error| Problem::new(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().next().filter(|_| output.status.success()) {
        Some(line) => Ok(line.to_owned()),
        None => Err(Problem::new(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

/// The exceptions without a date, or with one before `today`. An exception is a line
/// `{ id = "RUSTSEC-…", reason = "until YYYY-MM-DD: …" },` of deny.toml.
fn overdue(config: &str, today: &str) -> Vec<String> {
    let lines = config.lines().filter(|line| !line.trim_start().starts_with('#'));
    let exceptions = lines.filter_map(|line| {
        let start = line.find("\"RUSTSEC-")?;
        let id = line[start + 1..].split('"').next()?;
        let until = line.split_once("reason = \"until ").and_then(|(_, reason)| reason.get(..10));
        Some((id.to_owned(), until.filter(|date| is_date(date))))
    });
    exceptions
        .filter(|(_, until)| until.is_none_or(|date| date < today))
        .map(|(id, _)| id)
        .collect()
}

/// Whether a text has the form `2026-12-31`.
fn is_date(text: &str) -> bool {
    text.bytes().enumerate().all(|(index, byte)| match index {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overdue_names_exceptions_without_a_date_to_come() {
        let config = r#"
            ignore = [
                { id = "RUSTSEC-2026-0001", reason = "until 2026-12-31: no release yet" },
                { id = "RUSTSEC-2026-0002", reason = "until 2026-11-28: no release yet" },
                { id = "RUSTSEC-2026-0003", reason = "no release yet" },
                { id = "RUSTSEC-2026-0004", reason = "until the release with the correction" },
                "RUSTSEC-2026-0005",
                # "RUSTSEC-2026-0006",
            ]"#;
        let numbers = [2, 3, 4, 5].map(|number| format!("RUSTSEC-2026-000{number}"));
        assert_eq!(overdue(config, "2026-11-29"), numbers);
    }

    #[test]
    fn deny_toml_has_the_table_that_is_extended() {
        assert!(read_config().unwrap().contains("[advisories]\n"));
    }
}
