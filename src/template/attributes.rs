//! What a resource that has been made gives to `Ref` and `Fn::GetAtt`, read from the control state.
//!
//! Source: "Return values" of each resource type in CloudFormation's reference.

use std::collections::BTreeMap;

use super::diagnostic::Position;
use super::evaluate::Resolved;
use super::node::{Node, Value};
use super::schema::{Attribute, Schema};
use crate::control::{ControlState, Created};

/// What a made resource stands for.
pub(super) fn resolved(state: &ControlState, schema: &Schema, created: Created) -> Resolved {
    let mut attributes: BTreeMap<&'static str, Value> = schema
        .attributes
        .iter()
        .filter_map(|(name, attribute)| match attribute {
            Attribute::Placeholder(text) => Some((*name, Value::Text((*text).to_owned()))),
            Attribute::Real | Attribute::Later(_) => None,
        })
        .collect();
    let (reference, real) = real(state, created);
    attributes.extend(real);
    Resolved {
        reference,
        attributes,
        ignored: false,
    }
}

type Real = Vec<(&'static str, Value)>;

/// `Ref`, and the attributes that are [`Attribute::Real`].
fn real(state: &ControlState, created: Created) -> (String, Real) {
    let attributes = match created {
        Created::Vpc(vpc) => state.vpc(&vpc).map(|vpc| {
            vec![
                ("VpcId", text(vpc.vpc_id)),
                ("CidrBlock", text(vpc.cidr_block)),
                ("DefaultSecurityGroup", text(vpc.default_security_group)),
            ]
        }),
        Created::Subnet(subnet) => state.subnet(&subnet).map(|subnet| {
            vec![
                ("SubnetId", text(subnet.subnet_id)),
                ("VpcId", text(subnet.vpc_id)),
                ("CidrBlock", text(subnet.cidr_block)),
                ("AvailabilityZone", text(&subnet.availability_zone)),
            ]
        }),
        Created::SecurityGroup(group) => state.security_group(&group).map(|group| {
            vec![
                ("GroupId", text(group.group_id)),
                ("Id", text(group.group_id)),
                ("VpcId", text(group.vpc_id)),
            ]
        }),
        Created::SecurityGroupRule(rule) => Some(vec![("Id", text(rule))]),
        Created::Instance(instance) => state.instance(&instance).map(|instance| {
            vec![
                ("InstanceId", text(instance.instance_id)),
                ("AvailabilityZone", text(&instance.availability_zone)),
                ("PrivateDnsName", text(&instance.private_dns_name)),
                ("PrivateIp", text(instance.private_ip_address)),
                ("VpcId", text(instance.vpc_id)),
            ]
        }),
        Created::VpcEndpoint(endpoint) => state.vpc_endpoint(&endpoint).map(|endpoint| {
            let interfaces = endpoint.network_interface_ids.iter().map(text);
            let entries = state.dns_entries(endpoint);
            let entries = entries.iter();
            let entries = entries.map(|e| text(format!("{}:{}", e.hosted_zone_id, e.dns_name)));
            vec![
                ("Id", text(endpoint.vpc_endpoint_id)),
                ("NetworkInterfaceIds", list(interfaces)),
                ("DnsEntries", list(entries)),
            ]
        }),
        Created::LoadBalancer(id) => state.load_balancer(&id).map(|load_balancer| {
            vec![
                ("LoadBalancerArn", text(&load_balancer.load_balancer_arn)),
                ("LoadBalancerFullName", text(load_balancer.full_name())),
                ("LoadBalancerName", text(&load_balancer.load_balancer_name)),
                ("DNSName", text(&load_balancer.dns_name)),
            ]
        }),
        Created::TargetGroup(id) => state.target_group(&id).map(|group| {
            let full_name = format!("targetgroup/{}/{id}", group.target_group_name);
            vec![
                ("TargetGroupArn", text(&group.target_group_arn)),
                ("TargetGroupFullName", text(full_name)),
                ("TargetGroupName", text(&group.target_group_name)),
            ]
        }),
        Created::Listener(id) => state
            .listener(&id)
            .map(|listener| vec![("ListenerArn", text(&listener.listener_arn))]),
        Created::VpcEndpointService(service) => Some(vec![("ServiceId", text(service))]),
        Created::ResourceGateway(gateway) => state
            .resource_gateway(&gateway)
            .map(|gateway| vec![("Id", text(gateway.id)), ("Arn", text(&gateway.arn))]),
        Created::ResourceConfiguration(configuration) => state
            .resource_configuration(&configuration)
            .map(|c| vec![("Id", text(c.id)), ("Arn", text(&c.arn))]),
        Created::HostedZone(zone) => Some(vec![("Id", text(zone))]),
        Created::RecordSet(_) => None,
    };
    let attributes = attributes.unwrap_or_default();
    (reference(state, created, &attributes), attributes)
}

/// VPC Lattice's and Elastic Load Balancing's types are known by their ARNs, record sets by their names, others by their ids.
fn reference(state: &ControlState, created: Created, attributes: &Real) -> String {
    let mut names = attributes.iter();
    let arn = names.find(|(name, _)| name.ends_with("Arn"));
    match (arn, created) {
        (Some((_, Value::Text(arn))), _) => arn.clone(),
        (_, Created::RecordSet(id)) => {
            let record_set = state.record_set(&id);
            record_set
                .map(|set| set.name.to_string())
                .unwrap_or_default()
        }
        _ => created.to_string(),
    }
}

fn text(value: impl ToString) -> Value {
    Value::Text(value.to_string())
}

fn list(values: impl Iterator<Item = Value>) -> Value {
    let nodes = values.map(|value| Node::new(value, Position::START));
    Value::List(nodes.collect())
}
