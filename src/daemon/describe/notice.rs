//! What happens underneath, and in the data plane: remembered, logged, and told to the operator where there is something to do.

use crate::daemon::describe::Fabric;
use crate::daemon::events;
use crate::daemon::tell::tell;
use crate::daemon::view;
use crate::dataplane::config::ResourceIdx;
use crate::dataplane::{Event, ResourceNameOutcome, TargetHealthView};
use crate::io::IoEvent;

impl Fabric {
    /// Remembers what became of interfaces, and tells the operator.
    pub fn notice(&self, event: &IoEvent) {
        match event {
            IoEvent::LinkGone {
                eni,
                namespace,
                error,
            } => {
                let owner = self.label(*eni);
                tracing::debug!(owner, namespace, %error, "link gone");
                tell(format_args!(
                    "warning: {owner}'s link in namespace {namespace} is gone; packets to it are dropped"
                ));
                self.trouble.lock().insert(*eni, "link deleted".into());
            }
            IoEvent::NamespaceGone { namespace, enis } => {
                let owners: Vec<_> = enis.iter().map(|eni| self.label(*eni)).collect();
                tell(format_args!(
                    "warning: namespace {namespace} of {} is gone; packets to it are dropped",
                    owners.join(", ")
                ));
                let mut trouble = self.trouble.lock();
                trouble.extend(enis.iter().map(|eni| (*eni, "namespace deleted".into())));
            }
            IoEvent::SplitFallback { kind } => tell(format_args!(
                "warning: this kernel refuses {kind:?} super-packets; they are cut in software now, which is slower"
            )),
            IoEvent::Core(Event::TargetHealth(view)) => self.note_health(view),
            IoEvent::Core(Event::ResourceName { resource, outcome }) => {
                self.note_name(*resource, outcome);
            }
            IoEvent::Core(Event::PortsRunShort(usage)) => {
                let view::PortsRunShort {
                    address,
                    target,
                    port,
                    protocol,
                    used,
                    ports,
                    ..
                } = self.ports_run_short(usage);
                let owner = self.label(usage.gateway);
                tell(format_args!(
                    "warning: {used} of {ports} ports of {owner}'s address {address} are in use towards {target} ({protocol}, port {port}); add addresses or targets"
                ));
            }
            // The daemon's part in names has them.
            IoEvent::Core(Event::Ask { .. } | Event::Query(_)) => {}
            IoEvent::ThreadFailed { thread, reason } => tell(format_args!(
                "warning: thread {thread} has failed and begins anew: {reason}"
            )),
        }
    }

    fn note_health(&self, view: &TargetHealthView) {
        let group = self.state.target_groups();
        let group = group
            .into_iter()
            .find(|group| group.idx == view.target_group);
        tracing::info!(
            target_group = group.map(|group| group.client_token.as_str()),
            target = %view.address,
            port = view.port,
            node = view.node.map(|(node, _)| self.label(node)),
            state = view.health.state(),
            reason = view.health.reason(),
            description = view.health.description(),
            "target health"
        );
    }

    fn note_name(&self, resource: ResourceIdx, outcome: &ResourceNameOutcome) {
        let Some(change) = events::resource_name(self, resource, outcome) else {
            return;
        };
        let (resource, name) = (change.logical_id, change.domain_name);
        let addresses = change.addresses.join(" ");
        match change.reason {
            None => tracing::info!(resource, name, addresses, "resource name resolved"),
            // New flows go where it led before, if it ever did.
            Some(reason) => {
                tracing::warn!(resource, name, addresses, reason, "resource name failed");
            }
        }
    }
}
