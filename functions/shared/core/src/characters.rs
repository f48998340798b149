//! Single characters, as people type them on any keyboard.

use unicode_normalization::UnicodeNormalization;

/// The digit that a letter is mistaken for. `b`, `B` and the like are digits themselves; the Greek
/// and Cyrillic letters look exactly like a digit or a Latin letter.
pub(crate) fn looks_like(char: char) -> Option<char> {
    match char {
        'O' | 'o' | 'Ο' | 'ο' | 'О' | 'о' => Some('0'),
        'l' | 'I' | 'i' => Some('1'),
        'S' | 's' => Some('5'),
        'Z' | 'z' => Some('2'),
        'Α' | 'А' | 'а' => Some('a'),
        'Β' | 'В' => Some('b'),
        'С' | 'с' => Some('c'),
        'Ε' | 'Е' | 'е' => Some('e'),
        _ => None,
    }
}

/// Converts one typed character to plain ASCII: folds full-width forms, replaces other dashes and
/// colons by the usual ones, drops zero-width characters.
pub(crate) fn plain(typed: char) -> Option<char> {
    match typed {
        // Zero-width characters and direction marks, which are copied along with a text.
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}'
        | '\u{ad}' => None,
        '\u{2010}'..='\u{2015}' | '\u{2212}' => Some('-'),
        '∶' | '︰' => Some(':'),
        '。' => Some('.'),
        // List numbers and exponents: `①` must not become a digit of the address that follows.
        char if is_enclosed(char) => Some(char),
        char if char.is_whitespace() => Some(' '),
        char => {
            let mut folded = std::iter::once(char).nfkc();
            match (folded.next(), folded.next()) {
                (Some(ascii), None) if ascii.is_ascii() => Some(ascii),
                _ => Some(char),
            }
        }
    }
}

/// Enclosed numbers and letters, superscripts and subscripts.
const fn is_enclosed(char: char) -> bool {
    matches!(
        char,
        '²' | '³' | '¹' | '\u{2070}'..='\u{209f}' | '\u{2460}'..='\u{24ff}' | '\u{2776}'..='\u{2793}'
            | '\u{3200}'..='\u{32ff}' | '\u{1f100}'..='\u{1f1ff}'
    )
}

/// Texts that mean an empty field.
const NOTHING: [&str; 14] = [
    "无",
    "無",
    "没有",
    "暂无",
    "不涉及",
    "不适用",
    "空",
    "n/a",
    "na",
    "n.a.",
    "none",
    "null",
    "nil",
    "no",
];

/// In characters, with surrounding punctuation.
const LONGEST_NOTHING: usize = 16;

/// Whether a text means that nothing is filled in: `无`, `N/A`, `-`.
#[must_use]
pub(crate) fn says_nothing(text: &str) -> bool {
    if text.trim().chars().count() > LONGEST_NOTHING {
        return false;
    }
    let plain = Plain::of(text, 1);
    let text = plain.text(0..plain.chars.len()).to_lowercase();
    let text = text.trim_matches(|char: char| !char.is_alphanumeric());
    text.is_empty() || NOTHING.iter().any(|nothing| nothing.trim_end_matches('.') == text)
}

/// One line of text in plain characters, with the position of each in the text as typed.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    pub(crate) chars: Vec<char>,
    /// The characters as typed: a full-width colon is another separator than an ASCII one.
    pub(crate) typed: Vec<char>,
    /// Counted from 1, in characters of the text as typed.
    pub(crate) positions: Vec<usize>,
}

impl Plain {
    /// Converts `line`, whose first character is at `position`.
    pub(crate) fn of(line: &str, position: usize) -> Self {
        let mut plain_line = Self::default();
        for (offset, typed) in line.chars().enumerate() {
            if let Some(char) = plain(typed) {
                plain_line.chars.push(char);
                plain_line.typed.push(typed);
                plain_line.positions.push(position + offset);
            }
        }
        plain_line
    }

    pub(crate) fn text(&self, range: std::ops::Range<usize>) -> String {
        self.chars.get(range).unwrap_or_default().iter().collect()
    }
}
