//! Sheets as spreadsheet programs write them, and files that are meant to do harm.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says by a panic that something is not as it should be"
)]

use std::io::{Cursor, Write};

use encoding_rs::GBK;
use proptest::prelude::*;
use rust_xlsxwriter::{ExcelDateTime, Format, Formula, Workbook};
use serde_json::json;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

const CSV: &str = "MAC,使用人,有效期\r\n00-00-5E-00-53-01,ou_1,2027-12-31\r\n,,\r\n\"00005e005302\r\n00005e005303\",ou_2,\r\n";

/// The rows with content by their number in the sheet; the values by heading.
fn shown(rows: &[Vec<Field>]) -> Vec<(usize, Value)> {
    let value = |field: &Field| match &field.content {
        Content::Value(value) => (field.name.clone(), value.clone()),
        other => panic!("{other:?}"),
    };
    let rows = (1..).zip(rows).filter(|(_, row)| !row.is_empty());
    rows.map(|(number, row)| {
        (number, json!(row.iter().map(value).collect::<serde_json::Map<_, _>>()))
    })
    .collect()
}

fn of_csv() -> Vec<(usize, Value)> {
    let macs = "00005e005302\r\n00005e005303";
    vec![
        (2, json!({"MAC": "00-00-5E-00-53-01", "使用人": "ou_1", "有效期": "2027-12-31"})),
        (4, json!({"MAC": macs, "使用人": "ou_2", "有效期": null})),
    ]
}

#[test]
fn a_list_of_values_is_read_in_each_encoding_and_with_each_separator() {
    let (gbk, _, _) = GBK.encode(CSV);
    let marked = [b"\xef\xbb\xbf", CSV.as_bytes()].concat();
    let semicolons = CSV.replace(',', ";");
    let tabs = CSV.replace(',', "\t");
    for bytes in [CSV.as_bytes(), &gbk, &marked, semicolons.as_bytes(), tabs.as_bytes()] {
        assert_eq!(shown(&rows("名单.CSV", bytes).unwrap()), of_csv());
    }
}

#[test]
fn a_workbook_is_read_as_it_is_seen() {
    let mut workbook = Workbook::new();
    workbook.add_worksheet().set_hidden(true).write(0, 0, "hidden").unwrap();
    let sheet = workbook.add_worksheet().set_active(true);
    let date = Format::new().set_num_format("yyyy-mm-dd");
    let time = Format::new().set_num_format("yyyy/m/d h:mm");
    let day = |text| ExcelDateTime::parse_from_str(text).unwrap();
    for (column, heading) in ["MAC", "使用人", "有效期", "端口", "VLAN"].iter().enumerate()
    {
        sheet.write(2, u16::try_from(column).unwrap(), format!(" {heading} ")).unwrap();
    }
    sheet.write(3, 0, "00-00-5E-00-53-01").unwrap();
    sheet.write_datetime_with_format(3, 2, day("2027-12-31"), &date).unwrap();
    sheet.write(3, 4, 20).unwrap();
    sheet.write(5, 0, "00005e005302").unwrap();
    sheet.write_datetime_with_format(5, 2, day("2027-12-31 18:00:05"), &time).unwrap();
    sheet.write_formula(5, 3, Formula::new("=1/0").set_result("#DIV/0!")).unwrap();
    sheet.write(5, 4, 20.5).unwrap();
    // A column without a heading is a remark.
    sheet.write(5, 9, "remark").unwrap();
    let bytes = workbook.save_to_buffer().unwrap();
    let expected = [
        (
            4,
            json!({"MAC": "00-00-5E-00-53-01", "使用人": null, "有效期": "2027-12-31", "端口": null, "VLAN": "20"}),
        ),
        (
            6,
            json!({"MAC": "00005e005302", "使用人": null, "有效期": "2027-12-31 18:00:05", "端口": false, "VLAN": "20.5"}),
        ),
    ];
    assert_eq!(shown(&rows("list.xlsx", &bytes).unwrap()), expected);
}

/// A merged cell is seen beside each of its rows.
#[test]
fn a_merged_cell_is_the_value_of_each_of_its_rows() {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    for (row, cells) in
        [["MAC", "有效期"], ["a", ""], ["b", ""], ["c", "2028-01-01"]].iter().enumerate()
    {
        for (column, text) in (0..).zip(cells).filter(|(_, text)| !text.is_empty()) {
            sheet.write(u32::try_from(row).unwrap(), column, *text).unwrap();
        }
    }
    sheet.merge_range(1, 1, 2, 1, "2027-12-31", &Format::new()).unwrap();
    // Below all content.
    sheet.merge_range(9, 0, 40, 1, "", &Format::new()).unwrap();
    let rows = rows("a.xlsx", &workbook.save_to_buffer().unwrap()).unwrap();
    let ends: Vec<_> = shown(&rows).into_iter().map(|(_, row)| row["有效期"].clone()).collect();
    assert_eq!(ends, [json!("2027-12-31"), json!("2027-12-31"), json!("2028-01-01")]);
}

#[test]
fn rows_have_the_numbers_of_the_sheet_behind_empty_lines_and_lines_in_a_cell() {
    let csv = "\n\nMAC\n\na\n\"b\nb\"\n\nc\n";
    let rows = rows("a.csv", csv.as_bytes()).unwrap();
    let numbers: Vec<_> = shown(&rows).into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, [5, 6, 8]);
}

/// Files of some hundred kilobytes whose rows would take hundreds of megabytes.
#[test]
fn g15_a_text_in_many_cells_is_counted_for_each() {
    let heading = vec!["x".repeat(MAX_CELL_BYTES); MAX_COLUMNS].join(",");
    let csv = format!("{heading}\n{}", "x\n".repeat(MAX_ROWS - 1));
    assert_eq!(rows("a.csv", csv.as_bytes()), Err(SheetError::LongHeading));
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    let text = "x".repeat(MAX_CELL_BYTES);
    for row in 1..600 {
        sheet.write(row, 0, &text).unwrap();
    }
    sheet.write(0, 0, "MAC").unwrap();
    let bytes = workbook.save_to_buffer().unwrap();
    assert!(bytes.len() < 64 * 1024, "the text is there once");
    assert_eq!(rows("a.xlsx", &bytes), Err(SheetError::TooLarge { limit: 2 }));
}

#[test]
fn a_sheet_beyond_a_bound_is_refused() {
    let line = |count: usize| vec!["x"; count].join(",") + "\n";
    let many = |count: usize| format!("MAC\n{}", "00:00:5e:00:53:01\n".repeat(count));
    assert_eq!(rows("a.csv", many(MAX_ROWS - 1).as_bytes()).map(|rows| rows.len()), Ok(MAX_ROWS));
    for (text, error) in [
        (many(MAX_ROWS), SheetError::TooManyRows),
        (format!("MAC\n{}x\n", "\" \"\n".repeat(MAX_ROWS * 10)), SheetError::TooManyRows),
        (line(MAX_COLUMNS + 1), SheetError::TooManyColumns),
        (format!("MAC\n{}\n", "x".repeat(MAX_CELL_BYTES + 1)), SheetError::LongCell { row: 2 }),
        ("x".repeat(MAX_BYTES + 1), SheetError::TooLarge { limit: 2 }),
        ("\n , \n".to_owned(), SheetError::Empty),
        ("M\0A".to_owned(), SheetError::Encoding),
    ] {
        assert_eq!(rows("a.csv", text.as_bytes()), Err(error));
    }
    assert_eq!(rows("a.csv", b"\xff\xff\xff"), Err(SheetError::Encoding));
    for name in ["a.xls", "a.pdf", "xlsx", "", "a.csv.exe"] {
        assert_eq!(rows(name, CSV.as_bytes()), Err(SheetError::Type), "{name}");
    }
    assert_eq!(rows("a.xlsx", CSV.as_bytes()), Err(SheetError::Damaged));
}

/// A file of some kilobytes that expands to hundreds of megabytes.
#[test]
fn g15_a_workbook_that_expands_without_end_is_read_only_so_far() {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("xl/worksheets/sheet1.xml", SimpleFileOptions::default()).unwrap();
    let zeros = vec![0; 1024 * 1024];
    for _ in 0..256 {
        archive.write_all(&zeros).unwrap();
    }
    let bytes = archive.finish().unwrap().into_inner();
    assert!(bytes.len() < MAX_BYTES);
    assert_eq!(rows("a.xlsx", &bytes), Err(SheetError::TooLarge { limit: 16 }));
    println!("a workbook of {} KiB that expands to 256 MiB is refused", bytes.len() / 1024);
}

/// A workbook with `MAC` and an address, whose part `name` is changed by `change`.
fn workbook_with(name: &str, change: &dyn Fn(String) -> String) -> Vec<u8> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    sheet.write(0, 0, "MAC").unwrap();
    sheet.write(1, 0, "00:00:5e:00:53:01").unwrap();
    let bytes = workbook.save_to_buffer().unwrap();
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut copy = ZipWriter::new(Cursor::new(Vec::new()));
    for index in 0..archive.len() {
        let mut part = archive.by_index(index).unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut part, &mut text).unwrap();
        let part_name = part.name().unwrap().into_owned();
        if part_name == name {
            text = change(text);
        }
        copy.start_file(part_name, SimpleFileOptions::default()).unwrap();
        copy.write_all(text.as_bytes()).unwrap();
    }
    copy.finish().unwrap().into_inner()
}

/// Numbers in a small file for which the reader would reserve more memory than there is: it ends
/// the process, or copies one long text thousands of times.
#[test]
fn g15_what_a_workbook_announces_costs_no_memory() {
    const TEXTS: &str = "xl/sharedStrings.xml";
    const STYLES: &str = "xl/styles.xml";
    const SHEET: &str = "xl/worksheets/sheet1.xml";
    let same: &dyn Fn(String) -> String = &|text| text;
    assert!(rows("a.xlsx", &workbook_with(TEXTS, same)).is_ok());
    let count =
        |text: String| text.replace("uniqueCount=\"2\"", "uniqueCount=\"100000000000000000\"");
    let font = |text: String| {
        let format = "<xf fontId=\"0\"/>".repeat(10_000);
        let name = "x".repeat(1024 * 1024);
        text.replace("val=\"Calibri\"", &format!("val=\"{name}\""))
            .replace("</cellXfs>", &format!("{format}</cellXfs>"))
    };
    let formats = |text: String| {
        text.replace("</cellXfs>", &format!("{}</cellXfs>", "<xf/>".repeat(500_000)))
    };
    let formula = |text: String| {
        let cell = "<c r=\"B2\"><f t=\"shared\" ref=\"B2\" si=\"4000000000\">1</f></c>";
        text.replace("</row></sheetData>", &format!("{cell}</row></sheetData>"))
    };
    let doctype = |text: String| text.replace("<sst", "<!DOCTYPE sst><sst");
    let encoding = |text: String| text.replace("UTF-8", "UTF-16");
    let harms: [(&str, &dyn Fn(String) -> String); 6] = [
        (TEXTS, &count),
        (STYLES, &font),
        (STYLES, &formats),
        (SHEET, &formula),
        (TEXTS, &doctype),
        (TEXTS, &encoding),
    ];
    for (part, change) in harms {
        let bytes = workbook_with(part, change);
        assert_ne!(bytes, workbook_with(part, same), "{part} is changed");
        assert_eq!(rows("a.xlsx", &bytes), Err(SheetError::Damaged), "{part}");
    }
}

/// A file that is a compound document in front and a workbook behind: the reader would follow its
/// endless chain of sectors.
#[test]
fn g15_a_workbook_behind_other_content_is_read_as_a_workbook_alone() {
    let workbook = workbook_with("", &|text| text);
    let mut sectors = vec![0_u8; 512];
    sectors[..8].copy_from_slice(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1");
    for (place, value) in [(26, 3_u16), (30, 9), (32, 6)] {
        sectors[place..place + 2].copy_from_slice(&value.to_le_bytes());
    }
    for (place, value) in [(44, 1_u32), (48, 1), (60, u32::MAX - 1), (68, u32::MAX - 1)] {
        sectors[place..place + 4].copy_from_slice(&value.to_le_bytes());
    }
    sectors[80..].fill(0xff);
    sectors.extend([u32::MAX - 2, 1].map(u32::to_le_bytes).concat());
    sectors.resize(1_024, 0xff);
    sectors.resize(1_536, 0);
    let bytes = [sectors, workbook.clone()].concat();
    assert_eq!(rows("a.xlsx", &bytes), rows("a.xlsx", &workbook));
}

/// Two thousand regions over the whole sheet would be billions of comparisons.
#[test]
fn g15_merged_regions_that_overlap_are_refused() {
    let merge = |regions: &str| {
        let regions = format!("</sheetData><mergeCells>{regions}</mergeCells>");
        workbook_with("xl/worksheets/sheet1.xml", &|text| text.replace("</sheetData>", &regions))
    };
    let region = "<mergeCell ref=\"A1:BL1001\"/>";
    assert!(rows("a.xlsx", &merge(region)).is_ok());
    assert_eq!(rows("a.xlsx", &merge(&region.repeat(2))), Err(SheetError::Damaged));
    let backwards = rows("a.xlsx", &merge("<mergeCell ref=\"B2:A1\"/>"));
    assert!(matches!(backwards, Ok(_) | Err(SheetError::Damaged)), "{backwards:?}");
    let beside = "<mergeCell ref=\"A1:A2\"/><mergeCell ref=\"B1:XFD2\"/>";
    assert!(rows("a.xlsx", &merge(beside)).is_ok());
}

/// A cell in the last row and column of Excel costs no memory for those before it.
#[test]
fn g15_a_far_cell_is_refused() {
    for (row, column) in [(1_048_575, 0), (1, 16_383)] {
        let mut workbook = Workbook::new();
        let sheet = workbook.add_worksheet();
        sheet.write(0, 0, "MAC").unwrap();
        sheet.write(row, column, "x").unwrap();
        let error = rows("a.xlsx", &workbook.save_to_buffer().unwrap()).unwrap_err();
        assert!(matches!(error, SheetError::TooManyRows | SheetError::TooManyColumns), "{error}");
    }
}

proptest! {
    #[test]
    fn no_file_ends_in_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = rows("a.csv", &bytes);
        let _ = rows("a.xlsx", &bytes);
    }

    /// A workbook with some bytes changed.
    #[test]
    fn no_damaged_workbook_ends_in_a_panic(changes in proptest::collection::vec(any::<(u16, u8)>(), 1..9)) {
        let mut workbook = Workbook::new();
        workbook.add_worksheet().write(0, 0, "MAC").unwrap();
        let mut bytes = workbook.save_to_buffer().unwrap();
        for (place, byte) in changes {
            let place = usize::from(place) % bytes.len();
            bytes[place] = byte;
        }
        let _ = rows("a.xlsx", &bytes);
    }
}
