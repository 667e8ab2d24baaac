//! What commands refuse: AWS's code, the thing by name, what would be right, and the property at fault.

use super::*;

const ZONE_A: &str = "ap-northeast-1a";
const ZONE_C: &str = "ap-northeast-1c";
const ZONE_D: &str = "ap-northeast-1d";

/// Two VPCs; in the second, a gateway in zones a and c with a configuration.
struct World {
    account: Account,
    vpc1: VpcId,
    vpc2: VpcId,
    /// Of VPC 1, in zones a, c and d.
    subnets1: [SubnetId; 3],
    /// Of VPC 2, in zones a and c.
    subnets2: [SubnetId; 2],
    group1: SecurityGroupId,
    group2: SecurityGroupId,
    gateway_id: ResourceGatewayId,
    configuration_id: ResourceConfigurationId,
}

fn world() -> World {
    let mut account = Account::new();
    let vpc1 = account.vpc("Vpc1", "172.18.0.0/16");
    let vpc2 = account.vpc("Vpc2", "172.18.0.0/16");
    let subnets1 = [
        account.subnet("Subnet1A", vpc1, "172.18.0.0/24", ZONE_A),
        account.subnet("Subnet1C", vpc1, "172.18.1.0/24", ZONE_C),
        account.subnet("Subnet1D", vpc1, "172.18.2.0/24", ZONE_D),
    ];
    let subnets2 = [
        account.subnet("Subnet2A", vpc2, "172.18.0.0/24", ZONE_A),
        account.subnet("Subnet2C", vpc2, "172.18.1.0/24", ZONE_C),
    ];
    let group1 = account.group("Group1", vpc1);
    let group2 = account.group("Group2", vpc2);
    let gateway_id = account.gateway(gateway("Gateway", vpc2, &subnets2));
    let configuration_id = account.configuration(configuration("Cfg", gateway_id, "172.18.0.108"));
    World {
        account,
        vpc1,
        vpc2,
        subnets1,
        subnets2,
        group1,
        group2,
        gateway_id,
        configuration_id,
    }
}

impl World {
    /// `command` is refused with `message`, in which `ID` stands for any id, at `property`.
    #[track_caller]
    fn refuses(&mut self, command: Command, property: &str, message: &str) {
        let error = self.account.refused(command);
        assert_eq!(without_ids(&error.to_string()), message);
        assert_eq!(error.property(), property);
    }

    #[track_caller]
    fn refuses_all<C>(&mut self, wrap: fn(C) -> Command, rows: Vec<(C, &str, &str)>) {
        for (command, property, message) in rows {
            self.refuses(wrap(command), property, message);
        }
    }
}

#[test]
fn a_vpc_without_a_proper_range() {
    let malformed = |given: &str| {
        format!(
            "InvalidParameterValue: `{given}` is not an IPv4 range; one looks like 172.18.0.0/16"
        )
    };
    let mut world = world();
    for given in [
        "",
        "172.18.0.0",
        "172.18.0.0/33",
        "fd00::/16",
        "172.18.0/16",
    ] {
        world.refuses(
            Command::CreateVpc(vpc("V", given)),
            "CidrBlock",
            &malformed(given),
        );
    }
    world.refuses_all(Command::CreateVpc, vec![
        (vpc("V", "10.0.0.0/15"), "CidrBlock", "InvalidVpc.Range: 10.0.0.0/15 has a prefix of /15; a VPC has /16 to /28"),
        (vpc("V", "169.254.0.0/16"), "CidrBlock", "InvalidVpc.Range: 169.254.0.0/16 is reserved for link-local addresses, of which 169.254.169.253 is the resolver's; take a private range, for example 172.18.0.0/16"),
        (vpc("V", "127.0.0.0/16"), "CidrBlock", "InvalidVpc.Range: 127.0.0.0/16 is reserved for loopback; take a private range, for example 172.18.0.0/16"),
        (vpc("V", "10.0.0.0/29"), "CidrBlock", "InvalidVpc.Range: 10.0.0.0/29 has a prefix of /29; a VPC has /16 to /28"),
        (vpc("Vpc1", "10.0.0.0/16"), "", "IdempotentParameterMismatch: client token `Vpc1` has already made ID; give each object a token of its own"),
    ]);
}

#[test]
fn a_subnet_that_does_not_fit() {
    let mut world = world();
    let vpc1 = world.vpc1;
    let small = world.account.vpc("Small", "10.0.0.0/28");
    world.account.subnet("All", small, "10.0.0.0/28", ZONE_A);
    let nowhere = "vpc-00000000000000000".parse().unwrap();
    world.refuses_all(Command::CreateSubnet, vec![
        (subnet("S", vpc1, "172.18.3.0/29", ZONE_A), "CidrBlock", "InvalidSubnet.Range: 172.18.3.0/29 has a prefix of /29; a subnet has /16 to /28"),
        (subnet("S", vpc1, "172.19.0.0/24", ZONE_A), "CidrBlock", "InvalidSubnet.Range: 172.19.0.0/24 is not inside 172.18.0.0/16, the range of VPC `Vpc1` (ID); 172.18.3.0/24 is free"),
        (subnet("S", vpc1, "172.18.1.128/25", ZONE_A), "CidrBlock", "InvalidSubnet.Conflict: 172.18.1.128/25 overlaps 172.18.1.0/24 of subnet `Subnet1C` (ID); 172.18.3.0/25 is free"),
        (subnet("S", vpc1, "172.18.0.0/22", ZONE_A), "CidrBlock", "InvalidSubnet.Conflict: 172.18.0.0/22 overlaps 172.18.2.0/24 of subnet `Subnet1D` (ID); 172.18.4.0/22 is free"),
        (subnet("S", vpc1, "172.18.0.0/16", ZONE_A), "CidrBlock", "InvalidSubnet.Conflict: 172.18.0.0/16 overlaps 172.18.2.0/24 of subnet `Subnet1D` (ID); nothing is free there"),
        (subnet("S", small, "10.0.0.0/28", ZONE_A), "CidrBlock", "InvalidSubnet.Conflict: 10.0.0.0/28 overlaps 10.0.0.0/28 of subnet `All` (ID); nothing is free there"),
        (subnet("S", vpc1, "172.18.3.0/24", "us-east-1a"), "AvailabilityZone", "InvalidParameterValue: `us-east-1a` is not an availability zone of ap-northeast-1; one looks like ap-northeast-1a"),
        (subnet("S", vpc1, "172.18.3.0/24", "ap-northeast-1"), "AvailabilityZone", "InvalidParameterValue: `ap-northeast-1` is not an availability zone of ap-northeast-1; one looks like ap-northeast-1a"),
        (subnet("S", nowhere, "172.18.3.0/24", ZONE_A), "VpcId", "InvalidVpcID.NotFound: there is no VPC ID"),
    ]);
}

#[test]
fn a_group_name_that_is_taken_or_reserved() {
    let mut world = world();
    let vpc1 = world.vpc1;
    let named = |name: &str| CreateSecurityGroup {
        group_name: Some(name.into()),
        ..group("G", vpc1)
    };
    let long = "x".repeat(256);
    world.refuses_all(Command::CreateSecurityGroup, vec![
        (named("Group1"), "GroupName", "InvalidGroup.Duplicate: security group `Group1` (ID) of VPC `Vpc1` (ID) has the name `Group1` already; names are unique in a VPC"),
        (named("default"), "GroupName", "InvalidParameterValue: `default` cannot be the name of a security group: it is reserved for the group that every VPC begins with"),
        (named("sg-x"), "GroupName", "InvalidParameterValue: `sg-x` cannot be the name of a security group: it must not begin as an id does"),
        (named("a\"b"), "GroupName", "InvalidParameterValue: `a\"b` cannot be the name of a security group: it may have letters, digits, spaces and ._-:/()#,@[]+=&;{}!$* only"),
        (named(""), "GroupName", "InvalidParameterValue: `` cannot be the name of a security group: it must have 1 to 255 characters"),
    ]);
    let error = world
        .account
        .refused(Command::CreateSecurityGroup(named(&long)));
    assert!(matches!(error, ControlError::GroupName { .. }));
    // Another VPC may have the name.
    let vpc2 = world.vpc2;
    world
        .account
        .done(Command::CreateSecurityGroup(CreateSecurityGroup {
            group_name: Some("Group1".into()),
            ..group("G", vpc2)
        }));
}

#[test]
fn a_rule_that_says_nothing_sensible() {
    let mut world = world();
    let group1 = world.group1;
    let any = |protocol: &str, from_port, to_port| AuthorizeSecurityGroupIngress {
        ip_protocol: protocol.into(),
        from_port,
        to_port,
        cidr_ip: Some("10.0.0.0/8".into()),
        ..ingress("R", group1)
    };
    world.refuses_all(Command::AuthorizeSecurityGroupIngress, vec![
        (any("http", None, None), "IpProtocol", "InvalidParameterValue: `http` is not a protocol: tcp, udp, icmp, icmpv6, a number from 0 to 255, or -1 for all; one looks like tcp"),
        (any("256", None, None), "IpProtocol", "InvalidParameterValue: `256` is not a protocol: tcp, udp, icmp, icmpv6, a number from 0 to 255, or -1 for all; one looks like tcp"),
        (any("tcp", None, Some(80)), "FromPort", "MissingParameter: FromPort is missing: TCP and UDP rules say from which port to which"),
        (any("udp", Some(80), None), "ToPort", "MissingParameter: ToPort is missing: TCP and UDP rules say from which port to which"),
        (any("tcp", Some(65536), Some(80)), "FromPort", "InvalidParameterValue: 65536 is out of range for FromPort; it must be 0 to 65535"),
        (any("tcp", Some(-1), Some(80)), "FromPort", "InvalidParameterValue: -1 is out of range for FromPort; it must be 0 to 65535"),
        (any("tcp", Some(443), Some(80)), "ToPort", "InvalidParameterValue: 80 is out of range for ToPort; it must be FromPort or more"),
        (any("icmp", None, Some(0)), "FromPort", "MissingParameter: FromPort is missing: ICMP rules give type and code, -1 for any"),
        (any("icmp", Some(256), Some(0)), "FromPort", "InvalidParameterValue: 256 is out of range for FromPort; it must be 0 to 255, or -1 for any"),
        (any("icmp", Some(-1), Some(4)), "ToPort", "InvalidParameterCombination: code 4 of every ICMP type: every type (FromPort -1) goes with every code (ToPort -1)"),
    ]);
}

#[test]
fn a_rule_without_exactly_one_valid_peer() {
    let mut world = world();
    let (group1, group2) = (world.group1, world.group2);
    let nowhere = "sg-00000000000000000".parse().unwrap();
    let rule = || ingress("R", group1);
    world.refuses_all(Command::AuthorizeSecurityGroupIngress, vec![
        (rule(), "", "InvalidParameterCombination: a rule has exactly one peer, this one has 0; give one of CidrIp, CidrIpv6 or SourceSecurityGroupId"),
        (AuthorizeSecurityGroupIngress { cidr_ip: Some("10.0.0.0/8".into()), source_security_group_id: Some(group1), ..rule() }, "SourceSecurityGroupId", "InvalidParameterCombination: a rule has exactly one peer, this one has 2; give one of CidrIp, CidrIpv6 or SourceSecurityGroupId"),
        (AuthorizeSecurityGroupIngress { cidr_ip: Some("10.0.0.0/8".into()), cidr_ipv6: Some("::/0".into()), ..rule() }, "CidrIpv6", "InvalidParameterCombination: a rule has exactly one peer, this one has 2; give one of CidrIp, CidrIpv6 or SourceSecurityGroupId"),
        (AuthorizeSecurityGroupIngress { cidr_ip: Some("10.0.0.0".into()), ..rule() }, "CidrIp", "InvalidParameterValue: `10.0.0.0` is not an IPv4 range; one looks like 172.18.0.0/16"),
        (AuthorizeSecurityGroupIngress { cidr_ipv6: Some("10.0.0.0/8".into()), ..rule() }, "CidrIpv6", "InvalidParameterValue: `10.0.0.0/8` is not an IPv6 range; one looks like 2001:db8::/64"),
        (AuthorizeSecurityGroupIngress { source_prefix_list_id: Some("pl-1".into()), ..rule() }, "SourcePrefixListId", "UnsupportedOperation: prefix list pl-1 is not there yet; use CidrIp, CidrIpv6 or SourceSecurityGroupId"),
        (AuthorizeSecurityGroupIngress { source_security_group_id: Some(nowhere), ..rule() }, "SourceSecurityGroupId", "InvalidGroup.NotFound: there is no security group ID"),
        (AuthorizeSecurityGroupIngress { source_security_group_id: Some(group2), ..rule() }, "SourceSecurityGroupId", "InvalidParameter: security group `Group2` (ID) and security group `Group1` (ID) belong to different VPCs; take a group of VPC `Vpc1` (ID)"),
        (AuthorizeSecurityGroupIngress { source_security_group_id: Some(group1), ..ingress("R", nowhere) }, "GroupId", "InvalidGroup.NotFound: there is no security group ID"),
    ]);
    world.refuses(
        Command::AuthorizeSecurityGroupEgress(AuthorizeSecurityGroupEgress {
            destination_security_group_id: Some(group2),
            ..egress("R", group1)
        }),
        "DestinationSecurityGroupId",
        "InvalidParameter: security group `Group2` (ID) and security group `Group1` (ID) belong to different VPCs; take a group of VPC `Vpc1` (ID)",
    );
}

#[test]
fn a_rule_too_many_or_twice() {
    let mut world = world();
    let group1 = world.group1;
    let numbered = |number: i32| AuthorizeSecurityGroupIngress {
        cidr_ip: Some(format!("10.{number}.0.0/16")),
        ..ingress(&format!("R{number}"), group1)
    };
    for number in 0..60 {
        world
            .account
            .done(Command::AuthorizeSecurityGroupIngress(numbered(number)));
    }
    world.refuses_all(Command::AuthorizeSecurityGroupIngress, vec![
        (numbered(60), "", "RulesPerSecurityGroupLimitExceeded: security group `Group1` (ID) has 60 ingress rules, the most there may be"),
        (AuthorizeSecurityGroupIngress { client_token: "Again".into(), ..numbered(7) }, "", "InvalidPermission.Duplicate: security group `Group1` (ID) has this ingress rule already (tcp 80-80 with 10.7.0.0/16)"),
        (numbered(3), "", "IdempotentParameterMismatch: client token `R3` has already made ID; give each object a token of its own"),
    ]);
    // The other direction has its own count.
    world.account.done(Command::AuthorizeSecurityGroupEgress(
        AuthorizeSecurityGroupEgress {
            cidr_ip: Some("10.0.0.0/8".into()),
            ..egress("Out", group1)
        },
    ));
}

#[test]
fn an_instance_at_an_impossible_address() {
    let mut world = world();
    let subnet_id = world.subnets2[0];
    let at = |address: &str| RunInstance {
        private_ip_address: Some(address.into()),
        ..instance("I", subnet_id)
    };
    world.account.instance(RunInstance {
        private_ip_address: Some("172.18.0.4".into()),
        ..instance("Ec2B", subnet_id)
    });
    world.refuses_all(Command::RunInstance, vec![
        (at("172.18.0"), "PrivateIpAddress", "InvalidParameterValue: `172.18.0` is not an IPv4 address; one looks like 172.18.0.10"),
        (at("172.18.1.4"), "PrivateIpAddress", "InvalidParameterValue: 172.18.1.4 is not in 172.18.0.0/24, the range of subnet `Subnet2A` (ID); 172.18.0.5 is free"),
        (at("172.18.0.2"), "PrivateIpAddress", "InvalidParameterValue: 172.18.0.2 is reserved for the DNS server in subnet `Subnet2A` (ID); 172.18.0.5 is free"),
        (at("172.18.0.255"), "PrivateIpAddress", "InvalidParameterValue: 172.18.0.255 is reserved for broadcast in subnet `Subnet2A` (ID); 172.18.0.5 is free"),
        (at("172.18.0.4"), "PrivateIpAddress", "InvalidIPAddress.InUse: 172.18.0.4 of subnet `Subnet2A` (ID) is taken by ID, instance `Ec2B` (ID); 172.18.0.5 is free"),
        (at("172.18.0.254"), "PrivateIpAddress", "InvalidIPAddress.InUse: 172.18.0.254 of subnet `Subnet2A` (ID) is taken by ID, resource gateway `Gateway` (ID); 172.18.0.5 is free"),
        (instance("I", "subnet-00000000000000000".parse().unwrap()), "SubnetId", "InvalidSubnetID.NotFound: there is no subnet ID"),
    ]);
}

#[test]
fn an_exhausted_subnet() {
    let mut world = world();
    let vpc1 = world.vpc1;
    let tiny = world.account.subnet("Tiny", vpc1, "172.18.9.0/28", ZONE_A);
    let exhausted = "InsufficientFreeAddressesInSubnet: 16 needed, 11 of 11 free in subnet `Tiny` (ID) (172.18.9.0/28); take a larger or another subnet";
    world.refuses(
        Command::CreateResourceGateway(gateway("Gateway1", vpc1, &[tiny])),
        "SubnetIds.0",
        exhausted,
    );
    for number in 0..11 {
        world
            .account
            .instance(instance(&format!("I{number}"), tiny));
    }
    let exhausted = "InsufficientFreeAddressesInSubnet: 1 needed, 0 of 11 free in subnet `Tiny` (ID) (172.18.9.0/28); take a larger or another subnet";
    world.refuses(
        Command::RunInstance(instance("I", tiny)),
        "SubnetId",
        exhausted,
    );
    let (configuration_id, subnet_c) = (world.configuration_id, world.subnets1[1]);
    let endpoint = endpoint("E", vpc1, configuration_id, &[subnet_c, tiny]);
    world.refuses(
        Command::CreateVpcEndpoint(endpoint),
        "SubnetIds.1",
        exhausted,
    );
}

#[test]
fn groups_that_an_interface_cannot_carry() {
    let mut world = world();
    let (vpc1, group1, group2) = (world.vpc1, world.group1, world.group2);
    let subnet_id = world.subnets1[0];
    let many: Vec<_> = (0..6)
        .map(|n| world.account.group(&format!("Many{n}"), vpc1))
        .collect();
    let with = |groups: &[SecurityGroupId]| RunInstance {
        security_group_ids: groups.into(),
        ..instance("I", subnet_id)
    };
    world.refuses_all(Command::RunInstance, vec![
        (with(&many), "SecurityGroupIds", "SecurityGroupsPerInterfaceLimitExceeded: 6 security groups; an interface carries at most 5"),
        (with(&[group1, group2]), "SecurityGroupIds.1", "InvalidParameter: security group `Group2` (ID) and subnet `Subnet1A` (ID) belong to different VPCs; take a group of VPC `Vpc1` (ID)"),
        (with(&[group1, many[0], group1]), "SecurityGroupIds.2", "InvalidParameterValue: security group `Group1` (ID) is listed twice"),
        (with(&["sg-00000000000000000".parse().unwrap()]), "SecurityGroupIds.0", "InvalidGroup.NotFound: there is no security group ID"),
    ]);
    world.account.instance(with(&many[..5]));
}

#[test]
fn user_data_longer_than_ec2_takes() {
    let mut world = world();
    let subnet_id = world.subnets1[0];
    let with = |token: &str, length: usize| RunInstance {
        user_data: Some(vec![b'#'; length]),
        ..instance(token, subnet_id)
    };
    let message = "InvalidParameterValue: User data is limited to 16384 bytes, as it is before base64; this has 16385";
    world.refuses_all(
        Command::RunInstance,
        vec![(with("I", 16_385), "UserData", message)],
    );
    world.account.instance(with("I", 16_384));
}

#[test]
fn a_namespace_that_is_taken_or_no_name() {
    let mut world = world();
    let subnet_id = world.subnets1[0];
    let namespace = |name: &str| RunInstance {
        namespace: Some(name.into()),
        ..instance("I", subnet_id)
    };
    world.account.instance(RunInstance {
        namespace: Some("ec2-a".into()),
        ..instance("Ec2A", subnet_id)
    });
    let taken = "InvalidParameterValue: instance `Ec2A` (ID) lives in network namespace `ec2-a` already; give each its own with Metadata: privlink: Namespace";
    let property = "Metadata.privlink.Namespace";
    world.refuses_all(Command::RunInstance, vec![
        (namespace("ec2-a"), property, taken),
        (RunInstance { tags: tags("ec2-a"), ..instance("I", subnet_id) }, "Tags", taken),
        (instance("ec2-a", subnet_id), "", taken),
        (namespace("a/b"), property, "InvalidParameterValue: `a/b` cannot be a network namespace: it must have neither `/` nor control characters"),
        (namespace(".."), property, "InvalidParameterValue: `..` cannot be a network namespace: it must begin with neither `.` nor `-`"),
        (namespace(""), property, "InvalidParameterValue: `` cannot be a network namespace: a name has 1 to 255 bytes"),
    ]);
}

#[test]
fn a_resource_gateway_that_cannot_stand() {
    let mut world = world();
    let (vpc2, subnets1, subnets2) = (world.vpc2, world.subnets1, world.subnets2);
    let second_a = world
        .account
        .subnet("Second2A", vpc2, "172.18.3.0/24", ZONE_A);
    let gw = || gateway("Gw2", vpc2, &subnets2);
    let name = "InvalidParameterValue: `Gw_2` is not a name of 3 to 40 lower-case letters, digits and single hyphens between them, and without an id's prefix; one looks like privatelink-dev2-vpc-rscgw";
    world.refuses_all(Command::CreateResourceGateway, vec![
        (CreateResourceGateway { name: "Gw_2".into(), ..gw() }, "Name", name),
        (CreateResourceGateway { name: "gateway".into(), ..gw() }, "Name", "ConflictException: resource gateway `Gateway` (ID) has the name `gateway` already"),
        (CreateResourceGateway { ip_address_type: Some("DUALSTACK".into()), ..gw() }, "IpAddressType", "UnsupportedOperation: IP address type DUALSTACK of a resource gateway is not there yet; use IPV4"),
        (CreateResourceGateway { ipv4_addresses_per_eni: Some(0), ..gw() }, "Ipv4AddressesPerEni", "InvalidParameterValue: 0 is out of range for Ipv4AddressesPerEni; it must be 1 to 62"),
        (CreateResourceGateway { ipv4_addresses_per_eni: Some(63), ..gw() }, "Ipv4AddressesPerEni", "InvalidParameterValue: 63 is out of range for Ipv4AddressesPerEni; it must be 1 to 62"),
        (CreateResourceGateway { resource_config_dns_resolution: Some("IN-VPC".into()), ..gw() }, "ResourceConfigDnsResolution", "InvalidParameterValue: `IN-VPC` is not PUBLIC or IN_VPC; one looks like IN_VPC"),
        (gateway("Gw2", vpc2, &[]), "SubnetIds", "MissingParameter: SubnetIds is missing: name at least one subnet"),
        (gateway("Gw2", vpc2, &[subnets2[0], second_a]), "SubnetIds.1", "DuplicateSubnetsInSameZone: subnets `Subnet2A` (ID) and `Second2A` (ID) are both in ap-northeast-1a; take one subnet per zone"),
        (gateway("Gw2", vpc2, &[subnets2[0], subnets2[0]]), "SubnetIds.1", "InvalidParameterValue: subnet `Subnet2A` (ID) is listed twice"),
        (gateway("Gw2", vpc2, &[subnets1[0]]), "SubnetIds.0", "InvalidParameter: subnet `Subnet1A` (ID) is not of VPC `Vpc2` (ID); its subnets are `Subnet2A` (ID), `Subnet2C` (ID), `Second2A` (ID)"),
        (gateway("Gw2", "vpc-00000000000000000".parse().unwrap(), &subnets2), "VpcIdentifier", "InvalidVpcID.NotFound: there is no VPC ID"),
    ]);
    for wrong in ["gw", "rgw-x", "-gw", "gw-", "g--w", &"x".repeat(41)] {
        let error = world
            .account
            .refused(Command::CreateResourceGateway(CreateResourceGateway {
                name: wrong.into(),
                ..gw()
            }));
        assert_eq!(error.property(), "Name", "{wrong}");
    }
}

#[test]
fn a_resource_configuration_that_leads_nowhere() {
    use ResourceConfigurationDefinition::*;
    let mut world = world();
    let gateway_id = world.gateway_id;
    let vpc3 = world.account.vpc("Vpc3", "8.8.0.0/16");
    let subnet3 = world.account.subnet("Subnet3A", vpc3, "8.8.8.0/24", ZONE_A);
    let public = world.account.gateway(gateway("Public", vpc3, &[subnet3]));
    let cfg = || configuration("Cfg2", gateway_id, "172.18.0.108");
    let definition = |definition| CreateResourceConfiguration {
        resource_configuration_definition: definition,
        ..cfg()
    };
    let dns = |domain_name: &str, ip_address_type: &str| {
        definition(Some(DnsResource {
            domain_name: domain_name.into(),
            ip_address_type: ip_address_type.into(),
        }))
    };
    world.refuses_all(Command::CreateResourceConfiguration, vec![
        (CreateResourceConfiguration { name: "rcfg-1".into(), ..cfg() }, "Name", "InvalidParameterValue: `rcfg-1` is not a name of 3 to 40 lower-case letters, digits and single hyphens between them, and without an id's prefix; one looks like privatelink-dev2-vpc-rscgw"),
        (CreateResourceConfiguration { name: "cfg".into(), ..cfg() }, "Name", "ConflictException: resource configuration `Cfg` (ID) has the name `cfg` already"),
        (CreateResourceConfiguration { resource_configuration_type: "GROUP".into(), ..cfg() }, "ResourceConfigurationType", "UnsupportedOperation: resource configuration type GROUP is not there yet; use SINGLE"),
        (CreateResourceConfiguration { resource_configuration_type: "single".into(), ..cfg() }, "ResourceConfigurationType", "InvalidParameterValue: `single` is not a type of resource configuration; one looks like SINGLE"),
        (CreateResourceConfiguration { resource_gateway_id: None, ..cfg() }, "ResourceGatewayId", "MissingParameter: ResourceGatewayId is missing: type SINGLE is reached through a gateway"),
        (CreateResourceConfiguration { resource_gateway_id: Some("rgw-00000000000000000".parse().unwrap()), ..cfg() }, "ResourceGatewayId", "ResourceNotFoundException: there is no resource gateway ID"),
        (definition(None), "ResourceConfigurationDefinition", "MissingParameter: ResourceConfigurationDefinition is missing: type SINGLE leads to an IpResource or a DnsResource"),
        (dns("db..example.com", "IPV4"), "ResourceConfigurationDefinition.DnsResource.DomainName", "InvalidParameterValue: `db..example.com` is not a domain name: a label is empty"),
        (dns("db.example.com", "DUALSTACK"), "ResourceConfigurationDefinition.DnsResource.IpAddressType", "UnsupportedOperation: IP address type DUALSTACK of a DNS resource is not there yet; use IPV4"),
        (dns("db.example.com", "ipv4"), "ResourceConfigurationDefinition.DnsResource.IpAddressType", "InvalidParameterValue: `ipv4` is not an IP address type; one looks like IPV4"),
        (definition(Some(ArnResource("arn:aws:rds".into()))), "ResourceConfigurationDefinition.ArnResource", "UnsupportedOperation: ArnResource as a resource configuration's definition is not there yet; use IpResource or DnsResource"),
        (definition(Some(IpResource("ec2-b".into()))), "ResourceConfigurationDefinition.IpResource", "InvalidParameterValue: `ec2-b` is not an IPv4 address; one looks like 172.18.0.10"),
        (definition(Some(IpResource("172.19.0.1".into()))), "ResourceConfigurationDefinition.IpResource", "ValidationException: 172.19.0.1 is not inside 172.18.0.0/16, the range of VPC `Vpc2` (ID) in which gateway `Gateway` (ID) stands"),
        (configuration("Cfg2", public, "8.8.8.8"), "ResourceConfigurationDefinition.IpResource", "ValidationException: 8.8.8.8 is not a private address; an IP resource is of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10"),
    ]);
}

#[test]
fn ports_and_protocols_that_cannot_be_offered() {
    let mut world = world();
    let gateway_id = world.gateway_id;
    let cfg = || configuration("Cfg2", gateway_id, "172.18.0.108");
    let protocols = |list: &[&str]| CreateResourceConfiguration {
        protocols: Some(list.iter().map(|name| (*name).into()).collect()),
        ..cfg()
    };
    world.refuses_all(Command::CreateResourceConfiguration, vec![
        (CreateResourceConfiguration { port_ranges: vec![], ..cfg() }, "PortRanges", "MissingParameter: PortRanges is missing: list the ports on offer, for example 443 or 1-65535"),
        (CreateResourceConfiguration { protocol_type: Some("UDP".into()), ..cfg() }, "ProtocolType", "InvalidParameterValue: `UDP` is not a protocol type of a SINGLE resource configuration (beyond AWS: Metadata: privlink: Protocols); one looks like TCP"),
        (protocols(&[]), "Metadata.privlink.Protocols", "MissingParameter: Metadata.privlink.Protocols is missing: list at least one of TCP, UDP and ICMP"),
        (protocols(&["TCP", "SCTP"]), "Metadata.privlink.Protocols.1", "InvalidParameterValue: `SCTP` is not one of TCP, UDP and ICMP; one looks like TCP"),
        (protocols(&["TCP", "UDP", "TCP"]), "Metadata.privlink.Protocols.2", "InvalidParameterValue: TCP is listed twice"),
        (CreateResourceConfiguration { idle_timeout: Some(0), ..cfg() }, "Metadata.privlink.IdleTimeout", "InvalidParameterValue: 0 is out of range for Metadata.privlink.IdleTimeout; it must be 1 to 432000 seconds"),
        (CreateResourceConfiguration { proxy_protocol: Some(true), ..protocols(&["UDP"]) }, "Metadata.privlink.ProxyProtocol", "InvalidParameterCombination: ProxyProtocol without TCP: add TCP to Protocols, or leave ProxyProtocol out"),
    ]);
    for wrong in [
        "", "0", "0-80", "65536", "80-70", "80-", "-80", "1-2-3", "+80", "http",
    ] {
        let command = CreateResourceConfiguration {
            port_ranges: vec!["443".into(), wrong.into()],
            ..cfg()
        };
        let message = format!(
            "InvalidParameterValue: `{wrong}` is not a port or a range of ports from 1 to 65535; one looks like 443 or 1-65535"
        );
        world.refuses(
            Command::CreateResourceConfiguration(command),
            "PortRanges.1",
            &message,
        );
    }
}

#[test]
fn an_endpoint_of_a_kind_that_is_not_there_yet() {
    let mut world = world();
    let (vpc1, configuration_id, subnets) = (world.vpc1, world.configuration_id, world.subnets1);
    let ep = || endpoint("E", vpc1, configuration_id, &subnets[..2]);
    let dns = DnsOptions::default;
    let kind = |kind: Option<&str>| CreateVpcEndpoint {
        vpc_endpoint_type: kind.map(str::to_owned),
        ..ep()
    };
    world.refuses_all(Command::CreateVpcEndpoint, vec![
        (kind(Some("Interface")), "ResourceConfigurationArn", "InvalidParameterCombination: ResourceConfigurationArn of an endpoint of type Interface: it leads to a ServiceName"),
        (CreateVpcEndpoint { resource_configuration_arn: None, ..kind(Some("Interface")) }, "ServiceName", "MissingParameter: ServiceName is missing: an endpoint of type Interface leads to an endpoint service"),
        (CreateVpcEndpoint { service_name: Some("x".into()), ..ep() }, "ServiceName", "InvalidParameterCombination: ServiceName of an endpoint of type Resource: it leads to a ResourceConfigurationArn"),
        (kind(Some("GatewayLoadBalancer")), "VpcEndpointType", "UnsupportedOperation: endpoint type GatewayLoadBalancer is not there yet; use Interface or Resource"),
        (kind(None), "VpcEndpointType", "UnsupportedOperation: endpoint type Gateway, CloudFormation's default, is not there yet; use Interface or Resource"),
        (kind(Some("resource")), "VpcEndpointType", "InvalidParameterValue: `resource` is not a type of endpoint; one looks like Interface or Resource"),
        (CreateVpcEndpoint { private_dns_enabled: Some(true), ..ep() }, "PrivateDnsEnabled", "InvalidParameter: Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for VPC `Vpc1` (ID); write EnableDnsHostnames: true there"),
        (CreateVpcEndpoint { dns_options: DnsOptions { dns_record_ip_type: Some("dualstack".into()), ..dns() }, ..ep() }, "DnsOptions.DnsRecordIpType", "UnsupportedOperation: DnsRecordIpType dualstack is not there yet; use ipv4"),
        (CreateVpcEndpoint { dns_options: DnsOptions { private_dns_only_for_inbound_resolver_endpoint: Some("OnlyInboundResolver".into()), ..dns() }, ..ep() }, "DnsOptions.PrivateDnsOnlyForInboundResolverEndpoint", "UnsupportedOperation: PrivateDnsOnlyForInboundResolverEndpoint OnlyInboundResolver is not there yet; use AllResolvers"),
        (CreateVpcEndpoint { dns_options: DnsOptions { private_dns_preference: Some("VERIFIED_DOMAINS_ONLY".into()), ..dns() }, ..ep() }, "DnsOptions.PrivateDnsPreference", "UnsupportedOperation: PrivateDnsPreference VERIFIED_DOMAINS_ONLY is not there yet; use ALL_DOMAINS"),
        (CreateVpcEndpoint { ip_address_type: Some("dualstack".into()), ..ep() }, "IpAddressType", "UnsupportedOperation: IP address type dualstack of an endpoint is not there yet; use ipv4"),
        (CreateVpcEndpoint { resource_configuration_arn: None, ..ep() }, "ResourceConfigurationArn", "MissingParameter: ResourceConfigurationArn is missing: an endpoint of type Resource leads to a resource configuration"),
        (CreateVpcEndpoint { resource_configuration_arn: Some("rcfg-00000000000000000".parse().unwrap()), ..ep() }, "ResourceConfigurationArn", "ResourceNotFoundException: there is no resource configuration ID"),
    ]);
}

#[test]
fn an_endpoint_in_the_wrong_places() {
    let mut world = world();
    let (vpc1, configuration_id) = (world.vpc1, world.configuration_id);
    let ([a, c, d], [other, _]) = (world.subnets1, world.subnets2);
    let second_a = world
        .account
        .subnet("Second1A", vpc1, "172.18.3.0/24", ZONE_A);
    let ep = |subnets: &[SubnetId]| endpoint("E", vpc1, configuration_id, subnets);
    let addresses = |list: &[(SubnetId, &str)]| CreateVpcEndpoint {
        addresses: list
            .iter()
            .map(|(id, address)| (*id, (*address).into()))
            .collect(),
        ..ep(&[a, c])
    };
    world.refuses_all(Command::CreateVpcEndpoint, vec![
        (ep(&[]), "SubnetIds", "MissingParameter: SubnetIds is missing: name at least one subnet"),
        (ep(&[a, c, second_a]), "SubnetIds.2", "DuplicateSubnetsInSameZone: subnets `Subnet1A` (ID) and `Second1A` (ID) are both in ap-northeast-1a; take one subnet per zone"),
        (ep(&[a, d]), "SubnetIds.1", "InvalidParameterValue: subnet `Subnet1D` (ID) is in ap-northeast-1d, where resource gateway `Gateway` (ID) has no interface; take subnets in ap-northeast-1a, ap-northeast-1c"),
        (ep(&[other]), "SubnetIds.0", "InvalidParameter: subnet `Subnet2A` (ID) is not of VPC `Vpc1` (ID); its subnets are `Subnet1A` (ID), `Subnet1C` (ID), `Subnet1D` (ID), `Second1A` (ID)"),
        (addresses(&[(d, "172.18.2.9")]), "Metadata.privlink.Addresses.0", "InvalidParameterCombination: subnet `Subnet1D` (ID) has an address but is not among SubnetIds: add it there, or take the address away"),
        (addresses(&[(c, "172.18.1.70"), (c, "172.18.1.71")]), "Metadata.privlink.Addresses.1", "InvalidParameterValue: subnet `Subnet1C` (ID) is listed twice"),
        (addresses(&[(a, "172.18.0.9"), (c, "172.18.0.10")]), "Metadata.privlink.Addresses.1", "InvalidParameterValue: 172.18.0.10 is not in 172.18.1.0/24, the range of subnet `Subnet1C` (ID); 172.18.1.4 is free"),
        (addresses(&[(c, "172.18.1.1")]), "Metadata.privlink.Addresses.0", "InvalidParameterValue: 172.18.1.1 is reserved for the VPC router in subnet `Subnet1C` (ID); 172.18.1.4 is free"),
    ]);
}

#[test]
fn an_account_or_region_of_another_shape() {
    let messages = [
        Owner::new("1", "ap-northeast-1"),
        Owner::new("000000000000", "tokyo"),
    ]
    .map(|owner| owner.unwrap_err().to_string());
    assert_eq!(
        messages,
        [
            "InvalidParameterValue: `1` is not an account id; one has 12 digits, for example 000000000000",
            "InvalidParameterValue: `tokyo` is not a region; one looks like ap-northeast-1",
        ]
    );
}

#[test]
fn a_command_is_refused_for_all_that_is_wrong_with_it() {
    let mut world = world();
    let (vpc1, vpc2, gateway_id) = (world.vpc1, world.vpc2, world.gateway_id);
    let ([a, c, d], [other, _]) = (world.subnets1, world.subnets2);
    let (group1, group2) = (world.group1, world.group2);
    let strings = |list: &[&str]| list.iter().map(|text| (*text).into()).collect();
    let rows: Vec<(Command, &[&str])> = vec![
        (
            Command::CreateSubnet(subnet("S", vpc1, "172.19.0.0/24", "us-east-1a")),
            &["CidrBlock", "AvailabilityZone"],
        ),
        (
            Command::AuthorizeSecurityGroupIngress(AuthorizeSecurityGroupIngress {
                from_port: Some(-1),
                to_port: None,
                cidr_ip: Some("banana".into()),
                ..ingress("R", group1)
            }),
            &["FromPort", "ToPort", "CidrIp"],
        ),
        (
            Command::RunInstance(RunInstance {
                private_ip_address: Some("banana".into()),
                security_group_ids: vec![group2, group1, group1],
                namespace: Some("a/b".into()),
                ..instance("I", a)
            }),
            &[
                "SecurityGroupIds.0",
                "SecurityGroupIds.2",
                "PrivateIpAddress",
                "Metadata.privlink.Namespace",
            ],
        ),
        (
            Command::CreateResourceGateway(CreateResourceGateway {
                name: "Gw_2".into(),
                ip_address_type: Some("IPV6".into()),
                security_group_ids: vec![group1],
                ipv4_addresses_per_eni: Some(0),
                ..gateway("Gw2", vpc2, &[a, other, c])
            }),
            &[
                "Name",
                "IpAddressType",
                "SecurityGroupIds.0",
                "Ipv4AddressesPerEni",
                "SubnetIds.0",
                "SubnetIds.2",
            ],
        ),
        (
            Command::CreateResourceConfiguration(CreateResourceConfiguration {
                name: "Cfg_2".into(),
                protocol_type: Some("UDP".into()),
                protocols: Some(strings(&["SCTP", "TCP", "ESP"])),
                port_ranges: strings(&["0", "443", "9-1"]),
                idle_timeout: Some(-1),
                ..configuration("Cfg2", gateway_id, "banana")
            }),
            &[
                "Name",
                "ProtocolType",
                "Metadata.privlink.Protocols.0",
                "Metadata.privlink.Protocols.2",
                "PortRanges.0",
                "PortRanges.2",
                "ResourceConfigurationDefinition.IpResource",
                "Metadata.privlink.IdleTimeout",
            ],
        ),
        (
            Command::CreateVpcEndpoint(CreateVpcEndpoint {
                private_dns_enabled: Some(true),
                ip_address_type: Some("ipv6".into()),
                security_group_ids: vec![group2],
                addresses: vec![(a, "banana".into()), (d, "172.18.9.9".into())],
                ..endpoint("E", vpc1, world.configuration_id, &[a, d])
            }),
            &[
                "PrivateDnsEnabled",
                "IpAddressType",
                "SecurityGroupIds.0",
                "SubnetIds.1",
                "Metadata.privlink.Addresses.0",
                "Metadata.privlink.Addresses.1",
            ],
        ),
    ];
    for (command, expected) in rows {
        let errors = world.account.refused_for(command);
        let properties: Vec<_> = errors.iter().map(ControlError::property).collect();
        assert_eq!(properties, expected, "{errors:?}");
    }
}
