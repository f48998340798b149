//! The docs match the code: every guarantee has existing tests, and every alarm and failure class
//! has a section in the runbook.

use std::fs;
use std::path::Path;

use greenlight_core::Class;
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

/// The numbers of the guarantees.
fn numbers() -> impl Iterator<Item = u32> {
    (1..=20).chain([22, 23, 26, 27])
}

/// The row of a guarantee, and the tests that it names.
fn row(page: &str, number: u32) -> (&str, Vec<&str>) {
    let start = format!("| {number} |");
    let row = page.lines().find(|line| line.starts_with(&start));
    let row = row.unwrap_or_else(|| panic!("guarantee {number} has no row"));
    let tests = row.split('|').nth(3).unwrap_or_default();
    (row, tests.split('`').skip(1).step_by(2).collect())
}

#[test]
fn every_guarantee_has_tests_that_exist_and_a_figure() {
    let page = fs::read_to_string(workspace().join("docs/guarantees.md")).unwrap();
    let mut code = String::new();
    for folder in ["functions", "infra", "tests"] {
        rust_below(&workspace().join(folder), &mut code);
    }
    for number in numbers() {
        let (row, tests) = row(&page, number);
        // The prefix `g04_05_…` stands for the guarantees 4 and 5.
        let carries_number = |test: &&str| {
            let numbers = test.strip_prefix('g').into_iter().flat_map(|test| test.split('_'));
            numbers.map_while(|part| part.parse().ok()).any(|found: u32| found == number)
        };
        assert!(tests.iter().any(carries_number), "guarantee {number} has no test with its number");
        for test in tests {
            let is_there =
                ["(", "<"].iter().any(|after| code.contains(&format!("fn {test}{after}")));
            assert!(is_there, "the test {test} does not exist");
        }
        let figure = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
        assert!(figure.contains(|c: char| c.is_ascii_digit()), "guarantee {number} has no figure");
    }
}

/// In a full run of `cargo verify` every test that the page names has passed before this one.
#[test]
fn every_test_that_the_page_names_ran() {
    let passed = std::env::var_os("VERIFY_PASSED").and_then(|file| fs::read_to_string(file).ok());
    let Some(passed) = passed else {
        println!("skipped: this is not a full run of `cargo verify`");
        return;
    };
    let page = fs::read_to_string(workspace().join("docs/guarantees.md")).unwrap();
    for test in numbers().flat_map(|number| row(&page, number).1) {
        let ran = passed.lines().any(|line| line.rsplit("::").next() == Some(test));
        assert!(ran, "{test} did not run");
    }
}

/// The runbook has a section for every alarm and every failure class.
#[test]
fn the_runbook_has_every_alarm_and_every_reason() {
    let runbook = fs::read_to_string(workspace().join("docs/runbook.md")).unwrap();
    let has = |name: &str| runbook.lines().any(|line| line == format!("### {name}"));
    let template = fs::read_to_string(workspace().join("template.yaml")).unwrap();
    let mut alarms = 0;
    for (name, after) in template.lines().zip(template.lines().skip(1)) {
        if after.trim() == "Type: AWS::CloudWatch::Alarm" {
            let alarm = name.trim().trim_end_matches(':');
            assert!(has(alarm), "{alarm} is not in the runbook");
            let description = format!("docs/runbook.md, {alarm}\n");
            assert!(template.contains(&description), "{alarm} does not name its section");
            assert!(
                template.contains(&format!("${{{alarm}.Arn}}")),
                "{alarm} is not on the dashboard"
            );
            alarms += 1;
        }
    }
    assert!(alarms > 0, "the template has alarms");
    for reason in Class::ALL.map(Class::as_str).into_iter().chain(["unknown"]) {
        assert!(has(reason), "{reason} is not in the runbook");
    }
}
