//! Whether traffic to an address is sent in clear text.

use std::net::IpAddr;

/// Whether the host is this machine: traffic to it does not leave it.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

/// Whether the address is `http://` and not on this machine.
#[must_use]
pub fn is_clear_text(url: &str) -> bool {
    let Ok(url) = url.parse::<http::Uri>() else { return false };
    let is_http = url.scheme() == Some(&http::uri::Scheme::HTTP);
    is_http && !url.host().is_some_and(is_loopback)
}
