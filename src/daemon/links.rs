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

/// An instance's link that is to be made.
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

/// A TUN for every instance, in its namespace; missing namespaces are created and stand in `made`.
pub fn open(
    state: &ControlState,
    mtu: u16,
    offload: Offload,
    made: &mut Made,
) -> Result<Vec<(EniIdx, Arc<Tun>)>> {
    let jobs = state
        .instances()
        .map(|instance| job(state, instance, mtu, offload))
        .collect::<Result<VecDeque<_>>>()?;
    made.will_create(
        jobs.iter()
            .filter(|job| job.create)
            .map(|job| job.namespace.clone()),
    )?;
    let done = run_all(jobs);
    let created: Vec<_> = done
        .iter()
        .filter(|done| done.created.is_some() || (done.announced && done.tun.is_ok()))
        .map(|done| (done.namespace.clone(), done.created))
        .collect();
    made.have_created(&created)?;
    done.into_iter().map(|done| done.tun).collect()
}

fn job(state: &ControlState, instance: &Instance, mtu: u16, offload: Offload) -> Result<Job> {
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
    Ok(Job {
        eni: eni.idx,
        namespace: instance.namespace.clone(),
        create: Namespace::open(&instance.namespace)?.is_none(),
        spec: TunSpec {
            addresses,
            mtu,
            offload,
        },
    })
}

fn run_all(jobs: VecDeque<Job>) -> Vec<Done> {
    let threads = jobs.len().min(THREADS);
    let jobs = Mutex::new(jobs);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    // Not `while let`: its lock would be held while the job runs.
                    let next = jobs.lock().pop_front();
                    let Some(job) = next else { break };
                    let result = run(job);
                    done.lock().push(result);
                }
            });
        }
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
