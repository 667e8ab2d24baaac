//! Texts and numbers of commands, made into values.

use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};

use super::error::ControlError;

fn malformed(
    property: &str,
    given: &str,
    wanted: &'static str,
    example: &'static str,
) -> ControlError {
    ControlError::Malformed {
        property: property.to_owned(),
        given: given.to_owned(),
        wanted,
        example,
    }
}

/// An IPv4 range, its host bits cleared: 100.68.0.18/18 is 100.68.0.0/18.
pub(super) fn ipv4_range(property: &str, given: &str) -> Result<Ipv4Net, ControlError> {
    given
        .parse::<Ipv4Net>()
        .map(|range| range.trunc())
        .map_err(|_| malformed(property, given, "an IPv4 range", "172.18.0.0/16"))
}

/// An IPv6 range, its host bits cleared.
pub(super) fn ipv6_range(property: &str, given: &str) -> Result<Ipv6Net, ControlError> {
    given
        .parse::<Ipv6Net>()
        .map(|range| range.trunc())
        .map_err(|_| malformed(property, given, "an IPv6 range", "2001:db8::/64"))
}

/// An IPv4 address.
pub(super) fn ipv4_address(property: &str, given: &str) -> Result<Ipv4Addr, ControlError> {
    given
        .parse()
        .map_err(|_| malformed(property, given, "an IPv4 address", "172.18.0.10"))
}

/// A number that lies between `first` and `last`; `wanted` says so.
pub(super) fn number<T: TryFrom<i64> + PartialOrd>(
    property: &str,
    given: i64,
    (first, last): (T, T),
    wanted: &'static str,
) -> Result<T, ControlError> {
    T::try_from(given)
        .ok()
        .filter(|number| first <= *number && *number <= last)
        .ok_or_else(|| ControlError::OutOfRange {
            property: property.to_owned(),
            given: given.to_string(),
            wanted,
        })
}

/// A name of VPC Lattice: 3 to 40 of `a-z`, `0-9` and inner single hyphens, and not `reserved` at its beginning.
pub(super) fn lattice_name(given: &str, reserved: &'static str) -> Result<(), ControlError> {
    let valid = (3..=40).contains(&given.len())
        && given
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !given.starts_with('-')
        && !given.ends_with('-')
        && !given.contains("--")
        && !given.starts_with(reserved);
    match valid {
        true => Ok(()),
        false => Err(malformed(
            "Name",
            given,
            "a name of 3 to 40 lower-case letters, digits and single hyphens between them, \
             and without an id's prefix",
            "privatelink-dev2-vpc-rscgw",
        )),
    }
}

/// A domain name of at least two labels (RFC 1034, and underscores), in lower case and without the dot at its end.
pub(super) fn domain_name(property: &str, given: &str) -> Result<String, ControlError> {
    let name = given.strip_suffix('.').unwrap_or(given);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    match name.len() <= 253 && name.contains('.') && name.split('.').all(is_label) {
        true => Ok(name.to_ascii_lowercase()),
        false => Err(malformed(
            property,
            given,
            "a domain name of at least two labels, each of 1 to 63 letters, digits and inner hyphens",
            "db.example.com",
        )),
    }
}

/// The property of one element of a list.
pub(super) fn item(list: &str, index: usize) -> String {
    format!("{list}.{index}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_name_is_lower_case_and_without_the_last_dot() {
        for (given, name) in [
            ("db.example.com", "db.example.com"),
            ("DB.Example.COM.", "db.example.com"),
            ("_a1-b.xn--mnchen-3ya.de", "_a1-b.xn--mnchen-3ya.de"),
        ] {
            assert_eq!(domain_name("Name", given).unwrap(), name);
        }
        let long_label = format!("{}.com", "a".repeat(64));
        let long_name = format!("{}com", "abcdefg.".repeat(32));
        for wrong in [
            "",
            ".",
            "com",
            "com.",
            "a..com",
            ".a.com",
            "-a.com",
            "a-.com",
            "a b.com",
            "*.example.com",
            "m\u{fc}nchen.de",
            &long_label,
            &long_name,
        ] {
            let error = domain_name("Name", wrong).unwrap_err();
            assert_eq!(error.property(), "Name", "{wrong}");
        }
    }
}
