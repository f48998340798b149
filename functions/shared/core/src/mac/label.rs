//! What the words around an address say of it.

/// What a label says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// A Bluetooth address.
    Bluetooth,
    /// The address of an adapter that exists in software only.
    Virtual,
    /// A number that is no address: of a device, a person or an order.
    OtherNumber,
    /// An address of the network itself: its broadcast address, its access point.
    Network,
}

/// Words that say it, in lower case. Those of ASCII letters count as whole words only.
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

/// Beginnings of names that Linux and Docker make up for interfaces that exist in software only.
const VIRTUAL_NAMES: [&str; 8] =
    ["veth", "br-", "virbr", "vnet", "cni0", "flannel.", "tap0", "tun0"];

/// Words that name an address of a device: behind another number's label they end what that label
/// is about.
const ADDRESS_WORDS: [&str; 6] =
    ["mac", "物理地址", "实体地址", "physical address", "ether", "hwaddr"];

/// Words that name the address of a wireless network card: behind a Bluetooth label they end what
/// that label is about.
const WIRELESS_WORDS: [&str; 5] = ["无线", "無線", "wlan", "wi-fi", "wifi"];

/// Words shortly before a label that take it back.
const NEGATIONS: [&str; 11] =
    ["不是", "不要", "请勿", "没有", "无需", "不填", "非", "not", "no", "without", "isn't"];

/// How many characters a negation reaches.
const NEGATION_REACH: usize = 9;

/// Words behind a label that take it back: `蓝牙：无`.
const ABSENCES: [&str; 8] = ["关闭", "已关闭", "没有", "不用", "不需", "off", "n/a", "disabled"];

/// Words that say nothing of the kind of an address.
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

/// What `text` says of the address behind or before it.
///
/// One mention of Bluetooth or of a virtual adapter is enough, since names of adapters have other
/// words behind it: `VMware Virtual Ethernet Adapter`. The label of another number is over with
/// that number.
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

/// Whether `text` names Bluetooth and a wireless network card: before one address the last of them
/// counts, and of several addresses it does not say which is which.
pub(super) fn names_both(text: &str) -> bool {
    let text = text.to_lowercase();
    let bluetooth = WORDS.iter().filter(|(label, _)| *label == Label::Bluetooth);
    bluetooth.flat_map(|(_, words)| *words).any(|word| last(&text, word).is_some())
        && has_any(&text, &WIRELESS_WORDS)
}

fn has_any(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| last(text, word).is_some())
}

/// The end of the last place where `word` stands in `text`, not taken back.
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

/// Whether no letter stands before a place.
fn begins(text: &str, place: usize) -> bool {
    let before = text.get(..place).and_then(|before| before.chars().next_back());
    before.is_none_or(|char| !char.is_ascii_alphabetic())
}

/// Whether no letter stands behind a place.
fn ends(text: &str, place: usize) -> bool {
    let behind = text.get(place..).and_then(|behind| behind.chars().next());
    behind.is_none_or(|char| !char.is_ascii_alphabetic())
}

/// Whether the text before a word takes it back.
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

/// Whether the text behind a word takes it back.
fn is_absent(behind: &str) -> bool {
    let behind = behind.trim_start_matches(|char: char| {
        char.is_whitespace() || matches!(char, ':' | '：' | '地' | '址' | '=')
    });
    let is_none = behind.starts_with('无') && !behind.starts_with("无线");
    is_none || ABSENCES.iter().any(|absence| behind.starts_with(absence))
}

/// Whether a text has any word: numbers of a list and punctuation are none.
pub(super) fn has_words(text: &str) -> bool {
    text.chars().any(char::is_alphabetic)
}

/// Whether a text has a word that says more than that an address follows.
pub(super) fn is_specific(text: &str) -> bool {
    let mut text = text.to_lowercase();
    for word in GENERIC_WORDS {
        text = text.replace(word, " ");
    }
    has_words(&text)
}
