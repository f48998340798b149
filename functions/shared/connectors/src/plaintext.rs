//! Rejects targets in clear text: others on the network could read the credentials and change the
//! data.

use greenlight_core::flow::{self, Target};
use greenlight_core::transport::{is_clear_text, is_loopback};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::connector::ConnectorError;

/// Values of `sslmode` (`PostgreSQL`) and `ssl-mode` (`MySQL`) that verify the server's certificate
/// and its name. <https://www.postgresql.org/docs/current/libpq-ssl.html>,
/// <https://dev.mysql.com/doc/refman/8.4/en/connection-options.html>
const VERIFIED: [&str; 2] = ["verify-full", "verify_identity"];

/// How a driver reads the connection settings of its URL.
struct Driver {
    /// The setting for verified TLS, for the error message.
    setting: &'static str,
    /// Parameters that override the host; a value can be the folder of a socket.
    hosts: &'static [&'static str],
    /// The parameter for a socket.
    socket: &'static [&'static str],
    /// Whether the host is percent-decoded, so that it can be the folder of a socket.
    decodes_host: bool,
}

const POSTGRES: Driver = Driver {
    setting: "sslmode=verify-full",
    hosts: &["host", "hostaddr"],
    socket: &[],
    decodes_host: true,
};
const MYSQL: Driver = Driver {
    setting: "ssl-mode=VERIFY_IDENTITY",
    hosts: &[],
    socket: &["socket"],
    decodes_host: false,
};

/// Rejects a target whose traffic others could read or change, unless it sets `plaintext = true` or
/// is on this machine.
pub(crate) fn check(name: &str, target: &Target) -> Option<ConnectorError> {
    if target.plaintext || flow::is_stand_in(&target.url) {
        return None;
    }
    let scheme = target.url.split(':').next().unwrap_or_default().to_ascii_lowercase();
    let driver = match scheme.as_str() {
        "postgres" | "postgresql" => &POSTGRES,
        "mysql" | "mariadb" => &MYSQL,
        _ => return is_clear_text(&target.url).then(|| ConnectorError::Plaintext(name.to_owned())),
    };
    // The driver uses the same crate.
    let Ok(url) = Url::parse(&target.url) else {
        return Some(ConnectorError::BadDatabaseUrl(name.to_owned()));
    };
    let (target, setting) = (name.to_owned(), driver.setting);
    let is_safe = driver.is_local(&url) || is_verified(&url);
    (!is_safe).then_some(ConnectorError::UnverifiedTls { target, setting })
}

impl Driver {
    fn is_local(&self, url: &Url) -> bool {
        let is_socket = last(url, self.socket).is_some_and(|path| path.starts_with('/'));
        let of_url = |host: &str| {
            let decoded = percent_decode_str(host).decode_utf8_lossy();
            if self.decodes_host { decoded.into_owned() } else { host.to_owned() }
        };
        let host = last(url, self.hosts).or_else(|| url.host_str().map(of_url));
        is_socket || host.is_some_and(|host| host.starts_with('/') || is_loopback(&host))
    }
}

fn is_verified(url: &Url) -> bool {
    let mode = last(url, &["sslmode", "ssl-mode"]).unwrap_or_default();
    VERIFIED.contains(&mode.to_ascii_lowercase().as_str())
}

/// Returns the last value of a parameter, under any of its names, as drivers do.
fn last(url: &Url, names: &[&str]) -> Option<String> {
    let found = url.query_pairs().filter(|(name, _)| names.contains(&name.as_ref())).last();
    found.map(|(_, value)| value.into_owned())
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
            "postgres://127.0.0.1/radius?host=%64b.example.com",
            "postgres://db.example.com/radius?options=-c statement_timeout=5s",
            "postgres://db.example.com/radius?sslmode=verify-full&ssl%6dode=disable",
            "mysql://db.example.com/radius?host=localhost",
            "postgres://db.example.com/radius?=/x",
            "mysql://%2Ftmp%2Fs/radius",
            "postgres://[db.example.com/radius",
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
            "postgres://db.example.com/radius?host=%2Fvar%2Frun%2Fpostgresql",
            "postgres://%2Fvar%2Frun%2Fpostgresql/radius",
            "mysql://db.example.com/radius?socket=/run/mysqld/mysqld.sock",
            "${NAC_URL}",
        ] {
            assert!(!is_refused(url), "{url}");
        }
        let text = "connector = \"c\"\nurl = \"http://nac.example.com\"\nplaintext = true";
        assert!(check("nac", &toml::from_str(text).unwrap()).is_none());
    }
}
