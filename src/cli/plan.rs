//! Plans, as `apply` and `delete` print them.

use std::io::IsTerminal;

use anyhow::Result;
use serde_json::Value;

use super::OutputFormat;
use super::output::{self, Colour, Column};
use crate::daemon::view::{Change, ChangeAction, Plan, PropertyChange};

/// Prints what was changed or would be.
pub(super) fn print(plan: &Plan, format: OutputFormat) -> Result<()> {
    let text = match format {
        OutputFormat::Json => output::json(plan)?,
        OutputFormat::Table => people(plan, std::io::stdout().is_terminal()),
    };
    match plan.applied {
        true => output::write_done(&text),
        false => output::write_stdout(&text)?,
    }
    Ok(())
}

fn people(plan: &Plan, is_terminal: bool) -> String {
    let notes = plan.notes.iter().map(|note| format!("note: {note}\n"));
    let notes: String = notes.collect();
    if plan.changes.is_empty() {
        return notes + "No changes: what runs is what the templates say.\n";
    }
    let columns = [
        Column::Left("ACTION"),
        Column::Left("TYPE"),
        Column::Left("LOGICAL ID"),
        Column::Left("STACK"),
        Column::Left("CHANGE"),
    ];
    let table = output::table(&columns, plan.changes.iter().flat_map(rows));
    let mut text: String = table
        .lines()
        .map(|line| coloured(line, is_terminal))
        .collect();
    if !notes.is_empty() {
        text.push_str(&format!("\n{notes}"));
    }
    let verdict = match plan.applied {
        true => "Applied",
        false => "Dry run, nothing was changed",
    };
    text.push_str(&format!("\n{verdict}: {}.\n", plan.summary()));
    text
}

/// A row for the resource, with its first change, and one for each of the others.
fn rows(change: &Change) -> Vec<Vec<String>> {
    let mut details: Vec<_> = change
        .properties
        .iter()
        .map(|property| format!("{}: {}", property.name, difference(property)))
        .collect();
    if details.is_empty() {
        details.push(change.physical_resource_id.clone());
    }
    let head = [
        word(change.action).to_owned(),
        change.resource_type.clone(),
        change.logical_resource_id.clone(),
        change.stack_name.clone().unwrap_or_default(),
    ];
    let row = |(place, detail): (usize, String)| {
        let head = head.iter().map(|cell| match place {
            0 => cell.clone(),
            _ => String::new(),
        });
        head.chain([detail]).collect()
    };
    details.into_iter().enumerate().map(row).collect()
}

/// `old -> new`; of a list what goes and what comes: `-old, +new`.
fn difference(property: &PropertyChange) -> String {
    let (before, after) = (&property.before, &property.after);
    if !before.is_array() && !after.is_array() {
        return format!("{} -> {}", value(before), value(after));
    }
    let signed = |sign: char, list: &Value| -> Vec<_> {
        let items = list.as_array().into_iter().flatten();
        items.map(|item| format!("{sign}{}", value(item))).collect()
    };
    [signed('-', before), signed('+', after)]
        .concat()
        .join(", ")
}

/// A value in one line.
fn value(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn word(action: ChangeAction) -> &'static str {
    match action {
        ChangeAction::Add => "Add",
        ChangeAction::Modify => "Modify",
        ChangeAction::Remove => "Remove",
    }
}

/// The line with its first word in the action's colour: within the table it would have a width.
fn coloured(line: &str, is_terminal: bool) -> String {
    let colours = [
        (ChangeAction::Add, Colour::Green),
        (ChangeAction::Modify, Colour::Yellow),
        (ChangeAction::Remove, Colour::Red),
    ];
    let found = colours.iter().find_map(|(action, colour)| {
        let rest = line.strip_prefix(word(*action))?;
        Some(output::paint(word(*action), *colour, is_terminal) + rest)
    });
    found.unwrap_or_else(|| line.to_owned()) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plan_is_a_table_with_a_row_per_change_and_a_sum() {
        let change = |action, logical_id: &str, properties: &[(&str, Value, Value)]| Change {
            action,
            resource_type: "AWS::EC2::Instance".into(),
            stack_name: Some("web".into()),
            logical_resource_id: logical_id.into(),
            physical_resource_id: "i-1".into(),
            properties: properties
                .iter()
                .map(|(name, before, after)| PropertyChange {
                    name: (*name).into(),
                    before: before.clone(),
                    after: after.clone(),
                })
                .collect(),
        };
        let properties = [
            ("PrivateIpAddress", json!("10.0.0.4"), json!("10.0.0.5")),
            ("Groups", json!(["sg-1", "sg-2"]), json!(["sg-3"])),
        ];
        let mut plan = Plan {
            applied: false,
            notes: vec![],
            changes: vec![
                change(ChangeAction::Remove, "Old", &[]),
                change(ChangeAction::Modify, "Other", &properties),
                change(ChangeAction::Add, "New", &[]),
            ],
        };
        assert_eq!(
            people(&plan, false),
            "ACTION  TYPE                LOGICAL ID  STACK  CHANGE\n\
             Remove  AWS::EC2::Instance  Old         web    i-1\n\
             Modify  AWS::EC2::Instance  Other       web    PrivateIpAddress: 10.0.0.4 -> 10.0.0.5\n\
             \x20                                              Groups: -sg-1, -sg-2, +sg-3\n\
             Add     AWS::EC2::Instance  New         web    i-1\n\n\
             Dry run, nothing was changed: 1 to add, 1 to modify, 1 to remove.\n"
        );
        plan.applied = true;
        plan.notes.push("of interest".into());
        assert!(
            people(&plan, false).ends_with(
                "i-1\n\nnote: of interest\n\nApplied: 1 added, 1 modified, 1 removed.\n"
            )
        );
        plan.changes.clear();
        plan.notes.clear();
        assert!(people(&plan, false).starts_with("No changes"));
    }
}
