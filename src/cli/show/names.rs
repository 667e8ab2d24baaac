//! `show resolver`.

use crate::cli::output::{self, Column};
use crate::daemon::view::Resolver;

pub(super) fn resolvers(rows: &[Resolver], stacks: bool) -> String {
    let Some(first) = rows.first() else {
        return "No resolver: there is no VPC with DNS support.\n".into();
    };
    let columns = vec![
        Column::Left("VPC"),
        Column::Left("ADDRESS"),
        Column::Right("UDP"),
        Column::Right("TCP"),
        Column::Right("ZONES"),
        Column::Right("PRIVATE DNS"),
        Column::Right("ENDPOINTS"),
        Column::Right("INSTANCES"),
        Column::Right("UPSTREAM"),
        Column::Right("NXDOMAIN"),
        Column::Right("NODATA"),
        Column::Right("REFUSED"),
        Column::Right("SERVFAIL"),
        Column::Right("FORMERR"),
        Column::Right("TRUNCATED"),
        Column::Right("LIMITED"),
    ];
    let lines = rows.iter().map(|resolver| (&resolver.stack, row(resolver)));
    let upstream = match &first.upstream[..] {
        [] => "none: names in no zone do not exist (NXDOMAIN)".to_owned(),
        servers => servers.join(", "),
    };
    format!(
        "{}\nUpstream is {upstream}.\n",
        output::stack_table(columns, lines, stacks)
    )
}

fn row(resolver: &Resolver) -> Vec<String> {
    let mut row = vec![resolver.vpc.clone(), resolver.address.clone()];
    let counts = [
        resolver.queries_udp,
        resolver.queries_tcp,
        resolver.from_hosted_zones,
        resolver.from_private_dns,
        resolver.from_endpoints,
        resolver.from_instances,
        resolver.from_upstream,
        resolver.nxdomain,
        resolver.nodata,
        resolver.refused,
        resolver.servfail,
        resolver.formerr,
        resolver.truncated,
        resolver.limited,
    ];
    row.extend(counts.map(|count| count.to_string()));
    row
}
