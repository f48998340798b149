//! The labels around an address: the words that name its kind.

/// The kind that a label names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// A Bluetooth address.
    Bluetooth,
    /// The address of an adapter that exists in software only.
    Virtual,
    /// A number that is not an address: of a device, a person or an order.
    OtherNumber,
    /// An address of the network itself: its broadcast address, its access point.
    Network,
}

/// The words of each label, in lower case. ASCII words count as whole words only.
const WORDS: [(Label, &[&str]); 4] = [
    (
        Label::Bluetooth,
        &[
            "蓝牙",
            "藍牙",
            "藍芽",
            "蓝芽",
            "bt",
            "btmac",
            "btaddr",
            "bd_addr",
            "bdaddr",
            "bd addr",
            "bd address",
            "ble",
            "bluetooth",
            "bluetoothmac",
            "bluetoothaddress",
            "blue tooth",
        ],
    ),
    (
        Label::Virtual,
        &[
            "虚拟网",
            "虚拟机",
            "虚拟适配器",
            "虚拟以太网",
            "虚拟交换机",
            "虛擬網",
            "虛擬機",
            "隧道",
            "环回",
            "本地连接*",
            "virtual",
            "vmware",
            "virtualbox",
            "vbox",
            "vboxnet",
            "vmnet",
            "vmnic",
            "parallels",
            "hyper-v",
            "vethernet",
            "docker",
            "tunnel",
            "teredo",
            "isatap",
            "loopback",
            "awdl",
            "llw",
            "utun",
            "wi-fi direct",
            "wsl",
            "vnic",
            "tap-windows",
        ],
    ),
    (
        Label::OtherNumber,
        &[
            "序列号",
            "序列號",
            "序號",
            "设备号",
            "手机号",
            "电话",
            "座机",
            "固话",
            "联系方式",
            "订单",
            "单号",
            "工号",
            "学号",
            "卡号",
            "编号",
            "身份证",
            "资产号",
            "保修",
            "sn",
            "s/n",
            "serial",
            "imei",
            "imsi",
            "iccid",
            "meid",
            "eid",
            "seid",
            "duid",
            "iaid",
            "uuid",
            "guid",
            "tel",
            "order",
            "asset",
            "student",
            "employee",
        ],
    ),
    (Label::Network, &["brd", "bssid"]),
];

/// Prefixes of names that Linux and Docker give to virtual interfaces.
const VIRTUAL_NAMES: [&str; 8] =
    ["veth", "br-", "virbr", "vnet", "cni0", "flannel.", "tap0", "tun0"];

/// Words that name the address of a device: after the label of another number they end that label.
const ADDRESS_WORDS: [&str; 6] =
    ["mac", "物理地址", "实体地址", "physical address", "ether", "hwaddr"];

/// Words that name the address of a wireless network card: after a Bluetooth label they end that
/// label.
const WIRELESS_WORDS: [&str; 5] = ["无线", "無線", "wlan", "wi-fi", "wifi"];

/// Words shortly before a label that negate it.
const NEGATIONS: [&str; 11] =
    ["不是", "不要", "请勿", "没有", "无需", "不填", "非", "not", "no", "without", "isn't"];

/// The maximum distance from a negation to its label, in characters.
const NEGATION_REACH: usize = 9;

/// Words after a label that negate it: `蓝牙：无`.
const ABSENCES: [&str; 8] = ["关闭", "已关闭", "没有", "不用", "不需", "off", "n/a", "disabled"];

/// Words that do not name the kind of an address.
const GENERIC_WORDS: [&str; 12] = [
    "macaddress",
    "mac",
    "address",
    "addr",
    "ethernet",
    "physical",
    "hardware",
    "地址",
    "位址",
    "物理",
    "实体",
    "實體",
];

/// The kind that `text` names for the address after or before it.
///
/// One mention of Bluetooth or of a virtual adapter is enough, since names of adapters continue
/// with other words: `VMware Virtual Ethernet Adapter`. The label of another number applies to that
/// number only.
pub(super) fn label(text: &str) -> Option<Label> {
    let text = text.to_lowercase();
    if VIRTUAL_NAMES.iter().any(|name| places(&text, name).any(|(place, _)| begins(&text, place))) {
        return Some(Label::Virtual);
    }
    WORDS.iter().find_map(|(label, words)| {
        let end = words.iter().filter_map(|word| last(&text, word)).max()?;
        let behind = text.get(end..).unwrap_or_default();
        let is_over = match label {
            Label::Bluetooth => has_any(behind, &WIRELESS_WORDS),
            Label::OtherNumber => {
                has_any(behind, &ADDRESS_WORDS)
                    || behind.contains(|char: char| char.is_ascii_digit())
            }
            Label::Virtual | Label::Network => false,
        };
        (!is_over).then_some(*label)
    })
}

/// Whether `text` names Bluetooth and a wireless network card: the last one applies to one address,
/// but for several addresses it is ambiguous.
pub(super) fn names_both(text: &str) -> bool {
    let text = text.to_lowercase();
    let bluetooth = WORDS.iter().filter(|(label, _)| *label == Label::Bluetooth);
    bluetooth.flat_map(|(_, words)| *words).any(|word| last(&text, word).is_some())
        && has_any(&text, &WIRELESS_WORDS)
}

fn has_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| last(text, word).is_some())
}

/// The end of the last occurrence of `word` in `text` that is not negated.
fn last(text: &str, word: &str) -> Option<usize> {
    let is_ascii = word.is_ascii();
    let stands = |&(place, end): &(usize, usize)| {
        let is_whole = !is_ascii || (begins(text, place) && ends(text, end));
        let (before, behind) = (text.get(..place), text.get(end..));
        is_whole
            && !is_negated(before.unwrap_or_default())
            && !is_absent(behind.unwrap_or_default())
    };
    places(text, word).filter(stands).map(|(_, end)| end).last()
}

fn places<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    text.match_indices(word).map(|(place, word)| (place, place + word.len()))
}

/// Whether no letter is before a position.
fn begins(text: &str, place: usize) -> bool {
    let before = text.get(..place).and_then(|before| before.chars().next_back());
    before.is_none_or(|char| !char.is_ascii_alphabetic())
}

/// Whether no letter is after a position.
fn ends(text: &str, place: usize) -> bool {
    let behind = text.get(place..).and_then(|behind| behind.chars().next());
    behind.is_none_or(|char| !char.is_ascii_alphabetic())
}

/// Whether the text before a word negates it.
fn is_negated(before: &str) -> bool {
    let is_end = |char: &char| matches!(char, ',' | '，' | '。' | ';' | '；' | '\n' | ':' | '：');
    let near = before.chars().rev().take_while(|char| !is_end(char)).take(NEGATION_REACH);
    let start = before.len() - near.map(char::len_utf8).sum::<usize>();
    let near = before.get(start..).unwrap_or_default();
    let negates = |negation: &&str| {
        places(near, negation).any(|(place, end)| {
            !negation.is_ascii() || (begins(before, start + place) && ends(near, end))
        })
    };
    NEGATIONS.iter().any(negates) || near.ends_with('无')
}

/// Whether the text after a word negates it.
fn is_absent(behind: &str) -> bool {
    let behind = behind.trim_start_matches(|char: char| {
        char.is_whitespace() || matches!(char, ':' | '：' | '地' | '址' | '=')
    });
    let is_none = behind.starts_with('无') && !behind.starts_with("无线");
    is_none || ABSENCES.iter().any(|absence| behind.starts_with(absence))
}

/// Whether a text has a word; list numbers and punctuation are not words.
pub(super) fn has_words(text: &str) -> bool {
    text.chars().any(char::is_alphabetic)
}

/// Whether a text has a word that is not generic.
pub(super) fn is_specific(text: &str) -> bool {
    let mut text = text.to_lowercase();
    for word in GENERIC_WORDS {
        text = text.replace(word, " ");
    }
    has_words(&text)
}
