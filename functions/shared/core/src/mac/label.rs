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

/// Words that name an address of a device: behind another number's label they end what that label is about.
const ADDRESS_WORDS: [&str; 6] =
    ["mac", "物理地址", "实体地址", "physical address", "ether", "hwaddr"];

/// Words in front of a label that take it back.
const NEGATIONS: [&str; 5] = ["不是", "不要", "非", "not", "no"];

/// What `text` says of the address behind or before it.
///
/// One mention of Bluetooth or of a virtual adapter is enough, since names of adapters have other words behind it:
/// `VMware Virtual Ethernet Adapter`.
pub(super) fn label(text: &str) -> Option<Label> {
    let text = text.to_lowercase();
    let last_address_word = ADDRESS_WORDS.iter().filter_map(|word| last(&text, word)).max();
    WORDS.iter().find_map(|(label, words)| {
        let found = words.iter().filter_map(|word| last(&text, word)).max()?;
        let is_over = *label == Label::OtherNumber && last_address_word > Some(found);
        (!is_over).then_some(*label)
    })
}

/// Where `word` stands in `text` for the last time, not negated.
fn last(text: &str, word: &str) -> Option<usize> {
    let is_ascii = word.is_ascii();
    let found = text.rmatch_indices(word).map(|(place, _)| place);
    found.into_iter().find(|&place| {
        let (before, behind) = (&text[..place], &text[place + word.len()..]);
        let ends = |char: Option<char>| char.is_none_or(|char| !char.is_ascii_alphabetic());
        let is_whole =
            !is_ascii || (ends(before.chars().next_back()) && ends(behind.chars().next()));
        let before = before.trim_end();
        is_whole && !NEGATIONS.iter().any(|negation| before.ends_with(negation))
    })
}

/// Whether a text has any word: numbers of a list and punctuation are none.
pub(super) fn has_words(text: &str) -> bool {
    text.chars().any(char::is_alphabetic)
}
