//! Splits a line into tokens: runs of letters and digits, with the separators between them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use crate::characters::{Plain, looks_like};

/// Separators between the groups of an address.
const SEPARATORS: [char; 5] = [':', '-', '.', '_', ';'];

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Hexadecimal digits only.
    Hex,
    /// Hexadecimal digits and at least one letter that looks like one.
    Near,
    /// Any other letters and digits.
    Word,
    /// Part of an IP address or of a GUID.
    Other,
}

/// A run of letters and digits.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// Its characters in the line, without the `0x` of a hexadecimal number.
    pub(super) range: Range<usize>,
    pub(super) kind: Kind,
    /// Whether it is part of an address, or of an attempt at one.
    pub(super) is_used: bool,
}

impl Token {
    pub(super) fn len(&self) -> usize {
        self.range.len()
    }
}

/// The separator between two tokens that can be groups of one address, with or without blanks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) separator: char,
    /// The separator as typed.
    typed: char,
    blanks: (bool, bool),
}

impl Link {
    /// Whether the separator touches both tokens.
    pub(super) fn is_tight(self) -> bool {
        self.separator != ' ' && self.blanks == (false, false)
    }
}

/// The tokens of a line.
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    pub(super) line: &'a Plain,
    pub(super) tokens: Vec<Token>,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(line: &'a Plain) -> Self {
        let mut ip_addresses = ip_addresses(&line.chars).into_iter().peekable();
        let mut tokens = Vec::new();
        let mut place = 0;
        while let Some(&char) = line.chars.get(place) {
            if !is_part_of_token(char) {
                place += 1;
                continue;
            }
            let rest = line.chars.iter().skip(place);
            let end = place + rest.take_while(|&&char| is_part_of_token(char)).count();
            let mut range = place..end;
            place = end;
            while ip_addresses.next_if(|ip| ip.end <= range.start).is_some() {}
            let is_ip = ip_addresses.peek().is_some_and(|ip| ip.start < range.end);
            if matches!(line.chars.get(range.clone()), Some(['0', 'x' | 'X', _, ..])) {
                range.start += 2;
            }
            let kind = if is_ip { Kind::Other } else { kind(&line.chars[range.clone()]) };
            tokens.push(Token { range, kind, is_used: false });
        }
        let mut tokens = Self { line, tokens };
        tokens.set_guids_aside();
        tokens
    }

    /// The link between the tokens `index` and `index + 1`.
    pub(super) fn link(&self, index: usize) -> Option<Link> {
        let range = self.between(index)?;
        let between = self.line.chars.get(range.clone())?;
        let is_blank = |char: Option<&char>| char == Some(&' ');
        let blanks = (is_blank(between.first()), is_blank(between.last()));
        let mut separators = between.iter().enumerate().filter(|(_, char)| **char != ' ');
        let (separator, typed) = match (separators.next(), separators.next()) {
            (None, _) if between.is_empty() => return None,
            (None, _) => (' ', ' '),
            (Some((place, &separator)), None) if SEPARATORS.contains(&separator) => {
                (separator, *self.line.typed.get(range.start + place)?)
            }
            _ => return None,
        };
        Some(Link { separator, typed, blanks })
    }

    fn between(&self, index: usize) -> Option<Range<usize>> {
        Some(self.tokens.get(index)?.range.end..self.tokens.get(index + 1)?.range.start)
    }

    /// Whether exactly two separators are between the tokens: one was typed twice.
    pub(super) fn is_doubled(&self, index: usize) -> bool {
        let between = self.between(index).and_then(|range| self.line.chars.get(range));
        between.is_some_and(|it| it.len() == 2 && it.iter().all(|char| SEPARATORS.contains(char)))
    }

    /// Same as [`Self::link`], if no blank is between the two.
    pub(super) fn tight_link(&self, index: usize) -> Option<Link> {
        self.link(index).filter(|link| link.is_tight())
    }

    pub(super) fn chars(&self, index: usize) -> &[char] {
        let range = self.tokens.get(index).map(|token| token.range.clone());
        range.and_then(|range| self.line.chars.get(range)).unwrap_or_default()
    }

    pub(super) fn is_hex(&self, index: usize) -> bool {
        self.tokens.get(index).is_some_and(|token| token.kind == Kind::Hex)
    }

    /// A GUID, 8-4-4-4-12, ends with as many digits as an address has.
    fn set_guids_aside(&mut self) {
        const LENGTHS: [usize; 5] = [8, 4, 4, 4, 12];
        for first in 0..self.tokens.len().saturating_sub(LENGTHS.len() - 1) {
            let is_guid = (0..).zip(LENGTHS).all(|(offset, length)| {
                let index = first + offset;
                let is_linked = offset == 0
                    || self.tight_link(index - 1).is_some_and(|link| link.separator == '-');
                is_linked && self.is_hex(index) && self.tokens[index].len() == length
            });
            if is_guid {
                for token in &mut self.tokens[first..first + LENGTHS.len()] {
                    token.kind = Kind::Other;
                }
            }
        }
    }
}

fn is_part_of_token(char: char) -> bool {
    char.is_ascii_alphanumeric() || looks_like(char).is_some()
}

/// Whether the letters and digits cannot be a hexadecimal number, not even a mistyped one.
pub(super) fn is_word(chars: &[char]) -> bool {
    kind(chars) == Kind::Word
}

fn kind(chars: &[char]) -> Kind {
    if chars.iter().all(char::is_ascii_hexdigit) {
        Kind::Hex
    } else if chars.iter().all(|&char| char.is_ascii_hexdigit() || looks_like(char).is_some()) {
        Kind::Near
    } else {
        Kind::Word
    }
}

/// The IP addresses in a line, with or without a port.
fn ip_addresses(chars: &[char]) -> Vec<Range<usize>> {
    let is_of_ip = |char: &char| char.is_ascii_hexdigit() || matches!(char, ':' | '.');
    let mut found = Vec::new();
    let mut place = 0;
    while place < chars.len() {
        let length = chars[place..].iter().take_while(|char| is_of_ip(char)).count();
        if let Some(range) = ip_address(chars, place..place + length) {
            found.push(range);
        }
        place += length.max(1);
    }
    found
}

/// The IP address in a run of characters. A label may be before it (`addr:192.0.2.1`), a full stop
/// after it.
fn ip_address(chars: &[char], run: Range<usize>) -> Option<Range<usize>> {
    /// The longest one: an IPv6 address with an IPv4 address at its end, and a port.
    const LONGEST: usize = 55;
    if run.len() < 2 || run.len() > LONGEST {
        return None;
    }
    let text: String = chars.get(run.clone())?.iter().collect();
    if is_of_pairs(&text) {
        return None;
    }
    // `192.0.2.15:` before a MAC address.
    if let Some((first, _)) = text.split_once(':')
        && first.parse::<Ipv4Addr>().is_ok()
        && (text.parse::<SocketAddr>().is_err() || chars.get(run.end) == Some(&'-'))
    {
        return Some(run.start..run.start + first.len());
    }
    let starts = text.match_indices(':').map(|(place, _)| place + 1);
    std::iter::once(0).chain(starts.take(2)).find_map(|start| {
        let text = text.get(start..)?;
        let trimmed = text.trim_end_matches('.');
        let trimmed = trimmed.strip_suffix(':').filter(|it| !it.ends_with(':')).unwrap_or(trimmed);
        let is_ip = trimmed.parse::<IpAddr>().is_ok() || trimmed.parse::<SocketAddr>().is_ok();
        is_ip.then(|| run.start + start..run.start + start + trimmed.len())
    })
}

/// Whether five or more pairs are separated by colons: this is rather a mistyped MAC address than
/// an IPv6 address, whose groups have no leading zeros, or four digits.
fn is_of_pairs(text: &str) -> bool {
    let groups: Vec<_> = text.split(':').filter(|group| !group.is_empty()).collect();
    groups.len() >= 5 && groups.iter().all(|group| group.len() == 2)
}
