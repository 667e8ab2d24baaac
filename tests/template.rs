//! Templates from their text to the control state, and what is said when something is wrong with them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use privlink::control::{
    Answer, ControlState, DomainName, EndpointDestination, RecordSet, State, compile,
};
use privlink::dataplane::config::Traffic;
use privlink::template::{Diagnostics, Options, Parameter, Source, Stack, Stacks, load};
use proptest::prelude::*;

const W1: &str = include_str!("../examples/resource-endpoint.yaml");
const SAAS_PROVIDER: &str = include_str!("../examples/saas-provider.yaml");
const SAAS_CONSUMER: &str = include_str!("../examples/saas-consumer.yaml");
const TWO_TIER: &str = include_str!("templates/two-tier.yaml");
const PROVIDER: &str = include_str!("templates/provider.yaml");
const CONSUMER: &str = include_str!("templates/consumer.yaml");
const ZONES: &str = include_str!("templates/zones.yaml");
const BASTION: &str = include_str!("templates/bastion.json");

/// A template alone.
#[derive(Debug)]
struct Alone {
    state: ControlState,
    stack: Stack,
}

impl std::ops::Deref for Alone {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.stack
    }
}

fn load_with(text: &str, options: &Options) -> Result<Alone, Diagnostics> {
    let source = Source::new("t.yaml", text, "privlink");
    let Stacks { state, mut list } = load(&[source], options)?;
    let stack = list.remove(0);
    assert!(list.is_empty());
    Ok(Alone { state, stack })
}

fn load_text(text: &str) -> Result<Alone, Diagnostics> {
    load_with(text, &Options::default())
}

/// Templates by the names of their files.
fn load_all(files: &[(&str, &str)], options: &Options) -> Result<Stacks, Diagnostics> {
    let sources: Vec<_> = files
        .iter()
        .map(|(name, text)| Source::new(name, text, name.split('.').next().unwrap()))
        .collect();
    load(&sources, options)
}

/// `K=V` or `stack:K=V`.
fn with_parameters(parameters: &[(&str, &str)]) -> Options {
    let own = |(name, value): &(&str, &str)| {
        let (stack, key) = match name.split_once(':') {
            Some((stack, key)) => (Some(stack.to_owned()), key),
            None => (None, *name),
        };
        Parameter {
            stack,
            key: key.to_owned(),
            value: (*value).to_owned(),
        }
    };
    Options {
        parameters: parameters.iter().map(own).collect(),
        ..Options::default()
    }
}

/// The interfaces of a state, one line each.
fn interfaces(stack: &Alone) -> Vec<String> {
    let enis = stack.state.network_interfaces();
    enis.map(|e| format!("{} {}", e.availability_zone, e.private_ip_addresses[0]))
        .collect()
}

/// Every object of a state, one line each.
fn objects(state: &ControlState) -> String {
    let mut text = String::new();
    state.vpcs().for_each(|o| text += &format!("{o:?}\n"));
    state.subnets().for_each(|o| text += &format!("{o:?}\n"));
    state
        .security_groups()
        .for_each(|o| text += &format!("{o:?}\n"));
    state
        .network_interfaces()
        .for_each(|o| text += &format!("{o:?}\n"));
    state.instances().for_each(|o| text += &format!("{o:?}\n"));
    state
        .resource_gateways()
        .for_each(|o| text += &format!("{o:?}\n"));
    state
        .resource_configurations()
        .for_each(|o| text += &format!("{o:?}\n"));
    state
        .vpc_endpoints()
        .for_each(|o| text += &format!("{o:?}\n"));
    text
}

fn output(stack: &Stack, key: &str) -> String {
    let found = stack.outputs.iter().find(|o| o.key == key);
    found
        .unwrap_or_else(|| panic!("no output {key}"))
        .value
        .clone()
}

/// One template with the value of one expression.
fn value_of(expression: &str) -> Result<String, String> {
    let text = format!(
        "Parameters:\n  P: {{Type: String, Default: p}}\n  L: {{Type: CommaDelimitedList, Default: 'x, y,z'}}\n\
         Mappings:\n  M: {{k: {{text: found, list: [a, b]}}}}\n\
         Conditions:\n  Yes: !Equals [!Ref P, p]\n  No: !Not [!Condition Yes]\n\
         Resources:\n  V: {{Type: AWS::EC2::VPC, Properties: {{CidrBlock: 10.1.0.0/16}}}}\n  \
         Igw: {{Type: AWS::EC2::InternetGateway}}\n\
         Outputs:\n  O:\n    Value: {expression}\n"
    );
    let stack = load_text(&text).map_err(|e| e.to_string())?;
    Ok(output(&stack, "O"))
}

#[test]
fn walkthrough_1_loads_with_both_endpoint_interfaces_pinned() {
    let stack = load_text(W1).unwrap();
    assert_eq!(stack.state.owner().region(), "ap-northeast-1");
    assert_eq!(stack.state.vpcs().count(), 2);
    assert!(
        stack
            .state
            .vpcs()
            .all(|v| v.cidr_block.to_string() == "172.18.0.0/16")
    );
    let mut enis = interfaces(&stack);
    enis.sort();
    assert_eq!(
        enis,
        [
            "ap-northeast-1a 172.18.0.108",
            "ap-northeast-1a 172.18.0.108",
            "ap-northeast-1a 172.18.0.239",
            "ap-northeast-1a 172.18.0.247",
            "ap-northeast-1c 172.18.1.239",
            "ap-northeast-1c 172.18.1.70",
        ]
    );
    let namespaces: Vec<_> = stack
        .state
        .instances()
        .map(|i| i.namespace.as_str())
        .collect();
    assert_eq!(namespaces, ["ec2-a", "ec2-b"]);
    let configuration = stack.state.resource_configurations().next().unwrap();
    assert_eq!(configuration.name, "privatelink-dev2-vpc-cfg");
    assert_eq!(configuration.definition.to_string(), "172.18.0.108");
    let gateway = stack.state.resource_gateways().next().unwrap();
    assert_eq!(gateway.name, "privatelink-dev2-vpc-rscgw");
    assert_eq!(output(&stack, "ResourceAddress"), "172.18.0.108");
    let config = compile(&stack.state);
    assert_eq!(config.resources.iter().count(), 1);
}

#[test]
fn public_templates_load_and_say_what_they_ignore() {
    let stack = load_text(TWO_TIER).unwrap();
    assert_eq!(interfaces(&stack), ["us-east-1a 10.192.10.4"]);
    let notes: Vec<_> = stack.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "ignored: AWS::EC2::InternetGateway (InternetGateway)",
            "ignored: AWS::EC2::Route (DefaultPublicRoute)",
            "ignored: AWS::EC2::RouteTable (PublicRouteTable)",
            "ignored: AWS::EC2::SubnetRouteTableAssociation (PublicSubnet1RouteTableAssociation)",
            "ignored: AWS::EC2::VPCGatewayAttachment (InternetGatewayAttachment)",
            "ignored: AWS::IAM::InstanceProfile (InstanceProfile)",
            "ignored: AWS::IAM::Role (InstanceRole)",
            "ignored: AWS::Logs::LogGroup (Logs)",
            "ignored: BlockDeviceMappings, Fn::GetAtt PublicDnsName, IamInstanceProfile, ImageId, InstanceType, \
             KeyName, Monitoring, NetworkInterfaces.AssociatePublicIpAddress of AWS::EC2::Instance (WebServer)",
            "ignored: MapPublicIpOnLaunch of AWS::EC2::Subnet (PrivateSubnet1, PublicSubnet1)",
            "ignored: InstanceTenancy of AWS::EC2::VPC (VPC)",
        ]
    );
    let instance = stack.state.instances().next().unwrap();
    assert_eq!(instance.namespace, "sample-web-small");
    let script = String::from_utf8(instance.user_data.clone().unwrap()).unwrap();
    assert!(
        script.contains("echo ${HOME} of privlink in us-east-1, 10.192.0.0/16\n"),
        "{script}"
    );
    assert_eq!(output(&stack, "PrivateName"), "ip-10-192-10-4.ec2.internal");

    let stack = load_text(BASTION).unwrap();
    assert_eq!(interfaces(&stack), ["eu-west-1b 10.0.0.10"]);
    assert_eq!(output(&stack, "Bastion"), "10.0.0.10");
}

#[test]
fn parameters_are_given_checked_and_counted_on() {
    let options = with_parameters(&[
        ("EnvironmentName", "prod"),
        ("WithNat", "yes"),
        ("KeyName", "mine"),
    ]);
    let stack = load_with(TWO_TIER, &options).unwrap();
    assert_eq!(output(&stack, "Nat"), "NatGateway");
    let instance = stack.state.instances().next().unwrap();
    assert_eq!(instance.namespace, "prod-web-large");
    let web = stack
        .state
        .security_groups()
        .find(|g| g.group_name == "privlink-web");
    assert_eq!(
        web.unwrap().ingress.len(),
        4,
        "the rule of the condition HasKey is there"
    );

    let options = with_parameters(&[("EnvironmentName", "PROD"), ("VpcCidr", "10.0.0.0/16")]);
    let errors = load_with(TWO_TIER, &options).unwrap_err();
    let first_lines: Vec<_> = errors.list.iter().map(first_line).collect();
    assert_eq!(
        first_lines,
        [
            "t.yaml:15:1: Parameters: the template has no parameter `VpcCidr`; did you mean VpcCIDR?",
            "t.yaml:16:3: Parameters.EnvironmentName: `PROD` does not match AllowedPattern `[a-z][a-z0-9-]*`; \
             must be lower case",
        ]
    );
}

fn first_line(diagnostic: &privlink::template::Diagnostic) -> String {
    diagnostic
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn the_region_is_the_users_else_the_zones_else_the_environments() {
    let with = |region: Option<&str>, default_region: Option<&str>| Options {
        region: region.map(str::to_owned),
        default_region: default_region.map(str::to_owned),
        ..Options::default()
    };
    let region = |text: &str, options: &Options| {
        let stack = load_with(text, options).unwrap();
        stack.state.owner().region().to_owned()
    };
    assert_eq!(region(W1, &with(None, Some("eu-west-1"))), "ap-northeast-1");
    assert_eq!(
        region(TWO_TIER, &with(None, Some("eu-west-1"))),
        "eu-west-1"
    );
    assert_eq!(
        region(TWO_TIER, &with(Some("us-west-2"), Some("eu-west-1"))),
        "us-west-2"
    );
    assert_eq!(region(TWO_TIER, &with(None, None)), "us-east-1");
    let errors = load_with(W1, &with(Some("eu-west-1"), None))
        .unwrap_err()
        .to_string();
    assert!(
        errors.contains("`ap-northeast-1a` is not an availability zone of eu-west-1"),
        "{errors}"
    );
}

#[test]
fn a_region_that_is_none_is_no_error_of_the_template() {
    let with = |region: Option<&str>, default_region: Option<&str>| Options {
        region: region.map(str::to_owned),
        default_region: default_region.map(str::to_owned),
        ..Options::default()
    };
    let error = |options: &Options| load_with(TWO_TIER, options).unwrap_err().to_string();
    assert_eq!(
        error(&with(Some("xx"), Some("eu-west-1"))),
        "--region: InvalidParameterValue: `xx` is not a region; one looks like ap-northeast-1"
    );
    assert_eq!(
        error(&with(None, Some("xx"))),
        "the environment's region (AWS_REGION): InvalidParameterValue: `xx` is not a region; \
         one looks like ap-northeast-1"
    );
}

#[test]
fn functions_give_their_values_in_both_forms() {
    for (expression, value) in [
        ("!Ref P", "p"),
        ("{Ref: P}", "p"),
        ("!Ref AWS::Region", "us-east-1"),
        ("!Ref AWS::AccountId", "000000000000"),
        ("!Ref AWS::StackName", "privlink"),
        ("!Ref AWS::Partition", "aws"),
        ("!Ref AWS::URLSuffix", "amazonaws.com"),
        ("!Ref Igw", "Igw"),
        ("!GetAtt Igw.InternetGatewayId", "Igw.InternetGatewayId"),
        ("!GetAtt V.CidrBlock", "10.1.0.0/16"),
        ("!GetAtt [V, CidrBlock]", "10.1.0.0/16"),
        ("{'Fn::GetAtt': V.CidrBlock}", "10.1.0.0/16"),
        ("{'Fn::GetAtt': [V, CidrBlock]}", "10.1.0.0/16"),
        (
            "!Sub '${P}-${V.CidrBlock}-${!P}-$P'",
            "p-10.1.0.0/16-${P}-$P",
        ),
        ("!Sub ['${a}${P}', {a: !Join [b, [1, 2]]}]", "1b2p"),
        ("{'Fn::Sub': '${AWS::Region}x'}", "us-east-1x"),
        ("!Join ['-', !Ref L]", "x-y-z"),
        ("{'Fn::Join': ['', [a, !Ref P]]}", "ap"),
        ("!Select [1, !Ref L]", "y"),
        ("!Select ['0', [a, b]]", "a"),
        ("!Select [2, !Split ['.', 10.20.30.40]]", "30"),
        (
            "!Join [',', !GetAZs ap-northeast-1]",
            "ap-northeast-1a,ap-northeast-1c,ap-northeast-1d",
        ),
        (
            "!Join [',', {'Fn::GetAZs': !Ref AWS::Region}]",
            "us-east-1a,us-east-1b,us-east-1c,us-east-1d,us-east-1e,us-east-1f",
        ),
        ("!Base64 hello", "aGVsbG8="),
        (
            "!Select [2, !Cidr [!GetAtt V.CidrBlock, 4, 8]]",
            "10.1.2.0/24",
        ),
        ("!FindInMap [M, k, text]", "found"),
        ("!Select [1, !FindInMap [M, k, list]]", "b"),
        ("!If [Yes, a, !Ref V]", "a"),
        ("!If [No, a, b]", "b"),
        ("012345678901", "012345678901"),
        ("2012-10-17", "2012-10-17"),
        ("yes", "yes"),
        ("!!str 012", "012"),
        ("1.10", "1.10"),
    ] {
        assert_eq!(value_of(expression).as_deref(), Ok(value), "{expression}");
    }
}

#[test]
fn yaml_and_json_of_one_template_make_one_state() {
    let yaml = r"
Parameters:
  Zone: {Type: String, Default: eu-west-1a}
Resources:
  Vpc:
    Type: AWS::EC2::VPC
    Properties: {CidrBlock: 10.0.0.0/16}
  Subnet:
    Type: AWS::EC2::Subnet
    Properties:
      VpcId: !Ref Vpc
      CidrBlock: !Select [1, !Cidr [!GetAtt Vpc.CidrBlock, 2, 8]]
      AvailabilityZone: !Ref Zone
  Server:
    Type: AWS::EC2::Instance
    Metadata: {privlink: {Namespace: server}}
    Properties:
      SubnetId: !Ref Subnet
      UserData: !Base64
        Fn::Sub: |
          #!/bin/sh
          echo 🏰 ${AWS::Region}
";
    let json = r##"{
	"Parameters": {"Zone": {"Type": "String", "Default": "eu-west-1a"}},
	"Resources": {
		"Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}},
		"Subnet": {"Type": "AWS::EC2::Subnet", "Properties": {
			"VpcId": {"Ref": "Vpc"},
			"CidrBlock": {"Fn::Select": [1, {"Fn::Cidr": [{"Fn::GetAtt": ["Vpc", "CidrBlock"]}, 2, 8]}]},
			"AvailabilityZone": {"Ref": "Zone"}}},
		"Server": {"Type": "AWS::EC2::Instance", "Metadata": {"privlink": {"Namespace": "server"}}, "Properties": {
			"SubnetId": {"Ref": "Subnet"},
			"UserData": {"Fn::Base64": {"Fn::Sub": "#!/bin/sh\necho \ud83c\udff0 ${AWS::Region}\n"}}}}
	}
}"##;
    let [yaml, json] = [yaml, json].map(|text| load_text(text).unwrap());
    assert_eq!(objects(&yaml.state), objects(&json.state));
    assert_eq!(
        objects(&yaml.state).lines().count(),
        5,
        "VPC, its group, subnet, interface, instance"
    );
}

#[test]
fn hosted_zones_and_their_record_sets_load() {
    let stack = load_text(ZONES).unwrap();
    let zone = stack.state.hosted_zones().next().unwrap();
    assert_eq!(zone.name.to_string(), "example.internal");
    assert_eq!(zone.comment.as_deref(), Some("inside only"));
    assert_eq!(zone.tags.name(), Some("inside"));
    assert_eq!(output(&stack, "Zone"), zone.id.to_string());
    assert_eq!(output(&stack, "App"), "app.example.internal");
    let line = |set: &RecordSet| {
        let answer = match &set.answer {
            Answer::Records { ttl, values } => {
                let values: Vec<_> = values.iter().map(ToString::to_string).collect();
                format!("{ttl} {}", values.join(", "))
            }
            Answer::Alias(target) => format!("alias {target}"),
        };
        let record_type = set.record_type.name();
        format!("{}: {} {record_type} {answer}", set.client_token, set.name)
    };
    let lines: Vec<_> = stack.state.record_sets().map(line).collect();
    assert_eq!(
        lines,
        [
            "App: app.example.internal A 60 10.0.0.4, 10.0.0.5",
            "ByName: *.example.internal CNAME 60 app.example.internal",
            "Group/text.example.internal TXT: text.example.internal TXT 60 \"a\" \"b\"",
            "Group/db.example.internal A: db.example.internal A alias vpce-1.example.com",
        ]
    );
    let notes: Vec<_> = stack.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "ignored: Comment, RecordSets.AliasTarget.EvaluateTargetHealth of AWS::Route53::RecordSetGroup (Group)"
        ]
    );
}

/// The catalogue of errors: what each case of `templates/errors.txt` gives.
#[test]
fn every_error_names_its_place_and_what_would_be_right() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates/errors.txt");
    let catalogue = fs::read_to_string(&path).unwrap();
    let bless = std::env::var_os("BLESS").is_some();
    let (head, cases) = catalogue.split_once("=== ").unwrap();
    let mut written = head.to_owned();
    for case in cases.split("\n=== ") {
        let (text, expected): (Vec<&str>, Vec<&str>) =
            case.lines().skip(1).partition(|l| !l.starts_with(">>> "));
        let name = case.lines().next().unwrap();
        let text = text.join("\n").trim_end().to_owned() + "\n";
        let files: Vec<_> = match text.strip_prefix("+++ ") {
            Some(files) => files
                .split("+++ ")
                .filter_map(|file| file.split_once('\n'))
                .collect(),
            None => vec![("t.yaml", &*text)],
        };
        let errors = load_all(&files, &Options::default()).expect_err(name);
        let found: Vec<_> = errors
            .list
            .iter()
            .map(|e| {
                let line = first_line(e);
                format!(">>> {}", line.strip_prefix("t.yaml:").unwrap_or(&line))
            })
            .collect();
        assert!(
            bless || expected == found,
            "{name}\nwanted {expected:#?}\nfound {found:#?}"
        );
        written += &format!("=== {name}\n{text}{}\n\n", found.join("\n"));
    }
    if bless {
        fs::write(&path, written.trim_end().to_owned() + "\n").unwrap();
    }
}

#[test]
fn an_error_shows_its_line_with_a_caret() {
    let text =
        "Resources:\n  V:\n    Type: AWS::EC2::VPC\n    Properties: {CidrBlok: 10.0.0.0/16}\n";
    let errors = load_text(text).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "t.yaml:4:17: Resources.V: the required property CidrBlock is missing\n  \
           4 |     Properties: {CidrBlok: 10.0.0.0/16}\n    \
             |                 ^\n\
         t.yaml:4:18: Resources.V: unknown property `CidrBlok`; did you mean CidrBlock?\n  \
           4 |     Properties: {CidrBlok: 10.0.0.0/16}\n    \
             |                  ^"
    );
    let error = &errors.list[1];
    assert_eq!(error.logical_id.as_deref(), Some("V"));
    assert_eq!((error.line, error.column), (4, 18));
}

#[test]
fn what_depends_on_a_failed_resource_is_left_out_and_the_rest_is_not() {
    let text = r"
Resources:
  Wrong: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/33}}
  Silent: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Wrong, CidrBlock: nothing}}
  Heard: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/34}}
";
    let errors = load_text(text).unwrap_err();
    let ids: Vec<_> = errors
        .list
        .iter()
        .filter_map(|e| e.logical_id.as_deref())
        .collect();
    assert_eq!(ids, ["Wrong", "Heard"]);
}

const ONE_VPC: &str = "Resources: {V: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}}";

#[test]
fn hostile_texts_are_errors_soon_and_in_bounded_memory() {
    let big_list = format!("[{}]", "a, ".repeat(1000));
    let doubling: String = (0..40)
        .map(|i| format!("  A{i}: !Join ['', [!Ref P, !Ref P, !Ref P]]\n"))
        .collect();
    let refs = "!Ref P, ".repeat(60_000);
    for (what, text) in [
        ("size", "a: b\n".repeat(300_000)),
        ("depth", "{a: ".repeat(10_000)),
        (
            "block depth",
            (0..1000)
                .map(|i| format!("{}a:\n", " ".repeat(i)))
                .collect(),
        ),
        ("dashes", "- ".repeat(200_000)),
        ("question marks", "? ".repeat(200_000)),
        (
            "aliases",
            format!("a: &a {big_list}\nb: &b [*a, *a]\nc: [*b, *b]\n"),
        ),
        ("nul", "Resources: {}\0".to_owned()),
        (
            "many resources",
            format!(
                "Resources:\n{}",
                (0..600)
                    .map(|i| format!("  R{i}: {{Type: AWS::EC2::Subnet}}\n"))
                    .collect::<String>()
            ),
        ),
        (
            "many errors",
            format!("Resources:\n{}", "  A: {}\n".repeat(50_000)),
        ),
        (
            "many outputs",
            format!(
                "{ONE_VPC}\nParameters:\n  P: {{Type: String, Default: p}}\nOutputs:\n{doubling}"
            ),
        ),
        (
            "many bytes",
            format!(
                "{ONE_VPC}\nParameters:\n  P: {{Type: String, Default: {}}}\nOutputs:\n  O: {{Value: !Join ['', [{refs}]]}}\n",
                "x".repeat(4000)
            ),
        ),
        (
            "condition chain",
            format!(
                "{ONE_VPC}\nConditions:\n{}  C199: !Equals [a, a]\n",
                (0..199)
                    .map(|i| format!("  C{i}: !Condition C{}\n", i + 1))
                    .collect::<String>()
            ),
        ),
    ] {
        let start = std::time::Instant::now();
        let errors = load_text(&text).expect_err(what);
        assert!(errors.list.len() <= 100, "{what}");
        assert!(errors.to_string().len() < 100_000, "{what}");
        assert!(
            start.elapsed().as_secs() < 10,
            "{what} took {:?}",
            start.elapsed()
        );
    }
}

/// Pieces of templates, good and bad, that together get further than arbitrary characters.
const PIECES: &[&str] = &[
    "Resources:\n",
    "Parameters:\n",
    "Outputs:\n",
    "  A:\n",
    "    Type: AWS::EC2::VPC\n",
    "    Properties:\n",
    "      CidrBlock: ",
    "10.0.0.0/16\n",
    "!Ref ",
    "!Sub ",
    "!GetAtt ",
    "!Join ",
    "!Cidr ",
    "!If ",
    "!ImportValue ",
    "Export: {Name: ",
    "A",
    "A.B",
    "[",
    "]",
    "{",
    "}",
    ", ",
    ": ",
    "\n",
    "  ",
    "'",
    "\"",
    "${",
    "${!",
    "|\n",
    "&a ",
    "*a ",
    "<<: ",
    "é",
    "\u{feff}",
    "\t",
    "- ",
    "\0",
    "~",
    "\\ud83d\\ude00",
    "{\"a\": \"\\ud83d",
    "Fn::Sub: ",
    "-1",
    "999999999999999999999",
    "    Metadata: {privlink: {",
    "---\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_a_stack_or_errors_never_a_panic(text in ".*") {
        let _ = load_text(&text).map_err(|e| e.to_string());
    }

    #[test]
    fn pieces_of_templates_are_a_stack_or_errors_never_a_panic(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)
    ) {
        let _ = load_text(&pieces.concat()).map_err(|e| e.to_string());
    }

    /// A template with one piece put in anywhere, and one stretch taken out.
    #[test]
    fn a_damaged_template_is_a_stack_or_errors_never_a_panic(
        at in 0usize..W1.len(), len in 0usize..200, piece in prop::sample::select(PIECES)
    ) {
        let bytes: Vec<u8> = [&W1.as_bytes()[..at], piece.as_bytes(), W1.as_bytes().get(at + len..).unwrap_or_default()].concat();
        let text = String::from_utf8_lossy(&bytes);
        let _ = load_text(&text).map_err(|e| e.to_string());
    }
}

#[test]
fn the_outputs_of_a_stack_are_in_their_order() {
    let stack = load_text(W1).unwrap();
    let keys: Vec<_> = stack.outputs.iter().map(|o| o.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "EndpointId",
            "EndpointNetworkInterfaceIds",
            "ConsumerAddress",
            "ResourceAddress"
        ]
    );
    let ids: BTreeMap<_, _> = stack
        .resources
        .iter()
        .map(|r| (r.logical_id.as_str(), r.physical_id.to_string()))
        .collect();
    assert_eq!(output(&stack, "EndpointId"), ids["Endpoint"]);
}

/// The outputs of a stack, as `key=value`.
fn outputs(stacks: &Stacks, name: &str) -> Vec<String> {
    let stack = stacks.list.iter().find(|stack| stack.name == name).unwrap();
    let outputs = stack.outputs.iter();
    outputs.map(|o| format!("{}={}", o.key, o.value)).collect()
}

#[test]
fn walkthrough_2_loads_with_an_endpoint_that_waits_to_be_accepted() {
    let files = [
        ("consumer.yaml", SAAS_CONSUMER),
        ("provider.yaml", SAAS_PROVIDER),
    ];
    let stacks = load_all(&files, &Options::default()).unwrap();
    let state = &stacks.state;
    let service = state.vpc_endpoint_services().next().unwrap();
    assert_eq!(service.owner_id, "111122223333");
    assert_eq!(
        outputs(&stacks, "provider"),
        [format!("ServiceName={}", service.service_name)]
    );
    let endpoint = state.vpc_endpoints().next().unwrap();
    assert_eq!(endpoint.owner_id, "444455556666");
    assert_eq!(endpoint.state, State::PendingAcceptance);
    assert_eq!(
        endpoint.destination,
        EndpointDestination::Service(service.service_id)
    );
    let group = state.target_groups().next().unwrap();
    let targets: Vec<_> = group.targets.iter().map(|t| (t.address, t.port)).collect();
    assert_eq!(
        targets,
        [([10, 100, 1, 11].into(), 80), ([10, 100, 1, 12].into(), 80)]
    );
    let listener = state.listeners().next().unwrap();
    assert_eq!((listener.port, listener.target_group_id), (80, group.id));
    let notes = stacks.list.iter().flat_map(|stack| &stack.notes);
    let notes: Vec<_> = notes.map(ToString::to_string).collect();
    let image = "ignored: ImageId, InstanceType of AWS::EC2::Instance";
    assert!(
        notes.iter().all(|note| note.starts_with(image)),
        "{notes:?}"
    );
}

#[test]
fn an_endpoint_gives_its_names_with_their_hosted_zones() {
    let consumer = SAAS_CONSUMER.to_owned()
        + r#"
  Name: {Value: !Select [1, !Split [":", !Select [0, !GetAtt Endpoint.DnsEntries]]]}
  HostedZone: {Value: !Select [0, !Split [":", !Select [0, !GetAtt Endpoint.DnsEntries]]]}
  All: {Value: !Join [" ", !GetAtt Endpoint.DnsEntries]}
"#;
    let files = [
        ("consumer.yaml", consumer.as_str()),
        ("provider.yaml", SAAS_PROVIDER),
    ];
    let stacks = load_all(&files, &Options::default()).unwrap();
    let endpoint = stacks.state.vpc_endpoints().next().unwrap();
    let entries = stacks.state.dns_entries(endpoint);
    let [regional, zonal] = &entries[..] else {
        panic!("{entries:?}");
    };
    let zone = &regional.hosted_zone_id;
    let all = format!("{zone}:{} {zone}:{}", regional.dns_name, zonal.dns_name);
    assert_eq!(
        outputs(&stacks, "consumer")[1..],
        [
            format!("Name={}", regional.dns_name),
            format!("HostedZone={zone}"),
            format!("All={all}"),
        ]
    );
}

#[test]
fn an_alias_may_lead_to_an_endpoint_by_its_names() {
    let zone = r#"
  PrivateZone:
    Type: AWS::Route53::HostedZone
    Properties: {Name: example.com, VPCs: [{VPCId: !Ref Vpc, VPCRegion: !Ref AWS::Region}]}
  Alias:
    Type: AWS::Route53::RecordSet
    Properties:
      HostedZoneId: !Ref PrivateZone
      Name: db.example.com
      Type: A
      AliasTarget:
        HostedZoneId: !Select [0, !Split [":", !Select [0, !GetAtt Endpoint.DnsEntries]]]
        DNSName: !Select [1, !Split [":", !Select [0, !GetAtt Endpoint.DnsEntries]]]

Outputs:
"#;
    let consumer = SAAS_CONSUMER.replacen("\nOutputs:\n", zone, 1);
    let files = [
        ("consumer.yaml", consumer.as_str()),
        ("provider.yaml", SAAS_PROVIDER),
    ];
    let state = load_all(&files, &Options::default()).unwrap().state;
    let endpoint = state.vpc_endpoints().next().unwrap();
    let regional = state.dns_entries(endpoint)[0].dns_name.to_string();
    let alias = state.record_sets().next().unwrap();
    assert_eq!(
        alias.answer,
        Answer::Alias(DomainName::parse(&regional).unwrap())
    );
}

#[test]
fn load_balancing_resources_give_their_arns_and_names() {
    let stack = load_text(SAAS_PROVIDER).unwrap();
    let nlb = stack.state.load_balancers().next().unwrap().clone();
    let text = SAAS_PROVIDER.to_owned()
        + r"
  Arn: {Value: !Ref LoadBalancer}
  Same: {Value: !GetAtt LoadBalancer.LoadBalancerArn}
  FullName: {Value: !GetAtt LoadBalancer.LoadBalancerFullName}
  Name: {Value: !GetAtt LoadBalancer.LoadBalancerName}
  DnsName: {Value: !GetAtt LoadBalancer.DNSName}
  Zone: {Value: !GetAtt LoadBalancer.CanonicalHostedZoneID}
  Targets: {Value: !GetAtt TargetGroup.TargetGroupFullName}
  Listener: {Value: !Ref Listener}
  Service: {Value: !GetAtt Service.ServiceId}
";
    let stack = load_text(&text).unwrap();
    let group = stack.state.target_groups().next().unwrap();
    let listener = stack.state.listeners().next().unwrap();
    let service = stack.state.vpc_endpoint_services().next().unwrap();
    for (key, value) in [
        ("Arn", nlb.load_balancer_arn.clone()),
        ("Same", nlb.load_balancer_arn.clone()),
        ("FullName", format!("net/provider-NLB/{}", nlb.id)),
        ("Name", "provider-NLB".into()),
        (
            "DnsName",
            format!("provider-NLB-{}.elb.us-west-2.amazonaws.com", nlb.id),
        ),
        (
            "Targets",
            format!("targetgroup/provider-target/{}", group.id),
        ),
        ("Listener", listener.listener_arn.clone()),
        ("Service", service.service_id.to_string()),
    ] {
        assert_eq!(output(&stack, key), value, "{key}");
    }
    let notes: Vec<_> = stack.notes.iter().map(ToString::to_string).collect();
    assert!(
        notes
            .iter()
            .any(|note| note.contains("Fn::GetAtt CanonicalHostedZoneID")),
        "{notes:?}"
    );
}

#[test]
fn what_has_no_effect_in_a_load_balancer_is_noted() {
    let text = SAAS_PROVIDER.replace(
        "      Scheme: internal\n",
        "      Scheme: internal\n      LoadBalancerAttributes:\n        \
         - {Key: load_balancing.cross_zone.enabled, Value: true}\n        \
         - {Key: access_logs.s3.enabled, Value: false}\n",
    );
    let stack = load_text(&text).unwrap();
    assert!(stack.state.load_balancers().next().unwrap().cross_zone);
    let notes: Vec<_> = stack.notes.iter().map(ToString::to_string).collect();
    let note = "ignored: LoadBalancerAttributes.access_logs.s3.enabled of \
                AWS::ElasticLoadBalancingV2::LoadBalancer (LoadBalancer)";
    assert!(notes.iter().any(|n| n == note), "{notes:?}");
}

#[test]
fn a_provider_and_a_consumer_are_joined_by_an_export_in_either_order() {
    let files = [("provider.yaml", PROVIDER), ("consumer.yaml", CONSUMER)];
    let [forth, back] =
        [files, [files[1], files[0]]].map(|files| load_all(&files, &Options::default()).unwrap());
    assert_eq!(objects(&forth.state), objects(&back.state));
    let names: Vec<_> = back.list.iter().map(|stack| stack.name.as_str()).collect();
    assert_eq!(names, ["consumer", "provider"]);

    let state = &forth.state;
    let configuration = state.resource_configurations().next().unwrap();
    let arn = &configuration.arn;
    assert_eq!(outputs(&forth, "provider"), [format!("Web={arn}")]);
    let endpoint = state.vpc_endpoints().next().unwrap();
    let destination = EndpointDestination::ResourceConfiguration(configuration.id);
    assert_eq!(endpoint.destination, destination);
    let [provider, consumer] = &forth.list[..] else {
        panic!("{:?}", forth.list)
    };
    assert_eq!(
        provider.outputs[0].export_name.as_deref(),
        Some("provider-web")
    );
    assert!(provider.imports.is_empty());
    let import = &consumer.imports[0];
    assert_eq!(
        (import.export_name.as_str(), import.stack.as_str()),
        ("provider-web", "provider")
    );
    // YAML keeps the zero that an account id may begin with.
    assert_eq!(provider.owner.account_id(), "111122223333");
    assert_eq!(consumer.owner.account_id(), "044455556666");
    assert_eq!(endpoint.owner_id, "044455556666");
    assert_eq!(state.owner_of(configuration.id), Some(&provider.owner));
    assert_eq!(
        state.owner_of(endpoint.vpc_endpoint_id),
        Some(&consumer.owner)
    );
    assert_eq!(
        outputs(&forth, "consumer"),
        [
            "StackId=arn:aws:cloudformation:us-west-2:044455556666:stack/consumer/00000000-0000-0000-0000-000000000000"
        ]
    );
}

#[test]
fn a_stack_has_the_ids_beside_others_that_it_has_alone() {
    let alone = load_all(&[("provider.yaml", PROVIDER)], &Options::default()).unwrap();
    let both = [("consumer.yaml", CONSUMER), ("provider.yaml", PROVIDER)];
    let both = load_all(&both, &Options::default()).unwrap();
    let provider = &both.list[1];
    assert_eq!(alone.list[0].resources, provider.resources);
}

#[test]
fn a_parameter_is_for_every_stack_that_has_it_or_for_the_one_that_is_named() {
    let files = [("provider.yaml", PROVIDER), ("consumer.yaml", CONSUMER)];
    let ports = |parameters: &[(&str, &str)]| {
        let stacks = load_all(&files, &with_parameters(parameters)).unwrap();
        let groups = stacks.state.security_groups();
        groups
            .filter(|group| group.group_name == "SecurityGroup")
            .map(|group| match group.ingress[0].traffic {
                Traffic::Tcp(ports) => ports.first.to_string(),
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(ports(&[]), ["80", "80"]);
    assert_eq!(ports(&[("Port", "81")]), ["81", "81"]);
    assert_eq!(ports(&[("consumer:Port", "82")]), ["80", "82"]);
    assert_eq!(
        ports(&[("consumer:Port", "82"), ("Port", "81")]),
        ["81", "82"]
    );
    // Only one of them has this one.
    assert_eq!(ports(&[("Provider", "provider")]), ["80", "80"]);

    let errors = |parameters: &[(&str, &str)]| {
        let errors = load_all(&files, &with_parameters(parameters)).unwrap_err();
        errors.list.iter().map(first_line).collect::<Vec<_>>()
    };
    assert_eq!(
        errors(&[
            ("Pirt", "1"),
            ("consumr:Port", "1"),
            ("provider:Provider", "x")
        ]),
        [
            "--parameter: no template has a parameter `Pirt`; did you mean Port?",
            "--parameter: there is no stack `consumr`; did you mean consumer?",
            "provider.yaml:8:1: Parameters: the template has no parameter `Provider`; there are Port, Zone",
        ]
    );
}

#[test]
fn a_stack_that_comes_again_keeps_its_parameters_and_one_that_stays_gets_none() {
    let files = [("provider.yaml", PROVIDER), ("consumer.yaml", CONSUMER)];
    let options = with_parameters(&[("provider:Port", "81"), ("consumer:Port", "82")]);
    let before = load_all(&files, &options).unwrap().list;
    assert_eq!(before[1].parameters["Port"], "82");

    // The provider's template comes anew, and one of its parameters has another name now.
    let changed = PROVIDER
        .replace("\n  Port:", "\n  Harbour:")
        .replace("Ref Port", "Ref Harbour");
    let provider = |text, parameters: &[(&str, &str)]| {
        let sources = [("provider", text), ("consumer", CONSUMER)];
        let sources = sources.into_iter().zip(&before).enumerate();
        let sources: Vec<_> = sources
            .map(|(place, ((name, text), stack))| Source {
                before: Some(stack),
                stays: place == 1,
                ..Source::new(name, text, name)
            })
            .collect();
        let stacks = load(&sources, &with_parameters(parameters));
        stacks.map(|stacks| {
            let given = stacks.list.into_iter().map(|stack| stack.parameters);
            given.map(|of| format!("{of:?}")).collect::<Vec<_>>()
        })
    };
    let kept = r#"{"Port": "82"}"#;
    for (text, parameters, expected) in [
        (PROVIDER, &[][..], r#"{"Port": "81"}"#),
        (PROVIDER, &[("Port", "83")], r#"{"Port": "83"}"#),
        (&*changed, &[], "{}"),
    ] {
        assert_eq!(provider(text, parameters).unwrap(), [expected, kept]);
    }
    let errors = provider(PROVIDER, &[("Provider", "x")]).unwrap_err();
    assert!(
        errors
            .to_string()
            .contains("the template has no parameter `Provider`"),
        "what only the one that stays has is asked of the one that comes: {errors}"
    );
}

#[test]
fn an_import_that_nobody_needs_may_come_from_a_stack_that_is_not_there() {
    let text = r"
Resources:
  V: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16, InstanceTenancy: !ImportValue tenancy}}
  Route: {Type: AWS::EC2::Route, Properties: {RouteTableId: !ImportValue table}}
";
    let stack = load_text(text).unwrap();
    assert!(stack.imports.is_empty());
}

#[test]
fn a_failed_stack_is_not_blamed_on_those_that_import_from_it() {
    let provider = PROVIDER.replace("PrivateIpAddress: 10.0.0.10", "PrivateIpAddress: 10.1.0.10");
    let consumer = CONSUMER.replace("Subnet: 10.0.0.70", "Subnet: 10.0.1.70");
    let consumer = consumer.replace("PrivateIpAddress: 10.0.0.10", "PrivateIpAddress: 10.0.0.1");
    let files = [("consumer.yaml", &*consumer), ("provider.yaml", &*provider)];
    let errors = load_all(&files, &Options::default()).unwrap_err();
    let places: Vec<_> = errors
        .list
        .iter()
        .map(|e| (e.file.as_str(), e.line, e.logical_id.as_deref()))
        .collect();
    // The endpoint's wrong address is not found: without the provider there is no endpoint.
    assert_eq!(
        places,
        [
            ("consumer.yaml", 43, Some("Instance")),
            ("provider.yaml", 59, Some("Instance"))
        ]
    );
}
