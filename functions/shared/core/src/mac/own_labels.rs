//! Which words of a line label which of its addresses.

use std::ops::Range;

use super::label::{Label, has_words, label};
use super::matches::Match;
use crate::characters::Plain;

/// The words that belong to each address of a line: those before it, or, if the line begins with an
/// address and ends with words, those after it.
pub(super) fn own_labels(line: &Plain, matches: &[Match]) -> Vec<String> {
    let end = line.chars.len();
    let before = |index: usize| {
        let start = index.checked_sub(1).and_then(|previous| matches.get(previous));
        start.map_or(0, |previous| previous.chars.end)..matches[index].chars.start
    };
    let behind = |index: usize| {
        let next = matches.get(index + 1).map_or(end, |next| next.chars.start);
        matches[index].chars.end..next
    };
    let words_in = |range: Range<usize>| has_words(&line.text(range));
    let is_behind =
        !matches.is_empty() && !words_in(before(0)) && words_in(behind(matches.len() - 1));
    let is_bracketed = !matches.is_empty() && {
        let first = line.text(before(0));
        has_words(&first) && first.trim_end().ends_with(is_closing)
    };
    let own = |index: usize| {
        if is_behind {
            return line.text(behind(index));
        }
        let before = line.text(before(index));
        // `【无线】… 【蓝牙】…`: all brackets belong to the address after them.
        if is_bracketed {
            return before;
        }
        // A remark in brackets belongs to the address before it.
        let (_, before) = if index > 0 { remark(&before) } else { ("", before.as_str()) };
        let behind = line.text(behind(index));
        let (remark, rest) = remark(&behind);
        let is_last = index + 1 == matches.len();
        let says_kind = is_last && matches!(label(rest), Some(Label::Bluetooth | Label::Virtual));
        let rest = if says_kind { rest } else { "" };
        format!("{remark} {before} {rest}")
    };
    (0..matches.len()).map(own).collect()
}

/// Splits off the remark in brackets at the start of a text.
fn remark(text: &str) -> (&str, &str) {
    let is_opening =
        |char| matches!(char, '(' | '[' | '{' | '<' | '（' | '【' | '〔' | '「' | '《');
    let is_closing =
        |char| matches!(char, ')' | ']' | '}' | '>' | '）' | '】' | '〕' | '」' | '》');
    if !text.trim_start().starts_with(is_opening) {
        return ("", text);
    }
    match text.find(is_closing) {
        None => (text, ""),
        Some(place) => {
            let end = place + text[place..].chars().next().map_or(0, char::len_utf8);
            text.split_at(end)
        }
    }
}

const fn is_closing(char: char) -> bool {
    matches!(char, ')' | ']' | '}' | '>' | '）' | '】' | '〕' | '」' | '》')
}
