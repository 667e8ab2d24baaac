//! What the daemon answers about a topology that stands in memory only: no root, no namespaces.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use serde_json::Value;

use super::describe::Fabric;
use super::live::Live;
use super::state_dir::StateDir;
use super::{TemplateFile, Templates, api, resolve, view};
use crate::control::compile;
use crate::dataplane::{Dataplane, Settings};
use crate::io::{Clock, IoEvent};
use crate::template;

fn w1() -> Templates {
    Templates {
        files: vec![TemplateFile {
            name: "resource-endpoint.yaml".into(),
            text: include_str!("../../examples/resource-endpoint.yaml").into(),
            path: None,
        }],
        parameters: Default::default(),
        region: None,
        default_region: None,
    }
}

fn fabric() -> Fabric {
    fabric_for(8192)
}

/// One with room for so many flows.
fn fabric_for(max_flows: usize) -> Fabric {
    let stacks = w1().load().unwrap();
    let dataplane = Dataplane::new(Settings {
        workers: 1,
        seed: 7,
        mtu: 9001,
        max_flows,
        query_log: false,
    });
    dataplane.apply(compile(&stacks.state));
    Fabric {
        state: stacks.state,
        dataplane: Arc::new(dataplane),
        clock: Clock::start(),
        daemon: view::Daemon {
            version: "1".into(),
            pid: 1,
            template: "resource-endpoint.yaml".into(),
            region: "ap-northeast-1".into(),
            cgroup: None,
            no_cgroup_because: None,
            ready_after_ms: 1,
        },
        stacks: Vec::new(),
        outputs: Vec::new(),
        notes: Vec::new(),
        created_namespaces: vec!["ec2-a".into()],
        trouble: Default::default(),
    }
}

#[test]
fn an_endpoint_shows_the_gateway_of_each_zone() {
    let topology = fabric().topology();
    let endpoint = &topology.vpc_endpoints[0];
    assert_eq!(
        (endpoint.state.as_str(), endpoint.vpc_endpoint_type.as_str()),
        ("available", "Resource")
    );
    assert_eq!(endpoint.resource_address, "172.18.0.108");
    assert_eq!(endpoint.protocols, ["TCP"]);
    let rows: Vec<_> = endpoint
        .network_interfaces
        .iter()
        .map(|eni| {
            (
                eni.availability_zone.as_str(),
                eni.private_ip_address.as_str(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("ap-northeast-1a", "172.18.0.247"),
            ("ap-northeast-1c", "172.18.1.70")
        ]
    );
    for eni in &endpoint.network_interfaces {
        let same_subnet = |address: &str| {
            address
                .rsplit_once('.')
                .map(|(network, _)| network.to_owned())
        };
        let (first, last) = eni.gateway_addresses.split_once('-').unwrap();
        assert_eq!(same_subnet(first), same_subnet(&eni.private_ip_address));
        assert_eq!(same_subnet(first), same_subnet(last));
    }
}

#[test]
fn only_what_was_missing_counts_as_created() {
    let created: Vec<_> = fabric()
        .topology()
        .instances
        .iter()
        .map(|instance| (instance.namespace.clone(), instance.namespace_created))
        .collect();
    assert_eq!(created, [("ec2-a".into(), true), ("ec2-b".into(), false)]);
}

#[test]
fn what_happens_to_a_link_shows_in_its_status() {
    let fabric = fabric();
    let (eni, id) = fabric
        .state
        .network_interfaces()
        .map(|eni| (eni.idx, eni.network_interface_id.to_string()))
        .next()
        .unwrap();
    fabric.notice(&IoEvent::NamespaceGone {
        namespace: "ec2-a".into(),
        enis: vec![eni],
    });
    for row in fabric.network_interfaces() {
        let expected = if row.network_interface_id == id {
            "namespace deleted"
        } else {
            "in-use"
        };
        assert_eq!(row.status, expected);
    }
}

/// The status line and body of one request to the control socket of `live`, a JSON value for each line of the body.
fn ask_live(live: &Arc<Live>, request: &str, body: Option<&Value>) -> (String, Vec<Value>) {
    let tmp = tempfile::tempdir().unwrap();
    let dir = StateDir::new(tmp.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let socket = dir.socket();
    let body = body.map_or(String::new(), Value::to_string);
    let head = format!(
        "{request} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    runtime.block_on(async {
        let listener = api::listen(&dir).unwrap();
        let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let router = api::router(Arc::clone(live));
        tokio::spawn(axum::serve(listener, router).into_future());
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(socket).unwrap();
            stream.write_all((head + &body).as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = answer.await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let lines = body.lines().map(|line| serde_json::from_str(line).unwrap());
        (head.lines().next().unwrap().to_owned(), lines.collect())
    })
}

/// One request to the control socket of [`fabric`].
fn ask(request: &str) -> (String, Value) {
    let live = Arc::new(Live::standing(fabric()));
    let (status, mut body) = ask_live(&live, request, None);
    (status, body.remove(0))
}

#[test]
fn the_socket_answers_json_in_aws_names() {
    let (status, body) = ask("GET /v1/vpc-endpoints");
    assert!(status.ends_with("200 OK"), "{status}");
    assert_eq!(body[0]["LogicalId"], "Endpoint");
    assert_eq!(
        body[0]["NetworkInterfaces"][1]["PrivateIpAddress"],
        "172.18.1.70"
    );
    assert_eq!(ask("GET /v1/drops").1, serde_json::json!([]));
    assert_eq!(
        ask("GET /v1/flows").1,
        serde_json::json!({ "Flows": [], "NextToken": null })
    );
    for (path, key) in [("/v1/daemon", "Pid"), ("/v1/topology", "Instances")] {
        assert!(!ask(&format!("GET {path}")).1[key].is_null(), "{path}");
    }
    for path in ["/v1/instances", "/v1/network-interfaces"] {
        assert!(ask(&format!("GET {path}")).1[0].is_object(), "{path}");
    }
}

#[test]
fn what_is_not_understood_is_an_error_with_a_message() {
    for (request, status, message) in [
        ("GET /v2/flows", "404 Not Found", "nothing is at /v2/flows"),
        (
            "POST /v1/flows",
            "405 Method Not Allowed",
            "/v1/flows is asked for in another way: GET to look, POST to change",
        ),
    ] {
        let (line, body) = ask(request);
        assert!(line.ends_with(status), "{line}");
        assert_eq!(body["Message"], message);
    }
}

mod changes;
mod flows;

#[test]
fn a_target_is_an_instance_of_its_groups_own_account() {
    let files = [
        (
            "provider",
            include_str!("../../examples/saas-provider.yaml"),
        ),
        (
            "consumer",
            include_str!("../../examples/saas-consumer.yaml"),
        ),
    ];
    let sources = files.map(|(name, text)| template::Source::new(name, text, name));
    let state = template::load(&sources, &template::Options::default())
        .unwrap()
        .state;
    let group = state.target_groups().next().unwrap();
    let ask = |id: &str| {
        let asked = view::TargetDescription {
            id: id.into(),
            port: None,
        };
        resolve::targets(&state, group, &[asked])
    };
    assert_eq!(ask("Provider1").unwrap().len(), 1);
    for name in ["Client", "consumer:Client"] {
        let said = ask(name).unwrap_err().view().message;
        assert!(
            said.starts_with("InvalidTarget: consumer:Client (i-")
                && said.ends_with(
                    "is an instance of account 444455556666; a target belongs to the target group's own, 111122223333"
                ),
            "{said}"
        );
    }
}

#[test]
fn a_stack_is_called_like_its_file() {
    for (file, expected) in [
        ("examples/resource-endpoint.yaml", "resource-endpoint"),
        ("/tmp/2. my stack.json", "my-stack"),
        ("???.yaml", "privlink"),
    ] {
        let file = TemplateFile {
            name: file.into(),
            text: String::new(),
            path: None,
        };
        assert_eq!(file.stack_name(), expected);
    }
}
