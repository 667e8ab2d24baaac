//! Asks the running daemon: one HTTP request over the Unix socket in its state directory.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::daemon::{StateDir, view};

/// How long the daemon may take to answer; a change may have to wait for others, and make many links.
const PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_TO_CHANGE: Duration = Duration::from_secs(120);

/// The parsed answer of the daemon in `dir` to `GET path`.
pub(crate) fn fetch<T: DeserializeOwned>(dir: &StateDir, path: &str) -> Result<T> {
    let request = Request::get(path).body(Full::default());
    ask(dir, path, request?, PATIENCE)
}

/// The parsed answer of the daemon in `dir` to `POST path`.
pub(crate) fn send<T: DeserializeOwned>(
    dir: &StateDir,
    path: &str,
    body: &impl Serialize,
) -> Result<T> {
    let request = Request::post(path)
        .header("Content-Type", "application/json")
        .body(serde_json::to_vec(body)?.into());
    ask(dir, path, request?, PATIENCE_TO_CHANGE)
}

/// Gives `each` every line of the answer to `GET path` as it comes, until there are no more.
pub(crate) fn follow(
    dir: &StateDir,
    path: &str,
    mut each: impl FnMut(&[u8]) -> Result<ControlFlow<()>>,
) -> Result<()> {
    runtime()?.block_on(async {
        let request = Request::get(path).body(Full::default())?;
        let mut body = connect(dir, request).await?.into_body();
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.with_context(|| broken_off(dir))?;
            read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<_> = read.drain(..=end).collect();
                if each(&line)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

fn ask<T: DeserializeOwned>(
    dir: &StateDir,
    path: &str,
    request: Request<Full<Bytes>>,
    patience: Duration,
) -> Result<T> {
    let answer = async {
        let body = connect(dir, request).await?.into_body().collect().await;
        Ok::<_, anyhow::Error>(body.context("the daemon's answer broke off")?.to_bytes())
    };
    let body = runtime()?
        .block_on(async { tokio::time::timeout(patience, answer).await })
        .with_context(|| {
            let seconds = patience.as_secs();
            format!(
                "the daemon in {} has not answered within {seconds} s",
                dir.path().display()
            )
        })??;
    serde_json::from_slice(&body).with_context(|| {
        format!("the daemon's answer to {path} is not understood: is it of another release?")
    })
}

/// Sends the request; an answer that says no is an error.
async fn connect(dir: &StateDir, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
    // `exec` does as root what the answer says.
    if rustix::process::geteuid().is_root() && dir.exists()? {
        dir.ensure_ours()?;
    }
    let stream = UnixStream::connect(dir.socket())
        .await
        .map_err(|error| no_daemon(dir, error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let path = request.uri().path().to_owned();
    let host = hyper::header::HeaderValue::from_static("privlink");
    request.headers_mut().insert(hyper::header::HOST, host);
    let response = sender
        .send_request(request)
        .await
        .context("the daemon does not answer")?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.into_body().collect().await;
    let body = body.context("the daemon's answer broke off")?.to_bytes();
    match serde_json::from_slice::<view::Error>(&body) {
        Ok(error) => bail!("{error}"),
        Err(_) => bail!("the daemon answered {path} with {status}"),
    }
}

fn broken_off(dir: &StateDir) -> String {
    let path = dir.path().display();
    format!(
        "the daemon in {path} broke its answer off: it was killed or has crashed; `privlink down` cleans up after it"
    )
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
