//! What runs, and the one way to change it.
//!
//! Invariants: readers see one [`Fabric`] as a whole; changes come one after the other; only [`Machine::commit`] replaces what
//! runs, and if that fails nothing has changed. If a change panics, what stood before it is made to stand again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use super::cgroup;
use super::describe::Fabric;
use super::events::{self, Events, since_epoch};
use super::links::{self, Link, Shape};
use super::made::Made;
use super::names::Names;
use super::private_names;
use super::refusal::Refusal;
use super::resolv_conf;
use super::stacks::Wanted;
use super::tell::tell;
use super::user_data::{self, Ended, UserData};
use super::view::{self, ChangeFailure, Happening, ThreadReplacement};
use crate::control::{ControlState, Instance, compile};
use crate::dataplane::{Dataplane, EniIdx, Event};
use crate::io::{Clock, IoEvent, Namespace, Workers, caught};
use crate::template::{Output, Stack, Stacks};

/// The running topology, for everybody who asks or wants another.
pub struct Live {
    fabric: ArcSwap<Fabric>,
    /// Whoever has it is the only one who changes anything.
    running: Mutex<Running>,
    /// What has happened to endpoints, targets and private DNS names.
    pub events: Arc<Events>,
    /// Who answers for names, and asks for them.
    pub names: Arc<Names>,
    /// When time alone will change something, since the UNIX epoch.
    pub deadline: watch::Sender<Option<Duration>>,
}

/// What runs, as it was asked for.
pub struct Running {
    /// Its templates, and what has become of them.
    pub wanted: Wanted,
    /// `None`: the daemon is on its way out.
    machine: Option<Machine>,
}

/// What shall run.
pub struct Next {
    /// What was asked for; `None`: the same as before.
    pub wanted: Option<Wanted>,
    /// What becomes of it.
    pub stacks: Stacks,
}

/// What stands on this machine for the topology, and how more of it is made.
pub struct Machine {
    /// The record of it.
    pub made: Made,
    /// Who carries its packets.
    pub workers: Workers,
    /// What its links look like.
    pub shape: Shape,
    /// Are new instances' scripts run?
    pub run_user_data: bool,
    /// Who is told how a script ended.
    pub ended: UnboundedSender<Ended>,
    /// When the daemon began.
    pub started: Instant,
    /// What the operator should know of how it was started.
    pub notes: Vec<String>,
}

impl Live {
    /// Nothing runs yet.
    pub fn new(
        machine: Machine,
        nothing: ControlState,
        dataplane: Arc<Dataplane>,
        clock: Clock,
        names: Names,
    ) -> Self {
        let daemon = view::Daemon {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            template: String::new(),
            region: nothing.owner().region().into(),
            cgroup: machine.made.cgroup().ok().map(|p| p.display().to_string()),
            no_cgroup_because: machine.made.cgroup().err().map(Into::into),
            ready_after_ms: 0,
        };
        let fabric = Fabric {
            state: nothing,
            dataplane,
            clock,
            daemon,
            stacks: Vec::new(),
            outputs: Vec::new(),
            notes: Vec::new(),
            created_namespaces: Vec::new(),
            trouble: Arc::default(),
        };
        Self::with(fabric, names, Some(machine))
    }

    fn with(fabric: Fabric, names: Names, machine: Option<Machine>) -> Self {
        Self {
            fabric: ArcSwap::from_pointee(fabric),
            running: Mutex::new(Running {
                wanted: Wanted::default(),
                machine,
            }),
            events: Events::new(),
            names: Arc::new(names),
            deadline: watch::Sender::new(None),
        }
    }

    /// One that nobody can change.
    #[cfg(test)]
    pub fn standing(fabric: Fabric) -> Self {
        let names = Names::alone(Arc::clone(&fabric.dataplane), fabric.clock);
        Self::with(fabric, names, None)
    }

    /// What runs at this moment; it stays as it is while the caller looks at it.
    pub fn fabric(&self) -> Arc<Fabric> {
        self.fabric.load_full()
    }

    /// Lets `decide` say what shall run in the place of what does (`None`: nothing else), and makes it so or changes nothing.
    /// Meanwhile nobody else changes anything.
    pub fn change<T>(
        &self,
        decide: impl FnOnce(&Running, &Fabric) -> Result<(T, Option<Next>), Refusal>,
    ) -> Result<T, Refusal> {
        let mut running = self.running.lock();
        let before = self.fabric();
        let changed = caught(|| {
            let (answer, next) = decide(&running, &before)?;
            if let Some(next) = next {
                self.make(&mut running, &before, next)?;
            }
            Ok(answer)
        });
        changed.unwrap_or_else(|panic| Err(self.restore(&mut running, &before, panic)))
    }

    /// Makes `next` of what stood `before`, or changes nothing.
    fn make(&self, running: &mut Running, before: &Fabric, mut next: Next) -> Result<(), Refusal> {
        let machine = running.machine.as_mut().ok_or(Refusal::Stopping)?;
        let deadline = next.stacks.state.advance(since_epoch());
        let happened = next.stacks.state.take_events();
        let names = next.stacks.state.take_private_dns_events();
        let after = machine
            .commit(&self.fabric, next.stacks, next.wanted.is_some())
            .map_err(Refusal::Failed)?;
        self.names.forget_vpcs_but_of(&after.state);
        let happened = happened.iter();
        let happened = happened.map(|event| events::describe(event, &before.state, &after.state));
        let names = names.iter();
        let names = names.filter_map(|event| events::private_dns_name(event, &after.state));
        let happened: Vec<_> = happened.chain(names).collect();
        // From here on nothing can fail.
        if let Some(wanted) = next.wanted {
            running.wanted = wanted;
        }
        self.deadline.send_replace(deadline);
        self.events.tell(happened);
        Ok(())
    }

    /// After a change that panicked, wherever that was: what stood `before` stands again.
    fn restore(&self, running: &mut Running, before: &Arc<Fabric>, panic: String) -> Refusal {
        let machine = running.machine.as_mut();
        let restored = caught(|| machine.map_or(Ok(()), |it| it.restore(&self.fabric, before)));
        let failed = match restored {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(panic) => Some(panic),
        };
        if let Some(failed) = failed {
            tell(format_args!(
                "warning: after a change that failed not all could be made as it was: {failed}"
            ));
        }
        let reason = format!("an error in privlink: {panic}");
        let event = ChangeFailure {
            reason: reason.clone(),
        };
        self.events.tell([Happening::ChangeFailed(event)]);
        Refusal::Failed(anyhow!(reason))
    }

    /// Something happened underneath.
    pub fn notice(&self, event: &IoEvent) {
        let fabric = self.fabric();
        fabric.notice(event);
        let happened = match event {
            IoEvent::Core(Event::TargetHealth(found)) => {
                events::target_health(&fabric.state, found)
            }
            IoEvent::Core(Event::ResourceName { resource, outcome }) => {
                events::resource_name(&fabric, *resource, outcome).map(Happening::ResourceName)
            }
            IoEvent::Core(Event::PortsRunShort(usage)) => {
                Some(Happening::PortsRunShort(fabric.ports_run_short(usage)))
            }
            IoEvent::ThreadFailed { thread, reason } => {
                Some(Happening::ThreadReplaced(ThreadReplacement {
                    thread: thread.clone(),
                    reason: reason.clone(),
                }))
            }
            _ => None,
        };
        self.events.tell(happened);
    }

    /// Nothing is changed or forwarded from now on; what is left to be undone.
    pub fn end(&self) -> Option<Made> {
        let machine = self.running.lock().machine.take()?;
        machine.workers.stop();
        Some(machine.made)
    }
}

impl Running {
    /// What the operator should know of the stacks of these names, when they become `next`.
    pub fn notes(&self, fabric: &Fabric, next: &Stacks, names: &[String]) -> Vec<String> {
        let run_user_data = self.machine.as_ref().is_some_and(|m| m.run_user_data);
        let stacks = next.list.iter().filter(|stack| names.contains(&stack.name));
        let new = scripts(&fabric.state, next);
        let mut notes = notes(stacks, next, &new, run_user_data);
        let stays = |eni: &EniIdx| next.state.eni_by_idx(*eni).is_some();
        let trouble = fabric.trouble.lock();
        let broken = trouble.iter().filter(|(eni, _)| stays(eni));
        notes.extend(broken.map(|(eni, what)| {
            format!("the link of {} is made again ({what})", fabric.label(*eni))
        }));
        notes
    }
}

impl Machine {
    /// New links first (and, to `repair`, those that were deleted underneath): they are what can fail. Then the data plane,
    /// which cuts the flows that are no longer allowed, and last the links that have gone.
    fn commit(
        &mut self,
        fabric: &ArcSwap<Fabric>,
        next: Stacks,
        repair: bool,
    ) -> Result<Arc<Fabric>> {
        let running = fabric.load_full();
        let links = Links::between(&running, &next.state, repair)?;
        let config = compile(&next.state);
        let tuns = self.open(&links)?;

        let scripts = scripts(&running.state, &next);
        let troubles = self.made.keep_resolv_confs(&resolv_conf::of(&next.state));
        let mut next = self.describe(&running, next, &scripts);
        let new = troubles.iter().filter(|it| !running.notes.contains(it));
        // The first time they are part of what `up` prints.
        new.filter(|_| running.daemon.ready_after_ms > 0)
            .for_each(|trouble| tell(format_args!("warning: {trouble}")));
        next.notes.extend(troubles);
        next.notes.extend(self.notes.iter().cloned());
        let next = Arc::new(next);
        next.dataplane.apply(config);
        fabric.store(Arc::clone(&next));
        for (eni, tun) in tuns {
            self.workers.add(eni, tun);
        }
        self.workers.wake();
        self.close(&links, &next);
        if self.run_user_data {
            let made = &self.made;
            user_data::start_all(&scripts, made.dir(), made.cgroup(), &self.ended);
        }
        let (stacks, instances) = (next.stacks.len(), next.state.instances().count());
        tracing::info!(stacks, instances, "changed");
        Ok(next)
    }

    /// Makes what stood `before` stand again, whatever part of a change has been made.
    fn restore(&mut self, fabric: &ArcSwap<Fabric>, before: &Arc<Fabric>) -> Result<()> {
        fabric.store(Arc::clone(before));
        before.dataplane.apply(compile(&before.state));
        let wanted = links::of(&before.state)?;
        let standing = self.workers.interfaces();
        let is_wanted = |eni: &EniIdx| wanted.iter().any(|link| link.eni == *eni);
        for eni in standing.iter().filter(|eni| !is_wanted(eni)) {
            self.workers.remove(*eni);
        }
        let surplus = self.made.namespaces();
        let is_empty = |name: &&String| wanted.iter().all(|link| link.namespace != **name);
        for namespace in surplus.iter().filter(is_empty) {
            self.end_of_instance(namespace)?;
        }
        let trouble = before.trouble.lock();
        let is_missing =
            |link: &&Link| !standing.contains(&link.eni) && !trouble.contains_key(&link.eni);
        let missing: Vec<_> = wanted.iter().filter(is_missing).cloned().collect();
        drop(trouble);
        for (eni, tun) in links::open(&missing, self.shape, &mut self.made)? {
            self.workers.add(eni, tun);
        }
        self.workers.wake();
        let confs = resolv_conf::of(&before.state);
        self.made.keep_resolv_confs(&confs);
        Ok(())
    }

    fn open(&mut self, links: &Links) -> Result<links::Opened> {
        for link in links.in_the_way.iter().chain(&links.broken) {
            self.workers.remove(link.eni);
        }
        let opened = links::open(&links.coming, self.shape, &mut self.made);
        if opened.is_err() && !links.in_the_way.is_empty() {
            let back = links::open(&links.in_the_way, self.shape, &mut self.made)?;
            for (eni, tun) in back {
                self.workers.add(eni, tun);
            }
        }
        opened
    }

    fn close(&mut self, links: &Links, next: &Fabric) {
        let gone = links.in_the_way.iter().chain(&links.broken);
        let gone = gone.chain(&links.going);
        let mut trouble = next.trouble.lock();
        gone.for_each(|link| drop(trouble.remove(&link.eni)));
        drop(trouble);
        for link in &links.going {
            self.workers.remove(link.eni);
            tracing::info!(namespace = link.namespace, "link down");
            if let Err(error) = self.end_of_instance(&link.namespace) {
                tell(format_args!(
                    "warning: {error:#}; `privlink down` will try again"
                ));
            }
        }
    }

    /// What ran on an instance ends, and its namespace goes if we have made it.
    fn end_of_instance(&mut self, namespace: &str) -> Result<()> {
        if let Ok(cgroup) = self.made.cgroup()
            && let Some(found) = Namespace::open(namespace)?
        {
            cgroup::kill_in(cgroup, found.id())?;
        }
        self.made.remove_namespace(namespace)
    }

    fn describe(&self, running: &Fabric, next: Stacks, scripts: &[UserData]) -> Fabric {
        let ready_after_ms = match running.daemon.ready_after_ms {
            0 => self.started.elapsed().as_millis() as u64,
            known => known,
        };
        let files: Vec<_> = next.list.iter().map(|s| s.template.as_str()).collect();
        Fabric {
            daemon: view::Daemon {
                template: files.join(" "),
                ready_after_ms,
                ..running.daemon.clone()
            },
            stacks: next.list.iter().map(describe_stack).collect(),
            outputs: next.list.iter().flat_map(describe_outputs).collect(),
            notes: notes(&next.list, &next, scripts, self.run_user_data),
            created_namespaces: self.made.namespaces(),
            trouble: Arc::clone(&running.trouble),
            state: next.state,
            dataplane: Arc::clone(&running.dataplane),
            clock: running.clock,
        }
    }
}

/// Which links a change makes and takes away.
struct Links {
    coming: Vec<Link>,
    /// They go, and another comes into the same namespace, which can have one at a time.
    in_the_way: Vec<Link>,
    /// They were deleted underneath, and come again.
    broken: Vec<Link>,
    going: Vec<Link>,
}

impl Links {
    fn between(running: &Fabric, next: &ControlState, repair: bool) -> Result<Self> {
        let (old, new) = (links::of(&running.state)?, links::of(next)?);
        let (stood, wanted): (HashSet<_>, HashSet<_>) =
            (old.iter().collect(), new.iter().collect());
        let trouble = running.trouble.lock();
        let is_broken = |link: &&Link| repair && trouble.contains_key(&link.eni);
        let broken = new.iter().filter(|l| stood.contains(l)).filter(is_broken);
        let broken: Vec<_> = broken.cloned().collect();
        let coming = new.iter().filter(|l| !stood.contains(l));
        let coming: Vec<_> = coming.chain(&broken).cloned().collect();
        let going = old.iter().filter(|l| !wanted.contains(l)).cloned();
        let taken: HashSet<_> = coming.iter().map(|link| &link.namespace).collect();
        let (in_the_way, going) = going.partition(|link: &Link| taken.contains(&link.namespace));
        Ok(Self {
            coming,
            in_the_way,
            broken,
            going,
        })
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

/// The scripts of the instances that are new.
fn scripts(running: &ControlState, next: &Stacks) -> Vec<UserData> {
    let instances = next.state.instances();
    let new = instances.filter(|instance| running.instance(&instance.instance_id).is_none());
    let script = |instance: &Instance| {
        let owner = next.state.owner_of(instance.instance_id);
        let stack = owner.and_then(|owner| owner.stack()).unwrap_or_default();
        Some(UserData {
            name: view::in_stack(stack, &instance.client_token, next.list.len() > 1),
            namespace: instance.namespace.clone(),
            script: instance.user_data.clone()?,
        })
    };
    new.filter_map(script).collect()
}

/// What has no effect in some of `next`'s stacks, and what is not done.
fn notes<'s>(
    stacks: impl IntoIterator<Item = &'s Stack>,
    next: &Stacks,
    scripts: &[UserData],
    run_user_data: bool,
) -> Vec<String> {
    let stacks: Vec<_> = stacks.into_iter().collect();
    let notes = stacks.iter().flat_map(|stack| {
        let notes = stack.notes.iter().map(ToString::to_string);
        notes.map(|note| match next.list.len() {
            1 => note,
            _ => format!("{}: {note}", stack.name),
        })
    });
    let mut notes: Vec<_> = notes.collect();
    let names: Vec<_> = stacks.iter().map(|stack| stack.name.as_str()).collect();
    let several = next.list.len() > 1;
    notes.extend(private_names::notes(&next.state, &names, several));
    notes.extend(resolv_conf::notes(&next.state, &names, several));
    if !scripts.is_empty() && !run_user_data {
        let names: Vec<_> = scripts.iter().map(|script| script.name.as_str()).collect();
        notes.push(format!(
            "UserData of {} is not run (--run-user-data runs it)",
            names.join(", ")
        ));
    }
    notes
}
