//! Who may ask for endpoints of a service.

use std::fmt;

use super::VpcEndpointService;
use crate::control::checks::{All, each};
use crate::control::command::ModifyVpcEndpointServicePermissions;
use crate::control::error::{ControlError, ControlErrors};
use crate::control::id::VpcEndpointServiceId;
use crate::control::lifecycle::Event;
use crate::control::{ControlState, parse};

/// Somebody who asks for endpoints, or who may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// `*`: everybody.
    Everybody,
    /// An account, and everybody in it: `arn:aws:iam::<account>:root`.
    Account(String),
    /// A user or role: `arn:aws:iam::<account>:user/<name>`, `.../role/<name>`.
    Identity {
        /// Whose.
        account: String,
        /// `user/<name>` or `role/<name>`.
        name: String,
    },
}

impl Principal {
    /// Reads `*` or an ARN. Paths in names are not allowed, as on AWS.
    pub(super) fn parse(property: &str, given: &str) -> Result<Self, ControlError> {
        Self::read(given).ok_or_else(|| ControlError::Principal {
            property: property.to_owned(),
            given: given.to_owned(),
        })
    }

    fn read(given: &str) -> Option<Self> {
        if given == "*" {
            return Some(Self::Everybody);
        }
        let mut parts = given.splitn(6, ':');
        let is_iam = parts.next()? == "arn"
            && parts.next()?.starts_with("aws")
            && parts.next()? == "iam"
            && parts.next()?.is_empty();
        let (account, name) = (parts.next()?, parts.next()?);
        if !is_iam || account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let account = account.to_owned();
        if name == "root" {
            return Some(Self::Account(account));
        }
        let plain = name
            .strip_prefix("user/")
            .or_else(|| name.strip_prefix("role/"))?;
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
        (!plain.is_empty() && plain.bytes().all(legal)).then(|| Self::Identity {
            account,
            name: name.to_owned(),
        })
    }

    /// The account it belongs to; everybody is of none.
    pub(super) fn account(&self) -> Option<&str> {
        match self {
            Self::Everybody => None,
            Self::Account(account) | Self::Identity { account, .. } => Some(account),
        }
    }

    /// Does a permission for `self` hold for `asking`?
    fn admits(&self, asking: &Self) -> bool {
        match self {
            Self::Everybody => true,
            Self::Account(account) => asking.account() == Some(account),
            Self::Identity { .. } => self == asking,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybody => f.write_str("*"),
            Self::Account(account) => write!(f, "arn:aws:iam::{account}:root"),
            Self::Identity { account, name } => write!(f, "arn:aws:iam::{account}:{name}"),
        }
    }
}

impl VpcEndpointService {
    /// May `asking` ask for endpoints? Its own account always may.
    pub(in crate::control) fn admits(&self, asking: &Principal) -> bool {
        asking.account() == Some(&self.owner_id)
            || self.allowed_principals.iter().any(|p| p.admits(asking))
    }
}

impl ControlState {
    pub(in crate::control) fn modify_vpc_endpoint_service_permissions(
        &mut self,
        command: ModifyVpcEndpointServicePermissions,
    ) -> Result<VpcEndpointServiceId, ControlErrors> {
        let service_id = command.service_id;
        self.own(service_id, "ServiceId")?;
        let service = self
            .vpc_endpoint_services
            .require(service_id, "ServiceId")?;
        let (added, removed) = (
            principals("AllowedPrincipals", &command.add_allowed_principals),
            principals(REMOVE, &command.remove_allowed_principals),
        )
            .all()?;
        each(removed.iter().enumerate().map(|(index, principal)| {
            match service.allowed_principals.contains(principal) {
                true => Ok(()),
                false => Err(ControlError::NotListed {
                    property: parse::item(REMOVE, index),
                    given: principal.to_string(),
                    list: format!(
                        "the allowed principals of VPC endpoint service {}",
                        self.named_vpc_endpoint_service(service_id)
                    ),
                }),
            }
        }))?;
        if let Some(service) = self.vpc_endpoint_services.find_mut(&service_id) {
            let allowed = &mut service.allowed_principals;
            allowed.retain(|principal| !removed.contains(principal));
            for principal in added {
                if !allowed.contains(&principal) {
                    allowed.push(principal);
                }
            }
        }
        for id in self.endpoints_of(service_id) {
            let service = self.vpc_endpoint_service(&service_id);
            let endpoint = self.vpc_endpoint(&id);
            let is_admitted = service
                .zip(endpoint)
                .is_some_and(|(service, endpoint)| service.admits(&endpoint.principal));
            if !is_admitted {
                // One that has been rejected or has expired already stays as it is.
                let _ = self.happen(id, Event::PrincipalRemoved);
            }
        }
        Ok(service_id)
    }
}

const REMOVE: &str = "RemoveAllowedPrincipals";

fn principals(list: &str, given: &[String]) -> Result<Vec<Principal>, ControlErrors> {
    each(
        given
            .iter()
            .enumerate()
            .map(|(index, given)| Principal::parse(&parse::item(list, index), given)),
    )
}
