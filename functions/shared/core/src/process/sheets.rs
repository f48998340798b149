//! Attached sheets: read before a flow is planned, so that their rows are rows like a table's.

use thiserror::Error;

use crate::explain::Explain;
use crate::failure::Failure;
use crate::flow::Flow;
use crate::form::{Content, Form};
use crate::ports::ReadSheet;

/// A field with another number of attached files than one.
#[derive(Debug, Error, Explain)]
#[explain("sheets")]
#[error("there are {count} attached files: attach one sheet, as rows are known by their numbers")]
struct NotOneSheet {
    count: usize,
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
    for index in sheets(flow, form) {
        let Some(field) = form.fields.get_mut(index) else { continue };
        let Content::Files(files) = &field.content else { continue };
        field.content = match files.as_slice() {
            [] => Content::Rows(Vec::new()),
            [file] => match source.read_sheet(file).await? {
                Ok(rows) => Content::Rows(rows),
                Err(problem) => Content::Unreadable(problem),
            },
            files => Content::Unreadable(NotOneSheet { count: files.len() }.explain()),
        };
    }
    Ok(())
}

/// The indices of the fields with files of which the flow reads a column.
fn sheets(flow: &Flow, form: &Form) -> Vec<usize> {
    let places = flow.fields.values().flat_map(|rule| &rule.from);
    let columns: Vec<_> = places.filter(|place| place.column.is_some()).collect();
    let fields = form.fields.iter().enumerate();
    let is_read = |(_, field): &(usize, &crate::form::Field)| {
        matches!(field.content, Content::Files(_))
            && columns.iter().any(|place| {
                form.find(&place.field).iter().any(|found| std::ptr::eq(*found, *field))
            })
    };
    fields.filter(is_read).map(|(index, _)| index).collect()
}
