//! IP addresses and networks, v4 and v6. Canonical: as RFC 5952 writes it; a network with its
//! prefix length, `192.0.2.0/24`, a single address without.

use std::net::IpAddr;

use thiserror::Error;

use super::list::is_separator;
use super::{Explain, Explanation, FormatProblem, Found, SubjectKind};
use crate::characters::plain;

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
    #[error("the prefix length is not a number from 1 to {longest}")]
    Prefix { longest: u8 },
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
    let longest = longest_prefix(address);
    let Some(prefix) = prefix else { return Ok(address.to_string()) };
    let is_number = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let length =
        prefix.parse::<u8>().ok().filter(|length| is_number && (1..=longest).contains(length));
    let length = length.ok_or(IpError::Prefix { longest })?;
    if length == longest {
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

/// Whether the character can be part of an address, a network or a range.
const fn is_part(char: char) -> bool {
    char.is_ascii_hexdigit() || matches!(char, '.' | ':' | '/' | '-' | '~')
}

/// Finds the attempts at an address between words: labels and remarks are ignored, what looks like
/// an address and is none is reported.
fn read(text: &str, most: usize) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let mut between = String::new();
    let mut run = String::new();
    let mut start = 0;
    // A character more ends the last run.
    let chars = text.chars().chain(['\n']).enumerate();
    for (index, typed) in chars {
        let Some(char) = plain(typed) else { continue };
        if is_part(char) && !is_separator(typed) {
            if run.is_empty() {
                start = index + 1;
            }
            run.push(char);
            continue;
        }
        if let Some((offset, attempt)) = attempt(&run) {
            let is_range =
                !found.is_empty() && ["-", "~", "至", "到", "to"].contains(&between.trim());
            let value = if is_range { Err(IpError::Range) } else { parse(attempt) };
            if is_range && let Some(first) = found.last_mut() {
                first.value = Err(IpError::Range.explain());
            }
            found.push(Found { position: start + offset, value: value.map_err(Into::into) });
            if found.len() == most {
                break;
            }
            between.clear();
        } else {
            between.push_str(&run);
        }
        run.clear();
        between.push(if char.is_whitespace() { ' ' } else { char });
    }
    found
}

/// The attempt at an address in a run of its characters, and its offset: two separators at least,
/// without the colon of a label before it and the full stop behind it.
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
    (separators >= 2 && has_digits).then_some((trimmed.len() - start.len(), start))
}
