//! MAC addresses as people type them.
//!
//! Terms: EUI-48 (the old "MAC-48"); in the first octet, bit 0x01 is I/G (1 = group, multicast) and
//! bit 0x02 is U/L (1 = locally administered). Source: RFC 9542.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;

/// A 48-bit MAC address of one device: neither multicast, nor zero, nor broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Eui48([u8; 6]);

/// Why a text is no address of a device. Never quotes the text: it may be anything a person typed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MacError {
    /// A letter that looks like a digit: refused and not guessed.
    #[error(
        "letter {letter} at position {position}: is it the digit {digit}? (第 {position} 位是字母 {letter}，应为数字 {digit}？)"
    )]
    LookAlike {
        /// The letter.
        letter: char,
        /// The digit that it looks like.
        digit: char,
        /// Counted from 1, in the text as typed.
        position: usize,
    },
    /// A character that is in no spelling of an address.
    #[error(
        "the character at position {position} belongs to no MAC address (第 {position} 位不是 MAC 地址的字符)"
    )]
    Stray {
        /// Counted from 1, in the text as typed.
        position: usize,
    },
    /// Too few or too many hexadecimal digits.
    #[error("{digits} hexadecimal digits instead of 12 (应为 12 位十六进制数字，实为 {digits} 位)")]
    Length {
        /// How many there are.
        digits: usize,
    },
    /// Twelve digits, grouped as no one writes them, or with two kinds of separators.
    #[error("the separators are mixed or misplaced (分隔符混用或位置不对)")]
    Separators,
    /// The I/G bit is set.
    #[error("a multicast address names no device (组播地址不是设备地址)")]
    Multicast,
    /// All bits are set.
    #[error("the broadcast address names no device (广播地址不是设备地址)")]
    Broadcast,
    /// No bit is set.
    #[error("the zero address names no device (全零地址不是设备地址)")]
    Zero,
}

impl Eui48 {
    /// The six octets.
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether the U/L bit is set, as in the random addresses that phones and laptops make up per network.
    #[must_use]
    pub const fn is_locally_administered(self) -> bool {
        self.0[0] & 0x02 != 0
    }

    /// For logs: enough to recognise a device that one knows, not enough to name one.
    #[must_use]
    pub fn masked(self) -> String {
        let [a, b, c, .., f] = self.0;
        format!("{a:02x}:{b:02x}:{c:02x}:**:**:{f:02x}")
    }

    /// Spelled as a target wants it.
    #[must_use]
    pub fn spelled(self, spelling: Spelling) -> String {
        let digits = match spelling.case {
            Case::Lower => self.0.map(|octet| format!("{octet:02x}")).concat(),
            Case::Upper => self.0.map(|octet| format!("{octet:02X}")).concat(),
        };
        let (group, separator) = match spelling.separator {
            Separator::Colon => (2, ":"),
            Separator::Dash => (2, "-"),
            Separator::DotFour => (4, "."),
            Separator::DashFour => (4, "-"),
            Separator::None => (12, ""),
        };
        digits
            .as_bytes()
            .chunks(group)
            .map(|chunk| chunk.iter().map(|&byte| char::from(byte)).collect::<String>())
            .collect::<Vec<_>>()
            .join(separator)
    }

    /// Reads one address in any of the usual spellings; labels and lists are [`parse_list`]'s.
    ///
    /// # Errors
    /// [`MacError`] with the position in `text`.
    pub fn parse(text: &str) -> Result<Self, MacError> {
        let mut value = 0_u64;
        let mut digits = 0_usize;
        let mut separators = Vec::with_capacity(5);
        for (index, typed) in text.chars().enumerate() {
            let position = index + 1;
            for char in plain(typed) {
                if let Some(digit) = char.to_digit(16) {
                    // Twelve digits fit; the rest is only counted.
                    value = value << 4 | u64::from(digit);
                    digits += 1;
                } else if let Some(digit) = looks_like(char) {
                    return Err(MacError::LookAlike { letter: char, digit, position });
                } else if matches!(char, ':' | '-' | '.' | ' ') {
                    separators.push((digits, char));
                } else {
                    return Err(MacError::Stray { position });
                }
            }
        }
        if digits != 12 {
            return Err(MacError::Length { digits });
        }
        if !separators_fit(&separators) {
            return Err(MacError::Separators);
        }
        let [_, _, octets @ ..] = value.to_be_bytes();
        Self::of_device(octets)
    }

    fn of_device(octets: [u8; 6]) -> Result<Self, MacError> {
        match octets {
            [0, 0, 0, 0, 0, 0] => Err(MacError::Zero),
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => Err(MacError::Broadcast),
            [first, ..] if first & 0x01 != 0 => Err(MacError::Multicast),
            octets => Ok(Self(octets)),
        }
    }
}

/// Every two digits, or every four; one kind of separator throughout; spaces only where nothing else is.
fn separators_fit(separators: &[(usize, char)]) -> bool {
    let Some(&(_, kind)) = separators.first() else {
        return true;
    };
    let places: Vec<usize> = separators.iter().map(|&(place, _)| place).collect();
    separators.iter().all(|&(_, separator)| separator == kind)
        && (places == [2, 4, 6, 8, 10] || places == [4, 8])
}

/// The letters that are typed or printed for a digit. `b`, `B` and the like are digits themselves.
fn looks_like(char: char) -> Option<char> {
    match char {
        'O' | 'o' | 'Ο' | 'О' => Some('0'),
        'l' | 'I' | 'i' | '|' => Some('1'),
        'S' | 's' => Some('5'),
        'Z' | 'z' => Some('2'),
        _ => None,
    }
}

/// One typed character as it would stand in plain ASCII: full-width forms folded, other dashes and
/// colons made the usual ones, what has no width gone.
fn plain(typed: char) -> impl Iterator<Item = char> {
    std::iter::once(typed).nfkc().filter_map(|char| match char {
        // Zero-width marks and the marks of text direction, which come along when text is copied.
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}'
        | '\u{ad}' => None,
        '\u{2010}'..='\u{2015}' | '\u{2212}' => Some('-'),
        '∶' | '︰' => Some(':'),
        '。' => Some('.'),
        char if char.is_whitespace() => Some(' '),
        char => Some(char),
    })
}

/// Reads all addresses in one form field.
///
/// Takes lists (line breaks, `,` `，` `、` `;` `；` `/` or spaces), known labels before an address
/// (`MAC：`, `物理地址`, `WLAN`), full-width characters. Each item has a result of its own; an address
/// that repeats is given once. Lazy, so that whoever has enough reads no more of an endless text.
pub fn parse_list(text: &str) -> impl Iterator<Item = Result<Eui48, MacError>> {
    let mut seen = BTreeSet::new();
    text.split(is_list_separator)
        .flat_map(addresses_in)
        .map(Eui48::parse)
        .filter(move |result| result.as_ref().map_or(true, |&address| seen.insert(address)))
}

const fn is_list_separator(char: char) -> bool {
    matches!(char, '\n' | '\r' | '\t' | ',' | '，' | '、' | '､' | ';' | '；' | '/' | '／')
}

/// The items in a part of a list: the words of it, or the whole where its words are the pairs of one address.
fn addresses_in(part: &str) -> Vec<&str> {
    let part = without_labels(part);
    let words: Vec<&str> = part.split_whitespace().collect();
    let are_groups = |digits, count| {
        words.len() == count && words.iter().all(|word| word.chars().count() == digits)
    };
    if are_groups(2, 6) || are_groups(4, 3) {
        return vec![part];
    }
    words.into_iter().map(without_labels).filter(|word| !word.is_empty()).collect()
}

/// Words that people put before an address; longer ones before those that they begin with.
const LABELS: [&str; 15] = [
    "mac地址",
    "mac address",
    "mac addr",
    "macaddress",
    "mac",
    "物理地址",
    "无线网卡",
    "有线网卡",
    "无线",
    "有线",
    "地址",
    "wlan",
    "wi-fi",
    "wifi",
    "ethernet",
];

/// `text` without blanks around it and without known labels in front.
fn without_labels(text: &str) -> &str {
    let mut rest = text.trim_matches(is_blank);
    while let Some(shorter) = LABELS.iter().find_map(|label| strip_label(rest, label)) {
        rest = shorter;
    }
    rest
}

fn is_blank(char: char) -> bool {
    plain(char).all(|char| char == ' ')
}

/// `text` without `label` (in any case and width) and the colons and blanks after it.
fn strip_label<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let mut wanted = label.chars().peekable();
    let mut end = 0;
    for (start, typed) in text.char_indices() {
        if wanted.peek().is_none() {
            break;
        }
        for char in plain(typed) {
            if wanted.next() != Some(char.to_ascii_lowercase()) {
                return None;
            }
        }
        end = start + typed.len_utf8();
    }
    if wanted.peek().is_some() {
        return None;
    }
    let rest = &text[end..];
    let value = rest.trim_start_matches(|char| {
        is_blank(char) || plain(char).all(|char| matches!(char, ':' | '='))
    });
    // `mac` glued to hexadecimal digits is not a label that anyone wrote.
    let glued =
        value.len() == rest.len() && value.starts_with(|char: char| char.is_ascii_alphanumeric());
    (!(glued && label.is_ascii())).then_some(value)
}

/// How a target wants an address spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spelling {
    /// What stands between the groups.
    #[serde(default)]
    pub separator: Separator,
    /// Case of the digits.
    #[serde(default)]
    pub case: Case,
}

impl Spelling {
    /// `00:00:5e:00:53:01`, as the ledger keeps it.
    pub const CANONICAL: Self = Self { separator: Separator::Colon, case: Case::Lower };
}

impl Default for Spelling {
    fn default() -> Self {
        Self::CANONICAL
    }
}

/// What stands between the groups of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Separator {
    /// `00:00:5e:00:53:01`
    #[default]
    Colon,
    /// `00-00-5e-00-53-01`
    Dash,
    /// `0000.5e00.5301`
    DotFour,
    /// `0000-5e00-5301`
    DashFour,
    /// `00005e005301`
    None,
}

/// Case of the digits of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// `5e`
    #[default]
    Lower,
    /// `5E`
    Upper,
}

impl fmt::Display for Eui48 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelled(Spelling::CANONICAL))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Addresses are of the documentation range 00-00-5E-00-53-00 to FF (RFC 9542, section 2.1.4).
    const ONE: Eui48 = Eui48([0x00, 0x00, 0x5e, 0x00, 0x53, 0x01]);
    const TWO: Eui48 = Eui48([0x00, 0x00, 0x5e, 0x00, 0x53, 0xfe]);

    fn list(text: &str) -> Vec<Result<Eui48, MacError>> {
        super::parse_list(text).collect()
    }

    #[test]
    fn takes_every_usual_spelling() {
        for typed in [
            "00:00:5e:00:53:01",
            "00-00-5E-00-53-01",
            "0000.5e00.5301",
            "0000-5e00-5301",
            "00005E005301",
            "00 00 5e 00 53 01",
            "0000 5e00 5301",
            "００：００：５Ｅ：００：５３：０１",
            "００－００－５ｅ－００－５３－０１",
            "0000．5e00．5301",
            "00–00–5e–00–53–01",
            "\u{200b}00:00:5e:\u{feff}00:53:01\u{a0}",
            "MAC：00:00:5e:00:53:01",
            "mac 00-00-5e-00-53-01",
            "MAC地址: 00005e005301",
            "ＭＡＣ地址：0000-5e00-5301",
            "物理地址 00:00:5e:00:53:01",
            "WLAN: MAC address = 00 00 5e 00 53 01",
            "无线网卡 mac：00:00:5e:00:53:01",
        ] {
            assert_eq!(list(typed), [Ok(ONE)], "{typed:?}");
        }
    }

    #[test]
    fn takes_lists_and_gives_repeats_once() {
        for typed in [
            "00:00:5e:00:53:01,00:00:5e:00:53:fe",
            "00:00:5e:00:53:01\n00-00-5E-00-53-FE\r\n0000.5e00.5301",
            "00005e005301、00005e0053fe；0000-5e00-5301",
            "00:00:5e:00:53:01 00:00:5e:00:53:fe",
            "MAC: 00:00:5e:00:53:01 / WiFi：00:00:5e:00:53:fe",
            "00 00 5e 00 53 01 ， 00 00 5e 00 53 fe",
        ] {
            assert_eq!(list(typed), [Ok(ONE), Ok(TWO)], "{typed:?}");
        }
        assert_eq!(list(""), []);
        assert_eq!(list(" \n ,，MAC："), []);
    }

    #[test]
    fn names_the_place_of_a_look_alike() {
        let look_alike = |letter, digit, position| MacError::LookAlike { letter, digit, position };
        assert_eq!(Eui48::parse("OO:00:5e:00:53:01"), Err(look_alike('O', '0', 1)));
        assert_eq!(Eui48::parse("00:00:5e:00:53:0l"), Err(look_alike('l', '1', 17)));
        assert_eq!(Eui48::parse("0000-5e00-53oI"), Err(look_alike('o', '0', 13)));
        assert_eq!(list("00005e00530Ｉ"), [Err(look_alike('I', '1', 12))]);
    }

    #[test]
    fn a_bad_item_leaves_the_others() {
        assert_eq!(
            list("00:00:5e:00:53:0O, 00:00:5e:00:53:fe，我的电脑"),
            [
                Err(MacError::LookAlike { letter: 'O', digit: '0', position: 17 }),
                Ok(TWO),
                Err(MacError::Stray { position: 1 }),
            ]
        );
    }

    #[test]
    fn refuses_what_is_no_address_of_a_device() {
        for (typed, error) in [
            ("00:00:5e:00:53:1", MacError::Length { digits: 11 }),
            ("00:00:5e:00:53:011", MacError::Length { digits: 13 }),
            ("00:00-5e:00:53:01", MacError::Separators),
            ("000:05e:00:53:01", MacError::Separators),
            ("00::005e:00:53:01", MacError::Separators),
            (":00005e005301", MacError::Separators),
            ("00:00:5g:00:53:01", MacError::Stray { position: 8 }),
            ("00:00:00:00:00:00", MacError::Zero),
            ("ff-ff-ff-ff-ff-ff", MacError::Broadcast),
            ("01:00:5e:00:53:01", MacError::Multicast),
            ("", MacError::Length { digits: 0 }),
        ] {
            assert_eq!(Eui48::parse(typed), Err(error), "{typed:?}");
        }
    }

    #[test]
    fn knows_locally_administered_addresses() {
        for digit in ['2', '6', 'a', 'E'] {
            let address = Eui48::parse(&format!("0{digit}:00:5e:00:53:01"));
            assert!(address.is_ok_and(Eui48::is_locally_administered), "{digit}");
        }
        assert!(!ONE.is_locally_administered());
    }

    #[test]
    fn an_error_never_quotes_what_was_typed() {
        let secret = "hunter2-my-password";
        for result in list(secret) {
            let text = result.map_or_else(|error| error.to_string(), |mac| mac.to_string());
            assert!(!text.contains("hunter2") && !text.contains("password"), "{text}");
        }
    }

    #[test]
    fn masks_for_logs() {
        assert_eq!(TWO.masked(), "00:00:5e:**:**:fe");
    }

    proptest! {
        #[test]
        fn reads_back_every_spelling(octets: [u8; 6], separator in 0_usize..5, upper: bool) {
            let separator = [
                Separator::Colon,
                Separator::Dash,
                Separator::DotFour,
                Separator::DashFour,
                Separator::None,
            ][separator];
            let case = if upper { Case::Upper } else { Case::Lower };
            if let Ok(address) = Eui48::of_device(octets) {
                let spelled = address.spelled(Spelling { separator, case });
                prop_assert_eq!(list(&spelled), [Ok(address)]);
            }
        }

        #[test]
        fn any_text_at_all_is_answered(text: String) {
            let _ = list(&text);
        }

        #[test]
        fn an_accepted_text_holds_exactly_its_digits(text in "[0-9a-fA-F:. -]{0,24}") {
            if let Ok(address) = Eui48::parse(&text) {
                let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
                let canonical = address.spelled(Spelling { separator: Separator::None, case: Case::Lower });
                prop_assert_eq!(digits.to_ascii_lowercase(), canonical);
            }
        }
    }
}
