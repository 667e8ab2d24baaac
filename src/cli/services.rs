//! `privlink services`: what providers offer.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{Global, client, examples, output, show};
use crate::daemon::StateDir;
use crate::daemon::view::{StartPrivateDnsVerification, VpcEndpointService};

/// List endpoint services, and prove whose their private DNS names are
#[derive(Args)]
#[command(after_help = examples!(
    "sudo privlink services list" => "who offers what, to whom, and how many endpoints lead there",
    "sudo privlink services verify provider:Service" => "the TXT record of its private DNS name is published",
))]
pub(super) struct Services {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Every endpoint service, and how many endpoints lead to it
    #[command(after_help = examples!(
        "sudo privlink services list" => "for people",
        "sudo privlink services list --output json | jq -r '.[].ServiceName'" => "the names that endpoints use",
    ))]
    List,
    /// Have the TXT record of a service's private DNS name looked for, as its provider
    #[command(after_help = examples!(
        "sudo privlink services list --output json | jq '.[].PrivateDnsNameConfiguration'" => "the record that is to be published first",
        "sudo privlink services verify provider:Service" => "then this: the state becomes verified, or failed",
        "sudo privlink events --follow | jq 'select(.Event == \"PrivateDnsName\")'" => "when it does",
    ))]
    Verify {
        /// `vpce-svc-...`, the service's name, logical id, or STACK:LOGICAL-ID
        service: String,
    },
}

impl Services {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let dir = StateDir::new(&global.state_dir)?;
        let path = "/v1/vpc-endpoint-services";
        match self.what {
            What::List => {
                let text = show::render(&dir, path, global.output, show::services)?;
                output::write_stdout(&text)?;
            }
            What::Verify { service } => {
                let path = format!("{path}/start-private-dns-verification");
                let body = StartPrivateDnsVerification {
                    service_id: service,
                };
                let service: VpcEndpointService = client::send(&dir, &path, &body)?;
                let text = show::rendered(&dir, &[service], global.output, show::private_names)?;
                output::write_done(&text);
                output::print_note(
                    "the record is being looked up; `privlink services list` shows the outcome",
                );
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
