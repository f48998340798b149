//! The layout of times, durations and tables, the same for all commands.

use std::time::Duration;

use greenlight_core::Timestamp;
use unicode_width::UnicodeWidthStr as _;

use crate::language::Language;
use crate::output::one_line;
use crate::text;

/// How a command prints its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// For people.
    Text(Language),
    /// For scripts: one JSON object per line, the same in every language.
    Json,
}

impl OutputFormat {
    /// The format for the flag `--json`.
    #[must_use]
    pub const fn of_flag(json: bool, language: Language) -> Self {
        if json { Self::Json } else { Self::Text(language) }
    }
}

/// A time, to the second: `2026-11-28T07:24:10Z`.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    let millis = at.as_millis();
    jiff::Timestamp::from_millisecond(millis.saturating_sub(millis.rem_euclid(1_000)))
        .map_or_else(|_| "?".to_owned(), |moment| moment.to_string())
}

/// A duration in one or two units: `850 ms`, `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`.
#[must_use]
pub fn span(span: Duration, language: Language) -> String {
    let (millis, seconds) = (span.as_millis(), span.as_secs());
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0 => text!(language, "{millis} ms", "{millis} 毫秒"),
        1..60 => text!(language, "{seconds} s", "{seconds} 秒"),
        60..3_600 => {
            text!(language, "{minutes} min {rest} s", "{minutes} 分 {rest} 秒", rest = seconds % 60)
        }
        3_600..86_400 => {
            let rest = minutes % 60;
            text!(language, "{hours} h {rest} min", "{hours} 小时 {rest} 分")
        }
        _ => text!(language, "{days} d {rest} h", "{days} 天 {rest} 小时", rest = hours % 24),
    }
}

/// Joins lines. A line feed within a line is escaped, so that untrusted text cannot begin a line.
#[must_use]
pub fn lines(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().map(|line| one_line(&line).into_owned() + "\n").collect()
}

/// The width of the names of [`facts`]; a longer name moves its value.
const NAME_WIDTH: usize = 16;

/// Names and values, a line each.
#[must_use]
pub fn facts<N: AsRef<str>>(facts: impl IntoIterator<Item = (N, String)>) -> String {
    lines(facts.into_iter().map(|(name, value)| padded(name.as_ref(), NAME_WIDTH) + " " + &value))
}

/// `text` with blanks up to `width` places; a Chinese character takes two.
#[must_use]
pub fn padded(text: &str, width: usize) -> String {
    text.to_owned() + &" ".repeat(width.saturating_sub(text.width()))
}

/// A table: a line of heads, a line per row, columns as wide as they need.
#[must_use]
pub fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let heads = heads.map(str::to_owned);
    aligned([heads.as_slice()].into_iter().chain(rows.iter().map(<[String; N]>::as_slice)))
}

/// Rows with columns as wide as they need; a Chinese character takes two places.
#[must_use]
pub fn aligned<'a>(rows: impl Iterator<Item = &'a [String]>) -> String {
    let safe = |row: &[String]| row.iter().map(|cell| one_line(cell).into_owned()).collect();
    let rows: Vec<Vec<String>> = rows.map(safe).collect();
    let mut widths = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| padded(cell, width + 2));
        cells.collect::<String>().trim_end().to_owned()
    };
    lines(rows.iter().map(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_units_that_people_use() {
        let shown = |language| {
            [0, 59, 185, 7_800, 357_000].map(|seconds| span(Duration::from_secs(seconds), language))
        };
        assert_eq!(
            shown(Language::English),
            ["0 ms", "59 s", "3 min 5 s", "2 h 10 min", "4 d 3 h"]
        );
        let chinese = ["0 毫秒", "59 秒", "3 分 5 秒", "2 小时 10 分", "4 天 3 小时"];
        assert_eq!(shown(Language::Chinese), chinese);
    }

    #[test]
    fn columns_are_as_wide_as_they_need() {
        let rows = [["1".to_owned(), "ab".to_owned()], ["100".to_owned(), String::new()]];
        assert_eq!(table(["ID", "X"], &rows), "ID   X\n1    ab\n100\n");
        let rows = [["无线".to_owned(), "a".to_owned()], ["1".to_owned(), "b\n".to_owned()]];
        assert_eq!(table(["ID", "X"], &rows), "ID    X\n无线  a\n1     b\\u000a\n");
    }
}
