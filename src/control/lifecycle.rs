//! What becomes of a VPC endpoint and of an endpoint service: every state, all that can happen in it, and what follows.
//!
//! Invariant: pure. [`State::after`] and [`ServiceState::after`] answer for each state and event, with the next state or a
//! refusal; who may bring an event about is the commands' business. Source: AWS PrivateLink guide, "Interface endpoint
//! states" and "Accept or reject connection requests"; EC2 API, `DeleteVpcEndpointServiceConfigurations`.

use std::fmt;

/// The states of an endpoint (EC2's `State`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// The provider has yet to accept or reject; the consumer may delete.
    PendingAcceptance,
    /// It was accepted, and is being made or changed.
    Pending,
    /// Traffic passes; the provider may still reject.
    Available,
    /// The provider said no; it may still accept.
    Rejected,
    /// Nobody accepted in time; the consumer may delete.
    Expired,
    /// None of its zones leads anywhere; the consumer may delete.
    Failed,
    /// Traffic passes in some of its zones, the others lead nowhere.
    Partial,
    /// It is being deleted.
    Deleting,
    /// It is gone.
    Deleted,
}

/// What can happen to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The provider accepts the connection (`AcceptVpcEndpointConnections`).
    Accept,
    /// The provider rejects it (`RejectVpcEndpointConnections`).
    Reject,
    /// The provider took away the permission on which the consumer asked.
    PrincipalRemoved,
    /// The provider's time to accept is over.
    Expire,
    /// The consumer changes the endpoint (`ModifyVpcEndpoint`), or the provider what stands behind it.
    Modify,
    /// What was being made or changed has been, and leads to the provider from so many of the endpoint's zones.
    Provisioned(Zones),
    /// The consumer deletes it (`DeleteVpcEndpoints`).
    Delete,
    /// Its interfaces are gone.
    Removed,
}

/// From how many of an endpoint's zones there is a way to the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zones {
    /// From each.
    All,
    /// From some.
    Some,
    /// From none.
    None,
}

/// Why an event cannot happen: the state in which the thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// AWS's word for the state.
    pub state: &'static str,
    /// What can be done instead.
    pub instead: &'static str,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::PendingAcceptance,
        Self::Pending,
        Self::Available,
        Self::Rejected,
        Self::Expired,
        Self::Failed,
        Self::Partial,
        Self::Deleting,
        Self::Deleted,
    ];

    /// The state of an endpoint that has just been asked for.
    pub const fn requested(acceptance_required: bool) -> Self {
        match acceptance_required {
            true => Self::PendingAcceptance,
            false => Self::Pending,
        }
    }

    /// The state after `event`.
    ///
    /// # Errors
    /// The event cannot happen in this state.
    pub const fn after(self, event: Event) -> Result<Self, Refused> {
        use State::*;
        let next = match (self, event) {
            (PendingAcceptance | Rejected, Event::Accept) => Pending,
            (PendingAcceptance | Pending | Available | Partial, Event::Reject) => Rejected,
            (PendingAcceptance | Pending | Available | Partial, Event::PrincipalRemoved) => {
                Rejected
            }
            (PendingAcceptance, Event::Expire) => Expired,
            // What nobody has accepted yet is asked for as it is now.
            (PendingAcceptance, Event::Modify) => PendingAcceptance,
            (Pending | Available | Failed | Partial, Event::Modify) => Pending,
            (Pending, Event::Provisioned(Zones::All)) => Available,
            (Pending, Event::Provisioned(Zones::Some)) => Partial,
            (Pending, Event::Provisioned(Zones::None)) => Failed,
            (
                PendingAcceptance | Pending | Available | Rejected | Expired | Failed | Partial,
                Event::Delete,
            ) => Deleting,
            (Deleting, Event::Removed) => Deleted,
            _ => return Err(self.refused()),
        };
        Ok(next)
    }

    const fn refused(self) -> Refused {
        let instead = match self {
            Self::PendingAcceptance => {
                "the provider can accept or reject it, the consumer change or delete it"
            }
            Self::Pending | Self::Available | Self::Partial => {
                "the provider can reject it, the consumer change or delete it"
            }
            Self::Rejected => "the provider can accept it, the consumer delete it",
            Self::Failed => "the consumer can change or delete it",
            Self::Expired => "the consumer can delete it and ask again",
            Self::Deleting | Self::Deleted => "the consumer can make another one",
        };
        Refused {
            state: self.name(),
            instead,
        }
    }

    /// Does traffic pass (in the zones that lead somewhere)?
    pub const fn passes(self) -> bool {
        matches!(self, Self::Available | Self::Partial)
    }

    /// Does it keep its service from being deleted?
    pub const fn is_live(self) -> bool {
        matches!(
            self,
            Self::PendingAcceptance | Self::Pending | Self::Available | Self::Partial
        )
    }

    /// AWS's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PendingAcceptance => "pendingAcceptance",
            Self::Pending => "pending",
            Self::Available => "available",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Partial => "partial",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The states of an endpoint service (EC2's `ServiceState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum ServiceState {
    /// It is being made or changed.
    Pending,
    /// Endpoints can be asked for.
    Available,
    /// None of its load balancers has a node.
    Failed,
    /// It is being deleted.
    Deleting,
    /// It is gone.
    Deleted,
}

/// What can happen to an endpoint service. All of it is its provider's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceEvent {
    /// Its configuration is changed (`ModifyVpcEndpointServiceConfiguration`).
    Modify,
    /// What was being made or changed has been; has it a node?
    Provisioned {
        /// Has it?
        has_nodes: bool,
    },
    /// It is deleted (`DeleteVpcEndpointServiceConfigurations`).
    Delete {
        /// Is any endpoint [live](State::is_live)?
        has_live_endpoints: bool,
    },
    /// Nothing is left of it.
    Removed,
}

impl ServiceState {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Available,
        Self::Failed,
        Self::Deleting,
        Self::Deleted,
    ];

    /// The state after `event`.
    ///
    /// # Errors
    /// The event cannot happen in this state.
    pub const fn after(self, event: ServiceEvent) -> Result<Self, Refused> {
        use ServiceState::*;
        let next = match (self, event) {
            (Pending | Available | Failed, ServiceEvent::Modify) => Pending,
            (Pending, ServiceEvent::Provisioned { has_nodes: true }) => Available,
            (Pending, ServiceEvent::Provisioned { has_nodes: false }) => Failed,
            (
                Pending | Available | Failed,
                ServiceEvent::Delete {
                    has_live_endpoints: false,
                },
            ) => Deleting,
            (Deleting, ServiceEvent::Removed) => Deleted,
            _ => return Err(self.refused()),
        };
        Ok(next)
    }

    const fn refused(self) -> Refused {
        Refused {
            state: self.name(),
            instead: match self {
                Self::Pending | Self::Available | Self::Failed => {
                    "reject its endpoints, or let their consumers delete them, and then delete it"
                }
                Self::Deleting | Self::Deleted => "make another one",
            },
        }
    }

    /// AWS's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Available => "Available",
            Self::Failed => "Failed",
            Self::Deleting => "Deleting",
            Self::Deleted => "Deleted",
        }
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line per state, a column per event; `-` where the event is refused.
    const ENDPOINT: &str = "
                  Accept   Reject    PrincipalRemoved Expire   Modify             All        Some     None    Delete    Removed
pendingAcceptance pending  rejected  rejected         expired  pendingAcceptance  -          -        -       deleting  -
pending           -        rejected  rejected         -        pending            available  partial  failed  deleting  -
available         -        rejected  rejected         -        pending            -          -        -       deleting  -
rejected          pending  -         -                -        -                  -          -        -       deleting  -
expired           -        -         -                -        -                  -          -        -       deleting  -
failed            -        -         -                -        pending            -          -        -       deleting  -
partial           -        rejected  rejected         -        pending            -          -        -       deleting  -
deleting          -        -         -                -        -                  -          -        -       -         deleted
deleted           -        -         -                -        -                  -          -        -       -         -
";

    const EVENTS: [Event; 10] = [
        Event::Accept,
        Event::Reject,
        Event::PrincipalRemoved,
        Event::Expire,
        Event::Modify,
        Event::Provisioned(Zones::All),
        Event::Provisioned(Zones::Some),
        Event::Provisioned(Zones::None),
        Event::Delete,
        Event::Removed,
    ];

    /// A line per state; the last column: with endpoints that live.
    const SERVICE: &str = "
           Modify   nodes      none    Removed  Delete    live
Pending    Pending  Available  Failed  -        Deleting  -
Available  Pending  -          -       -        Deleting  -
Failed     Pending  -          -       -        Deleting  -
Deleting   -        -          -       Deleted  -         -
Deleted    -        -          -       -        -         -
";

    const SERVICE_EVENTS: [ServiceEvent; 6] = [
        ServiceEvent::Modify,
        ServiceEvent::Provisioned { has_nodes: true },
        ServiceEvent::Provisioned { has_nodes: false },
        ServiceEvent::Removed,
        ServiceEvent::Delete {
            has_live_endpoints: false,
        },
        ServiceEvent::Delete {
            has_live_endpoints: true,
        },
    ];

    /// The table without its head, as words.
    fn rows(table: &str) -> Vec<Vec<&str>> {
        let lines = table.trim_matches('\n').lines().skip(1);
        lines
            .map(|line| line.split_whitespace().collect())
            .collect()
    }

    #[test]
    fn every_state_of_an_endpoint_answers_every_event() {
        let answers = State::ALL.map(|state| {
            let next = EVENTS.map(|event| state.after(event).map_or("-", State::name));
            [&[state.name()], next.as_slice()].concat()
        });
        assert_eq!(answers.as_slice(), rows(ENDPOINT));
    }

    #[test]
    fn every_state_of_a_service_answers_every_event() {
        let answers = ServiceState::ALL.map(|state| {
            let next =
                SERVICE_EVENTS.map(|event| state.after(event).map_or("-", ServiceState::name));
            [&[state.name()], next.as_slice()].concat()
        });
        assert_eq!(answers.as_slice(), rows(SERVICE));
    }

    #[test]
    fn traffic_passes_only_after_acceptance_and_only_until_it_is_taken_back() {
        let passing: Vec<_> = State::ALL.into_iter().filter(|s| s.passes()).collect();
        assert_eq!(passing, [State::Available, State::Partial]);
        for state in State::ALL {
            for event in EVENTS {
                let begins = state
                    .after(event)
                    .is_ok_and(|next| !state.passes() && next.passes());
                assert!(
                    !begins || state == State::Pending,
                    "{event:?} opens {state}"
                );
            }
        }
        assert_eq!(State::requested(true), State::PendingAcceptance);
        assert_eq!(State::requested(false), State::Pending);
    }
}
