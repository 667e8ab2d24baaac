//! One daemon's life: claim the state directory, make everything, forward, undo everything.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, anyhow};
use parking_lot::Mutex;
use tokio::net::UnixListener;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::describe::Fabric;
use super::made::Made;
use super::signals::Signals;
use super::user_data::UserData;
use super::{Spec, Template, api, links, user_data, view};
use crate::control::{ControlState, Instance, compile};
use crate::dataplane::{Dataplane, Settings};
use crate::io::{Clock, IoEvent, Offload, WorkerOptions, Workers};
use crate::template::{Note, Output, Stack};

/// How many flows may live at once; each takes less than 300 bytes, when it comes. A single interface gets half of them at most:
/// a million, fewer than the 1,032,192 ports that a gateway's interface of 16 addresses has towards one target.
const MAX_FLOWS: usize = 2_000_000;

/// Runs `spec` until a signal ends it. `ready` is called once, when packets can flow.
pub fn run(spec: Spec, ready: impl FnOnce(&view::Topology) -> Result<()>) -> Result<()> {
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // Before anything is made: a signal that comes meanwhile is seen afterwards.
        let mut signals = Signals::install()?;
        let mut made = Made::claim(&spec.state_dir, spec.state_dir_created)?;
        let mut is_ready = false;
        let outcome = live(&spec, &mut made, &mut signals, started, |topology| {
            is_ready = true;
            ready(topology)
        })
        .await;
        // A start that failed is told to the user as a whole; what fails later is explained by the log.
        let undone = made.undo(is_ready && outcome.is_err());
        outcome.and(undone)
    })
}

/// Everything that a ready daemon has.
struct Daemon {
    fabric: Arc<Fabric>,
    workers: Workers,
    happened: UnboundedReceiver<IoEvent>,
    listener: UnixListener,
    scripts: Vec<UserData>,
}

async fn live(
    spec: &Spec,
    made: &mut Made,
    signals: &mut Signals,
    started: Instant,
    ready: impl FnOnce(&view::Topology) -> Result<()>,
) -> Result<()> {
    let daemon = start(spec, made, started)?;
    tracing::info!(state_dir = %made.dir().path().display(), "ready");
    ready(&daemon.fabric.topology())?;
    daemon.serve(spec, made, signals).await
}

/// From the template to threads that forward packets.
fn start(spec: &Spec, made: &mut Made, started: Instant) -> Result<Daemon> {
    let stack = load(&spec.template)?;
    made.create_cgroup()?;
    let listener = api::listen(made.dir())?;
    let clock = Clock::start();
    let settings = settings(spec);
    let options = WorkerOptions {
        workers: settings.workers,
        clock,
    };
    let dataplane = Arc::new(Dataplane::new(settings));
    dataplane.apply(compile(&stack.state));
    let offload = match spec.offload {
        true => Offload::On,
        false => Offload::Off,
    };
    let tuns = links::open(&stack.state, spec.mtu, offload, made)?;
    tracing::info!(
        workers = options.workers,
        interfaces = tuns.len(),
        "starting workers"
    );
    let (workers, happened) = Workers::start(Arc::clone(&dataplane), tuns, options)?;
    let scripts = scripts(&stack.state);
    let fabric = Arc::new(Fabric {
        daemon: describe_daemon(spec, &stack, made, started),
        outputs: stack.outputs.into_iter().map(describe_output).collect(),
        notes: notes(spec, &stack.notes, &scripts),
        created_namespaces: made.namespaces(),
        trouble: Mutex::default(),
        state: stack.state,
        dataplane,
        clock,
    });
    Ok(Daemon {
        fabric,
        workers,
        happened,
        listener,
        scripts,
    })
}

impl Daemon {
    /// Answers on the control socket and tells what happens, until a signal comes.
    async fn serve(mut self, spec: &Spec, made: &Made, signals: &mut Signals) -> Result<()> {
        let (ended, mut scripts_ended) = mpsc::unbounded_channel();
        if spec.run_user_data {
            user_data::start_all(&self.scripts, made.dir(), made.cgroup(), &ended);
        }
        let router = api::router(Arc::clone(&self.fabric));
        let mut server = std::pin::pin!(axum::serve(self.listener, router).into_future());
        let outcome = loop {
            tokio::select! {
                signal = signals.next() => {
                    tracing::info!(signal, "stopping");
                    break Ok(());
                }
                Some(event) = self.happened.recv() => self.fabric.notice(&event),
                Some(ended) = scripts_ended.recv() => user_data::report(&ended),
                result = &mut server => break Err(anyhow!("the control socket ended: {result:?}")),
            }
        };
        self.workers.stop();
        outcome
    }
}

fn load(template: &Template) -> Result<Stack> {
    template.load().map_err(|errors| {
        let count = errors.list.len() + errors.omitted;
        let noun = if count == 1 { "error" } else { "errors" };
        anyhow!("{} has {count} {noun}\n{errors}", template.name)
    })
}

fn settings(spec: &Spec) -> Settings {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Settings {
        workers: spec.workers.map_or(cores, usize::from),
        // The standard library's own random keys, hashed.
        seed: RandomState::new().build_hasher().finish(),
        mtu: spec.mtu,
        max_flows: MAX_FLOWS,
    }
}

fn describe_daemon(spec: &Spec, stack: &Stack, made: &Made, started: Instant) -> view::Daemon {
    view::Daemon {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        template: spec.template.name.clone(),
        region: stack.state.owner().region().into(),
        cgroup: made.cgroup().ok().map(|path| path.display().to_string()),
        no_cgroup_because: made.cgroup().err().map(Into::into),
        ready_after_ms: started.elapsed().as_millis() as u64,
    }
}

fn describe_output(output: Output) -> view::Output {
    view::Output {
        output_key: output.key,
        output_value: output.value,
        description: output.description,
    }
}

fn scripts(state: &ControlState) -> Vec<UserData> {
    let script = |instance: &Instance| {
        Some(UserData {
            logical_id: instance.client_token.clone(),
            namespace: instance.namespace.clone(),
            script: instance.user_data.clone()?,
        })
    };
    state.instances().filter_map(script).collect()
}

/// What is said once, when all stands.
fn notes(spec: &Spec, template: &[Note], scripts: &[UserData]) -> Vec<String> {
    let mut notes: Vec<_> = template.iter().map(Note::to_string).collect();
    if !scripts.is_empty() && !spec.run_user_data {
        let names: Vec<_> = scripts
            .iter()
            .map(|script| script.logical_id.as_str())
            .collect();
        notes.push(format!(
            "UserData of {} is not run (--run-user-data runs it)",
            names.join(", ")
        ));
    }
    notes
}
