//! Who is compared.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::measure::Run;

/// A bootstrap process.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    /// For the table.
    pub(crate) name: &'static str,
    /// What it is made of, with versions.
    pub(crate) made_of: String,
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
    /// Where it runs.
    pub(crate) folder: PathBuf,
    /// Whether it sends the event to the queue: the floor does not.
    pub(crate) enqueues: bool,
    /// The size of what would be deployed, zipped, in bytes.
    pub(crate) zip_bytes: u64,
}

/// What was measured of a contender.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) made_of: String,
    pub(crate) zip_bytes: u64,
    runs: Vec<Run>,
}

/// A figure of a contender: the median, and the smallest and the largest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Contender {
    /// Before its first run.
    pub(crate) fn unmeasured(&self) -> Measured {
        let Self { name, made_of, zip_bytes, .. } = self.clone();
        Measured { name, made_of, zip_bytes, runs: Vec::new() }
    }
}

impl Measured {
    pub(crate) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    pub(crate) fn figure(&self, of: impl Fn(&Run) -> f64) -> Figure {
        let mut values: Vec<f64> = self.runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let at = |place: usize| values.get(place).copied().unwrap_or(f64::NAN);
        Figure { median: at(values.len() / 2), least: at(0), most: at(values.len() - 1) }
    }
}
