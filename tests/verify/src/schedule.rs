//! The scheduler: a full run has three parts at a time, as most of them wait for the network, a
//! linker or a timer.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::parts::{PARTS, Part};
use crate::run::{Output, Problem, Tally};

/// The number of concurrent parts in a full run: one more than the cores of the smallest machine,
/// as most parts wait.
const LANES: usize = 3;

/// A part that has ended, or that was not run.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) part: &'static Part,
    pub(crate) tally: Tally,
    /// The reason of the failure.
    pub(crate) problem: Option<String>,
    pub(crate) took: Duration,
}

/// Adds the parts that the chosen ones need, and sorts all in the order of the table.
pub(crate) fn with_needs(chosen: &[&'static Part]) -> Vec<&'static Part> {
    let mut names = BTreeSet::new();
    let mut open: Vec<_> = chosen.iter().map(|part| part.name).collect();
    while let Some(name) = open.pop() {
        if names.insert(name) {
            let part = PARTS.iter().find(|part| part.name == name);
            open.extend(part.into_iter().flat_map(|part| part.needs));
        }
    }
    PARTS.iter().filter(|part| names.contains(part.name)).collect()
}

/// Runs the parts: [`LANES`] at a time in a full run, otherwise one after the other. A part fails
/// without being run if a part that it needs failed.
pub(crate) fn run(parts: &[&'static Part], is_whole: bool) -> Vec<Ended> {
    let lanes = if is_whole { LANES } else { 1 };
    let mut open = parts.to_vec();
    let mut running: Vec<&Part> = Vec::new();
    let mut ended: Vec<Ended> = Vec::new();
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        while !open.is_empty() || !running.is_empty() {
            while let Some(next) = next(&open, &running, lanes) {
                let part = open.remove(next);
                if let Some(failed) = failed_need(part, &ended) {
                    let problem = Some(format!("not run, as `{failed}` failed"));
                    ended.push(Ended { part, tally: Tally::FAILED, problem, took: Duration::ZERO });
                    continue;
                }
                let number = parts.len() - open.len();
                println!("== {} ({number} of {}): {}", part.name, parts.len(), part.what);
                running.push(part);
                let sender = sender.clone();
                scope.spawn(move || sender.send(perform(part, is_whole)));
            }
            if running.is_empty() {
                continue;
            }
            // This thread holds a sender, so that receiving does not fail.
            if let Ok(last) = receiver.recv() {
                println!("== {} took {} s", last.part.name, last.took.as_secs());
                running.retain(|part| part.name != last.part.name);
                ended.push(last);
            }
        }
    });
    ended.sort_by_key(|ended| parts.iter().position(|part| part.name == ended.part.name));
    ended
}

fn perform(part: &'static Part, is_whole_run: bool) -> Ended {
    let start = Instant::now();
    let output = Output { part: part.name, is_whole_run };
    // A part that panics counts as failed, and the others continue.
    let result = std::panic::catch_unwind(|| (part.run)(output))
        .unwrap_or_else(|_| Err(Problem::new("it panicked")));
    let (tally, problem) = match result {
        Ok(tally) => (tally, None),
        Err(problem) => (problem.tally, Some(problem.text)),
    };
    Ended { part, tally, problem, took: start.elapsed() }
}

/// The first part, by its index, that can start now.
fn next(open: &[&Part], running: &[&Part], lanes: usize) -> Option<usize> {
    if running.len() >= lanes || running.iter().any(|part| part.is_alone) {
        return None;
    }
    let is_due = |name: &str| open.iter().chain(running).any(|part| part.name == name);
    let is_ready = |part: &&Part| {
        let fits = running.is_empty() || !part.is_alone;
        fits && !part.needs.iter().chain(part.after).any(|name| is_due(name))
    };
    open.iter().position(is_ready)
}

fn failed_need(part: &Part, ended: &[Ended]) -> Option<&'static str> {
    let failed = ended.iter().filter(|ended| ended.problem.is_some());
    failed.map(|ended| ended.part.name).find(|name| part.needs.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn part(name: &'static str, needs: &'static [&'static str], is_alone: bool) -> Part {
        Part { name, what: "", needs, after: &[], is_alone, run: |_| Ok(Tally::CHECK) }
    }

    fn ended(part: &'static Part, problem: Option<&str>) -> Ended {
        let problem = problem.map(str::to_owned);
        Ended { part, tally: Tally::CHECK, problem, took: Duration::ZERO }
    }

    #[test]
    fn next_waits_for_needs_and_keeps_to_the_lanes() {
        let (build, suite) = (part("build", &[], false), part("suite", &["build"], false));
        let (other, start) = (part("other", &[], false), part("start", &[], true));
        assert_eq!(next(&[&suite, &other], &[&build], 2), Some(1));
        assert_eq!(next(&[&suite, &other], &[&build], 1), None);
        assert_eq!(next(&[&suite, &other], &[], 2), Some(0));
        let late = Part { after: &["other"], ..part("late", &[], false) };
        assert_eq!(next(&[&late], &[&other], 2), None);
        assert_eq!(next(&[&late], &[], 2), Some(0));
        // A part that runs alone waits for the others, and they wait for it.
        assert_eq!(next(&[&start], &[&build], 2), None);
        assert_eq!(next(&[&other], &[&start], 2), None);
    }

    #[test]
    fn failed_need_keeps_a_part_from_running() {
        let failed = PARTS.iter().find(|part| part.name == "build").unwrap();
        let ended = [ended(failed, Some("it does not compile"))];
        let suite = part("suite", &["build"], false);
        assert_eq!(failed_need(&suite, &ended), Some("build"));
        assert_eq!(next(&[&suite], &[], 2), Some(0));
    }

    const FAILS: &Part = &Part {
        name: "fails",
        what: "",
        needs: &[],
        after: &[],
        is_alone: false,
        run: |_| Err(Problem::new("it does not compile")),
    };
    const PASSES: &Part = &part("passes", &[], false);
    const NEEDS_IT: &Part = &part("needs it", &["fails"], false);

    #[test]
    fn run_skips_what_needs_a_failed_part_and_runs_the_rest() {
        for is_whole in [false, true] {
            let ended = run(&[FAILS, NEEDS_IT, PASSES], is_whole);
            let results: Vec<_> =
                ended.iter().map(|ended| (ended.part.name, ended.problem.as_deref())).collect();
            let not_run = Some("not run, as `fails` failed");
            assert_eq!(
                results,
                [("fails", Some("it does not compile")), ("needs it", not_run), ("passes", None)]
            );
        }
        assert_eq!(run(&[FAILS, NEEDS_IT], false).len(), 2);
    }

    #[test]
    fn each_need_is_a_part_that_stands_before() {
        for (index, part) in PARTS.iter().enumerate() {
            for need in part.needs.iter().chain(part.after) {
                assert!(PARTS[..index].iter().any(|before| before.name == *need), "{need}");
            }
        }
    }

    #[test]
    fn with_needs_adds_what_a_part_needs_before_it() {
        let serve: Vec<_> = PARTS.iter().filter(|part| part.name == "serve").collect();
        let names: Vec<_> = with_needs(&serve).iter().map(|part| part.name).collect();
        assert_eq!(names, ["build", "serve"]);
    }
}
