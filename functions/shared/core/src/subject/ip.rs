//! IP addresses and networks, v4 and v6. Canonical: as RFC 5952 writes it; a network with its
//! prefix length, `192.0.2.0/24`, a single address without.

use std::net::IpAddr;

use thiserror::Error;

use super::list::is_separator;
use super::{Explain, Explanation, FormatProblem, Found, SubjectKind};
use crate::characters::{looks_like, plain};

/// The kind `ip`.
pub const IP: Ip = Ip;

/// See [`IP`].
#[derive(Debug)]
pub struct Ip;

/// The reason for which a text is not an address or a network. Never quotes the text.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("ip")]
enum IpError {
    #[error("this is not an IP address")]
    NotAnAddress,
    #[error("a number of the address begins with 0: is it octal? Write it without")]
    LeadingZero,
    #[error("a range of addresses: write each address, or a network with its prefix length")]
    Range,
    #[error("the prefix length is not a number up to {longest}")]
    Prefix { longest: u8 },
    #[error("the network is too large: the prefix length is at least {least}")]
    Large { least: u8 },
    #[error(
        "the address has bits behind its prefix: is it one address or the network? Write the \
         address alone, or the first address of the network"
    )]
    HostBits,
    #[error("the unspecified address names no host")]
    Unspecified,
    #[error("a loopback address names no host of the network")]
    Loopback,
    #[error("a multicast, broadcast or reserved address names no host")]
    NotUnicast,
    #[error(
        "a link-local address, which a device gives itself when it gets none: use the real one"
    )]
    LinkLocal,
    #[error(
        "a character beside the address can be a mistyped digit of it: write the address alone, or \
         with a blank around it"
    )]
    LookAlike,
    #[error("the prefix length is apart from its network: write them together, 192.0.2.0/24")]
    Split,
}

impl SubjectKind for Ip {
    fn name(&self) -> &'static str {
        "ip"
    }

    fn example(&self) -> &'static str {
        "192.0.2.7"
    }

    fn parse(&self, text: &str) -> Result<String, Explanation> {
        let text: String = text.trim().chars().filter_map(plain).collect();
        Ok(parse(&text)?)
    }

    fn read(&self, text: &str, most: usize) -> Vec<Found> {
        read(text, most)
    }

    fn masked(&self, value: &str) -> String {
        let (address, prefix) = value.split_once('/').unwrap_or((value, ""));
        let slash = if prefix.is_empty() { "" } else { "/" };
        let masked = match address.parse() {
            Ok(IpAddr::V4(address)) => {
                let [a, b, _, d] = address.octets();
                format!("{a}.{b}.*.{d}")
            }
            Ok(IpAddr::V6(address)) => {
                let [first, .., last] = address.segments();
                format!("{first:x}:**:{last:x}")
            }
            Err(_) => return "***".to_owned(),
        };
        format!("{masked}{slash}{prefix}")
    }

    /// `prefix = "networks"` (the default) or `"always"`: `192.0.2.7/32`.
    fn format(&self, value: &str, options: &toml::Table) -> Result<String, FormatProblem> {
        let mut is_always = false;
        for (name, option) in options {
            if name != "prefix" {
                return Err(FormatProblem::unknown(name, &["prefix"]));
            }
            is_always = match option.as_str() {
                Some("networks") => false,
                Some("always") => true,
                _ => {
                    let (option, known) = (name.clone(), "networks, always".to_owned());
                    return Err(FormatProblem::Value { option, known });
                }
            };
        }
        Ok(match value.parse::<IpAddr>() {
            Ok(address) if is_always => format!("{value}/{}", longest_prefix(address)),
            _ => value.to_owned(),
        })
    }
}

const fn longest_prefix(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn parse(text: &str) -> Result<String, IpError> {
    if text.contains(['-', '~']) {
        return Err(IpError::Range);
    }
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let has_leading_zero = || {
        let mut numbers = address.split('.');
        let is_long_zero = |number: &str| number.len() > 1 && number.starts_with('0');
        address.contains('.') && !address.contains(':') && numbers.any(is_long_zero)
    };
    let address: IpAddr = address.parse().map_err(|_| {
        if has_leading_zero() { IpError::LeadingZero } else { IpError::NotAnAddress }
    })?;
    let address = if prefix.is_none() { address.to_canonical() } else { address };
    check_use(address)?;
    let Some(prefix) = prefix else { return Ok(address.to_string()) };
    let longest = longest_prefix(address);
    let is_number = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let length = prefix.parse::<u8>().ok().filter(|length| is_number && *length <= longest);
    let length = length.ok_or(IpError::Prefix { longest })?;
    // An IPv4 network in the notation of IPv6 is that network.
    let (address, length) = match (address.to_canonical(), length.checked_sub(96)) {
        (IpAddr::V4(mapped), Some(length)) if address.is_ipv6() => (IpAddr::V4(mapped), length),
        (IpAddr::V4(_), None) if address.is_ipv6() => return Err(IpError::NotUnicast),
        _ => (address, length),
    };
    check_use(address)?;
    // A shorter prefix contains addresses of other uses, and is more than an organisation has.
    let least = if address.is_ipv4() { 8 } else { 16 };
    if length < least {
        return Err(IpError::Large { least });
    }
    if length == longest_prefix(address) {
        return Ok(address.to_string());
    }
    let is_network = match address {
        IpAddr::V4(address) => address.to_bits().checked_shl(length.into()).unwrap_or(0) == 0,
        IpAddr::V6(address) => address.to_bits().checked_shl(length.into()).unwrap_or(0) == 0,
    };
    if is_network { Ok(format!("{address}/{length}")) } else { Err(IpError::HostBits) }
}

/// Refuses addresses that no single host or network of an organisation has.
fn check_use(address: IpAddr) -> Result<(), IpError> {
    let (is_link_local, is_reserved) = match address {
        IpAddr::V4(address) => (address.is_link_local(), matches!(address.octets()[0], 0 | 240..)),
        IpAddr::V6(address) => (address.is_unicast_link_local(), false),
    };
    if address.is_unspecified() {
        Err(IpError::Unspecified)
    } else if address.is_loopback() {
        Err(IpError::Loopback)
    } else if address.is_multicast() || is_reserved {
        Err(IpError::NotUnicast)
    } else if is_link_local {
        Err(IpError::LinkLocal)
    } else {
        Ok(())
    }
}

/// The character in its plain form; dashes and slashes of other shapes, too.
fn plain_of(typed: char) -> Option<char> {
    match typed {
        '〜' | '∼' | '…' => Some('~'),
        '∕' | '⁄' => Some('/'),
        typed => plain(typed),
    }
}

/// Whether the character can be part of an address, a network or a range.
const fn is_part(char: char) -> bool {
    char.is_ascii_hexdigit() || matches!(char, '.' | ':' | '/' | '-' | '~')
}

/// A run of characters of addresses, and what is around it.
struct Run {
    /// The position of its first character, counted from 1.
    position: usize,
    text: String,
    /// What is between it and the run before it.
    before: String,
    /// The character behind it.
    after: char,
}

/// The runs of a text, with the text in plain characters.
fn runs(text: &str) -> impl Iterator<Item = Run> {
    // A character more ends the last run.
    let mut chars = text.chars().chain(['\n']).enumerate();
    std::iter::from_fn(move || {
        let mut run = Run { position: 0, text: String::new(), before: String::new(), after: ' ' };
        for (index, typed) in chars.by_ref() {
            let Some(char) = plain_of(typed) else { continue };
            // A full-width colon belongs to a label.
            if is_part(char) && !is_separator(typed) && typed != '：' {
                if run.text.is_empty() {
                    run.position = index + 1;
                }
                run.text.push(char);
            } else if run.text.is_empty() {
                run.before.push(if is_separator(typed) { ',' } else { char });
            } else {
                run.after = char;
                return Some(run);
            }
        }
        None
    })
}

/// Finds the attempts at an address between words: labels and remarks are ignored, what looks like
/// an address and is none is reported.
fn read(text: &str, most: usize) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    // Whether the run before this one was an attempt, and what has been between since.
    let (mut follows, mut between, mut before) = (false, String::new(), ' ');
    for run in runs(text) {
        let start = run.before.chars().next_back().unwrap_or(before);
        between.push_str(&run.before);
        before = run.after;
        let join = Join::of(between.trim());
        if let Some((offset, attempt)) = attempt(&run.text) {
            // The word of a label before a colon can end in a to f.
            let is_word = attempt.contains(':') && start.is_alphanumeric();
            let is_doubtful = (offset == 0 && (is_doubtful(start) || is_word))
                || (offset + attempt.len() == run.text.len() && is_doubtful(run.after));
            let value = match join {
                Join::Range if follows => Err(IpError::Range),
                _ if is_doubtful => Err(IpError::LookAlike),
                _ => parse(attempt),
            };
            if follows && join == Join::Range {
                fail_last(&mut found, &IpError::Range);
            }
            if follows && join == Join::Blank && attempt.starts_with("255.") {
                fail_last(&mut found, &IpError::Split);
            }
            let position = run.position + offset;
            found.push(Found { position, value: value.map_err(Into::into) });
            if found.len() == most {
                break;
            }
            follows = true;
        } else if follows && is_end_of_range_or_prefix(&run.text, join, !between.trim().is_empty())
        {
            fail_last(
                &mut found,
                if join == Join::Range { &IpError::Range } else { &IpError::Split },
            );
        } else if follows && run.text.chars().all(|char| matches!(char, '-' | '~' | '.')) {
            between.push_str(&run.text);
            between.push(run.after);
            continue;
        } else {
            follows = false;
        }
        between.clear();
        between.push(run.after);
    }
    found
}

fn fail_last(found: &mut [Found], error: &IpError) {
    if let Some(last) = found.last_mut() {
        last.value = Err(error.explain());
    }
}

/// What the text between two runs says about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    /// `-`, `~`, `至`: from the one to the other.
    Range,
    /// Blanks, or a backslash.
    Blank,
    Other,
}

impl Join {
    fn of(between: &str) -> Self {
        let is_dashes = !between.is_empty()
            && between.chars().all(|char| matches!(char, '-' | '~' | '.' | ' '));
        let word = between.to_ascii_lowercase();
        if is_dashes || matches!(word.as_str(), "至" | "到" | "to" | "through") {
            Self::Range
        } else if matches!(word.as_str(), "" | "\\" | "掩码" | "子网掩码" | "mask") {
            Self::Blank
        } else {
            Self::Other
        }
    }
}

/// Whether a run behind an address is the end of a range, `- 9`, or its prefix length, ` /24`.
fn is_end_of_range_or_prefix(run: &str, join: Join, is_mask: bool) -> bool {
    let number = run.trim_start_matches(['-', '~', '/']);
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let has_sign = number.len() < run.len();
    is_number && (join == Join::Range || (join == Join::Blank && (has_sign || is_mask)))
}

/// Whether a character beside an address can be a mistyped digit of it.
fn is_doubtful(char: char) -> bool {
    looks_like(char).is_some() || char == '\\' || char == '%'
}

/// The attempt at an address in a run of its characters, and its offset: without the colon of a
/// label before it and the full stop behind it.
fn attempt(run: &str) -> Option<(usize, &str)> {
    let trimmed = run.trim_end_matches(['.', '-', '/', '~']);
    let trimmed = match trimmed.strip_suffix(':') {
        Some(before) if !before.ends_with(':') => before,
        _ => trimmed,
    };
    let start = trimmed.trim_start_matches(['.', '-', '/', '~']);
    let start = match start.strip_prefix(':') {
        Some(after) if !after.starts_with(':') => after,
        _ => start,
    };
    let separators = start.matches(['.', ':']).count();
    let has_digits = start.bytes().any(|byte| byte.is_ascii_hexdigit());
    // `192.0`: a part of an address that was cut.
    let is_part = separators == 1
        && start.contains('.')
        && start.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_attempt = has_digits && (separators >= 2 || is_part);
    is_attempt.then_some((trimmed.len() - start.len(), start))
}
