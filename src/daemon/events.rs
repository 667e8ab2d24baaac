//! What happened to endpoints, targets and private DNS names, for whoever wants to know: remembered for a while, and told to those who follow.
//!
//! Invariants: a reader sees events in their order, and is told how many it has missed if it was too slow; nobody waits for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hickory_proto::op::ResponseCode;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::describe::Fabric;
use super::names::status;
use super::view::{
    Connection, Event, Happening, PrivateDnsNameChange, ResourceNameChange, TargetHealthChange,
};
use crate::control::{
    ConnectionEvent, ConnectionEventKind, ControlState, PrivateDnsNameEvent, State,
};
use crate::dataplane::config::ResourceIdx;
use crate::dataplane::{NameFailure, ResourceNameOutcome, TargetHealthView};

/// How many events are remembered.
const REMEMBERED: usize = 1024;

/// The newest events, and how many there ever were.
pub struct Events {
    newest: Mutex<VecDeque<Event>>,
    /// The number of the next one.
    next: watch::Sender<u64>,
    /// Will there be no more?
    ended: watch::Sender<bool>,
}

/// Somebody who reads events, from the oldest that is remembered.
pub struct Reader {
    events: Arc<Events>,
    next: watch::Receiver<u64>,
    ended: watch::Receiver<bool>,
    /// The number of the event that it wants; `None`: it has not read yet.
    wanted: Option<u64>,
}

impl Events {
    /// Nothing has happened yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            newest: Mutex::default(),
            next: watch::Sender::new(1),
            ended: watch::Sender::new(false),
        })
    }

    /// Tells what has happened now.
    pub fn tell(&self, happened: impl IntoIterator<Item = Happening>) {
        let time = timestamp(since_epoch());
        let mut newest = self.newest.lock();
        let mut sequence = *self.next.borrow();
        for what in happened {
            if newest.len() == REMEMBERED {
                forget_one(&mut newest);
            }
            newest.push_back(Event {
                sequence,
                time: time.clone(),
                what,
            });
            sequence += 1;
        }
        self.next.send_replace(sequence);
    }

    /// There are no more: whoever follows need not wait.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }

    /// A reader of all that is remembered, and of what comes.
    pub fn reader(self: &Arc<Self>) -> Reader {
        Reader {
            events: Arc::clone(self),
            next: self.next.subscribe(),
            ended: self.ended.subscribe(),
            wanted: None,
        }
    }
}

impl Reader {
    /// What it has not seen yet; what it has missed comes first, as an event of its own.
    pub fn read(&mut self) -> Vec<Event> {
        let newest = self.events.newest.lock();
        let next = *self.next.borrow_and_update();
        let wanted = self.wanted.replace(next);
        let from = newest.partition_point(|event| Some(event.sequence) < wanted);
        let fresh: Vec<_> = newest.iter().skip(from).cloned().collect();
        // A new reader has missed nothing: it is given what there is.
        let happened = next - wanted.unwrap_or(next);
        let missed = happened.saturating_sub(fresh.len() as u64);
        let notice = (missed > 0).then(|| Event {
            sequence: next - 1,
            time: timestamp(since_epoch()),
            what: Happening::Missed { count: missed },
        });
        notice.into_iter().chain(fresh).collect()
    }

    /// Returns when there may be something to read; `false`: for the last time.
    pub async fn wait(&mut self) -> bool {
        // Neither can fail: the senders live as long as `events`.
        tokio::select! {
            _ = self.next.changed() => true,
            _ = self.ended.wait_for(|ended| *ended) => false,
        }
    }
}

/// The oldest of targets' health, resources' names or threads' failures, of which there may be many, or else the oldest
/// of all: a program that answers requests for endpoints can begin later than those.
fn forget_one(newest: &mut VecDeque<Event>) {
    let is_one_of_many = |event: &Event| {
        matches!(
            event.what,
            Happening::TargetHealth(_) | Happening::ResourceName(_) | Happening::ThreadReplaced(_)
        )
    };
    let oldest = newest.iter().position(is_one_of_many).unwrap_or(0);
    newest.remove(oldest);
}

/// An event of the control plane, with the names of what it is about; those of a deleted endpoint are in the state `before`.
pub fn describe(event: &ConnectionEvent, before: &ControlState, after: &ControlState) -> Happening {
    let id = event.vpc_endpoint_id;
    let known = [after, before]
        .into_iter()
        .find(|s| s.vpc_endpoint(&id).is_some());
    let state = known.unwrap_or(after);
    let endpoint = state.vpc_endpoint(&id);
    let is_now = match (event.state, endpoint) {
        // By the time that it is told what was accepted has been made.
        (State::Pending, Some(endpoint)) => endpoint.state,
        (state, _) => state,
    };
    let owner = state.owner_of(id);
    let service = event
        .service_id
        .and_then(|id| state.vpc_endpoint_service(&id));
    let connection = Connection {
        vpc_endpoint_id: id.to_string(),
        vpc_endpoint_owner: event.vpc_endpoint_owner.clone(),
        vpc_endpoint_state: is_now.name().into(),
        stack: owner.and_then(|o| o.stack()).unwrap_or_default().into(),
        logical_id: endpoint.map(|e| e.client_token.clone()).unwrap_or_default(),
        service_id: event.service_id.map(|id| id.to_string()),
        service_name: service.map(|service| service.service_name.clone()),
    };
    match event.kind {
        ConnectionEventKind::Connect => Happening::Connect(connection),
        ConnectionEventKind::Accept => Happening::Accept(connection),
        ConnectionEventKind::Reject => Happening::Reject(connection),
        ConnectionEventKind::Delete => Happening::Delete(connection),
        ConnectionEventKind::Expire => Happening::Expire(connection),
        ConnectionEventKind::Modify => Happening::Modify(connection),
    }
}

/// What has become of the proof of a private DNS name, with the names of what it is about; `None`: it is gone.
pub fn private_dns_name(event: &PrivateDnsNameEvent, state: &ControlState) -> Option<Happening> {
    let service = state.vpc_endpoint_service(&event.service_id)?;
    let owner = state.owner_of(event.service_id);
    Some(Happening::PrivateDnsName(PrivateDnsNameChange {
        stack: owner.and_then(|o| o.stack()).unwrap_or_default().into(),
        logical_id: service.client_token.clone(),
        service_id: event.service_id.to_string(),
        service_name: service.service_name.clone(),
        private_dns_name: service.private_dns_name.as_ref()?.name.to_string(),
        state: event.state.name().into(),
    }))
}

/// What a node has found of a target, with the names of both; `None`: the target is gone.
pub fn target_health(state: &ControlState, found: &TargetHealthView) -> Option<Happening> {
    let group = state
        .target_groups()
        .find(|group| group.idx == found.target_group)?;
    let target = group
        .targets
        .iter()
        .find(|target| target.idx == found.target)?;
    let owner = state.owner_of(group.id);
    let node = found.node.and_then(|(node, _)| state.eni_by_idx(node));
    Some(Happening::TargetHealth(TargetHealthChange {
        stack: owner.and_then(|o| o.stack()).unwrap_or_default().into(),
        logical_id: group.client_token.clone(),
        target_group_arn: group.target_group_arn.clone(),
        id: target.id.to_string(),
        port: target.port,
        network_interface_id: node.map(|node| node.network_interface_id.to_string()),
        availability_zone: node.map(|node| node.availability_zone.clone()),
        state: found.health.state().into(),
        reason: found.health.reason().map(Into::into),
        description: found.health.description(),
    }))
}

/// What has come of looking up a resource's domain name; `None`: the resource is gone.
pub fn resource_name(
    fabric: &Fabric,
    resource: ResourceIdx,
    outcome: &ResourceNameOutcome,
) -> Option<ResourceNameChange> {
    let names = fabric.dataplane.resource_names();
    let known = names.into_iter().find(|name| name.resource == resource)?;
    let mut configurations = fabric.state.resource_configurations();
    let configuration = configurations.find(|configuration| configuration.idx == resource)?;
    let (stack, _) = fabric.stack_and_account(configuration.id);
    let (addresses, reason) = match outcome {
        ResourceNameOutcome::Resolved(addresses) => (addresses, None),
        ResourceNameOutcome::Failed(failure) => (&known.addresses, Some(why(failure))),
    };
    Some(ResourceNameChange {
        stack,
        logical_id: configuration.client_token.clone(),
        resource_configuration_arn: configuration.arn.clone(),
        domain_name: known.name.to_string(),
        addresses: addresses.iter().map(ToString::to_string).collect(),
        reason,
    })
}

fn why(failure: &NameFailure) -> String {
    match failure {
        NameFailure::Response(ResponseCode::NoError) => "the name has no address".to_owned(),
        NameFailure::Response(code) => status(*code),
        NameFailure::NotAllowed(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let addresses = addresses.join(", ");
            format!("outside of what the resource gateway's VPC may reach: {addresses}")
        }
    }
}

/// The time of day, since the UNIX epoch.
pub fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// `2026-11-22T15:30:00.123Z`. The date as in "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
pub fn timestamp(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (days, of_day) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hours, minutes, seconds) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let millis = since_epoch.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missed(count: u64) -> Happening {
        Happening::Missed { count }
    }

    fn numbers(events: &[Event]) -> Vec<u64> {
        events.iter().map(|event| event.sequence).collect()
    }

    #[test]
    fn a_reader_sees_every_event_once_and_begins_with_the_oldest_that_is_remembered() {
        let events = Events::new();
        events.tell([missed(0)]);
        let mut reader = events.reader();
        events.tell([missed(0), missed(0)]);
        assert_eq!(numbers(&reader.read()), [1, 2, 3]);
        assert!(reader.read().is_empty());
        events.tell([missed(0)]);
        assert_eq!(numbers(&reader.read()), [4]);
    }

    #[test]
    fn a_slow_reader_is_told_how_many_it_has_missed() {
        for already in [0, 1] {
            let events = Events::new();
            events.tell((0..already).map(|_| missed(0)));
            let mut reader = events.reader();
            assert_eq!(reader.read().len() as u64, already);
            events.tell((0..REMEMBERED + 3).map(|_| missed(0)));
            let read = reader.read();
            assert_eq!(read[0].what, missed(3));
            let first = already + 4;
            let rest: Vec<_> = (first..first + REMEMBERED as u64).collect();
            assert_eq!(numbers(&read[1..]), rest);
            // One that comes now is given what there is, and told nothing.
            assert_eq!(numbers(&events.reader().read()), rest);
        }
    }

    #[test]
    fn the_health_of_many_targets_does_not_drive_out_requests() {
        let health = || {
            Happening::TargetHealth(TargetHealthChange {
                stack: "provider".into(),
                logical_id: "Group".into(),
                target_group_arn: "arn".into(),
                id: "i-1".into(),
                port: 80,
                network_interface_id: None,
                availability_zone: None,
                state: "healthy".into(),
                reason: None,
                description: None,
            })
        };
        let events = Events::new();
        events.tell([missed(0)]);
        events.tell((0..2 * REMEMBERED).map(|_| health()));
        let mut reader = events.reader();
        let read = reader.read();
        assert_eq!(
            (read.len(), read[0].sequence, read[1].sequence),
            (REMEMBERED, 1, 1027)
        );
        // A reader that goes on afterwards is told what of it is forgotten.
        events.tell((0..REMEMBERED).map(|_| health()));
        let read = reader.read();
        assert_eq!(read[0].what, missed(1));
        assert_eq!(read.len(), REMEMBERED);
    }

    #[test]
    fn a_reader_that_waits_wakes_when_something_happens() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let events = Events::new();
            let mut reader = events.reader();
            let teller = Arc::clone(&events);
            let waiting = tokio::spawn(async move {
                reader.wait().await;
                numbers(&reader.read())
            });
            tokio::task::yield_now().await;
            teller.tell([missed(0)]);
            assert_eq!(waiting.await.unwrap(), [1]);
        });
    }

    #[test]
    fn whoever_waits_is_told_the_last_events_and_that_there_are_no_more() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let events = Events::new();
            let mut reader = events.reader();
            events.end();
            assert!(!reader.wait().await);
            events.tell([missed(0)]);
            assert_eq!(numbers(&reader.read()), [1]);
        });
    }

    #[test]
    fn a_timestamp_is_utc() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_795_361_405_007, "2026-11-22T15:30:05.007Z"),
        ] {
            assert_eq!(timestamp(Duration::from_millis(millis)), expected);
        }
    }
}
