//! The model: one file per AWS noun, the fields named as AWS names them, and beside each how it is made.

mod attribute;
mod dns_entry;
mod health_check;
mod hosted_zone;
mod instance;
mod listener;
mod load_balancer;
mod network_interface;
mod private_dns;
mod private_dns_name;
mod record_set;
mod record_value;
mod resource_configuration;
mod resource_gateway;
mod security_group;
mod security_group_rule;
mod subnet;
mod tag;
mod target;
mod target_group;
mod vpc;
mod vpc_endpoint;
mod vpc_endpoint_connection;
mod vpc_endpoint_service;
mod vpc_endpoint_service_permissions;

pub use dns_entry::DnsEntry;
pub use hosted_zone::HostedZone;
pub use instance::Instance;
pub use listener::Listener;
pub use load_balancer::LoadBalancer;
pub use network_interface::{Attachment, NetworkInterface};
pub use private_dns_name::{PrivateDnsName, PrivateDnsNameConfiguration, PrivateDnsNameEvent};
pub use record_set::{Answer, RecordSet, RecordType};
pub use record_value::RecordValue;
pub use resource_configuration::{
    ResourceConfiguration, ResourceConfigurationStatus, ResourceDefinition,
};
pub use resource_gateway::{DnsResolution, ResourceGateway, ResourceGatewayStatus};
pub use security_group::{
    GROUPS_PER_INTERFACE, RULES_PER_DIRECTION, RulePeer, SecurityGroup, SecurityGroupRule,
};
pub use subnet::Subnet;
pub use tag::{Tag, Tags};
pub use target::{TARGETS_PER_GROUP, Target, TargetId};
pub use target_group::{TargetGroup, TargetType};
pub use vpc::Vpc;
pub use vpc_endpoint::{EndpointDestination, VpcEndpoint};
pub use vpc_endpoint_connection::{ConnectionEvent, ConnectionEventKind};
pub use vpc_endpoint_service::VpcEndpointService;
pub use vpc_endpoint_service_permissions::Principal;
