//! The rows of an attached sheet (.xlsx, .csv) as rows of a table of a form.
//!
//! The first row that is not empty has the headings, which flows name as columns. A row keeps the
//! number that people see in the sheet. Everything is bounded: a sheet comes from the applicant.

mod delimited;
mod parts;
mod workbook;

use greenlight_core::explain::Explain;
use greenlight_core::form::{Content, Field};
use serde_json::Value;
use thiserror::Error;

/// The largest file, in bytes.
pub const MAX_BYTES: usize = 2 * 1024 * 1024;

/// The most rows with content; one is for the headings.
pub const MAX_ROWS: usize = 1_001;

/// The most columns.
pub const MAX_COLUMNS: usize = 64;

/// The longest text of a cell, in bytes.
pub const MAX_CELL_BYTES: usize = 4_096;

/// The longest heading, in bytes: each row has all headings.
pub const MAX_HEADING_BYTES: usize = 200;

/// The most text in all cells together, in bytes: many cells of a workbook can share one text.
pub const MAX_TEXT_BYTES: usize = 2 * 1024 * 1024;

/// Why a file is not read. Never quotes its content.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("sheet")]
pub enum SheetError {
    /// Of another type.
    #[error("the attached file is neither .xlsx nor .csv")]
    Type,
    /// Larger than [`MAX_BYTES`], or than its content may be.
    #[error("the attached sheet is larger than {limit} MiB")]
    TooLarge {
        /// The limit, in MiB.
        limit: usize,
    },
    /// More rows than [`MAX_ROWS`].
    #[error("the attached sheet has more than {MAX_ROWS} rows")]
    TooManyRows,
    /// More columns than [`MAX_COLUMNS`].
    #[error("the attached sheet has more than {MAX_COLUMNS} columns")]
    TooManyColumns,
    /// A longer text than [`MAX_CELL_BYTES`].
    #[error("row {row} of the attached sheet has a text of more than {MAX_CELL_BYTES} bytes")]
    LongCell {
        /// As the sheet numbers it.
        row: usize,
    },
    /// A longer heading than [`MAX_HEADING_BYTES`].
    #[error(
        "the attached sheet has a heading of more than {MAX_HEADING_BYTES} bytes: the headings are \
         in the first row with content"
    )]
    LongHeading,
    /// Neither UTF-8 nor GBK.
    #[error("the attached .csv is neither UTF-8 nor GBK")]
    Encoding,
    /// Not a workbook or a list of values, or damaged.
    #[error("the attached sheet cannot be read: is it damaged, or protected by a password?")]
    Damaged,
    /// A workbook without a visible sheet.
    #[error("the attached workbook has no visible sheet")]
    NoSheet,
    /// Nothing in it.
    #[error("the attached sheet is empty")]
    Empty,
}

/// A cell that is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cell {
    Text(String),
    /// Such as `#REF!`: filled in, and without a value.
    Error,
}

/// The cells of a row that are filled in, by column.
type Cells = Vec<(usize, Cell)>;

/// A merged region, by the first and the last row and column, counted from 0.
struct Region {
    first: (usize, usize),
    last: (usize, usize),
}

/// Reads the rows of the file `name`. The row at index `n` is row `n + 1` of the sheet; the
/// headings and empty rows have no fields.
///
/// # Errors
/// [`SheetError`] when the file cannot be read, or exceeds a bound.
pub fn rows(name: &str, bytes: &[u8]) -> Result<Vec<Vec<Field>>, SheetError> {
    if bytes.len() > MAX_BYTES {
        return Err(SheetError::TooLarge { limit: MAX_BYTES / 1024 / 1024 });
    }
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let sheet = match extension.as_deref() {
        // The reader panics on some damaged files.
        Some("xlsx") => {
            let read = std::panic::catch_unwind(|| workbook::read(bytes));
            read.unwrap_or(Err(SheetError::Damaged))?
        }
        Some("csv") => delimited::read(bytes)?,
        _ => return Err(SheetError::Type),
    };
    sheet.into_rows()
}

/// The filled-in cells of a sheet.
#[derive(Debug, Default)]
struct Sheet {
    /// By row, counted from 0.
    rows: Vec<(usize, Cells)>,
    /// The text in all cells together, in bytes.
    bytes: usize,
}

impl Sheet {
    /// Adds a cell behind those that are there.
    fn add(&mut self, row: usize, column: usize, cell: Cell) -> Result<(), SheetError> {
        if matches!(&cell, Cell::Text(text) if text.trim().is_empty()) {
            return Ok(());
        }
        if let Cell::Text(text) = &cell {
            if text.len() > MAX_CELL_BYTES {
                return Err(SheetError::LongCell { row: row + 1 });
            }
            self.bytes += text.len();
            if self.bytes > MAX_TEXT_BYTES {
                return Err(SheetError::TooLarge { limit: MAX_TEXT_BYTES / 1024 / 1024 });
            }
        }
        // Rows without content cost memory, too.
        if row >= MAX_ROWS * 10 {
            return Err(SheetError::TooManyRows);
        }
        if column >= MAX_COLUMNS {
            return Err(SheetError::TooManyColumns);
        }
        let is_full = self.rows.len() == MAX_ROWS;
        match self.rows.last_mut().filter(|(last, _)| *last == row) {
            Some((_, cells)) => cells.push((column, cell)),
            None if is_full => return Err(SheetError::TooManyRows),
            None => self.rows.push((row, vec![(column, cell)])),
        }
        Ok(())
    }

    /// Gives each empty cell of a merged region the value of its first cell, as it is seen. Rows
    /// without content of their own stay without.
    ///
    /// # Errors
    /// [`SheetError::Damaged`] for regions that overlap, which no program writes: the work for
    /// regions that do not is bounded by the cells of the sheet.
    fn merge(&mut self, regions: impl Iterator<Item = Region>) -> Result<(), SheetError> {
        let mut merged = vec![0_u64; self.rows.len()];
        for Region { first: (top, left), last: (bottom, right) } in regions {
            let (columns, first) = (columns(left, right), column_bit(left));
            let start = self.rows.partition_point(|(row, _)| *row < top);
            let end = self.rows.partition_point(|(row, _)| *row <= bottom);
            let cell = match self.rows.get(start) {
                Some((row, cells)) if *row == top && first != 0 => {
                    cells.iter().find(|(column, _)| *column == left).map(|(_, cell)| cell.clone())
                }
                _ => None,
            };
            let size = if let Some(Cell::Text(text)) = &cell { text.len() } else { 0 };
            // None for a region that is written backwards.
            let Some((rows, merged)) =
                self.rows.get_mut(start..end).zip(merged.get_mut(start..end))
            else {
                continue;
            };
            for ((_, cells), merged) in rows.iter_mut().zip(merged) {
                if *merged & columns != 0 {
                    return Err(SheetError::Damaged);
                }
                *merged |= columns;
                let Some(cell) = &cell else { continue };
                let filled = cells.iter().fold(0, |filled, (it, _)| filled | column_bit(*it));
                let empty = columns & !filled;
                for column in (0..MAX_COLUMNS).filter(|it| empty & column_bit(*it) != 0) {
                    self.bytes += size;
                    cells.push((column, cell.clone()));
                }
            }
            if self.bytes > MAX_TEXT_BYTES {
                return Err(SheetError::TooLarge { limit: MAX_TEXT_BYTES / 1024 / 1024 });
            }
        }
        Ok(())
    }

    fn into_rows(self) -> Result<Vec<Vec<Field>>, SheetError> {
        let mut filled = self.rows.into_iter();
        let (first, headings) = filled.next().ok_or(SheetError::Empty)?;
        let is_long = |(_, cell): &(usize, Cell)| matches!(cell, Cell::Text(text) if text.trim().len() > MAX_HEADING_BYTES);
        if headings.iter().any(is_long) {
            return Err(SheetError::LongHeading);
        }
        let heading = |column: usize| {
            let of_column = headings.iter().find(|(other, _)| *other == column);
            match of_column {
                Some((_, Cell::Text(text))) => text.trim(),
                _ => "",
            }
        };
        let mut rows = vec![Vec::new(); first + 1];
        for (number, cells) in filled {
            rows.resize(number.max(rows.len()), Vec::new());
            let filled = |column: usize| cells.iter().find(|(other, _)| *other == column);
            // A column that is left out in this row is there all the same.
            let columns = headings.iter().map(|(column, _)| *column);
            let field = |column: usize| Field {
                custom_id: None,
                id: String::new(),
                name: heading(column).to_owned(),
                content: Content::Value(match filled(column) {
                    None => Value::Null,
                    Some((_, Cell::Text(text))) => Value::String(text.clone()),
                    // No text: a field that is read from it is filled in, and cannot be read.
                    Some((_, Cell::Error)) => Value::Bool(false),
                }),
            };
            rows.push(columns.map(field).collect());
        }
        Ok(rows)
    }
}

/// The bit of a column; none beyond [`MAX_COLUMNS`].
const fn column_bit(column: usize) -> u64 {
    if column < MAX_COLUMNS { 1 << column } else { 0 }
}

/// The bits of the columns from `left` to `right`.
fn columns(left: usize, right: usize) -> u64 {
    (left..=right.min(MAX_COLUMNS - 1)).fold(0, |bits, column| bits | column_bit(column))
}

#[cfg(test)]
mod tests;
