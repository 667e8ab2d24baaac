//! Workers that fail. Their TUNs are sockets, whose reads panic when they are to: no root, no kernel's TUN.

use std::sync::atomic::Ordering::Relaxed;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::*;
use crate::dataplane::config::{
    GroupIdx, Interface, Peer, Role, Rule, SecurityGroup, Traffic, Vpc, VpcIdx,
};
use crate::dataplane::{DataplaneConfig, Settings};
use crate::io::Offload;
use crate::sim::udp;

const INSTANCES: usize = 3;

/// Some instances of one VPC and the workers between them.
struct Site {
    workers: Workers,
    events: UnboundedReceiver<IoEvent>,
    tuns: Vec<Arc<Tun>>,
    /// Their ends of the TUNs.
    hosts: Vec<OwnedFd>,
}

impl Site {
    fn new(count: usize) -> Self {
        let dataplane = Arc::new(Dataplane::new(Settings {
            workers: count,
            seed: 1,
            mtu: 1500,
            max_flows: 1000,
            query_log: false,
        }));
        dataplane.apply(config());
        let options = WorkerOptions {
            workers: count,
            clock: Clock::start(),
        };
        let (workers, events) = Workers::start(dataplane, Vec::new(), options).unwrap();
        let (family, flags) = (AddressFamily::UNIX, SocketFlags::NONBLOCK);
        let links = (0..INSTANCES).map(|_| {
            let (ours, theirs) = socketpair(family, SocketType::SEQPACKET, flags, None).unwrap();
            (Arc::new(Tun::stand_in(ours, Offload::Off)), theirs)
        });
        let (tuns, hosts) = links.unzip();
        Self {
            workers,
            events,
            tuns,
            hosts,
        }
    }

    /// Lets packets through to and from this instance. Its TUN stands in no namespace that could be watched.
    fn add(&self, instance: usize) {
        self.workers
            .shared
            .add(eni(instance), self.tuns[instance].clone());
    }

    /// Has the next reads of its TUN panic, as many of them.
    fn fail(&self, instance: usize, times: u32) {
        self.tuns[instance].faults.store(times, Relaxed);
    }

    /// A datagram from one instance to another, which must arrive.
    fn send(&self, from: usize, to: usize) {
        let packet = udp((address(from), 1000), (address(to), 2000)).payload(b"hello");
        rustix::io::write(&self.hosts[from], &packet.build().bytes).unwrap();
        let patience = Timespec {
            tv_sec: 30,
            tv_nsec: 0,
        };
        let mut fds = [PollFd::new(&self.hosts[to], PollFlags::IN)];
        assert_eq!(
            poll(&mut fds, Some(&patience)),
            Ok(1),
            "{from} to {to}: lost"
        );
        let mut buffer = [0; 2000];
        let length = rustix::io::read(&self.hosts[to], &mut buffer).unwrap();
        assert!(buffer[..length].ends_with(b"hello"));
    }

    /// Waits for a thread's failure; its name and the reason.
    fn failure(&mut self) -> (String, String) {
        match self.events.blocking_recv() {
            Some(IoEvent::ThreadFailed { thread, reason }) => (thread, reason),
            other => panic!("{other:?}"),
        }
    }
}

fn address(instance: usize) -> [u8; 4] {
    [172, 18, 0, 10 + instance as u8]
}

fn eni(instance: usize) -> EniIdx {
    EniIdx::new(instance as u32, 0)
}

fn config() -> DataplaneConfig {
    let (vpc, group) = (VpcIdx::new(0, 0), GroupIdx::new(0, 0));
    let all = || Rule {
        traffic: Traffic::All,
        peer: Peer::Cidr("0.0.0.0/0".parse().unwrap()),
    };
    let mut config = DataplaneConfig::default();
    let cidrs = vec!["172.18.0.0/16".parse().unwrap()];
    let vpc_config = Vpc {
        cidrs,
        reserved: vec![],
        resolver: None,
    };
    config.vpcs.insert(vpc, vpc_config);
    let (ingress, egress) = (vec![all()], vec![all()]);
    config
        .groups
        .insert(group, SecurityGroup { ingress, egress });
    for instance in 0..INSTANCES {
        config.enis.insert(
            eni(instance),
            Interface {
                vpc,
                addresses: vec![std::net::Ipv4Addr::from(address(instance)).into()],
                groups: vec![group],
                role: Role::Instance {
                    source_dest_check: true,
                },
            },
        );
    }
    config
}

#[test]
fn a_worker_that_panics_is_replaced_and_its_tuns_are_read_again() {
    let mut site = Site::new(2);
    (0..INSTANCES).for_each(|instance| site.add(instance));
    site.send(0, 1);
    site.fail(0, 3);
    // What waits in a TUN is not lost with the worker.
    site.send(0, 1);
    for _ in 0..3 {
        assert_eq!(
            site.failure(),
            ("worker-0".into(), "it panicked: a fault".into())
        );
    }
    for (from, to) in [(0, 2), (2, 0), (1, 0), (2, 1)] {
        site.send(from, to);
    }
    assert!(site.events.try_recv().is_err());
    // The one that failed holds none of them any more.
    site.workers.remove(eni(0));
    assert_eq!(Arc::strong_count(&site.tuns[0]), 1);
}

#[test]
fn what_makes_a_worker_fail_again_and_again_costs_its_neighbours_nothing() {
    let mut site = Site::new(1);
    (0..INSTANCES).for_each(|instance| site.add(instance));
    site.fail(0, u32::MAX);
    let packet = udp((address(0), 1000), (address(1), 2000)).build();
    rustix::io::write(&site.hosts[0], &packet.bytes).unwrap();
    for _ in 0..3 {
        site.failure();
        site.send(1, 2);
        site.send(2, 1);
    }
    // When it no longer does, its TUN is read again.
    site.fail(0, 0);
    site.send(0, 2);
}

#[test]
fn what_changes_while_a_worker_fails_again_and_again_holds_for_the_one_after() {
    let mut site = Site::new(1);
    site.add(0);
    site.add(1);
    site.fail(0, u32::MAX);
    let packet = udp((address(0), 1000), (address(1), 2000)).build();
    rustix::io::write(&site.hosts[0], &packet.bytes).unwrap();
    site.failure();
    site.failure();
    site.add(2);
    site.workers.wake();
    site.workers.remove(eni(0));
    assert_eq!(Arc::strong_count(&site.tuns[0]), 1);
    site.send(1, 2);
    site.send(2, 1);
}

#[test]
fn a_worker_that_only_fails_ends_when_it_is_to() {
    let mut site = Site::new(2);
    site.add(0);
    site.fail(0, u32::MAX);
    let packet = udp((address(0), 1000), (address(1), 2000)).build();
    rustix::io::write(&site.hosts[0], &packet.bytes).unwrap();
    site.failure();
    let Site { workers, tuns, .. } = site;
    workers.stop();
    assert_eq!(Arc::strong_count(&tuns[0]), 1);
}
