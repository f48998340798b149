//! Words that look like an attempt at an address: they are reported with their position, and never
//! guessed.

use std::ops::Range;

use super::matches::Match;
use super::tokens::{Kind, Tokens};
use super::{Eui48, MacError};

/// More groups than several addresses without separators between them have.
const LONGEST_CLUSTER: usize = 24;

/// The attempts among the unused tokens of a line; marks their tokens as used.
pub(super) fn attempts(tokens: &mut Tokens<'_>) -> Vec<Match> {
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.tokens.len() {
        let cluster = cluster(tokens, index);
        let by_blanks = cluster.len() > 1 && is_by_blanks(tokens, index);
        // Between blanks each group can also be an attempt of its own.
        let alone = by_blanks.then(|| index..index + 1);
        let end = if by_blanks { index + 1 } else { cluster.end.max(index + 1) };
        let candidates = [Some(cluster), alone].into_iter().flatten();
        let attempt = candidates
            .filter_map(|cluster| trimmed(tokens, cluster))
            .find(|range| is_attempt(tokens, range));
        index = attempt.as_ref().map_or(end, |attempt| attempt.end.max(end));
        found.extend(attempt.map(|range| refused(tokens, range)));
    }
    found
}

/// The attempt in these tokens, with its error.
fn refused(tokens: &mut Tokens<'_>, range: Range<usize>) -> Match {
    tokens.tokens[range.clone()].iter_mut().for_each(|token| token.is_used = true);
    let chars = tokens.tokens[range.start].range.start..tokens.tokens[range.end - 1].range.end;
    let original = |position: usize| {
        tokens.line.positions.get(chars.start + position - 1).copied().unwrap_or_default()
    };
    let error = match Eui48::parse(&tokens.line.text(chars.clone())) {
        Ok(_) if range.len() == 1 => MacError::Joined,
        // Twelve digits in groups that no notation has.
        Ok(_) => MacError::Separators,
        Err(error) => error.moved(original),
    };
    Match { tokens: range, chars, device: Err(error), is_ambiguous: true }
}

fn is_by_blanks(tokens: &Tokens<'_>, index: usize) -> bool {
    tokens.link(index).is_some_and(|link| link.separator == ' ')
}

/// The tokens from `index` on that could be the groups of one attempt, with any separators between
/// them. Blanks separate groups of an attempt only if the groups have the same length.
fn cluster(tokens: &Tokens<'_>, index: usize) -> Range<usize> {
    let is_group = |index: usize| {
        tokens.tokens.get(index).is_some_and(|token| {
            let is_short_word = token.kind == Kind::Word && token.len() <= 2;
            !token.is_used && (matches!(token.kind, Kind::Hex | Kind::Near) || is_short_word)
        })
    };
    if !is_group(index) {
        return index..index;
    }
    let by_blanks = is_by_blanks(tokens, index);
    let is_linked = |index: usize| match tokens.link(index) {
        Some(link) => (link.separator == ' ') == by_blanks,
        None => !by_blanks && tokens.is_doubled(index),
    };
    // Between blanks, nothing else touches a group.
    let is_free = |index: usize| tokens.tight_link(index).is_none();
    let mut end = index + 1;
    while is_group(end)
        && end - index < LONGEST_CLUSTER
        && is_linked(end - 1)
        && (!by_blanks || (tokens.tokens[end].len() == tokens.tokens[index].len() && is_free(end)))
    {
        end += 1;
    }
    index..end
}

/// A cluster without the words at its ends: `5g` in the middle is a mistyped group, at an end it
/// need not be one.
fn trimmed(tokens: &Tokens<'_>, cluster: Range<usize>) -> Option<Range<usize>> {
    const GROUPS: usize = 6;
    let is_word = |index: usize| tokens.tokens[index].kind == Kind::Word;
    let has_no_digit = |index: usize| !tokens.chars(index).iter().any(char::is_ascii_digit);
    let mut range = cluster;
    while !range.is_empty()
        && (is_word(range.start) || (range.len() > GROUPS && has_no_digit(range.start)))
    {
        range.start += 1;
    }
    while !range.is_empty() && is_word(range.end - 1) && range.len() != GROUPS {
        range.end -= 1;
    }
    let groups = range.clone().filter(|&index| !is_word(index)).count();
    (groups > 0 && groups * 3 >= range.len() * 2).then_some(range)
}

/// Whether the digits and groups were meant as an address and are no other number.
fn is_attempt(tokens: &Tokens<'_>, range: &Range<usize>) -> bool {
    let lengths: Vec<_> = range.clone().map(|index| tokens.tokens[index].len()).collect();
    let total: usize = lengths.iter().sum();
    let chars = || range.clone().flat_map(|index| tokens.chars(index));
    let decimal = chars().filter(|char| char.is_ascii_digit()).count();
    let hex = chars().filter(|char| char.is_ascii_hexdigit()).count();
    let is_number = decimal == total;
    let by_blanks = range.len() > 1 && is_by_blanks(tokens, range.start);
    let of_lengths = |allowed: Range<usize>| lengths.iter().all(|length| allowed.contains(length));
    let near_twelve = (10..=14).contains(&total);
    match lengths.as_slice() {
        [] => false,
        // Twelve digits that are not an address are part of a longer name.
        [_] if tokens.is_hex(range.start) => {
            !is_number && decimal >= 4 && (matches!(total, 10..=14 | 24 | 36))
        }
        // Two letters and a number are the number of an order or a document: `SO2026060501`.
        [_] if chars().skip(2).all(char::is_ascii_digit) => false,
        [12] => hex >= 5 && decimal >= 2,
        [_] => (11..=13).contains(&total) && hex >= 8 && decimal >= 4,
        [first, second] => {
            let has_whole = (*first == 12 || *second == 12) && total <= 24;
            !is_number
                && !by_blanks
                && decimal >= 3
                && (has_whole || near_twelve && of_lengths(5..8))
        }
        [_, _, _] => !is_number && decimal >= 3 && near_twelve && of_lengths(3..6),
        _ if by_blanks => !is_number && of_lengths(2..3) && lengths.len() > 4,
        [first, middle @ .., _] => {
            let pairs = lengths.iter().filter(|length| **length == 2).count();
            let mut separators = separators(tokens, range);
            let separator = separators.next();
            let is_even = separators.all(|it| Some(it) == separator);
            if is_number {
                // Dates, times, versions and numbers of rooms have groups of several lengths, or
                // dots.
                let is_date = *first == 4;
                let are_pairs = pairs + 1 >= lengths.len() && lengths.len() > 4;
                are_pairs && is_even && separator != Some('.') && !is_date
            } else {
                // A word may touch the first group, or the last. Other numbers behind labels, as in
                // `Wi-Fi: 13800138000`, do not count.
                let is_other_number = |index: &usize| {
                    let chars = tokens.chars(*index);
                    chars.len() > 2 && chars.iter().all(char::is_ascii_digit)
                };
                let total: usize = range
                    .clone()
                    .filter(|index| !is_other_number(index))
                    .map(|index| tokens.tokens[index].len())
                    .sum();
                let are_short = middle.iter().all(|length| (1..5).contains(length));
                total >= 8 && are_short && pairs * 2 >= lengths.len()
            }
        }
    }
}

/// The separators within a range of tokens.
fn separators<'a>(
    tokens: &'a Tokens<'_>,
    range: &Range<usize>,
) -> impl Iterator<Item = char> + use<'a> {
    let links = range.start..range.end.saturating_sub(1);
    links.filter_map(|index| tokens.link(index)).map(|link| link.separator)
}
