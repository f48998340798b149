//! Every kind of subject, and one that only tests have: what all kinds keep to, and what each
//! reads.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says by a panic that something is not as it should be"
)]

use greenlight_core::ledger::EffectKey;
use greenlight_core::subject::{
    EMAIL, Found, IP, KINDS, PERSON, Subject, SubjectKind, TEXT, key_parts,
};
use greenlight_testkit::subject::BADGE;

fn kinds() -> impl Iterator<Item = &'static dyn SubjectKind> {
    KINDS.iter().copied().chain([&BADGE as &dyn SubjectKind])
}

fn values(found: Vec<Found>) -> Vec<(usize, Result<String, String>)> {
    found.into_iter().map(|it| (it.position, it.value.map_err(|error| error.text))).collect()
}

#[test]
fn every_kind_keeps_to_what_the_others_do() {
    for kind in kinds() {
        let (name, example) = (kind.name(), kind.example());
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{name}");
        assert_eq!(kinds().filter(|other| other.name() == name).count(), 1, "{name}");
        assert_eq!(kind.parse(example).as_deref(), Ok(example), "{name}");
        assert_eq!(kind.parse(&format!(" {example} ")).as_deref(), Ok(example), "{name}");
        assert!(kind.parse("").is_err() && kind.parse("a\u{7}b c").is_err(), "{name}");

        let one = |position| (position, Ok(example.to_owned()));
        assert_eq!(values(kind.read(example, 9)), [one(1)], "{name}");
        let list = format!("{example}\n{example}");
        // A kind may give a repeated value once.
        let of_list = values(kind.read(&list, 9));
        assert!(of_list[0] == one(1) && of_list.iter().all(|it| it.1 == one(1).1), "{name}");
        assert_eq!(kind.read(&list, 1).len(), 1, "{name} reads no more than is asked for");
        assert_eq!(values(kind.read("", 9)), [], "{name}");

        assert!(!kind.masked(example).contains(example), "{name}");
        assert!(kind.masked(example).chars().count() <= example.chars().count() + 3, "{name}");
        let none = toml::Table::new();
        assert_eq!(kind.format(example, &none).as_deref(), Ok(example), "{name}");
        let unknown = toml::toml! { colour = "red" };
        assert!(kind.format(example, &unknown).is_err(), "{name}");

        let subject = Subject::parse(kind, example).unwrap();
        assert_eq!(key_parts(&subject.key()), Some((name, example)));
        let key = EffectKey::new("a-target", "add", Some(&subject));
        let parts = key.parts().unwrap();
        assert_eq!((parts.target, parts.operation), ("a-target", "add"));
        assert_eq!(parts.subject, Some(subject.key().as_str()), "{name}");
        for other in kinds().filter(|other| other.name() != name) {
            let Ok(other) = Subject::parse(other, example) else { continue };
            assert_ne!(subject, other, "subjects of two kinds are never the same");
        }
    }
    let once = EffectKey::new("desk", "open", None);
    assert_eq!((once.as_str(), once.parts().unwrap().subject), ("desk/open", None));
}

#[test]
fn ip_addresses_and_networks_have_one_canonical_form() {
    for (typed, canonical) in [
        ("192.0.2.7", "192.0.2.7"),
        ("１９２．０．２．７", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("2001:DB8:0:0:0:0:0:7", "2001:db8::7"),
        ("2001:db8::7/128", "2001:db8::7"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("10.0.0.0/8", "10.0.0.0/8"),
    ] {
        assert_eq!(IP.parse(typed).as_deref(), Ok(canonical), "{typed}");
        assert_eq!(IP.parse(canonical).as_deref(), Ok(canonical), "{typed}");
    }
    for (typed, code) in [
        ("192.0.2", "not_an_address"),
        ("192.0.2.256", "not_an_address"),
        ("192.0.2.7:443", "not_an_address"),
        ("192.168.001.010", "leading_zero"),
        ("192.0.2.1-5", "range"),
        ("192.0.2.1~192.0.2.9", "range"),
        ("192.0.2.0/", "prefix"),
        ("192.0.2.0/33", "prefix"),
        ("192.0.2.0/+8", "prefix"),
        ("2001:db8::/129", "prefix"),
        ("10.0.0.0/0", "large"),
        ("126.0.0.0/7", "large"),
        ("2001::/15", "large"),
        ("192.0.2.7/24", "host_bits"),
        ("2001:db8::7/64", "host_bits"),
        ("0.0.0.0", "unspecified"),
        ("::ffff:0.0.0.0/96", "unspecified"),
        ("::ffff:127.0.0.0/104", "loopback"),
        ("::ffff:0:0/64", "not_unicast"),
        ("::/1", "unspecified"),
        ("::ffff:127.0.0.1/128", "loopback"),
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("224.0.0.1", "not_unicast"),
        ("255.255.255.0", "not_unicast"),
        ("0.1.2.3", "not_unicast"),
        ("ff02::1", "not_unicast"),
        ("169.254.1.1", "link_local"),
        ("fe80::1", "link_local"),
    ] {
        let error = IP.parse(typed).unwrap_err();
        assert_eq!(error.code, format!("ip.{code}"), "{typed}");
        assert!(!error.text.contains(typed), "{typed}: {error}");
    }
}

#[test]
fn ip_addresses_are_found_between_words_and_no_range_is_two_addresses() {
    let found = |typed| -> Vec<_> {
        let of = |it: Found| it.value.unwrap_or_else(|error| error.code.into_owned());
        IP.read(typed, 100).into_iter().map(of).collect()
    };
    for (typed, expected) in [
        ("IP：192.0.2.7", &["192.0.2.7"][..]),
        ("IP:2001:db8::7。", &["2001:db8::7"]),
        ("地址 192.0.2.7, 192.0.2.8（张三）", &["192.0.2.7", "192.0.2.8"]),
        ("192.0.2.7；192.0.2.0/24\n", &["192.0.2.7", "192.0.2.0/24"]),
        ("1. 192.0.2.7\n2. 192.0.2.8.", &["192.0.2.7", "192.0.2.8"]),
        ("192.0.2.1 - 192.0.2.9", &["ip.range", "ip.range"]),
        ("192.0.2.1 至 192.0.2.9", &["ip.range", "ip.range"]),
        ("192.0.2.1-9", &["ip.range"]),
        ("192.0.2.7 from 2026-11-29, 10:30", &["192.0.2.7"]),
        ("00:00:5e:00:53:01", &["ip.not_an_address"]),
        ("192.0.2.7 192.0.2.", &["192.0.2.7", "ip.not_an_address"]),
        ("192.0.2.7;192.0，2.8", &["192.0.2.7", "ip.not_an_address", "ip.not_an_address"]),
        ("服务器1：192.0.2.7", &["192.0.2.7"]),
        ("网关c:2001:db8::7", &["ip.look_alike"]),
        ("192.0.2.0 掩码24", &["ip.split"]),
        ("192.0.2.0 掩码 255.255.255.0", &["ip.split", "ip.not_unicast"]),
        ("192.0.2.0 255.255.255.0", &["ip.split", "ip.not_unicast"]),
        ("192.0.2.1 ... 192.0.2.9", &["ip.range", "ip.range"]),
        ("192.0.2.0∕24", &["192.0.2.0/24"]),
        ("192.0.2.1至20", &["ip.range"]),
        ("192.0.2.1 —— 192.0.2.9", &["ip.range", "ip.range"]),
        ("192.0.2.1〜192.0.2.9", &["ip.range"]),
        ("192.0.2.1 TO 192.0.2.9", &["ip.range", "ip.range"]),
        ("the server in the corner", &[]),
        ("IPs:192.0.2.7, addresses：192.0.2.8", &["192.0.2.7", "192.0.2.8"]),
        ("192.0.2.7 两台", &["192.0.2.7"]),
        ("192.0.2.7 (2)", &["192.0.2.7"]),
        // Digits in doubt: never another address.
        ("l92.168.1.7", &["ip.look_alike"]),
        ("I92.168.1.7", &["ip.look_alike"]),
        ("192.0.2.1O", &["ip.look_alike"]),
        ("192.0.2.7l", &["ip.look_alike"]),
        ("192.0.2.0\\24", &["ip.split"]),
        ("fe80::1%eth0", &["ip.look_alike"]),
        ("192.0.2.0 /24", &["ip.split"]),
        ("192.0.2.0 / 24", &["192.0.2.0"]),
        ("192.0.2.1 - 9", &["ip.range"]),
        ("192.0.2.1 至 9", &["ip.range"]),
        ("192.0.2.1 -- 192.0.2.9", &["ip.range", "ip.range"]),
        ("192.0.2.1 ~ 192.0.2.9", &["ip.range", "ip.range"]),
    ] {
        assert_eq!(found(typed), expected, "{typed}");
    }
    assert_eq!(IP.read("主机 192.0.2.7", 9)[0].position, 4);
}

#[test]
fn ip_addresses_are_written_as_a_target_expects_them() {
    let always = toml::toml! { prefix = "always" };
    let format = |value| IP.format(value, &always).unwrap();
    assert_eq!(format("192.0.2.7"), "192.0.2.7/32");
    assert_eq!(format("192.0.2.0/24"), "192.0.2.0/24");
    assert_eq!(format("2001:db8::7"), "2001:db8::7/128");
    assert_eq!(IP.masked("192.0.2.7"), "192.0.*.7");
    assert_eq!(IP.masked("2001:db8::/32"), "2001:**:0/32");
}

#[test]
fn emails_are_found_with_their_names_and_are_lower_case() {
    let typed = "Li Lei <Li.Lei@Example.com>; 邮箱：han＠example.com。\nmailto:a@b, x@example..com";
    let expected = [
        (9, Ok("li.lei@example.com".to_owned())),
        (33, Ok("han@example.com".to_owned())),
        (57, Err("this is not an e-mail address: name@example.com".to_owned())),
        (62, Err("this is not an e-mail address: name@example.com".to_owned())),
    ];
    assert_eq!(values(EMAIL.read(typed, 9)), expected);
    for wrong in [
        "{li,wang}@example.com",
        "-li@example.com",
        "@example.com",
        "a@",
        "a b@example.com",
        ".a@example.com",
        "a@-x.com",
        "a@b@c.d",
    ] {
        assert!(EMAIL.parse(wrong).is_err(), "{wrong}");
    }
    for typed in [
        "「li@example.com」",
        "li@example.com！",
        "邮箱li@example.com",
        "'li@example.com'",
        "•li@example.com",
    ] {
        let found: Vec<_> = EMAIL.read(typed, 9).into_iter().map(|it| it.value.ok()).collect();
        assert_eq!(found, [Some("li@example.com".to_owned())], "{typed}");
    }
    assert_eq!(EMAIL.masked("li.lei@example.com"), "l***@example.com");
}

#[test]
fn people_and_texts_are_lists_as_people_type_them() {
    let of = |kind: &dyn SubjectKind, typed| -> Vec<_> {
        kind.read(typed, 9).into_iter().map(|it| (it.position, it.value.ok())).collect()
    };
    let some = |value: &str| Some(value.to_owned());
    assert_eq!(
        of(&PERSON, "ou_1、ou_2 ou_3"),
        [(1, some("ou_1")), (6, some("ou_2")), (11, some("ou_3"))]
    );
    assert_eq!(
        of(&TEXT, " srv 1，srv 2;\n\nsrv 3"),
        [(2, some("srv 1")), (8, some("srv 2")), (16, some("srv 3"))]
    );
    assert_eq!(of(&TEXT, &"x".repeat(129)), [(1, None)]);
    for wrong in ["张三", "ou_1\u{200b}", "张三（ou_1）", "ou_1|ou_2", "a/b"] {
        assert!(PERSON.parse(wrong).is_err(), "{wrong}");
    }
    assert_eq!(
        (PERSON.masked("ou_7d8a6e"), PERSON.masked("ab")),
        ("ou_7***".into(), "a***".into())
    );
}
