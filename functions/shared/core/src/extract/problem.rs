//! What can be wrong with a form.

use thiserror::Error;

use super::MAX_SUBJECTS;
use crate::explain::{Explain, Explanation};
use crate::failure::{Class, Reason};
use crate::flow::NoEnd;

/// A problem of a form. Names the place, and never quotes the content.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("form")]
pub enum Problem {
    /// None of the places is in the form.
    #[error("field `{field}`: the form has none of {places}")]
    Absent {
        /// The field of the flow.
        field: String,
        /// The places that were searched.
        places: String,
    },
    /// The places exist, and nothing is filled in.
    #[error("field `{field}` is empty")]
    Empty {
        /// The field of the flow.
        field: String,
    },
    /// The value at a place is not a text.
    #[error("field `{field}`: the widget `{place}` is not a text")]
    NotText {
        /// The field of the flow.
        field: String,
        place: String,
    },
    /// What is filled in at a place cannot be read.
    #[error("field `{field}`: the widget `{place}` cannot be read: {cause}")]
    Unreadable {
        /// The field of the flow.
        field: String,
        place: String,
        /// Why.
        cause: Explanation,
    },
    /// The value is not a number.
    #[error("field `{field}` is not a number")]
    NotNumber {
        /// The field of the flow.
        field: String,
    },
    /// The value is not a date.
    #[error("field `{field}` is not a date")]
    NotDate {
        /// The field of the flow.
        field: String,
    },
    /// More than one value where one is expected.
    #[error("field `{field}` has several values, but takes one")]
    Several {
        /// The field of the flow.
        field: String,
    },
    /// A text without a value of the kind.
    #[error("field `{field}`: nothing of the kind `{kind}` was found in what was filled in")]
    NoneFound {
        /// The field of the flow.
        field: String,
        kind: &'static str,
    },
    /// A value of the kind is invalid.
    #[error("field `{field}`, entry {number} at character {position}: {error}")]
    Entry {
        /// The field of the flow.
        field: String,
        /// Counted from 1 over the entries of the field; in a table, of its cell.
        number: usize,
        /// The position of its first character in the text as typed, counted from 1.
        position: usize,
        /// The reason.
        error: Explanation,
    },
    /// A problem in a row of a table.
    #[error("row {row}: {problem}")]
    InRow {
        /// Counted from 1.
        row: usize,
        problem: Box<Self>,
    },
    /// One subject with different values, of which no one knows which is meant.
    #[error(
        "field `{field}` names one {kind} several times, with different values of `{differs}`: \
         which is meant is not known (rows: {rows})"
    )]
    Contradiction {
        /// The field with the subjects.
        field: String,
        /// The kind of the subject.
        kind: &'static str,
        /// The field of the flow with the different values.
        differs: String,
        /// The numbers of the rows; those outside of tables are left out.
        rows: String,
    },
    /// There is no end of access, and the flow asks for one.
    #[error(transparent)]
    NoEnd(#[from] NoEnd),
    /// More subjects than [`MAX_SUBJECTS`].
    #[error("field `{field}` has more than {MAX_SUBJECTS} entries")]
    TooMany {
        /// The field of the flow.
        field: String,
    },
}

impl Problem {
    /// The same problem, in a row of a table if there is one.
    pub(crate) fn in_row(self, row: Option<usize>) -> Self {
        match row {
            Some(row) => Self::InRow { row, problem: Box::new(self) },
            None => self,
        }
    }

    /// Whether the form leaves the field out.
    pub(super) const fn is_missing(&self) -> bool {
        matches!(self, Self::Absent { .. } | Self::Empty { .. })
    }
}

impl From<Problem> for Reason {
    fn from(problem: Problem) -> Self {
        Self::new(Class::InvalidForm, problem)
    }
}
