//! The model: one file per AWS noun, the fields named as AWS names them, and beside each how it is made.

mod instance;
mod network_interface;
mod resource_configuration;
mod resource_gateway;
mod security_group;
mod security_group_rule;
mod subnet;
mod tag;
mod vpc;
mod vpc_endpoint;

pub use instance::Instance;
pub use network_interface::{Attachment, NetworkInterface};
pub use resource_configuration::{ResourceConfiguration, ResourceConfigurationStatus};
pub use resource_gateway::{ResourceGateway, ResourceGatewayStatus};
pub use security_group::{
    GROUPS_PER_INTERFACE, RULES_PER_DIRECTION, RulePeer, SecurityGroup, SecurityGroupRule,
};
pub use subnet::Subnet;
pub use tag::{Tag, Tags};
pub use vpc::Vpc;
pub use vpc_endpoint::{VpcEndpoint, VpcEndpointType};
