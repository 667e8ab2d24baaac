//! How a target group probes its targets.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::TargetGroup;
use crate::control::checks::{All, each};
use crate::control::command::HealthCheckProperties;
use crate::control::error::{ControlError, ControlErrors};
use crate::control::parse;
use crate::dataplane::config::{HealthCheck, HealthCheckProtocol};

impl TargetGroup {
    /// Its health check, for people: `TCP traffic-port` or `HTTP 8080/health`.
    pub fn describe_health_check(&self) -> String {
        let check = &self.health_check;
        let port = match check.port {
            Some(port) => port.to_string(),
            None => "traffic-port".to_owned(),
        };
        match &check.protocol {
            HealthCheckProtocol::Tcp => format!("TCP {port}"),
            HealthCheckProtocol::Http { path, .. } => format!("HTTP {port}{path}"),
        }
    }
}

const INTERVAL: &str = "HealthCheckIntervalSeconds";
const TIMEOUT: &str = "HealthCheckTimeoutSeconds";

/// What the properties say.
pub(super) fn read(given: &HealthCheckProperties) -> Result<HealthCheck, ControlErrors> {
    let threshold = |property: &str, given: Option<i64>, default: i64| {
        parse::number(property, given.unwrap_or(default), (2, 10), "2 to 10")
    };
    let ((), protocol, port, (interval, timeout), healthy, unhealthy) = (
        check_enabled(given.enabled),
        protocol(given),
        port(given.port.as_deref()),
        times(given),
        threshold("HealthyThresholdCount", given.healthy_threshold_count, 5),
        threshold(
            "UnhealthyThresholdCount",
            given.unhealthy_threshold_count,
            2,
        ),
    )
        .all()?;
    Ok(HealthCheck {
        protocol,
        port,
        interval: Duration::from_secs(interval),
        timeout: Duration::from_secs(timeout),
        healthy_threshold: healthy,
        unhealthy_threshold: unhealthy,
    })
}

fn check_enabled(given: Option<bool>) -> Result<(), ControlError> {
    match given {
        None | Some(true) => Ok(()),
        Some(false) => Err(ControlError::Malformed {
            property: "HealthCheckEnabled".to_owned(),
            given: "false".to_owned(),
            wanted: "possible for target types instance and ip, whose health checks are always on",
            example: "true",
        }),
    }
}

fn protocol(given: &HealthCheckProperties) -> Result<HealthCheckProtocol, ControlErrors> {
    let property = "HealthCheckProtocol".to_owned();
    match given.protocol.as_deref() {
        None | Some("TCP") => {
            let of_http = |property: &str, given: &Option<String>| match given {
                None => Ok(()),
                Some(_) => Err(ControlError::Combination {
                    property: property.to_owned(),
                    what: format!("{property} of a TCP health check"),
                    wanted: "take it out, or give HealthCheckProtocol: HTTP",
                }),
            };
            (
                of_http("HealthCheckPath", &given.path),
                of_http("Matcher", &given.matcher),
            )
                .all()?;
            Ok(HealthCheckProtocol::Tcp)
        }
        Some("HTTP") => {
            let (path, matcher) = (path(given.path.as_deref()), matcher(given)).all()?;
            Ok(HealthCheckProtocol::Http { path, matcher })
        }
        Some("HTTPS") => Err(ControlError::NotYet {
            property,
            what: "an HTTPS health check".to_owned(),
            wanted: "TCP or HTTP",
        }
        .into()),
        Some(other) => Err(ControlError::Malformed {
            property,
            given: other.to_owned(),
            wanted: "a protocol of health checks",
            example: "TCP or HTTP",
        }
        .into()),
    }
}

fn path(given: Option<&str>) -> Result<String, ControlError> {
    let path = given.unwrap_or("/");
    let valid = path.starts_with('/')
        && path.len() <= 1024
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    match valid {
        true => Ok(path.to_owned()),
        false => Err(ControlError::Malformed {
            property: "HealthCheckPath".to_owned(),
            given: path.to_owned(),
            wanted: "a path of at most 1024 characters without spaces",
            example: "/health",
        }),
    }
}

/// `200`, `200,202`, `200-399`.
fn matcher(given: &HealthCheckProperties) -> Result<Vec<RangeInclusive<u16>>, ControlErrors> {
    let given = given.matcher.as_deref().unwrap_or("200-399");
    let code = |text: &str| match text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit()) {
        true => text.parse().ok().filter(|code| (200..=599).contains(code)),
        false => None,
    };
    each(given.split(',').map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (code(first), code(last)) {
            (Some(first), Some(last)) if first <= last => Ok(first..=last),
            _ => Err(ControlError::Malformed {
                property: "Matcher.HttpCode".to_owned(),
                given: given.to_owned(),
                wanted: "codes from 200 to 599, in ranges or one by one",
                example: "200-399 or 200,202",
            }),
        }
    }))
}

fn port(given: Option<&str>) -> Result<Option<u16>, ControlError> {
    match given {
        None | Some("traffic-port") => Ok(None),
        Some(given) => match given.parse() {
            Ok(port) if port > 0 => Ok(Some(port)),
            _ => Err(ControlError::Malformed {
                property: "HealthCheckPort".to_owned(),
                given: given.to_owned(),
                wanted: "a port from 1 to 65535, or traffic-port",
                example: "traffic-port",
            }),
        },
    }
}

/// Interval and timeout, in seconds. A timeout that is not given is no longer than the interval.
fn times(given: &HealthCheckProperties) -> Result<(u64, u64), ControlErrors> {
    let interval = given.interval_seconds.unwrap_or(30);
    let default = match given.protocol.as_deref() {
        Some("HTTP") => 6,
        _ => 10,
    };
    let timeout = given
        .timeout_seconds
        .unwrap_or_else(|| default.min(interval.max(2)));
    let (interval, timeout) = (
        parse::number(INTERVAL, interval, (5, 300), "5 to 300 seconds"),
        parse::number(TIMEOUT, timeout, (2, 120), "2 to 120 seconds"),
    )
        .all()?;
    match timeout <= interval {
        true => Ok((interval, timeout)),
        false => Err(ControlError::OutOfRange {
            property: TIMEOUT.to_owned(),
            given: timeout.to_string(),
            wanted: "no longer than the interval",
        }
        .into()),
    }
}
