//! Elastic Load Balancing's attributes: settings that are keys and values instead of properties.

use crate::control::checks::each;
use crate::control::command::Attribute;
use crate::control::error::{ControlError, ControlErrors};
use crate::control::parse;

/// The keys that one kind of object knows.
pub(super) struct Attributes {
    /// The property that lists them.
    pub(super) list: &'static str,
    pub(super) used: &'static [&'static str],
    /// They mean nothing for packets here.
    pub(super) ignored: &'static [&'static str],
}

/// A value, and the property in which it stands.
pub(super) struct Given<'a> {
    property: String,
    key: &'a str,
    value: &'a str,
}

impl Attributes {
    /// Are all keys known, and each there once?
    pub(super) fn check(&self, given: &[Attribute]) -> Result<(), ControlErrors> {
        each(given.iter().enumerate().map(|(index, attribute)| {
            let key = attribute.key.as_str();
            let property = parse::item(self.list, index) + ".Key";
            if !self.used.contains(&key) && !self.ignored.contains(&key) {
                let known: Vec<_> = self.used.iter().chain(self.ignored).copied().collect();
                return Err(ControlError::AttributeKey {
                    property,
                    given: key.to_owned(),
                    known: known.join(", "),
                });
            }
            match given.iter().take(index).any(|earlier| earlier.key == key) {
                true => Err(ControlError::Repeated {
                    property,
                    given: format!("attribute {key}"),
                }),
                false => Ok(()),
            }
        }))?;
        Ok(())
    }

    pub(super) fn find<'a>(&self, given: &'a [Attribute], key: &str) -> Option<Given<'a>> {
        let index = given.iter().position(|attribute| attribute.key == key)?;
        let attribute = given.get(index)?;
        Some(Given {
            property: parse::item(self.list, index) + ".Value",
            key: &attribute.key,
            value: &attribute.value,
        })
    }
}

impl Given<'_> {
    /// The refusal of the value.
    pub(super) fn refused(&self, wanted: &'static str, example: &'static str) -> ControlError {
        ControlError::Malformed {
            property: self.property.clone(),
            given: format!("{}={}", self.key, self.value),
            wanted,
            example,
        }
    }
}

pub(super) fn boolean(given: Given) -> Result<bool, ControlError> {
    match given.value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(given.refused("true or false", "true")),
    }
}

/// `true`, `false`, or `other`, which is `None`.
pub(super) fn boolean_or(
    given: Given,
    other: &str,
    wanted: &'static str,
) -> Result<Option<bool>, ControlError> {
    match given.value {
        value if value == other => Ok(None),
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(given.refused(wanted, "true")),
    }
}

/// The only word that is right.
pub(super) fn word(given: Given, right: &'static str) -> Result<(), ControlError> {
    match given.value == right {
        true => Ok(()),
        false => Err(given.refused("the only value there is here", right)),
    }
}

/// A number from the first to the last; `wanted` says so.
pub(super) fn number<T: TryFrom<i64> + PartialOrd>(
    given: Given,
    bounds: (T, T),
    wanted: &'static str,
) -> Result<T, ControlError> {
    match given.value.parse() {
        Ok(number) => parse::number(&given.property, number, bounds, wanted),
        Err(_) => Err(given.refused(wanted, "300")),
    }
}
