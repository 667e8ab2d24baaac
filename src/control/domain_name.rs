//! Domain names.
//!
//! Invariant: a [`DomainName`] is fully qualified, in lower case and without the last dot; its labels are 1 to 63 letters, digits,
//! `-` and `_`, of which the first may be the wildcard `*` where that was asked for. Source: RFC 1035, section 2.3.4; Route 53
//! Developer Guide, "DNS domain name format".

use std::fmt;
use std::net::Ipv4Addr;

/// A fully qualified domain name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct DomainName(String);

/// What a name may have in text, without its last dot: 255 bytes on the wire.
const LONGEST: usize = 253;

impl DomainName {
    /// Reads a name, with or without its last dot.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err("it is empty");
        }
        if text.len() > LONGEST {
            return Err("it is longer than 253 characters");
        }
        text.split('.').try_for_each(check_label)?;
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// Reads the name that a record may have: it may begin with `*.`, a wildcard (RFC 4592).
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse_owner(text: &str) -> Result<Self, &'static str> {
        match text.strip_prefix("*.") {
            None => Self::parse(text),
            Some(below) => match Self::parse(below)? {
                Self(below) if below.len() + 2 > LONGEST => Err("it is longer than 253 characters"),
                Self(below) => Ok(Self(format!("*.{below}"))),
            },
        }
    }

    /// The domain of a region's instances.
    pub(super) fn of_instances(region: &str) -> Self {
        // us-east-1 is older than the scheme.
        Self(match region {
            "us-east-1" => "ec2.internal".to_owned(),
            _ => format!("{region}.compute.internal"),
        })
    }

    /// The name that an instance with this address has in the domain of its region's instances.
    pub(super) fn of_instance(address: Ipv4Addr, domain: &Self) -> Self {
        let [a, b, c, d] = address.octets();
        Self(format!("ip-{a}-{b}-{c}-{d}.{domain}"))
    }

    /// Is it this zone's apex, or below it?
    pub fn is_within(&self, zone: &Self) -> bool {
        let above = self.0.strip_suffix(&zone.0);
        above.is_some_and(|labels| labels.is_empty() || labels.ends_with('.'))
    }

    /// The domain below which a wildcard means all names; of another name the name itself.
    pub fn base(&self) -> Self {
        Self(self.0.strip_prefix("*.").unwrap_or(&self.0).to_owned())
    }

    /// Does it mean all names below its base?
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// Its labels, from the most specific to the least.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

fn check_label(label: &str) -> Result<(), &'static str> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match label.len() {
        0 => Err("a label is empty"),
        64.. => Err("a label is longer than 63 characters"),
        _ if label.bytes().all(legal) => Ok(()),
        _ if label == "*" => Err("`*` can stand only for the first label of a record's name"),
        _ => Err("a label has letters, digits, `-` and `_`; others are written in Punycode"),
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    #[test]
    fn a_name_is_the_same_with_and_without_its_last_dot_and_in_any_case() {
        assert_eq!(name("App.Example.COM."), name("app.example.com"));
        assert_eq!(name("_token.x-1").to_string(), "_token.x-1");
        let labels = name("a.b.c");
        assert_eq!(labels.labels().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn what_is_no_name_says_why() {
        let label = "a".repeat(64);
        let long = ["abcdefg"; 32].join(".");
        assert_eq!(long.len(), 255);
        for (text, why) in [
            ("", "it is empty"),
            (".", "it is empty"),
            ("a..b", "a label is empty"),
            (".a", "a label is empty"),
            ("a b", "letters, digits"),
            ("bücher.example", "Punycode"),
            ("*.example.com", "first label of a record's name"),
            (&label, "longer than 63"),
            (&long, "longer than 253"),
        ] {
            let found = DomainName::parse(text).unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
    }

    #[test]
    fn a_wildcard_is_the_first_label_of_a_records_name() {
        let wildcard = DomainName::parse_owner("*.Example.com.").unwrap();
        assert_eq!(wildcard.to_string(), "*.example.com");
        assert!(wildcard.is_within(&name("example.com")));
        for wrong in ["a.*.example.com", "*", "*a.example.com", "*.*.example.com"] {
            assert!(DomainName::parse_owner(wrong).is_err(), "{wrong}");
        }
        let long = ["abcdefg"; 31].join(".") + ".abcd";
        assert_eq!(long.len(), 252);
        assert!(DomainName::parse_owner(&long).is_ok());
        assert!(DomainName::parse_owner(&format!("*.{long}")).is_err());
    }

    #[test]
    fn what_is_within_a_zone_ends_in_its_labels() {
        let zone = name("example.com");
        for within in ["example.com", "app.example.com", "a.b.example.com"] {
            assert!(name(within).is_within(&zone), "{within}");
        }
        for outside in ["com", "anexample.com", "example.com.org", "example.org"] {
            assert!(!name(outside).is_within(&zone), "{outside}");
        }
    }

    #[test]
    fn instances_have_the_domain_of_their_region() {
        let of = |region| {
            let domain = DomainName::of_instances(region);
            DomainName::of_instance(Ipv4Addr::new(172, 18, 0, 10), &domain).to_string()
        };
        assert_eq!(
            of("ap-northeast-1"),
            "ip-172-18-0-10.ap-northeast-1.compute.internal"
        );
        assert_eq!(of("us-east-1"), "ip-172-18-0-10.ec2.internal");
    }
}
