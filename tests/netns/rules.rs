//! Each security group on the way can say no, and so can the port range: silence on the wire, a name in the counters.

use anyhow::{Result, ensure};

use crate::site::{ENDPOINT, Site, Template};

crate::tests!(
    the_endpoints_ingress_can_deny,
    the_gateways_egress_can_deny,
    the_targets_ingress_can_deny,
    the_consumers_egress_can_deny,
    a_port_outside_the_range_is_dropped,
    the_gateways_ingress_rules_have_no_effect,
);

/// A rule for everything.
pub const ANYTHING: &str = "{ IpProtocol: \"-1\", CidrIp: 0.0.0.0/0 }";
/// A rule for the port that the others of these tests do not use.
const OTHER_PORT: &str = "{ IpProtocol: tcp, FromPort: 81, ToPort: 81, CidrIp: 0.0.0.0/0 }";

/// curl ends in silence, EC2_B sees nothing of it, and `reason` is counted at `owner`'s interface.
fn denied(
    template: impl FnOnce(Template) -> Template,
    port: u16,
    owner: &str,
    reason: &str,
) -> Result<()> {
    let mut site = Site::new()?;
    site.up(&template(site.template()), &[])?;
    site.nginx()?;
    let capture = site.capture(&site.b, "ip")?;
    site.curl_times_out(&format!("{ENDPOINT}:{port}"))?;
    let drops = site.drops()?;
    ensure!(
        drops.contains_key(&(owner.to_owned(), reason.to_owned())),
        "no {reason} at {owner}: {drops:?}"
    );
    ensure!(
        drops
            .keys()
            .all(|(_, other)| other == reason || other == "Ipv6"),
        "{drops:?}"
    );
    let seen = capture.stop()?;
    ensure!(seen.is_empty(), "EC2_B saw:\n{seen}");
    Ok(())
}

fn the_endpoints_ingress_can_deny() -> Result<()> {
    let deny =
        |template: Template| template.rules("EndpointSecurityGroup", "Ingress", &[OTHER_PORT]);
    denied(deny, 80, "Endpoint", "IngressDenied")?;
    // As it stands, the example admits port 80 alone.
    denied(|template| template, 8080, "Endpoint", "IngressDenied")
}

fn the_gateways_egress_can_deny() -> Result<()> {
    let deny = |template: Template| template.rules("GatewaySecurityGroup", "Egress", &[OTHER_PORT]);
    denied(deny, 80, "Gateway", "EgressDenied")
}

fn the_targets_ingress_can_deny() -> Result<()> {
    let deny = |template: Template| template.rules("TargetSecurityGroup", "Ingress", &[OTHER_PORT]);
    denied(deny, 80, "EC2B", "IngressDenied")?;
    // Its client is the gateway: a rule for the consumer's own address is no use.
    let consumer_only = "{ IpProtocol: tcp, FromPort: 80, ToPort: 80, CidrIp: 172.18.0.108/32 }";
    let deny =
        |template: Template| template.rules("TargetSecurityGroup", "Ingress", &[consumer_only]);
    denied(deny, 80, "EC2B", "IngressDenied")
}

fn the_consumers_egress_can_deny() -> Result<()> {
    denied(
        |template| consumer_egress(template, OTHER_PORT),
        80,
        "EC2A",
        "EgressDenied",
    )?;
    // The same change with a rule that admits it lets it pass.
    let mut site = Site::new()?;
    site.up(&consumer_egress(site.template(), ANYTHING), &[])?;
    site.nginx()?;
    ensure!(site.curl(&[ENDPOINT])?.starts_with("hello"));
    Ok(())
}

/// Gives EC2_A a security group of its own with this one egress rule.
fn consumer_egress(template: Template, rule: &str) -> Template {
    let group = "\n  ConsumerSecurityGroup:\n    Type: AWS::EC2::SecurityGroup\n    Properties:\n      \
                 GroupDescription: what EC2_A may send\n      VpcId: !Ref Vpc1\n";
    template
        .edit("\n  EC2A:\n", &format!("{group}\n  EC2A:\n"))
        .edit("      SubnetId: !Ref Vpc1SubnetA\n", "      SubnetId: !Ref Vpc1SubnetA\n      SecurityGroupIds: [!Ref ConsumerSecurityGroup]\n")
        .rules("ConsumerSecurityGroup", "Egress", &[rule])
}

fn a_port_outside_the_range_is_dropped() -> Result<()> {
    let narrow = |template: Template| {
        template.edit("- 1-65535", "- \"80\"").rules(
            "EndpointSecurityGroup",
            "Ingress",
            &[ANYTHING],
        )
    };
    denied(narrow, 8080, "Endpoint", "PortNotOffered")
}

fn the_gateways_ingress_rules_have_no_effect() -> Result<()> {
    let mut site = Site::new()?;
    site.up(
        &site
            .template()
            .rules("GatewaySecurityGroup", "Ingress", &[]),
        &[],
    )?;
    site.nginx()?;
    ensure!(site.curl(&[ENDPOINT])?.starts_with("hello"));
    Ok(())
}
