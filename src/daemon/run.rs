//! One daemon's life: claim the state directory, make everything, forward, undo everything.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow};
use tokio::net::UnixListener;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::sync::{oneshot, watch};

use super::events::since_epoch;
use super::links::Shape;
use super::live::{Live, Machine, Next};
use super::made::Made;
use super::names::public::Sockets;
use super::names::query_log::QueryLog;
use super::names::upstream::Upstream;
use super::names::{self, Names};
use super::refusal::Refusal;
use super::signals::{Signals, Wish};
use super::stacks::Wanted;
use super::user_data::{self, Ended};
use super::{Spec, api, tell, view};
use crate::control::ControlState;
use crate::dataplane::{Dataplane, Event, Settings};
use crate::io::{Clock, IoEvent, Offload, WorkerOptions, Workers, caught};

/// How many flows may live at once; each takes less than 300 bytes, when it comes. A single interface gets half of them at most:
/// a million, fewer than the 1,032,192 ports that a gateway's interface of 16 addresses has towards one target.
const MAX_FLOWS: usize = 2_000_000;

/// Longer than any daemon runs.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// How long answers may take that are under way when the daemon ends.
const FAREWELL: Duration = Duration::from_millis(500);

/// Prints what stands, when packets can flow; on a thread of its own, as its output may not be read.
pub type Ready = Box<dyn FnOnce(&view::Topology) -> Result<()> + Send>;

/// Runs `spec` until a signal ends it. `ready` is called once, when packets can flow; if it fails, so does the start.
pub fn run(spec: Spec, ready: Ready) -> Result<()> {
    let started = Instant::now();
    tell::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // Once there is one thread for changes, another that cannot be had is no panic but a wait.
        .thread_keep_alive(FOR_EVER)
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        caught(|| tokio::task::spawn_blocking(|| ())).map_err(Error::msg)?;
        // Before anything is made: a signal that comes meanwhile is seen afterwards.
        let mut signals = Signals::install()?;
        let mut made = Made::claim(&spec.state_dir, spec.state_dir_created)?;
        let mut is_ready = false;
        let (made, outcome) = match Prepared::new(&spec, &mut made) {
            Err(error) => (Some(made), Err(error)),
            Ok(prepared) => {
                let (daemon, first) = prepared.daemon(&spec, made, started);
                let live = Arc::clone(&daemon.live);
                let outcome = daemon.run(first, &mut signals, ready, &mut is_ready).await;
                (live.end(), outcome)
            }
        };
        // A start that failed is told to the user as a whole; what fails later is explained by the log.
        let undone = made.map_or(Ok(()), |made| made.undo(is_ready && outcome.is_err()));
        outcome.and(undone)
    })
}

/// All that a topology needs before there is one.
struct Prepared {
    first: Next,
    listener: UnixListener,
    dataplane: Arc<Dataplane>,
    clock: Clock,
    workers: Workers,
    happened: UnboundedReceiver<IoEvent>,
    query_log: Option<QueryLog>,
    public_dns: Option<Sockets>,
}

/// What goes on beside the packets.
struct Daemon {
    live: Arc<Live>,
    listener: UnixListener,
    happened: UnboundedReceiver<IoEvent>,
    scripts_ended: UnboundedReceiver<Ended>,
    query_log: Option<QueryLog>,
    public_dns: Option<Sockets>,
}

impl Prepared {
    fn new(spec: &Spec, made: &mut Made) -> Result<Self> {
        let templates = &spec.templates;
        let (wanted, stacks) = Wanted::default()
            .with(templates, None)
            .map_err(|errors| anyhow!("{}\n{errors}", templates.count(&errors)))?;
        let query_log = spec.query_log.as_ref().map(QueryLog::open).transpose()?;
        let public_dns = spec.public_dns.map(Sockets::bind).transpose()?;
        made.create_cgroup()?;
        let listener = api::listen(made.dir())?;
        let clock = Clock::start();
        let settings = settings(spec);
        let options = WorkerOptions {
            workers: settings.workers,
            clock,
        };
        let dataplane = Arc::new(Dataplane::new(settings));
        tracing::info!(workers = options.workers, "starting workers");
        let (workers, happened) = Workers::start(Arc::clone(&dataplane), Vec::new(), options)?;
        Ok(Self {
            first: Next {
                wanted: Some(wanted),
                stacks,
            },
            listener,
            dataplane,
            clock,
            workers,
            happened,
            query_log,
            public_dns,
        })
    }

    fn daemon(self, spec: &Spec, made: Made, started: Instant) -> (Daemon, Next) {
        let (ended, scripts_ended) = mpsc::unbounded_channel();
        let upstream = Upstream::new(&spec.upstream);
        let machine = Machine {
            made,
            workers: self.workers,
            shape: Shape {
                mtu: spec.mtu,
                offload: match spec.offload {
                    true => Offload::On,
                    false => Offload::Off,
                },
            },
            run_user_data: spec.run_user_data,
            ended,
            started,
            notes: upstream.note().into_iter().collect(),
        };
        let nothing = ControlState::new(self.first.stacks.state.owner().clone());
        let waker = machine.workers.waker();
        let dataplane = Arc::clone(&self.dataplane);
        let names = Names::new(upstream, dataplane, self.clock, move || waker.wake());
        let live = Live::new(machine, nothing, self.dataplane, self.clock, names);
        let daemon = Daemon {
            live: Arc::new(live),
            listener: self.listener,
            happened: self.happened,
            scripts_ended,
            query_log: self.query_log,
            public_dns: self.public_dns,
        };
        (daemon, self.first)
    }
}

impl Daemon {
    /// Makes the topology, then answers on the control socket and tells what happens, until a signal comes.
    async fn run(
        mut self,
        first: Next,
        signals: &mut Signals,
        ready: Ready,
        is_ready: &mut bool,
    ) -> Result<()> {
        let began = self.live.change(|_, _| Ok(((), Some(first))));
        began.map_err(|refusal| match refusal {
            Refusal::Failed(error) => error,
            other => anyhow!("{}", other.view()),
        })?;
        tracing::info!("ready");
        *is_ready = true;
        let mut printed = print(ready, self.live.fabric().topology())?;
        if let Some(sockets) = self.public_dns.take() {
            tokio::spawn(sockets.serve(Arc::clone(&self.live.names)));
        }
        tokio::spawn(names::verify_always(Arc::clone(&self.live)));
        let router = api::router(Arc::clone(&self.live));
        let (end, ended) = oneshot::channel::<()>();
        let server = axum::serve(self.listener, router).with_graceful_shutdown(async {
            let _ = ended.await;
        });
        let mut server = std::pin::pin!(server.into_future());
        let mut deadline = self.live.deadline.subscribe();
        loop {
            let live = Arc::clone(&self.live);
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::End(signal) => {
                        tracing::info!(signal, "stopping");
                        // Who follows the events is told that these are all.
                        self.live.events.end();
                        drop(end);
                        let _ = tokio::time::timeout(FAREWELL, &mut server).await;
                        return Ok(());
                    }
                    Wish::Unknown(signal) => tell::tell(format_args!(
                        "{signal} is ignored: SIGTERM ends privlink, SIGHUP applies the templates again"
                    )),
                    Wish::Reload => {
                        tokio::task::spawn_blocking(move || live.reload());
                    }
                },
                outcome = &mut printed, if !printed.is_terminated() => {
                    outcome??;
                    if let Some(log) = &mut self.query_log {
                        log.begin()?;
                    }
                }
                () = due(&mut deadline) => {
                    let tick = tokio::task::spawn_blocking(move || live.tick()).await;
                    if !matches!(tick, Ok(Ok(()))) {
                        // It will not go better at once.
                        self.live.deadline.send_replace(None);
                    }
                }
                Some(event) = self.happened.recv() => {
                    // The panic has been reported, and what has happened happens no less.
                    let _ = caught(|| hear(&live, self.query_log.as_ref(), event));
                }
                Some(ended) = self.scripts_ended.recv() => user_data::report(&ended),
                result = &mut server => return Err(anyhow!("the control socket ended: {result:?}")),
            }
        }
    }
}

/// The data plane asks for something, or something has happened underneath.
fn hear(live: &Live, query_log: Option<&QueryLog>, event: IoEvent) {
    match event {
        IoEvent::Core(Event::Query(query)) => {
            if let Some(log) = query_log {
                log.write(&live.fabric(), &query);
            }
        }
        IoEvent::Core(Event::Ask {
            id,
            view,
            asker,
            ask,
        }) => live.names.ask(id, view, asker, ask),
        event => live.notice(&event),
    }
}

/// Has what stands printed; the outcome.
fn print(ready: Ready, topology: view::Topology) -> Result<oneshot::Receiver<Result<()>>> {
    let (done, printed) = oneshot::channel();
    std::thread::Builder::new()
        .name("ready".to_owned())
        .spawn(move || done.send(ready(&topology)))
        .context("cannot start a thread to print what stands")?;
    Ok(printed)
}

/// Returns when the deadline, or another that has come in its place, is past.
async fn due(deadline: &mut watch::Receiver<Option<Duration>>) {
    loop {
        let at = *deadline.borrow_and_update();
        let past = async {
            match at {
                Some(at) => tokio::time::sleep(at.saturating_sub(since_epoch())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = past => return,
            // It cannot fail while the topology lives.
            _ = deadline.changed() => {}
        }
    }
}

fn settings(spec: &Spec) -> Settings {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Settings {
        workers: spec.workers.map_or(cores, usize::from),
        // The standard library's own random keys, hashed.
        seed: RandomState::new().build_hasher().finish(),
        mtu: spec.mtu,
        max_flows: MAX_FLOWS,
        query_log: spec.query_log.is_some(),
    }
}
