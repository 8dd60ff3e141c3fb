//! Rules that are accepted, each with the table's family, the base chain and the canonical form of the rule.
use netfast_nft::ast::RulesetAst;
use netfast_nft::parse;

/// Chains that rules are tried in.
pub const PREROUTING: &str = "type filter hook prerouting priority raw; policy accept;";
const INPUT: &str = "type filter hook input priority filter; policy drop;";
const DNAT: &str = "type nat hook prerouting priority dstnat; policy accept;";
const SNAT: &str = "type nat hook postrouting priority srcnat; policy accept;";

/// A file around a rule.
pub fn file(family: &str, base: &str, rule: &str) -> String {
    let address = if family == "ip6" { "ipv6_addr" } else { "ipv4_addr" };
    let (one, net) =
        if family == "ip6" { ("2001:db8::1", "2001:db8:1::/48") } else { ("192.0.2.1", "198.51.100.0/24") };
    format!(
        "table {family} t {{
	counter hits {{ }}
	limit slow {{ rate over 10/minute burst 5 packets; }}
	quota most {{ over 10 mbytes; }}
	set seen {{ type {address}; flags dynamic,timeout; timeout 1m; size 100; }}
	set blocked {{ type {address}; flags interval; elements = {{ {one}, {net} }}; }}
	set services {{ type {address} . inet_service; elements = {{ {one} . 80 }} }}
	map backends {{ type inet_service : {address}; elements = {{ 80 : {one} }}; }}
	map exact {{ type inet_service : {address} . inet_service; elements = {{ 80 : {one} . 8080 }}; }}
	map verdicts {{ type inet_service : verdict; elements = {{ 22 : accept, 23 : jump other }}; }}
	map marks {{ type inet_service : mark; elements = {{ 22 : 1 }}; }}
	chain other {{ }}
	chain c {{
		{base}
		{rule}
	}}
}}
"
    )
}

/// Family, base chain, rule, canonical form (`=`: the rule itself).
#[rustfmt::skip]
pub const ACCEPTED: &[(&str, &str, &str, &str)] = &[
    // Addresses.
    ("ip", INPUT, "ip saddr 192.0.2.1 accept", "="),
    ("ip", INPUT, "ip saddr == 192.0.2.1", "ip saddr 192.0.2.1"),
    ("ip", INPUT, "ip saddr eq 192.0.2.1", "ip saddr 192.0.2.1"),
    ("ip", INPUT, "ip daddr != 192.0.2.0/24 drop", "="),
    ("ip", INPUT, "ip daddr 192.0.2.77/24 drop", "ip daddr 192.0.2.0/24 drop"),
    ("ip", INPUT, "ip daddr 0.0.0.0/0", "="),
    ("ip", INPUT, "ip daddr 192.0.2.1/32", "ip daddr 192.0.2.1"),
    ("ip", INPUT, "ip saddr 192.0.2.1-192.0.2.9", "="),
    ("ip", INPUT, "ip saddr 192.0.2.0-192.0.2.255", "ip saddr 192.0.2.0/24"),
    ("ip", INPUT, "ip saddr > 192.0.2.0", "="),
    ("ip", INPUT, "ip saddr & 255.255.0.255 == 10.0.0.1", "="),
    ("ip", INPUT, "ip saddr & 255.0.0.255 10.0.0.1", "ip saddr & 255.0.0.255 == 10.0.0.1"),
    ("ip", INPUT, "ip saddr { 192.0.2.9, 192.0.2.1, 10.0.0.0/8, }", "ip saddr { 10.0.0.0/8, 192.0.2.1, 192.0.2.9 }"),
    ("ip", INPUT, "ip saddr != { 192.0.2.9, 192.0.2.1 }", "ip saddr != { 192.0.2.1, 192.0.2.9 }"),
    ("ip", INPUT, "ip saddr { 192.0.2.9 }", "ip saddr 192.0.2.9"),
    ("ip", INPUT, "ip saddr { 192.0.2.9 comment \"a\", 192.0.2.10 }", "="),
    ("ip", INPUT, "ip saddr @blocked drop", "="),
    ("ip", INPUT, "ip saddr != @blocked drop", "="),
    ("ip", INPUT, "ip saddr . tcp dport @services accept", "="),
    ("ip", INPUT, "ip saddr . tcp dport { 192.0.2.1 . 22, 10.0.0.0/8 . 80-90 } accept", "ip saddr . tcp dport { 10.0.0.0/8 . 80-90, 192.0.2.1 . 22 } accept"),
    ("inet", INPUT, "ip6 saddr 2001:db8::/32 accept", "="),
    ("inet", INPUT, "ip6 daddr { ::1, fe80::/10 }", "="),
    ("inet", INPUT, "ip6 saddr 2001:db8::1-2001:db8::9", "="),
    ("inet", INPUT, "iifname . ip saddr { \"eth0\" . 192.0.2.1, \"ppp*\" . 10.0.0.0/8 }", "="),
    ("inet", INPUT, "meta l4proto . th dport { tcp . 22, udp . 53 } accept", "="),
    ("inet", INPUT, "ct state . ip saddr { new . 192.0.2.1 }", "="),
    // Other fields of IP.
    ("ip", INPUT, "ip version 4 ip hdrlength 5", "="),
    ("ip", INPUT, "ip dscp { cs1, ef, 3 }", "ip dscp { 0x03, cs1, ef }"),
    ("ip", INPUT, "ip dscp != be", "ip dscp != cs0"),
    ("ip", INPUT, "ip ecn ce", "="),
    ("ip", INPUT, "ip length 40-1500", "="),
    ("ip", INPUT, "ip id 7", "="),
    ("ip", INPUT, "ip frag-off & 0x1fff != 0", "ip frag-off & 8191 != 0"),
    ("ip", INPUT, "ip ttl < 5 drop", "="),
    ("ip", INPUT, "ip protocol { tcp, udp }", "="),
    ("ip", INPUT, "ip protocol icmpv6", "ip protocol ipv6-icmp"),
    ("ip", INPUT, "ip checksum 1", "="),
    ("inet", INPUT, "ip6 version 6 ip6 dscp ef ip6 ecn ect0 ip6 flowlabel 74565", "="),
    ("inet", INPUT, "ip6 nexthdr tcp ip6 hoplimit >= 64 ip6 length < 100", "="),
    ("inet", INPUT, "exthdr hbh exists exthdr rt missing exthdr frag exists exthdr dst exists exthdr mh missing", "="),
    ("inet", INPUT, "exthdr frag != exists", "="),
    ("inet", INPUT, "frag nexthdr tcp frag frag-off 5 frag more-fragments 1 frag id 7", "="),
    ("inet", INPUT, "rt nexthdr tcp rt hdrlength 2 rt type 0 rt seg-left > 0 drop", "="),
    // Ports and flags.
    ("inet", INPUT, "tcp dport 22 accept", "="),
    ("inet", INPUT, "tcp dport ssh accept", "tcp dport 22 accept"),
    ("inet", INPUT, "tcp dport { ssh, http, https } accept", "tcp dport { 22, 80, 443 } accept"),
    ("inet", INPUT, "tcp dport 0x16 accept", "tcp dport 22 accept"),
    ("inet", INPUT, "tcp dport != 22-25", "="),
    ("inet", INPUT, "tcp sport gt 1023 tcp dport le 5", "tcp sport > 1023 tcp dport <= 5"),
    ("inet", INPUT, "tcp dport { 22, 20-30, 25 }", "tcp dport 20-30"),
    ("inet", INPUT, "tcp dport { 22, 80-90, 22 }", "tcp dport { 22, 80-90 }"),
    ("inet", INPUT, "udp sport 53 udp length 8-20 udp checksum 0", "="),
    ("inet", INPUT, "udplite dport 1 udplite csumcov 8 udplite checksum 1", "="),
    ("inet", INPUT, "sctp dport 1 sctp vtag 5 sctp checksum 7", "="),
    ("inet", INPUT, "dccp sport 1 dccp type { request, data }", "="),
    ("inet", INPUT, "meta l4proto udp th sport 1", "meta l4proto udp udp sport 1"),
    ("inet", INPUT, "meta l4proto { tcp, udp } th dport 53 accept", "="),
    ("inet", INPUT, "tcp flags syn", "="),
    ("inet", INPUT, "tcp flags syn,ack", "="),
    ("inet", INPUT, "tcp flags == syn,ack", "tcp flags == syn | ack"),
    ("inet", INPUT, "tcp flags != syn", "="),
    ("inet", INPUT, "tcp flags ! syn", "="),
    ("inet", INPUT, "tcp flags 0x12", "tcp flags syn,ack"),
    ("inet", INPUT, "tcp flags { syn, syn | ack }", "="),
    ("inet", INPUT, "tcp flags { syn }", "tcp flags syn"),
    ("inet", INPUT, "tcp flags & (syn|ack) == syn", "tcp flags & (syn | ack) == syn"),
    ("inet", INPUT, "tcp flags & (fin | syn | rst | ack) != syn", "tcp flags & (fin | syn | rst | ack) != syn"),
    ("inet", INPUT, "tcp flags syn / fin,syn,rst,ack", "tcp flags & (fin | syn | rst | ack) == syn"),
    ("inet", INPUT, "tcp flags != syn / syn,ack", "tcp flags & (syn | ack) != syn"),
    ("inet", INPUT, "tcp flags & (syn | ack) != 0", "tcp flags syn,ack"),
    ("inet", INPUT, "tcp sequence 1 tcp ackseq 2 tcp doff 5 tcp window > 0 tcp checksum 1 tcp urgptr 0", "="),
    ("inet", INPUT, "tcp flags & syn == 0", "tcp flags ! syn"),
    // ICMP.
    ("inet", INPUT, "icmp type echo-request accept", "="),
    ("inet", INPUT, "icmp type { echo-request, echo-reply } icmp code 0", "icmp type { echo-reply, echo-request } icmp code net-unreachable"),
    ("inet", INPUT, "icmp id 5 icmp sequence 6", "icmp type { echo-reply, echo-request } icmp id 5 icmp sequence 6"),
    ("inet", INPUT, "icmp mtu 1400", "="),
    ("inet", INPUT, "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept", "="),
    ("inet", INPUT, "icmpv6 id 5 icmpv6 sequence 6", "icmpv6 type { echo-request, echo-reply } icmpv6 id 5 icmpv6 sequence 6"),
    ("inet", INPUT, "icmpv6 mtu 1280", "="),
    ("inet", INPUT, "icmpv6 max-delay 5", "="),
    ("inet", INPUT, "icmpv6 code no-route icmpv6 checksum 7", "="),
    ("ip", INPUT, "icmp type 200", "="),
    // Ports of the node, marks, lengths.
    ("inet", INPUT, "iifname \"lan\" accept", "="),
    ("inet", INPUT, "iifname lan accept", "iifname \"lan\" accept"),
    ("inet", INPUT, "meta iifname != \"ppp*\"", "iifname != \"ppp*\""),
    ("inet", INPUT, "iifname { lan, \"eth*\", eth0.5 }", "iifname { \"eth*\", \"lan\" }"),
    ("inet", INPUT, "iif lo accept", "iif \"lo\" accept"),
    ("inet", "type filter hook forward priority filter - 5; policy accept;", "oif lo oifname \"wan\"", "oif \"lo\" oifname \"wan\""),
    ("inet", INPUT, "mark 5", "meta mark 0x00000005"),
    ("inet", INPUT, "meta mark & 0xff == 0x01", "meta mark & 0x000000ff == 0x00000001"),
    ("inet", INPUT, "meta mark 1-5", "meta mark 0x00000001-0x00000005"),
    ("inet", INPUT, "meta length > 1000 meta pkttype { broadcast, multicast } drop", "="),
    ("inet", INPUT, "pkttype host", "meta pkttype host"),
    ("inet", INPUT, "meta nfproto ipv4 meta l4proto tcp", "="),
    ("inet", INPUT, "meta protocol { ip, ip6 }", "="),
    ("inet", PREROUTING, "ether saddr 02:00:00:00:00:01 ether type ip", "="),
    ("inet", PREROUTING, "ether type { vlan, 8021ad }", "ether type { 8021q, 8021ad }"),
    ("inet", PREROUTING, "ether daddr { 02:00:00:00:00:01, 02:00:00:00:00:09 }", "="),
    // Connections.
    ("inet", INPUT, "ct state established,related accept", "="),
    ("inet", INPUT, "ct state { established, related } accept", "="),
    ("inet", INPUT, "ct state new ct direction original ct status snat,dnat", "="),
    ("inet", INPUT, "ct state != invalid", "="),
    ("inet", INPUT, "ct state ! invalid", "="),
    ("inet", INPUT, "ct mark 7", "ct mark 0x00000007"),
    ("inet", INPUT, "ct expiration < 1h30m", "="),
    ("inet", INPUT, "ct expiration 5", "ct expiration 5s"),
    ("inet", INPUT, "ct original ip saddr 192.0.2.1 ct reply ip6 daddr 2001:db8::/32", "="),
    ("inet", INPUT, "tcp dport 1 ct original proto-dst 80 ct reply proto-src 443", "="),
    ("inet", INPUT, "ct original l3proto ipv4", "ct l3proto ipv4"),
    ("inet", INPUT, "ct protocol tcp", "="),
    // Routes.
    ("inet", PREROUTING, "fib saddr . iif oif missing drop", "="),
    ("inet", PREROUTING, "fib daddr . mark . iif oif exists", "="),
    ("inet", PREROUTING, "fib daddr type { local, broadcast } accept", "="),
    ("inet", PREROUTING, "fib daddr . iif type != local", "="),
    // Statements.
    ("inet", INPUT, "counter", "counter packets 0 bytes 0"),
    ("inet", INPUT, "counter packets 1 bytes 40 accept", "="),
    ("inet", INPUT, "counter name hits", "counter name \"hits\""),
    ("inet", INPUT, "limit rate 10/second accept", "limit rate 10/second burst 5 packets accept"),
    ("inet", INPUT, "limit rate over 10/minute burst 20 packets drop", "="),
    ("inet", INPUT, "limit rate 1/hour burst 1 packets limit rate 1/day burst 1 packets limit rate 1/week burst 7 packets", "="),
    ("inet", INPUT, "limit rate 1 mbytes/second burst 512 kbytes", "="),
    ("inet", INPUT, "limit rate over 1025 bytes/second", "="),
    ("inet", INPUT, "quota 10 mbytes accept", "="),
    ("inet", INPUT, "quota over 100 bytes used 5 bytes drop", "="),
    ("inet", INPUT, "quota until 2048 bytes", "quota 2 kbytes"),
    ("inet", INPUT, "log", "="),
    ("inet", INPUT, "log prefix \"in: \" level debug", "="),
    ("inet", INPUT, "log group 7 prefix dropped", "log prefix \"dropped\" group 7"),
    ("inet", INPUT, "log prefix \"a\" flags all", "="),
    ("inet", INPUT, "log level info flags ip options flags tcp options,sequence", "log level info flags tcp sequence,options flags ip options"),
    ("inet", INPUT, "log flags skuid flags ether", "="),
    ("inet", INPUT, "log group 2 queue-threshold 20 snaplen 33", "log group 2 snaplen 33 queue-threshold 20"),
    ("inet", INPUT, "log level audit", "="),
    ("inet", INPUT, "limit name slow drop", "limit name \"slow\" drop"),
    ("inet", INPUT, "quota name \"most\" drop", "="),
    ("inet", INPUT, "meta nftrace set 1 accept", "="),
    // Options of TCP.
    ("inet", INPUT, "tcp option maxseg size 1-500 drop", "="),
    ("inet", INPUT, "tcp option sack-perm missing tcp option timestamp exists", "="),
    ("inet", INPUT, "tcp option window count > 7 tcp option maxseg length 4 tcp option timestamp tsecr 0", "="),
    ("inet", INPUT, "tcp flags syn tcp option maxseg size set 1360 counter packets 0 bytes 0", "="),
    ("inet", "type filter hook forward priority mangle; policy accept;", "tcp flags syn / syn,rst tcp option maxseg size set rt mtu", "tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu"),
    // What is written into the header, and what packets of a node have not.
    ("inet", INPUT, "ip dscp set cs1 accept", "="),
    ("inet", INPUT, "ip ttl set 65 counter packets 0 bytes 0", "="),
    ("ip6", INPUT, "ip6 dscp set af21 ip6 hoplimit set 64", "="),
    ("inet", INPUT, "meta skuid 1000 skgid { 0, 5 } cgroup 1", "meta skuid 1000 meta skgid { root, 5 } meta cgroup 1"),
    ("inet", INPUT, "skuid root accept", "meta skuid root accept"),
    ("inet", INPUT, "iifgroup 2 drop", "="),
    ("inet", "type filter hook forward priority filter; policy accept;", "iifgroup default oifgroup != 3 accept", "iifgroup default oifgroup != 3 accept"),
    ("inet", INPUT, "ct mark 0x80000000/1 meta mark 0x10/28", "ct mark 0x80000000-0xffffffff meta mark 0x00000010-0x0000001f"),
    // Sets that rules change.
    ("inet", INPUT, "add @seen { ip saddr }", "="),
    ("inet", INPUT, "tcp dport 22 update @seen { ip saddr timeout 1h limit rate over 3/minute } drop", "tcp dport 22 update @seen { ip saddr timeout 1h limit rate over 3/minute burst 5 packets } drop"),
    ("inet", INPUT, "add @seen { ip saddr counter quota over 5 kbytes } drop", "="),
    ("inet", INPUT, "add @seen { ip saddr counter packets 5 bytes 100 }", "="),
    ("inet", INPUT, "set update ip saddr timeout 1m @seen", "update @seen { ip saddr timeout 1m }"),
    ("inet", INPUT, "delete @seen { ip saddr }", "="),
    ("inet", INPUT, "ip saddr @seen drop", "="),
    ("ip", INPUT, "tcp dport 22 meter ssh { ip saddr . tcp dport timeout 1m limit rate 3/minute burst 7 packets } accept", "tcp dport 22 meter ssh { ip saddr . tcp dport timeout 1m limit rate 3/minute burst 7 packets } accept"),
    ("inet", INPUT, "meta mark set 5", "meta mark set 0x00000005"),
    ("inet", INPUT, "mark set 0x10 ct mark set 0x20", "meta mark set 0x00000010 ct mark set 0x00000020"),
    ("inet", INPUT, "meta mark set ct mark ct mark set meta mark", "="),
    ("inet", INPUT, "meta mark set ct mark and 0xff or 0x100", "meta mark set ct mark & 0x000001ff | 0x00000100"),
    ("inet", INPUT, "meta mark set (meta mark & 0xff) | 0x10", "meta mark set meta mark & 0x000000ff | 0x00000010"),
    ("inet", INPUT, "meta mark set meta mark xor 0x10", "meta mark set meta mark ^ 0x00000010"),
    ("inet", INPUT, "meta mark set tcp dport map @marks", "="),
    ("inet", INPUT, "ct mark set ip saddr map { 192.0.2.1 : 1, 192.0.2.2 : 2 }", "ct mark set ip saddr map { 192.0.2.1 : 0x00000001, 192.0.2.2 : 0x00000002 }"),
    ("inet", PREROUTING, "tcp dport 80 notrack", "="),
    ("inet", INPUT, "jump other", "="),
    ("inet", INPUT, "goto other", "="),
    ("inet", INPUT, "continue", "="),
    ("inet", INPUT, "return", "="),
    ("inet", INPUT, "tcp dport vmap { 22 : accept, 23-25 : drop, 80 : jump other }", "="),
    ("inet", INPUT, "tcp dport vmap @verdicts counter packets 0 bytes 0", "="),
    ("inet", INPUT, "ip saddr . tcp dport vmap { 192.0.2.1 . 22 : accept } drop", "="),
    ("inet", INPUT, "ct state vmap { invalid : drop, established : accept, related : accept }", "="),
    ("inet", INPUT, "drop comment \"all of it\"", "="),
    ("inet", INPUT, "reject", "reject with icmpx port-unreachable"),
    ("inet", INPUT, "reject with icmpx type admin-prohibited", "reject with icmpx admin-prohibited"),
    ("inet", INPUT, "reject with icmpx 3", "reject with icmpx admin-prohibited"),
    ("inet", INPUT, "ip saddr 192.0.2.1 reject", "ip saddr 192.0.2.1 reject with icmp port-unreachable"),
    ("inet", INPUT, "reject with icmp host-unreachable", "="),
    ("inet", INPUT, "reject with icmpv6 type no-route", "reject with icmpv6 no-route"),
    ("inet", INPUT, "tcp dport 113 reject with tcp reset", "="),
    ("inet", INPUT, "reject with tcp reset", "meta l4proto tcp reject with tcp reset"),
    ("inet", INPUT, "counter reject with tcp reset", "meta l4proto tcp counter packets 0 bytes 0 reject with tcp reset"),
    ("inet", INPUT, "counter reject with icmp host-unreachable", "counter packets 0 bytes 0 reject with icmp host-unreachable"),
    ("ip", INPUT, "reject", "reject with icmp port-unreachable"),
    ("ip6", INPUT, "reject", "reject with icmpv6 port-unreachable"),
    // Translations.
    ("inet", DNAT, "tcp dport 80 dnat ip to 10.0.0.1:8080", "="),
    ("inet", DNAT, "tcp dport 80 dnat ip6 to [2001:db8::1]:8080", "="),
    ("inet", DNAT, "dnat ip6 to 2001:db8::1-2001:db8::9", "="),
    ("inet", DNAT, "tcp dport 80 dnat ip6 to [2001:db8::1]-[2001:db8::9]:1-5", "="),
    ("inet", DNAT, "ip daddr 192.0.2.1 dnat to 10.0.0.1", "ip daddr 192.0.2.1 dnat ip to 10.0.0.1"),
    ("inet", DNAT, "udp dport 1 dnat to :8080", "="),
    ("inet", DNAT, "tcp dport 80 dnat ip to 10.0.0.1-10.0.0.9:80-90 random,persistent", "="),
    ("inet", DNAT, "dnat ip to tcp dport map { 80 : 10.0.0.1, 81 : 10.0.0.2 }", "="),
    ("inet", DNAT, "dnat ip to tcp dport map { 80 : 10.0.0.1 . 8080, 81 : 10.0.0.2 . 8081 }", "="),
    ("inet", DNAT, "dnat ip addr . port to tcp dport map @exact", "dnat ip to tcp dport map @exact"),
    ("inet", DNAT, "dnat ip to tcp dport map @backends", "="),
    ("inet", DNAT, "tcp dport 80 redirect to :8080", "="),
    ("inet", DNAT, "meta l4proto { tcp, udp } th dport 53 redirect to 5353", "meta l4proto { tcp, udp } th dport 53 redirect to :5353"),
    ("inet", DNAT, "tcp dport 80 redirect to :tcp dport map { 80 : 8080 }", "="),
    ("inet", DNAT, "redirect", "="),
    ("ip", DNAT, "dnat to 10.0.0.1", "="),
    ("ip", DNAT, "dnat to 10.0.0.0/24", "="),
    ("ip6", DNAT, "tcp dport 80 dnat to [2001:db8::1]:80", "="),
    ("ip", SNAT, "snat to 192.0.2.1-192.0.2.9 fully-random", "="),
    ("ip", SNAT, "oifname \"wan\" masquerade", "="),
    ("ip", SNAT, "ip protocol tcp masquerade to :1024-2048 random", "="),
    ("ip", SNAT, "snat to ip saddr map { 10.0.0.0/24 : 192.0.2.1, 10.0.1.0/24 : 192.0.2.2 }", "="),
    ("inet", SNAT, "snat ip to 192.0.2.1", "="),
    ("inet", SNAT, "masquerade fully-random,persistent", "="),
];

/// The printed rule of the chain.
pub fn canonical(ruleset: &RulesetAst) -> String {
    let table = &ruleset.tables[0];
    let chain = table.chains.iter().find(|chain| chain.name == "c").unwrap();
    chain.rules.first().map_or_else(String::new, |rule| rule.display(table.family).to_string())
}

#[test]
fn rules_have_their_canonical_form() {
    let mut wrong = Vec::new();
    for (family, base, rule, expected) in ACCEPTED {
        let text = file(family, base, rule);
        match parse(&text, "rules.nft") {
            Err(errors) => wrong.push(format!("{rule}: {}", errors[0])),
            Ok(ruleset) => {
                let expected = if *expected == "=" { rule } else { expected };
                let printed = canonical(&ruleset);
                if printed != *expected {
                    wrong.push(format!("{rule}\n   printed {printed}\n  expected {expected}"));
                }
                match parse(&ruleset.to_string(), "printed") {
                    Ok(again) if again == ruleset => {}
                    Ok(again) => wrong.push(format!("{rule}: changed by printing: {ruleset}\n{again}")),
                    Err(errors) => wrong.push(format!("{rule}: printed form: {}\n{ruleset}", errors[0])),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whole files that are accepted.
pub const ACCEPTED_FILES: &[&str] = &[
    "",
    "# nothing but a comment\n",
    "flush ruleset\n\ntable ip t\ntable inet t { }\n",
    "table inet t\ndelete table inet t\ntable inet t { chain c { accept; }; }",
    "table inet t { chain c { accept\n}\nchain d { drop;\n}; }; flush table inet t",
    "add table inet t; add chain inet t c { type filter hook input priority 0; policy drop; }; add rule inet t c accept",
    "add table inet t\nadd set inet t s { type ipv4_addr; }\nadd element inet t s { 192.0.2.1, 192.0.2.2 }\nadd chain inet t c\nadd rule inet t c ip saddr @s counter accept comment \"x\"",
    "add table t\nadd chain t c\nadd rule t c tcp dport 22 accept\nadd t c drop",
    "create table inet t\ncreate chain inet t c\ncreate set inet t s { type mark; }",
    "table inet t { chain c { jump d; }; chain d { ip saddr @s drop; }; set s { type ipv4_addr; }; }",
    "table inet t { chain c { tcp dport 1 \\\n accept; }; }",
    "table inet t { set s { type ipv4_addr . inet_service . inet_proto; flags interval; elements = { 10.0.0.0/8 . 1-5 . tcp }; }; }",
    "table inet t { set s { typeof ip saddr . tcp dport; elements = { 10.0.0.1 . 22 }; }; chain c { ip saddr . tcp dport @s accept; }; }",
    "table inet t { set s { type ipv6_addr; flags constant, interval; auto-merge; elements = { ::1, ::2, 2001:db8::/32, 2001:db8::5 }; }; }",
    "table inet t { set s { type ether_addr; elements = { 02:00:00:00:00:01 }; }; set i { type ifname; flags interval; elements = { \"eth*\", lo }; }; chain c { iifname @i ether saddr @s; }; }",
    "table inet t { set a { type icmp_type; elements = { echo-request }; }; set b { type icmpv6_type; elements = { nd-redirect }; }; set c { type mark; elements = { 1, 0x10 }; }; }",
    "table inet t { set s { type inet_service; flags interval; elements = { 1-5, 7, 9-9 }; size 100; comment \"c\"; policy memory; }; }",
    "table inet t { map m { typeof ip saddr : verdict; elements = { 192.0.2.1 : goto d }; }; chain d { }; chain c { ip saddr vmap @m; }; }",
    "table ip t { map m { type ipv4_addr : interval ipv4_addr; flags interval; elements = { 10.0.0.0/8 : 192.0.2.1-192.0.2.9 }; }; chain c { type nat hook postrouting priority srcnat; snat to ip saddr map @m; }; }",
    "table ip t { map m { type inet_service : inet_service; elements = { 80 : 8080 }; }; chain c { type nat hook prerouting priority dstnat + 5; tcp dport 80 redirect to :tcp dport map @m; }; }",
    "define lan = \"lan\"\ndefine ports = { 22, 80-90 }\ndefine net = 192.0.2.0/24\ndefine more = { $net, 10.0.0.0/8 }\ntable inet t { chain c { iifname $lan tcp dport $ports ip saddr $more ip daddr { $net, 10.0.0.1 } accept; }; }",
    "define host = 10.0.0.1\ndefine prio = 10\ntable ip t { chain c { type nat hook prerouting priority $prio; tcp dport 80 dnat to $host:8080; }; }",
    "define m = 0xff\ntable ip t { define inner = 5; chain c { meta mark & $m == $inner meta mark set $m; }; }",
    "define hosts = { 10.0.0.1, 10.0.0.2 }\ntable ip t { set s { type ipv4_addr; elements = $hosts; }; }",
    "table inet t { chain a { type filter hook prerouting priority raw + 10; }; chain b { type filter hook prerouting priority -5; policy accept; }; chain c { type filter hook output priority security; }; chain d { type route hook output priority mangle; }; chain e { type nat hook input priority 100; }; chain f { type nat hook output priority -100; }; }",
    "table inet t { chain a { type filter hook prerouting priority 0; reject; fib daddr . iif type local; }; chain b { type filter hook input priority 0; fib saddr . iif oif missing; }; chain c { type filter hook forward priority 0; reject; fib saddr . iif oif missing; fib saddr . oif type local; }; chain d { type filter hook output priority 0; reject with tcp reset; fib daddr type local; }; chain e { type filter hook postrouting priority 0; notrack; }; }",
    "table inet t { chain a { type nat hook input priority 100; snat ip to 10.0.0.1; }; chain b { type nat hook output priority -100; tcp dport 1 redirect to :5; dnat ip to 10.0.0.1; }; }",
    "table inet t { comment \"about it\"; counter k { packets 5 bytes 7; comment \"c\"; }; counter l { }; chain c { comment \"d\"; counter name k; }; }",
    "table inet t { chain c { ip saddr 192.0.2.1 jump {\ntcp dport 22 accept\ndrop\n}\ntcp dport 80 goto { counter; }; }; }",
    "table inet t { set s { type ipv4_addr; flags timeout; elements = { 192.0.2.1 timeout 1h, 192.0.2.2 }; }; set u { type ipv4_addr; flags interval, timeout; timeout 1d; gc-interval 10m; }; }",
    "table inet t { set s { type ipv4_addr; }; chain c { update @s { ip saddr counter }; }; }",
    "table inet t\nadd limit inet t l rate 1 mbytes/second burst 5 kbytes\nadd quota inet t q { 10 mbytes; }\nadd chain inet t c\ninsert rule inet t c limit name l\ninsert rule inet t c quota name q drop",
    "define a = 192.0.2.1\ndefine b = { $a }\nredefine a = 192.0.2.2\ntable ip t { chain c { ip saddr $b ip daddr $a; }; }\nundefine a\ndefine a = \"drop\"\ntable ip t { chain d { type filter hook input priority 0; policy $a; }; }",
    "add table inet t; add counter inet t k; add chain inet t c; add rule inet t c counter name k",
];

#[test]
fn files_survive_printing() {
    for text in ACCEPTED_FILES {
        let ruleset = parse(text, "rules.nft").unwrap_or_else(|errors| panic!("{text}: {}", errors[0]));
        let again = parse(&ruleset.to_string(), "printed")
            .unwrap_or_else(|errors| panic!("{ruleset}: {}", errors[0]));
        assert_eq!(again, ruleset, "{text}");
    }
}
