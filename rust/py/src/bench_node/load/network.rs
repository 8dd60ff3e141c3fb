//! The node under load: two ports, 100 rules, a group of four next hops, connection tracking.
use super::LoadError;
use netfast_datapath::{Mac, Node, NodeConfig, Outputs, PortConfig, PortId, Tracking};
use netfast_fib::{NextHop, Route, RouteKind};
use netfast_nft::ast::RulesetAst;
use netfast_time::Instant;
use std::fmt::Write;
use std::net::IpAddr;

pub const LAN: PortId = 0;
pub const WAN: PortId = 1;
pub const LAN_MAC: Mac = [2, 0, 0, 0, 0, 1];
pub const WAN_MAC: Mac = [2, 0, 0, 0, 0, 2];

/// Rules as they would be written: what is known passes, `count` rules that the packets do not match, what comes from
/// the clients passes, the rest is dropped. With `nat` the clients hide behind the node's address.
pub fn rules_text(count: usize, nat: bool) -> String {
    let mut text = String::from(
        "table inet filter {\n chain forward {\n  type filter hook forward priority 0; policy drop;\n  \
         ct state established,related counter accept\n  ct state new counter\n",
    );
    for rule in 0..count {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "  ip6 saddr fd00:77:{:x}:{:x}::/64 udp dport {} drop",
            rule >> 16,
            rule & 0xffff,
            1 + rule % 65_535
        );
    }
    text.push_str("  iifname \"lan\" accept\n }\n}\n");
    if nat {
        text.push_str(
            "table ip6 nat {\n chain leaving {\n  type nat hook postrouting priority srcnat;\n  \
             oifname \"wan\" masquerade\n }\n}\n",
        );
    }
    text
}

/// The rules, parsed.
pub fn rules(count: usize, nat: bool) -> Result<RulesetAst, LoadError> {
    netfast_nft::parse(&rules_text(count, nat), "load.nft")
        .map_err(|errors| LoadError::Rules { count: errors.len() })
}

fn v6(text: u128) -> IpAddr {
    IpAddr::V6(text.into())
}

fn v4(octets: [u8; 4]) -> IpAddr {
    IpAddr::V4(octets.into())
}

/// Which address family routes are for.
struct Side {
    port: PortId,
    mac: Mac,
    name: &'static str,
    addresses: [(IpAddr, u8); 2],
}

/// A node with room for `connections`. Clients (2001:db8::/48, 10.0.0.0/8) are behind a gateway at `lan`, servers
/// (2001:db8:1::/48, 10.1.0.0/16, 10.128.0.0/9) behind four gateways of different weights at `wan`.
pub fn node(connections: u32, rules: RulesetAst, seed: u64) -> Result<(Node, Outputs), LoadError> {
    let mut config =
        NodeConfig { max_connections: connections, tracking: Tracking::On, seed, ..NodeConfig::default() };
    // Captures are not whole.
    // Those that are asked for by a load of their own.
    config.neighbours.max_entries = 1 << 19;
    config.tcp.liberal = true;
    config.tcp.loose = true;
    let mut node = Node::new(config)?;
    let mut out = Outputs::new();
    let (lan, wan) = (0x2001_0db8_00fe << 80, 0x2001_0db8_00ff << 80);
    let sides = [
        Side {
            port: LAN,
            mac: LAN_MAC,
            name: "lan",
            addresses: [(v6(lan | 1), 64), (v4([192, 0, 2, 1]), 24)],
        },
        Side {
            port: WAN,
            mac: WAN_MAC,
            name: "wan",
            addresses: [(v6(wan | 1), 64), (v4([203, 0, 113, 1]), 24)],
        },
    ];
    for side in sides {
        let mut port = PortConfig::new(side.name, side.mac);
        port.addresses = side.addresses.to_vec();
        let port = node.add_port(port)?;
        debug_assert_eq!(port, side.port, "ports are numbered from zero");
    }
    let mut hop = |node: &mut Node, port, address, weight: u16| {
        node.set_neighbour(Instant::ZERO, port, address, [2, 0, 0, 0, 1 + port as u8, weight as u8], &mut out)
            .map(|()| NextHop::via(port, address).weighted(weight))
    };
    let mut group = |node: &mut Node, gateway: &dyn Fn(u16) -> IpAddr| {
        (2..6).map(|weight| hop(node, WAN, gateway(weight), weight)).collect::<Result<Vec<_>, _>>()
    };
    let servers_6 = group(&mut node, &|weight| v6(wan | u128::from(weight)))?;
    let servers_4 = group(&mut node, &|weight| v4([203, 0, 113, weight as u8]))?;
    let clients_6 = vec![hop(&mut node, LAN, v6(lan | 2), 1)?];
    let clients_4 = vec![hop(&mut node, LAN, v4([192, 0, 2, 2]), 1)?];
    for (prefix, hops) in [
        ("2001:db8::/48", &clients_6),
        ("2001:db8:1::/48", &servers_6),
        ("10.0.0.0/8", &clients_4),
        ("10.1.0.0/16", &servers_4),
        ("10.128.0.0/9", &servers_4),
    ] {
        let prefix = prefix.parse().map_err(netfast_datapath::NodeError::from)?;
        node.add_route(Route::new(prefix, RouteKind::Unicast(hops.clone())))?;
    }
    node.set_rules(rules)?;
    Ok((node, out))
}
