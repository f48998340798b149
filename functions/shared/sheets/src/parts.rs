//! The parts of a workbook, expanded and checked before a reader interprets them.
//!
//! The reader reserves memory for as many texts as a file says that it has, and copies a cell
//! format with its font for each use. A file of two kilobytes could so demand more memory than
//! there is, which ends the process. The reader therefore gets a copy with the XML parts alone, in
//! which these numbers are bounded.

use std::io::{Cursor, Read, Write};

use quick_xml::Reader;
use quick_xml::events::Event;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::SheetError;

/// The most content of a workbook, in bytes. A file of two megabytes can expand to gigabytes.
const MAX_CONTENT: usize = 16 * 1024 * 1024;

/// The most parts of a workbook.
const MAX_PARTS: usize = 1_000;

/// The most texts that a workbook may announce: as many as a sheet of Excel has rows.
const MAX_TEXTS: u64 = 1_048_576;

/// The highest number of a shared formula.
const MAX_FORMULAS: u64 = 65_536;

/// The most cell formats.
const MAX_FORMATS: usize = 16_384;

/// The longest text about a format, in bytes: Excel allows 255 characters.
const MAX_FORMAT_TEXT: usize = 1_020;

/// The same workbook with its XML parts alone.
///
/// # Errors
/// [`SheetError`] when it is damaged, too large, or would demand more memory than it has content.
pub(super) fn checked(bytes: &[u8]) -> Result<Vec<u8>, SheetError> {
    let damaged = |_| SheetError::Damaged;
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    if archive.len() > MAX_PARTS {
        return Err(SheetError::Damaged);
    }
    let mut copy = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut left = MAX_CONTENT;
    for index in 0..archive.len() {
        let mut part = archive.by_index(index).map_err(damaged)?;
        let name = part.name().map_err(damaged)?.into_owned();
        // A part of another type is expanded, too: nothing that is sent may exceed the limit.
        let content = expand(&mut part, &mut left)?;
        if is_xml(&name) {
            check(&content)?;
            copy.start_file(name, stored).map_err(damaged)?;
            copy.write_all(&content).map_err(|_| SheetError::Damaged)?;
        }
    }
    Ok(copy.finish().map_err(damaged)?.into_inner())
}

fn is_xml(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    matches!(extension.as_deref(), Some("xml" | "rels"))
}

/// Expands a part within the limit: what the file says about its own size proves nothing.
fn expand(part: &mut impl Read, left: &mut usize) -> Result<Vec<u8>, SheetError> {
    let limit = u64::try_from(*left + 1).unwrap_or(u64::MAX);
    let mut content = Vec::new();
    let count = part.take(limit).read_to_end(&mut content).map_err(|_| SheetError::Damaged)?;
    let too_large = SheetError::TooLarge { limit: MAX_CONTENT / 1024 / 1024 };
    *left = left.checked_sub(count).ok_or(too_large)?;
    Ok(content)
}

/// Checks an XML part. Other encodings than UTF-8 are refused: the reader could see other elements
/// than this check.
fn check(content: &[u8]) -> Result<(), SheetError> {
    let text = std::str::from_utf8(content).map_err(|_| SheetError::Damaged)?;
    let mut reader = Reader::from_str(text);
    let (mut formats, mut is_about_formats) = (0, false);
    loop {
        match reader.read_event().map_err(|_| SheetError::Damaged)? {
            Event::Eof => return Ok(()),
            Event::DocType(_) => return Err(SheetError::Damaged),
            Event::Decl(declaration) => {
                let is_utf8 = declaration
                    .encoding()
                    .is_none_or(|it| it.is_ok_and(|it| it.eq_ignore_ascii_case(b"utf-8")));
                if !is_utf8 {
                    return Err(SheetError::Damaged);
                }
            }
            Event::Start(element) | Event::Empty(element) => {
                let name = element.local_name();
                is_about_formats |= name.as_ref() == b"styleSheet";
                formats += usize::from(name.as_ref() == b"xf");
                if formats > MAX_FORMATS {
                    return Err(SheetError::Damaged);
                }
                for attribute in element.attributes() {
                    let attribute = attribute.map_err(|_| SheetError::Damaged)?;
                    let value = attribute.value.as_ref();
                    let most = match (name.as_ref(), attribute.key.local_name().as_ref()) {
                        (b"sst", b"count" | b"uniqueCount") => Some(MAX_TEXTS),
                        (b"f", b"si") => Some(MAX_FORMULAS),
                        _ => None,
                    };
                    let is_in_bounds = most.is_none_or(|most| is_number_up_to(value, most));
                    if !is_in_bounds || (is_about_formats && value.len() > MAX_FORMAT_TEXT) {
                        return Err(SheetError::Damaged);
                    }
                }
            }
            _ => {}
        }
    }
}

fn is_number_up_to(value: &[u8], most: u64) -> bool {
    let number = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<u64>().ok());
    number.is_some_and(|number| number <= most)
}
