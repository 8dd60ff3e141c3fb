//! Rule sets to text, as `nft list ruleset` would print them.
use std::fmt::{self, Display, Formatter, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::ast::{
    Base, Chain, ChainKind, Counter, CounterObject, Data, DataOf, Element, Hook, IcmpX, Interval, Key,
    KeyType, Limit, LimitUnit, Log, Lookup, MapSource, MarkSource, MarkValue, Match, Nat, NatKind, NatValue,
    Operator, Period, Policy, Quota, RejectKind, Rhs, Rule, RulesetAst, Set, SetElement, Statement, Table,
    Verdict,
};
use crate::field::{DataType, FibResult, Field, TableFamily, TupleDirection, TuplePart};
use crate::names;
use crate::parser::objects::{PRIORITIES, priority_at};

/// How far from a named priority nft prints its name and the difference.
const NEAR_PRIORITY: i32 = 10;

impl Display for RulesetAst {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for table in &self.tables {
            write!(out, "{table}")?;
        }
        Ok(())
    }
}

impl Display for Table {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(out, "table {} {} {{", self.family.keyword(), self.name)?;
        let mut first = true;
        let mut gap =
            |out: &mut Formatter<'_>| if std::mem::take(&mut first) { Ok(()) } else { writeln!(out) };
        if let Some(comment) = &self.comment {
            gap(out)?;
            writeln!(out, "\tcomment \"{comment}\"")?;
        }
        for counter in &self.counters {
            gap(out)?;
            print_counter(out, counter)?;
        }
        for set in &self.sets {
            gap(out)?;
            print_set(out, set)?;
        }
        for chain in &self.chains {
            gap(out)?;
            print_chain(out, chain, self.family)?;
        }
        writeln!(out, "}}")
    }
}

fn print_counter(out: &mut Formatter<'_>, counter: &CounterObject) -> fmt::Result {
    writeln!(out, "\tcounter {} {{", counter.name)?;
    if let Some(comment) = &counter.comment {
        writeln!(out, "\t\tcomment \"{comment}\"")?;
    }
    writeln!(out, "\t\tpackets {} bytes {}\n\t}}", counter.packets, counter.bytes)
}

fn print_set(out: &mut Formatter<'_>, set: &Set) -> fmt::Result {
    writeln!(out, "\t{} {} {{", if set.data.is_some() { "map" } else { "set" }, set.name)?;
    write!(out, "\t\t{}", TypeList(&set.key, true))?;
    match &set.data {
        None => {}
        Some(DataOf::Verdict) => out.write_str(" : verdict")?,
        Some(DataOf::Values { key, interval }) => {
            write!(out, " : {}{}", if *interval { "interval " } else { "" }, TypeList(key, false))?;
        }
    }
    writeln!(out)?;
    if let Some(size) = set.size {
        writeln!(out, "\t\tsize {size}")?;
    }
    match (set.constant, set.interval) {
        (true, true) => writeln!(out, "\t\tflags constant,interval")?,
        (true, false) => writeln!(out, "\t\tflags constant")?,
        (false, true) => writeln!(out, "\t\tflags interval")?,
        (false, false) => {}
    }
    if set.auto_merge {
        writeln!(out, "\t\tauto-merge")?;
    }
    if let Some(comment) = &set.comment {
        writeln!(out, "\t\tcomment \"{comment}\"")?;
    }
    if !set.elements.is_empty() {
        let data = match &set.data {
            Some(DataOf::Values { key, .. }) => key.data_types(),
            _ => smallvec::SmallVec::new(),
        };
        write!(out, "\t\telements = ")?;
        print_elements(out, &set.elements, &set.key.data_types(), &data, ",\n\t\t\t     ")?;
        writeln!(out)?;
    }
    writeln!(out, "\t}}")
}

/// A list of types or fields, with the keyword in front or not.
struct TypeList<'a>(&'a KeyType, bool);

impl Display for TypeList<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            KeyType::Types(types) => {
                out.write_str(if self.1 { "type " } else { "" })?;
                joined(out, types, " . ", |out, of| write!(out, "{of}"))
            }
            KeyType::TypeOf(fields) => {
                out.write_str(if self.1 { "typeof " } else { "" })?;
                joined(out, fields, " . ", |out, field| print_field(out, *field))
            }
        }
    }
}

fn joined<T>(
    out: &mut Formatter<'_>,
    items: &[T],
    between: &str,
    mut print: impl FnMut(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.write_str(between)?;
        }
        print(out, item)?;
    }
    Ok(())
}

fn print_chain(out: &mut Formatter<'_>, chain: &Chain, family: TableFamily) -> fmt::Result {
    writeln!(out, "\tchain {} {{", chain.name)?;
    if let Some(comment) = &chain.comment {
        writeln!(out, "\t\tcomment \"{comment}\"")?;
    }
    if let Some(base) = &chain.base {
        writeln!(out, "\t\t{base}")?;
    }
    for rule in &chain.rules {
        writeln!(out, "\t\t{}", rule.display(family))?;
    }
    writeln!(out, "\t}}")
}

impl Display for Base {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let (kind, hook) = (self.kind.keyword(), self.hook.keyword());
        let policy = match self.policy {
            Policy::Accept => "accept",
            Policy::Drop => "drop",
        };
        write!(
            out,
            "type {kind} hook {hook} priority {}; policy {policy};",
            Priority(self.priority, self.hook)
        )
    }
}

struct Priority(i32, Hook);

impl Display for Priority {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let near = PRIORITIES.iter().find(|&&(name, value)| {
            priority_at(name, self.1) && self.0.checked_sub(value).is_some_and(|by| by.abs() <= NEAR_PRIORITY)
        });
        match near {
            None => write!(out, "{}", self.0),
            Some(&(name, value)) => match self.0 - value {
                0 => out.write_str(name),
                by if by > 0 => write!(out, "{name} + {by}"),
                by => write!(out, "{name} - {}", -by),
            },
        }
    }
}

impl ChainKind {
    /// As it is written.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
            Self::Route => "route",
        }
    }
}

impl Hook {
    /// As it is written.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
        }
    }
}

/// A rule on its way to text.
struct RuleText<'a> {
    rule: &'a Rule,
    family: TableFamily,
}

impl Rule {
    /// The rule as text, in a table of the family.
    #[must_use]
    pub fn display(&self, family: TableFamily) -> impl Display + '_ {
        RuleText { rule: self, family }
    }
}

impl Display for RuleText<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for statement in &self.rule.statements {
            if matches!(statement, Statement::Match(found) if found.implicit) {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.write_char(' ')?;
            }
            print_statement(out, statement, self.family)?;
        }
        match &self.rule.comment {
            Some(comment) => write!(out, " comment \"{comment}\""),
            None => Ok(()),
        }
    }
}

fn print_statement(out: &mut Formatter<'_>, statement: &Statement, family: TableFamily) -> fmt::Result {
    match statement {
        Statement::Match(found) => print_match(out, found),
        Statement::Vmap(lookup) => print_lookup(out, lookup, "vmap", &[]),
        Statement::Counter(Counter::Anonymous { packets, bytes }) => {
            write!(out, "counter packets {packets} bytes {bytes}")
        }
        Statement::Counter(Counter::Named(name)) => write!(out, "counter name \"{name}\""),
        Statement::Limit(limit) => print_limit(out, limit),
        Statement::Quota(quota) => print_quota(out, quota),
        Statement::Log(log) => print_log(out, log),
        Statement::SetMark(value) => {
            out.write_str("meta mark set ")?;
            print_mark(out, value)
        }
        Statement::SetCtMark(value) => {
            out.write_str("ct mark set ")?;
            print_mark(out, value)
        }
        Statement::NoTrack => out.write_str("notrack"),
        Statement::Verdict(verdict) => write!(out, "{verdict}"),
        Statement::Reject(kind) => print_reject(out, *kind),
        Statement::Nat(nat) => print_nat(out, nat, family),
    }
}

fn print_match(out: &mut Formatter<'_>, found: &Match) -> fmt::Result {
    print_key(out, &found.key)?;
    let of = found.key.fields[0].data_type();
    let operator = match found.operator {
        Operator::AnyBit => "",
        // A comparison of bits without operator would ask for any of them; nft prints the operator behind masks, too.
        Operator::Equal if found.key.mask.is_some() => "== ",
        Operator::Equal if of.is_bitmask() && matches!(found.rhs, Rhs::Value(_)) => "== ",
        Operator::Equal => "",
        Operator::NotEqual => "!= ",
        Operator::Less => "< ",
        Operator::LessOrEqual => "<= ",
        Operator::Greater => "> ",
        Operator::GreaterOrEqual => ">= ",
        Operator::NoBit => "! ",
    };
    write!(out, " {operator}")?;
    let types: smallvec::SmallVec<[DataType; 2]> =
        found.key.fields.iter().map(|field| field.data_type()).collect();
    match &found.rhs {
        Rhs::Value(value) if of.is_bitmask() => {
            print_bits(out, of, *value, if operator.is_empty() { "," } else { " | " })
        }
        Rhs::Value(value) => print_interval(out, of, Interval::single(*value)),
        Rhs::Range(element) => print_parts(out, element, &types),
        Rhs::Anonymous(elements) => print_elements(out, elements, &types, &[], ", "),
        Rhs::Named(name) => write!(out, "@{name}"),
    }
}

fn print_key(out: &mut Formatter<'_>, key: &Key) -> fmt::Result {
    joined(out, &key.fields, " . ", |out, field| print_field(out, *field))?;
    let Some(mask) = key.mask else { return Ok(()) };
    let of = key.fields[0].data_type();
    if of.is_bitmask() && mask.count_ones() > 1 {
        out.write_str(" & (")?;
        print_bits(out, of, mask, " | ")?;
        return out.write_char(')');
    }
    out.write_str(" & ")?;
    print_bits(out, of, mask, " | ")
}

/// A value of a type that is made of bits, by their names; any other value as it is.
fn print_bits(out: &mut Formatter<'_>, of: DataType, value: u128, between: &str) -> fmt::Result {
    if !of.is_bitmask() {
        return print_value(out, of, value);
    }
    let mut bits = Vec::new();
    for bit in 0..u32::from(of.bits()) {
        if value >> bit & 1 == 1 {
            match names::name_of(of, 1 << bit) {
                Some(name) => bits.push(name),
                None => return write!(out, "{value:#x}"),
            }
        }
    }
    if bits.is_empty() {
        return out.write_str("0x0");
    }
    joined(out, &bits, between, |out, name| out.write_str(name))
}

fn print_field(out: &mut Formatter<'_>, field: Field) -> fmt::Result {
    match field {
        Field::CtTuple(direction, part) => print_tuple(out, direction, part),
        Field::Fib(query) => {
            write!(out, "fib {}", if query.destination { "daddr" } else { "saddr" })?;
            for (asked, name) in [(query.mark, "mark"), (query.iif, "iif"), (query.oif, "oif")] {
                if asked {
                    write!(out, " . {name}")?;
                }
            }
            out.write_str(match query.result {
                FibResult::Exists => " oif",
                FibResult::AddressType => " type",
            })
        }
        _ => match names::header_field_name(field) {
            Some(("meta", name))
                if names::BARE_META.contains(&name) && !matches!(name, "mark" | "pkttype") =>
            {
                out.write_str(name)
            }
            Some((header, name)) => write!(out, "{header} {name}"),
            None => Ok(()),
        },
    }
}

fn print_tuple(out: &mut Formatter<'_>, direction: TupleDirection, part: TuplePart) -> fmt::Result {
    let direction = match direction {
        TupleDirection::Original => "original",
        TupleDirection::Reply => "reply",
    };
    match part {
        TuplePart::L3Proto => out.write_str("ct l3proto"),
        TuplePart::Protocol => out.write_str("ct protocol"),
        TuplePart::SourceIp => write!(out, "ct {direction} ip saddr"),
        TuplePart::DestinationIp => write!(out, "ct {direction} ip daddr"),
        TuplePart::SourceIp6 => write!(out, "ct {direction} ip6 saddr"),
        TuplePart::DestinationIp6 => write!(out, "ct {direction} ip6 daddr"),
        TuplePart::SourcePort => write!(out, "ct {direction} proto-src"),
        TuplePart::DestinationPort => write!(out, "ct {direction} proto-dst"),
    }
}

fn print_value(out: &mut Formatter<'_>, of: DataType, value: u128) -> fmt::Result {
    if let Some(name) = names::name_of(of, value) {
        return out.write_str(name);
    }
    match of {
        DataType::Ipv4Addr => write!(out, "{}", Ipv4Addr::from_bits(value as u32)),
        DataType::Ipv6Addr => write!(out, "{}", Ipv6Addr::from_bits(value)),
        DataType::EtherAddr => {
            let bytes = value.to_be_bytes();
            joined(out, &bytes[10..], ":", |out, byte| write!(out, "{byte:02x}"))
        }
        DataType::Mark => write!(out, "{value:#010x}"),
        DataType::EtherType => write!(out, "{value:#06x}"),
        DataType::Dscp => write!(out, "{value:#04x}"),
        DataType::CtState | DataType::CtStatus | DataType::TcpFlag => print_bits(out, of, value, " | "),
        DataType::Time => print_time(out, value),
        _ => write!(out, "{value}"),
    }
}

fn print_time(out: &mut Formatter<'_>, milliseconds: u128) -> fmt::Result {
    let mut rest = milliseconds;
    if rest == 0 {
        return out.write_str("0s");
    }
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")] {
        if rest >= unit {
            write!(out, "{}{name}", rest / unit)?;
            rest %= unit;
        }
    }
    Ok(())
}

fn print_interval(out: &mut Formatter<'_>, of: DataType, range: Interval) -> fmt::Result {
    if matches!(of, DataType::IfName | DataType::IfIndex) {
        let bytes = range.low.to_be_bytes();
        let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        let name = String::from_utf8_lossy(&bytes[..length]);
        return write!(out, "\"{name}{}\"", if range.is_single() { "" } else { "*" });
    }
    if range.is_single() {
        return print_value(out, of, range.low);
    }
    if matches!(of, DataType::Ipv4Addr | DataType::Ipv6Addr) {
        let size = range.high - range.low;
        let host = u32::from(of.bits()).min(128 - size.leading_zeros());
        let is_prefix = size & size.wrapping_add(1) == 0 && range.low & size == 0;
        if is_prefix {
            print_value(out, of, range.low)?;
            return write!(out, "/{}", u32::from(of.bits()) - host);
        }
    }
    // Names could hold the dash of a range, so ranges have numbers.
    match of {
        DataType::Ipv4Addr | DataType::Ipv6Addr | DataType::EtherAddr | DataType::Mark | DataType::Time => {
            print_value(out, of, range.low)?;
            out.write_char('-')?;
            print_value(out, of, range.high)
        }
        _ => write!(out, "{}-{}", range.low, range.high),
    }
}

fn print_parts(out: &mut Formatter<'_>, element: &Element, types: &[DataType]) -> fmt::Result {
    let parts: smallvec::SmallVec<[(Interval, DataType); 2]> =
        element.iter().copied().zip(types.iter().copied()).collect();
    joined(out, &parts, " . ", |out, &(range, of)| print_interval(out, of, range))
}

fn print_elements(
    out: &mut Formatter<'_>,
    elements: &[SetElement],
    types: &[DataType],
    data_types: &[DataType],
    between: &str,
) -> fmt::Result {
    out.write_str("{ ")?;
    joined(out, elements, between, |out, element| {
        print_parts(out, &element.key, types)?;
        if let Some(comment) = &element.comment {
            write!(out, " comment \"{comment}\"")?;
        }
        match &element.data {
            None => Ok(()),
            Some(Data::Verdict(verdict)) => write!(out, " : {verdict}"),
            Some(Data::Values(values)) => {
                out.write_str(" : ")?;
                print_parts(out, values, data_types)
            }
        }
    })?;
    out.write_str(" }")
}

fn print_lookup(
    out: &mut Formatter<'_>,
    lookup: &Lookup,
    word: &str,
    data_types: &[DataType],
) -> fmt::Result {
    print_key(out, &lookup.key)?;
    write!(out, " {word} ")?;
    let types: smallvec::SmallVec<[DataType; 2]> =
        lookup.key.fields.iter().map(|field| field.data_type()).collect();
    match &lookup.map {
        MapSource::Anonymous(elements) => print_elements(out, elements, &types, data_types, ", "),
        MapSource::Named(name) => write!(out, "@{name}"),
    }
}

fn print_limit(out: &mut Formatter<'_>, limit: &Limit) -> fmt::Result {
    let over = if limit.over { "over " } else { "" };
    let per = match limit.per {
        Period::Second => "second",
        Period::Minute => "minute",
        Period::Hour => "hour",
        Period::Day => "day",
        Period::Week => "week",
    };
    match limit.unit {
        LimitUnit::Packets => {
            write!(out, "limit rate {over}{}/{per} burst {} packets", limit.rate, limit.burst)
        }
        LimitUnit::Bytes => {
            let (rate, unit) = scaled(limit.rate);
            write!(out, "limit rate {over}{rate} {unit}/{per}")?;
            if limit.burst == 0 {
                return Ok(());
            }
            let (burst, unit) = scaled(limit.burst.into());
            write!(out, " burst {burst} {unit}")
        }
    }
}

/// A number of bytes in the largest unit that divides it.
fn scaled(bytes: u64) -> (u64, &'static str) {
    match bytes {
        0 => (0, "bytes"),
        _ if bytes.is_multiple_of(1 << 20) => (bytes >> 20, "mbytes"),
        _ if bytes.is_multiple_of(1 << 10) => (bytes >> 10, "kbytes"),
        _ => (bytes, "bytes"),
    }
}

fn print_quota(out: &mut Formatter<'_>, quota: &Quota) -> fmt::Result {
    let (bytes, unit) = scaled(quota.bytes);
    write!(out, "quota {}{bytes} {unit}", if quota.over { "over " } else { "" })?;
    if quota.used == 0 {
        return Ok(());
    }
    let (used, unit) = scaled(quota.used);
    write!(out, " used {used} {unit}")
}

fn print_log(out: &mut Formatter<'_>, log: &Log) -> fmt::Result {
    out.write_str("log")?;
    if let Some(prefix) = &log.prefix {
        write!(out, " prefix \"{prefix}\"")?;
    }
    if let Some(level) = log.level {
        write!(out, " level {}", names::LOG_LEVELS[level as usize])?;
    }
    match log.group {
        Some(group) => write!(out, " group {group}"),
        None => Ok(()),
    }
}

fn print_mark(out: &mut Formatter<'_>, value: &MarkValue) -> fmt::Result {
    match value {
        MarkValue::Constant(value) => write!(out, "{value:#010x}"),
        MarkValue::Computed { from, and, xor } => {
            out.write_str(match from {
                MarkSource::Packet => "meta mark",
                MarkSource::Connection => "ct mark",
            })?;
            // `& and ^ xor` where both have no bit in common is the same as `& (and | xor) | xor`.
            let (keep, operator) = if and & xor == 0 { (and | xor, '|') } else { (*and, '^') };
            if keep != u32::MAX {
                write!(out, " & {keep:#010x}")?;
            }
            if *xor != 0 {
                write!(out, " {operator} {xor:#010x}")?;
            }
            Ok(())
        }
        MarkValue::Map(lookup) => print_lookup(out, lookup, "map", &[DataType::Mark]),
    }
}

impl Display for Verdict {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => out.write_str("accept"),
            Self::Drop => out.write_str("drop"),
            Self::Continue => out.write_str("continue"),
            Self::Return => out.write_str("return"),
            Self::Jump(chain) => write!(out, "jump {chain}"),
            Self::Goto(chain) => write!(out, "goto {chain}"),
        }
    }
}

fn print_reject(out: &mut Formatter<'_>, kind: RejectKind) -> fmt::Result {
    out.write_str("reject")?;
    match kind {
        RejectKind::TcpReset => out.write_str(" with tcp reset"),
        RejectKind::Icmp(code) => {
            out.write_str(" with icmp ")?;
            print_value(out, DataType::IcmpCode, code.into())
        }
        RejectKind::Icmp6(code) => {
            out.write_str(" with icmpv6 ")?;
            print_value(out, DataType::Icmpv6Code, code.into())
        }
        RejectKind::IcmpX(IcmpX::PortUnreachable) => out.write_str(" with icmpx port-unreachable"),
        RejectKind::IcmpX(IcmpX::NoRoute) => out.write_str(" with icmpx no-route"),
        RejectKind::IcmpX(IcmpX::HostUnreachable) => out.write_str(" with icmpx host-unreachable"),
        RejectKind::IcmpX(IcmpX::AdminProhibited) => out.write_str(" with icmpx admin-prohibited"),
    }
}

fn print_nat(out: &mut Formatter<'_>, nat: &Nat, family: TableFamily) -> fmt::Result {
    out.write_str(match nat.kind {
        NatKind::Snat => "snat",
        NatKind::Dnat => "dnat",
        NatKind::Masquerade => "masquerade",
        NatKind::Redirect => "redirect",
    })?;
    if let Some(address) = &nat.address {
        if family == TableFamily::Inet {
            write!(out, " {}", nat.family.keyword())?;
        }
        let of = if nat.family == TableFamily::Ip6 { DataType::Ipv6Addr } else { DataType::Ipv4Addr };
        out.write_str(" to ")?;
        match address {
            NatValue::Map(lookup) => print_lookup(out, lookup, "map", &[of, DataType::InetService])?,
            NatValue::Range(range) if of == DataType::Ipv6Addr && nat.port.is_some() => {
                write!(out, "[{}]", Ipv6Addr::from_bits(range.low))?;
                if !range.is_single() {
                    write!(out, "-[{}]", Ipv6Addr::from_bits(range.high))?;
                }
            }
            NatValue::Range(range) => print_interval(out, of, *range)?,
        }
    }
    if let Some(port) = &nat.port {
        out.write_str(if nat.address.is_some() { ":" } else { " to :" })?;
        match port {
            NatValue::Range(range) => print_interval(out, DataType::InetService, *range)?,
            NatValue::Map(lookup) => print_lookup(out, lookup, "map", &[DataType::InetService])?,
        }
    }
    let flags = [(nat.random, "random"), (nat.fully_random, "fully-random"), (nat.persistent, "persistent")];
    let mut before = ' ';
    for (_, name) in flags.iter().filter(|(set, _)| *set) {
        write!(out, "{before}{name}")?;
        before = ',';
    }
    Ok(())
}
