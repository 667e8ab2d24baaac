//! Names from templates: what is written there of instances, hosted zones and DNS resources, and what packets make of it.

use std::time::Duration;

use privlink::control::{ControlState, compile};
use privlink::dataplane::{EniIdx, Verdict};
use privlink::sim::{Topology, World, tcp};
use privlink::template::{Options, Running, Source, load, succeed};

use super::resolver::{addresses, exchange, query};

const W1: &str = include_str!("../../examples/resource-endpoint.yaml");
const CLIENT: [u8; 4] = [172, 18, 0, 108];
const ENDPOINT: [u8; 4] = [172, 18, 1, 70];

/// A zone of both VPCs, with a name for EC2_B.
const ZONE: &str = "
  PrivateZone:
    Type: AWS::Route53::HostedZone
    Properties:
      Name: example.com
      VPCs: [{VPCId: !Ref Vpc1, VPCRegion: !Ref AWS::Region}, {VPCId: !Ref Vpc2, VPCRegion: !Ref AWS::Region}]
  Www:
    Type: AWS::Route53::RecordSet
    Properties: {HostedZoneId: !Ref PrivateZone, Name: www.example.com, Type: A, TTL: 60, ResourceRecords: [!GetAtt EC2B.PrivateIp]}

Outputs:
";

/// W1 with another definition of its resource.
fn w1(definition: &str) -> String {
    let template = W1.replace("IpResource: !GetAtt EC2B.PrivateIp", definition);
    assert_ne!(template, W1);
    template.replacen("\nOutputs:\n", ZONE, 1)
}

fn state(template: &str) -> ControlState {
    let source = Source::new("w1.yaml", template, "w1");
    let stacks = load(&[source], &Options::default());
    stacks.unwrap_or_else(|errors| panic!("{errors}")).state
}

/// A world in which what is due at once has been done.
fn world(state: &ControlState) -> World {
    let mut world = World::new(&Topology {
        config: compile(state),
    });
    world.advance(Duration::ZERO);
    world
}

fn instance(state: &ControlState, namespace: &str) -> EniIdx {
    let mut instances = state.instances();
    let instance = instances.find(|i| i.namespace == namespace).unwrap();
    let interface = state.network_interface(&instance.network_interface_id);
    interface.unwrap().idx
}

/// Where a new connection through the endpoint goes: the instance, and its address.
fn connect(world: &mut World, state: &ControlState, port: u16) -> (EniIdx, String) {
    let outcome = world.send(
        instance(state, "ec2-a"),
        &tcp((CLIENT, port), (ENDPOINT, 80)),
    );
    let Verdict::Forward(target) = outcome.verdict else {
        panic!("{:?}\n{}", outcome.verdict, world.describe());
    };
    (target, outcome.packet.tuple().dst.ip().to_string())
}

#[test]
fn walkthrough_1_works_with_the_instances_name_as_its_resource() {
    let state = state(&w1(
        "DnsResource: {DomainName: !GetAtt EC2B.PrivateDnsName, IpAddressType: IPV4}",
    ));
    let mut world = world(&state);
    let target = connect(&mut world, &state, 40_000);
    assert_eq!(
        target,
        (instance(&state, "ec2-b"), "172.18.0.108".to_owned())
    );
}

#[test]
fn instances_and_record_sets_are_answered_in_their_vpcs() {
    let state = state(&W1.replacen("\nOutputs:\n", ZONE, 1));
    let mut world = world(&state);
    for namespace in ["ec2-a", "ec2-b"] {
        for name in [
            "ip-172-18-0-108.ap-northeast-1.compute.internal.",
            "www.example.com.",
        ] {
            let from = instance(&state, namespace);
            let response = exchange(&mut world, from, &query(name));
            assert_eq!(addresses(&response), [CLIENT], "{name}");
        }
    }
}

#[test]
fn a_resource_of_a_hosted_zones_name_goes_with_its_record_set() {
    let template = w1("DnsResource: {DomainName: www.example.com, IpAddressType: IPV4}").replace(
        "IpAddressType: IPV4\n      SubnetIds",
        "IpAddressType: IPV4\n      ResourceConfigDnsResolution: IN_VPC\n      SubnetIds",
    );
    let before = state(&template);
    let mut world = world(&before);
    assert_eq!(connect(&mut world, &before, 40_000).1, "172.18.0.108");
    // EC2_B gets another address, and with it the record set another value.
    let (start, ec2b) = template.split_at(template.find("  EC2B:").unwrap());
    let ec2b = ec2b.replacen("172.18.0.108", "172.18.0.109", 1);
    let changed = start.to_owned() + &ec2b;
    let source = Source::new("w1.yaml", &changed, "w1");
    let running = Running {
        state: &before,
        base: &before,
        stacks: &[],
    };
    let (after, _) = succeed(&[source], &Options::default(), &running)
        .unwrap_or_else(|errors| panic!("{errors}"));
    world.dataplane.apply(compile(&after.state));
    world.advance(Duration::from_millis(10));
    assert_eq!(connect(&mut world, &after.state, 40_001).1, "172.18.0.109");
}
