//! Many flows at once.

use std::time::Duration;

use privlink::dataplane::{Instant, Settings};
use privlink::sim::{Topology, World};

use super::Connection;

/// Flows that leave the table in one call, at most.
const MOST: usize = 128;

#[test]
fn flows_that_all_end_at_once_are_taken_back_in_small_pieces_without_delay() {
    const FLOWS: usize = 20_000;
    let settings = Settings {
        max_flows: 2 * FLOWS,
        ..World::settings()
    };
    let mut world = World::with(&Topology::w1(), settings);
    for flow in 0..FLOWS {
        Connection::syn(&mut world, 20_000 + flow as u16);
    }
    let ended = world.now + Duration::from_secs(240);
    // At the beginning of time none has expired: so all that are in the table are seen.
    let left = |world: &World| world.dataplane.flows(Instant::START).len();
    let mut before = left(&world);
    assert_eq!(before, FLOWS);
    world.now = ended;
    while let Some(deadline) = world.dataplane.poll_timeout(&world.workers[0]) {
        world.now = world.now.max(deadline.at);
        let World {
            dataplane,
            workers,
            now,
            ..
        } = &mut world;
        dataplane.resume(&mut workers[0]);
        dataplane.handle_timeout(&mut workers[0], *now);
        dataplane.park(&mut workers[0]);
        let after = left(&world);
        assert!(before - after <= MOST, "{} in one call", before - after);
        before = after;
    }
    assert_eq!(before, 0);
    let took = world.now.since(ended);
    assert!(took <= Duration::from_secs(6), "{took:?}");
}
