//! Statements.
use std::fmt::{self, Display, Formatter};
use std::net::Ipv6Addr;

use super::expression::{
    print_field, print_interval, print_key, print_lookup, print_match, print_time, print_value,
};
use crate::ast::{
    Counter, Dynamic, ElementStatement, IcmpX, Limit, LimitUnit, Log, LogFlags, MarkSource, MarkValue,
    MaxSegment, Nat, NatKind, NatValue, Period, Quota, RejectKind, SetOperation, Statement, Table, Verdict,
};
use crate::field::{DataType, TableFamily};
use crate::names;

pub(super) fn print_statement(
    out: &mut Formatter<'_>,
    statement: &Statement,
    family: TableFamily,
    table: Option<&Table>,
) -> fmt::Result {
    match statement {
        Statement::Match(found) => print_match(out, found),
        Statement::Vmap(lookup) => print_lookup(out, lookup, "vmap", &[]),
        Statement::Counter(Counter::Anonymous { packets, bytes }) => {
            write!(out, "counter packets {packets} bytes {bytes}")
        }
        Statement::Counter(Counter::Named(name)) => write!(out, "counter name \"{name}\""),
        Statement::Limit(limit) => print_limit(out, limit),
        Statement::NamedLimit(name) => write!(out, "limit name \"{name}\""),
        Statement::Quota(quota) => print_quota(out, quota),
        Statement::NamedQuota(name) => write!(out, "quota name \"{name}\""),
        Statement::Log(log) => print_log(out, log),
        Statement::SetMark(value) => {
            out.write_str("meta mark set ")?;
            print_mark(out, value)
        }
        Statement::SetCtMark(value) => {
            out.write_str("ct mark set ")?;
            print_mark(out, value)
        }
        Statement::SetMaxSegment(MaxSegment::Constant(size)) => {
            write!(out, "tcp option maxseg size set {size}")
        }
        Statement::SetMaxSegment(MaxSegment::RouteMtu) => out.write_str("tcp option maxseg size set rt mtu"),
        Statement::SetField(field, value) => {
            print_field(out, *field)?;
            out.write_str(" set ")?;
            print_value(out, field.data_type(), (*value).into())
        }
        Statement::Dynamic(dynamic) => print_dynamic(out, dynamic, table),
        Statement::NoTrack => out.write_str("notrack"),
        Statement::FlowAdd(name) => write!(out, "flow add @{name}"),
        Statement::NfTrace(on) => write!(out, "meta nftrace set {}", u8::from(*on)),
        Statement::Verdict(verdict) => print_verdict(out, verdict, table),
        Statement::Reject(kind) => print_reject(out, *kind),
        Statement::Nat(nat) => print_nat(out, nat, family),
    }
}

/// A verdict; a chain that has no name of its own is written in its place.
fn print_verdict(out: &mut Formatter<'_>, verdict: &Verdict, table: Option<&Table>) -> fmt::Result {
    let (word, name) = match verdict {
        Verdict::Jump(name) => ("jump", name),
        Verdict::Goto(name) => ("goto", name),
        _ => return write!(out, "{verdict}"),
    };
    let chain = table.and_then(|table| table.chains.iter().find(|chain| chain.name == *name));
    let (Some(table), Some(chain)) = (table, chain.filter(|chain| chain.anonymous)) else {
        return write!(out, "{verdict}");
    };
    writeln!(out, "{word} {{")?;
    for rule in &chain.rules {
        let rule = super::RuleText { rule, family: table.family, table: Some(table) };
        writeln!(out, "\t\t\t{rule}")?;
    }
    out.write_str("\t\t}")
}

fn print_dynamic(out: &mut Formatter<'_>, dynamic: &Dynamic, table: Option<&Table>) -> fmt::Result {
    let name = &dynamic.set;
    if dynamic.meter {
        let set = table.and_then(|table| table.sets.iter().find(|set| set.name == *name));
        write!(out, "meter {name}")?;
        if let Some(size) = set.and_then(|set| set.size) {
            write!(out, " size {size}")?;
        }
    } else {
        let word = match dynamic.operation {
            SetOperation::Add => "add",
            SetOperation::Update => "update",
            SetOperation::Delete => "delete",
        };
        write!(out, "{word} @{name}")?;
    }
    out.write_str(" { ")?;
    print_key(out, &dynamic.key)?;
    if let Some(timeout) = dynamic.timeout {
        out.write_str(" timeout ")?;
        print_time(out, timeout.into())?;
    }
    for each in &dynamic.each {
        match each {
            ElementStatement::Counter { packets: 0, bytes: 0 } => out.write_str(" counter")?,
            ElementStatement::Counter { packets, bytes } => {
                write!(out, " counter packets {packets} bytes {bytes}")?;
            }
            ElementStatement::Limit(limit) => {
                out.write_str(" ")?;
                print_limit(out, limit)?;
            }
            ElementStatement::Quota(quota) => {
                out.write_str(" ")?;
                print_quota(out, quota)?;
            }
        }
    }
    out.write_str(" }")
}

fn print_limit(out: &mut Formatter<'_>, limit: &Limit) -> fmt::Result {
    out.write_str("limit ")?;
    print_rate(out, limit)
}

pub(super) fn print_rate(out: &mut Formatter<'_>, limit: &Limit) -> fmt::Result {
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
            write!(out, "rate {over}{}/{per} burst {} packets", limit.rate, limit.burst)
        }
        LimitUnit::Bytes => {
            let (rate, unit) = scaled(limit.rate);
            write!(out, "rate {over}{rate} {unit}/{per}")?;
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
    out.write_str("quota ")?;
    print_amount(out, quota)
}

pub(super) fn print_amount(out: &mut Formatter<'_>, quota: &Quota) -> fmt::Result {
    let (bytes, unit) = scaled(quota.bytes);
    write!(out, "{}{bytes} {unit}", if quota.over { "over " } else { "" })?;
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
    if let Some(group) = log.group {
        write!(out, " group {group}")?;
    }
    if let Some(length) = log.snaplen {
        write!(out, " snaplen {length}")?;
    }
    if let Some(threshold) = log.queue_threshold {
        write!(out, " queue-threshold {threshold}")?;
    }
    print_log_flags(out, log.flags)
}

fn print_log_flags(out: &mut Formatter<'_>, flags: LogFlags) -> fmt::Result {
    if flags == LogFlags::ALL {
        return out.write_str(" flags all");
    }
    match (flags.has(LogFlags::TCP_SEQUENCE), flags.has(LogFlags::TCP_OPTIONS)) {
        (true, true) => out.write_str(" flags tcp sequence,options")?,
        (true, false) => out.write_str(" flags tcp sequence")?,
        (false, true) => out.write_str(" flags tcp options")?,
        (false, false) => {}
    }
    let others =
        [(LogFlags::IP_OPTIONS, "ip options"), (LogFlags::SKUID, "skuid"), (LogFlags::ETHER, "ether")];
    for (flag, name) in others {
        if flags.has(flag) {
            write!(out, " flags {name}")?;
        }
    }
    Ok(())
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
