//! Properties of texts that are generated.

use proptest::prelude::*;

use super::*;
use crate::characters::says_nothing;
use crate::mac::{Case, Separator, Spelling};

/// Texts without a hexadecimal attempt, and without a word that labels an address as something
/// else.
fn words() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[ghjkmnpqrtuvwxyGHJKMNPQRTUVWXY]{1,6}",
        "[一-龥]{1,6}",
        "[，。、；：！？（）“”《》\\[\\]()<>'\"`~@#*+=|/\\\\ \t\n]{1,3}",
        "[①-⑳]",
        prop::sample::select(vec![
            " iPhone 15 ",
            "（工号10086）",
            " 13800138000 ",
            "2026年6月5日 08:12:34 ",
            " v17.5.1 ",
            "第3台：",
            " MTP03CH/A ",
            " 192.0.2.1 ",
            " fe80::1 ",
            "我的电脑",
            " Wi-Fi：",
            "3楼",
            " 0571-88886666 ",
            "1. ",
            "- ",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(word, 0..6)
        .prop_map(|words| words.concat())
        .prop_filter("a label changes what is found", |text| super::label(text).is_none())
}

fn spelling() -> impl Strategy<Value = Spelling> {
    let separator = prop_oneof![
        Just(Separator::Colon),
        Just(Separator::Dash),
        Just(Separator::DotFour),
        Just(Separator::DashFour),
        Just(Separator::None),
    ];
    let case = prop_oneof![Just(Case::Lower), Just(Case::Upper)];
    (separator, case).prop_map(|(separator, case)| Spelling { separator, case })
}

proptest! {
    #[test]
    fn read_of_any_text_returns(text: String) {
        let _ = read(&text, 100);
        let _ = says_nothing(&text);
    }

    /// `5e` keeps the digits from being decimal ones only, which are refused in three of the
    /// spellings.
    #[test]
    fn g19_a_good_address_in_any_text_is_found_once(
        before in words(), behind in words(), last: u8, spelling in spelling()
    ) {
        let device = Eui48::parse(&format!("00005e0053{last:02x}")).unwrap();
        // Letters that touch digits without separators may be a serial number's.
        let text = format!("{before} {}，{behind}", device.spelled(spelling));
        let devices: Vec<_> = read(&text, 100).into_iter().map(|found| found.device).collect();
        prop_assert_eq!(devices, [Ok(device)]);
    }

    /// Addresses that were mistyped, joined and mixed with other characters.
    #[test]
    fn g19_no_device_is_found_whose_digits_do_not_stand_in_the_text(
        addresses in prop::collection::vec((any::<[u8; 6]>(), spelling()), 1..4),
        joints in prop::collection::vec("[ ,;:.-]{0,2}|[一-龥]|[a-zO0-9]", 4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), "[0-9a-fOlI:. -]?"), 0..4),
    ) {
        let mut text = joints[0].clone();
        for ((octets, spelling), joint) in addresses.into_iter().zip(&joints[1..]) {
            text.push_str(&Eui48(octets).spelled(spelling));
            text.push_str(joint);
        }
        let mut chars: Vec<String> = text.chars().map(String::from).collect();
        for (place, change) in changes {
            *place.get_mut(&mut chars) = change;
        }
        let text = chars.concat();
        let digits = |text: &str| text.replace([':', '-', '.', ' ', ';'], "").to_lowercase();
        for found in read(&text, 100) {
            let Ok(device) = found.device else { continue };
            let behind: String = text.chars().skip(found.position - 1).collect();
            // `arp` leaves leading zeros out.
            let short = device.octets().map(|octet| format!("{octet:x}")).join(":");
            let stands = digits(&behind).starts_with(&digits(&device.to_string()))
                || behind.to_lowercase().starts_with(&short);
            // No digits touch it, by the separator of its pairs.
            let pairs = device.to_string().replace(':', " ");
            if behind.to_lowercase().starts_with(&pairs) {
                let rest = &behind[pairs.len()..];
                let before: String = text.chars().take(found.position - 1).collect();
                let is_pair = |text: &str| {
                    text.len() == 3 && text.chars().filter(char::is_ascii_hexdigit).count() == 2
                };
                let next = rest.get(..3).is_some_and(|it| it.starts_with(' ') && is_pair(it));
                let last = before.get(before.len().wrapping_sub(3)..);
                let last = last.is_some_and(|it| it.ends_with(' ') && is_pair(it));
                let ends = rest.chars().nth(3).is_none_or(|it| !it.is_alphanumeric());
                let begins = before.chars().rev().nth(3).is_none_or(|it| !it.is_alphanumeric());
                let is_within = next && ends || last && begins;
                prop_assert!(!is_within, "{} within {:?}", device, text);
            }
            prop_assert!(stands, "{} does not stand in {:?} at {}", device, text, found.position);
        }
    }
}
