//! MAC addresses: one address ([`Eui48`]), and all addresses in a text that a person typed or
//! pasted ([`read`]).
//!
//! Terms: EUI-48 (the old "MAC-48"); in the first octet, bit 0x01 is I/G (1 = group, multicast) and
//! bit 0x02 is U/L (1 = locally administered). Source: RFC 9542.

mod attempts;
mod label;
mod matches;
mod own_labels;
mod spelling;
mod text;
mod tokens;

use std::fmt;

use thiserror::Error;

use crate::characters::{looks_like, plain};

use crate::explain::Explain;

pub use self::spelling::{Case, Separator, Spelling};
pub use self::text::{Found, read};

/// A 48-bit MAC address of one device: neither multicast, nor zero, nor broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Eui48([u8; 6]);

/// The reason for which a text is not the address of a device. Never quotes the text, which can be
/// anything.
#[derive(Clone, Debug, PartialEq, Eq, Error, Explain)]
#[explain("mac")]
pub enum MacError {
    /// A letter that looks like a digit: reported, not guessed.
    #[error("letter {letter} at position {position}: is it the digit {digit}?")]
    LookAlike {
        letter: char,
        /// The digit that it looks like.
        digit: char,
        /// Counted from 1, in the text as typed.
        position: usize,
    },
    /// A character that no notation of an address has.
    #[error("the character at position {position} belongs to no MAC address")]
    Stray {
        /// Counted from 1, in the text as typed.
        position: usize,
    },
    /// Too few or too many hexadecimal digits.
    #[error("{digits} hexadecimal digits instead of 12")]
    Length {
        /// The number of digits.
        digits: usize,
    },
    /// Twelve digits in unusual groups, or with two kinds of separators.
    #[error("the separators are mixed or misplaced")]
    Separators,
    /// The I/G bit is set.
    #[error("a multicast address names no device")]
    Multicast,
    /// All bits are set.
    #[error("the broadcast address names no device")]
    Broadcast,
    /// No bit is set.
    #[error("the zero address names no device")]
    Zero,
    /// Twelve decimal digits, in a notation that is also used for other numbers.
    #[error(
        "12 decimal digits: is it a MAC address or another number? Write it with colons, 00:00:5e:00:53:01"
    )]
    Decimal,
    /// Twelve digits that are part of a longer name.
    #[error(
        "12 digits in a longer name: is it a MAC address? Write it with colons, and a blank before it"
    )]
    Joined,
    /// The label of the address says that it is a Bluetooth address.
    #[error("a Bluetooth address, which no wireless network ever sees: use the Wi-Fi address")]
    Bluetooth,
    /// The label before several addresses names Bluetooth and another kind, but not which is which.
    #[error("it is not clear which address is the Bluetooth one: write each behind its own label")]
    Unclear,
    /// The label of the address says that it is the address of a virtual adapter.
    #[error("the address of a virtual adapter: use that of the network card")]
    Virtual,
    /// The U/L bit is set, and the flow rejects such addresses.
    #[error(
        "a random (private) address, which the device will change: switch it off for this network \
         and use the hardware address"
    )]
    Random,
}

impl MacError {
    /// The same error with its position in a longer text: `original` maps the position.
    fn moved(self, original: impl Fn(usize) -> usize) -> Self {
        match self {
            Self::LookAlike { letter, digit, position } => {
                Self::LookAlike { letter, digit, position: original(position) }
            }
            Self::Stray { position } => Self::Stray { position: original(position) },
            error => error,
        }
    }
}

impl Eui48 {
    /// The six octets.
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether the U/L bit is set, as in the random addresses that phones and laptops use per
    /// network.
    #[must_use]
    pub const fn is_locally_administered(self) -> bool {
        self.0[0] & 0x02 != 0
    }

    /// For logs: enough to recognise a known device, not enough to identify an unknown one.
    #[must_use]
    pub fn masked(self) -> String {
        let [a, b, c, .., f] = self.0;
        format!("{a:02x}:{b:02x}:{c:02x}:**:**:{f:02x}")
    }

    /// Formats the address as a target expects it.
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

    /// Parses a text that is one address in any of the usual notations, and nothing else.
    ///
    /// # Errors
    /// [`MacError`] with the position in `text`.
    pub fn parse(text: &str) -> Result<Self, MacError> {
        let mut value = 0_u64;
        let mut digits = 0_usize;
        let mut separators = Vec::with_capacity(5);
        for (index, typed) in text.chars().enumerate() {
            let position = index + 1;
            let Some(char) = plain(typed) else { continue };
            if let Some(digit) = char.to_digit(16) {
                // Twelve digits fit; further ones are only counted.
                value = value << 4 | u64::from(digit);
                digits += 1;
            } else if let Some(digit) = looks_like(char) {
                return Err(MacError::LookAlike { letter: char, digit, position });
            } else if matches!(char, ':' | '-' | '.' | ' ' | '_' | ';') {
                separators.push((digits, char));
            } else {
                return Err(MacError::Stray { position });
            }
        }
        if digits != 12 {
            return Err(MacError::Length { digits });
        }
        if !separators_fit(&separators) {
            return Err(MacError::Separators);
        }
        let [_, _, octets @ ..] = value.to_be_bytes();
        Self::select_mac(octets)
    }

    fn select_mac(octets: [u8; 6]) -> Result<Self, MacError> {
        match octets {
            [0, 0, 0, 0, 0, 0] => Err(MacError::Zero),
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => Err(MacError::Broadcast),
            [first, ..] if first & 0x01 != 0 => Err(MacError::Multicast),
            octets => Ok(Self(octets)),
        }
    }
}

/// Whether separators are after every two or every four digits, all of one kind; blanks only if
/// they are the only separator.
fn separators_fit(separators: &[(usize, char)]) -> bool {
    let Some(&(_, kind)) = separators.first() else {
        return true;
    };
    let places: Vec<usize> = separators.iter().map(|&(place, _)| place).collect();
    separators.iter().all(|&(_, separator)| separator == kind)
        && (places == [2, 4, 6, 8, 10] || places == [4, 8])
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
            if let Ok(address) = Eui48::select_mac(octets) {
                let spelled = address.spelled(Spelling { separator, case });
                prop_assert_eq!(Eui48::parse(&spelled), Ok(address));
            }
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
