//! Forbidden target addresses: the metadata services of clouds, which return credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use greenlight_core::explain::Explain;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

/// A host resolves to a forbidden address.
#[derive(Debug, Error, Explain)]
#[explain("forbidden_address")]
#[error("{0} is the address of a metadata service, which is not allowed as a target")]
pub(crate) struct Forbidden(IpAddr);

/// Alibaba Cloud, and EC2 over IPv6; all others are link-local.
const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
];

/// Rejects the addresses of metadata services in every notation, and all link-local IPv4 addresses.
pub(crate) fn check(address: IpAddr) -> Result<(), Forbidden> {
    let plain = address.to_canonical();
    let is_link_local = matches!(plain, IpAddr::V4(address) if address.is_link_local());
    if is_link_local || METADATA.contains(&plain) { Err(Forbidden(plain)) } else { Ok(()) }
}

/// Resolves names with the system's resolver and rejects forbidden addresses. Runs at each
/// connection, so that a changed DNS record (DNS rebinding) does not bypass the check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            for address in &addresses {
                check(address.ip())?;
            }
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_services_are_no_targets_however_they_are_written() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "fd00:ec2::254",
        ] {
            assert!(check(address.parse().unwrap()).is_err(), "{address}");
        }
        for address in ["10.0.0.1", "192.168.1.1", "::1"] {
            assert!(check(address.parse().unwrap()).is_ok(), "{address}");
        }
    }
}
