//! The notations of an address, and where they occur in a line.

use std::ops::Range;

use super::tokens::{Kind, Link, Tokens};
use super::{Eui48, MacError};

/// An address, or an attempt at one, in a line.
#[derive(Debug)]
pub(super) struct Match {
    pub(super) tokens: Range<usize>,
    /// Its characters, in the line.
    pub(super) chars: Range<usize>,
    pub(super) device: Result<Eui48, MacError>,
    /// Whether other kinds of numbers are written in the same notation.
    pub(super) is_ambiguous: bool,
}

/// A notation: the number of groups, their digits, and the separators between them.
struct Shape {
    groups: usize,
    digits: usize,
    separators: &'static [char],
}

/// <https://www.postgresql.org/docs/current/datatype-net-types.html#DATATYPE-MACADDR> lists most of them.
const SHAPES: [Shape; 3] = [
    Shape { groups: 6, digits: 2, separators: &[':', '-', '.', '_', ';', ' '] },
    Shape { groups: 3, digits: 4, separators: &[':', '-', '.', ' '] },
    Shape { groups: 2, digits: 6, separators: &[':', '-'] },
];

/// Labels that touch an address without a separator, as in `MAC00005e005301`. After any other word
/// the digits may be those of a serial number.
const GLUED_LABELS: [&str; 8] =
    ["mac", "macaddress", "address", "addr", "wlan", "wifi", "ether", "hwaddr"];

/// All addresses of a line; marks their tokens as used.
pub(super) fn addresses(tokens: &mut Tokens<'_>) -> Vec<Match> {
    let mut found: Vec<Match> = Vec::new();
    let mut index = 0;
    while index < tokens.tokens.len() {
        let matched = separated(tokens, index).or_else(|| bare(tokens, index));
        index = matched.as_ref().map_or(index + 1, |matched| matched.tokens.end);
        found.extend(matched);
    }
    for matched in &found {
        tokens.tokens[matched.tokens.clone()].iter_mut().for_each(|token| token.is_used = true);
    }
    let is_in_doubt: Vec<_> = found.iter().map(|it| has_more(tokens, &it.tokens)).collect();
    let mut is_in_doubt = is_in_doubt.into_iter();
    found.retain(|matched| {
        let is_in_doubt = is_in_doubt.next().unwrap_or_default();
        for token in &mut tokens.tokens[matched.tokens.clone()] {
            token.is_used = !is_in_doubt;
        }
        !is_in_doubt
    });
    found
}

/// Twelve digits in one token.
fn bare(tokens: &Tokens<'_>, index: usize) -> Option<Match> {
    let chars = tokens.chars(index);
    let digits = match tokens.tokens.get(index)?.kind {
        Kind::Hex if chars.len() == 12 && is_joined(tokens, index) => return None,
        Kind::Hex if chars.len() == 12 => chars,
        Kind::Word => glued_to_label(chars)?,
        _ => return None,
    };
    let end = tokens.tokens[index].range.end;
    let chars = end - digits.len()..end;
    let device = if digits.iter().all(char::is_ascii_digit) {
        Err(MacError::Decimal)
    } else {
        device([digits.iter().collect()])
    };
    Some(Match { tokens: index..index + 1, chars, device, is_ambiguous: true })
}

/// Whether a token is part of a longer name, as in `br-3c8d5e0a7f12`: it is joined by a name
/// separator to a word that is not a label of an address.
fn is_joined(tokens: &Tokens<'_>, index: usize) -> bool {
    let joins = |index: usize| {
        tokens.tight_link(index).is_some_and(|link| matches!(link.separator, '-' | '_' | '.'))
    };
    let is_name = |index: usize| {
        let word: String = tokens.chars(index).iter().map(char::to_ascii_lowercase).collect();
        matches!(tokens.tokens[index].kind, Kind::Word | Kind::Near)
            && !GLUED_LABELS.contains(&word.as_str())
    };
    index > 0 && joins(index - 1) && is_name(index - 1) || joins(index) && is_name(index + 1)
}

/// The twelve digits after one of [`GLUED_LABELS`].
fn glued_to_label(chars: &[char]) -> Option<&[char]> {
    let (label, digits) = chars.split_at_checked(chars.len().checked_sub(12)?)?;
    let label: String = label.iter().map(char::to_ascii_lowercase).collect();
    let is_label = GLUED_LABELS.contains(&label.as_str());
    (is_label && digits.iter().all(char::is_ascii_hexdigit)).then_some(digits)
}

/// The longest run of groups with the same separator that begins at a token.
fn separated(tokens: &Tokens<'_>, index: usize) -> Option<Match> {
    let link = tokens.link(index)?;
    let (first, last) = run(tokens, index, link)?;
    SHAPES.iter().find_map(|shape| {
        if !shape.separators.contains(&link.separator) {
            return None;
        }
        let groups = groups(tokens, index, first, last, link, shape)?;
        let range = groups.tokens.clone();
        let is_decimal =
            groups.texts.iter().flat_map(|text| text.chars()).all(|c| c.is_ascii_digit());
        let is_pairs = shape.digits == 2;
        let is_number = match link.separator {
            ' ' => true,
            '.' => is_pairs,
            _ => !is_pairs,
        };
        let has_digit = groups.texts.iter().any(|text| text.chars().any(|c| c.is_ascii_digit()));
        // `dead beef cafe` are three words.
        if link.separator == ' ' && !has_digit {
            return None;
        }
        let device =
            if is_decimal && is_number { Err(MacError::Decimal) } else { device(groups.texts) };
        let is_ambiguous = is_number;
        Some(Match { tokens: range, chars: groups.chars, device, is_ambiguous })
    })
}

/// The run of hexadecimal tokens from `index` on that are linked in the same way, if no such token
/// is before it.
fn run(tokens: &Tokens<'_>, index: usize, link: Link) -> Option<(usize, usize)> {
    // A label may touch the first group; the run then begins at its second token.
    let first = if tokens.is_hex(index) { index } else { index + 1 };
    let is_part = |other: usize| is_part(tokens, other, first, link);
    let goes_back = first == index
        && index > 0
        && tokens.link(index - 1) == Some(link)
        && is_part(index - 1)
        && !is_number_of_label(tokens, index - 1);
    if goes_back || !is_part(first) {
        return None;
    }
    let mut last = first;
    while tokens.link(last) == Some(link) && is_part(last + 1) {
        last += 1;
    }
    Some((first, last))
}

/// Whether a token can be a group of the address that begins at `first`. Groups between blanks have
/// the same length, and nothing else touches them.
fn is_part(tokens: &Tokens<'_>, index: usize, first: usize, link: Link) -> bool {
    let is_free = || {
        let is_tied =
            |before| tokens.tight_link(before).is_some() && !is_number_of_label(tokens, before);
        !index.checked_sub(1).is_some_and(is_tied) && tokens.tight_link(index).is_none()
    };
    tokens.is_hex(index)
        && (link.separator != ' '
            || (tokens.tokens[index].len() == tokens.tokens[first].len() && is_free()))
}

/// Whether a token is the number or letter of a label, as in `设备1:` and `iPhone 15:`. Six groups
/// must follow. A group of digits before it, such as `2c`, is not a word of a label.
fn is_number_of_label(tokens: &Tokens<'_>, index: usize) -> bool {
    let is_digits = |before: usize| matches!(tokens.tokens[before].kind, Kind::Hex | Kind::Near);
    if index.checked_sub(1).is_some_and(is_digits) {
        return false;
    }
    let start = tokens.tokens[index].range.start;
    let before = tokens.line.chars.get(..start).unwrap_or_default();
    let word = before.iter().rev().find(|char| **char != ' ');
    let follows_word = word.is_some_and(|char| char.is_alphabetic());
    let follows_link = index > 0 && tokens.tight_link(index - 1).is_some();
    follows_word && !follows_link
}

struct Groups {
    tokens: Range<usize>,
    chars: Range<usize>,
    texts: Vec<String>,
}

/// The groups of a run, if they match `shape` exactly. A word may touch the first group and another
/// the last.
fn groups(
    tokens: &Tokens<'_>,
    index: usize,
    first: usize,
    last: usize,
    link: Link,
    shape: &Shape,
) -> Option<Groups> {
    let count = last + 1 - first;
    let mut range = first..last + 1;
    let (mut start, mut end) = (tokens.tokens[first].range.start, tokens.tokens[last].range.end);
    let mut texts: Vec<String> =
        range.clone().map(|it| tokens.chars(it).iter().collect()).collect();
    if first != index {
        let head = digits_behind_word(tokens.chars(index), shape.digits)?;
        texts.insert(0, head.iter().collect());
        range.start = index;
        start = tokens.tokens[index].range.end - shape.digits;
    }
    if texts.len() + 1 == shape.groups && tokens.link(last) == Some(link) {
        let tail = digits_before_word(tokens.chars(last + 1), shape.digits)?;
        texts.push(tail.iter().collect());
        range.end = last + 2;
        end = tokens.tokens[last + 1].range.start + shape.digits;
    }
    let are_whole = texts.iter().all(|text| text.len() == shape.digits);
    let may_be_short =
        shape.digits == 2 && link.separator == ':' && link.is_tight() && count == shape.groups;
    // A single digit that touches a word may belong to the word: `设备1:`.
    let touches_word = || {
        let before = start.checked_sub(1).and_then(|place| tokens.line.chars.get(place));
        before.is_some_and(|char| char.is_alphabetic())
    };
    let is_short = || may_be_short && are_short(&texts) && !touches_word();
    let is_fit = texts.len() == shape.groups && (are_whole || is_short());
    is_fit.then_some(Groups { tokens: range, chars: start..end, texts })
}

/// Whether pairs are written without leading zeros, as `arp` and `ifconfig` on macOS and Solaris
/// print them. If another pair has its leading zero, a single digit means that a digit is missing.
fn are_short(pairs: &[String]) -> bool {
    let is_short = |pair: &String| pair.len() == 1 || (pair.len() == 2 && !pair.starts_with('0'));
    pairs.iter().all(is_short) && pairs.iter().any(|pair| pair.len() == 2)
}

/// The first group of an address that touches the word before it: `WLAN00`.
fn digits_behind_word(chars: &[char], digits: usize) -> Option<&[char]> {
    let (word, group) = chars.split_at_checked(chars.len().checked_sub(digits)?)?;
    let (last, first) = (word.last()?, group.first()?);
    let is_word = word.iter().all(char::is_ascii_alphabetic)
        && word.iter().any(|char| !char.is_ascii_hexdigit());
    let is_cut = !last.is_ascii_hexdigit() || first.is_ascii_digit();
    (is_word && is_cut && group.iter().all(char::is_ascii_hexdigit)).then_some(group)
}

/// The last group of an address that touches the word after it: `01iPhone`, `01Dell`.
fn digits_before_word(chars: &[char], digits: usize) -> Option<&[char]> {
    let (group, word) = chars.split_at_checked(digits)?;
    let first = word.first()?;
    let is_cut = first.is_ascii_alphabetic() && !first.is_ascii_hexdigit();
    let is_long = word.len() >= 3
        && word.iter().all(char::is_ascii_alphabetic)
        && word.iter().any(|char| !char.is_ascii_hexdigit());
    let is_word = is_long || (is_cut && super::tokens::is_word(word));
    (is_word && group.iter().all(char::is_ascii_hexdigit)).then_some(group)
}

/// Whether more hexadecimal groups touch an address than it has, with any separators. A single one
/// with another separator is allowed: it is a label, or the number of a list or a port.
fn has_more(tokens: &Tokens<'_>, range: &Range<usize>) -> bool {
    let is_loose = |index: usize| tokens.is_hex(index) && !tokens.tokens[index].is_used;
    let tight = |index: usize| tokens.tight_link(index).is_some();
    let before = range.start >= 2
        && tight(range.start - 1)
        && is_loose(range.start - 1)
        && tight(range.start - 2)
        && is_loose(range.start - 2);
    let after =
        tight(range.end - 1) && is_loose(range.end) && tight(range.end) && is_loose(range.end + 1);
    before || after
}

/// The address of these groups; a group of one digit lacks its leading zero.
fn device(groups: impl IntoIterator<Item = String>) -> Result<Eui48, MacError> {
    let padded =
        groups.into_iter().map(|group| if group.len() == 1 { format!("0{group}") } else { group });
    Eui48::parse(&padded.collect::<String>())
}
