"""Random rule sets in the subset of nft(8) that netfast has."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

# What a rule may say depends on where it stands.
REJECTING = {"input", "forward", "output"}
LEAVING = {"forward", "output", "postrouting"}
ARRIVING = {"prerouting", "input", "forward", "postrouting"}
NAMES = ("lan", "wan", "dmz")
FOUR = ("10.1.0.10", "10.1.0.11", "10.3.0.10", "203.0.113.10", "198.51.100.7", "203.0.113.1", "10.20.1.1")
FOUR_NETS = (
    "10.1.0.0/24",
    "10.0.0.0/8",
    "203.0.113.0/24",
    "198.51.100.0/24",
    "10.3.0.10-10.3.0.21",
    "0.0.0.0/1",
)
SIX = (
    "2001:db8:1::10",
    "2001:db8:3::10",
    "2001:db8:ff::10",
    "2001:db8:5::7",
    "2001:db8:ff::1",
    "2001:db8:20::1",
)
SIX_NETS = (
    "2001:db8:1::/64",
    "2001:db8::/32",
    "2001:db8:ff::/64",
    "2001:db8:5::-2001:db8:5::ff",
    "2001:db8:3::/48",
)
SERVICES = (22, 53, 80, 123, 443, 5353, 8080, 8443)
TCP_FLAGS = (
    "tcp flags syn",
    "tcp flags & (syn | ack) == syn",
    "tcp flags & (fin | syn | rst | ack) == syn | ack",
    "tcp flags & (fin | syn | rst | ack) != syn",
    "tcp flags == 0x0",
    "tcp flags & rst == rst",
    "tcp flags fin,rst",
    "tcp flags != ack",
    "tcp flags { syn, ack, fin | ack }",
)
CT_STATES = (
    "new",
    "established",
    "related",
    "invalid",
    "untracked",
    "established,related",
    "new,invalid",
    "{ new, established }",
    "!= new",
    "!= established,related",
)


@dataclass
class Chain:
    """Where rules stand: the table's family, the hook from which they are reached, and the chain's type."""

    family: str
    hook: str
    kind: str
    # Chains to which rules may jump.
    below: list[str] = field(default_factory=list)
    # Is it before connection tracking?
    early: bool = False


class Rules:
    """Makes one rule set; rules are numbered through, and their numbers are their comments.

    With `changing` rules also fill sets, share limits, and look at and change options of TCP.
    """

    def __init__(self, rng: random.Random, *, changing: bool = False) -> None:
        self.rng = rng
        self.changing = changing
        self.number = 0
        self.chains = 0
        self.meters = 0
        self.sets: list[str] = []
        # Has a set room for all that come?
        self.roomy: dict[str, bool] = {}
        self.subchains: list[str] = []
        # What the matches of the rule at hand may ask for: nft refuses rules that contradict themselves.
        self.six = False
        self.protocol = ""

    def text(self) -> str:
        """A whole rule set."""
        self.number = self.chains = self.meters = 0
        layout = self.rng.choice((("inet",), ("inet",), ("ip", "ip6"), ("inet", "ip", "ip6")))
        tables = []
        for family in layout:
            translating = len(layout) < 3 or family != "inet"
            tables.append(
                self.table(family, filtering=len(layout) < 3 or family == "inet", translating=translating)
            )
        return "\n".join(tables)

    def table(self, family: str, *, filtering: bool, translating: bool) -> str:
        self.sets, self.subchains = self.named_sets(family), []
        body = []
        wanted = []
        if filtering:
            wanted += [("filter", "forward", "filter", 0.9), ("filter", "input", "filter", 0.4)]
            wanted += [("filter", "output", "filter", 0.3), ("filter", "prerouting", "mangle", 0.3)]
            wanted += [("filter", "prerouting", "raw", 0.2), ("filter", "postrouting", "mangle", 0.2)]
            wanted += [("filter", "forward", "filter + 10", 0.15)]
        if translating:
            wanted += [("nat", "postrouting", "srcnat", 0.6), ("nat", "prerouting", "dstnat", 0.5)]
            wanted += [("nat", "output", "-100", 0.05), ("nat", "input", "100", 0.05)]
        for kind, hook, priority, chance in wanted:
            if self.rng.random() < chance:
                body.append(self.base(family, kind, hook, priority))
        return f"table {family} t{family} {{\n" + "".join(self.sets + self.subchains + body) + "}\n"

    def base(self, family: str, kind: str, hook: str, priority: str) -> str:
        chain = Chain(family, hook, kind, early=priority == "raw")
        self.chains += 1
        name = f"{kind}_{hook}_{self.chains}"
        if kind == "filter" and self.rng.random() < 0.5:
            for depth in range(self.rng.randrange(1, 3)):
                under = f"{name}_{depth}"
                self.subchains.append(self.body(under, "", chain, self.rng.randrange(1, 4)))
                chain.below = [*chain.below, under]
        policy = "drop" if kind == "filter" and self.rng.random() < 0.15 else "accept"
        head = f"        type {kind} hook {hook} priority {priority}; policy {policy};\n"
        return self.body(
            name, head, chain, self.rng.randrange(0, 9) if kind == "filter" else self.rng.randrange(1, 4)
        )

    def body(self, name: str, head: str, chain: Chain, count: int) -> str:
        lines = [f"        {self.rule(chain)}\n" for _ in range(count)]
        return f"    chain {name} {{\n{head}{''.join(lines)}    }}\n"

    def named_sets(self, family: str) -> list[str]:
        """Sets that rules refer to: every table has the same."""
        sets = [
            ("ports", "inet_service; flags interval", "22, 80-89, 443, 8000-9000"),
            ("inside", "ifname", '"lan", "dmz"'),
            ("marks", "mark", "1, 0x10"),
        ]
        if family != "ip6":
            triples = [f"{FOUR[0]} . {host} . {port}" for host in FOUR[2:5] for port in SERVICES[:3]]
            sets += [
                ("hosts4", "ipv4_addr", ", ".join(FOUR[:3])),
                ("nets4", "ipv4_addr; flags interval", "10.1.0.0/25, 198.51.100.0/24"),
                ("triples", "ipv4_addr . ipv4_addr . inet_service", ", ".join(triples)),
            ]
        if family != "ip":
            sets.append(("nets6", "ipv6_addr; flags interval", "2001:db8:1::/64, 2001:db8:5::/48"))
        out = [
            f"    set {name} {{ type {kind}; elements = {{ {elements} }}\n    }}\n"
            for name, kind, elements in sets
        ]
        elements = "22 : accept, 123 : drop, 80 : continue"
        out.append(f"    map verdicts {{ type inet_service : verdict; elements = {{ {elements} }}\n    }}\n")
        return [*out, *self.changing_sets(family)] if self.changing else out

    def changing_sets(self, family: str) -> list[str]:
        """What rules change, and what they share."""
        rng = self.rng
        self.roomy = {}
        sets = [
            f"    limit slow {{ rate {rng.choice(('', 'over '))}{rng.randrange(2, 6)}/day burst 3 packets\n    }}\n",
            f"    quota most {{ {rng.choice(('', 'over '))}2000 bytes\n    }}\n",
        ]
        keys = {"ports": "inet_service", "four": "ipv4_addr", "six": "ipv6_addr"}
        for name, kind in keys.items():
            if family not in ({"four": "ip6", "six": "ip"}.get(name),):
                # Small ones are full soon: then the rule does not match.
                size, timeout = rng.choice((1, 2, 5, 1000)), rng.choice(("", "timeout 1h;"))
                self.roomy[f"seen_{name}"] = size == 1000
                head = f"type {kind}; flags dynamic{',timeout' if timeout else ''}; {timeout} size {size};"
                sets.append(f"    set seen_{name} {{ {head}\n    }}\n")
        pair = "ipv6_addr" if family == "ip6" else "ipv4_addr"
        sets.append(f"    set seen_pairs {{ type {pair} . inet_service; flags dynamic; size 4;\n    }}\n")
        return sets

    def rule(self, chain: Chain) -> str:
        self.number += 1
        self.six = chain.family == "ip6" or (chain.family == "inet" and self.rng.random() < 0.5)
        self.protocol = self.rng.choice(("tcp", "tcp", "udp", "th", "icmp", "other"))
        words = self.translation(chain) if chain.kind == "nat" else self.filtering(chain)
        return f'{words} comment "r{self.number}"'

    def filtering(self, chain: Chain) -> str:
        rng = self.rng
        if self.changing and rng.random() < 0.4:
            return self.changing_rule(chain)
        if rng.random() < 0.12:
            return self.verdict_map(chain)
        matches = [self.match(chain) for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 2)))]
        words = [m for m in matches if m]
        chance = rng.random()
        if chance < 0.05:
            words.append(
                f"limit rate {rng.choice(('', 'over '))}{rng.randrange(1, 5)}/day burst {rng.randrange(1, 5)} packets"
            )
        elif chance < 0.06:
            words.append(
                f"limit rate {rng.choice(('', 'over '))}10 bytes/day burst {rng.choice((100, 1000))} bytes"
            )
        elif chance < 0.08:
            words.append(f"quota {rng.choice(('', 'over '))}{rng.choice((100, 2000))} bytes")
        if rng.random() < 0.8:
            words.append("counter")
        chance = rng.random()
        if chance < 0.1:
            words.append(f"meta mark set {self.mark()}")
        elif chance < 0.15 and not chain.early:
            words.append(
                rng.choice((f"ct mark set {self.mark()}", "ct mark set meta mark", "meta mark set ct mark"))
            )
        elif chance < 0.18:
            words.append(rng.choice(('log prefix "seen "', "log")))
        words.append(self.verdict(chain, bool(matches)))
        return " ".join(word for word in words if word) or "counter"

    def changing_rule(self, chain: Chain) -> str:
        """A rule that changes a set or a segment, or asks for what others changed."""
        rng = self.rng
        before = self.match(chain) if rng.random() < 0.5 else ""
        choices = [self.set_statement(chain)] * 3
        if self.protocol in ("tcp", "th") and "meta l4proto" not in before:
            self.protocol = "tcp"
            choices += [self.segment(chain)] * 2
        choices += [self.seen(chain)] * 2
        choices.append(rng.choice(("limit name slow", "quota name most", "meta nftrace set 0")))
        if rng.random() < 0.3:
            choices += [self.header(chain)] * 6
        words = [before, rng.choice(choices), "counter"]
        words.append(rng.choice(("", "", "", "accept", "drop", "continue", "meta mark set 0x10")))
        return " ".join(word for word in words if word)

    def element(self, chain: Chain) -> tuple[str, str]:
        """The name of a set, and an element for it."""
        rng = self.rng
        word, name = ("ip6", "six") if self.six else ("ip", "four")
        side = rng.choice(("saddr", "saddr", "daddr"))
        if self.protocol not in ("tcp", "udp"):
            return f"seen_{name}", f"{word} {side}"
        choices = [("seen_ports", f"{self.protocol} dport"), (f"seen_{name}", f"{word} {side}")]
        if self.six == (chain.family == "ip6"):
            choices.append(("seen_pairs", f"{word} {side} . {self.protocol} dport"))
        return rng.choice(choices)

    def set_statement(self, chain: Chain) -> str:
        rng = self.rng
        name, key = self.element(chain)
        each = rng.choice(("", "", " counter", " limit rate 3/day burst 2 packets", " quota 600 bytes"))
        if each and "counter" not in each and rng.random() < 0.5:
            each = each.replace("rate", "rate over").replace("quota", "quota over")
        if rng.random() < 0.2:
            self.meters += 1
            return f"meter m{self.meters} size {rng.choice((1, 3, 100))} {{ {key}{each or ' counter'} }}"
        # What is taken out makes room in Linux only when its time comes to collect it.
        word = rng.choice(("add", "add", "update", "delete" if self.roomy.get(name) else "add"))
        return f"{word} @{name} {{ {key}{'' if word == 'delete' else each} }}"

    def header(self, chain: Chain) -> str:
        """What is written into the header, and what packets that a router forwards have not."""
        rng = self.rng
        limit = rng.choice((1, 2, 64, 65))
        own = "ip6 hoplimit" if self.six else "ip ttl"
        word = "ip6" if self.six else "ip"
        choices = [f"{own} set {limit}", f"{word} dscp set {rng.choice(('cs1', 'ef', '0x2a'))}"] * 3
        choices += [
            "meta skuid 0",
            "skgid != 5",
            "meta mark 0x10/28",
            "ct mark 0/31" if not chain.early else "counter",
        ]
        if chain.hook in ("prerouting", "input", "forward"):
            choices.append(rng.choice(("iifgroup default", "iifgroup 2", "iifgroup != 3")))
        return rng.choice(choices)

    def seen(self, chain: Chain) -> str:
        name, key = self.element(chain)
        return f"{key} {self.rng.choice(('', '', '!= '))}@{name}"

    def segment(self, chain: Chain) -> str:
        rng = self.rng
        looks = (
            "tcp option maxseg size 500-1400",
            "tcp option maxseg size != 1460",
            "tcp option sack-perm exists",
            "tcp option timestamp missing",
            "tcp option window count > 3",
            "tcp option maxseg exists",
        )
        if rng.random() < 0.4:
            return rng.choice(looks)
        size = rng.choice(("536", "1000", "1400"))
        if chain.hook in LEAVING and rng.random() < 0.5:
            size = "rt mtu"
        flags = rng.choice(
            ("tcp flags syn", "tcp flags & (syn | rst) == syn", "tcp flags syn / fin,syn,rst", "")
        )
        return f"{flags} tcp option maxseg size set {size}".strip()

    def mark(self) -> str:
        return self.rng.choice(("1", "2", "0x10", "0xff00"))

    def verdict(self, chain: Chain, narrowed: bool) -> str:
        rng = self.rng
        choices = ["", "", "", "accept", "accept", "continue"]
        if narrowed:
            choices += ["drop", "drop", "accept", "return"]
            if chain.hook in REJECTING:
                choices += [self.reject(chain)] * 2
        if chain.below:
            choices += [f"jump {rng.choice(chain.below)}"] * 4 + [f"goto {rng.choice(chain.below)}"]
        if chain.early and narrowed:
            choices += ["notrack"] * 4
        return rng.choice(choices)

    def reject(self, chain: Chain) -> str:
        rng = self.rng
        choices = ["reject"]
        if self.protocol == "tcp":
            choices += ["meta l4proto tcp reject with tcp reset"] * 3
        if chain.family == "inet":
            kinds = ("admin-prohibited", "port-unreachable", "no-route", "host-unreachable")
            choices += [f"reject with icmpx type {kind}" for kind in kinds]
        if self.six:
            kinds = ("admin-prohibited", "addr-unreachable", "no-route", "port-unreachable", "policy-fail")
            choices += [f"reject with icmpv6 type {kind}" for kind in kinds]
        else:
            kinds = ("admin-prohibited", "net-unreachable", "prot-unreachable", "host-prohibited")
            choices += [f"reject with icmp type {kind}" for kind in kinds]
        return rng.choice(choices)

    def verdict_map(self, chain: Chain) -> str:
        rng = self.rng
        go = f"jump {rng.choice(chain.below)}" if chain.below else "accept"
        choices = [
            f"tcp dport vmap {{ 22 : accept, 80 : drop, 443 : {go}, 8000-9000 : continue }}",
            "udp dport vmap @verdicts",
            f"meta l4proto vmap {{ tcp : {go}, udp : accept }}",
        ]
        if not chain.early:
            choices.append(
                f"ct state vmap {{ established : accept, related : accept, invalid : drop, new : {go} }}"
            )
        if chain.hook in ("prerouting", "input", "forward"):
            choices.append(f'iifname vmap {{ "lan" : {go}, "dmz" : continue }}')
        if chain.family != "ip6":
            choices.append(f"ip saddr . tcp dport vmap {{ 10.1.0.10 . 80 : drop, 10.1.0.11 . 22 : {go} }}")
        if chain.family != "ip":
            choices.append(f"ip6 daddr vmap {{ 2001:db8:3::10 : {go}, 2001:db8:5::/64 : accept }}")
        return rng.choice(choices)

    def match(self, chain: Chain) -> str:
        """One match, or two that belong together."""
        rng = self.rng
        kinds = [
            self.interface,
            self.address,
            self.address,
            self.ports,
            self.ports,
            self.ports,
            self.packet,
            self.marks,
        ]
        if not chain.early:
            kinds += [self.connection] * 3
        return rng.choice(kinds)(chain)

    def interface(self, chain: Chain) -> str:
        rng = self.rng
        side = []
        if chain.hook in ARRIVING:
            side += ["iif"]
        if chain.hook in LEAVING:
            side += ["oif"]
        if chain.hook in ("prerouting", "input", "forward") and rng.random() < 0.1:
            return f"ether {rng.choice(('saddr', 'saddr !='))} 02:00:00:00:01:0{rng.randrange(1, 4)}"
        which, name = rng.choice(side), rng.choice(NAMES)
        forms = (
            f'{which}name "{name}"',
            f'{which}name != "{name}"',
            f'{which}name {{ "lan", "dmz" }}',
            f'{which}name "{name[0]}*"',
            f'{which} "{name}"',
            f'meta {which}name "{name}"',
            f"{which}name @inside",
        )
        return rng.choice(forms)

    def address(self, chain: Chain) -> str:
        rng = self.rng
        six = self.six
        word, hosts, nets = ("ip6", SIX, SIX_NETS) if six else ("ip", FOUR, FOUR_NETS)
        side, no = rng.choice(("saddr", "daddr")), rng.choice(("", "", "", "!= "))
        named = "@nets6" if six else rng.choice(("@hosts4", "@nets4"))
        value = rng.choice(
            (
                rng.choice(hosts),
                rng.choice(nets),
                named,
                f"{{ {rng.choice(hosts)}, {rng.choice(nets[3:4])} }}",
            )
        )
        if rng.random() < 0.08 and self.protocol in ("tcp", "udp"):
            return f"{word} {side} . {self.protocol} dport {{ {hosts[0]} . 80, {hosts[2]} . 53, {hosts[3]} . 443 }}"
        if not six and self.protocol in ("tcp", "udp") and rng.random() < 0.05:
            return f"ip saddr . ip daddr . {self.protocol} dport @triples"
        if rng.random() < 0.08 and chain.hook == "prerouting":
            return rng.choice(
                ("fib daddr type local", "fib saddr . iif oif missing", "fib saddr . iif oif exists")
            )
        return f"{word} {side} {no}{value}"

    def ports(self, chain: Chain) -> str:
        rng = self.rng
        if self.protocol == "icmp":
            return f"meta l4proto {'ipv6-icmp' if self.six else 'icmp'}"
        if self.protocol == "other":
            return f"meta l4proto {rng.choice(('!= tcp', 'esp', '{ icmp, ipv6-icmp, 200 }'))}"
        if rng.random() < 0.1:
            return "meta l4proto { tcp, udp }" if self.protocol == "th" else f"meta l4proto {self.protocol}"
        side = rng.choice(("dport", "dport", "sport"))
        service = rng.choice(SERVICES)
        value = rng.choice(
            (
                f"{service}",
                f"{service}",
                f"!= {service}",
                "{ 22, 53, 80-90, 8080 }",
                f"< {service}",
                f">= {service}",
                "1000-9000",
                "@ports",
            )
        )
        if self.protocol == "th":
            return f"meta l4proto {{ tcp, udp }} th {side} {value}"
        return f"{self.protocol} {side} {value}"

    def packet(self, chain: Chain) -> str:
        """What can differ from packet to packet of a flow."""
        rng = self.rng
        choices = ["meta length > 100", "meta length 40-60", "meta length { 40, 52, 60 }"]
        choices += ["meta pkttype host", "meta pkttype { unicast, broadcast }"]
        if self.protocol == "tcp":
            choices += [*TCP_FLAGS, "tcp window 0", "tcp doff > 5", "tcp sequence > 2147483648"]
        elif self.protocol == "udp":
            choices += ["udp length < 60", "udp length 8-30"]
        if self.six:
            choices += ["ip6 hoplimit < 3", "ip6 hoplimit >= 64", "ip6 dscp ef", "ip6 length > 100"]
            choices += ["exthdr hbh exists", "exthdr frag exists", "exthdr dst missing"]
            if self.protocol == "icmp":
                choices += [
                    "icmpv6 type echo-request",
                    "icmpv6 type { packet-too-big, destination-unreachable }",
                ]
                choices += ["ip6 nexthdr < 60", "icmpv6 code 0", "icmpv6 id < 30000"]
        else:
            choices += ["ip ttl < 3", "ip ttl 64", "ip dscp { af11, ef }", "ip dscp != cs0", "ip ecn ce"]
            choices += ["ip length > 200", "ip frag-off & 0x1fff != 0", "ip hdrlength > 5"]
            if chain.hook in ("prerouting", "input", "forward"):
                # Not of packets that a router makes: it chooses their identification.
                choices.append("ip id < 30000")
            if self.protocol == "icmp":
                choices += ["icmp type echo-request", "icmp code 1", "ip protocol < 60", "icmp id < 30000"]
                choices += ["icmp type { echo-request, destination-unreachable, time-exceeded }"]
        if chain.family == "inet":
            choices.append(f"meta nfproto ipv{6 if self.six else 4}")
        return rng.choice(choices)

    def connection(self, chain: Chain) -> str:
        rng = self.rng
        if rng.random() < 0.6:
            return f"ct state {rng.choice(CT_STATES)}"
        choices = [
            "ct direction original",
            "ct direction reply",
            "ct status snat",
            "ct status dnat",
            "ct status assured",
            "ct status seen-reply",
            "ct status confirmed",
            f"ct mark {self.mark()}",
            "ct mark & 0x11 != 0",
        ]
        if self.protocol in ("tcp", "udp"):
            choices.append(f"meta l4proto {self.protocol} ct original proto-dst 80")
            choices.append(f"meta l4proto {self.protocol} ct reply proto-src {{ 53, 80, 443 }}")
        if self.six:
            choices += ["ct original ip6 daddr 2001:db8:ff::1", "ct reply ip6 saddr 2001:db8:3::/64"]
        else:
            choices += ["ct original ip saddr 10.1.0.0/24", "ct reply ip saddr 10.3.0.10"]
        return rng.choice(choices)

    def marks(self, chain: Chain) -> str:
        if self.rng.random() < 0.5:
            return f"meta mark {self.rng.choice(('', '!= '))}{self.mark()}"
        return self.rng.choice(("meta mark & 0xff == 0x10", "meta mark 1-16", "mark 0", "meta mark @marks"))

    def translation(self, chain: Chain) -> str:
        rng = self.rng
        six = self.six
        word = "ip6" if six else "ip"
        to = f"{word} to" if chain.family == "inet" else "to"
        words = []
        if chain.family == "inet":
            words.append(f"meta nfproto ipv{6 if six else 4}")
        if rng.random() < 0.3:
            words.append(self.interface(chain))
        if rng.random() < 0.2:
            self.protocol = "other"
            words.append(self.address(chain))
        if chain.hook in ("postrouting", "input"):
            words.append(self.source(chain, six, to))
        else:
            words.append(self.destination(chain, six, to))
        return " ".join(word for word in words if word)

    def source(self, chain: Chain, six: bool, to: str) -> str:
        rng = self.rng
        inside = "ip6 saddr { 2001:db8:1::/64, 2001:db8:3::/64 }" if six else "ip saddr 10.0.0.0/8"
        single, pool, ports = (
            ("2001:db8:ff::30", "2001:db8:ff::20-2001:db8:ff::23", "[2001:db8:ff::30]:2000-2100")
            if six
            else ("203.0.113.30", "203.0.113.20-203.0.113.23", "203.0.113.30:2000-2100")
        )
        if chain.hook == "input":
            return f"{inside} counter snat {to} {single}"
        if not six and rng.random() < 0.1:
            hosts = ", ".join(f"{host} : {single}" for host in FOUR[:3])
            return f"counter snat {to} ip saddr map {{ {hosts} }}"
        flags = rng.choice(("", "", "", "", " random", " fully-random", " persistent"))
        out = rng.choice(('oifname "wan" ', 'oifname "wan" ', ""))
        choices = [
            f"{out}{inside} counter masquerade",
            f"{out}{inside} counter masquerade",
            f"{out}{inside} counter snat {to} {single}",
            f"{out}{inside} counter snat {to} {single}{flags}",
            f"{out}{inside} counter snat {to} {pool}{flags}",
            f"{out}{inside} meta l4proto {{ tcp, udp }} counter snat {to} {ports}",
            f"{out}{inside} meta l4proto {{ tcp, udp }} counter masquerade to :2000-2100",
            f"{out}udp sport 4000 counter masquerade to :4100-4103 random",
        ]
        return rng.choice(choices)

    def destination(self, chain: Chain, six: bool, to: str) -> str:
        rng = self.rng
        host, host_port, pool = (
            ("2001:db8:3::10", "[2001:db8:3::10]:8080", "2001:db8:3::20-2001:db8:3::21")
            if six
            else ("10.3.0.10", "10.3.0.10:8080", "10.3.0.20-10.3.0.21")
        )
        own = "ip6 daddr 2001:db8:ff::1" if six else "ip daddr 203.0.113.1"
        other = "2001:db8:3::11" if six else "10.3.0.11"
        service = rng.choice(SERVICES)
        choices = [
            f"{own} tcp dport {service} counter dnat {to} {host_port}",
            f"{own} udp dport {service} counter dnat {to} {host_port}",
            f"{own} meta l4proto {{ tcp, udp }} counter dnat {to} {host}",
            f"{own} counter dnat {to} {host}",
            f"{own} counter dnat {to} {pool}",
            f"tcp dport {service} counter redirect to :8080",
            f"udp dport {service} counter redirect",
            f"{own} dnat {to} tcp dport map {{ 80 : {host}, 443 : {other} }}",
            f"tcp dport 80-89 counter dnat {to} {host_port}",
        ]
        return rng.choice(choices)
