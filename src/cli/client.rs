//! Asks the running daemon: one HTTP request over the Unix socket in its state directory.

use std::convert::Infallible;
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

use crate::daemon::{Holder, StateDir, view};

/// How long the daemon may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(10);
/// A change may have to wait for others and make many links. It may take as long as it wants, while the daemon answers
/// whether it is there, which it is asked this often.
const ASK_EVERY: Duration = Duration::from_secs(3);

/// The parsed answer of the daemon in `dir` to `GET path`.
pub(crate) fn fetch<T: DeserializeOwned>(dir: &StateDir, path: &str) -> Result<T> {
    let request = Request::get(path).body(Full::default())?;
    let body = runtime()?.block_on(within(PATIENCE, dir, ask(dir, request)))?;
    parse(&body, path)
}

/// The parsed answer of the daemon in `dir` to `POST path`.
pub(crate) fn send<T: DeserializeOwned>(
    dir: &StateDir,
    path: &str,
    body: &impl Serialize,
) -> Result<T> {
    let request = Request::post(path)
        .header("Content-Type", "application/json")
        .body(serde_json::to_vec(body)?.into())?;
    let body = runtime()?.block_on(while_it_answers(dir, ask(dir, request)))?;
    parse(&body, path)
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

/// The whole of the answer.
async fn ask(dir: &StateDir, request: Request<Full<Bytes>>) -> Result<Bytes> {
    let body = connect(dir, request).await?.into_body().collect().await;
    Ok(body.context("the daemon's answer broke off")?.to_bytes())
}

/// What comes of `answer` in time.
async fn within<T>(
    patience: Duration,
    dir: &StateDir,
    answer: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => answer,
        Err(_) => bail!(silent(dir, patience)),
    }
}

/// What comes of `answer`, while the daemon answers that it is there.
async fn while_it_answers<T>(dir: &StateDir, answer: impl Future<Output = Result<T>>) -> Result<T> {
    let is_there = async {
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            let question = Request::get("/v1/daemon").body(Full::default())?;
            within(PATIENCE, dir, ask(dir, question)).await?;
        }
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        silence = is_there => {
            let silence: Result<Infallible> = silence;
            let Err(silence) = silence;
            Err(anyhow!("{silence:#}; the change may still be made"))
        }
    }
}

/// That the daemon does not answer, and why if that can be seen.
fn silent(dir: &StateDir, patience: Duration) -> String {
    let path = dir.path().display();
    match dir.holder() {
        Some(Holder { pid, .. }) if is_stopped(pid) => {
            format!("the daemon in {path} (pid {pid}) is stopped: `kill -CONT {pid}` lets it go on")
        }
        _ => format!(
            "the daemon in {path} has not answered within {} s",
            patience.as_secs()
        ),
    }
}

/// Has the process been stopped (SIGSTOP, a debugger)? See proc_pid_stat(5).
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
    state.is_some_and(|state| state.starts_with(['T', 't']))
}

fn parse<T: DeserializeOwned>(body: &[u8], path: &str) -> Result<T> {
    serde_json::from_slice(body).with_context(|| {
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
    let is_absent = matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused
    );
    if is_absent && let Some(holder) = dir.holder() {
        return anyhow!("{}", holder.out_of_reach(dir));
    }
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
