//! One shape for IPv4 and IPv6 addresses, so that every key and table has room for both.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IP address in 16 bytes; IPv4 is held as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Addr {
    hi: u64,
    lo: u64,
}

const V4_MAPPED: u64 = 0xffff_0000_0000;

impl Addr {
    /// The IPv4 address with these four bytes in network order.
    #[inline]
    pub const fn v4(octets: [u8; 4]) -> Self {
        Self {
            hi: 0,
            lo: V4_MAPPED | u32::from_be_bytes(octets) as u64,
        }
    }

    /// The two 64-bit halves, most significant first: the form in which flow keys are hashed and compared.
    #[inline]
    pub const fn to_words(self) -> [u64; 2] {
        [self.hi, self.lo]
    }

    /// The inverse of [`Addr::to_words`].
    #[inline]
    pub const fn from_words([hi, lo]: [u64; 2]) -> Self {
        Self { hi, lo }
    }

    /// The four bytes of an IPv4 address, `None` for IPv6.
    #[inline]
    pub const fn octets_v4(self) -> Option<[u8; 4]> {
        match self.hi == 0 && self.lo >> 32 == V4_MAPPED >> 32 {
            true => Some((self.lo as u32).to_be_bytes()),
            false => None,
        }
    }

    /// The address as the standard library's type.
    pub fn ip(self) -> IpAddr {
        match self.octets_v4() {
            Some(octets) => IpAddr::V4(Ipv4Addr::from(octets)),
            None => IpAddr::V6(Ipv6Addr::from((self.hi as u128) << 64 | self.lo as u128)),
        }
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => {
                let bits = u128::from(v6);
                Self {
                    hi: (bits >> 64) as u64,
                    lo: bits as u64,
                }
            }
        }
    }
}

impl From<Ipv4Addr> for Addr {
    fn from(ip: Ipv4Addr) -> Self {
        Self::v4(ip.octets())
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(f)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_survive_the_round_trip() {
        for text in [
            "172.18.1.70",
            "0.0.0.0",
            "255.255.255.255",
            "fd00:ec2::253",
            "::1",
        ] {
            let ip: IpAddr = text.parse().unwrap();
            let addr = Addr::from(ip);
            assert_eq!(addr.ip(), ip);
            assert_eq!(Addr::from_words(addr.to_words()), addr);
            assert_eq!(addr.octets_v4().is_some(), ip.is_ipv4());
        }
    }
}
