//! The values of records, read from what a zone file has for them and written so again.
//!
//! Source: Route 53 Developer Guide, "Supported DNS record types"; RFC 1035, section 5.1.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::record_set::RecordType;
use crate::control::DomainName;
use crate::control::error::{ControlError, Route53Error};

/// What one record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordValue {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The name that has the records.
    Cname(DomainName),
    /// A mail server; the lowest preference is asked first.
    Mx {
        /// Its preference.
        preference: u16,
        /// Its name.
        exchange: DomainName,
    },
    /// A name.
    Ptr(DomainName),
    /// A server of a service.
    Srv {
        /// The lowest is asked first.
        priority: u16,
        /// Of the same priority, how often.
        weight: u16,
        /// Where it listens.
        port: u16,
        /// Its name.
        target: DomainName,
    },
    /// Strings of at most 255 bytes.
    Txt(Vec<Vec<u8>>),
}

/// The longest string of a TXT record: its length is one byte.
const STRING: usize = 255;

impl RecordValue {
    /// Reads the value of a record of this type, which stands at `property`.
    pub(super) fn parse(
        record_type: RecordType,
        text: &str,
        property: &str,
    ) -> Result<Self, ControlError> {
        let name = |text: &str| DomainName::parse(text).ok();
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        let value = match (record_type, &*words) {
            (RecordType::A, [address]) => address.parse().ok().map(Self::A),
            (RecordType::Aaaa, [address]) => address.parse().ok().map(Self::Aaaa),
            (RecordType::Cname, [target]) => name(target).map(Self::Cname),
            (RecordType::Ptr, [target]) => name(target).map(Self::Ptr),
            (RecordType::Mx, [preference, exchange]) => mx(preference, exchange),
            (RecordType::Srv, [numbers @ .., target]) => srv(numbers, target),
            (RecordType::Txt, _) => strings(text).map(Self::Txt),
            _ => None,
        };
        let (wanted, example) = what(record_type);
        value.ok_or_else(|| {
            ControlError::from(Route53Error::Value {
                property: property.to_owned(),
                given: text.to_owned(),
                record_type: record_type.name(),
                wanted,
                example,
            })
        })
    }
}

/// What a value of this type is, and how one looks.
fn what(record_type: RecordType) -> (&'static str, &'static str) {
    match record_type {
        RecordType::A => ("an IPv4 address", "172.18.0.10"),
        RecordType::Aaaa => ("an IPv6 address", "2001:db8::10"),
        RecordType::Cname | RecordType::Ptr => ("a domain name", "app.example.com"),
        RecordType::Mx => ("a preference and a domain name", "10 mail.example.com"),
        RecordType::Srv => (
            "priority, weight, port and a domain name",
            "1 10 5269 xmpp.example.com",
        ),
        RecordType::Txt => (
            "strings in quotation marks, each of at most 255 characters",
            "\"v=spf1 -all\" \"more\"",
        ),
    }
}

fn mx(preference: &str, exchange: &str) -> Option<RecordValue> {
    Some(RecordValue::Mx {
        preference: preference.parse().ok()?,
        exchange: DomainName::parse(exchange).ok()?,
    })
}

fn srv(numbers: &[&str], target: &str) -> Option<RecordValue> {
    let [priority, weight, port] = numbers else {
        return None;
    };
    Some(RecordValue::Srv {
        priority: priority.parse().ok()?,
        weight: weight.parse().ok()?,
        port: port.parse().ok()?,
        target: DomainName::parse(target).ok()?,
    })
}

/// Strings in quotation marks, with space between them. Within one, `\` and three octal digits are a byte, and `\` before
/// anything else is left out.
fn strings(text: &str) -> Option<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    let mut rest = text.trim_ascii().as_bytes();
    while let [b'"', inner @ ..] = rest {
        let (string, behind) = string(inner)?;
        strings.push(string);
        rest = behind.trim_ascii_start();
        let separated = rest.len() < behind.len();
        if !rest.is_empty() && !separated {
            return None;
        }
    }
    (rest.is_empty() && !strings.is_empty()).then_some(strings)
}

/// The string that begins behind its quotation mark, and what stands behind its end.
fn string(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut string = Vec::new();
    loop {
        let (byte, behind) = match rest {
            [b'"', behind @ ..] => return (string.len() <= STRING).then_some((string, behind)),
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                behind @ ..,
            ] => ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), behind),
            [b'\\', byte, behind @ ..] | [byte, behind @ ..] => (*byte, behind),
            [] => return None,
        };
        string.push(byte);
        rest = behind;
    }
}

/// As Route 53 shows it.
impl fmt::Display for RecordValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => address.fmt(f),
            Self::Aaaa(address) => address.fmt(f),
            Self::Cname(name) | Self::Ptr(name) => name.fmt(f),
            Self::Mx {
                preference,
                exchange,
            } => write!(f, "{preference} {exchange}"),
            Self::Srv {
                priority,
                weight,
                port,
                target,
            } => write!(f, "{priority} {weight} {port} {target}"),
            Self::Txt(strings) => {
                let quoted: Vec<_> = strings.iter().map(|string| quoted(string)).collect();
                f.write_str(&quoted.join(" "))
            }
        }
    }
}

fn quoted(string: &[u8]) -> String {
    let shown = string.iter().map(|byte| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(*byte)),
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\{byte:03o}"),
    });
    format!("\"{}\"", shown.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(record_type: RecordType, text: &str) -> Option<RecordValue> {
        RecordValue::parse(record_type, text, "ResourceRecords.0").ok()
    }

    #[test]
    fn values_are_written_as_they_are_read() {
        let string = "\"".to_owned() + &"x".repeat(255) + "\"";
        for (record_type, text) in [
            (RecordType::A, "172.18.0.10"),
            (RecordType::Aaaa, "2001:db8::10"),
            (RecordType::Cname, "app.example.com"),
            (RecordType::Ptr, "_a.example.com"),
            (RecordType::Mx, "10 mail.example.com"),
            (RecordType::Srv, "1 10 5269 xmpp.example.com"),
            (RecordType::Txt, r#""vpce:token""#),
            (RecordType::Txt, r#""a b" "" "c\"d\\e""#),
            (RecordType::Txt, r#""m\303\274nchen""#),
            (RecordType::Txt, &string),
        ] {
            let value = parse(record_type, text).unwrap();
            assert_eq!(value.to_string(), text);
        }
        let utf8 = parse(RecordType::Txt, "\"münchen\"");
        assert_eq!(utf8, Some(RecordValue::Txt(vec!["münchen".into()])));
    }

    #[test]
    fn a_value_that_is_none_of_its_type_is_refused() {
        let long = "\"".to_owned() + &"x".repeat(256) + "\"";
        for (record_type, text) in [
            (RecordType::A, "172.18.0"),
            (RecordType::A, "172.18.0.10 172.18.0.11"),
            (RecordType::A, "app.example.com"),
            (RecordType::Aaaa, "172.18.0.10"),
            (RecordType::Cname, "a..b"),
            (RecordType::Cname, ""),
            (RecordType::Ptr, "a b"),
            (RecordType::Mx, "mail.example.com"),
            (RecordType::Mx, "70000 mail.example.com"),
            (RecordType::Srv, "1 10 xmpp.example.com"),
            (RecordType::Srv, ""),
            (RecordType::Txt, "unquoted"),
            (RecordType::Txt, "\"open"),
            (RecordType::Txt, "\"a\"\"b\""),
            (RecordType::Txt, "\"a\" b"),
            (RecordType::Txt, ""),
            (RecordType::Txt, &long),
        ] {
            assert_eq!(parse(record_type, text), None, "{text}");
        }
    }
}
