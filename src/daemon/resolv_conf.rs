//! Where the processes of an instance ask for names: `/etc/netns/NAME/resolv.conf`, as EC2's DHCP would have it written.
//!
//! Invariant: each begins with a mark of who wrote it, so that one that outlived its daemon, and its daemon's record, is told from
//! an administrator's. Source: VPC User Guide, "DHCP option sets in Amazon VPC".

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::private_names::{called, is_of};
use super::state_dir::boot_id;
use crate::control::{ControlState, Instance, Vpc};
use crate::io::{Removal, Standing, privileged};

/// How each begins.
const MARK: &str = "# Written by privlink (process ";
/// What stands between the process and the kernel's run that it belongs to.
const OF_BOOT: &str = " of boot ";

/// A namespace's resolv.conf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResolvConf {
    /// The network namespace.
    pub namespace: String,
    /// What it says.
    pub text: String,
}

/// A place where one can be written.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Is `/etc/netns` missing?
    pub no_etc_netns: bool,
    /// Is the namespace's directory in it missing?
    pub no_directory: bool,
}

/// Those of all instances whose VPC has a resolver.
pub fn of(state: &ControlState) -> Vec<ResolvConf> {
    // Without it a later daemon takes it for a leftover of an earlier run, which it will be.
    let boot_id = boot_id().unwrap_or_default();
    let mark = format!(
        "{MARK}{}{OF_BOOT}{boot_id}), which removes it again.\n",
        std::process::id()
    );
    let search = search_domain(state.owner().region());
    let file = |instance: &Instance| {
        let nameserver = nameserver(state.vpc(&instance.vpc_id)?)?;
        Some(ResolvConf {
            namespace: instance.namespace.clone(),
            text: format!("{mark}nameserver {nameserver}\nsearch {search}\n"),
        })
    };
    state.instances().filter_map(file).collect()
}

/// A sentence for each VPC of these stacks whose instances have none.
pub fn notes(state: &ControlState, names: &[&str], several: bool) -> Vec<String> {
    let without = |vpc: &&Vpc| {
        let mut instances = state.instances();
        !vpc.enable_dns_support
            && is_of(state, vpc.vpc_id, names)
            && instances.any(|instance| instance.vpc_id == vpc.vpc_id)
    };
    let note = |vpc: &Vpc| {
        format!(
            "{} has EnableDnsSupport: false: its instances have no resolver, and their namespaces the host's /etc/resolv.conf",
            called(state, vpc.vpc_id, &vpc.client_token, several)
        )
    };
    state.vpcs().filter(without).map(note).collect()
}

/// The place for `file`, after one that nobody needs any more was removed; `None`: somebody else's is there.
pub fn free_place(file: &ResolvConf) -> Result<Option<Place>> {
    let namespace = &file.namespace;
    let mut standing = privileged::look_at_resolv_conf(namespace)?;
    if let Standing::File(text) = &standing
        && is_leftover(text, &boot_id()?)
        && privileged::remove_resolv_conf(namespace, text, true)? == Removal::Removed
    {
        standing = privileged::look_at_resolv_conf(namespace)?;
    }
    Ok(match standing {
        Standing::File(_) | Standing::Other => None,
        Standing::Nothing {
            no_etc_netns,
            no_directory,
        } => Some(Place {
            no_etc_netns,
            no_directory,
        }),
    })
}

impl ResolvConf {
    /// Where it is.
    pub fn path(&self) -> String {
        format!("/etc/netns/{}/resolv.conf", self.namespace)
    }

    /// That another file has its place, in a sentence.
    pub fn is_in_the_way(&self) -> String {
        format!(
            "{} is not privlink's and stays as it is: names are asked for where it says, not of the VPC's resolver",
            self.path()
        )
    }

    /// That it has been replaced since it was written, in a sentence.
    pub fn is_replaced(&self) -> String {
        format!(
            "what has taken the place of {} is not privlink's and stays as it is",
            self.path()
        )
    }
}

/// The resolver's address in a VPC with DNS support: the base of its range plus two.
pub fn nameserver(vpc: &Vpc) -> Option<Ipv4Addr> {
    let base = u32::from(vpc.cidr_block.network());
    vpc.enable_dns_support.then(|| Ipv4Addr::from(base + 2))
}

fn search_domain(region: &str) -> String {
    match region {
        "us-east-1" => "ec2.internal".to_owned(),
        _ => format!("{region}.compute.internal"),
    }
}

/// Did a daemon write it that is no more?
fn is_leftover(text: &str, boot_id: &str) -> bool {
    let mark = text
        .strip_prefix(MARK)
        .and_then(|rest| rest.split_once(')'));
    let Some((pid, boot)) = mark.and_then(|(mark, _)| mark.split_once(OF_BOOT)) else {
        return false;
    };
    // One of our own number is an earlier one's, in a container: ours stand in the record.
    boot != boot_id
        || pid.parse() == Ok(std::process::id())
        || !Path::new("/proc").join(pid).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_domain_is_the_regions_but_for_the_oldest() {
        for (region, domain) in [
            ("us-east-1", "ec2.internal"),
            ("ap-northeast-1", "ap-northeast-1.compute.internal"),
        ] {
            assert_eq!(search_domain(region), domain);
        }
    }

    #[test]
    fn only_a_file_whose_daemon_is_gone_is_a_leftover() {
        let file =
            |pid: u32, boot: &str| format!("{MARK}{pid}{OF_BOOT}{boot}), which\nnameserver 1\n");
        let parent = std::os::unix::process::parent_id();
        for (text, expected) in [
            (file(parent, "now"), false),
            (file(parent, "before"), true),
            (file(std::process::id(), "now"), true),
            // No process has this number: the kernel's largest is 2^22.
            (file(1 << 30, "now"), true),
            ("nameserver 192.0.2.1\n".to_owned(), false),
            (MARK.to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_leftover(&text, "now"), expected, "{text}");
        }
    }
}
