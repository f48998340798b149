//! `docs/guarantees.md` stays true: every statement has tests, and they are there.

use std::fs;
use std::path::Path;

use greenlight_tests::workspace;

/// The text of all Rust files below `folder`.
fn rust_below(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_below(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_statement_has_tests_that_exist() {
    let page = fs::read_to_string(workspace().join("docs/guarantees.md")).unwrap();
    let mut code = String::new();
    for folder in ["functions", "infra", "tests"] {
        rust_below(&workspace().join(folder), &mut code);
    }
    for number in 1..=15 {
        let row = format!("| {number} |");
        let row = page.lines().find(|line| line.starts_with(&row));
        let row = row.unwrap_or_else(|| panic!("statement {number} has no row"));
        let tests: Vec<&str> =
            row.split('`').filter(|word| word.starts_with("statement_")).collect();
        assert!(!tests.is_empty() || row.contains("as 4"), "statement {number} has no test");
        for test in tests {
            assert!(code.contains(&format!("fn {test}")), "{test} is not there");
        }
    }
}
