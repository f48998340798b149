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
