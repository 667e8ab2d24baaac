//! The control socket: HTTP and JSON over a Unix socket in the state directory, mode 0600.
//!
//! The seed of a later API. See [`router`] for the paths; what is asked to be changed goes to [`Live`], on a thread that may wait.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::body::Body;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRef, Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use tokio::net::UnixListener;

use super::Templates;
use super::change::{Registration, Verb};
use super::describe::Fabric;
use super::event_lines::EventLines;
use super::live::Live;
use super::names;
use super::refusal::Refusal;
use super::state_dir::StateDir;
use super::view::{self, Plan};

/// Longest body of a request, in bytes: some templates.
const MAX_BODY: usize = 64 << 20;

/// What can be asked:
///
/// | path | answer |
/// |---|---|
/// | `GET /v1/daemon` | [`view::Daemon`]: who answers |
/// | `GET /v1/topology` | [`view::Topology`]: stacks, instances, endpoints, outputs, notes |
/// | `GET /v1/stacks` | list of [`view::Stack`] |
/// | `GET /v1/instances` | list of [`view::Instance`] |
/// | `GET /v1/vpc-endpoints` | list of [`view::VpcEndpoint`] |
/// | `GET /v1/vpc-endpoint-services` | list of [`view::VpcEndpointService`] |
/// | `GET /v1/load-balancers` | list of [`view::LoadBalancer`], with nodes and listeners |
/// | `GET /v1/target-groups` | list of [`view::TargetGroup`], with targets |
/// | `GET /v1/network-interfaces` | list of [`view::NetworkInterface`], with counters |
/// | `GET /v1/flows?`[`view::FlowQuery`] | [`view::FlowPage`]: of all flows, or those that are wanted |
/// | `GET /v1/drops` | list of [`view::Drop`], most frequent first |
/// | `GET /v1/resolvers` | list of [`view::Resolver`], with counters |
/// | `GET /v1/events` | a [`view::Event`] per line; with `?follow=true` for ever |
///
/// And what can be done, with the body that it takes:
///
/// | path | body | answer |
/// |---|---|---|
/// | `POST /v1/apply` | [`view::Apply`] | [`view::Plan`] |
/// | `POST /v1/delete` | [`view::Delete`] | [`view::Plan`] |
/// | `POST /v1/vpc-endpoints/accept`, `reject`, `delete` | [`view::VpcEndpointIds`] | list of [`view::VpcEndpoint`] |
/// | `POST /v1/vpc-endpoint-services/start-private-dns-verification` | [`view::StartPrivateDnsVerification`] | [`view::VpcEndpointService`] |
/// | `POST /v1/target-groups/register-targets`, `deregister-targets` | [`view::Targets`] | [`view::TargetGroup`] |
///
/// And what can be asked of a resolver, which changes nothing:
///
/// | path | body | answer |
/// |---|---|---|
/// | `POST /v1/dig` | [`view::DigQuestion`] | [`view::Dig`] |
///
/// Anything else, and whatever is refused, is an error status with a [`view::Error`].
pub fn router(live: Arc<Live>) -> Router {
    Router::new()
        .route(
            "/v1/daemon",
            get(async |State(fabric): Source| Json(fabric.topology().daemon)),
        )
        .route(
            "/v1/topology",
            get(async |State(fabric): Source| Json(fabric.topology())),
        )
        .route(
            "/v1/stacks",
            get(async |State(fabric): Source| Json(fabric.stacks.clone())),
        )
        .route(
            "/v1/instances",
            get(async |State(fabric): Source| Json(fabric.topology().instances)),
        )
        .route(
            "/v1/vpc-endpoints",
            get(async |State(fabric): Source| Json(fabric.topology().vpc_endpoints)),
        )
        .route(
            "/v1/vpc-endpoint-services",
            get(async |State(fabric): Source| Json(fabric.vpc_endpoint_services())),
        )
        .route(
            "/v1/load-balancers",
            get(async |State(fabric): Source| Json(fabric.load_balancers())),
        )
        .route(
            "/v1/target-groups",
            get(async |State(fabric): Source| Json(fabric.target_groups())),
        )
        .route(
            "/v1/network-interfaces",
            get(async |State(fabric): Source| Json(fabric.network_interfaces())),
        )
        .route("/v1/flows", get(flows))
        .route(
            "/v1/drops",
            get(async |State(fabric): Source| Json(fabric.drops())),
        )
        .route(
            "/v1/resolvers",
            get(async |State(asked): State<Asked>| {
                Json(asked.0.names.resolvers(&asked.0.fabric()))
            }),
        )
        .route("/v1/dig", post(dig))
        .route("/v1/events", get(tell_events))
        .route("/v1/apply", post(apply))
        .route("/v1/delete", post(delete))
        .route("/v1/vpc-endpoints/accept", answer(Verb::Accept))
        .route("/v1/vpc-endpoints/reject", answer(Verb::Reject))
        .route("/v1/vpc-endpoints/delete", answer(Verb::Delete))
        .route(
            "/v1/vpc-endpoint-services/start-private-dns-verification",
            post(start_private_dns_verification),
        )
        .route(
            "/v1/target-groups/register-targets",
            register(Registration::Register),
        )
        .route(
            "/v1/target-groups/deregister-targets",
            register(Registration::Deregister),
        )
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .fallback(unknown_path)
        .method_not_allowed_fallback(other_method)
        .with_state(Asked(live))
}

/// Whom requests reach.
#[derive(Clone)]
struct Asked(Arc<Live>);

/// What runs when the request comes.
type Source = State<Arc<Fabric>>;

impl FromRef<Asked> for Arc<Fabric> {
    fn from_ref(asked: &Asked) -> Self {
        asked.0.fabric()
    }
}

/// The body of a request, or why it is none.
type Asking<T> = Result<Json<T>, JsonRejection>;

async fn apply(
    State(asked): State<Asked>,
    body: Asking<view::Apply>,
) -> Result<Json<Plan>, Refusal> {
    let body = understood(body)?;
    let dry_run = body.dry_run;
    let templates = Templates::from(body);
    asked
        .change(move |live| live.apply(&templates, dry_run))
        .await
}

async fn delete(
    State(asked): State<Asked>,
    body: Asking<view::Delete>,
) -> Result<Json<Plan>, Refusal> {
    let view::Delete {
        stack_names,
        dry_run,
    } = understood(body)?;
    asked
        .change(move |live| live.delete(&stack_names, dry_run))
        .await
}

async fn flows(
    State(fabric): Source,
    query: Result<Query<view::FlowQuery>, QueryRejection>,
) -> Result<Json<view::FlowPage>, Refusal> {
    let Query(query) =
        query.map_err(|error| Refusal::Malformed(error.status(), error.body_text()))?;
    let wanted = fabric.wanted(query)?;
    Ok(Json(fabric.flows(&wanted)))
}

async fn dig(
    State(asked): State<Asked>,
    body: Asking<view::DigQuestion>,
) -> Result<Json<view::Dig>, Refusal> {
    let question = understood(body)?;
    names::dig(&asked.0, question).await.map(Json)
}

fn answer(verb: Verb) -> MethodRouter<Asked> {
    post(
        async move |State(asked): State<Asked>, body: Asking<view::VpcEndpointIds>| {
            let names = understood(body)?.vpc_endpoint_ids;
            asked.change(move |live| live.answer(verb, &names)).await
        },
    )
}

async fn start_private_dns_verification(
    State(asked): State<Asked>,
    body: Asking<view::StartPrivateDnsVerification>,
) -> Result<Json<view::VpcEndpointService>, Refusal> {
    let name = understood(body)?.service_id;
    asked
        .change(move |live| live.start_private_dns_verification(&name))
        .await
}

fn register(registration: Registration) -> MethodRouter<Asked> {
    post(
        async move |State(asked): State<Asked>, body: Asking<view::Targets>| {
            let targets = understood(body)?;
            asked
                .change(move |live| live.register(registration, &targets))
                .await
        },
    )
}

impl Asked {
    /// Changes wait for each other and for the machine.
    async fn change<T: Send + 'static>(
        self,
        change: impl FnOnce(&Live) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<Json<T>, Refusal> {
        let changed = tokio::task::spawn_blocking(move || change(&self.0)).await;
        changed
            .map_err(|error| Refusal::Failed(error.into()))?
            .map(Json)
    }
}

fn understood<T>(body: Asking<T>) -> Result<T, Refusal> {
    let Json(body) = body.map_err(|error| Refusal::Malformed(error.status(), error.body_text()))?;
    Ok(body)
}

async fn tell_events(State(asked): State<Asked>, uri: Uri) -> Response {
    let follow = uri.query() == Some("follow=true");
    let lines = EventLines::new(asked.0.events.reader(), follow);
    let kind = [(header::CONTENT_TYPE, "application/jsonl")];
    (kind, Body::new(lines)).into_response()
}

async fn unknown_path(uri: Uri) -> Refusal {
    Refusal::Malformed(
        StatusCode::NOT_FOUND,
        format!("nothing is at {}", uri.path()),
    )
}

async fn other_method(uri: Uri) -> Refusal {
    let message = format!(
        "{} is asked for in another way: GET to look, POST to change",
        uri.path()
    );
    Refusal::Malformed(StatusCode::METHOD_NOT_ALLOWED, message)
}

/// The socket, with nobody but its owner allowed to connect. A dead daemon's socket is replaced: the caller has the lock.
pub fn listen(dir: &StateDir) -> Result<UnixListener> {
    let path = dir.socket();
    let bind = || -> Result<UnixListener> {
        // Made behind a closed door: `chmod` after `bind` would leave a gap, and a umask is every thread's.
        let door = dir.closed_directory();
        let inside = door.join("s");
        DirBuilder::new()
            .mode(0o700)
            .recursive(true)
            .create(&door)?;
        let listener = UnixListener::bind(&inside)?;
        fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
        fs::rename(&inside, &path)?;
        fs::remove_dir(&door)?;
        Ok(listener)
    };
    bind().with_context(|| format!("cannot listen on {}", path.display()))
}
