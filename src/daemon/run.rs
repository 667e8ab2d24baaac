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
use super::{Spec, Templates, api, links, user_data, view};
use crate::control::{Instance, compile};
use crate::dataplane::{Dataplane, Settings};
use crate::io::{Clock, IoEvent, Offload, WorkerOptions, Workers};
use crate::template::{Output, Stack, Stacks};

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
    let stacks = load(&spec.templates)?;
    made.create_cgroup()?;
    let listener = api::listen(made.dir())?;
    let clock = Clock::start();
    let settings = settings(spec);
    let options = WorkerOptions {
        workers: settings.workers,
        clock,
    };
    let dataplane = Arc::new(Dataplane::new(settings));
    dataplane.apply(compile(&stacks.state));
    let offload = match spec.offload {
        true => Offload::On,
        false => Offload::Off,
    };
    let tuns = links::open(&stacks.state, spec.mtu, offload, made)?;
    tracing::info!(
        workers = options.workers,
        interfaces = tuns.len(),
        "starting workers"
    );
    let (workers, happened) = Workers::start(Arc::clone(&dataplane), tuns, options)?;
    let scripts = scripts(&stacks);
    let fabric = Arc::new(Fabric {
        daemon: describe_daemon(spec, &stacks, made, started),
        stacks: stacks.list.iter().map(describe_stack).collect(),
        outputs: stacks.list.iter().flat_map(describe_outputs).collect(),
        notes: notes(spec, &stacks.list, &scripts),
        created_namespaces: made.namespaces(),
        trouble: Mutex::default(),
        state: stacks.state,
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

fn load(templates: &Templates) -> Result<Stacks> {
    templates
        .load()
        .map_err(|errors| anyhow!("{}\n{errors}", templates.count(&errors)))
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

fn describe_daemon(spec: &Spec, stacks: &Stacks, made: &Made, started: Instant) -> view::Daemon {
    let files = spec.templates.files.iter();
    let files: Vec<_> = files.map(|file| file.name.as_str()).collect();
    view::Daemon {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        template: files.join(" "),
        region: stacks.state.owner().region().into(),
        cgroup: made.cgroup().ok().map(|path| path.display().to_string()),
        no_cgroup_because: made.cgroup().err().map(Into::into),
        ready_after_ms: started.elapsed().as_millis() as u64,
    }
}

fn describe_stack(stack: &Stack) -> view::Stack {
    let imports = stack.imports.iter().map(|import| view::Import {
        export_name: import.export_name.clone(),
        stack: import.stack.clone(),
    });
    view::Stack {
        stack_name: stack.name.clone(),
        owner_id: stack.owner.account_id().to_owned(),
        template: stack.template.clone(),
        imports: imports.collect(),
    }
}

fn describe_outputs(stack: &Stack) -> impl Iterator<Item = view::Output> {
    stack.outputs.iter().map(|output: &Output| view::Output {
        stack: stack.name.clone(),
        output_key: output.key.clone(),
        output_value: output.value.clone(),
        description: output.description.clone(),
        export_name: output.export_name.clone(),
    })
}

fn scripts(stacks: &Stacks) -> Vec<UserData> {
    let script = |instance: &Instance| {
        let owner = stacks.state.owner_of(instance.instance_id);
        let stack = owner.and_then(|owner| owner.stack()).unwrap_or_default();
        Some(UserData {
            name: view::in_stack(stack, &instance.client_token, stacks.list.len() > 1),
            namespace: instance.namespace.clone(),
            script: instance.user_data.clone()?,
        })
    };
    stacks.state.instances().filter_map(script).collect()
}

/// What is said once, when all stands.
fn notes(spec: &Spec, stacks: &[Stack], scripts: &[UserData]) -> Vec<String> {
    let notes = stacks.iter().flat_map(|stack| {
        let notes = stack.notes.iter().map(ToString::to_string);
        notes.map(|note| match stacks.len() {
            1 => note,
            _ => format!("{}: {note}", stack.name),
        })
    });
    let mut notes: Vec<_> = notes.collect();
    if !scripts.is_empty() && !spec.run_user_data {
        let names: Vec<_> = scripts.iter().map(|script| script.name.as_str()).collect();
        notes.push(format!(
            "UserData of {} is not run (--run-user-data runs it)",
            names.join(", ")
        ));
    }
    notes
}
