//! Endpoints of services.

/// The host's domain, by the prefix of the region.
/// <https://docs.aws.amazon.com/general/latest/gr/rande.html>
const SUFFIXES: [(&str, &str); 7] = [
    ("cn-", "amazonaws.com.cn"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("eusc-", "amazonaws.eu"),
    ("", "amazonaws.com"),
];

/// Returns the endpoint of a service in a region.
pub(super) fn of(service: &str, region: &str) -> String {
    let suffix = SUFFIXES.iter().find(|(start, _)| region.starts_with(start));
    let suffix = suffix.map_or("amazonaws.com", |(_, suffix)| suffix);
    format!("https://{service}.{region}.{suffix}")
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn china_has_a_name_of_its_own() {
        assert_eq!(of("sqs", "cn-north-1"), "https://sqs.cn-north-1.amazonaws.com.cn");
        assert_eq!(
            of("secretsmanager", "eu-central-1"),
            "https://secretsmanager.eu-central-1.amazonaws.com"
        );
        assert_eq!(of("sqs", "us-gov-west-1"), "https://sqs.us-gov-west-1.amazonaws.com");
    }
}
