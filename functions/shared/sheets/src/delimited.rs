//! CSV, as spreadsheet programs write it: UTF-8 with or without a mark, or GBK; with commas,
//! semicolons or tabs.

use std::borrow::Cow;

use csv::{ReaderBuilder, StringRecord};
use encoding_rs::GB18030;

use super::{Cell, Sheet, SheetError};

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

pub(super) fn read(bytes: &[u8]) -> Result<Sheet, SheetError> {
    let text = decode(bytes)?;
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter(&text))
        .from_reader(text.as_bytes());
    let mut sheet = Sheet::default();
    let mut record = StringRecord::new();
    let mut row = 0;
    loop {
        let start = reader.position().line();
        if !reader.read_record(&mut record).map_err(|_| SheetError::Damaged)? {
            break;
        }
        // The reader skips empty lines, which a spreadsheet program counts.
        let lines = reader.position().line() - start;
        let own = 1 + record.iter().map(|text| text.matches('\n').count() as u64).sum::<u64>();
        row += usize::try_from(lines.saturating_sub(own)).unwrap_or(usize::MAX);
        for (column, text) in record.iter().enumerate() {
            sheet.add(row, column, Cell::Text(text.to_owned()))?;
        }
        row += 1;
    }
    Ok(sheet)
}

/// GB18030 contains GBK, which Excel writes in China.
fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, SheetError> {
    let bytes = bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes);
    // A NUL is in no text; UTF-16 has many.
    if bytes.contains(&0) {
        return Err(SheetError::Encoding);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Ok(Cow::Borrowed(text));
    }
    let text = GB18030.decode_without_bom_handling_and_without_replacement(bytes);
    text.ok_or(SheetError::Encoding)
}

/// The separator that is in the first line most often.
fn delimiter(text: &str) -> u8 {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |separator: u8| line.bytes().filter(|byte| *byte == separator).count();
    let by_count = [b',', b';', b'\t'].into_iter().rev().max_by_key(|separator| count(*separator));
    by_count.unwrap_or(b',')
}
