//! `privlink show load-balancers` and `target-groups`, and the tables of `privlink services` and `targets`.

use crate::cli::output::{self, Column};
use crate::daemon::view::{LoadBalancer, TargetGroup, TargetHealth, VpcEndpointService};

pub(in crate::cli) fn services(rows: &[VpcEndpointService], stacks: bool) -> String {
    if rows.is_empty() {
        return "No endpoint services.\n".into();
    }
    let columns = vec![
        Column::Left("SERVICE"),
        Column::Left("ID"),
        Column::Left("OWNER"),
        Column::Left("STATE"),
        Column::Left("ACCEPTANCE"),
        Column::Left("LOAD BALANCER"),
        Column::Right("ENDPOINTS"),
        Column::Right("AVAILABLE"),
        Column::Left("PRINCIPALS"),
    ];
    let services = rows.iter().map(|service| {
        let acceptance = match service.acceptance_required {
            true => "required",
            false => "automatic",
        };
        let row = vec![
            service.logical_id.clone(),
            service.service_id.clone(),
            service.owner_id.clone(),
            service.service_state.clone(),
            acceptance.into(),
            service.load_balancers.join(","),
            service.endpoints.to_string(),
            service.available_endpoints.to_string(),
            or_dash(service.allowed_principals.join(",")),
        ];
        (&service.stack, row)
    });
    let services = output::stack_table(columns, services, stacks);
    match private_names(rows, stacks) {
        none if none.is_empty() => services,
        names => format!("{services}\n{names}"),
    }
}

/// A row per private DNS name, with the record that proves whose it is; nothing where there are none.
pub(in crate::cli) fn private_names(rows: &[VpcEndpointService], stacks: bool) -> String {
    let names = rows.iter().filter_map(|service| {
        let record = service.private_dns_name_configuration.as_ref()?;
        let row = vec![
            service.logical_id.clone(),
            service.private_dns_name.clone()?,
            record.state.clone(),
            format!("{} {}", record.record_type, record.name),
            record.value.clone(),
        ];
        Some((&service.stack, row))
    });
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        return String::new();
    }
    let columns = vec![
        Column::Left("SERVICE"),
        Column::Left("PRIVATE DNS NAME"),
        Column::Left("STATE"),
        Column::Left("PROVED BY"),
        Column::Left("VALUE"),
    ];
    output::stack_table(columns, names, stacks)
}

pub(super) fn load_balancers(rows: &[LoadBalancer], stacks: bool) -> String {
    if rows.is_empty() {
        return "No load balancers.\n".into();
    }
    let columns = vec![
        Column::Left("LOAD BALANCER"),
        Column::Left("NAME"),
        Column::Left("VPC"),
        Column::Left("ZONE"),
        Column::Left("SUBNET"),
        Column::Left("NODE"),
        Column::Left("ADDRESS"),
    ];
    let nodes = rows.iter().flat_map(|load_balancer| {
        load_balancer.nodes.iter().map(move |node| {
            let row = vec![
                load_balancer.logical_id.clone(),
                load_balancer.load_balancer_name.clone(),
                load_balancer.vpc.clone(),
                node.availability_zone.clone(),
                node.subnet.clone(),
                node.network_interface_id.clone(),
                output::short_ranges(&node.private_ip_addresses),
            ];
            (&load_balancer.stack, row)
        })
    });
    let mut text = output::stack_table(columns, nodes, stacks);
    let columns = vec![
        Column::Left("LISTENER"),
        Column::Left("LOAD BALANCER"),
        Column::Left("PROTOCOL"),
        Column::Right("PORT"),
        Column::Left("TARGET GROUP"),
        Column::Right("TCP IDLE"),
    ];
    let listeners: Vec<_> = rows
        .iter()
        .flat_map(|load_balancer| {
            load_balancer.listeners.iter().map(move |listener| {
                let row = vec![
                    listener.logical_id.clone(),
                    load_balancer.logical_id.clone(),
                    listener.protocol.clone(),
                    listener.port.to_string(),
                    listener.target_group.clone(),
                    output::duration(listener.tcp_idle_timeout_seconds as f64),
                ];
                (&load_balancer.stack, row)
            })
        })
        .collect();
    if !listeners.is_empty() {
        text.push('\n');
        text.push_str(&output::stack_table(columns, listeners, stacks));
    }
    text
}

pub(super) fn target_groups(rows: &[TargetGroup], stacks: bool) -> String {
    if rows.is_empty() {
        return "No target groups.\n".into();
    }
    let columns = vec![
        Column::Left("TARGET GROUP"),
        Column::Left("NAME"),
        Column::Left("VPC"),
        Column::Left("PROTOCOL"),
        Column::Right("PORT"),
        Column::Left("HEALTH CHECK"),
        Column::Right("TARGETS"),
    ];
    let groups = rows.iter().map(|group| {
        let row = vec![
            group.logical_id.clone(),
            group.target_group_name.clone(),
            group.vpc.clone(),
            group.protocol.clone(),
            group.port.to_string(),
            group.health_check.clone(),
            group.targets.len().to_string(),
        ];
        (&group.stack, row)
    });
    let groups = output::stack_table(columns, groups, stacks);
    match targets(rows, stacks) {
        none if none.is_empty() => groups,
        targets => format!("{groups}\n{targets}"),
    }
}

/// A row per target; nothing where there are none.
pub(in crate::cli) fn targets(rows: &[TargetGroup], stacks: bool) -> String {
    let columns = vec![
        Column::Left("TARGET"),
        Column::Left("TARGET GROUP"),
        Column::Left("ADDRESS"),
        Column::Right("PORT"),
        Column::Left("ZONE"),
        Column::Left("HEALTH"),
    ];
    let targets = rows.iter().flat_map(|group| {
        group.targets.iter().map(move |target| {
            let row = vec![
                target.id.clone(),
                group.logical_id.clone(),
                target.private_ip_address.clone(),
                target.port.to_string(),
                target.availability_zone.clone(),
                health(&target.target_health),
            ];
            (&group.stack, row)
        })
    });
    output::stack_table(columns, targets, stacks)
}

/// What the nodes say of a target: once if they agree, else with the zone of each.
fn health(nodes: &[TargetHealth]) -> String {
    let words = |health: &TargetHealth| match &health.reason {
        Some(reason) => format!("{} ({reason})", health.state),
        None => health.state.clone(),
    };
    let mut all: Vec<_> = nodes.iter().map(words).collect();
    all.dedup();
    match &all[..] {
        [one] => one.clone(),
        _ => {
            let zone = |health: &TargetHealth| health.availability_zone.clone().unwrap_or_default();
            let each = nodes.iter().map(|h| format!("{} {}", zone(h), words(h)));
            or_dash(each.collect::<Vec<_>>().join(", "))
        }
    }
}

fn or_dash(text: String) -> String {
    match text.is_empty() {
        true => "-".into(),
        false => text,
    }
}
