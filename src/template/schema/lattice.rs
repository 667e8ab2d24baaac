//! The types of `AWS::VpcLattice`.

use super::Attribute::Real;
use super::Kind::{Boolean, Integer, List, Object, Text};
use super::*;

pub(super) const RESOURCE_GATEWAY: Schema = Schema {
    name: "AWS::VpcLattice::ResourceGateway",
    kind: Type::ResourceGateway,
    properties: &[
        required("Name", Text),
        required("VpcIdentifier", Text),
        required("SubnetIds", List(&Text)),
        optional("SecurityGroupIds", List(&Text)),
        optional("IpAddressType", Text),
        optional("Ipv4AddressesPerEni", Integer),
        optional("ResourceConfigDnsResolution", Text),
        optional("Tags", TAGS),
        read_only("Arn"),
        read_only("Id"),
    ],
    privlink: &[],
    attributes: &[("Arn", Real), ("Id", Real)],
};

const DNS_RESOURCE: &[Property] = &[
    required("DomainName", Text),
    required("IpAddressType", Text),
];

const DEFINITION: &[Property] = &[
    optional("IpResource", Text),
    optional("DnsResource", Object(DNS_RESOURCE)),
    optional("ArnResource", Text),
];

const GROUPS: &str = "only resource configurations of type SINGLE are supported so far";

pub(super) const RESOURCE_CONFIGURATION: Schema = Schema {
    name: "AWS::VpcLattice::ResourceConfiguration",
    kind: Type::ResourceConfiguration,
    properties: &[
        required("Name", Text),
        required("ResourceConfigurationType", Text),
        optional("ResourceGatewayId", Text),
        optional("ResourceConfigurationDefinition", Object(DEFINITION)),
        optional("PortRanges", List(&Text)),
        optional("ProtocolType", Text),
        ignored("AllowAssociationToSharableServiceNetwork", Boolean),
        optional("CustomDomainName", Text),
        // Here a custom domain needs no proof.
        ignored("DomainVerificationId", Text),
        later("GroupDomain", Text, GROUPS),
        ignored("ResourceConfigurationAuthType", Text),
        later("ResourceConfigurationGroupId", Text, GROUPS),
        optional("Tags", TAGS),
        read_only("Arn"),
        read_only("Id"),
    ],
    privlink: &[
        optional("Protocols", List(&Text)),
        optional("IdleTimeout", Integer),
        optional("ProxyProtocol", Boolean),
    ],
    attributes: &[("Arn", Real), ("Id", Real)],
};
