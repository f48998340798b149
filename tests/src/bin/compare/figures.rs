//! Measured figures of the contenders.

use std::time::Duration;

use crate::growth::Growth;

/// A measured quantity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
}

/// The results of a contender.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    /// Its components, with versions.
    pub(crate) made_of: String,
    /// One figure per column for each run; NaN if it does not apply.
    runs: Vec<Vec<f64>>,
}

/// A figure of a contender: median, minimum and maximum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Measured {
    /// Before the first run.
    pub(crate) fn new(name: &'static str, made_of: &str) -> Self {
        Self { name, made_of: made_of.to_owned(), runs: Vec::new() }
    }

    pub(crate) fn add(&mut self, run: Vec<f64>) {
        self.runs.push(run);
    }

    /// The figure of a column, by its index.
    pub(crate) fn figure(&self, column: usize) -> Figure {
        let mut values: Vec<f64> =
            self.runs.iter().filter_map(|run| run.get(column).copied()).collect();
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
        Figure { median: at(values.len() / 2), least: at(0), most: at(values.len().max(1) - 1) }
    }
}

/// One comparison.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    /// The name in files and on the command line.
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [Column],
    /// The first is the reference of the comparison.
    pub(crate) results: Vec<Measured>,
    /// How greenlight's time grows, if measured.
    pub(crate) growth: Vec<Growth>,
}

impl Section {
    /// The ratio to the first contender's figure.
    pub(crate) fn ratio(&self, column: usize, figure: f64) -> f64 {
        let first = self.results.first().map_or(f64::NAN, |first| first.figure(column).median);
        figure / first
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

pub(crate) fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
