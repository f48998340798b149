//! Workbooks of Excel: the first visible sheet.

use std::io::Cursor;

use calamine::{
    DataRef, ExcelDateTime, Reader, SheetType, SheetVisible, Xlsx, open_workbook_from_rs,
};

use super::{Cell, Region, Sheet, SheetError};

/// The most merged regions of a sheet.
const MAX_MERGED: usize = 2_000;

pub(super) fn read(bytes: &[u8]) -> Result<Sheet, SheetError> {
    let workbook = open_workbook_from_rs(Cursor::new(super::parts::checked(bytes)?));
    let mut workbook: Xlsx<_> = workbook.map_err(|_| SheetError::Damaged)?;
    let sheets = workbook.sheets_metadata();
    let is_visible = |sheet: &&calamine::Sheet| {
        sheet.visible == SheetVisible::Visible && sheet.typ == SheetType::WorkSheet
    };
    let name = sheets.iter().find(is_visible).map(|sheet| sheet.name.clone());
    let name = name.ok_or(SheetError::NoSheet)?;
    let merged = workbook.merge_cells_by_sheet_name(&name).map_err(|_| SheetError::Damaged)?;
    let cells = workbook.worksheet_cells_reader(&name);
    let mut cells = cells.map_err(|_| SheetError::Damaged)?;
    let mut sheet = Sheet::default();
    let mut last = None;
    while let Some(cell) = cells.next_cell().map_err(|_| SheetError::Damaged)? {
        let (row, column) = cell.get_position();
        // A program writes cells in order, and each once; others could hide one behind another.
        if last.is_some_and(|last| (row, column) <= last) {
            return Err(SheetError::Damaged);
        }
        last = Some((row, column));
        if let Some(cell) = filled(cell.get_value()) {
            sheet.add(row as usize, column as usize, cell)?;
        }
    }
    if merged.len() > MAX_MERGED {
        return Err(SheetError::Damaged);
    }
    let place = |(row, column): (u32, u32)| (row as usize, column as usize);
    let regions = merged.iter().map(|it| Region { first: place(it.start), last: place(it.end) });
    sheet.merge(regions)?;
    Ok(sheet)
}

fn filled(value: &DataRef<'_>) -> Option<Cell> {
    Some(Cell::Text(match value {
        DataRef::Empty => return None,
        DataRef::Error(_) => return Some(Cell::Error),
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(is) => is.to_string(),
        DataRef::DateTime(moment) => date(moment),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            text.clone()
        }
    }))
}

/// A date as people write it; a sheet knows no offset.
fn date(moment: &ExcelDateTime) -> String {
    if !moment.is_datetime() {
        return moment.as_f64().to_string();
    }
    let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
    let date = format!("{year:04}-{month:02}-{day:02}");
    match (hour, minute, second) {
        (0, 0, 0) => date,
        _ => format!("{date} {hour:02}:{minute:02}:{second:02}"),
    }
}
