//! Ids of Route 53, which are older than the scheme of the others.

use std::fmt;
use std::str::FromStr;

use super::{Digits, Id, IdError};

id! {
    /// Names a hosted zone: `Z` and 13 capital letters and digits.
    HostedZoneId = "Z", "hosted zone", "NoSuchHostedZone"
}

const RADIX: u32 = 36;
const COUNT: usize = 13;

impl FromStr for HostedZoneId {
    type Err = IdError;

    /// Reads an id, also as Route 53's API gives it, `/hostedzone/Z...`.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let legal = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        text.strip_prefix("/hostedzone/")
            .unwrap_or(text)
            .strip_prefix(Self::PREFIX)
            .filter(|digits| digits.len() == COUNT && digits.bytes().all(legal))
            .and_then(|digits| u128::from_str_radix(digits, RADIX).ok())
            .map(|digits| Self(Digits(digits)))
            .ok_or_else(|| IdError {
                text: text.to_owned(),
                code: "InvalidInput",
                wanted: "the id of a hosted zone",
                example: "Z2FDTNDATAQYW2",
            })
    }
}

impl fmt::Display for HostedZoneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'0'; COUNT];
        let mut rest = self.0.0;
        for place in text.iter_mut().rev() {
            let digit = (rest % u128::from(RADIX)) as u32;
            *place = char::from_digit(digit, RADIX)
                .map_or(b'0', |digit| digit.to_ascii_uppercase() as u8);
            rest /= u128::from(RADIX);
        }
        f.pad(&format!(
            "{}{}",
            Self::PREFIX,
            String::from_utf8_lossy(&text)
        ))
    }
}

impl fmt::Debug for HostedZoneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Mint, Owner};
    use super::*;

    #[test]
    fn a_zones_id_survives_the_round_trip_and_nothing_else_parses() {
        let owner = Owner::new("000000000000", "ap-northeast-1").unwrap();
        for token in ["Zone", "a", "b", "c"] {
            let id: HostedZoneId = Mint::default().mint(&owner, token);
            let text = id.to_string();
            assert_eq!(text.len(), 14, "{text}");
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(format!("/hostedzone/{text}").parse(), Ok(id));
        }
        let id: HostedZoneId = "Z2FDTNDATAQYW2".parse().unwrap();
        assert_eq!(id.to_string(), "Z2FDTNDATAQYW2");
        for wrong in [
            "",
            "Z",
            "Z2FDTNDATAQYW",
            "Z2FDTNDATAQYW22",
            "z2fdtndataqyw2",
            "Z2FDTNDATAQY-2",
        ] {
            assert_eq!(
                wrong.parse::<HostedZoneId>().unwrap_err().code,
                "InvalidInput",
                "{wrong}"
            );
        }
    }
}
