//! HTTP digest authentication (RFC 7616) with `qop=auth`, or none as in RFC 2069: MD5 and SHA-256.

use std::collections::BTreeMap;

use md5::Md5;
use sha2::{Digest, Sha256};

use crate::filters::hex;

/// User name and password.
#[derive(Debug)]
pub(super) struct Login<'a> {
    pub(super) username: &'a str,
    pub(super) password: &'a str,
}

/// The parameters of a digest challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Option<String>,
    is_sha256: bool,
    has_qop: bool,
}

impl Challenge {
    /// Parses `WWW-Authenticate: Digest …`; `None` for another scheme.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let mut fields = fields(rest);
        let algorithm = fields.remove("algorithm");
        let is_sha256 = match algorithm.as_deref().map(str::to_ascii_uppercase).as_deref() {
            None | Some("MD5") => false,
            Some("SHA-256") => true,
            Some(_) => return None,
        };
        let has_qop = match fields.remove("qop") {
            None => false,
            Some(qop) => {
                qop.split(',').any(|qop| qop.trim().eq_ignore_ascii_case("auth")).then_some(true)?
            }
        };
        Some(Self {
            realm: fields.remove("realm")?,
            nonce: fields.remove("nonce")?,
            opaque: fields.remove("opaque"),
            algorithm,
            is_sha256,
            has_qop,
        })
    }

    fn hash(&self, text: &str) -> String {
        if self.is_sha256 { hex(&Sha256::digest(text)) } else { hex(&Md5::digest(text)) }
    }

    /// Returns the value of `Authorization` for a request; `count` is the nonce count (`nc`), from
    /// 1.
    pub(super) fn answer(
        &self,
        login: &Login<'_>,
        method: &str,
        target: &str,
        count: u32,
        client_nonce: &str,
    ) -> String {
        let Self { realm, nonce, .. } = self;
        let Login { username, password } = login;
        let who = self.hash(&format!("{username}:{realm}:{password}"));
        let what = self.hash(&format!("{method}:{target}"));
        let (response, qop) = if self.has_qop {
            let text = format!("{who}:{nonce}:{count:08x}:{client_nonce}:auth:{what}");
            let qop = format!(r#", qop=auth, nc={count:08x}, cnonce="{client_nonce}""#);
            (self.hash(&text), qop)
        } else {
            (self.hash(&format!("{who}:{nonce}:{what}")), String::new())
        };
        let algorithm =
            self.algorithm.as_ref().map(|name| format!(", algorithm={name}")).unwrap_or_default();
        let opaque = self.opaque.as_ref().map(|text| format!(", opaque={}", quoted(text)));
        let (username, realm, nonce) = (quoted(username), quoted(realm), quoted(nonce));
        let target = quoted(target);
        format!(
            "Digest username={username}, realm={realm}, nonce={nonce}, uri={target}{algorithm}, response=\"{response}\"{}{qop}",
            opaque.unwrap_or_default()
        )
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// `name=value, name="quoted, value"`, names in lower case.
fn fields(text: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([',', ' ']).to_ascii_lowercase();
        let after = after.trim_start();
        let (value, left) = if let Some(quoted) = after.strip_prefix('"') {
            unquoted(quoted)
        } else {
            let end = after.find(',').unwrap_or(after.len());
            (after[..end].trim().to_owned(), &after[end..])
        };
        fields.insert(name, value);
        rest = left;
    }
    fields
}

/// Splits a quoted string, without its first quote, into its text and the rest.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => return (value, &text[place + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616, section 3.9.1.
    #[test]
    fn the_example_of_the_rfc() {
        let login = Login { username: "Mufasa", password: "Circle of Life" };
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let header = format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            );
            let challenge = Challenge::parse(&header).unwrap();
            let nonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let answer = challenge.answer(&login, "GET", "/dir/index.html", 1, nonce);
            assert!(answer.contains(&format!("response=\"{response}\"")), "{answer}");
            assert!(
                answer.contains("nc=00000001, cnonce=") && answer.contains("opaque="),
                "{answer}"
            );
        }
    }

    #[test]
    fn what_is_asked_otherwise_is_not_answered() {
        for header in ["Basic realm=\"x\"", "Digest realm=\"x\"", "Digest", ""] {
            assert_eq!(Challenge::parse(header), None, "{header}");
        }
        let session = "Digest realm=\"x\", nonce=\"n\", algorithm=MD5-sess";
        assert_eq!(Challenge::parse(session), None);
        let integrity = "Digest realm=\"x\", nonce=\"n\", qop=\"auth-int\"";
        assert_eq!(Challenge::parse(integrity), None);
    }
}
