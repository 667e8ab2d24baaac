//! The commands of `AWS::EC2`'s types.

use super::Creation;
use super::place::{Place, boolean, integer, list, tags, text, texts};
use crate::control::ControlState;
use crate::control::command::*;
use crate::control::id::{SecurityGroupId, SubnetId};
use crate::template::base64;
use crate::template::node::{Entry, Node};

impl<'a> Creation<'a, '_> {
    pub(super) fn vpc(&mut self, place: Place) -> Option<CreateVpc> {
        Some(CreateVpc {
            client_token: self.logical_id.to_owned(),
            cidr_block: text(place, "CidrBlock")?,
            enable_dns_support: boolean(place, "EnableDnsSupport"),
            enable_dns_hostnames: boolean(place, "EnableDnsHostnames"),
            tags: tags(place),
        })
    }

    pub(super) fn subnet(&mut self, place: Place) -> Option<CreateSubnet> {
        Some(CreateSubnet {
            client_token: self.logical_id.to_owned(),
            vpc_id: self.id(place, "VpcId")?,
            cidr_block: text(place, "CidrBlock")?,
            availability_zone: text(place, "AvailabilityZone"),
            tags: tags(place),
        })
    }

    pub(super) fn security_group(
        &mut self,
        place: Place,
        state: &mut ControlState,
    ) -> Option<Created> {
        let command = CreateSecurityGroup {
            client_token: self.logical_id.to_owned(),
            group_name: text(place, "GroupName"),
            group_description: text(place, "GroupDescription")?,
            vpc_id: self.id(place, "VpcId")?,
            tags: tags(place),
        };
        let before = self.report.count();
        let unnamed = CreateSecurityGroup {
            group_name: None,
            ..command.clone()
        };
        let created = match self.execute(Command::CreateSecurityGroup(command), place, state) {
            Some(created) => created,
            // Its rules' errors are wanted all the same; they do not need the name that was refused.
            None => state.execute(Command::CreateSecurityGroup(unnamed)).ok()?,
        };
        let Created::SecurityGroup(group) = created else {
            return None;
        };
        for (property, is_ingress) in [
            ("SecurityGroupIngress", true),
            ("SecurityGroupEgress", false),
        ] {
            for (i, node) in list(place, property).iter().enumerate() {
                let prefix = &format!("{property}.{i}.");
                let rule = Place { node, prefix };
                let token = format!("{}/{property}.{i}", self.logical_id);
                let command = match is_ingress {
                    true => self
                        .ingress(rule, group, token)
                        .map(Command::AuthorizeSecurityGroupIngress),
                    false => self
                        .egress(rule, group, token)
                        .map(Command::AuthorizeSecurityGroupEgress),
                };
                if let Some(command) = command {
                    self.execute(command, rule, state);
                }
            }
        }
        (self.report.count() == before).then_some(created)
    }

    pub(super) fn ingress(
        &mut self,
        place: Place,
        group_id: SecurityGroupId,
        client_token: String,
    ) -> Option<AuthorizeSecurityGroupIngress> {
        Some(AuthorizeSecurityGroupIngress {
            client_token,
            group_id,
            ip_protocol: text(place, "IpProtocol")?,
            from_port: integer(place, "FromPort"),
            to_port: integer(place, "ToPort"),
            cidr_ip: text(place, "CidrIp"),
            cidr_ipv6: text(place, "CidrIpv6"),
            source_security_group_id: self.optional_id(place, "SourceSecurityGroupId")?,
            source_prefix_list_id: text(place, "SourcePrefixListId"),
            description: text(place, "Description"),
        })
    }

    pub(super) fn egress(
        &mut self,
        place: Place,
        group_id: SecurityGroupId,
        client_token: String,
    ) -> Option<AuthorizeSecurityGroupEgress> {
        Some(AuthorizeSecurityGroupEgress {
            client_token,
            group_id,
            ip_protocol: text(place, "IpProtocol")?,
            from_port: integer(place, "FromPort"),
            to_port: integer(place, "ToPort"),
            cidr_ip: text(place, "CidrIp"),
            cidr_ipv6: text(place, "CidrIpv6"),
            destination_security_group_id: self.optional_id(place, "DestinationSecurityGroupId")?,
            destination_prefix_list_id: text(place, "DestinationPrefixListId"),
            description: text(place, "Description"),
            replaces_default: true,
        })
    }

    pub(super) fn instance(&mut self, own: Place<'a>, state: &mut ControlState) -> Option<Created> {
        // All of them first, so that one run shows all their errors.
        let user_data = self.user_data(own);
        let (place, groups) = self.interface(own)?;
        let address = self.instance_address(place);
        let security_group_ids = self.ids(place, groups);
        let subnet_id = match place.node.entry("SubnetId") {
            Some(_) => self.id(place, "SubnetId"),
            None => {
                let help = "there is no default VPC here";
                let message = "the required SubnetId is missing";
                self.fail_with_help(self.at, "", message, help)
            }
        };
        let command = RunInstance {
            client_token: self.logical_id.to_owned(),
            subnet_id: subnet_id?,
            private_ip_address: address.clone().flatten(),
            security_group_ids: security_group_ids?,
            source_dest_check: boolean(own, "SourceDestCheck"),
            user_data: user_data.clone().flatten(),
            namespace: self.privlink_text("Namespace"),
            tags: tags(own),
        };
        let created = self.execute(Command::RunInstance(command), own, state);
        // Without them the command has shown what else is wrong, but it is not what was written.
        user_data.and(address).and(created)
    }

    /// Where the interface's properties stand, and how its groups are called there.
    fn interface(&mut self, own: Place<'a>) -> Option<(Place<'a>, &'static str)> {
        let Some(entry) = own.node.entry("NetworkInterfaces") else {
            return Some((own, "SecurityGroupIds"));
        };
        let at = entry.value.at;
        let node = match entry.value.as_list() {
            Some([node]) => node,
            _ => {
                return self.fail(
                    at,
                    "NetworkInterfaces",
                    "an instance has one interface here",
                );
            }
        };
        for rival in ["SubnetId", "SecurityGroupIds", "PrivateIpAddress"] {
            if let Some(entry) = own.node.entry(rival) {
                let message = "cannot stand beside NetworkInterfaces; write it there";
                return self.fail(entry.key_at, rival, message);
            }
        }
        let prefix = "NetworkInterfaces.0.";
        Some((Place { node, prefix }, "GroupSet"))
    }

    /// The outer `None`: an error.
    fn instance_address(&mut self, place: Place) -> Option<Option<String>> {
        let Some(entry) = place.node.entry("PrivateIpAddresses") else {
            return Some(text(place, "PrivateIpAddress"));
        };
        let one = match entry.value.as_list() {
            Some([only]) if place.node.entry("PrivateIpAddress").is_none() => {
                only.child("PrivateIpAddress").and_then(Node::as_text)
            }
            _ => None,
        };
        match one {
            Some(address) => Some(Some(address.to_owned())),
            None => {
                let path = format!("{}PrivateIpAddresses", place.prefix);
                self.fail(entry.value.at, &path, "an instance has one address here")
            }
        }
    }

    /// The outer `None`: an error.
    fn user_data(&mut self, place: Place) -> Option<Option<Vec<u8>>> {
        let Some(node) = place.node.child("UserData") else {
            return Some(None);
        };
        match node.as_text().and_then(base64::decode) {
            Some(script) => Some(Some(script)),
            None => {
                let help = "write it as Fn::Base64: the script";
                self.fail_with_help(node.at, "UserData", "UserData is not base64", help)
            }
        }
    }

    pub(super) fn vpc_endpoint(&mut self, place: Place) -> Option<CreateVpcEndpoint> {
        // All ids first, so that one run shows all their errors.
        let addresses = self.addresses();
        let configuration = self.optional_id(place, "ResourceConfigurationArn");
        let vpc_id = self.id(place, "VpcId");
        let subnet_ids = self.ids(place, "SubnetIds");
        let security_group_ids = self.ids(place, "SecurityGroupIds");
        Some(CreateVpcEndpoint {
            client_token: self.logical_id.to_owned(),
            vpc_endpoint_type: text(place, "VpcEndpointType"),
            vpc_id: vpc_id?,
            resource_configuration_arn: configuration?,
            service_name: text(place, "ServiceName"),
            subnet_ids: subnet_ids?,
            security_group_ids: security_group_ids?,
            ip_address_type: text(place, "IpAddressType"),
            private_dns_enabled: boolean(place, "PrivateDnsEnabled"),
            dns_options: dns_options(place),
            addresses,
            principal: self.privlink_text("Principal"),
            tags: tags(place),
        })
    }

    pub(super) fn vpc_endpoint_service(
        &mut self,
        place: Place,
    ) -> Option<CreateVpcEndpointServiceConfiguration> {
        let privlink = self.privlink.map(|node| Place { node, prefix: "" });
        Some(CreateVpcEndpointServiceConfiguration {
            client_token: self.logical_id.to_owned(),
            network_load_balancer_arns: self.ids(place, "NetworkLoadBalancerArns")?,
            acceptance_required: boolean(place, "AcceptanceRequired"),
            acceptance_timeout: privlink.and_then(|p| integer(p, "AcceptanceTimeout")),
            private_dns_name: self.privlink_text("PrivateDnsName"),
            tags: tags(place),
        })
    }

    pub(super) fn vpc_endpoint_service_permissions(
        &mut self,
        place: Place,
    ) -> Option<ModifyVpcEndpointServicePermissions> {
        Some(ModifyVpcEndpointServicePermissions {
            service_id: self.id(place, "ServiceId")?,
            add_allowed_principals: texts(place, "AllowedPrincipals"),
            remove_allowed_principals: vec![],
        })
    }

    fn addresses(&self) -> Vec<(SubnetId, String)> {
        let entries: &[Entry] = self
            .privlink
            .and_then(|p| p.child("Addresses"))
            .and_then(Node::as_map)
            .unwrap_or_default();
        let addresses = entries.iter().filter_map(|e| e.value.as_text());
        let subnets = self.address_subnets.iter().copied();
        subnets.zip(addresses.map(str::to_owned)).collect()
    }
}

fn dns_options(place: Place) -> DnsOptions {
    let Some(node) = place.node.child("DnsOptions") else {
        return DnsOptions::default();
    };
    let options = Place {
        node,
        prefix: "DnsOptions.",
    };
    let key = "PrivateDnsOnlyForInboundResolverEndpoint";
    DnsOptions {
        dns_record_ip_type: text(options, "DnsRecordIpType"),
        private_dns_only_for_inbound_resolver_endpoint: text(options, key),
        private_dns_preference: text(options, "PrivateDnsPreference"),
    }
}
