//! Texts and numbers of commands, made into values.

use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};

use super::DomainName;
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

/// A domain name, as `read` reads it.
pub(super) fn name(
    property: &str,
    given: &str,
    read: impl Fn(&str) -> Result<DomainName, &'static str>,
) -> Result<DomainName, ControlError> {
    read(given).map_err(|why| ControlError::DomainName {
        property: property.to_owned(),
        given: given.to_owned(),
        why,
    })
}

/// A name in somebody's domain, as `read` reads it: of a single label nobody could say whose it is.
pub(super) fn domain_name(
    property: &str,
    given: &str,
    read: impl Fn(&str) -> Result<DomainName, &'static str>,
) -> Result<DomainName, ControlError> {
    name(property, given, |text| {
        let name = read(text)?;
        let domain = name.labels().filter(|label| *label != "*");
        match domain.count() {
            1 => Err("it has one label only; one looks like db.example.com"),
            _ => Ok(name),
        }
    })
}

/// The property of one element of a list.
pub(super) fn item(list: &str, index: usize) -> String {
    format!("{list}.{index}")
}
