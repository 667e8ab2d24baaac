//! Tests of the control plane by its commands: what they make, what they refuse, and what compiles out of it.

mod connections;
mod deleted;
mod endpoint_names;
mod hosted_zones;
mod load_balancing;
mod made;
mod names;
mod owners;
mod private_dns;
mod private_names;
mod refused;
mod scale;
mod w1;

use super::command::*;
use super::*;

/// A state and short words for the commands that tests need. Each command's token is the name given first.
struct Account {
    state: ControlState,
}

impl Account {
    fn new() -> Self {
        let owner = Owner::new("000000000000", "ap-northeast-1").unwrap();
        Self {
            state: ControlState::new(owner),
        }
    }

    /// Executes what must succeed.
    #[track_caller]
    fn done(&mut self, command: Command) -> Created {
        self.state.execute(command).unwrap()
    }

    /// Executes what must be refused; the state must stay as it was.
    #[track_caller]
    fn refused_for(&mut self, command: Command) -> Vec<ControlError> {
        let before = format!("{:?}", self.state);
        let errors = self.state.execute(command).unwrap_err();
        assert_eq!(before, format!("{:?}", self.state), "{errors}");
        errors.iter().cloned().collect()
    }

    /// Executes what must be refused for one reason.
    #[track_caller]
    fn refused(&mut self, command: Command) -> ControlError {
        let mut errors = self.refused_for(command);
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors.remove(0)
    }

    #[track_caller]
    fn vpc(&mut self, token: &str, cidr_block: &str) -> VpcId {
        match self.done(Command::CreateVpc(vpc(token, cidr_block))) {
            Created::Vpc(id) => id,
            other => panic!("{other}"),
        }
    }

    #[track_caller]
    fn subnet(&mut self, token: &str, vpc_id: VpcId, cidr_block: &str, zone: &str) -> SubnetId {
        match self.done(Command::CreateSubnet(subnet(
            token, vpc_id, cidr_block, zone,
        ))) {
            Created::Subnet(id) => id,
            other => panic!("{other}"),
        }
    }

    #[track_caller]
    fn group(&mut self, token: &str, vpc_id: VpcId) -> SecurityGroupId {
        match self.done(Command::CreateSecurityGroup(group(token, vpc_id))) {
            Created::SecurityGroup(id) => id,
            other => panic!("{other}"),
        }
    }

    #[track_caller]
    fn instance(&mut self, command: RunInstance) -> InstanceId {
        match self.done(Command::RunInstance(command)) {
            Created::Instance(id) => id,
            other => panic!("{other}"),
        }
    }

    #[track_caller]
    fn gateway(&mut self, command: CreateResourceGateway) -> ResourceGatewayId {
        match self.done(Command::CreateResourceGateway(command)) {
            Created::ResourceGateway(id) => id,
            other => panic!("{other}"),
        }
    }

    #[track_caller]
    fn configuration(&mut self, command: CreateResourceConfiguration) -> ResourceConfigurationId {
        match self.done(Command::CreateResourceConfiguration(command)) {
            Created::ResourceConfiguration(id) => id,
            other => panic!("{other}"),
        }
    }

    #[track_caller]
    fn load_balancer(&mut self, command: CreateLoadBalancer) -> LoadBalancerId {
        match self.done(Command::CreateLoadBalancer(command)) {
            Created::LoadBalancer(id) => id,
            other => panic!("{other}"),
        }
    }

    #[track_caller]
    fn target_group(&mut self, command: CreateTargetGroup) -> TargetGroupId {
        match self.done(Command::CreateTargetGroup(command)) {
            Created::TargetGroup(id) => id,
            other => panic!("{other}"),
        }
    }

    #[track_caller]
    fn listener(&mut self, command: CreateListener) -> ListenerId {
        match self.done(Command::CreateListener(command)) {
            Created::Listener(id) => id,
            other => panic!("{other}"),
        }
    }

    #[track_caller]
    fn service(&mut self, command: CreateVpcEndpointServiceConfiguration) -> VpcEndpointServiceId {
        match self.done(Command::CreateVpcEndpointServiceConfiguration(command)) {
            Created::VpcEndpointService(id) => id,
            other => panic!("{other}"),
        }
    }

    #[track_caller]
    fn endpoint(&mut self, command: CreateVpcEndpoint) -> VpcEndpointId {
        match self.done(Command::CreateVpcEndpoint(command)) {
            Created::VpcEndpoint(id) => id,
            other => panic!("{other}"),
        }
    }
}

use super::id::*;

fn vpc(token: &str, cidr_block: &str) -> CreateVpc {
    CreateVpc {
        client_token: token.into(),
        cidr_block: cidr_block.into(),
        ..CreateVpc::default()
    }
}

fn subnet(token: &str, vpc_id: VpcId, cidr_block: &str, zone: &str) -> CreateSubnet {
    CreateSubnet {
        client_token: token.into(),
        vpc_id,
        cidr_block: cidr_block.into(),
        availability_zone: Some(zone.into()),
        tags: Tags::default(),
    }
}

fn group(token: &str, vpc_id: VpcId) -> CreateSecurityGroup {
    CreateSecurityGroup {
        client_token: token.into(),
        group_name: None,
        group_description: "a test's".into(),
        vpc_id,
        tags: Tags::default(),
    }
}

/// tcp 80 from nobody yet.
fn ingress(token: &str, group_id: SecurityGroupId) -> AuthorizeSecurityGroupIngress {
    AuthorizeSecurityGroupIngress {
        client_token: token.into(),
        group_id,
        ip_protocol: "tcp".into(),
        from_port: Some(80),
        to_port: Some(80),
        cidr_ip: None,
        cidr_ipv6: None,
        source_security_group_id: None,
        source_prefix_list_id: None,
        description: None,
    }
}

/// tcp 80 to nobody yet, as a template has it.
fn egress(token: &str, group_id: SecurityGroupId) -> AuthorizeSecurityGroupEgress {
    AuthorizeSecurityGroupEgress {
        client_token: token.into(),
        group_id,
        ip_protocol: "tcp".into(),
        from_port: Some(80),
        to_port: Some(80),
        cidr_ip: None,
        cidr_ipv6: None,
        destination_security_group_id: None,
        destination_prefix_list_id: None,
        description: None,
        replaces_default: true,
    }
}

fn instance(token: &str, subnet_id: SubnetId) -> RunInstance {
    RunInstance {
        client_token: token.into(),
        subnet_id,
        private_ip_address: None,
        security_group_ids: vec![],
        source_dest_check: None,
        user_data: None,
        namespace: None,
        tags: Tags::default(),
    }
}

fn gateway(token: &str, vpc_identifier: VpcId, subnet_ids: &[SubnetId]) -> CreateResourceGateway {
    CreateResourceGateway {
        client_token: token.into(),
        name: token.to_lowercase(),
        vpc_identifier,
        subnet_ids: subnet_ids.into(),
        security_group_ids: vec![],
        ip_address_type: None,
        ipv4_addresses_per_eni: None,
        resource_config_dns_resolution: None,
        tags: Tags::default(),
    }
}

fn configuration(
    token: &str,
    gateway_id: ResourceGatewayId,
    target: &str,
) -> CreateResourceConfiguration {
    CreateResourceConfiguration {
        client_token: token.into(),
        name: token.to_lowercase(),
        resource_configuration_type: "SINGLE".into(),
        resource_gateway_id: Some(gateway_id),
        resource_configuration_definition: Some(ResourceConfigurationDefinition::IpResource(
            target.into(),
        )),
        port_ranges: vec!["1-65535".into()],
        protocol_type: Some("TCP".into()),
        protocols: None,
        idle_timeout: None,
        proxy_protocol: None,
        custom_domain_name: None,
        tags: Tags::default(),
    }
}

fn endpoint(
    token: &str,
    vpc_id: VpcId,
    configuration_id: ResourceConfigurationId,
    subnet_ids: &[SubnetId],
) -> CreateVpcEndpoint {
    CreateVpcEndpoint {
        client_token: token.into(),
        vpc_endpoint_type: Some("Resource".into()),
        vpc_id,
        resource_configuration_arn: Some(configuration_id),
        subnet_ids: subnet_ids.into(),
        security_group_ids: vec![],
        ip_address_type: None,
        private_dns_enabled: None,
        dns_options: DnsOptions::default(),
        addresses: vec![],
        service_name: None,
        principal: None,
        tags: Tags::default(),
    }
}

fn load_balancer(token: &str, subnets: &[SubnetId]) -> CreateLoadBalancer {
    CreateLoadBalancer {
        client_token: token.into(),
        name: Some(token.into()),
        load_balancer_type: Some("network".into()),
        scheme: Some("internal".into()),
        subnets: subnets.into(),
        ..CreateLoadBalancer::default()
    }
}

/// TCP 80, by instance.
fn target_group(token: &str, vpc_id: VpcId) -> CreateTargetGroup {
    CreateTargetGroup {
        client_token: token.into(),
        name: Some(token.into()),
        protocol: Some("TCP".into()),
        port: Some(80),
        vpc_id: Some(vpc_id),
        ..CreateTargetGroup::default()
    }
}

/// TCP 80.
fn listener(token: &str, load_balancer: LoadBalancerId, group: TargetGroupId) -> CreateListener {
    CreateListener {
        client_token: token.into(),
        load_balancer,
        port: Some(80),
        protocol: Some("TCP".into()),
        default_actions: vec![Action {
            action_type: "forward".into(),
            target_groups: vec![group],
        }],
        attributes: vec![],
    }
}

/// Acceptance required.
fn service(
    token: &str,
    load_balancers: &[LoadBalancerId],
) -> CreateVpcEndpointServiceConfiguration {
    CreateVpcEndpointServiceConfiguration {
        client_token: token.into(),
        network_load_balancer_arns: load_balancers.into(),
        ..CreateVpcEndpointServiceConfiguration::default()
    }
}

fn interface_endpoint(
    token: &str,
    vpc_id: VpcId,
    service_name: &str,
    subnet_ids: &[SubnetId],
) -> CreateVpcEndpoint {
    CreateVpcEndpoint {
        client_token: token.into(),
        vpc_endpoint_type: Some("Interface".into()),
        vpc_id,
        resource_configuration_arn: None,
        service_name: Some(service_name.into()),
        subnet_ids: subnet_ids.into(),
        security_group_ids: vec![],
        ip_address_type: None,
        private_dns_enabled: None,
        dns_options: DnsOptions::default(),
        addresses: vec![],
        principal: None,
        tags: Tags::default(),
    }
}

fn attribute(key: &str, value: &str) -> Attribute {
    Attribute {
        key: key.into(),
        value: value.into(),
    }
}

fn target(id: impl ToString) -> TargetDescription {
    TargetDescription {
        id: id.to_string(),
        ..TargetDescription::default()
    }
}

/// The message with `ID` for every id.
fn without_ids(message: &str) -> String {
    let mut text = String::new();
    let mut digits = 0;
    for char in message.chars() {
        text.push(char);
        digits = if char.is_ascii_hexdigit() {
            digits + 1
        } else {
            0
        };
        if digits == 17 {
            text.truncate(text.len() - 17);
            let prefix = text.trim_end_matches('-');
            let start = prefix.rfind(|char: char| !char.is_ascii_lowercase() && char != '-');
            text.truncate(start.map_or(0, |at| at + 1));
            text.push_str("ID");
        }
    }
    text
}

fn tags(name: &str) -> Tags {
    Tags(vec![Tag {
        key: "Name".into(),
        value: name.into(),
    }])
}
