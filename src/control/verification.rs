//! Does the provider of a service own the domain of its private DNS name? Every state of the proof and what can happen in it.
//!
//! Invariant: pure, as [`lifecycle`](super::lifecycle). Source: EC2 API, `StartVpcEndpointServicePrivateDnsVerification` and
//! `PrivateDnsNameConfiguration`; AWS PrivateLink guide, "Manage DNS names for VPC endpoint services".

use std::fmt;

/// The states of a private DNS name (EC2's `DnsNameState`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsNameState {
    /// The record has not been found yet.
    PendingVerification,
    /// The record was found: endpoints answer to the name.
    Verified,
    /// The record was not there when the provider said that it was.
    Failed,
}

/// What can happen to a private DNS name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsNameEvent {
    /// The provider says that the record is there (`StartVpcEndpointServicePrivateDnsVerification`).
    Start,
    /// The record has been found.
    Found,
    /// There is no such record, or it says something else.
    Missing,
}

impl DnsNameState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::PendingVerification, Self::Verified, Self::Failed];

    /// The state after `event`; `None`: it does not happen, as the record is looked for in pendingVerification only.
    pub const fn after(self, event: DnsNameEvent) -> Option<Self> {
        use DnsNameState::*;
        match (self, event) {
            (PendingVerification | Failed, DnsNameEvent::Start) => Some(PendingVerification),
            (PendingVerification, DnsNameEvent::Found) => Some(Verified),
            (PendingVerification, DnsNameEvent::Missing) => Some(Failed),
            // What is proved stays so.
            (Verified, DnsNameEvent::Start) => Some(Verified),
            (Verified | Failed, DnsNameEvent::Found | DnsNameEvent::Missing) => None,
        }
    }

    /// AWS's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PendingVerification => "pendingVerification",
            Self::Verified => "verified",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for DnsNameState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [DnsNameEvent; 3] = [
        DnsNameEvent::Start,
        DnsNameEvent::Found,
        DnsNameEvent::Missing,
    ];

    /// A line per state, a column per event; `-` where it does not happen.
    const TABLE: &str = "
                     Start                Found     Missing
pendingVerification  pendingVerification  verified  failed
verified             verified             -         -
failed               pendingVerification  -         -
";

    #[test]
    fn every_state_of_a_private_name_answers_every_event() {
        let answers = DnsNameState::ALL.map(|state| {
            let next = EVENTS.map(|event| state.after(event).map_or("-", DnsNameState::name));
            [&[state.name()], next.as_slice()].concat()
        });
        let rows = TABLE.trim_matches('\n').lines().skip(1);
        let rows: Vec<Vec<_>> = rows.map(|row| row.split_whitespace().collect()).collect();
        assert_eq!(answers.as_slice(), rows);
    }
}
