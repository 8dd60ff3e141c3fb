//! Names of ports in rules that match none of the node's ports.
use super::build::nearest_name;
use super::state::State;
use netfast_nft::ast::{Interval, Lookup, MapSource, Match, Rhs, Rule, SetElement, Span, Statement, Table};
use netfast_nft::field::{DataType, Field};
use std::collections::BTreeSet;

/// Findings of this kind that are told of one set of rules.
const MOST: usize = 100;

/// The names of ports in one place of the rules.
type Names = BTreeSet<String>;

impl State {
    /// Names of ports in rules and sets that no port has, each with its place in all rules.
    pub fn unknown_names(&self) -> Vec<(Span, String)> {
        let ports: Vec<&str> = self.node.port_configs().map(|(_, port)| port.name.as_str()).collect();
        let mut found = Vec::new();
        // Rules alone, without a node around them: their ports are not known.
        if ports.is_empty() {
            return found;
        }
        for table in &self.node.source().tables {
            for chain in &table.chains {
                let rules = chain.rules.iter().map(|rule| (rule.span, rule_names(rule), &rule.text));
                for (span, names, text) in rules {
                    found
                        .extend(unknown(&names, &ports).map(|what| (span, format!("rule `{text}`: {what}"))));
                }
            }
            for (span, names, name) in set_names(table) {
                found.extend(unknown(&names, &ports).map(|what| (span, format!("set `{name}`: {what}"))));
            }
            found.truncate(MOST);
        }
        found
    }
}

/// What is to be said of the names that match no port.
fn unknown<'a>(names: &'a Names, ports: &'a [&'a str]) -> impl Iterator<Item = String> + 'a {
    names.iter().filter(|name| !matches(name, ports)).map(|name| {
        let plain = name.trim_end_matches('*');
        let remedy = match nearest_name(plain, ports.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("there are {}", ports.join(", ")),
        };
        format!("there is no port {name:?}; {remedy}")
    })
}

fn matches(name: &str, ports: &[&str]) -> bool {
    match name.strip_suffix('*') {
        Some(start) => ports.iter().any(|port| port.starts_with(start)),
        None => ports.contains(&name),
    }
}

fn rule_names(rule: &Rule) -> Names {
    let mut names = Names::new();
    for statement in &rule.statements {
        match statement {
            Statement::Match(Match { key, rhs, .. }) => match rhs {
                Rhs::Value(value) => put(&mut names, &key.fields, &[Interval::single(*value)]),
                Rhs::Range(element) => put(&mut names, &key.fields, element),
                Rhs::Anonymous(elements) => put_all(&mut names, &key.fields, elements),
                // Its elements are looked at where it stands.
                Rhs::Named(_) => {}
            },
            Statement::Vmap(Lookup { key, map: MapSource::Anonymous(elements) }) => {
                put_all(&mut names, &key.fields, elements);
            }
            _ => {}
        }
    }
    names
}

fn set_names(table: &Table) -> impl Iterator<Item = (Span, Names, &str)> {
    table.sets.iter().map(|set| {
        let (mut names, types) = (Names::new(), set.key.data_types());
        for element in &set.elements {
            for (of, interval) in types.iter().zip(&element.key) {
                names.extend(names_port(*of).then(|| name_of(*interval)));
            }
        }
        (set.span, names, set.name.as_str())
    })
}

fn put_all(names: &mut Names, fields: &[Field], elements: &[SetElement]) {
    elements.iter().for_each(|element| put(names, fields, &element.key));
}

fn put(names: &mut Names, fields: &[Field], element: &[Interval]) {
    for (field, interval) in fields.iter().zip(element) {
        // The answer of `fib … oif` is asked of routes, not of a rule's author.
        if names_port(field.data_type()) {
            names.insert(name_of(*interval));
        }
    }
}

fn names_port(of: DataType) -> bool {
    matches!(of, DataType::IfName | DataType::IfIndex)
}

/// The name whose octets, with zeros behind them, a number is; a range stands for all that begin so.
pub fn name_of(interval: Interval) -> String {
    let octets = interval.low.to_be_bytes();
    let length = octets.iter().position(|octet| *octet == 0).unwrap_or(octets.len());
    let name = String::from_utf8_lossy(&octets[..length]);
    format!("{name}{}", if interval.is_single() { "" } else { "*" })
}
