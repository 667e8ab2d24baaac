//! Asks the running daemon: one HTTP GET over the Unix socket in its state directory.

use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::daemon::{StateDir, view};

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The parsed answer of the daemon in `dir` to `GET path`.
pub(crate) fn fetch<T: DeserializeOwned>(dir: &StateDir, path: &str) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let body = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, get(dir, path)).await })
        .with_context(|| {
            let seconds = PATIENCE.as_secs();
            format!(
                "the daemon in {} has not answered within {seconds} s",
                dir.path().display()
            )
        })??;
    serde_json::from_slice(&body).with_context(|| {
        format!("the daemon's answer to {path} is not understood: is it of another release?")
    })
}

async fn get(dir: &StateDir, path: &str) -> Result<Bytes> {
    // `exec` does as root what the answer says.
    if rustix::process::geteuid().is_root() && dir.exists()? {
        dir.ensure_ours()?;
    }
    let stream = UnixStream::connect(dir.socket())
        .await
        .map_err(|error| no_daemon(dir, error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header("Host", "privlink")
        .body(Empty::<Bytes>::new())?;
    let response = sender
        .send_request(request)
        .await
        .context("the daemon does not answer")?;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .context("the daemon's answer broke off")?
        .to_bytes();
    drop(sender);
    connection.await??;
    if !status.is_success() {
        match serde_json::from_slice::<view::Error>(&body) {
            Ok(error) => bail!("{}", error.message),
            Err(_) => bail!("the daemon answered {path} with {status}"),
        }
    }
    Ok(body)
}

fn no_daemon(dir: &StateDir, error: std::io::Error) -> anyhow::Error {
    let path = dir.path().display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => anyhow!(
            "no daemon is running in {path}: start one with `privlink up TEMPLATE`, or name its directory with --state-dir"
        ),
        ErrorKind::PermissionDenied => {
            anyhow!("the daemon in {path} answers only root: try sudo")
        }
        _ => anyhow!(error).context(format!("cannot reach the daemon in {path}")),
    }
}
