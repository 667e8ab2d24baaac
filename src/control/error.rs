//! Why a command was refused: AWS's error code where it has one, the thing by name, and what would be right.

mod route53;

use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::DomainName;
use super::id::Id;
use super::lifecycle::Refused;

pub use route53::Route53Error;

/// An object as a message names it: by the name that its creator knows, and by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named(Box<Name>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    token: String,
    id: String,
    stack: Option<String>,
}

impl Named {
    pub(super) fn new(token: &str, id: impl fmt::Display) -> Self {
        Self(Box::new(Name {
            token: token.to_owned(),
            id: id.to_string(),
            stack: None,
        }))
    }

    /// The same, and of which stack: where the reader would look into another.
    pub(super) fn of_stack(mut self, stack: Option<&str>) -> Self {
        self.0.stack = stack.map(str::to_owned);
        self
    }

    /// The client token, in a template the logical id.
    pub fn token(&self) -> &str {
        &self.0.token
    }

    /// The AWS id.
    pub fn id(&self) -> &str {
        &self.0.id
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Name { token, id, stack } = &*self.0;
        match stack {
            Some(stack) => write!(f, "`{token}` of stack `{stack}` ({id})"),
            None => write!(f, "`{token}` ({id})"),
        }
    }
}

/// All that is wrong with a refused command; never empty. The control state is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlErrors(pub(super) Vec<ControlError>);

impl ControlErrors {
    /// Each of them, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &ControlError> {
        self.0.iter()
    }
}

impl From<ControlError> for ControlErrors {
    fn from(error: ControlError) -> Self {
        Self(vec![error])
    }
}

/// One line each.
impl fmt::Display for ControlErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl From<Route53Error> for ControlErrors {
    fn from(error: Route53Error) -> Self {
        ControlError::from(error).into()
    }
}

impl std::error::Error for ControlErrors {}

/// One thing that is wrong with a command.
///
/// A `property` field is the path of the CloudFormation property at fault, see [`ControlError::property`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum ControlError {
    #[error(
        "InvalidParameterValue: `{given}` is not an account id; one has 12 digits, for example 000000000000"
    )]
    Account { given: String },
    #[error("InvalidParameterValue: `{given}` is not a region; one looks like ap-northeast-1")]
    Region { given: String },
    #[error(
        "IdempotentParameterMismatch: client token `{token}` has already made {id}; give each object a token of its own"
    )]
    TokenReused { token: String, id: String },
    #[error("{code}: there is no {noun} {id}")]
    NotFound {
        property: String,
        code: &'static str,
        noun: &'static str,
        id: String,
    },
    #[error("InvalidParameterValue: `{given}` is not {wanted}; one looks like {example}")]
    Malformed {
        property: String,
        given: String,
        wanted: &'static str,
        example: &'static str,
    },
    #[error("InvalidParameterValue: {given} is out of range for {property}; it must be {wanted}")]
    OutOfRange {
        property: String,
        given: String,
        wanted: &'static str,
    },
    #[error("MissingParameter: {property} is missing: {wanted}")]
    Missing {
        property: String,
        wanted: &'static str,
    },
    #[error("InvalidParameterCombination: {what}: {wanted}")]
    Combination {
        property: String,
        what: String,
        wanted: &'static str,
    },
    #[error("UnsupportedOperation: {what} is not there yet; use {wanted}")]
    NotYet {
        property: String,
        what: String,
        wanted: &'static str,
    },
    #[error("InvalidParameterValue: `{given}` is not a domain name: {why}")]
    DomainName {
        property: String,
        given: String,
        why: &'static str,
    },
    #[error("InvalidParameterValue: {given} is listed twice")]
    Repeated { property: String, given: String },

    #[error("InvalidVpc.Range: {given} has a prefix of /{}; a VPC has /16 to /28", .given.prefix_len())]
    VpcRange { given: Ipv4Net },
    #[error(
        "InvalidVpc.Range: {given} is reserved for {purpose}; take a private range, for example 172.18.0.0/16"
    )]
    VpcRangeReserved {
        given: Ipv4Net,
        purpose: &'static str,
    },
    #[error("InvalidSubnet.Range: {given} has a prefix of /{}; a subnet has /16 to /28", .given.prefix_len())]
    SubnetRange { given: Ipv4Net },
    #[error("InvalidSubnet.Range: {given} is not inside {vpc_cidr}, the range of VPC {vpc}{}", suggestion(.free))]
    SubnetOutsideVpc {
        given: Ipv4Net,
        vpc: Named,
        vpc_cidr: Ipv4Net,
        free: Option<Ipv4Net>,
    },
    #[error("InvalidSubnet.Conflict: {given} overlaps {other_cidr} of subnet {other}{}", suggestion(.free))]
    SubnetConflict {
        given: Ipv4Net,
        other: Named,
        other_cidr: Ipv4Net,
        free: Option<Ipv4Net>,
    },
    #[error(
        "InvalidParameterValue: `{given}` is not an availability zone of {region}; one looks like {region}a"
    )]
    Zone { given: String, region: String },

    #[error("InvalidParameterValue: {given} is not in {range}, the range of subnet {subnet}{}", suggestion(.free))]
    AddressOutsideSubnet {
        property: String,
        given: Ipv4Addr,
        subnet: Named,
        range: Ipv4Net,
        free: Option<Ipv4Addr>,
    },
    #[error("InvalidParameterValue: {given} is reserved for {purpose} in subnet {subnet}{}", suggestion(.free))]
    AddressReserved {
        property: String,
        given: Ipv4Addr,
        purpose: &'static str,
        subnet: Named,
        free: Option<Ipv4Addr>,
    },
    #[error("InvalidIPAddress.InUse: {given} of subnet {subnet} is taken by {by}{}", suggestion(.free))]
    AddressTaken {
        property: String,
        given: Ipv4Addr,
        subnet: Named,
        by: String,
        free: Option<Ipv4Addr>,
    },
    #[error(
        "InsufficientFreeAddressesInSubnet: {wanted} needed, {free} of {capacity} free in subnet {subnet} ({range}); \
         take a larger or another subnet"
    )]
    SubnetExhausted {
        property: String,
        wanted: usize,
        free: u32,
        capacity: u32,
        subnet: Named,
        range: Ipv4Net,
    },

    #[error(
        "InvalidGroup.Duplicate: security group {by} of VPC {vpc} has the name `{name}` already; names are unique in a VPC"
    )]
    GroupNameTaken { name: String, by: Named, vpc: Named },
    #[error("InvalidParameterValue: `{name}` cannot be the name of a security group: {why}")]
    GroupName { name: String, why: &'static str },
    #[error(
        "InvalidParameter: security group {group} and {with} belong to different VPCs; take a group of VPC {vpc}"
    )]
    GroupOfOtherVpc {
        property: String,
        group: Named,
        with: String,
        vpc: Named,
    },
    #[error(
        "SecurityGroupsPerInterfaceLimitExceeded: {given} security groups; an interface carries at most {limit}"
    )]
    TooManyGroups {
        property: String,
        given: usize,
        limit: usize,
    },
    #[error(
        "RulesPerSecurityGroupLimitExceeded: security group {group} has {limit} {direction} rules, the most there may be"
    )]
    TooManyRules {
        group: Named,
        direction: &'static str,
        limit: usize,
    },
    #[error(
        "InvalidPermission.Duplicate: security group {group} has this {direction} rule already ({rule})"
    )]
    DuplicateRule {
        group: Named,
        direction: &'static str,
        rule: String,
    },
    #[error(
        "InvalidParameterCombination: a rule has exactly one peer, this one has {given}; give one of {choices}"
    )]
    RulePeer {
        property: String,
        given: usize,
        choices: &'static str,
    },

    #[error("InvalidParameterValue: `{given}` cannot be a network namespace: {why}")]
    Namespace {
        property: String,
        given: String,
        why: &'static str,
    },
    #[error(
        "InvalidParameterValue: instance {by} lives in network namespace `{given}` already; \
         give each its own with Metadata: privlink: Namespace"
    )]
    NamespaceTaken {
        property: String,
        given: String,
        by: Named,
    },

    #[error(
        "InvalidParameterValue: User data is limited to {limit} bytes, as it is before base64; this has {given}"
    )]
    UserData { given: usize, limit: usize },

    #[error("InvalidParameter: subnet {subnet} is not of VPC {vpc}{}", listing("; its subnets are ", .choices))]
    SubnetOfOtherVpc {
        property: String,
        subnet: Named,
        vpc: Named,
        choices: Vec<String>,
    },
    #[error(
        "DuplicateSubnetsInSameZone: subnets {first} and {second} are both in {zone}; take one subnet per zone"
    )]
    DuplicateSubnetsInSameZone {
        property: String,
        first: Named,
        second: Named,
        zone: String,
    },
    #[error(
        "InvalidParameterValue: subnet {subnet} is in {zone}, where resource gateway {gateway} has no interface{}",
        listing("; take subnets in ", .zones)
    )]
    NoGatewayInZone {
        property: String,
        subnet: Named,
        zone: String,
        gateway: Named,
        zones: Vec<String>,
    },
    #[error("{code}: {by} has the name `{name}` already")]
    NameTaken {
        code: &'static str,
        name: String,
        by: String,
    },
    #[error("{code}: {what} is in use by {}; {instead}", .by.join(", "))]
    InUse {
        code: &'static str,
        what: String,
        by: Vec<String>,
        instead: &'static str,
    },
    #[error("InvalidState: {what} is {}: {}", .refused.state, .refused.instead)]
    State { what: String, refused: Refused },
    #[error("{code}: {what}: {instead}")]
    NotPermitted {
        code: &'static str,
        what: String,
        instead: &'static str,
    },
    #[error(
        "{code}: {given} is not of VPC {vpc}, in which {with} stands{}", listing("; there are ", .choices)
    )]
    OfOtherVpc {
        code: &'static str,
        property: String,
        given: String,
        with: String,
        vpc: Named,
        choices: Vec<String>,
    },
    #[error("ValidationError: `{given}` is not an attribute here; there are {known}")]
    AttributeKey {
        property: String,
        given: String,
        known: String,
    },
    #[error(
        "InvalidLoadBalancerAction: action type `{given}` is not for a network load balancer, which can only forward"
    )]
    InvalidAction { property: String, given: String },
    #[error("InvalidParameter: {given} is not among {list}")]
    NotListed {
        property: String,
        given: String,
        list: String,
    },
    #[error(
        "TooManyTargets: target group {target_group} would have more than {limit} targets, the most there may be"
    )]
    TooManyTargets { target_group: Named, limit: usize },
    #[error("InvalidTarget: {given} {why}")]
    Target {
        property: String,
        given: String,
        why: String,
    },
    #[error(
        "DuplicateListener: listener {by} of load balancer {load_balancer} has port {port} already; one port has one \
         listener (TCP_UDP takes both protocols)"
    )]
    DuplicateListener {
        port: u16,
        by: Named,
        load_balancer: Named,
    },
    #[error(
        "IncompatibleProtocols: a {listener} listener cannot forward to target group {target_group} of protocol \
         {protocol}; take one of {wanted}"
    )]
    IncompatibleProtocols {
        property: String,
        listener: &'static str,
        target_group: Named,
        protocol: &'static str,
        wanted: &'static str,
    },
    #[error(
        "TargetGroupAssociationLimit: target group {target_group} belongs to load balancer {by}; a target group has one"
    )]
    TargetGroupTaken {
        property: String,
        target_group: Named,
        by: Named,
    },
    #[error(
        "InvalidParameter: Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to \
         true for VPC {vpc}; write {wanted} there"
    )]
    PrivateDnsAttributes {
        property: String,
        vpc: Named,
        wanted: &'static str,
    },
    #[error(
        "InvalidParameter: Private DNS can't be enabled because the service {service} does not provide a private DNS name."
    )]
    NoPrivateName { property: String, service: String },
    #[error(
        "InvalidParameter: private-dns-enabled cannot be set because there is already a conflicting DNS domain for \
         {domain} in the VPC {vpc}: that of {by}"
    )]
    DomainConflict {
        property: String,
        domain: DomainName,
        vpc: Named,
        by: String,
    },
    #[error("InvalidServiceName: The Vpc Endpoint Service '{given}' does not exist")]
    ServiceName { given: String },
    #[error(
        "InvalidParameter: The VPC endpoint service {service} does not support the availability zone of the subnet: \
         {subnet}, which is in {zone}{}", listing("; take subnets in ", .zones)
    )]
    ZoneNotSupported {
        property: String,
        service: String,
        subnet: Named,
        zone: String,
        zones: Vec<String>,
    },
    #[error(
        "InvalidParameter: {what} has no private DNS name; give it one with Metadata: privlink: PrivateDnsName"
    )]
    NoPrivateDnsName { what: String },
    #[error(
        "InvalidPrincipal: `{given}` is not a principal; one is *, or an ARN of an account, a user or a role, for \
         example arn:aws:iam::111122223333:root"
    )]
    Principal { property: String, given: String },
    #[error(
        "ValidationException: {given} is not a private address; an IP resource is of 10.0.0.0/8, 172.16.0.0/12, \
         192.168.0.0/16 or 100.64.0.0/10"
    )]
    TargetNotPrivate { given: Ipv4Addr },
    #[error(
        "ValidationException: {given} is not inside {vpc_cidr}, the range of VPC {vpc} in which gateway {gateway} stands"
    )]
    TargetOutsideVpc {
        given: Ipv4Addr,
        gateway: Named,
        vpc: Named,
        vpc_cidr: Ipv4Net,
    },
    #[error(transparent)]
    Route53(#[from] Route53Error),
}

impl ControlError {
    pub(super) fn not_found<I: Id>(id: I, property: impl Into<String>) -> Self {
        Self::NotFound {
            property: property.into(),
            code: I::NOT_FOUND,
            noun: I::NOUN,
            id: id.to_string(),
        }
    }

    /// The path of the property at fault, from the resource's `Properties`: `CidrBlock`, `SubnetIds.1` (the second),
    /// `ResourceConfigurationDefinition.IpResource`. What only we have begins with `Metadata.privlink.`, from the
    /// resource itself. Empty: the resource as a whole.
    pub fn property(&self) -> &str {
        match self {
            Self::Account { .. }
            | Self::Region { .. }
            | Self::TokenReused { .. }
            | Self::TooManyRules { .. }
            | Self::DuplicateRule { .. }
            | Self::InUse { .. }
            | Self::State { .. }
            | Self::NotPermitted { .. }
            | Self::NoPrivateDnsName { .. } => "",
            Self::NotFound { property, .. }
            | Self::Malformed { property, .. }
            | Self::OutOfRange { property, .. }
            | Self::Missing { property, .. }
            | Self::Combination { property, .. }
            | Self::NotYet { property, .. }
            | Self::Repeated { property, .. }
            | Self::DomainName { property, .. }
            | Self::PrivateDnsAttributes { property, .. }
            | Self::NoPrivateName { property, .. }
            | Self::DomainConflict { property, .. }
            | Self::AddressOutsideSubnet { property, .. }
            | Self::AddressReserved { property, .. }
            | Self::AddressTaken { property, .. }
            | Self::SubnetExhausted { property, .. }
            | Self::GroupOfOtherVpc { property, .. }
            | Self::TooManyGroups { property, .. }
            | Self::RulePeer { property, .. }
            | Self::Namespace { property, .. }
            | Self::NamespaceTaken { property, .. }
            | Self::SubnetOfOtherVpc { property, .. }
            | Self::DuplicateSubnetsInSameZone { property, .. }
            | Self::NoGatewayInZone { property, .. }
            | Self::OfOtherVpc { property, .. }
            | Self::Target { property, .. }
            | Self::NotListed { property, .. }
            | Self::AttributeKey { property, .. }
            | Self::InvalidAction { property, .. }
            | Self::IncompatibleProtocols { property, .. }
            | Self::TargetGroupTaken { property, .. }
            | Self::ZoneNotSupported { property, .. }
            | Self::Principal { property, .. } => property,
            Self::Route53(error) => error.property(),
            Self::VpcRange { .. }
            | Self::VpcRangeReserved { .. }
            | Self::SubnetRange { .. }
            | Self::SubnetOutsideVpc { .. }
            | Self::SubnetConflict { .. } => "CidrBlock",
            Self::Zone { .. } => "AvailabilityZone",
            Self::GroupNameTaken { .. } | Self::GroupName { .. } => "GroupName",
            Self::NameTaken { .. } => "Name",
            Self::DuplicateListener { .. } => "Port",
            Self::UserData { .. } => "UserData",
            Self::TooManyTargets { .. } => "Targets",
            Self::ServiceName { .. } => "ServiceName",
            Self::TargetNotPrivate { .. } | Self::TargetOutsideVpc { .. } => {
                "ResourceConfigurationDefinition.IpResource"
            }
        }
    }
}

/// The suggestion at the end of a message.
fn suggestion<T: fmt::Display>(free: &Option<T>) -> String {
    match free {
        Some(free) => format!("; {free} is free"),
        None => "; nothing is free there".to_owned(),
    }
}

fn listing(intro: &str, choices: &[String]) -> String {
    match choices.is_empty() {
        true => String::new(),
        false => format!("{intro}{}", choices.join(", ")),
    }
}
