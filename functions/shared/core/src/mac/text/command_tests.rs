//! What commands print, as people paste it.

use super::*;
use tests::found;

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
