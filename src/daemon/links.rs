//! The instances' namespaces and TUNs, made by several threads at once: each waits for the kernel most of its time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use ipnet::{IpNet, Ipv4Net};
use parking_lot::Mutex;

use super::made::Made;
use crate::control::{ControlState, Instance};
use crate::dataplane::EniIdx;
use crate::io::{Namespace, NamespaceId, Offload, Tun, TunSpec, privileged};

/// More threads at once gain nothing: the kernel has one lock for all network namespaces.
const THREADS: usize = 8;

/// An instance's link, as it is to stand on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    /// The data plane's name for it.
    pub eni: EniIdx,
    /// The network namespace that stands for the instance.
    pub namespace: String,
    addresses: Vec<IpNet>,
}

/// What all links have in common.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Their MTU, in bytes.
    pub mtu: u16,
    /// Do super-packets pass?
    pub offload: Offload,
}

/// A link that is to be made.
struct Job {
    eni: EniIdx,
    namespace: String,
    create: bool,
    spec: TunSpec,
}

/// What became of a [`Job`]. The namespace is told even when its TUN failed.
struct Done {
    namespace: String,
    /// `Some`: we created it.
    created: Option<NamespaceId>,
    announced: bool,
    tun: Result<(EniIdx, Arc<Tun>)>,
}

/// TUNs that have been made, by what the data plane calls them.
pub type Opened = Vec<(EniIdx, Arc<Tun>)>;

/// The links of all instances.
pub fn of(state: &ControlState) -> Result<Vec<Link>> {
    let instances = state.instances();
    instances.map(|instance| link(state, instance)).collect()
}

/// Makes a TUN for each link, in its namespace; missing namespaces are created and stand in `made`. If one cannot be made,
/// none is, and no namespace is left.
pub fn open(links: &[Link], shape: Shape, made: &mut Made) -> Result<Opened> {
    let jobs = links.iter().map(|link| job(link, shape));
    let jobs = jobs.collect::<Result<VecDeque<_>>>()?;
    let missing: Vec<_> = jobs
        .iter()
        .filter(|job| job.create)
        .map(|job| job.namespace.clone())
        .collect();
    if !missing.is_empty() {
        made.will_create(missing.iter().cloned())?;
    }
    let done = run_all(jobs);
    let created: Vec<_> = done
        .iter()
        .filter(|done| done.created.is_some() || (done.announced && done.tun.is_ok()))
        .map(|done| (done.namespace.clone(), done.created))
        .collect();
    if !created.is_empty() {
        made.have_created(&created)?;
    }
    let tuns: Result<Vec<_>> = done.into_iter().map(|done| done.tun).collect();
    if tuns.is_err() {
        for namespace in &missing {
            made.remove_namespace(namespace)?;
        }
    }
    tuns
}

fn link(state: &ControlState, instance: &Instance) -> Result<Link> {
    let name = &instance.client_token;
    let eni = state
        .network_interface(&instance.network_interface_id)
        .with_context(|| format!("instance {name} has no interface"))?;
    let subnet = state
        .subnet(&eni.subnet_id)
        .with_context(|| format!("instance {name} has no subnet"))?;
    let addresses = eni
        .private_ip_addresses
        .iter()
        .map(|ip| {
            Ok(IpNet::V4(Ipv4Net::new(
                *ip,
                subnet.cidr_block.prefix_len(),
            )?))
        })
        .collect::<Result<_>>()?;
    Ok(Link {
        eni: eni.idx,
        namespace: instance.namespace.clone(),
        addresses,
    })
}

fn job(link: &Link, shape: Shape) -> Result<Job> {
    Ok(Job {
        eni: link.eni,
        namespace: link.namespace.clone(),
        create: Namespace::open(&link.namespace)?.is_none(),
        spec: TunSpec {
            addresses: link.addresses.clone(),
            mtu: shape.mtu,
            offload: shape.offload,
        },
    })
}

/// Several at once, or fewer where no more threads can be had.
fn run_all(jobs: VecDeque<Job>) -> Vec<Done> {
    let others = jobs.len().min(THREADS).saturating_sub(1);
    let jobs = Mutex::new(jobs);
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            // Not `while let`: its lock would be held while the job runs.
            let next = jobs.lock().pop_front();
            let Some(job) = next else { break };
            let result = run(job);
            done.lock().push(result);
        }
    };
    thread::scope(|scope| {
        let mut others = (0..others).map(|_| thread::Builder::new().spawn_scoped(scope, work));
        while others.next().is_some_and(|started| started.is_ok()) {}
        work();
    });
    done.into_inner()
}

fn run(job: Job) -> Done {
    let mut created = None;
    let mut open = || -> Result<(EniIdx, Arc<Tun>)> {
        let namespace = privileged::open_namespace(&job.namespace)?;
        created = namespace.created().then(|| namespace.id());
        let tun = Arc::new(privileged::open_tun(&namespace, &job.spec)?);
        let (name, made) = (namespace.name(), namespace.created());
        tracing::info!(namespace = name, made, addresses = ?job.spec.addresses, "link up");
        Ok((job.eni, tun))
    };
    let tun = open();
    Done {
        namespace: job.namespace,
        created,
        announced: job.create,
        tun,
    }
}
