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
    /// The broadcast address of a network, as `ip link` prints it.
    Broadcast,
}

/// Words that say it, in lower case. Those of ASCII letters count as whole words only.
const WORDS: [(Label, &[&str]); 4] = [
    (Label::Bluetooth, &["蓝牙", "藍牙", "bluetooth", "bt"]),
    (
        Label::Virtual,
        &[
            "虚拟",
            "虛擬",
            "隧道",
            "环回",
            "本地连接*",
            "virtual",
            "vmware",
            "virtualbox",
            "vbox",
            "vboxnet",
            "vmnet",
            "hyper-v",
            "vethernet",
            "docker",
            "veth",
            "virbr",
            "tap",
            "tun",
            "utun",
            "tunnel",
            "teredo",
            "isatap",
            "loopback",
            "awdl",
            "llw",
            "wi-fi direct",
            "wsl",
        ],
    ),
    (
        Label::OtherNumber,
        &[
            "序列号",
            "序號",
            "设备号",
            "手机号",
            "电话",
            "订单",
            "单号",
            "工号",
            "编号",
            "身份证",
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
        ],
    ),
    (Label::Broadcast, &["brd"]),
];

/// Beginnings of names that Linux and Docker make up for interfaces that exist in software only.
const VIRTUAL_NAMES: [&str; 2] = ["veth", "br-"];

/// Words that name an address of a device: behind another number's label they end what that label is about.
const ADDRESS_WORDS: [&str; 6] =
    ["mac", "物理地址", "实体地址", "physical address", "ether", "hwaddr"];

/// Words in front of a label that take it back.
const NEGATIONS: [&str; 7] = ["不是", "不要", "非", "not", "not the", "not a", "no"];

/// What `text` says of the address behind or before it.
///
/// One mention of Bluetooth or of a virtual adapter is enough, since names of adapters have other words behind it:
/// `VMware Virtual Ethernet Adapter`. The label of another number is over with that number.
pub(super) fn label(text: &str) -> Option<Label> {
    let text = text.to_lowercase();
    if VIRTUAL_NAMES.iter().any(|name| places(&text, name).any(|(place, _)| begins(&text, place))) {
        return Some(Label::Virtual);
    }
    WORDS.iter().find_map(|(label, words)| {
        let end = words.iter().filter_map(|word| last(&text, word)).max()?;
        let is_over = *label == Label::OtherNumber && is_over(&text, end);
        (!is_over).then_some(*label)
    })
}

/// Whether a number, or a word for an address, stands behind the label of another number that ends at `end`.
fn is_over(text: &str, end: usize) -> bool {
    let behind = text.get(end..).unwrap_or_default();
    behind.contains(|char: char| char.is_ascii_digit())
        || ADDRESS_WORDS.iter().any(|word| last(behind, word).is_some())
}

/// The end of the last place where `word` stands in `text`, not negated.
fn last(text: &str, word: &str) -> Option<usize> {
    let is_ascii = word.is_ascii();
    let mut found = None;
    for (place, end) in places(text, word) {
        let is_whole = !is_ascii || (begins(text, place) && ends(text, end));
        if is_whole && !is_negated(text.get(..place).unwrap_or_default()) {
            found = Some(end);
        }
    }
    found
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
    let before = before.trim_end();
    NEGATIONS.iter().any(|negation| {
        let place = before.len().saturating_sub(negation.len());
        before.ends_with(negation) && (!negation.is_ascii() || begins(before, place))
    })
}

/// Whether a text has any word: numbers of a list and punctuation are none.
pub(super) fn has_words(text: &str) -> bool {
    text.chars().any(char::is_alphabetic)
}
