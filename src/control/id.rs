//! AWS ids: newtypes, parsed once, and minted so that two runs of one template print the same ones.
//!
//! Invariant: an id in hand has its kind's prefix and 17 hexadecimal digits. Format: EC2 User Guide, "Resource IDs".

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::error::ControlError;
use super::hash::hash;

/// A text that is not an id of the kind that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: `{text}` is not {wanted}; one looks like {example}")]
pub struct IdError {
    /// What was given.
    pub text: String,
    /// AWS's error code.
    pub code: &'static str,
    /// What it should have been: `the id of a VPC`.
    pub wanted: &'static str,
    /// How one looks.
    pub example: &'static str,
}

/// What the id types have in common.
pub trait Id: Copy + Eq + std::hash::Hash + fmt::Display {
    /// How the id begins, with the hyphen.
    const PREFIX: &'static str;
    /// What it names, as people say it.
    const NOUN: &'static str;
    /// AWS's error code where nothing has this id.
    const NOT_FOUND: &'static str;

    /// The id with these digits.
    fn from_digits(digits: Digits) -> Self;

    /// The digits of this id.
    fn digits(self) -> Digits;
}

/// The 17 hexadecimal digits of an id, or the 16 of an ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digits(u128);

impl Digits {
    const COUNT: usize = 17;
    /// Of Elastic Load Balancing's ARNs.
    const OF_ARNS: usize = 16;

    /// Digits that depend on `seed` alone. The first is 0, as in every id that AWS gives out today.
    fn hashed(seed: &[u8]) -> Self {
        Self(u128::from(hash(seed)))
    }

    fn parse(text: &str, count: usize) -> Option<Self> {
        let valid = text.len() == count
            && text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match valid {
            true => u128::from_str_radix(text, 16).ok().map(Self),
            false => None,
        }
    }
}

/// What the ids of all kinds have in common.
macro_rules! id {
    ($(#[doc = $doc:literal])+ $name:ident = $prefix:literal, $noun:literal, $not_found:literal) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Digits);

        impl Id for $name {
            const PREFIX: &'static str = $prefix;
            const NOUN: &'static str = $noun;
            const NOT_FOUND: &'static str = $not_found;

            fn from_digits(digits: Digits) -> Self {
                Self(digits)
            }

            fn digits(self) -> Digits {
                self.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

macro_rules! ids {
    ($($(#[doc = $doc:literal])+ $name:ident = $prefix:literal, $noun:literal, $malformed:literal, $not_found:literal;)+) => {
        $(
            id! {
                $(#[doc = $doc])+
                $name = $prefix, $noun, $not_found
            }

            impl FromStr for $name {
                type Err = IdError;

                /// Reads an id, or an ARN that ends in `/` and one.
                fn from_str(text: &str) -> Result<Self, IdError> {
                    let id = match text.starts_with("arn:") {
                        true => text.rsplit('/').next().unwrap_or(text),
                        false => text,
                    };
                    id.strip_prefix($prefix)
                        .and_then(|digits| Digits::parse(digits, Digits::COUNT))
                        .map(Self)
                        .ok_or_else(|| IdError {
                            text: text.to_owned(),
                            code: $malformed,
                            wanted: concat!("the id of a ", $noun),
                            example: concat!($prefix, "0123456789abcdef0"),
                        })
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    // `pad` so that a table's width applies.
                    f.pad(&format!("{}{:0width$x}", $prefix, self.0.0, width = Digits::COUNT))
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Display::fmt(self, f)
                }
            }
        )+
    };
}

ids! {
    /// Names a VPC.
    VpcId = "vpc-", "VPC", "InvalidVpcID.Malformed", "InvalidVpcID.NotFound";
    /// Names a subnet.
    SubnetId = "subnet-", "subnet", "InvalidSubnetID.Malformed", "InvalidSubnetID.NotFound";
    /// Names an elastic network interface.
    NetworkInterfaceId = "eni-", "network interface", "InvalidNetworkInterfaceId.Malformed", "InvalidNetworkInterfaceID.NotFound";
    /// Names a security group.
    SecurityGroupId = "sg-", "security group", "InvalidGroupId.Malformed", "InvalidGroup.NotFound";
    /// Names one rule of a security group.
    SecurityGroupRuleId = "sgr-", "security group rule", "InvalidSecurityGroupRuleId.Malformed", "InvalidSecurityGroupRuleId.NotFound";
    /// Names an instance.
    InstanceId = "i-", "instance", "InvalidInstanceID.Malformed", "InvalidInstanceID.NotFound";
    /// Names a VPC endpoint.
    VpcEndpointId = "vpce-", "VPC endpoint", "InvalidVpcEndpointId.Malformed", "InvalidVpcEndpointId.NotFound";
    /// Names a resource gateway.
    ResourceGatewayId = "rgw-", "resource gateway", "ValidationException", "ResourceNotFoundException";
    /// Names a resource configuration.
    ResourceConfigurationId = "rcfg-", "resource configuration", "ValidationException", "ResourceNotFoundException";
    /// Names an endpoint service.
    VpcEndpointServiceId = "vpce-svc-", "VPC endpoint service", "InvalidVpcEndpointServiceId.Malformed", "InvalidVpcEndpointServiceId.NotFound";
    /// Names a record set, for which Route 53 has a zone, a name and a type.
    RecordSetId = "rrset-", "record set", "InvalidInput", "InvalidChangeBatch";
}

macro_rules! arns {
    ($($(#[doc = $doc:literal])+ $name:ident = $resource:literal, $noun:literal, $not_found:literal, $example:literal;)+) => {
        $(
            id! {
                $(#[doc = $doc])+
                ///
                /// Elastic Load Balancing names its objects by ARNs that end in 16 digits; these are the id.
                $name = $resource, $noun, $not_found
            }

            impl FromStr for $name {
                type Err = IdError;

                /// Reads an ARN.
                fn from_str(text: &str) -> Result<Self, IdError> {
                    text.strip_prefix("arn:")
                        .and_then(|arn| arn.splitn(5, ':').nth(4))
                        .and_then(|resource| resource.strip_prefix($resource))
                        .and_then(|resource| resource.rsplit('/').next())
                        .and_then(|digits| Digits::parse(digits, Digits::OF_ARNS))
                        .map(Self)
                        .ok_or_else(|| IdError {
                            text: text.to_owned(),
                            code: "ValidationError",
                            wanted: concat!("the ARN of a ", $noun),
                            example: $example,
                        })
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.pad(&format!("{:0width$x}", self.0.0, width = Digits::OF_ARNS))
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, "{}{self}", $resource)
                }
            }
        )+
    };
}

arns! {
    /// Names a network load balancer.
    LoadBalancerId = "loadbalancer/net/", "network load balancer", "LoadBalancerNotFound",
        "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/net/provider-NLB/0123456789abcdef";
    /// Names a target group.
    TargetGroupId = "targetgroup/", "target group", "TargetGroupNotFound",
        "arn:aws:elasticloadbalancing:us-west-2:000000000000:targetgroup/provider-target/0123456789abcdef";
    /// Names a listener.
    ListenerId = "listener/net/", "listener", "ListenerNotFound",
        "arn:aws:elasticloadbalancing:us-west-2:000000000000:listener/net/provider-NLB/0123456789abcdef/0123456789abcdef";
}

mod hosted_zone;

pub use hosted_zone::HostedZoneId;

/// Whose something is: an account in a region, and the stack that it is part of, if it is part of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    account_id: Arc<str>,
    region: Arc<str>,
    stack: Option<Arc<str>>,
}

impl Owner {
    /// An account of 12 digits and a region such as `ap-northeast-1`.
    pub fn new(account_id: &str, region: &str) -> Result<Self, ControlError> {
        if account_id.len() != 12 || !account_id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ControlError::Account {
                given: account_id.to_owned(),
            });
        }
        if !is_region(region) {
            return Err(ControlError::Region {
                given: region.to_owned(),
            });
        }
        Ok(Self {
            account_id: account_id.into(),
            region: region.into(),
            stack: None,
        })
    }

    /// The same account's stack of this name.
    pub fn with_stack(self, name: &str) -> Self {
        Self {
            stack: Some(name.into()),
            ..self
        }
    }

    /// 12 digits.
    pub fn account_id(&self) -> &str {
        &self.account_id
    }

    /// For example `ap-northeast-1`.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The stack's name; `None` for what was made by itself.
    pub fn stack(&self) -> Option<&str> {
        self.stack.as_deref()
    }

    /// The ARN of something in this account and region; `resource` is for example `resourcegateway/rgw-...`.
    pub fn arn(&self, service: &str, resource: &str) -> String {
        format!(
            "arn:aws:{service}:{}:{}:{resource}",
            self.region, self.account_id
        )
    }

    /// The key of a name that is unique in the account only.
    pub(super) fn named(&self, name: &str) -> AccountName {
        (Arc::clone(&self.account_id), name.to_owned())
    }
}

/// A name in an account.
pub(super) type AccountName = (Arc<str>, String);

/// Letters, words and a number, as `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let mut parts = text.split('-').rev();
    let number = parts.next().unwrap_or_default();
    let words: Vec<_> = parts.collect();
    !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && words.len() >= 2
        && words
            .iter()
            .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()))
}

/// Gives out ids. Equal owners and client tokens give equal ids, in equal order of creation; two stacks may use one token.
#[derive(Clone, Debug, Default)]
pub(super) struct Mint {
    /// Whose each id is, and the token that it stands for.
    owners: HashMap<(&'static str, Digits), (Owner, String)>,
    tokens: HashMap<(Owner, &'static str, String), Digits>,
}

impl Mint {
    /// Has `owner` used `token` for an object of this kind?
    pub(super) fn used<I: Id>(&self, owner: &Owner, token: &str) -> Option<I> {
        self.tokens
            .get(&(owner.clone(), I::PREFIX, token.to_owned()))
            .copied()
            .map(I::from_digits)
    }

    /// Whose the object with this id is.
    pub(super) fn owner<I: Id>(&self, id: I) -> Option<&Owner> {
        let (owner, _) = self.owners.get(&(I::PREFIX, id.digits()))?;
        Some(owner)
    }

    /// A fresh id for the object that `owner` calls `token`.
    pub(super) fn mint<I: Id>(&mut self, owner: &Owner, token: &str) -> I {
        let id = self.next::<I>(owner, token);
        let digits = id.digits();
        self.owners
            .insert((I::PREFIX, digits), (owner.clone(), token.to_owned()));
        self.tokens
            .insert((owner.clone(), I::PREFIX, token.to_owned()), digits);
        id
    }

    /// The id that [`mint`](Self::mint) will give.
    pub(super) fn next<I: Id>(&self, owner: &Owner, token: &str) -> I {
        // The stack counts always, so that an id does not depend on which other stacks there are.
        let parts = [owner.account_id(), owner.region(), I::PREFIX, token];
        let parts: Vec<_> = parts.into_iter().chain(owner.stack()).collect();
        let mut seed = parts.join("\0").into_bytes();
        let mut digits = Digits::hashed(&seed);
        while self.owners.contains_key(&(I::PREFIX, digits)) {
            seed.push(b'+');
            digits = Digits::hashed(&seed);
        }
        I::from_digits(digits)
    }

    /// Takes back the id of what has been deleted: whoever makes it anew under the same token gets the same id.
    pub(super) fn release<I: Id>(&mut self, id: I) {
        if let Some((owner, token)) = self.owners.remove(&(I::PREFIX, id.digits())) {
            self.tokens.remove(&(owner, I::PREFIX, token));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner::new("000000000000", "ap-northeast-1").unwrap()
    }

    #[test]
    fn ids_of_like_seeds_are_unlike() {
        let [a, b] = [b"EC2A", b"EC2B"].map(|seed| Digits::hashed(seed).0);
        assert!((a ^ b).count_ones() > 16, "{a:x} and {b:x}");
    }

    #[test]
    fn an_id_survives_the_round_trip_and_nothing_else_parses() {
        let id: VpcId = "vpc-0123456789abcdef0".parse().unwrap();
        assert_eq!(id.to_string(), "vpc-0123456789abcdef0");
        for wrong in [
            "",
            "vpc-",
            "vpc-0123456789abcdef",
            "vpc-0123456789abcdef01",
            "vpc-0123456789ABCDEF0",
            "vpc-+123456789abcdef0",
            "subnet-0123456789abcdef0",
            "vpce-0123456789abcdef0",
        ] {
            let error = wrong.parse::<VpcId>().unwrap_err();
            assert_eq!(
                (error.code, error.example),
                ("InvalidVpcID.Malformed", "vpc-0123456789abcdef0")
            );
        }
    }

    #[test]
    fn an_arn_names_its_id() {
        let arn = "arn:aws:vpc-lattice:ap-northeast-1:000000000000:resourceconfiguration/rcfg-0123456789abcdef0";
        let id: ResourceConfigurationId = arn.parse().unwrap();
        assert_eq!(id.to_string(), "rcfg-0123456789abcdef0");
        assert!(
            "arn:aws:rcfg-0123456789abcdef0"
                .parse::<ResourceConfigurationId>()
                .is_err()
        );
    }

    #[test]
    fn load_balancers_are_named_by_arns() {
        let arn = "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/net/provider-NLB/0123456789abcdef";
        let id: LoadBalancerId = arn.parse().unwrap();
        assert_eq!(id.to_string(), "0123456789abcdef");
        for wrong in [
            "0123456789abcdef",
            "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/app/web/0123456789abcdef",
            "arn:aws:elasticloadbalancing:us-west-2:000000000000:loadbalancer/net/web/0123456789abcde",
            "arn:aws:elasticloadbalancing:us-west-2:000000000000:targetgroup/web/0123456789abcdef",
        ] {
            let error = wrong.parse::<LoadBalancerId>().unwrap_err();
            assert_eq!(error.code, "ValidationError", "{wrong}");
        }
    }

    #[test]
    fn what_is_made_anew_gets_its_id_again() {
        let mut mint = Mint::default();
        let id: VpcId = mint.mint(&owner(), "Vpc1");
        let other: SubnetId = mint.mint(&owner(), "Vpc1");
        mint.release(id);
        assert_eq!(mint.used::<VpcId>(&owner(), "Vpc1"), None);
        assert_eq!(mint.owner(id), None);
        assert_eq!(mint.used::<SubnetId>(&owner(), "Vpc1"), Some(other));
        assert_eq!(mint.mint::<VpcId>(&owner(), "Vpc1"), id);
    }

    #[test]
    fn equal_tokens_of_equal_owners_give_equal_ids() {
        let (mut one, mut two) = (Mint::default(), Mint::default());
        let id: VpcId = one.mint(&owner(), "Vpc1");
        assert_eq!(two.mint::<VpcId>(&owner(), "Vpc1"), id);
        assert_eq!(one.used::<VpcId>(&owner(), "Vpc1"), Some(id));
        assert_eq!(one.used::<SubnetId>(&owner(), "Vpc1"), None);
        assert!(id.to_string().starts_with("vpc-0"));
        let other = Owner::new("111111111111", "ap-northeast-1").unwrap();
        assert_ne!(Mint::default().mint::<VpcId>(&other, "Vpc1"), id);
    }

    #[test]
    fn stacks_may_use_one_token_and_an_id_does_not_depend_on_other_stacks() {
        let stack = |name| owner().with_stack(name);
        let mut mint = Mint::default();
        let ids = ["a", "b"].map(|name| mint.mint::<VpcId>(&stack(name), "Vpc1"));
        assert_ne!(ids[0], ids[1]);
        assert_eq!(Mint::default().mint::<VpcId>(&stack("b"), "Vpc1"), ids[1]);
        assert_eq!(mint.owner(ids[0]), Some(&stack("a")));
        assert_eq!(mint.used::<VpcId>(&owner(), "Vpc1"), None);
    }

    #[test]
    fn a_collision_is_resolved() {
        let mut mint = Mint::default();
        let first: VpcId = mint.mint(&owner(), "Vpc1");
        let second: VpcId = mint.mint(&owner(), "Vpc1");
        assert_ne!(first, second);
    }

    #[test]
    fn account_and_region_have_their_shape() {
        for region in ["ap-northeast-1", "us-gov-west-1"] {
            assert!(Owner::new("000000000000", region).is_ok());
        }
        for region in [
            "",
            "tokyo",
            "ap-northeast",
            "ap-northeast-1a",
            "AP-northeast-1",
            "ap--1",
        ] {
            assert!(Owner::new("000000000000", region).is_err(), "{region}");
        }
        for account in ["", "1", "00000000000x"] {
            assert!(Owner::new(account, "ap-northeast-1").is_err());
        }
    }
}
