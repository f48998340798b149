//! A text that a person typed or pasted into a form: the addresses in it, and the attempts at one.
//!
//! Addresses are found by how they are written; the rest are words. Words matter only where they are the label
//! of an address, as in `蓝牙: 00:00:5e:00:53:01`.

use std::collections::BTreeSet;
use std::ops::Range;

use super::attempts::attempts;
use super::characters::Plain;
use super::label::{Label, has_words, label};
use super::matches::{Match, addresses};
use super::tokens::{Kind, Tokens};
use super::{Eui48, MacError};

/// An address in a text, or an attempt at one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it begins: counted from 1, in characters of the text as typed.
    pub position: usize,
    /// The device, or why it is none.
    pub device: Result<Eui48, MacError>,
}

/// Texts that say that a field is meant to be empty.
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

/// Whether a text says in words that nothing is filled in: `无`, `N/A`, `-`.
#[must_use]
pub fn says_nothing(text: &str) -> bool {
    let plain = Plain::of(text, 1);
    let text = plain.text(0..plain.chars.len()).to_lowercase();
    let text = text.trim_matches(|char: char| !char.is_alphanumeric());
    text.is_empty() || NOTHING.iter().any(|nothing| nothing.trim_end_matches('.') == text)
}

/// Reads all addresses and all attempts at one, in order; an address that repeats is given once.
///
/// Reading ends after `most` of them, so that an endless text costs no more than that.
#[must_use]
pub fn read(text: &str, most: usize) -> Vec<Found> {
    let mut reader = Reader::new(text);
    let mut position = 1;
    for line in text.split_inclusive(['\n', '\r']) {
        reader.read_line(line, position, most);
        if reader.found.len() >= most {
            break;
        }
        position += line.chars().count();
    }
    reader.into_found(most)
}

/// Signs of a text that a command printed: `ipconfig /all`, `getmac`, `ip link`, `ifconfig`.
const COMMAND_OUTPUT: [&str; 8] = [
    "物理地址. .",
    "实体地址. .",
    "physical address. .",
    "\\device\\tcpip",
    "link/ether",
    "flags=",
    "hwaddr",
    "ether ",
];

struct Reader<'a> {
    found: Vec<Found>,
    /// Entries of a command's output that are no device and no mistake of the person who pasted it.
    left_out: Vec<Found>,
    seen: BTreeSet<Eui48>,
    is_command_output: bool,
    /// The lines before this one that have no address: the last one, or those of the same adapter.
    context: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    fn new(text: &str) -> Self {
        let text = text.to_lowercase();
        Self {
            found: Vec::new(),
            left_out: Vec::new(),
            seen: BTreeSet::new(),
            is_command_output: COMMAND_OUTPUT.iter().any(|sign| text.contains(sign)),
            context: Vec::new(),
        }
    }

    fn read_line(&mut self, line: &'a str, position: usize, most: usize) {
        if self.is_command_output && is_heading(line) {
            self.context.clear();
        }
        let before = self.found.len() + self.left_out.len();
        let mut start = position;
        for part in line.split_inclusive(is_list_separator) {
            self.read_part(part, start);
            if self.found.len() >= most {
                return;
            }
            start += part.chars().count();
        }
        if self.found.len() + self.left_out.len() > before {
            self.context.clear();
        } else if !line.trim().is_empty() {
            if !self.is_command_output {
                self.context.clear();
            }
            self.context.push(line);
        }
    }

    fn read_part(&mut self, part: &str, position: usize) {
        let line = Plain::of(part, position);
        let mut tokens = Tokens::of(&line);
        let mut matches = addresses(&mut tokens);
        matches.extend(attempts(&mut tokens));
        matches.sort_by_key(|matched| matched.chars.start);
        let has_ip = tokens.tokens.first().is_some_and(|token| token.kind == Kind::Other);
        let labels: Vec<_> = own_labels(&line, &matches);
        for (matched, own) in matches.into_iter().zip(labels) {
            let label = self.label_of(&own);
            self.take(&line, matched, label, has_ip);
        }
    }

    /// What an address's own words say, or the lines before it where it has none.
    fn label_of(&self, own: &str) -> Option<Label> {
        let context = || label(&self.context.join("\n"));
        match label(own) {
            Some(label) => Some(label),
            None if self.is_command_output || !has_words(own) => {
                context().filter(|label| matches!(label, Label::Bluetooth | Label::Virtual))
            }
            None => None,
        }
    }

    fn take(&mut self, line: &Plain, matched: Match, label: Option<Label>, is_row_of_ip: bool) {
        let position = line.positions.get(matched.chars.start).copied().unwrap_or_default();
        let device = match (matched.device, label) {
            (_, Some(Label::OtherNumber)) if matched.is_ambiguous => return,
            (Ok(_), Some(Label::Bluetooth)) => Err(MacError::Bluetooth),
            (Ok(_), Some(Label::Virtual)) => Err(MacError::Virtual),
            (device, _) => device,
        };
        let is_of_group =
            matches!(device, Err(MacError::Multicast | MacError::Broadcast | MacError::Zero));
        // Rows of `arp -a`, and what `ip link` prints behind `brd`.
        if is_of_group && (is_row_of_ip || label == Some(Label::Broadcast)) {
            return;
        }
        let is_left_out = self.is_command_output
            && (is_of_group || matches!(device, Err(MacError::Bluetooth | MacError::Virtual)));
        match device {
            Ok(device) if !self.seen.insert(device) => {}
            device if is_left_out => self.left_out.push(Found { position, device }),
            device => self.found.push(Found { position, device }),
        }
    }

    /// A command's other entries are told only where there is no device beside them.
    fn into_found(mut self, most: usize) -> Vec<Found> {
        if !self.found.iter().any(|found| found.device.is_ok()) {
            self.found.append(&mut self.left_out);
            self.found.sort_by_key(|found| found.position);
        }
        self.found.truncate(most);
        self.found
    }
}

const fn is_list_separator(char: char) -> bool {
    matches!(char, ',' | '，' | '、' | '､' | '|' | '｜')
}

/// The line with the name of an adapter, before the lines about it.
fn is_heading(line: &str) -> bool {
    let line = line.trim_end();
    let is_of_ipconfig = line.ends_with([':', '：']) && !line.contains(". .");
    is_of_ipconfig || line.contains("flags=") || line.contains(" mtu ")
}

/// The words that belong to each address of a line: those before it, or, where the line begins with an address and
/// ends with words, those behind it.
fn own_labels(line: &Plain, matches: &[Match]) -> Vec<String> {
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
    (0..matches.len())
        .map(|index| {
            if is_behind {
                return line.text(behind(index));
            }
            let before = line.text(before(index));
            // A remark in brackets belongs to the address before it.
            let (_, before) = if index > 0 { remark(&before) } else { ("", before.as_str()) };
            let behind = line.text(behind(index));
            let (remark, _) = remark(&behind);
            format!("{remark} {before}")
        })
        .collect()
}

/// The remark in brackets that a text begins with, and the rest.
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

#[cfg(test)]
mod tests;
