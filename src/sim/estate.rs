//! A large account: many VPCs with the same CIDR, each of which offers one resource and has endpoints to others'.

use std::net::Ipv4Addr;

use super::load::Load;
use super::packet::tcp;
use super::topology::Topology;
use super::world::World;
use crate::control::command::*;
use crate::control::{ControlState, Owner, Tags, compile, id::*};
use crate::dataplane::EniIdx;
use crate::net::Segment;

/// An account, made by commands.
#[derive(Clone, Debug)]
pub struct Estate {
    /// What the control plane has of it.
    pub state: ControlState,
    /// The VPCs, in the order of their creation.
    pub vpcs: Vec<EstateVpc>,
    /// The endpoints, spread over the VPCs evenly.
    pub endpoints: Vec<EstateEndpoint>,
    /// Names the next rule.
    rules: usize,
}

/// A VPC: 10.0.0.0/16, with one subnet and one instance. Its two security groups have as many ingress rules each, of
/// which the last one admits TCP port 80 from the VPC's own addresses.
#[derive(Clone, Copy, Debug)]
pub struct EstateVpc {
    /// Of its instance, which is the target of its resource.
    pub instance: EniIdx,
    /// What it offers.
    pub resource: ResourceConfigurationId,
    /// Carried by its endpoints.
    pub endpoint_group: SecurityGroupId,
    id: VpcId,
    subnet: SubnetId,
}

/// An endpoint.
#[derive(Clone, Copy, Debug)]
pub struct EstateEndpoint {
    /// Index of the VPC in which it stands.
    pub consumer: usize,
    /// Index of the VPC to whose instance it leads.
    pub provider: usize,
    /// Its address.
    pub address: [u8; 4],
}

/// Where a flow begins, its client and server, and where it ends.
type Flow = (EniIdx, ([u8; 4], u16), ([u8; 4], u16), EniIdx);

/// Executes a command that must succeed; the id of what it makes.
macro_rules! made {
    ($estate:ident, $kind:ident, $command:expr) => {
        match $estate.state.execute($command).unwrap() {
            Created::$kind(id) => id,
            other => panic!("{other}"),
        }
    };
}

impl Estate {
    /// The address of every VPC's instance.
    pub const INSTANCE: [u8; 4] = [10, 0, 0, 4];
    /// The port that every resource offers.
    pub const PORT: u16 = 80;

    /// So many VPCs, endpoints in all, and rules in each of two groups per VPC.
    pub fn new(vpcs: usize, endpoints: usize, rules_per_group: usize) -> Self {
        let owner = Owner::new("000000000000", "ap-northeast-1").unwrap();
        let mut estate = Self {
            state: ControlState::new(owner),
            vpcs: vec![],
            endpoints: vec![],
            rules: 0,
        };
        for vpc in 0..vpcs {
            estate.add_vpc(vpc, rules_per_group);
        }
        for endpoint in 0..endpoints {
            let (consumer, number) = (endpoint % vpcs, endpoint / vpcs);
            estate.add_endpoint(consumer, (consumer + 1 + number) % vpcs);
        }
        estate
    }

    /// As the data plane gets it.
    pub fn topology(&self) -> Topology {
        let config = compile(&self.state);
        Topology { config }
    }

    /// A SYN for each of so many flows, the n-th through the n-th of so many endpoints.
    pub fn opening(&self, flows: usize, endpoints: usize) -> Load {
        let mut load = Load::new(&tcp((Self::INSTANCE, 0), (Self::INSTANCE, 0)));
        for (from, client, server, _) in self.flows(flows, endpoints) {
            load.push(from, &tcp(client, server));
        }
        load.shuffle();
        load
    }

    /// Opens these flows in a world of this account; a full packet of each client's.
    pub fn established(&self, world: &mut World, flows: usize, endpoints: usize) -> Load {
        let like = tcp((Self::INSTANCE, 0), (Self::INSTANCE, 0));
        let like = like.segment(Segment::ACK, 1001, 5001);
        let mut load = Load::new(&like.payload(&[0; 1400]));
        for (from, client, server, to) in self.flows(flows, endpoints) {
            let [outbound, _] = world.connect_between(from, client, server, to);
            load.push(from, &outbound);
        }
        load.shuffle();
        load
    }

    fn flows(&self, flows: usize, endpoints: usize) -> impl Iterator<Item = Flow> {
        (0..flows).map(move |number| {
            let endpoint = self.endpoints[number % endpoints];
            (
                self.vpcs[endpoint.consumer].instance,
                (Self::INSTANCE, 1024 + number as u16),
                (endpoint.address, Self::PORT),
                self.vpcs[endpoint.provider].instance,
            )
        })
    }

    fn add_vpc(&mut self, number: usize, rules_per_group: usize) {
        let id = made!(
            self,
            Vpc,
            Command::CreateVpc(CreateVpc {
                client_token: format!("vpc{number}"),
                cidr_block: "10.0.0.0/16".into(),
                enable_dns_hostnames: Some(true),
                ..CreateVpc::default()
            })
        );
        let subnet = made!(
            self,
            Subnet,
            Command::CreateSubnet(CreateSubnet {
                client_token: format!("subnet{number}"),
                vpc_id: id,
                cidr_block: "10.0.0.0/20".into(),
                availability_zone: None,
                tags: Tags::default(),
            })
        );
        let target_group = self.add_group(format!("target{number}"), id, rules_per_group);
        let endpoint_group = self.add_group(format!("endpoint{number}"), id, rules_per_group);
        let instance = made!(
            self,
            Instance,
            Command::RunInstance(RunInstance {
                client_token: format!("instance{number}"),
                subnet_id: subnet,
                private_ip_address: None,
                security_group_ids: vec![target_group],
                source_dest_check: None,
                user_data: None,
                namespace: None,
                tags: Tags::default(),
            })
        );
        let interface = self.state.instance(&instance).unwrap().network_interface_id;
        let instance = self.state.network_interface(&interface).unwrap().idx;
        let resource = self.add_resource(number, id, subnet, target_group);
        self.vpcs.push(EstateVpc {
            instance,
            resource,
            endpoint_group,
            id,
            subnet,
        });
    }

    fn add_resource(
        &mut self,
        number: usize,
        vpc: VpcId,
        subnet: SubnetId,
        group: SecurityGroupId,
    ) -> ResourceConfigurationId {
        let gateway = made!(
            self,
            ResourceGateway,
            Command::CreateResourceGateway(CreateResourceGateway {
                client_token: format!("gateway{number}"),
                name: format!("gateway{number}"),
                vpc_identifier: vpc,
                subnet_ids: vec![subnet],
                security_group_ids: vec![group],
                ip_address_type: None,
                ipv4_addresses_per_eni: None,
                resource_config_dns_resolution: None,
                tags: Tags::default(),
            })
        );
        let target = Ipv4Addr::from(Self::INSTANCE).to_string();
        made!(
            self,
            ResourceConfiguration,
            Command::CreateResourceConfiguration(CreateResourceConfiguration {
                client_token: format!("resource{number}"),
                name: format!("resource{number}"),
                resource_configuration_type: "SINGLE".into(),
                resource_gateway_id: Some(gateway),
                resource_configuration_definition: Some(
                    ResourceConfigurationDefinition::IpResource(target),
                ),
                port_ranges: vec![Self::PORT.to_string()],
                protocol_type: None,
                protocols: None,
                idle_timeout: None,
                proxy_protocol: None,
                custom_domain_name: None,
                tags: Tags::default(),
            })
        )
    }

    fn add_group(&mut self, token: String, vpc_id: VpcId, rules: usize) -> SecurityGroupId {
        let group = made!(
            self,
            SecurityGroup,
            Command::CreateSecurityGroup(CreateSecurityGroup {
                client_token: token,
                group_name: None,
                group_description: "as many rules as its neighbours".into(),
                vpc_id,
                tags: Tags::default(),
            })
        );
        for rule in (0..rules).rev() {
            self.add_rule(group, &format!("10.{rule}.0.0/16"));
        }
        group
    }

    /// Has the group admit TCP port 80 from this range, by one command.
    pub fn add_rule(&mut self, group_id: SecurityGroupId, cidr: &str) {
        self.rules += 1;
        let rule = AuthorizeSecurityGroupIngress {
            client_token: format!("rule{}", self.rules),
            group_id,
            ip_protocol: "tcp".into(),
            from_port: Some(Self::PORT.into()),
            to_port: Some(Self::PORT.into()),
            cidr_ip: Some(cidr.into()),
            cidr_ipv6: None,
            source_security_group_id: None,
            source_prefix_list_id: None,
            description: None,
        };
        let command = Command::AuthorizeSecurityGroupIngress(rule);
        self.state.execute(command).unwrap();
    }

    /// Makes an endpoint from one VPC to another's resource, by one command.
    pub fn add_endpoint(&mut self, consumer: usize, provider: usize) {
        let EstateVpc {
            id,
            subnet,
            endpoint_group,
            ..
        } = self.vpcs[consumer];
        let endpoint = made!(
            self,
            VpcEndpoint,
            Command::CreateVpcEndpoint(CreateVpcEndpoint {
                client_token: format!("endpoint{}", self.endpoints.len()),
                vpc_endpoint_type: Some("Resource".into()),
                vpc_id: id,
                resource_configuration_arn: Some(self.vpcs[provider].resource),
                subnet_ids: vec![subnet],
                security_group_ids: vec![endpoint_group],
                ip_address_type: None,
                private_dns_enabled: None,
                dns_options: DnsOptions::default(),
                addresses: vec![],
                service_name: None,
                principal: None,
                tags: Tags::default(),
            })
        );
        let endpoint = self.state.vpc_endpoint(&endpoint).unwrap();
        let interface = &endpoint.network_interface_ids[0];
        let interface = self.state.network_interface(interface).unwrap();
        self.endpoints.push(EstateEndpoint {
            consumer,
            provider,
            address: interface.private_ip_addresses[0].octets(),
        });
    }
}
