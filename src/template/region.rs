//! The one region of all stacks: `--region`, else that of the subnets' zones, else the caller's, else AWS's first.

use std::collections::BTreeMap;

use super::Options;
use super::diagnostic::{Position, Report};
use super::document::Document;
use super::evaluate::Scope;
use super::node::{Node, quote};
use super::zones;
use crate::control::Owner;

const DEFAULT_REGION: &str = "us-east-1";

/// A template's first zone that can be told without knowing the region.
#[derive(Debug)]
pub(super) struct Zone {
    region: String,
    name: String,
    at: Position,
    path: String,
}

impl Zone {
    /// The first zone of the template's subnets.
    pub(super) fn first(document: &Document, parameters: &BTreeMap<String, Node>) -> Option<Self> {
        let mut scope = Scope::new("");
        scope.parameters.clone_from(parameters);
        scope.mappings.clone_from(&document.mappings.entries);
        // What cannot be told is no error here; it is evaluated again when everything is known.
        let mut unheard = Report::new("", "");
        let subnets = document.resources.iter();
        let mut subnets = subnets.filter(|r| r.type_name == "AWS::EC2::Subnet");
        subnets.find_map(|resource| {
            let node = resource.properties.child("AvailabilityZone")?;
            let zone = scope.evaluate(node, "", &mut unheard)?;
            let name = zone.as_text()?;
            Some(Self {
                region: zones::region_of(name)?.to_owned(),
                name: name.to_owned(),
                at: node.at,
                path: format!("{}.AvailabilityZone", resource.path()),
            })
        })
    }
}

/// The region, given each template's first zone; zones that are elsewhere become errors, unless `--region` has decided:
/// then the control plane refuses their subnets.
pub(super) fn choose(options: &Options, zones: &[Option<Zone>], reports: &mut [Report]) -> String {
    if let Some(region) = &options.region {
        return region.clone();
    }
    let mut found = zones.iter().zip(reports);
    let Some((Some(first), file)) = found.find(|(zone, _)| zone.is_some()) else {
        let default = options.default_region.clone();
        return default.unwrap_or_else(|| DEFAULT_REGION.to_owned());
    };
    for (zone, report) in found {
        let Some(zone) = zone.as_ref().filter(|zone| zone.region != first.region) else {
            continue;
        };
        let message = format!(
            "{} is not in {}, the region of {} in {}",
            quote(&zone.name),
            first.region,
            quote(&first.name),
            file.file()
        );
        let help = "all stacks share one region";
        report.error_with_help(zone.at, &zone.path, message, help);
    }
    first.region.clone()
}

/// Who owns what is in no stack, in that region; `None` if it is no region, and who has said so is told.
pub(super) fn owner(region: &str, options: &Options, beside: &mut Report) -> Option<Owner> {
    match Owner::new(super::types::DEFAULT_ACCOUNT, region) {
        Ok(owner) => Some(owner),
        Err(error) => {
            let source = match options.region {
                Some(_) => "--region",
                None => "the environment's region (AWS_REGION)",
            };
            beside.error_beside(source, error.to_string());
            None
        }
    }
}
