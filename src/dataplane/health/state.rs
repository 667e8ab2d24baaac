//! A target's health as one node of a load balancer sees it: pure, by the results of probes.
//!
//! | state | operations |
//! |---|---|
//! | initial | the first success makes it healthy, [`HealthCheck::unhealthy_threshold`] failures in a row unhealthy |
//! | healthy | so many failures in a row make it unhealthy |
//! | unhealthy | [`HealthCheck::healthy_threshold`] successes in a row make it healthy |
//! | unused, draining, unavailable | it is not probed |
//!
//! Names and texts: "TargetHealth" (Elastic Load Balancing API reference).

use super::super::config::HealthCheck;

/// The health of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetHealth {
    /// It has not been probed yet.
    RegistrationInProgress,
    /// It has been, but not often enough to say.
    InitialHealthChecking,
    /// It takes flows.
    Healthy,
    /// Its last probe failed in this way, and enough of them before.
    Unhealthy(Failure),
    /// It is not (any more) registered with the target group.
    NotRegistered,
    /// No listener sends to its group, or its zone is not one of the load balancer's.
    NotInUse,
    /// No instance has its address.
    InvalidState,
    /// Its address is a load balancer's own.
    IpUnusable,
    /// It has been deregistered, and keeps its flows for a while.
    Draining,
    /// Its group is not probed.
    HealthCheckDisabled,
}

/// How a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It had not succeeded when its time was over.
    Timeout,
    /// The connection was refused, or ended early, or what came was not HTTP.
    Failed,
    /// The answer had this status code, which the matcher does not have.
    ResponseCode(u16),
}

impl TargetHealth {
    /// `State`, as AWS names it.
    pub const fn state(self) -> &'static str {
        match self {
            Self::RegistrationInProgress | Self::InitialHealthChecking => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy(_) => "unhealthy",
            Self::NotRegistered | Self::NotInUse | Self::InvalidState | Self::IpUnusable => {
                "unused"
            }
            Self::Draining => "draining",
            Self::HealthCheckDisabled => "unavailable",
        }
    }

    /// `Reason`, as AWS names it; a healthy target needs none.
    pub const fn reason(self) -> Option<&'static str> {
        Some(match self {
            Self::RegistrationInProgress => "Elb.RegistrationInProgress",
            Self::InitialHealthChecking => "Elb.InitialHealthChecking",
            Self::Healthy => return None,
            Self::Unhealthy(Failure::Timeout) => "Target.Timeout",
            Self::Unhealthy(Failure::Failed) => "Target.FailedHealthChecks",
            Self::Unhealthy(Failure::ResponseCode(_)) => "Target.ResponseCodeMismatch",
            Self::NotRegistered => "Target.NotRegistered",
            Self::NotInUse => "Target.NotInUse",
            Self::InvalidState => "Target.InvalidState",
            Self::IpUnusable => "Target.IpUnusable",
            Self::Draining => "Target.DeregistrationInProgress",
            Self::HealthCheckDisabled => "Target.HealthCheckDisabled",
        })
    }

    /// `Description`, in AWS's words; a healthy target needs none.
    pub fn description(self) -> Option<String> {
        let text = match self {
            Self::RegistrationInProgress => "Target registration is in progress",
            Self::InitialHealthChecking => "Initial health checks in progress",
            Self::Healthy => return None,
            Self::Unhealthy(Failure::Timeout) => "Request timed out",
            Self::Unhealthy(Failure::Failed) => "Health checks failed",
            Self::Unhealthy(Failure::ResponseCode(code)) => {
                return Some(format!("Health checks failed with these codes: [{code}]"));
            }
            Self::NotRegistered => "Target is not registered to the target group",
            Self::NotInUse => {
                "Target group is not used by a load balancer in the target's Availability Zone"
            }
            Self::InvalidState => "Target is in the stopped or terminated state",
            Self::IpUnusable => "Target IP address is reserved for use by a load balancer",
            Self::Draining => "Target deregistration is in progress",
            Self::HealthCheckDisabled => "Health checks are disabled for the target group",
        };
        Some(text.to_owned())
    }

    /// May new flows go to it while there are better ones than [fail open](super) has?
    pub(in crate::dataplane) const fn is_in_service(self) -> bool {
        matches!(self, Self::Healthy | Self::HealthCheckDisabled)
    }

    /// Have probes found it unhealthy?
    pub(in crate::dataplane) const fn has_failed(self) -> bool {
        matches!(self, Self::Unhealthy(_))
    }

    /// Is it something that probes decide?
    pub(super) const fn is_probed(self) -> bool {
        matches!(
            self,
            Self::RegistrationInProgress
                | Self::InitialHealthChecking
                | Self::Healthy
                | Self::Unhealthy(_)
        )
    }

    /// Would people be told of this after `before`? Not of every status code that an unhealthy target answers with.
    pub(super) fn is_news_after(self, before: Self) -> bool {
        (self.state(), self.reason()) != (before.state(), before.reason())
    }
}

/// A target's health, and how many results in a row have spoken against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) health: TargetHealth,
    against: u8,
}

impl Tally {
    pub(super) const fn new(health: TargetHealth) -> Self {
        Self { health, against: 0 }
    }

    /// A probe begins.
    pub(super) fn begin(&mut self) {
        if self.health == TargetHealth::RegistrationInProgress {
            self.health = TargetHealth::InitialHealthChecking;
        }
    }

    /// A probe has ended.
    pub(super) fn note(&mut self, result: Result<(), Failure>, check: &HealthCheck) {
        use TargetHealth::{Healthy, Unhealthy};
        let (threshold, next) = match (self.health, result) {
            (Healthy, Ok(())) => return self.against = 0,
            (Unhealthy(_), Err(failure)) => return *self = Self::new(Unhealthy(failure)),
            (Unhealthy(_), Ok(())) => (check.healthy_threshold, Healthy),
            // The first pass brings a new target in service.
            (_, Ok(())) => (1, Healthy),
            (_, Err(failure)) => (check.unhealthy_threshold, Unhealthy(failure)),
        };
        self.against = self.against.saturating_add(1);
        if self.against >= threshold {
            *self = Self::new(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::config::HealthCheckProtocol;
    use super::*;

    /// What each result makes of a new target, with thresholds of 3 to become healthy again and 2 to become unhealthy: `+` passes,
    /// `-` times out, `x` is refused, `5` answers 503. `i`nitial, `H`ealthy, `U`nhealthy.
    const ROWS: &[(&str, &str)] = &[
        ("+", "H"),
        ("-+", "iH"),
        ("--", "iU"),
        ("-x", "iU"),
        ("+-+-+-", "HHHHHH"),
        ("+--", "HHU"),
        ("+-5", "HHU"),
        ("--+", "iUU"),
        ("--+++", "iUUUH"),
        ("--++-+++", "iUUUUUUH"),
        ("--+++-+--", "iUUUHHHHU"),
    ];

    #[test]
    fn every_run_of_results_leads_to_the_state_that_its_row_says() {
        let check = HealthCheck {
            protocol: HealthCheckProtocol::Tcp,
            port: None,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(10),
            healthy_threshold: 3,
            unhealthy_threshold: 2,
        };
        for (results, states) in ROWS {
            let mut tally = Tally::new(TargetHealth::RegistrationInProgress);
            let mut seen = String::new();
            for result in results.chars() {
                tally.begin();
                assert_ne!(tally.health, TargetHealth::RegistrationInProgress);
                let result = match result {
                    '+' => Ok(()),
                    '-' => Err(Failure::Timeout),
                    'x' => Err(Failure::Failed),
                    _ => Err(Failure::ResponseCode(503)),
                };
                tally.note(result, &check);
                seen.push(match tally.health {
                    TargetHealth::Healthy => 'H',
                    TargetHealth::Unhealthy(failure) => {
                        assert!(result == Err(failure) || result.is_ok(), "{results}");
                        'U'
                    }
                    _ => 'i',
                });
            }
            assert_eq!(seen, *states, "after {results}");
        }
    }

    #[test]
    fn what_an_unhealthy_target_shows_is_its_last_failure() {
        let mut tally = Tally::new(TargetHealth::Unhealthy(Failure::Timeout));
        let check = HealthCheck {
            protocol: HealthCheckProtocol::Tcp,
            port: None,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(10),
            healthy_threshold: 2,
            unhealthy_threshold: 2,
        };
        for (result, shown) in [
            (Ok(()), "Request timed out"),
            (Err(Failure::Failed), "Health checks failed"),
            (
                Err(Failure::ResponseCode(500)),
                "Health checks failed with these codes: [500]",
            ),
        ] {
            tally.note(result, &check);
            assert_eq!(tally.health.description().unwrap(), shown);
        }
        let [five, six] =
            [500, 501].map(|code| TargetHealth::Unhealthy(Failure::ResponseCode(code)));
        assert!(!five.is_news_after(six) && five.is_news_after(TargetHealth::Healthy));
    }
}
