//! Targets that would be spoken to in clear text: anybody on the way could read their credentials
//! and change what is done.

use std::net::IpAddr;

use greenlight_core::flow::{self, Target};

use crate::connector::ConnectorError;

/// Values of `sslmode` (`PostgreSQL`) and `ssl-mode` (`MySQL`) with which the server's certificate
/// and its name are verified.
/// <https://www.postgresql.org/docs/current/libpq-ssl.html>,
/// <https://dev.mysql.com/doc/refman/8.4/en/connection-options.html>
const VERIFIED: [&str; 2] = ["verify-full", "verify_identity"];

/// Refuses a target whose traffic others could read or change, unless it says `plaintext = true`
/// or is on this machine.
pub(crate) fn check(name: &str, target: &Target) -> Option<ConnectorError> {
    if target.plaintext || flow::is_stand_in(&target.url) {
        return None;
    }
    // What cannot be parsed is refused elsewhere, with what is wrong.
    let url: http::Uri = target.url.parse().ok()?;
    let scheme = url.scheme_str()?.to_ascii_lowercase();
    let target = name.to_owned();
    let setting = match scheme.as_str() {
        "http" if url.host().is_some_and(is_loopback) => return None,
        "http" => return Some(ConnectorError::Plaintext(target)),
        "postgres" | "postgresql" => "sslmode=verify-full",
        "mysql" | "mariadb" => "ssl-mode=VERIFY_IDENTITY",
        _ => return None,
    };
    // `PostgreSQL`'s driver goes to the host of the query, which can be the folder of a socket.
    let host = last(&url, &["host", "hostaddr"]).or_else(|| url.host());
    let is_local = host.is_some_and(|host| host.starts_with(['/', '%']) || is_loopback(host));
    let mode = last(&url, &["sslmode", "ssl-mode"]).unwrap_or_default().to_ascii_lowercase();
    let is_verified = VERIFIED.contains(&mode.as_str());
    (!is_local && !is_verified).then_some(ConnectorError::UnverifiedTls { target, setting })
}

/// Whether the host is this machine: what is sent to it passes no network.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// The last value of a setting in the query, by any of its names: drivers take that one.
fn last<'a>(url: &'a http::Uri, names: &[&str]) -> Option<&'a str> {
    let pairs = url.query().unwrap_or_default().split('&');
    let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
    Some(pairs.rfind(|(name, _)| names.contains(name))?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(url: &str) -> bool {
        let target = toml::from_str(&format!("connector = \"c\"\nurl = \"{url}\"")).unwrap();
        check("nac", &target).is_some()
    }

    #[test]
    fn check_refuses_clear_text_that_leaves_the_machine() {
        for url in [
            "http://nac.example.com",
            "HTTP://nac.example.com:9999/api",
            "http://192.0.2.1",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://[2001:db8::1]",
            "postgres://db.example.com/radius",
            "postgres://db.example.com/radius?sslmode=require",
            "postgres://db.example.com/radius?sslmode=verify-full&sslmode=disable",
            "postgres://db.example.com/radius?x-sslmode=verify-full",
            "postgres://127.0.0.1/radius?host=db.example.com",
            "mysql://db.example.com/radius?ssl-mode=REQUIRED",
        ] {
            assert!(is_refused(url), "{url}");
        }
    }

    #[test]
    fn check_takes_verified_tls_loopback_and_what_says_plaintext() {
        for url in [
            "https://nac.example.com",
            "http://127.0.0.1:8080",
            "http://127.8.9.10",
            "http://localhost:8080/api",
            "http://[::1]:80",
            "sqlite:///var/lib/radius.db",
            "postgres://db.example.com/radius?sslmode=verify-full",
            "postgres://127.0.0.1:5432/radius",
            "mysql://db.example.com/radius?ssl-mode=VERIFY_IDENTITY",
            "mariadb://db.example.com/radius?ssl-ca=ca.pem&sslmode=verify_identity",
            "postgres://db.example.com/radius?host=/var/run/postgresql",
            "${NAC_URL}",
        ] {
            assert!(!is_refused(url), "{url}");
        }
        let text = "connector = \"c\"\nurl = \"http://nac.example.com\"\nplaintext = true";
        assert!(check("nac", &toml::from_str(text).unwrap()).is_none());
    }
}
