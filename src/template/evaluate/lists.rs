//! Functions that take something out of a list, a block of addresses or a mapping.

use ipnet::Ipv4Net;

use super::{Evaluation, moved};
use crate::template::diagnostic::Position;
use crate::template::functions::Call;
use crate::template::node::{Node, Value, quote};
use crate::template::schema;

impl Evaluation<'_, '_> {
    pub(super) fn select(
        &mut self,
        index: &Node,
        list: &Node,
        call: &Call,
        at: Position,
    ) -> Option<Value> {
        let text = self.text(index, call)?;
        let list = self.list(list, call)?;
        let Some(i) = schema::integer(&text).and_then(|i| usize::try_from(i).ok()) else {
            return self.fail(
                index.at,
                format!("Fn::Select's index {} is no number", quote(&text)),
            );
        };
        let count = list.len();
        match list.into_iter().nth(i) {
            Some(node) => Some(moved(&node.value, at)),
            None => self.fail(
                at,
                format!("Fn::Select takes element {i} of a list of {count}"),
            ),
        }
    }

    pub(super) fn cidr(
        &mut self,
        block: &Node,
        count: &Node,
        bits: Option<&Node>,
        call: &Call,
        at: Position,
    ) -> Option<Value> {
        let text = self.text(block, call)?;
        let Ok(block) = text.parse::<Ipv4Net>() else {
            return self.fail(
                at,
                format!("Fn::Cidr: {} is not an IPv4 block", quote(&text)),
            );
        };
        let count = self.number(count, 1, 256, call)?;
        let bits = match bits {
            Some(bits) => self.number(bits, 1, 31, call)?,
            // AWS's default makes /24s.
            None => 8,
        };
        let wanted = 32 - bits as u8;
        let subnets = block.trunc().subnets(wanted).into_iter().flatten();
        let list: Vec<_> = subnets
            .take(count)
            .map(|n| Node::text(n.to_string(), at))
            .collect();
        if list.len() < count {
            let message = format!("Fn::Cidr: {block} does not hold {count} blocks of /{wanted}");
            return self.fail(at, message);
        }
        Some(Value::List(list))
    }

    fn number(&mut self, node: &Node, min: usize, max: usize, call: &Call) -> Option<usize> {
        let text = self.text(node, call)?;
        let number = schema::integer(&text).and_then(|n| usize::try_from(n).ok());
        match number.filter(|n| (min..=max).contains(n)) {
            Some(number) => Some(number),
            None => {
                let message = format!("{}: {} is not {min} to {max}", call.name(), quote(&text));
                self.fail(node.at, message)
            }
        }
    }

    pub(super) fn find_in_map(
        &mut self,
        map: &Node,
        first: &Node,
        second: &Node,
        call: &Call,
    ) -> Option<Value> {
        let names = [map, first, second].map(|n| self.text(n, call));
        let [Some(map_name), Some(first_key), Some(second_key)] = names else {
            return None;
        };
        let scope = self.scope;
        let Some(entry) = scope.mappings.iter().find(|e| e.key == map_name) else {
            return self.fail(map.at, format!("there is no mapping {}", quote(&map_name)));
        };
        let Some(inner) = entry.value.child(&first_key) else {
            let message = format!("mapping {map_name} has no key {}", quote(&first_key));
            return self.fail(first.at, message);
        };
        match inner.child(&second_key) {
            Some(found) => Some(moved(&found.value, map.at)),
            None => {
                let message = format!(
                    "{} of mapping {map_name} has no key {}",
                    quote(&first_key),
                    quote(&second_key)
                );
                self.fail(second.at, message)
            }
        }
    }
}
