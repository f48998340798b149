use proptest::prelude::*;

use super::*;
use crate::mac::{Case, Separator, Spelling};

// Addresses are of the documentation range 00-00-5E-00-53-00 to FF (RFC 9542, section 2.1.4).

/// The last octets of the documentation addresses in `text`, or what is wrong, in order.
fn found(text: &str) -> Vec<Result<u8, MacError>> {
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
fn read_of_what_a_command_printed_finds_the_devices_only() {
    let of_windows = "
Windows IP 配置

   主机名  . . . . . . . . . . . . . : DESKTOP-5E0053A

以太网适配器 以太网:

   媒体状态  . . . . . . . . . . . . : 媒体已断开连接
   描述. . . . . . . . . . . . . . . : Realtek PCIe GbE Family Controller
   物理地址. . . . . . . . . . . . . : 00-00-5E-00-53-01
   DHCP 已启用 . . . . . . . . . . . : 是

隧道适配器 Teredo Tunneling Pseudo-Interface:

   物理地址. . . . . . . . . . . . . : 00-00-00-00-00-00-00-E0

无线局域网适配器 本地连接* 1:

   描述. . . . . . . . . . . . . . . : Microsoft Wi-Fi Direct Virtual Adapter
   物理地址. . . . . . . . . . . . . : 02-00-5E-00-53-AA

无线局域网适配器 WLAN:

   描述. . . . . . . . . . . . . . . : Intel(R) Wi-Fi 6 AX201 160MHz
   物理地址. . . . . . . . . . . . . : 00-00-5E-00-53-02
   本地链接 IPv6 地址. . . . . . . . : fe80::1c2a:3b4c:5d6e:7f80%12(首选)
   IPv4 地址 . . . . . . . . . . . . : 192.0.2.23(首选)
   获得租约的时间  . . . . . . . . . : 2026年6月5日 8:12:34
   DHCPv6 IAID . . . . . . . . . . . : 117440606
   DHCPv6 客户端 DUID  . . . . . . . : 00-01-00-01-2A-3B-4C-5D-00-00-5E-00-53-01
   TCPIP 上的 NetBIOS  . . . . . . . : 已启用

以太网适配器 蓝牙网络连接:

   描述. . . . . . . . . . . . . . . : Bluetooth Device (Personal Area Network)
   物理地址. . . . . . . . . . . . . : 00-00-5E-00-53-03
";
    let getmac = r"
物理地址            传输名称
=================== ==========================================================
00-00-5E-00-53-01   \Device\Tcpip_{4D36E972-E325-11CE-BFC1-08002BE10318}
00-00-5E-00-53-02   媒体已断开连接
N/A                 硬件不存在
";
    let ip_link = "
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc mq state UP mode DEFAULT group default qlen 1000
    link/ether 00:00:5e:00:53:01 brd ff:ff:ff:ff:ff:ff
3: wlan0: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN mode DORMANT group default qlen 1000
    link/ether 00:00:5e:00:53:02 brd ff:ff:ff:ff:ff:ff permaddr 00:00:5e:00:53:02
4: docker0: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state DOWN mode DEFAULT group default
    link/ether 02:42:5e:00:53:0a brd ff:ff:ff:ff:ff:ff
5: br-3c8d5e0a7f12: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state DOWN mode DEFAULT
    link/ether 00:00:5e:00:53:0b brd ff:ff:ff:ff:ff:ff
7: vethf3a9c21@if6: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue master docker0 state UP mode DEFAULT
    link/ether 00:00:5e:00:53:0c brd ff:ff:ff:ff:ff:ff link-netnsid 0
";
    let of_macos = "
lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> mtu 16384
\tinet 127.0.0.1 netmask 0xff000000
\tinet6 ::1 prefixlen 128
en0: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500
\tether 0:0:5e:0:53:1
\tinet6 fe80::cc2:1a2b:3c4d:5e6f%en0 prefixlen 64 secured scopeid 0x6
\tinet 192.0.2.5 netmask 0xffffff00 broadcast 192.0.2.255
ap1: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500
\tether 02:00:5e:00:53:0b
awdl0: flags=8943<UP,BROADCAST,RUNNING,PROMISC,SIMPLEX,MULTICAST> mtu 1484
\tether 02:00:5e:00:53:0a
en1: flags=8822<BROADCAST,SMART,SIMPLEX,MULTICAST> mtu 1500
\tether 00:00:5e:00:53:02
";
    let arp = "
接口: 192.0.2.23 --- 0xc
  Internet 地址         物理地址              类型
  192.0.2.1             00-00-5e-00-53-01     动态
  192.0.2.40            00-00-5e-00-53-02     动态
  192.0.2.255           ff-ff-ff-ff-ff-ff     静态
  224.0.0.22            01-00-5e-00-00-16     静态
";
    let arp_of_macos = "? (192.0.2.1) at 0:0:5e:0:53:1 on en0 ifscope [ethernet]
? (192.0.2.40) at 0:0:5e:0:53:2 on en0 ifscope [ethernet]
? (224.0.0.251) at 1:0:5e:0:0:fb on en0 ifscope permanent [ethernet]";
    let phone = "关于手机
型号 MTP03CH/A
序列号 C02XL0GTJGH5
无线局域网地址 00:00:5E:00:53:01
IMEI 35 209900 176148 1
调制解调器固件 1.23.45
设备 WLAN MAC 地址
00:00:5e:00:53:02";
    let phone_in_english = "Name iPhone\nCapacity 256 GB\nWi-Fi Address 00:00:5E:00:53:01
Wi-Fi MAC address\n00:00:5e:00:53:02\nICCID 89860318000000000000\nSEID 04ab5e0053010203040506070809";
    for printed in
        [of_windows, getmac, ip_link, of_macos, arp, arp_of_macos, phone, phone_in_english]
    {
        assert_eq!(found(printed), [Ok(1), Ok(2)], "{printed}");
    }
}

#[test]
fn read_of_command_output_with_bluetooth_only_says_so() {
    let printed = "以太网适配器 蓝牙网络连接:\n   物理地址. . . . . . : 00-00-5E-00-53-03";
    assert_eq!(found(printed), [Err(MacError::Bluetooth)]);
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
