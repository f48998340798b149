//! Hosts of an office system: where its files are, and where its connections lead.

#[cfg(feature = "stream")]
use greenlight_core::transport::is_loopback;
use http::Uri;

/// Whether `uri` is on a server of the system with the API `own`: the same address, or over TLS any
/// host of its domain, as files of `open.feishu.cn` are on `internal-api-drive-stream.feishu.cn`.
pub(crate) fn is_of_system(own: &Uri, uri: &Uri) -> bool {
    if uri.scheme() == own.scheme() && uri.authority() == own.authority() {
        return true;
    }
    let (Some(own_host), Some(host)) = (own.host(), uri.host()) else { return false };
    let is_name = own_host.parse::<std::net::IpAddr>().is_err();
    let domain = own_host.split_once('.').map(|(_, domain)| domain);
    let has_default_port = uri.port_u16().is_none_or(|port| port == 443);
    // The domain of a name of two labels would be a top-level domain.
    domain.filter(|domain| is_name && domain.contains('.')).is_some_and(|domain| {
        uri.scheme() == Some(&http::uri::Scheme::HTTPS)
            && has_default_port
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && host.strip_suffix(domain).is_some_and(|before| before.ends_with('.'))
    })
}

/// Whether the address of a WebSocket is on a server of the system with the API `base_url`, over
/// TLS: what comes over it is not signed. On this machine, in tests, also without TLS.
#[cfg(feature = "stream")]
pub(crate) fn is_own_socket(base_url: &str, uri: &Uri) -> bool {
    let Ok(own) = base_url.parse::<Uri>() else { return false };
    let is_local = |uri: &Uri| uri.host().is_some_and(is_loopback);
    if is_local(&own) {
        return is_local(uri);
    }
    let text = uri.to_string();
    let over_http = text.strip_prefix("wss:").map(|rest| format!("https:{rest}"));
    over_http.and_then(|uri| uri.parse().ok()).is_some_and(|uri| is_of_system(&own, &uri))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_downloaded_from_the_systems_own_servers_only() {
        let is_own =
            |own: &str, uri: &str| is_of_system(&own.parse().unwrap(), &uri.parse().unwrap());
        let feishu = "https://open.feishu.cn";
        let file = "https://internal-api-drive-stream.feishu.cn/space/api/box?code=1";
        assert!(is_own(feishu, file));
        assert!(is_own(feishu, "https://open.feishu.cn/file"));
        assert!(is_own("http://127.0.0.1:8080", "http://127.0.0.1:8080/file"));
        for other in [
            "http://internal-api-drive-stream.feishu.cn/x",
            "https://internal-api-drive-stream.feishu.cn:8443/x",
            "https://feishu.cn.example.com/x",
            "https://evilfeishu.cn/x",
            "https://user@open.feishu.cn/x",
            "https://169.254.169.254/x",
            "http://127.0.0.1:8080/x",
        ] {
            assert!(!is_own(feishu, other), "{other}");
        }
        assert!(!is_own("http://127.0.0.1:8080", "http://127.0.0.1:8081/file"));
        assert!(!is_own("https://example.com", "https://other.com/file"));
    }
}
