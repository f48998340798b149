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

/// In characters, with punctuation around it.
const LONGEST_NOTHING: usize = 16;

/// Whether a text says in words that nothing is filled in: `无`, `N/A`, `-`.
#[must_use]
pub fn says_nothing(text: &str) -> bool {
    if text.trim().chars().count() > LONGEST_NOTHING {
        return false;
    }
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
const COMMAND_OUTPUT: [&str; 6] = [
    "物理地址. .",
    "实体地址. .",
    "physical address. .",
    "\\device\\tcpip",
    "link/ether",
    "hwaddr ",
];

/// Beginnings of lines that `ifconfig` prints.
const COMMAND_LINES: [&str; 2] = ["ether ", "flags="];

/// An adapter has no more lines before its address than this.
const MAX_CONTEXT_LINES: usize = 32;

/// A part of a line, between the separators of a list.
struct Part {
    line: Plain,
    matches: Vec<Match>,
    begins_with_ip: bool,
}

impl Part {
    fn read(part: &str, position: usize) -> Self {
        let line = Plain::of(part, position);
        let mut tokens = Tokens::of(&line);
        let mut matches = addresses(&mut tokens);
        matches.extend(attempts(&mut tokens));
        matches.sort_by_key(|matched| matched.chars.start);
        let first = tokens.tokens.first();
        let begins_with_ip = first.is_some_and(|token| token.kind == Kind::Other);
        Self { line, matches, begins_with_ip }
    }
}

/// An address of a line, or an attempt at one, with the words that belong to it.
struct Entry {
    position: usize,
    matched: Match,
    own: String,
}

/// The addresses of a line. One without words in its own part has those of the parts before it, back to the address
/// before (`蓝牙，00:00:5e:00:53:02`), or those that end the line, if they say what it is (`…, Bluetooth`).
fn entries(parts: Vec<Part>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut words = String::new();
    for Part { line, matches, .. } in parts {
        if matches.is_empty() {
            words.push_str(&line.text(0..line.chars.len()));
            continue;
        }
        let labels = own_labels(&line, &matches);
        for (matched, own) in matches.into_iter().zip(labels) {
            let before = std::mem::take(&mut words);
            let own = if has_words(&own) { own } else { before };
            let position = line.positions.get(matched.chars.start).copied().unwrap_or_default();
            entries.push(Entry { position, matched, own });
        }
    }
    if let Some(last) = entries.last_mut()
        && !has_words(&last.own)
        && matches!(label(&words), Some(Label::Bluetooth | Label::Virtual))
    {
        last.own = words;
    }
    entries
}

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
        let is_printed = |line: &str| {
            let line = line.trim_start();
            COMMAND_LINES.iter().any(|sign| line.starts_with(sign)) || line.contains(": flags=")
        };
        let is_command_output =
            COMMAND_OUTPUT.iter().any(|sign| text.contains(sign)) || text.lines().any(is_printed);
        Self {
            found: Vec::new(),
            left_out: Vec::new(),
            seen: BTreeSet::new(),
            is_command_output,
            context: Vec::new(),
        }
    }

    fn read_line(&mut self, line: &'a str, position: usize, most: usize) {
        if self.is_command_output && is_heading(line) {
            self.context.clear();
        }
        let mut parts = Vec::new();
        let mut start = position;
        let mut devices = BTreeSet::new();
        for part in line.split_inclusive(is_list_separator) {
            let read = Part::read(part, start);
            devices.extend(read.matches.iter().filter_map(|matched| matched.device.clone().ok()));
            parts.push(read);
            if devices.len() >= most {
                break;
            }
            start += part.chars().count();
        }
        let is_row_of_ip = parts.first().is_some_and(|part| part.begins_with_ip);
        let entries = entries(parts);
        if entries.is_empty() {
            self.remember(line);
            return;
        }
        // What the lines before say is the same for each address of this one.
        let context = label(&self.context.join("\n"))
            .filter(|label| matches!(label, Label::Bluetooth | Label::Virtual));
        self.context.clear();
        for Entry { position, matched, own } in entries {
            let label = match label(&own) {
                None if self.is_command_output || !has_words(&own) => context,
                label => label,
            };
            self.take(position, matched, label, is_row_of_ip);
        }
    }

    /// Keeps a line without an address for the next one with some: the last line, or the last of the same adapter.
    fn remember(&mut self, line: &'a str) {
        if line.trim().is_empty() {
            return;
        }
        if !self.is_command_output {
            self.context.clear();
        }
        if self.context.len() < MAX_CONTEXT_LINES {
            self.context.push(line);
        }
    }

    fn take(&mut self, position: usize, matched: Match, label: Option<Label>, is_row_of_ip: bool) {
        let device = match (matched.device, label) {
            (_, Some(Label::OtherNumber)) if matched.is_ambiguous => return,
            (Ok(_), Some(Label::Bluetooth)) => Err(MacError::Bluetooth),
            (Ok(_) | Err(MacError::Joined), Some(Label::Virtual)) => Err(MacError::Virtual),
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

    /// A command's other entries are problems only where there is no device beside them.
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
