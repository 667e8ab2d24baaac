//! The control socket: HTTP and JSON over a Unix socket in the state directory, mode 0600.
//!
//! Everything is read-only so far; the seed of a later API. See [`router`] for the paths.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::extract::{FromRef, State};
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::UnixListener;

use super::describe::Fabric;
use super::live::Live;
use super::state_dir::StateDir;
use super::view;

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
/// | `GET /v1/flows` | list of [`view::Flow`], newest first |
/// | `GET /v1/drops` | list of [`view::Drop`], most frequent first |
///
/// Anything else is an error status with a [`view::Error`].
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
        .route(
            "/v1/flows",
            get(async |State(fabric): Source| Json(fabric.flows())),
        )
        .route(
            "/v1/drops",
            get(async |State(fabric): Source| Json(fabric.drops())),
        )
        .fallback(unknown_path)
        .method_not_allowed_fallback(only_get)
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

async fn unknown_path(uri: Uri) -> (StatusCode, Json<view::Error>) {
    let message = format!("nothing is at {}", uri.path());
    (StatusCode::NOT_FOUND, Json(view::Error { message }))
}

async fn only_get() -> (StatusCode, Json<view::Error>) {
    let message = "only GET is understood".to_owned();
    (
        StatusCode::METHOD_NOT_ALLOWED,
        Json(view::Error { message }),
    )
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
