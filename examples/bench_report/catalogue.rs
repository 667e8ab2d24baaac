//! The tests, and what is wanted of each. The only place where a goal or a floor stands.

/// Whose rounds privlink's are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    Kernel,
    Haproxy,
    Pump,
    /// privlink's own run of `tcp-1-flow-offload-off`.
    OffloadOff,
}

impl Reference {
    pub const SHOWN: [Self; 3] = [Self::Pump, Self::Haproxy, Self::Kernel];

    pub fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Haproxy => "haproxy",
            Self::Pump => "pump",
            Self::OffloadOff => "its run without offload",
        }
    }
}

/// A ratio that privlink is to reach: at least where more is better, at most where less is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    pub of: Reference,
    pub ratio: f64,
    /// `None`: at every MTU.
    pub mtu: Option<u16>,
}

const fn of(of: Reference, ratio: f64) -> Bound {
    let mtu = None;
    Bound { of, ratio, mtu }
}

pub struct Test {
    pub name: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    pub less_is_better: bool,
    /// The test whose references are meant, where it has none of its own.
    pub references: Option<&'static str>,
    pub goals: &'static [Bound],
    /// Below these a run fails.
    pub floors: &'static [Bound],
    /// An absolute goal, in the test's unit.
    pub limit: Option<f64>,
}

const MORE: Test = Test {
    name: "",
    title: "",
    unit: "",
    less_is_better: false,
    references: None,
    goals: &[],
    floors: &[],
    limit: None,
};
const LESS: Test = Test {
    less_is_better: true,
    ..MORE
};

use Reference::{Haproxy, Kernel, OffloadOff, Pump};

const BULK_FLOORS: &[Bound] = &[of(Pump, 1.05), of(Haproxy, 1.2)];

pub const TESTS: &[Test] = &[
    Test {
        name: "tcp-1-flow",
        title: "TCP, 1 flow",
        unit: "Gbit/s",
        goals: &[of(Pump, 1.2), of(Haproxy, 1.35), of(Kernel, 1.0)],
        floors: &[
            of(Pump, 1.05),
            of(Haproxy, 1.2),
            Bound {
                of: OffloadOff,
                ratio: 3.0,
                mtu: Some(1500),
            },
        ],
        ..MORE
    },
    Test {
        name: "tcp-1-flow-reverse",
        title: "TCP, 1 flow, towards the consumer",
        unit: "Gbit/s",
        goals: &[of(Pump, 1.2), of(Haproxy, 1.35), of(Kernel, 1.0)],
        floors: BULK_FLOORS,
        ..MORE
    },
    Test {
        name: "tcp-4-flows",
        title: "TCP, 4 flows",
        unit: "Gbit/s",
        goals: &[of(Pump, 1.1), of(Haproxy, 1.35)],
        floors: BULK_FLOORS,
        ..MORE
    },
    Test {
        name: "tcp-4-flows-reverse",
        title: "TCP, 4 flows, towards the consumer",
        unit: "Gbit/s",
        goals: &[of(Pump, 1.1), of(Haproxy, 1.35)],
        floors: BULK_FLOORS,
        ..MORE
    },
    // Without a floor: one flow of BBR is bound by its pacing, on whatever way (docs/perf.md).
    Test {
        name: "tcp-1-flow-bbr",
        title: "TCP, 1 flow, BBR",
        unit: "Gbit/s",
        goals: &[of(Pump, 1.2), of(Kernel, 1.0)],
        ..MORE
    },
    Test {
        name: "tcp-4-flows-bbr",
        title: "TCP, 4 flows, BBR",
        unit: "Gbit/s",
        goals: &[of(Pump, 1.1)],
        floors: &[of(Pump, 1.05)],
        ..MORE
    },
    Test {
        name: "tcp-1-flow-64-instances",
        title: "TCP, 1 flow, among 62 idle instances",
        unit: "Gbit/s",
        references: Some("tcp-1-flow"),
        goals: &[of(Pump, 1.2)],
        ..MORE
    },
    Test {
        name: "tcp-1-flow-offload-off",
        title: "TCP, 1 flow, every packet by itself",
        unit: "Gbit/s",
        references: Some("tcp-1-flow"),
        ..MORE
    },
    Test {
        name: "tcp-1-flow-busy",
        title: "TCP, 1 flow, beside a busy process",
        unit: "Gbit/s",
        goals: &[of(Pump, 1.0)],
        ..MORE
    },
    Test {
        name: "cpu-at-full-rate",
        title: "CPU time, TCP at full rate",
        unit: "s/GB",
        goals: &[of(Haproxy, 1.0)],
        ..LESS
    },
    Test {
        name: "cpu-at-2-gbit",
        title: "CPU time, TCP at 2 Gbit/s",
        unit: "s/GB",
        goals: &[of(Haproxy, 1.0)],
        ..LESS
    },
    Test {
        name: "http-keep-alive",
        title: "HTTP, keep-alive",
        unit: "requests/s",
        goals: &[of(Haproxy, 1.2)],
        ..MORE
    },
    Test {
        name: "http-close",
        title: "HTTP, a connection for each request",
        unit: "requests/s",
        goals: &[of(Kernel, 1.35), of(Haproxy, 1.35)],
        ..MORE
    },
    Test {
        name: "ping-pong-p50",
        title: "Round trip, median",
        unit: "us",
        goals: &[of(Kernel, 0.5)],
        floors: &[of(Kernel, 1.0)],
        ..LESS
    },
    Test {
        name: "ping-pong-p99",
        title: "Round trip, 99th percentile",
        unit: "us",
        goals: &[of(Kernel, 1.0)],
        ..LESS
    },
    Test {
        name: "ping-pong-busy-p50",
        title: "Round trip beside a busy process, median",
        unit: "us",
        goals: &[of(Kernel, 1.0)],
        ..LESS
    },
    Test {
        name: "ping-pong-busy-p99",
        title: "Round trip beside a busy process, 99th percentile",
        unit: "us",
        ..LESS
    },
    Test {
        name: "udp-64-bytes",
        title: "UDP, 64 bytes, received",
        unit: "packets/s",
        goals: &[of(Kernel, 1.0)],
        ..MORE
    },
    Test {
        name: "start",
        title: "Start to the first connection",
        unit: "ms",
        limit: Some(200.0),
        ..LESS
    },
];

pub fn find(name: &str) -> Option<&'static Test> {
    TESTS.iter().find(|test| test.name == name)
}
