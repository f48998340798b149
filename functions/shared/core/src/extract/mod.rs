//! Extracts subjects and values from a filled-in form, by the fields of a flow.
//!
//! A subject in a row of a table has the values of that row; fields outside of tables hold for all
//! rows. A row with a problem does not affect the others.

mod cells;
mod problem;
mod reader;
mod value;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use self::reader::Reader;
use crate::explain::Explanation;
use crate::flow::Flow;
use crate::form::Form;
use crate::subject::Subject;

pub use self::problem::Problem;

/// The maximum number of subjects of a field, and of rows of a table; more are a mistake or an
/// attack.
pub const MAX_SUBJECTS: usize = 1_000;

/// The result of extracting a flow's fields from a form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extracted {
    /// The valid subjects of each field that an action is performed for, in order.
    pub subjects: BTreeMap<String, Vec<Occurrence>>,
    /// The values outside of tables, and then those of the rows with subjects.
    pub values: Vec<Values>,
    /// The problems of the form; the valid subjects remain valid.
    pub problems: Vec<Problem>,
    /// The warnings about valid subjects, one for each.
    pub warnings: Vec<Explanation>,
}

/// A subject at a place of the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// The subject.
    pub subject: Subject,
    /// The index of its values in [`Extracted::values`].
    pub values: usize,
}

/// The index of the values outside of tables.
pub const OUTSIDE: usize = 0;

/// The values of the fields at one place of the form. In a row, a field that is in none of the
/// members has the value that it has outside of tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// The row of the table, counted from 1; `None` outside of tables.
    pub row: Option<usize>,
    /// The values; `null` for an optional one that is left out.
    pub values: Map<String, Value>,
    /// The fields that have a problem and therefore no value: no action that uses one of them may
    /// be performed.
    pub unreadable: BTreeSet<String>,
    /// The fields with subjects of other actions that have no single value here: a problem only
    /// where an action uses it.
    pub problems_on_use: BTreeMap<String, Problem>,
}

impl Values {
    /// Whether the field has its own value, or problem, here.
    fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
            || self.unreadable.contains(name)
            || self.problems_on_use.contains_key(name)
    }
}

impl Extracted {
    /// The place that a field's value at `values` is taken from: itself, or [`OUTSIDE`].
    #[must_use]
    pub fn place_of(&self, name: &str, values: usize) -> Option<&Values> {
        let own = self.values.get(values).filter(|values| values.has(name));
        own.or_else(|| self.values.get(OUTSIDE))
    }

    /// The values of all fields at `values`.
    #[must_use]
    pub fn all_values(&self, values: usize) -> Map<String, Value> {
        let outside = self.values.get(OUTSIDE);
        let Some(own) = self.values.get(values).filter(|_| values != OUTSIDE) else {
            return outside.map(|outside| outside.values.clone()).unwrap_or_default();
        };
        let outside = outside.into_iter().flat_map(|outside| &outside.values);
        let outside = outside.filter(|(name, _)| !own.has(name));
        outside.chain(&own.values).map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// Extracts the fields of `flow` from `form`.
#[must_use]
pub fn extract(flow: &Flow, form: &Form) -> Extracted {
    Reader::new(flow, form).read()
}

#[cfg(test)]
mod tests;
