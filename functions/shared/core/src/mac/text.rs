//! Finds the addresses, and the attempts at one, in a text that a person typed or pasted into a
//! form.
//!
//! Addresses are found by their notation; the rest are words. Words matter only where they are the
//! label of an address, as in `蓝牙: 00:00:5e:00:53:01`.

use std::collections::BTreeSet;

use super::attempts::attempts;
use super::label::{Label, has_words, is_specific, label, names_both};
use super::matches::{Match, addresses};
use super::own_labels::own_labels;
use super::tokens::{Kind, Tokens};
use super::{Eui48, MacError};
use crate::characters::Plain;

/// An address in a text, or an attempt at one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The position of its first character in the text as typed, counted from 1.
    pub position: usize,
    /// The device, or the reason for which it is not one.
    pub device: Result<Eui48, MacError>,
}

/// Finds all addresses and attempts, in order; a repeated address is returned once.
///
/// Reading ends after `most` of them, which bounds the cost of an endless text.
#[must_use]
pub fn read(text: &str, most: usize) -> Vec<Found> {
    // Texts from chats and web pages contain blanks of other widths.
    let is_blank = |char: char| char.is_whitespace() && !matches!(char, '\n' | '\r');
    let text: String = text.chars().map(|char| if is_blank(char) { ' ' } else { char }).collect();
    let mut reader = Reader::new(&text);
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

/// Markers of a text that a command or a system printed, without blanks: `ipconfig /all`, `getmac`,
/// `ip link`, `ifconfig`, `networksetup`, `Get-NetAdapter`.
const COMMAND_OUTPUT: [&str; 12] = [
    "物理地址..",
    "实体地址..",
    "實體位址..",
    "physicaladdress..",
    "\\device\\tcpip",
    "传输名称",
    "transportname",
    "link/ether",
    "hwaddr",
    "hardwareport:",
    "interfacedescription",
    ":flags=",
];

/// Words that mark virtual adapters in the output of a command. Elsewhere they have no special
/// meaning.
const VIRTUAL_IN_OUTPUT: [&str; 3] = ["vpn", "虚拟", "svn adapter"];

/// Words between two addresses that belong to neither.
const CONJUNCTIONS: [&str; 4] = ["和", "与", "及", "and"];

/// Lines about the computer or its network, and not about an adapter.
const OTHER_LINES: [&str; 4] = ["dns", "host name", "主机名", "主機名稱"];

/// The maximum number of lines of an adapter before its address.
const MAX_CONTEXT_LINES: usize = 32;

/// A part of a line, between list separators.
struct Part {
    line: Plain,
    matches: Vec<Match>,
    /// Whether an IP address stands before the first address.
    has_ip: bool,
}

impl Part {
    fn read(part: &str, position: usize) -> Self {
        let line = Plain::of(part, position);
        let mut tokens = Tokens::of(&line);
        let mut matches = addresses(&mut tokens);
        matches.extend(attempts(&mut tokens));
        matches.sort_by_key(|matched| matched.chars.start);
        let first = matches.first().map_or(0, |matched| matched.tokens.start);
        let mut before = tokens.tokens.iter().take(first);
        let has_ip = before.any(|token| token.kind == Kind::Other);
        Self { line, matches, has_ip }
    }
}

/// An address of a line, or an attempt at one, with the words that belong to it.
struct Entry {
    position: usize,
    matched: Match,
    own: String,
}

/// The addresses of a line. One whose own part has no label takes the words of the parts before it,
/// back to the previous address (`蓝牙，00:00:5e:00:53:02`). In a line that begins with an address and
/// ends with words, it takes those after it (`00:00:5e:00:53:02, Bluetooth`).
fn entries(parts: Vec<Part>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    // The parts without an address before each address, and those after the last one.
    let (mut before, mut words) = (Vec::new(), String::new());
    for Part { line, matches, .. } in parts {
        if matches.is_empty() {
            words.push_str(&line.text(0..line.chars.len()));
            continue;
        }
        let labels = own_labels(&line, &matches);
        for (matched, own) in matches.into_iter().zip(labels) {
            before.push(std::mem::take(&mut words));
            let position = line.positions.get(matched.chars.start).copied().unwrap_or_default();
            entries.push(Entry { position, matched, own });
        }
    }
    let are_behind = before.first().is_some_and(|first| !is_specific(first)) && is_specific(&words);
    before.push(words);
    let others: &[String] = before.get(usize::from(are_behind)..).unwrap_or_default();
    for (entry, other) in entries.iter_mut().zip(others) {
        // The label of another number applies to its own part only.
        if !is_specific(&entry.own) && label(other) != Some(Label::OtherNumber) {
            entry.own.clone_from(other);
        }
    }
    entries
}

/// For each address of a line, whether labels of two kinds are before it and others, as in
/// `Wi-Fi 和蓝牙: 00:00:5e:00:53:01 / 00:00:5e:00:53:02`: the first may be either.
fn unclear(entries: &[Entry], context: &str) -> Vec<bool> {
    let has_own = |entry: &Entry| {
        let joined =
            CONJUNCTIONS.iter().fold(entry.own.to_lowercase(), |own, it| own.replace(it, " "));
        has_words(&joined)
    };
    let mut unclear = vec![false; entries.len()];
    let mut start = 0;
    while start < entries.len() {
        let others = entries[start + 1..].iter().take_while(|entry| !has_own(entry)).count();
        let end = start + 1 + others;
        let of_first = if has_own(&entries[start]) { &entries[start].own } else { context };
        if others > 0 && names_both(of_first) {
            unclear[start..end].fill(true);
        }
        start = end;
    }
    unclear
}

struct Reader<'a> {
    found: Vec<Found>,
    /// Entries in the output of a command that are not devices and not mistakes of the person who
    /// pasted it.
    left_out: Vec<Found>,
    seen: BTreeSet<Eui48>,
    is_command_output: bool,
    /// The preceding lines without an address: the last one, or those of the same adapter.
    context: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    fn new(text: &str) -> Self {
        let text = text.to_lowercase();
        let without_blanks = text.replace(' ', "");
        let is_ifconfig = |line: &str| line.trim_start().starts_with("ether ");
        let is_command_output = COMMAND_OUTPUT.iter().any(|sign| without_blanks.contains(sign))
            || text.lines().any(is_ifconfig);
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
        let is_row_of_ip = parts.iter().any(|part| part.has_ip);
        let entries = entries(parts);
        if entries.is_empty() {
            self.remember(line);
            return;
        }
        // The label in the preceding lines applies to each address of this one.
        let context = self.label_of_context();
        let is_unclear = unclear(&entries, &self.context.join("\n"));
        self.context.clear();
        for (Entry { position, mut matched, own }, is_unclear) in
            entries.into_iter().zip(is_unclear)
        {
            if is_unclear && !self.is_command_output && matched.device.is_ok() {
                matched.device = Err(MacError::Unclear);
            }
            let label = match self.label_in(&own) {
                None if self.is_command_output || !is_specific(&own) => context,
                label => label,
            };
            self.take(position, matched, label, is_row_of_ip);
        }
    }

    fn label_of_context(&self) -> Option<Label> {
        self.label_in(&self.context.join("\n"))
    }

    fn label_in(&self, text: &str) -> Option<Label> {
        let is_virtual = || {
            let text = text.to_lowercase();
            VIRTUAL_IN_OUTPUT.iter().any(|word| text.contains(word))
        };
        let is_virtual = self.is_command_output && is_virtual();
        label(text).or(is_virtual.then_some(Label::Virtual))
    }

    /// Keeps a line without an address for the next line with one: the last line, or the last lines
    /// of the same adapter.
    fn remember(&mut self, line: &'a str) {
        let lower = line.to_lowercase();
        let is_other = OTHER_LINES.iter().any(|word| lower.contains(word));
        if line.trim().is_empty() || (self.is_command_output && is_other) {
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
            (_, Some(Label::Network)) => return,
            // Counters of an interface.
            (Err(MacError::Decimal), _) if self.is_command_output => return,
            (Ok(_), Some(Label::Bluetooth)) => Err(MacError::Bluetooth),
            (Ok(_) | Err(MacError::Joined), Some(Label::Virtual)) => Err(MacError::Virtual),
            // A tunnel has 8 pairs.
            (Err(_), Some(Label::Virtual)) if self.is_command_output => Err(MacError::Virtual),
            (device, _) => device,
        };
        let is_of_group =
            matches!(device, Err(MacError::Multicast | MacError::Broadcast | MacError::Zero));
        // Rows of `arp -a`.
        if is_of_group && is_row_of_ip {
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

    /// In the output of a command, other entries are problems only if it has no device.
    fn into_found(mut self, most: usize) -> Vec<Found> {
        // Interfaces that a system creates, such as `ap1` and `bridge0` of macOS, have locally
        // administered addresses.
        let is_local =
            |found: &Found| found.device.as_ref().is_ok_and(|it| it.is_locally_administered());
        let is_global = |found: &Found| found.device.is_ok() && !is_local(found);
        if self.is_command_output && self.found.iter().any(is_global) {
            self.found.retain(|found| !is_local(found));
        }
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

/// Whether the line is the heading of an adapter, before the lines about it.
fn is_heading(line: &str) -> bool {
    let line = line.trim_end();
    let is_of_ipconfig = line.ends_with([':', '：']) && !line.contains(". .");
    let is_of_macos = line.starts_with("Hardware Port:");
    is_of_ipconfig || is_of_macos || line.contains("flags=") || line.contains(" mtu ")
}

#[cfg(test)]
mod command_tests;
#[cfg(test)]
mod generated_tests;
#[cfg(test)]
mod tests;
