//! What a new kind costs: in a scratch copy of the sources, a kind of subject is one file with its
//! line in the table, and a kind of source is one module with its line. Their own tests are run
//! there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use greenlight_tests::workspace;

const SUBJECTS: &str = "functions/shared/core/src/subject";

const SOURCES: &str = "functions/shared/sources/src";

/// VLAN numbers, as a kind of subject.
const VLAN: &str = include_str!("../../extension/vlan.rs");

/// A source that sends `INSTANCE DEFINITION` as plain text, with a token in the query.
const PLAIN: &str = include_str!("../../extension/plain.rs");

/// The files that git knows, and those that are new, with their content.
fn files(of: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(list).current_dir(of).output().unwrap();
    assert!(output.status.success());
    let names = String::from_utf8(output.stdout).unwrap();
    let names = names.lines().map(PathBuf::from);
    names.filter_map(|name| Some((name.clone(), std::fs::read(of.join(&name)).ok()?))).collect()
}

/// Inserts a line before the first line that begins with `before`.
fn insert(file: &Path, before: &str, line: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    let place = text.find(&format!("\n{before}")).unwrap_or_else(|| panic!("no line {before}"));
    let (start, end) = text.split_at(place);
    std::fs::write(file, format!("{start}\n{line}{end}")).unwrap();
}

#[test]
fn a_kind_of_subject_is_one_file_and_a_source_one_module_each_with_its_line() {
    let before = files(&workspace());
    let scratch = tempfile::tempdir().unwrap();
    for (name, content) in &before {
        let path = scratch.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let at = |name: &str| scratch.path().join(name);
    std::fs::write(at(SUBJECTS).join("vlan.rs"), VLAN).unwrap();
    let subjects = at(SUBJECTS).join("mod.rs");
    insert(&subjects, "mod text;", "mod vlan;");
    let text = std::fs::read_to_string(&subjects).unwrap();
    std::fs::write(&subjects, text.replace("&TEXT];", "&TEXT, &vlan::VLAN];")).unwrap();
    std::fs::write(at(SOURCES).join("plain.rs"), PLAIN).unwrap();
    let sources = at(SOURCES).join("lib.rs");
    insert(&sources, "pub mod registry;", "mod plain;");
    insert(&sources, "    (\"webhook\"", "    (\"plain\", kind::<plain::Plain>()),");

    let run = Command::new("git").args(["init", "--quiet"]).current_dir(scratch.path()).status();
    assert!(run.unwrap().success());
    let after = files(scratch.path());
    let touched: Vec<_> =
        after.iter().filter(|(name, it)| before.get(*name) != Some(*it)).collect();
    let touched: Vec<_> = touched.iter().map(|(name, _)| name.display().to_string()).collect();
    assert_eq!(
        touched,
        [
            format!("{SUBJECTS}/mod.rs"),
            format!("{SUBJECTS}/vlan.rs"),
            format!("{SOURCES}/lib.rs"),
            format!("{SOURCES}/plain.rs"),
        ]
    );
    assert_eq!(before.len() + 2, after.len(), "nothing is removed");

    let tests = ["subject::vlan::tests::", "plain::tests::"];
    for (package, tests) in ["greenlight-core", "greenlight-sources"].into_iter().zip(tests) {
        let cargo = Command::new(env!("CARGO"))
            .args(["test", "--locked", "--offline", "--package", package, "--lib", "--", tests])
            .current_dir(scratch.path())
            .env("CARGO_TARGET_DIR", workspace().join("target/scratch"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&cargo.stdout).into_owned();
        let errors = String::from_utf8_lossy(&cargo.stderr).into_owned();
        assert!(cargo.status.success() && said.contains("1 passed"), "{said}{errors}");
    }
    println!("1 kind of subject and 1 kind of source: {} files touched", touched.len());
}
