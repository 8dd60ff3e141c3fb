//! Rules that cannot do on this node what they say.
use super::ports::name_of;
use super::state::State;
use netfast_datapath::{Tracking, asks_for_connection};
use netfast_nft::ast::{Interval, Match, Nat, NatKind, Operator, Rhs, Rule, Span, Statement};
use netfast_nft::field::{Field, TableFamily};
use std::net::IpAddr;

/// Findings of this kind that are told of one set of rules.
const MOST: usize = 100;
/// `ct state untracked`, `meta nfproto ipv4`, `meta nfproto ipv6`: the numbers of Linux.
const UNTRACKED: u128 = 64;
const IPV4: u128 = 2;
const IPV6: u128 = 10;

impl State {
    /// Rules that ask for connections where none are tracked, and masquerades by ports without an address of a family, each
    /// with its place in all rules.
    pub fn odd_rules(&self) -> Vec<(Span, String)> {
        let untracked = self.node.config().tracking == Tracking::Off;
        let rules =
            self.node.source().tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
        let odd = rules.filter_map(|rule| {
            let what = if untracked { without_connections(rule) } else { self.without_address(rule) };
            Some((rule.span, format!("rule `{}`: {}", rule.text, what?)))
        });
        odd.take(MOST).collect()
    }

    /// What a masquerade drops for want of an address.
    fn without_address(&self, rule: &Rule) -> Option<String> {
        let masquerades = |nat: &Nat| nat.kind == NatKind::Masquerade;
        let family = rule.statements.iter().find_map(|statement| match statement {
            Statement::Nat(nat) if masquerades(nat) => Some(nat.family),
            _ => None,
        })?;
        let name = name_of(Interval::single(value_of(rule, Field::OifName)?));
        let (_, port) = self.node.port_configs().find(|(_, port)| port.name == name)?;
        let has =
            |v6: bool, addresses: &[(IpAddr, u8)]| addresses.iter().any(|(each, _)| each.is_ipv6() == v6);
        let elsewhere = |v6| self.node.port_configs().any(|(_, port)| has(v6, &port.addresses));
        let only = value_of(rule, Field::NfProto);
        [(false, TableFamily::Ip, IPV4, 4), (true, TableFamily::Ip6, IPV6, 6)].into_iter().find_map(|each| {
            let (v6, of, protocol, number) = each;
            let meant = (family == TableFamily::Inet || family == of) && only.is_none_or(|only| only == protocol);
            let missing = meant && !has(v6, &port.addresses) && elsewhere(v6);
            let other = if v6 { 4 } else { 6 };
            missing.then(|| {
                format!(
                    "port {name:?} has no IPv{number} address, so that it drops IPv{number} packets (no_address); give it \
                     one, or let the rule be for IPv{other} alone (`meta nfproto ipv{other}`, family={other})"
                )
            })
        })
    }
}

/// What a rule finds without connections.
fn without_connections(rule: &Rule) -> Option<String> {
    let asks = |statement: &&Statement| asks_for_connection(statement) && !is_untracked(statement);
    let what = match rule.statements.iter().find(asks)? {
        // Nothing is tracked in any case.
        Statement::NoTrack => return None,
        Statement::Nat(_) => "nothing is translated",
        _ => "no packet has a connection",
    };
    Some(format!("tracking is \"off\", so that {what}; set it to \"auto\" or \"on\""))
}

fn is_untracked(statement: &Statement) -> bool {
    let Statement::Match(Match { key, rhs, .. }) = statement else { return false };
    let all = |set: &[netfast_nft::ast::SetElement]| {
        set.iter().all(|element| element.key.iter().all(|each| each.low == UNTRACKED && each.is_single()))
    };
    key.fields[..] == [Field::CtState]
        && match rhs {
            Rhs::Value(value) => *value == UNTRACKED,
            Rhs::Anonymous(elements) => all(elements),
            _ => false,
        }
}

/// The one value that a rule wants of a field.
fn value_of(rule: &Rule, field: Field) -> Option<u128> {
    rule.statements.iter().find_map(|statement| match statement {
        Statement::Match(Match { key, operator: Operator::Equal, rhs: Rhs::Value(value), .. })
            if key.fields[..] == [field] =>
        {
            Some(*value)
        }
        _ => None,
    })
}
