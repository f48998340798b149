//! Which value of a field an action gets: that of the row of its subject, or that outside of
//! tables.

use thiserror::Error;

use super::{Action, FieldRule, Flow, Place};
use crate::explain::Explain;

/// The reason for which an action cannot have the value of a field.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("not_bound")]
pub enum NotBound {
    /// The flow has no such field.
    #[error("there is no such field")]
    Unknown,
    /// The field has the subjects of the action itself.
    #[error("the action is performed for each of its subjects: use `subject`")]
    Subjects,
    /// The field is read from columns of tables only, and the subject is not, or from others.
    #[error(
        "it is a column of the table `{table}`, and the subjects are not all in that table: which \
         row's value another one would get is not known. Give it a place outside of tables, too, or \
         with `multiple` the values of all rows"
    )]
    OtherTable {
        /// The table, as the flow names it.
        table: String,
    },
}

impl Flow {
    /// Whether `action` can have the value of the field `name`.
    ///
    /// # Errors
    /// [`NotBound`] with the reason.
    pub fn binds(&self, action: &Action, name: &str) -> Result<(), NotBound> {
        let rule = self.fields.get(name).ok_or(NotBound::Unknown)?;
        let for_each = action.for_each.as_deref();
        if for_each == Some(name) {
            return Err(NotBound::Subjects);
        }
        // A place outside of tables holds for all rows; `multiple` has the values of all rows.
        if rule.multiple || rule.from.iter().any(|place| place.column.is_none()) {
            return Ok(());
        }
        let Some(table) = rule.tables().next() else { return Ok(()) };
        let subjects = for_each.and_then(|field| self.fields.get(field));
        let is_bound = |place: &Place| {
            place.column.is_some() && rule.tables().any(|table| table == place.field)
        };
        // Each place of the subject must have a value: otherwise it would be left out there.
        if subjects.is_some_and(|subjects| subjects.from.iter().all(is_bound)) {
            return Ok(());
        }
        Err(NotBound::OtherTable { table: table.to_owned() })
    }
}

impl FieldRule {
    /// The tables in which it reads a column, as the flow names them.
    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        let of_tables = self.from.iter().filter(|place| place.column.is_some());
        of_tables.map(|place| place.field.as_str())
    }
}
