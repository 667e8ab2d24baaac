//! Resource types that are not commands: those that mean nothing for packets here, and those that will.

/// Accepted and reported once. Here every route of a VPC is its local one, nothing leaves to the internet, and nobody
/// needs permission. A trailing `*` stands for the rest of a name.
const IGNORED: &[&str] = &[
    "AWS::EC2::InternetGateway",
    "AWS::EC2::EgressOnlyInternetGateway",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::EC2::NatGateway",
    "AWS::EC2::EIP",
    "AWS::EC2::EIPAssociation",
    "AWS::EC2::RouteTable",
    "AWS::EC2::Route",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::GatewayRouteTableAssociation",
    "AWS::EC2::NetworkAcl",
    "AWS::EC2::NetworkAclEntry",
    "AWS::EC2::SubnetNetworkAclAssociation",
    "AWS::EC2::DHCPOptions",
    "AWS::EC2::VPCDHCPOptionsAssociation",
    "AWS::EC2::FlowLog",
    "AWS::EC2::VPCEndpointConnectionNotification",
    "AWS::EC2::KeyPair",
    "AWS::EC2::LaunchTemplate",
    "AWS::EC2::PlacementGroup",
    "AWS::EC2::Volume",
    "AWS::EC2::VolumeAttachment",
    "AWS::CDK::Metadata",
    "AWS::CloudFormation::WaitCondition",
    "AWS::CloudFormation::WaitConditionHandle",
    "AWS::CloudWatch::*",
    "AWS::Events::*",
    "AWS::IAM::*",
    "AWS::KMS::*",
    "AWS::Logs::*",
    "AWS::RAM::*",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SecretsManager::*",
    "AWS::SNS::*",
    "AWS::SSM::*",
    "AWS::VpcLattice::DomainVerification",
];

/// They carry packets, or change where packets go: leaving them out silently would be wrong.
const LATER: &[(&str, &str)] = &[
    (
        "AWS::ElasticLoadBalancingV2::*",
        "of Elastic Load Balancing only LoadBalancer, TargetGroup and Listener are supported so far",
    ),
    (
        "AWS::ElasticLoadBalancing::*",
        "classic load balancers are not supported; take a network load balancer (AWS::ElasticLoadBalancingV2)",
    ),
    (
        "AWS::Route53::*",
        "of Route 53 only HostedZone, RecordSet and RecordSetGroup are supported so far",
    ),
    (
        "AWS::Route53Resolver::*",
        "rules, endpoints and firewalls of resolvers are not supported yet",
    ),
    (
        "AWS::EC2::NetworkInterface",
        "network interfaces of their own are not supported yet",
    ),
    (
        "AWS::EC2::NetworkInterfaceAttachment",
        "network interfaces of their own are not supported yet",
    ),
    (
        "AWS::EC2::VPCCidrBlock",
        "further CIDR blocks of a VPC are not supported yet",
    ),
    ("AWS::EC2::SubnetCidrBlock", "IPv6 is not supported yet"),
    (
        "AWS::EC2::VPCPeeringConnection",
        "VPC peering is not supported yet",
    ),
    ("AWS::EC2::PrefixList", "prefix lists are not supported yet"),
    (
        "AWS::EC2::TransitGateway*",
        "networks outside VPCs are not supported yet",
    ),
    (
        "AWS::EC2::VPNConnection*",
        "networks outside VPCs are not supported yet",
    ),
    (
        "AWS::EC2::VPNGateway*",
        "networks outside VPCs are not supported yet",
    ),
    (
        "AWS::EC2::CustomerGateway",
        "networks outside VPCs are not supported yet",
    ),
    (
        "AWS::EC2::ClientVpn*",
        "networks outside VPCs are not supported yet",
    ),
    (
        "AWS::VpcLattice::*",
        "of VPC Lattice only ResourceGateway and ResourceConfiguration are supported so far",
    ),
    (
        "AWS::CloudFormation::Stack",
        "nested stacks are not supported",
    ),
    ("AWS::Serverless::*", "macros (Transform) are not supported"),
    (
        "AWS::AutoScaling::*",
        "instances are written one by one here (AWS::EC2::Instance)",
    ),
];

/// Is it one of those that mean nothing here?
pub(super) fn is_ignored(type_name: &str) -> bool {
    IGNORED.iter().any(|pattern| matches(pattern, type_name))
}

/// Why it is not supported, if it is one of those that will be, or cannot be.
pub(super) fn later(type_name: &str) -> Option<&'static str> {
    let found = LATER
        .iter()
        .find(|(pattern, _)| matches(pattern, type_name));
    found.map(|(_, why)| *why)
}

/// The ignored types that are listed by their whole name.
pub(super) fn named() -> impl Iterator<Item = &'static str> {
    IGNORED.iter().copied().filter(|name| !name.ends_with('*'))
}

fn matches(pattern: &str, type_name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => type_name.starts_with(prefix),
        None => pattern == type_name,
    }
}
