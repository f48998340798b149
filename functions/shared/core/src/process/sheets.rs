//! Attached sheets: read before a flow is planned, so that their rows are rows like a table's.

use thiserror::Error;

use crate::explain::Explain;
use crate::failure::Failure;
use crate::flow::{FieldRule, Flow, Place};
use crate::form::{Content, Field, Form, find};
use crate::ports::ReadSheet;

/// What is wrong with the attached files of a field.
#[derive(Debug, Error, Explain)]
#[explain("sheets")]
enum SheetProblem {
    /// Rows are known by their numbers.
    #[error(
        "there are {count} attached files: attach one sheet, as rows are known by their numbers"
    )]
    NotOne { count: usize },
    /// A heading that was renamed must not make a value count as left out.
    #[error("the sheet has no column `{columns}`: its headings are in the first row with content")]
    NoColumn {
        /// The names of the column in `flows.toml`.
        columns: String,
    },
}

/// Replaces the attached sheets of which `flow` reads a column by their rows.
///
/// # Errors
/// [`Failure`] when a file cannot be downloaded.
pub async fn read_sheets(
    flow: &Flow,
    form: &mut Form,
    source: &impl ReadSheet,
) -> Result<(), Failure> {
    for AttachedSheet { index, columns } in attached_sheets(flow, form) {
        let Some(field) = form.fields.get_mut(index) else { continue };
        let Content::Files(files) = &field.content else { continue };
        field.content = match files.as_slice() {
            [] => Content::Rows(Vec::new()),
            [file] => match source.read_sheet(&flow.source, file).await? {
                Ok(rows) => with_columns(rows, &columns),
                Err(problem) => Content::Unreadable(problem),
            },
            files => Content::Unreadable(SheetProblem::NotOne { count: files.len() }.explain()),
        };
    }
    Ok(())
}

/// A field with attached files of which a flow reads columns.
struct AttachedSheet {
    /// The index of the field in the form.
    index: usize,
    /// For each field of the flow, the columns of which one must be there.
    columns: Vec<Vec<String>>,
}

fn attached_sheets(flow: &Flow, form: &Form) -> Vec<AttachedSheet> {
    let fields = form.fields.iter().enumerate();
    let fields = fields.filter(|(_, field)| matches!(field.content, Content::Files(_)));
    let sheet = |(index, field): (usize, &Field)| {
        let names = |place: &&Place| form.names(&place.field, field);
        let columns_of = |rule: &FieldRule| -> Vec<String> {
            rule.from.iter().filter(names).filter_map(|place| place.column.clone()).collect()
        };
        let columns = flow.fields.values().map(columns_of);
        let columns: Vec<_> = columns.filter(|columns| !columns.is_empty()).collect();
        (!columns.is_empty()).then_some(AttachedSheet { index, columns })
    };
    fields.filter_map(sheet).collect()
}

/// The rows, if the sheet has the columns: the first row with fields has all of them.
fn with_columns(rows: Vec<Vec<Field>>, columns: &[Vec<String>]) -> Content {
    let Some(row) = rows.iter().find(|row| !row.is_empty()) else { return Content::Rows(rows) };
    let is_there = |column: &String| !find(row, column).is_empty();
    match columns.iter().find(|columns| !columns.iter().any(is_there)) {
        None => Content::Rows(rows),
        Some(missing) => {
            Content::Unreadable(SheetProblem::NoColumn { columns: missing.join("`, `") }.explain())
        }
    }
}
