//! What is asked to be changed over the control socket, of a topology without instances: all of it but links.

use serde_json::json;

use super::*;
use crate::control::ControlState;
use crate::daemon::change::Verb;
use crate::daemon::links::Shape;
use crate::daemon::live::{Machine, Next};
use crate::daemon::made::Made;
use crate::daemon::names::Names;
use crate::daemon::stacks::Wanted;
use crate::io::{Offload, WorkerOptions, Workers};

const PROVIDER: &str = r#"
Metadata: {privlink: {Account: "111122223333"}}
Parameters:
  Port: {Type: Number, Default: 80}
Resources:
  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
  Subnet: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Vpc, CidrBlock: 10.0.0.0/24, AvailabilityZone: us-west-2a}}
  Balancer:
    Type: AWS::ElasticLoadBalancingV2::LoadBalancer
    Properties: {Type: network, Scheme: internal, Subnets: [!Ref Subnet]}
  Group:
    Type: AWS::ElasticLoadBalancingV2::TargetGroup
    Properties: {Protocol: TCP, Port: !Ref Port, VpcId: !Ref Vpc, TargetType: ip}
  Listener:
    Type: AWS::ElasticLoadBalancingV2::Listener
    Properties:
      LoadBalancerArn: !Ref Balancer
      Protocol: TCP
      Port: 80
      DefaultActions: [{Type: forward, TargetGroupArn: !Ref Group}]
  Service: {Type: AWS::EC2::VPCEndpointService, Properties: {NetworkLoadBalancerArns: [!Ref Balancer]}}
  Permissions:
    Type: AWS::EC2::VPCEndpointServicePermissions
    Properties: {ServiceId: !Ref Service, AllowedPrincipals: ["*"]}
Outputs:
  Name:
    Value: !Sub "com.amazonaws.vpce.${AWS::Region}.${Service}"
    Export: {Name: service}
"#;

const CONSUMER: &str = r#"
Metadata: {privlink: {Account: "444455556666"}}
Resources:
  Vpc: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}
  Subnet: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Vpc, CidrBlock: 10.0.0.0/24, AvailabilityZone: us-west-2a}}
  Endpoint:
    Type: AWS::EC2::VPCEndpoint
    Properties: {VpcEndpointType: Interface, VpcId: !Ref Vpc, ServiceName: !ImportValue service, SubnetIds: [!Ref Subnet]}
"#;

/// A daemon with both templates, but for its socket and signals.
struct Site {
    live: Arc<Live>,
    _tmp: tempfile::TempDir,
}

impl Site {
    fn up() -> Self {
        let tmp = tempfile::tempdir().unwrap();
        let dir = StateDir::new(&tmp.path().join("state")).unwrap();
        dir.create().unwrap();
        let clock = Clock::start();
        let settings = Settings {
            workers: 1,
            seed: 7,
            mtu: 9001,
            max_flows: 1024,
            query_log: false,
        };
        let dataplane = Arc::new(Dataplane::new(settings));
        let options = WorkerOptions { workers: 1, clock };
        let (workers, _) = Workers::start(Arc::clone(&dataplane), Vec::new(), options).unwrap();
        let machine = Machine {
            made: Made::claim(dir.path(), true).unwrap(),
            workers,
            shape: Shape {
                mtu: 9001,
                offload: Offload::On,
            },
            run_user_data: false,
            ended: tokio::sync::mpsc::unbounded_channel().0,
            started: std::time::Instant::now(),
            notes: Vec::new(),
        };
        let files = [("consumer.yaml", CONSUMER), ("provider.yaml", PROVIDER)];
        let files = files.map(|(name, text)| TemplateFile {
            name: name.into(),
            text: text.into(),
            path: None,
        });
        let templates = Templates {
            files: files.into(),
            ..w1()
        };
        let (wanted, stacks) = Wanted::default().with(&templates, None).unwrap();
        let nothing = ControlState::new(stacks.state.owner().clone());
        let names = Names::alone(Arc::clone(&dataplane), clock);
        let live = Live::new(machine, nothing, dataplane, clock, names);
        let next = Next {
            wanted: Some(wanted),
            stacks,
        };
        live.change(|_, _| Ok(((), Some(next)))).unwrap();
        Self {
            live: Arc::new(live),
            _tmp: tmp,
        }
    }

    /// The answer's status and its body.
    fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let (status, mut lines) = ask_live(&self.live, &format!("POST {path}"), Some(&body));
        let code = status.split(' ').nth(1).unwrap().parse().unwrap();
        (code, lines.remove(0))
    }

    fn get(&self, path: &str) -> Value {
        ask_live(&self.live, &format!("GET {path}"), None)
            .1
            .remove(0)
    }

    fn endpoints(&self, verb: &str, names: &[&str]) -> (u16, Value) {
        let body = json!({ "VpcEndpointIds": names });
        self.post(&format!("/v1/vpc-endpoints/{verb}"), body)
    }

    /// `+Thing` for what is added, `~Thing Property` for what is modified, `-Thing` for what is removed.
    fn apply(&self, name: &str, text: &str, parameters: Value, dry_run: bool) -> Vec<String> {
        let templates = json!([{"Name": name, "Text": text}]);
        let body = json!({"Templates": templates, "Parameters": parameters, "DryRun": dry_run});
        let (status, plan) = self.post("/v1/apply", body);
        assert_eq!(
            (status, &plan["Applied"]),
            (200, &json!(!dry_run)),
            "{plan}"
        );
        let change = |change: &Value| {
            let sign = match change["Action"].as_str().unwrap() {
                "Add" => '+',
                "Modify" => '~',
                _ => '-',
            };
            let properties = change["Properties"].as_array().unwrap();
            let names: Vec<_> = properties
                .iter()
                .map(|p| p["Name"].as_str().unwrap())
                .collect();
            let id = change["LogicalResourceId"].as_str().unwrap();
            format!("{sign}{id} {}", names.join(","))
                .trim_end()
                .to_owned()
        };
        plan["Changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(change)
            .collect()
    }

    /// What has happened: event, endpoint and state.
    fn events(&self) -> Vec<String> {
        let lines = ask_live(&self.live, "GET /v1/events", None).1;
        let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let keys = ["Event", "LogicalId", "VpcEndpointState"];
        lines
            .iter()
            .map(|event| keys.map(|key| text(event, key)).join(" "))
            .collect()
    }

    fn state(&self) -> String {
        let endpoints = self.get("/v1/vpc-endpoints");
        endpoints[0]["State"].as_str().unwrap_or("none").to_owned()
    }
}

const SECOND: &str = "
  Second:
    Type: AWS::EC2::Subnet
    Properties: {VpcId: !Ref Vpc, CidrBlock: 10.0.1.0/24}
";

#[test]
fn a_dry_run_says_what_an_apply_does() {
    let site = Site::up();
    let more = CONSUMER.to_owned() + SECOND;
    assert_eq!(
        site.apply("consumer.yaml", &more, json!([]), true),
        ["+Second"]
    );
    assert_eq!(
        site.apply("consumer.yaml", &more, json!([]), true),
        ["+Second"]
    );
    assert_eq!(
        site.apply("consumer.yaml", &more, json!([]), false),
        ["+Second"]
    );
    let nothing: [&str; 0] = [];
    assert_eq!(
        site.apply("consumer.yaml", &more, json!([]), false),
        nothing
    );
    assert_eq!(
        site.apply("consumer.yaml", CONSUMER, json!([]), false),
        ["-Second"]
    );
}

#[test]
fn what_is_not_applied_stays_with_its_parameters() {
    let site = Site::up();
    let port = |port: &str| json!([{"ParameterKey": "Port", "ParameterValue": port}]);
    let nothing: [&str; 0] = [];
    assert_eq!(
        site.apply("provider.yaml", PROVIDER, port("81"), false),
        ["~Group Port"]
    );
    assert_eq!(
        site.apply("consumer.yaml", CONSUMER, json!([]), false),
        nothing
    );
    assert_eq!(
        site.apply("provider.yaml", PROVIDER, json!([]), false),
        nothing
    );
    assert_eq!(
        site.apply("provider.yaml", PROVIDER, port("80"), false),
        ["~Group Port"]
    );
    // One stack more, beside them.
    let new = "Resources: {V: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.0.0.0/16}}}";
    assert_eq!(site.apply("new.yaml", new, json!([]), false), ["+V"]);
    let stacks = site.get("/v1/stacks");
    let names: Vec<_> = stacks
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["StackName"])
        .collect();
    assert_eq!(names, ["consumer", "provider", "new"]);
}

#[test]
fn a_deleted_stack_takes_along_what_it_made_and_only_that() {
    let site = Site::up();
    let delete = |names: Value, dry_run: bool| {
        let body = json!({"StackNames": names, "DryRun": dry_run});
        let (status, answer) = site.post("/v1/delete", body);
        let changes = answer["Changes"].as_array().cloned().unwrap_or_default();
        let change = |change: &Value| {
            assert_eq!(change["Action"], "Remove", "{change}");
            change["LogicalResourceId"].as_str().unwrap().to_owned()
        };
        let gone: Vec<_> = changes.iter().map(change).collect();
        (status, gone, answer)
    };
    let stacks = || {
        let stacks = site.get("/v1/stacks");
        let names = stacks.as_array().unwrap().iter();
        let names = names.map(|stack| stack["StackName"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let before = site.get("/v1/topology");

    // Not what is not there, nor what others use.
    let (status, _, error) = delete(json!(["consumer", "provide"]), false);
    assert_eq!(
        (status, &error["Message"]),
        (
            404,
            &json!("ValidationError: Stack with id provide does not exist; did you mean provider?")
        )
    );
    let (status, _, error) = delete(json!(["provider"]), false);
    let message = error["Errors"][0]["Message"].as_str().unwrap_or_default();
    assert!(
        status == 400 && message.starts_with("ExistingVpcEndpointConnections: "),
        "{error}"
    );
    assert_eq!(delete(json!([]), false).0, 400);
    let consumers = ["Endpoint", "Subnet", "Vpc"];
    assert_eq!(delete(json!(["consumer"]), true).1, consumers);
    assert_eq!(site.get("/v1/topology"), before);

    let (status, gone, plan) = delete(json!(["consumer"]), false);
    assert_eq!(
        (status, &*gone, &plan["Applied"]),
        (200, &consumers.map(String::from)[..], &json!(true))
    );
    assert_eq!(
        (stacks(), site.state()),
        (vec!["provider".to_owned()], "none".to_owned())
    );
    assert_eq!(site.events().last().unwrap(), "Delete Endpoint deleted");
    // The last one too; and all of it can come again.
    assert_eq!(delete(json!(["provider"]), false).0, 200);
    assert!(stacks().is_empty());
    assert!(
        !site
            .apply("provider.yaml", PROVIDER, json!([]), false)
            .is_empty()
    );
    assert!(
        !site
            .apply("consumer.yaml", CONSUMER, json!([]), false)
            .is_empty()
    );
    assert_eq!(site.state(), "pendingAcceptance");
}

#[test]
fn a_template_with_errors_changes_nothing_and_shows_them() {
    let site = Site::up();
    let before = site.get("/v1/topology");
    let wrong = CONSUMER
        .replace("10.0.0.0/24", "10.1.0.0/24")
        .replace("!Ref Vpc,", "!Ref Vpx,");
    let templates = json!([{"Name": "dir/consumer.yaml", "Text": wrong}]);
    let (status, error) = site.post("/v1/apply", json!({ "Templates": templates }));
    assert_eq!(status, 400, "{error}");
    assert_eq!(
        error["Message"],
        "dir/consumer.yaml has 2 errors; nothing was changed"
    );
    assert_eq!(error["Errors"][0]["File"], "dir/consumer.yaml");
    assert_eq!(error["Errors"][0]["Line"], 5);
    // A stack that is left cannot lose what it imports.
    let templates = json!([{"Name": "provider.yaml", "Text": PROVIDER.replace("Name: service", "Name: other")}]);
    let (status, error) = site.post("/v1/apply", json!({ "Templates": templates }));
    assert_eq!(
        (status, &error["Errors"][0]["File"]),
        (400, &json!("consumer.yaml")),
        "{error}"
    );
    assert_eq!(site.get("/v1/topology"), before);
}

#[test]
fn an_endpoint_is_accepted_rejected_and_deleted_and_each_is_an_event() {
    let site = Site::up();
    let (status, rows) = site.endpoints("accept", &["Endpoint"]);
    assert_eq!(
        (status, &rows[0]["State"]),
        (200, &json!("available")),
        "{rows}"
    );
    let id = rows[0]["VpcEndpointId"].as_str().unwrap();
    // An apply that does not concern it leaves it accepted.
    site.apply(
        "consumer.yaml",
        &(CONSUMER.to_owned() + SECOND),
        json!([]),
        false,
    );
    assert_eq!(site.state(), "available");
    assert_eq!(site.endpoints("reject", &["consumer:Endpoint"]).0, 200);
    assert_eq!(site.state(), "rejected");
    let (status, rows) = site.endpoints("delete", &[id]);
    assert_eq!(
        (status, &rows[0]["State"]),
        (200, &json!("deleted")),
        "{rows}"
    );
    assert_eq!(site.state(), "none");
    // What its stack asks for is not what has become of it, and that is no change: CloudFormation sees no drift either.
    site.apply("consumer.yaml", CONSUMER, json!([]), false);
    assert_eq!(site.state(), "none");
    let tagged = "Tags: [{Key: Name, Value: again}], VpcEndpointType: Interface";
    let tagged = CONSUMER.replace("VpcEndpointType: Interface", tagged);
    site.apply("consumer.yaml", &tagged, json!([]), false);
    assert_eq!(site.state(), "pendingAcceptance");
    assert_eq!(
        site.events(),
        [
            "Connect Endpoint pendingAcceptance",
            "Accept Endpoint available",
            "Reject Endpoint rejected",
            "Delete Endpoint deleted",
            "Connect Endpoint pendingAcceptance",
        ]
    );
}

#[test]
fn a_private_name_is_verified_and_each_state_is_an_event() {
    let site = Site::up();
    let named = "\n    Metadata: {privlink: {PrivateDnsName: app.example.com}}\n    Type: AWS::EC2::VPCEndpointService\n    \
                 Properties: {NetworkLoadBalancerArns: [!Ref Balancer]}\n";
    let unnamed = " {Type: AWS::EC2::VPCEndpointService, Properties: {NetworkLoadBalancerArns: [!Ref Balancer]}}\n";
    let text = PROVIDER.replace(unnamed, named);
    let changes = site.apply("provider.yaml", &text, json!([]), false);
    assert_eq!(changes, ["~Service PrivateDnsName"]);
    let services = || site.get("/v1/vpc-endpoint-services")[0].clone();
    assert_eq!(services()["PrivateDnsName"], "app.example.com");
    let record = services()["PrivateDnsNameConfiguration"].clone();
    assert_eq!(record["Type"], "TXT");
    assert_eq!(record["State"], "pendingVerification");
    let (name, value) = (
        record["Name"].as_str().unwrap(),
        record["Value"].as_str().unwrap(),
    );
    let note = |state: &str| {
        format!(
            "the private DNS name app.example.com of provider:Service is {state}: publish TXT {name} with the value {value}, \
             then `privlink services verify provider:Service`"
        )
    };
    let notes = || site.get("/v1/topology")["Notes"].clone();
    assert_eq!(notes(), json!([note("pendingVerification")]));
    let private = CONSUMER
        .replace(
            "CidrBlock: 10.0.0.0/16",
            "CidrBlock: 10.0.0.0/16, EnableDnsHostnames: true",
        )
        .replace(
            "VpcEndpointType: Interface",
            "VpcEndpointType: Interface, PrivateDnsEnabled: true",
        );
    site.apply("consumer.yaml", &private, json!([]), false);
    let waits = "consumer:Endpoint answers to app.example.com once its provider has proved whose that name is";
    assert_eq!(notes(), json!([note("pendingVerification"), waits]));

    // What the daemon's look-ups would do.
    let answer = |texts: &[String]| {
        site.live
            .change(|running, fabric| {
                let mut state = fabric.state.clone();
                let (service_id, name) = state.private_dns_look_ups().remove(0);
                assert_eq!(record["Name"], name);
                assert!(state.verify_private_dns_name(service_id, texts));
                Ok(((), Some(running.with(state))))
            })
            .unwrap();
    };
    let verify = |name: &str| {
        let path = "/v1/vpc-endpoint-services/start-private-dns-verification";
        site.post(path, json!({ "ServiceId": name }))
    };
    answer(&[]);
    for texts in [vec![], vec![record["Value"].as_str().unwrap().to_owned()]] {
        let (status, service) = verify("provider:Service");
        let state = &service["PrivateDnsNameConfiguration"]["State"];
        assert_eq!((status, state), (200, &json!("pendingVerification")));
        answer(&texts);
    }
    assert_eq!(notes(), json!([]));
    // An apply that does not concern it leaves it verified.
    site.apply("provider.yaml", &(text + " "), json!([]), false);
    assert_eq!(
        services()["PrivateDnsNameConfiguration"]["State"],
        "verified"
    );
    let events = ask_live(&site.live, "GET /v1/events", None).1;
    let names = events.iter().filter(|e| e["Event"] == "PrivateDnsName");
    let states: Vec<_> = names.map(|e| (&e["LogicalId"], &e["State"])).collect();
    let expected =
        ["failed", "pendingVerification", "verified"].map(|s| (json!("Service"), json!(s)));
    assert!(
        states
            .into_iter()
            .eq(expected.iter().map(|(id, s)| (id, s))),
        "{events:?}"
    );

    let (status, error) = verify("Servise");
    assert_eq!(
        (status, &error["Message"]),
        (
            404,
            &json!(
                "InvalidVpcEndpointServiceId.NotFound: there is no VPC endpoint service `Servise`; did you mean Service?"
            )
        )
    );
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason_and_the_way_on() {
    let site = Site::up();
    let id = site.get("/v1/vpc-endpoints")[0]["VpcEndpointId"]
        .as_str()
        .unwrap()
        .to_owned();
    let refused = |verb: &str, name: &str| {
        let (status, error) = site.endpoints(verb, &[name]);
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        (status, text("Code"), text("Message"))
    };
    let (status, code, message) = refused("accept", "Endpiont");
    assert_eq!((status, &*code), (404, "InvalidVpcEndpointId.NotFound"));
    assert!(
        message.ends_with("there is no VPC endpoint `Endpiont`; did you mean Endpoint?"),
        "{message}"
    );
    let (status, _, message) = refused("accept", "x");
    assert!(
        status == 404 && message.contains("privlink endpoints list"),
        "{message}"
    );

    site.endpoints("accept", &[&id]);
    let (status, code, message) = refused("accept", &id);
    assert_eq!((status, &*code), (409, "InvalidState"), "{message}");
    assert!(
        message.contains("is available") && message.contains("the provider can reject it"),
        "{message}"
    );
    // All or none.
    site.endpoints("reject", &[&id]);
    assert_eq!(site.endpoints("accept", &["Endpoint", "other"]).0, 404);
    assert_eq!(site.state(), "rejected");
    assert_eq!(site.endpoints("accept", &[]).0, 400);
}

#[test]
fn targets_come_and_drain() {
    let site = Site::up();
    let post = |verb: &str, group: &str, targets: Value| {
        let body = json!({"TargetGroup": group, "Targets": targets});
        site.post(&format!("/v1/target-groups/{verb}-targets"), body)
    };
    let (status, group) = post(
        "register",
        "provider:Group",
        json!([{"Id": "10.0.0.9", "Port": 8080}]),
    );
    assert_eq!(
        (status, &group["Targets"][0]["Port"]),
        (200, &json!(8080)),
        "{group}"
    );
    let (status, error) = post(
        "deregister",
        "provider:Group",
        json!([{"Id": "10.0.0.9", "Port": 81}]),
    );
    let message = error["Message"].as_str().unwrap_or_default();
    assert!(
        status == 400
            && message.contains("10.0.0.9:81 is not registered with target group `Group`")
            && message.ends_with("; registered: 10.0.0.9:8080"),
        "{error}"
    );
    // What is registered stays over an apply.
    site.apply("provider.yaml", PROVIDER, json!([]), false);
    let arn = group["TargetGroupArn"].as_str().unwrap();
    let (status, group) = post("deregister", arn, json!([{"Id": "10.0.0.9"}]));
    assert_eq!(
        (status, &group["Targets"][0]["IsDraining"]),
        (200, &json!(true)),
        "{group}"
    );
    let (status, error) = post("deregister", arn, json!([{"Id": "10.0.0.8"}]));
    assert!(
        status == 400 && error["Message"].as_str().unwrap().contains("10.0.0.8"),
        "{error}"
    );
    let (status, error) = post("register", "Grop", json!([{"Id": "10.0.0.8"}]));
    assert!(
        status == 404
            && error["Message"]
                .as_str()
                .unwrap()
                .contains("did you mean Group?"),
        "{error}"
    );
}

#[test]
fn a_request_that_is_not_understood_says_why() {
    let site = Site::up();
    for (path, body) in [
        ("/v1/apply", json!({"Template": []})),
        (
            "/v1/vpc-endpoints/accept",
            json!({"VpcEndpointIds": "vpce-1"}),
        ),
        ("/v1/target-groups/register-targets", json!([])),
    ] {
        let (status, error) = site.post(path, body);
        assert!(
            status == 422 && error["Message"].is_string(),
            "{path}: {status} {error}"
        );
    }
    let (status, error) = site.post("/v1/vpc-endpoints", json!({}));
    assert!(status == 405 && error["Message"].is_string(), "{error}");
}

#[test]
fn a_daemon_on_its_way_out_changes_nothing_more() {
    let site = Site::up();
    site.live.end().unwrap().undo(false).unwrap();
    assert_eq!(site.endpoints("accept", &["Endpoint"]).0, 503);
    assert_eq!(site.state(), "pendingAcceptance");
}

#[test]
fn a_request_that_nobody_accepts_expires() {
    let site = Site::up();
    let soon = "Metadata: {privlink: {AcceptanceTimeout: 1}}, Properties: {NetworkLoadBalancerArns";
    let text = PROVIDER.replace("Properties: {NetworkLoadBalancerArns", soon);
    site.apply("provider.yaml", &text, json!([]), false);
    let deadline = site.live.deadline.borrow().expect("a deadline");
    let now = crate::daemon::events::since_epoch();
    std::thread::sleep(deadline.saturating_sub(now));
    site.live.tick().unwrap();
    assert_eq!(site.events().last().unwrap(), "Expire Endpoint expired");
}

#[test]
fn changes_at_once_come_one_after_the_other_and_readers_see_each_as_a_whole() {
    let site = Site::up();
    let two = SECOND.to_owned()
        + &SECOND
            .replace("Second", "Third")
            .replace("10.0.1.", "10.0.2.");
    let texts = [CONSUMER.to_owned(), CONSUMER.to_owned() + &two];
    let templates = texts.map(|text| Templates {
        files: vec![TemplateFile {
            name: "consumer.yaml".into(),
            text,
            path: None,
        }],
        ..w1()
    });
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let subnets = site.live.fabric().state.subnets().count();
                assert!(subnets == 2 || subnets == 4, "{subnets} subnets");
                looks += 1;
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
            looks
        });
        let changers: Vec<_> = templates
            .iter()
            .zip([Verb::Accept, Verb::Reject])
            .map(|(templates, verb)| {
                let live = &site.live;
                scope.spawn(move || {
                    for _ in 0..25 {
                        live.apply(templates, false).unwrap();
                        // Half of them come too late.
                        let _ = live.answer(verb, &["Endpoint".to_owned()]);
                    }
                })
            })
            .collect();
        changers
            .into_iter()
            .for_each(|changer| changer.join().unwrap());
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    // Accept and reject took turns, whoever was first, and none was lost on the way.
    let events = site.events();
    let after_connect = events
        .iter()
        .skip(1)
        .map(|event| event.split(' ').next().unwrap());
    let after_connect: Vec<_> = after_connect.collect();
    assert!(!after_connect.is_empty());
    assert!(
        after_connect.windows(2).all(|pair| pair[0] != pair[1]),
        "{events:?}"
    );
}

/// A log whose every line is a panic: what an error in privlink looks like, in the midst of its work.
struct Fault;

impl Write for Fault {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        panic!("a fault")
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs `work`, which panics at the next line that it logs.
fn with_fault<T>(work: impl FnOnce() -> T) -> T {
    let log = tracing_subscriber::fmt().with_writer(|| Fault).finish();
    tracing::subscriber::with_default(log, work)
}

const FAULT: &str = "an error in privlink: it panicked: a fault";

/// Does the endpoint's own name lead to its address, as the data plane sees it?
fn has_a_name(site: &Site, name: &str) -> bool {
    use crate::dataplane::config::View;
    use crate::dataplane::dns::Query;
    use hickory_proto::rr::{Name, RecordType};
    let query = Query::new(Name::from_ascii(name).unwrap(), RecordType::A);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let response = runtime.block_on(site.live.names.resolve(View::Public, &query));
    !response.answers.is_empty()
}

#[test]
fn a_change_that_panics_while_it_is_thought_of_is_an_error_and_an_event() {
    let site = Site::up();
    let before = site.get("/v1/topology");
    let refusal = site
        .live
        .change(|_, _| -> Result<((), Option<Next>), _> { panic!("a fault") })
        .unwrap_err();
    let error = refusal.view();
    assert_eq!(error.message, format!("{FAULT}; nothing was changed"));
    assert_eq!(error.code.as_deref(), Some("InternalFailure"));
    assert_eq!(site.get("/v1/topology"), before);
    assert_eq!(site.events().last().unwrap().trim(), "ChangeFailed");
    let more = CONSUMER.to_owned() + SECOND;
    assert_eq!(
        site.apply("consumer.yaml", &more, json!([]), false),
        ["+Second"]
    );
}

#[test]
fn a_change_that_panics_when_all_is_made_is_taken_back() {
    let site = Site::up();
    let (_, accepted) = site.endpoints("accept", &["Endpoint"]);
    let name = accepted[0]["DnsEntries"][0]["DnsName"].as_str().unwrap();
    assert!(has_a_name(&site, name));
    let (before, happened) = (site.get("/v1/topology"), site.events().len());
    let names = ["consumer".to_owned()];
    for _ in 0..2 {
        let refusal = with_fault(|| site.live.delete(&names, false)).unwrap_err();
        assert_eq!(
            refusal.view().message,
            format!("{FAULT}; nothing was changed")
        );
        assert_eq!(site.get("/v1/topology"), before);
        assert!(has_a_name(&site, name), "the data plane has forgotten it");
    }
    let events = site.events().split_off(happened);
    assert!(
        events.iter().all(|event| event.trim() == "ChangeFailed"),
        "{events:?}"
    );
    let plan = site.live.delete(&names, false).unwrap();
    assert_eq!(plan.summary(), "0 added, 0 modified, 3 removed");
    assert!(!has_a_name(&site, name));
    assert_eq!(site.events().last().unwrap(), "Delete Endpoint deleted");
}
