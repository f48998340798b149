use super::*;
use crate::characters::says_nothing;

// Addresses are of the documentation range 00-00-5E-00-53-00 to FF (RFC 9542, section 2.1.4).

/// The last octets of the documentation addresses in `text`, or what is wrong, in order.
pub(super) fn found(text: &str) -> Vec<Result<u8, MacError>> {
    let found = read(text, 100).into_iter();
    found.map(|found| found.device.map(|device| device.octets()[5])).collect()
}

fn look_alike(letter: char, digit: char, position: usize) -> MacError {
    MacError::LookAlike { letter, digit, position }
}

#[test]
fn read_of_one_address_finds_it_however_it_is_written() {
    for typed in [
        "00:00:5e:00:53:01",
        "00-00-5E-00-53-01",
        "0000.5e00.5301",
        "0000-5e00-5301",
        "00005E005301",
        "00 00 5e 00 53 01",
        "0000 5e00 5301",
        "0000:5e00:5301",
        "00005e:005301",
        "００：００：５Ｅ：００：５３：０１",
        "００－００－５ｅ－００－５３－０１",
        "0000．5e00．5301",
        "00–00–5e–00–53–01",
        "\u{200b}00:00:5e:\u{feff}00:53:01\u{a0}",
        "0x00:00:5e:00:53:01",
        "00: 00: 5e: 00: 53: 01",
    ] {
        assert_eq!(found(typed), [Ok(1)], "{typed:?}");
    }
}

/// The groups of one address and of the next look the same between blanks: none may begin within
/// another.
#[test]
fn g19_read_of_more_pairs_than_an_address_has_finds_no_device() {
    for typed in [
        "3c 7d 0a 1b 2c 4c 3c 7d 0a 1b 2o",
        "3c 7d 0a 1b 2c 4c 3c 7d 0a 1b 2",
        "3c 7d 0a 1b 2c 3c 7d 0a 1b 2c 4",
        "3c7d 0a1b 2c4c 3c7d 0a1b",
        "3c 7d 0a 1b 2c 4c 3c 7d 0a 1b 2c",
        "5c 3c 7c 0a 1b 2c 4d 5e",
        "3c 7c 0c ff fe 1b 2c 4c",
        "001a 2c3c 4d5e 001a 2c3c",
        "MAC 3c 7d 0a 1b 2c 4c 3c 7d 0a 1b 2c",
    ] {
        assert_eq!(found(typed).into_iter().flatten().count(), 0, "{typed}");
    }
    assert_eq!(found("iPhone 15: 00 00 5e 00 53 01"), [Ok(1)]);
}

#[test]
fn read_of_two_labels_before_two_addresses_guesses_neither() {
    let unclear = [Err(MacError::Unclear), Err(MacError::Unclear)];
    for typed in [
        "Wi-Fi 和蓝牙 00:00:5e:00:53:01 / 00:00:5e:00:53:02",
        "WLAN/蓝牙：00:00:5e:00:53:01 / 00:00:5e:00:53:02",
        "无线和蓝牙分别是00:00:5e:00:53:01和00:00:5e:00:53:02",
        "蓝牙和无线分别是00:00:5e:00:53:01和00:00:5e:00:53:02",
        "蓝牙 MAC\tWLAN MAC\n00:00:5e:00:53:01\t00:00:5e:00:53:02",
        "WLAN MAC\t蓝牙 MAC\n00:00:5e:00:53:01  00:00:5e:00:53:02",
    ] {
        assert_eq!(found(typed), unclear, "{typed}");
    }
    for typed in [
        "Wi-Fi：00:00:5e:00:53:01 蓝牙：00:00:5e:00:53:02",
        "无线 00:00:5e:00:53:01，蓝牙 00:00:5e:00:53:02",
    ] {
        assert_eq!(found(typed), [Ok(1), Err(MacError::Bluetooth)], "{typed}");
    }
}

#[test]
fn read_of_words_around_an_address_finds_the_address() {
    for typed in [
        "MAC：00:00:5e:00:53:01",
        "MAC00005e005301",
        "mac00:00:5e:00:53:01",
        "iPhone00:00:5e:00:53:01",
        "00:00:5e:00:53:01iPhone",
        "mac 00-00-5e-00-53-01",
        "MAC地址: 00005e005301",
        "ＭＡＣ地址：0000-5e00-5301",
        "WLAN: MAC address = 00 00 5e 00 53 01",
        "ID：00:00:5e:00:53:01",
        "Face: 00:00:5e:00:53:01",
        "1: 00:00:5e:00:53:01",
        "1) 00-00-5e-00-53-01",
        "(1)00-00-5e-00-53-01",
        "【笔记本】00:00:5e:00:53:01【办公】",
        "《00:00:5e:00:53:01》；",
        "'00:00:5e:00:53:01'",
        "\"00:00:5e:00:53:01\",",
        "<00:00:5e:00:53:01>",
        "地址是00:00:5e:00:53:01，谢谢",
        "00:00:5e:00:53:01-2号楼",
        "iPhone 15 00:00:5e:00:53:01 iOS 17.5.1",
        "张三的电脑（工号 10086）：00:00:5e:00:53:01，电话 13800138000",
        "电话 0571-8888-8888，00:00:5e:00:53:01",
        "IP 192.0.2.10 MAC 00:00:5e:00:53:01",
        "IP: 192.0.2.10:8080; 2001:db8::1; fe80::200:5eff:fe00:5301%12 00:00:5e:00:53:01",
        "2026-06-05 08:12:34 登记 00:00:5e:00:53:01",
        "UUID 4D36E972-E325-11CE-BFC1-08002BE10318 00:00:5e:00:53:01",
        "IMEI 86 012345 678901 2\nWLAN 00:00:5e:00:53:01",
        "SN 00005e0053ff MAC 00005e005301",
        "这不是蓝牙地址 00:00:5e:00:53:01",
        "not the bluetooth address 00:00:5e:00:53:01",
        "张三 工号10086 00005e005301",
        "电话13800138000 0000-5e00-5301",
        "SN: C02XL0GTJGH5 00005e005301",
        "not sure whether the Bluetooth one counts\nWLAN: 00:00:5e:00:53:01",
        "mac-00005e005301",
        "| 手机 | 00:00:5e:00:53:01 | 张三 |",
        "设备,地址\n手机,00:00:5e:00:53:01",
        "00:00:5e:00:53:01 00-00-5E-00-53-01",
    ] {
        assert_eq!(found(typed), [Ok(1)], "{typed:?}");
    }
}

#[test]
fn read_of_a_list_finds_each_address_once() {
    for typed in [
        "00:00:5e:00:53:01,00:00:5e:00:53:02",
        "00:00:5e:00:53:01\n00-00-5E-00-53-02\r\n0000.5e00.5301",
        "00005e005301、00005e005302；0000-5e00-5301",
        "00:00:5e:00:53:01;00:00:5e:00:53:02",
        "00:00:5e:00:53:01.00:00:5e:00:53:02",
        "00005e005301-00005e005302",
        "MAC: 00:00:5e:00:53:01 / WiFi：00:00:5e:00:53:02",
        "00 00 5e 00 53 01 ， 00 00 5e 00 53 02",
        "- 00:00:5e:00:53:01\n- 00:00:5e:00:53:02",
        "* 00:00:5e:00:53:01 手机\n* 00:00:5e:00:53:02 电脑",
        "00:00:5e:00:53:01(手机)00:00:5e:00:53:02(电脑)",
    ] {
        assert_eq!(found(typed), [Ok(1), Ok(2)], "{typed:?}");
    }
}

#[test]
fn read_of_an_attempt_refuses_it_with_its_position() {
    let length = |digits| MacError::Length { digits };
    for (typed, position, error) in [
        ("OO:00:5e:00:53:01", 1, look_alike('O', '0', 1)),
        ("00:00:5e:00:53:0l", 1, look_alike('l', '1', 17)),
        ("手机 0000-5e00-53oI", 4, look_alike('o', '0', 16)),
        ("00005e00530Ｉ", 1, look_alike('I', '1', 12)),
        ("00:00:5е:00:53:01", 1, look_alike('е', 'e', 8)),
        ("00:00:5g:00:53:01", 1, MacError::Stray { position: 8 }),
        ("MAC: 00:00:5e:00:53", 6, length(10)),
        ("00:00:5e:00:53:01:02", 1, length(14)),
        ("00:00:5e:00:53:011", 1, length(13)),
        ("1:00:00:5e:00:53:01", 1, length(13)),
        ("00:00:5e:00:53:01:00:00:5e:00:53:02", 1, length(24)),
        ("00 00 5e 00 53 01 00 00 5e 00 53 02", 1, length(24)),
        ("00005e00530", 1, length(11)),
        ("00:00:5e:00:53:1", 1, length(11)),
        ("0:00:5e:00:53:01", 1, length(11)),
        ("00005e0053011", 1, length(13)),
        ("0000.5e00.530", 1, length(11)),
        ("00005e-00530", 1, length(11)),
        ("00:00-5e:00:53:01", 1, MacError::Separators),
        ("000:05e:00:53:01", 1, MacError::Separators),
        ("0000-5300-5301", 1, MacError::Decimal),
        ("000053-005301", 1, MacError::Decimal),
        ("00 00 53 00 53 01", 1, MacError::Decimal),
        ("00:00:00:00:00:00", 1, MacError::Zero),
        ("ff-ff-ff-ff-ff-ff", 1, MacError::Broadcast),
        ("01:00:5e:00:53:01", 1, MacError::Multicast),
        ("bluetooth 00:00:5e:00:53:01", 11, MacError::Bluetooth),
        ("00:00:5e:00:53:01（蓝牙）", 1, MacError::Bluetooth),
        ("蓝牙地址\n00:00:5e:00:53:01", 6, MacError::Bluetooth),
        ("VMware Virtual Ethernet Adapter 00:00:5e:00:53:01", 33, MacError::Virtual),
        ("蓝牙，00:00:5e:00:53:01", 4, MacError::Bluetooth),
        ("| 蓝牙 | 00:00:5e:00:53:01 |", 8, MacError::Bluetooth),
        ("00:00:5e:00:53:01, Bluetooth", 1, MacError::Bluetooth),
        ("\"蓝牙网络连接\",\"Bluetooth Device\",\"00-00-5E-00-53-01\"", 30, MacError::Bluetooth),
        ("OPPO Reno 蓝牙 00:00:5e:00:53:01", 14, MacError::Bluetooth),
        ("PC-00005e005301", 4, MacError::Joined),
        ("00:00:5e:00:53:01:02:03", 1, length(16)),
        ("00:00:5e::00:53:01", 1, MacError::Separators),
        ("00:00:5e:ff:fe:00:53:01", 1, length(16)),
        ("10:00:00:5e:00:53:01", 1, length(14)),
    ] {
        let expected = Found { position, device: Err(error) };
        assert_eq!(read(typed, 100), [expected], "{typed:?}");
    }
}

/// The last octet is 2 for a device, and any other for what is none.
#[test]
fn read_of_labels_tells_devices_from_what_is_none() {
    let bluetooth = Err(MacError::Bluetooth);
    let not_a_device = Err(MacError::Virtual);
    for (typed, expected) in [
        ("虚拟网卡，00:00:5e:00:53:04", vec![not_a_device.clone()]),
        ("无线，00:00:5e:00:53:02，蓝牙，00:00:5e:00:53:04", vec![Ok(2), bluetooth.clone()]),
        ("张三 00:00:5e:00:53:04 蓝牙", vec![bluetooth.clone()]),
        ("MAC:00:00:5e:00:53:04/蓝牙", vec![bluetooth.clone()]),
        ("地址 00:00:5e:00:53:04 - Bluetooth", vec![bluetooth.clone()]),
        ("【无线】00:00:5e:00:53:02【蓝牙】00:00:5e:00:53:04", vec![Ok(2), bluetooth.clone()]),
        ("[WiFi] 00:00:5e:00:53:02 [BT] 00:00:5e:00:53:04", vec![Ok(2), bluetooth.clone()]),
        ("蓝牙\nMAC 地址 00:00:5e:00:53:04", vec![bluetooth.clone()]),
        ("Bluetooth\nAddress: 00:00:5e:00:53:04", vec![bluetooth.clone()]),
        (
            "无线：\nMAC：00:00:5e:00:53:02\n蓝牙：\nMAC：00:00:5e:00:53:04",
            vec![Ok(2), bluetooth.clone()],
        ),
        ("Arduino Bluetooth 00:00:5e:00:53:04", vec![bluetooth.clone()]),
        ("BTMAC:00:00:5e:00:53:04", vec![bluetooth.clone()]),
        ("BD Address: 00:00:5e:00:53:04", vec![bluetooth.clone()]),
        ("藍芽 00:00:5e:00:53:04", vec![bluetooth.clone()]),
        ("序列号\nA0B1C2D3E4F5\n无线局域网地址\n00:00:5e:00:53:02", vec![Ok(2)]),
        ("BSSID : 00:00:5e:00:53:06\n物理地址 : 00:00:5e:00:53:02", vec![Ok(2)]),
        ("请勿填写蓝牙地址：00:00:5e:00:53:02", vec![Ok(2)]),
        ("蓝牙：无 无线：00:00:5e:00:53:02", vec![Ok(2)]),
        ("Bluetooth: Off\n00:00:5e:00:53:02", vec![Ok(2)]),
        ("无线地址（不要填蓝牙和虚拟网卡）：00:00:5e:00:53:02", vec![Ok(2)]),
        ("虚拟现实实验室 张三 00:00:5e:00:53:02", vec![Ok(2)]),
        ("Tap to copy\n00:00:5e:00:53:02", vec![Ok(2)]),
        ("学号 202101234567 00:00:5e:00:53:02", vec![Ok(2)]),
        ("SO2026060501 00:00:5e:00:53:02", vec![Ok(2)]),
        ("without bluetooth 00:00:5e:00:53:02", vec![Ok(2)]),
        ("SN：ABC，00005e005302", vec![Ok(2)]),
        ("00:00:5e:00:53:02，无线，00:00:5e:00:53:04，蓝牙", vec![Ok(2), bluetooth.clone()]),
        (
            r#"[{"type":"wifi","mac":"00:00:5e:00:53:02"},{"type":"bluetooth","mac":"00:00:5e:00:53:04"}]"#,
            vec![Ok(2), bluetooth.clone()],
        ),
        (
            "Hardware Port: Wi-Fi\nDevice: en0\nEthernet Address: 00:00:5e:00:53:02\n\n\
          Hardware Port: Bluetooth PAN\nDevice: en5\nEthernet Address: 00:00:5e:00:53:04",
            vec![Ok(2)],
        ),
    ] {
        assert_eq!(found(typed), expected, "{typed:?}");
    }
}

#[test]
fn read_of_numbers_around_an_address_finds_it() {
    for typed in [
        "设备1：00:00:5e:00:53:01",
        "设备1:00:00:5e:00:53:01",
        "1：00:00:5e:00:53:01",
        "301：00:00:5e:00:53:01",
        "iPhone 15：00:00:5e:00:53:01",
        "Windows 11: 00:00:5e:00:53:01",
        "192.0.2.15：00:00:5e:00:53:01",
        "设备A：00:00:5e:00:53:01",
        "C:00-00-5e-00-53-01",
        "2F-00:00:5e:00:53:01",
        "00:00:5e:00:53:01-A座",
        "工号1001：00-00-5e-00-53-01",
        "20260605：00:00:5e:00:53:01",
        "设备1：00 00 5e 00 53 01",
        "192.0.2.15：00-00-5E-00-53-01",
        "10:30 00 00 5e 00 53 01",
        "2026-06-05 00 00 5e 00 53 01",
        "08 10 12 14 16 00-00-5E-00-53-01",
        "00:00:5e:00:53:01Dell",
        "00005e005301 工号1001",
        "3-306 08:30-12:00;13:30-18:00 00:00:5e:00:53:01",
        "4.18.0-372.9.1.el8 00:00:5e:00:53:01",
    ] {
        assert_eq!(found(typed), [Ok(1)], "{typed:?}");
    }
    assert_eq!(found("设备1：00:00:5e:00:53:01\n设备2：00:00:5e:00:53:02"), [Ok(1), Ok(2)]);
}

#[test]
fn read_of_an_attempt_leaves_the_addresses_beside_it() {
    assert_eq!(
        found("00:00:5e:00:53:0O, 00:00:5e:00:53:02，我的电脑 00005e00530"),
        [Err(look_alike('O', '0', 17)), Ok(2), Err(MacError::Length { digits: 11 })]
    );
    assert_eq!(
        found("00:00:5e:00:53:01, 蓝牙 00:00:5e:00:53:02"),
        [Ok(1), Err(MacError::Bluetooth)]
    );
    assert_eq!(
        found("蓝牙\n00:00:5e:00:53:02\n无线局域网地址\n00:00:5e:00:53:01"),
        [Err(MacError::Bluetooth), Ok(1)]
    );
}

#[test]
fn read_of_other_words_finds_nothing() {
    for typed in [
        "请联系管理员",
        "hunter2-my-password",
        "192.0.2.1 255.255.255.0 192.0.2.1:443",
        "fe80::5eff:fe00:5301",
        "2001:0db8:0000:0000:0000:ff00:0042:8329",
        "00::5e:0:53:1",
        "13800138000 138-0013-8000",
        "Wi-Fi： Wi-Fi： 13800138000",
        "Wi-Fi： Wi-Fi：2026年6月5日",
        "Wi-Fi： Wi-Fi： 0571-88886666",
        "2026-06-05 08:12:34, 2026-06-05-08-12-34, 17.5.1, 1.3.6.1.4.1.9.9.13",
        "{4D36E972-E325-11CE-BFC1-08002BE10318}",
        "d41d8cd98f00b204e9800998ecf8427e deadbeef",
        "PF00005e005301",
        "订单号 202506050002",
        "SN: 00005e005301",
        "dead beef cafe",
        "①②③",
    ] {
        assert_eq!(found(typed), [], "{typed:?}");
    }
}

#[test]
fn says_nothing_knows_the_words_for_an_empty_field() {
    for typed in ["无", "N/A", "-", "—", "暂无。", " none ", "/", "（无）", ""] {
        assert!(says_nothing(typed), "{typed:?}");
    }
    for typed in ["无线", "请联系管理员", "00:00:5e:00:53:01", "no MAC"] {
        assert!(!says_nothing(typed), "{typed:?}");
    }
}

#[test]
fn read_ends_after_as_many_as_are_asked_for() {
    let addresses: Vec<_> = (0..100).map(|n| format!("00:00:5e:00:53:{n:02x}")).collect();
    let text = addresses.join(",");
    assert_eq!(read(&text, 7).len(), 7);
}
