//! An instance: here a network namespace with one interface.

use std::net::Ipv4Addr;

use super::network_interface::{Holder, Place};
use super::{Attachment, Tags, TargetId};
use crate::control::checks::All;
use crate::control::command::RunInstance;
use crate::control::error::{ControlError, ControlErrors};
use crate::control::id::{InstanceId, NetworkInterfaceId, SubnetId, VpcId};
use crate::control::{ControlState, DomainName};

/// How long UserData may be, in bytes, as EC2 limits it.
const LONGEST_USER_DATA: usize = 16_384;

/// An EC2 instance.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Instance {
    /// Its id.
    pub instance_id: InstanceId,
    /// Whose address space it lives in.
    pub vpc_id: VpcId,
    /// Where its interface stands.
    pub subnet_id: SubnetId,
    /// The subnet's zone.
    pub availability_zone: String,
    /// Its interface.
    pub network_interface_id: NetworkInterfaceId,
    /// Its interface's address.
    pub private_ip_address: Ipv4Addr,
    /// Its name in its VPC: `ip-172-18-0-10.<region>.compute.internal`.
    pub private_dns_name: DomainName,
    /// Its network namespace, unique among all instances.
    pub namespace: String,
    /// Its script, decoded.
    #[serde(skip)]
    pub user_data: Option<Vec<u8>>,
    /// `Name` and others.
    pub tags: Tags,
    /// What its creator called it; the logical id.
    #[serde(rename = "LogicalId")]
    pub client_token: String,
}

impl ControlState {
    pub(in crate::control) fn run_instance(
        &mut self,
        command: RunInstance,
    ) -> Result<InstanceId, ControlErrors> {
        let token = command.client_token;
        self.fresh::<InstanceId>(&token)?;
        self.own(command.subnet_id, "SubnetId")?;
        let subnet = self.subnets.require(command.subnet_id, "SubnetId")?;
        let vpc = self.vpcs.require(subnet.vpc_id, "SubnetId")?;
        let subnet_name = format!("subnet {}", self.named_subnet(command.subnet_id));
        let (given, property) = match &command.private_ip_address {
            Some(given) => (Some(given.as_str()), "PrivateIpAddress"),
            None => (None, "SubnetId"),
        };
        let (groups, private_ip_address, namespace, user_data) = (
            self.groups_for(vpc, &command.security_group_ids, &subnet_name),
            self.choose_address(subnet, &token, given, property),
            self.namespace(command.namespace, &command.tags, &token),
            checked_user_data(command.user_data),
        )
            .all()?;
        let vpc_id = vpc.vpc_id;
        let availability_zone = subnet.availability_zone.clone();
        let place = Place::new(subnet, vec![private_ip_address]);

        let instance_id: InstanceId = self.mint.mint(&self.owner, &token);
        let holder = Holder {
            token: &token,
            noun: "instance",
            id: instance_id.to_string(),
            groups: &groups,
            source_dest_check: command.source_dest_check.unwrap_or(true),
            attachment: Attachment::Instance(instance_id),
        };
        let network_interface_id = self.place(&holder, place);
        self.namespaces.insert(namespace.clone(), instance_id);
        let domain = DomainName::of_instances(self.owner.region());
        let instance = Instance {
            instance_id,
            vpc_id,
            subnet_id: command.subnet_id,
            availability_zone,
            network_interface_id,
            private_ip_address,
            private_dns_name: DomainName::of_instance(private_ip_address, &domain),
            namespace,
            user_data,
            tags: command.tags,
            client_token: token,
        };
        self.instances.insert(instance_id, instance);
        Ok(instance_id)
    }

    pub(in crate::control) fn terminate_instance(
        &mut self,
        instance_id: InstanceId,
    ) -> Result<(), ControlErrors> {
        self.own(instance_id, "InstanceId")?;
        let Some(instance) = self.instances.remove(&instance_id) else {
            return Err(ControlError::not_found(instance_id, "InstanceId").into());
        };
        self.forget_targets(TargetId::Instance(instance_id));
        self.displace(instance.network_interface_id);
        self.namespaces.remove(&instance.namespace);
        self.mint.release(instance_id);
        Ok(())
    }

    /// The instance's network namespace: a file name under `/run/netns`, of no other instance.
    fn namespace(
        &self,
        given: Option<String>,
        tags: &Tags,
        token: &str,
    ) -> Result<String, ControlError> {
        let (namespace, property) = match (given, tags.name()) {
            (Some(given), _) => (given, "Metadata.privlink.Namespace"),
            (None, Some(name)) => (name.to_owned(), "Tags"),
            (None, None) => (token.to_owned(), ""),
        };
        let why = if namespace.is_empty() || namespace.len() > 255 {
            Some("a name has 1 to 255 bytes")
        } else if namespace.contains('/') || namespace.chars().any(char::is_control) {
            Some("it must have neither `/` nor control characters")
        } else if namespace.starts_with(['.', '-']) {
            Some("it must begin with neither `.` nor `-`")
        } else {
            None
        };
        if let Some(why) = why {
            return Err(ControlError::Namespace {
                property: property.to_owned(),
                given: namespace,
                why,
            });
        }
        match self.namespaces.get(&namespace) {
            None => Ok(namespace),
            Some(by) => Err(ControlError::NamespaceTaken {
                property: property.to_owned(),
                given: namespace,
                by: self.named_instance(*by),
            }),
        }
    }
}

fn checked_user_data(given: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, ControlError> {
    match given.as_ref().map_or(0, Vec::len) {
        0..=LONGEST_USER_DATA => Ok(given),
        given => Err(ControlError::UserData {
            given,
            limit: LONGEST_USER_DATA,
        }),
    }
}
