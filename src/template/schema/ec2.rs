//! The types of `AWS::EC2`.

use super::Attribute::{Later, Placeholder, Real};
use super::Kind::{Any, Boolean, Integer, List, Map, Object, Text};
use super::*;

pub(super) const VPC: Schema = Schema {
    name: "AWS::EC2::VPC",
    kind: Type::Vpc,
    properties: &[
        required("CidrBlock", Text),
        optional("EnableDnsHostnames", Boolean),
        optional("EnableDnsSupport", Boolean),
        ignored("InstanceTenancy", Text),
        later("Ipv4IpamPoolId", Text, IPAM_POOL),
        later("Ipv4NetmaskLength", Integer, IPAM_POOL),
        optional("Tags", TAGS),
        read_only("CidrBlockAssociations"),
        read_only("DefaultNetworkAcl"),
        read_only("DefaultSecurityGroup"),
        read_only("Ipv6CidrBlocks"),
        read_only("VpcId"),
    ],
    privlink: &[],
    attributes: &[
        ("VpcId", Real),
        ("CidrBlock", Real),
        ("DefaultSecurityGroup", Real),
        ("CidrBlockAssociations", Placeholder("")),
        ("DefaultNetworkAcl", Placeholder("")),
        ("Ipv6CidrBlocks", Later(IPV6)),
    ],
};

const IPAM_POOL: &str = "IPAM pools are not supported; give a CidrBlock";

pub(super) const SUBNET: Schema = Schema {
    name: "AWS::EC2::Subnet",
    kind: Type::Subnet,
    properties: &[
        required("VpcId", Text),
        required("CidrBlock", Text),
        optional("AvailabilityZone", Text),
        later(
            "AvailabilityZoneId",
            Text,
            "zone ids are not supported; give an AvailabilityZone",
        ),
        ignored("MapPublicIpOnLaunch", Boolean),
        ignored("AssignIpv6AddressOnCreation", Boolean),
        ignored("EnableLniAtDeviceIndex", Integer),
        ignored("OutpostArn", Text),
        ignored("PrivateDnsNameOptionsOnLaunch", Any),
        later("EnableDns64", Boolean, IPV6),
        later("Ipv4IpamPoolId", Text, IPAM_POOL),
        later("Ipv4NetmaskLength", Integer, IPAM_POOL),
        later("Ipv6CidrBlock", Text, IPV6),
        later("Ipv6IpamPoolId", Text, IPV6),
        later("Ipv6Native", Boolean, IPV6),
        later("Ipv6NetmaskLength", Integer, IPV6),
        optional("Tags", TAGS),
        read_only("BlockPublicAccessStates"),
        read_only("Ipv6CidrBlocks"),
        read_only("NetworkAclAssociationId"),
        read_only("SubnetId"),
    ],
    privlink: &[],
    attributes: &[
        ("SubnetId", Real),
        ("VpcId", Real),
        ("CidrBlock", Real),
        ("AvailabilityZone", Real),
        ("AvailabilityZoneId", Placeholder("")),
        ("NetworkAclAssociationId", Placeholder("")),
        ("OutpostArn", Placeholder("")),
        ("Ipv6CidrBlocks", Later(IPV6)),
    ],
};

const INGRESS_RULE: &[Property] = &[
    required("IpProtocol", Text),
    optional("FromPort", Integer),
    optional("ToPort", Integer),
    optional("CidrIp", Text),
    optional("CidrIpv6", Text),
    optional("SourceSecurityGroupId", Text),
    optional("SourcePrefixListId", Text),
    optional("Description", Text),
    later("SourceSecurityGroupName", Text, GROUP_NAMES),
    ignored("SourceSecurityGroupOwnerId", Text),
];

const EGRESS_RULE: &[Property] = &[
    required("IpProtocol", Text),
    optional("FromPort", Integer),
    optional("ToPort", Integer),
    optional("CidrIp", Text),
    optional("CidrIpv6", Text),
    optional("DestinationSecurityGroupId", Text),
    optional("DestinationPrefixListId", Text),
    optional("Description", Text),
];

const GROUP_NAMES: &str =
    "groups are named by id in a VPC that is not the default one; give a group's id";

pub(super) const SECURITY_GROUP: Schema = Schema {
    name: "AWS::EC2::SecurityGroup",
    kind: Type::SecurityGroup,
    properties: &[
        required("GroupDescription", Text),
        // AWS would take the account's default VPC, which is not here.
        required("VpcId", Text),
        optional("GroupName", Text),
        optional("SecurityGroupIngress", List(&Object(INGRESS_RULE))),
        optional("SecurityGroupEgress", List(&Object(EGRESS_RULE))),
        optional("Tags", TAGS),
        read_only("GroupId"),
        read_only("Id"),
    ],
    privlink: &[],
    attributes: &[("GroupId", Real), ("Id", Real), ("VpcId", Real)],
};

pub(super) const SECURITY_GROUP_INGRESS: Schema = Schema {
    name: "AWS::EC2::SecurityGroupIngress",
    kind: Type::SecurityGroupIngress,
    properties: &[
        required("GroupId", Text),
        later("GroupName", Text, GROUP_NAMES),
        required("IpProtocol", Text),
        optional("FromPort", Integer),
        optional("ToPort", Integer),
        optional("CidrIp", Text),
        optional("CidrIpv6", Text),
        optional("SourceSecurityGroupId", Text),
        optional("SourcePrefixListId", Text),
        optional("Description", Text),
        later("SourceSecurityGroupName", Text, GROUP_NAMES),
        ignored("SourceSecurityGroupOwnerId", Text),
        read_only("Id"),
    ],
    privlink: &[],
    attributes: &[("Id", Real)],
};

pub(super) const SECURITY_GROUP_EGRESS: Schema = Schema {
    name: "AWS::EC2::SecurityGroupEgress",
    kind: Type::SecurityGroupEgress,
    properties: &[
        required("GroupId", Text),
        required("IpProtocol", Text),
        optional("FromPort", Integer),
        optional("ToPort", Integer),
        optional("CidrIp", Text),
        optional("CidrIpv6", Text),
        optional("DestinationSecurityGroupId", Text),
        optional("DestinationPrefixListId", Text),
        optional("Description", Text),
        read_only("Id"),
    ],
    privlink: &[],
    attributes: &[("Id", Real)],
};

const ONE_ADDRESS: &str = "an instance has one address here";

const INSTANCE_INTERFACE: &[Property] = &[
    required("DeviceIndex", Integer),
    optional("SubnetId", Text),
    optional("GroupSet", List(&Text)),
    optional("PrivateIpAddress", Text),
    optional(
        "PrivateIpAddresses",
        List(&Object(&[
            required("PrivateIpAddress", Text),
            required("Primary", Boolean),
        ])),
    ),
    ignored("AssociateCarrierIpAddress", Boolean),
    ignored("AssociatePublicIpAddress", Boolean),
    ignored("DeleteOnTermination", Boolean),
    ignored("Description", Text),
    ignored("EnaSrdSpecification", Any),
    later("Ipv6AddressCount", Integer, IPV6),
    later("Ipv6Addresses", Any, IPV6),
    later(
        "NetworkInterfaceId",
        Text,
        "network interfaces of their own are not supported; give a SubnetId and a GroupSet",
    ),
    later("SecondaryPrivateIpAddressCount", Integer, ONE_ADDRESS),
];

pub(super) const INSTANCE: Schema = Schema {
    name: "AWS::EC2::Instance",
    kind: Type::Instance,
    properties: &[
        optional("SubnetId", Text),
        optional("SecurityGroupIds", List(&Text)),
        optional("PrivateIpAddress", Text),
        optional("NetworkInterfaces", List(&Object(INSTANCE_INTERFACE))),
        optional("SourceDestCheck", Boolean),
        optional("UserData", Text),
        optional("Tags", TAGS),
        later("SecurityGroups", List(&Text), GROUP_NAMES),
        later("Ipv6AddressCount", Integer, IPV6),
        later("Ipv6Addresses", Any, IPV6),
        ignored("AdditionalInfo", Text),
        ignored("Affinity", Text),
        ignored("AvailabilityZone", Text),
        ignored("BlockDeviceMappings", List(&Any)),
        ignored("CpuOptions", Any),
        ignored("CreditSpecification", Any),
        ignored("DisableApiTermination", Boolean),
        ignored("EbsOptimized", Boolean),
        ignored("ElasticGpuSpecifications", List(&Any)),
        ignored("ElasticInferenceAccelerators", List(&Any)),
        ignored("EnclaveOptions", Any),
        ignored("HibernationOptions", Any),
        ignored("HostId", Text),
        ignored("HostResourceGroupArn", Text),
        ignored("IamInstanceProfile", Text),
        ignored("ImageId", Text),
        ignored("InstanceInitiatedShutdownBehavior", Text),
        ignored("InstanceType", Text),
        ignored("KernelId", Text),
        ignored("KeyName", Text),
        ignored("LaunchTemplate", Any),
        ignored("LicenseSpecifications", List(&Any)),
        ignored("MetadataOptions", Any),
        ignored("Monitoring", Boolean),
        ignored("PlacementGroupName", Text),
        ignored("PrivateDnsNameOptions", Any),
        ignored("PropagateTagsToVolumeOnCreation", Boolean),
        ignored("RamdiskId", Text),
        ignored("SsmAssociations", List(&Any)),
        ignored("Tenancy", Text),
        ignored("Volumes", List(&Any)),
        read_only("InstanceId"),
        read_only("PrivateDnsName"),
        read_only("PrivateIp"),
        read_only("PublicDnsName"),
        read_only("PublicIp"),
        read_only("State"),
        read_only("VpcId"),
    ],
    privlink: &[optional("Namespace", Text)],
    attributes: &[
        ("InstanceId", Real),
        ("AvailabilityZone", Real),
        ("PrivateDnsName", Real),
        ("PrivateIp", Real),
        ("VpcId", Real),
        ("PublicDnsName", Placeholder("")),
        ("PublicIp", Placeholder("")),
        ("State.Code", Placeholder("16")),
        ("State.Name", Placeholder("running")),
    ],
};

const DNS_OPTIONS: &[Property] = &[
    optional("DnsRecordIpType", Text),
    optional("PrivateDnsOnlyForInboundResolverEndpoint", Text),
    optional("PrivateDnsPreference", Text),
    later(
        "PrivateDnsSpecifiedDomains",
        List(&Text),
        "an endpoint has one private name here; use PrivateDnsPreference: ALL_DOMAINS",
    ),
];

pub(super) const VPC_ENDPOINT: Schema = Schema {
    name: "AWS::EC2::VPCEndpoint",
    kind: Type::VpcEndpoint,
    properties: &[
        optional("VpcEndpointType", Text),
        required("VpcId", Text),
        optional("ResourceConfigurationArn", Text),
        optional("SubnetIds", List(&Text)),
        optional("SecurityGroupIds", List(&Text)),
        optional("PrivateDnsEnabled", Boolean),
        optional("IpAddressType", Text),
        optional("ServiceName", Text),
        optional("Tags", TAGS),
        optional("DnsOptions", Object(DNS_OPTIONS)),
        // It says which calls of an AWS service may pass; connections to others' services know none.
        ignored("PolicyDocument", Any),
        later(
            "RouteTableIds",
            List(&Text),
            "gateway endpoints are not supported yet",
        ),
        later(
            "ServiceNetworkArn",
            Text,
            "service networks are not supported yet",
        ),
        later("ServiceRegion", Text, "other regions are not supported yet"),
        read_only("CreationTimestamp"),
        read_only("DnsEntries"),
        read_only("Id"),
        read_only("NetworkInterfaceIds"),
    ],
    privlink: &[
        optional("Addresses", Map(&Text)),
        optional("Principal", Text),
    ],
    attributes: &[
        ("Id", Real),
        ("NetworkInterfaceIds", Real),
        ("CreationTimestamp", Placeholder("")),
        ("DnsEntries", Real),
    ],
};

pub(super) const VPC_ENDPOINT_SERVICE: Schema = Schema {
    name: "AWS::EC2::VPCEndpointService",
    kind: Type::VpcEndpointService,
    properties: &[
        optional("NetworkLoadBalancerArns", List(&Text)),
        optional("AcceptanceRequired", Boolean),
        optional("Tags", TAGS),
        ignored("ContributorInsightsEnabled", Boolean),
        ignored("PayerResponsibility", Text),
        // Endpoints are IPv4, as are services.
        ignored("SupportedIpAddressTypes", List(&Text)),
        later(
            "GatewayLoadBalancerArns",
            List(&Text),
            "gateway load balancers are not supported; give NetworkLoadBalancerArns",
        ),
        later(
            "SupportedRegions",
            List(&Text),
            "other regions are not supported yet",
        ),
        read_only("ServiceId"),
    ],
    privlink: &[
        optional("AcceptanceTimeout", Integer),
        optional("PrivateDnsName", Text),
    ],
    attributes: &[("ServiceId", Real)],
};

pub(super) const VPC_ENDPOINT_SERVICE_PERMISSIONS: Schema = Schema {
    name: "AWS::EC2::VPCEndpointServicePermissions",
    kind: Type::VpcEndpointServicePermissions,
    properties: &[
        required("ServiceId", Text),
        optional("AllowedPrincipals", List(&Text)),
    ],
    privlink: &[],
    attributes: &[("ServiceId", Real)],
};
