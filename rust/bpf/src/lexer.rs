//! Words of an expression, cut by the longest match.
//!
//! A hyphen, a full stop or a colon may belong to a number, a name or an address; the longest word wins, as in
//! tcpdump (`5-3` is one name, `tcp[2:2]` is not an address).
use std::net::Ipv6Addr;

use crate::errors::FilterError;
use crate::names;

/// A protocol that stands before an address, a port or an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Proto {
    Default,
    Link,
    Ip,
    Arp,
    Rarp,
    Sctp,
    Tcp,
    Udp,
    Icmp,
    Igmp,
    Igrp,
    Pim,
    Vrrp,
    Carp,
    Atalk,
    Aarp,
    Decnet,
    Lat,
    Sca,
    Mopdl,
    Moprc,
    Ip6,
    Icmp6,
    Ah,
    Esp,
    Iso,
    Esis,
    Isis,
    Clnp,
    IsisL1,
    IsisL2,
    IsisIih,
    IsisLsp,
    IsisSnp,
    IsisCsnp,
    IsisPsnp,
    Stp,
    Ipx,
    Netbeui,
    Radio,
}

/// A word with a fixed meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Word {
    Proto(Proto, &'static str),
    Src,
    Dst,
    Addr(u8),
    Ra,
    Ta,
    Host,
    Net,
    Mask,
    Port,
    PortRange,
    Carries,
    ProtoChain,
    Gateway,
    Type,
    Subtype,
    Direction,
    Less,
    Greater,
    Byte,
    Broadcast,
    Multicast,
    And,
    Or,
    Not,
    Len,
    Inbound,
    Outbound,
    IfIndex,
    Vlan,
    Mpls,
    PppoeD,
    PppoeS,
    Geneve,
    Llc,
    RuleNumber,
    /// A keyword of ATM, SS7 or pf, whose link types are not supported.
    Foreign(&'static str),
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tok {
    Word(Word),
    Number(u32),
    /// Two to four numbers with full stops between them.
    Dotted(String),
    V6(Ipv6Addr),
    Mac([u8; 6]),
    /// An ARCnet address, `$` and two digits.
    Arcnet,
    /// Any other name, or an escaped one.
    Name(String),
    /// One of `( ) [ ] : / < > = + - * & | ^ %` or, for two characters, their first: see [`Tok::Symbol2`].
    Symbol(u8),
    /// `<=`, `>=`, `!=`, `==`, `<<`, `>>`.
    Symbol2([u8; 2]),
    End,
}

/// A token and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) tok: Tok,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    pub(crate) fn column(&self) -> usize {
        self.start + 1
    }
}

/// Cuts an expression into tokens; the last one is [`Tok::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if matches!(bytes[at], b' ' | b'\t' | b'\n' | b'\r') {
            at += 1;
            continue;
        }
        let (tok, len) = next(text, at)?;
        out.push(Token { tok, start: at, end: at + len });
        at += len;
    }
    out.push(Token { tok: Tok::End, start: at, end: at });
    Ok(out)
}

fn next(text: &str, at: usize) -> Result<(Tok, usize), FilterError> {
    let rest = &text.as_bytes()[at..];
    let word = name_length(rest);
    // In order of rank among candidates of one length.
    let mut best: Option<(Tok, usize)> = None;
    let mut offer = |candidate: Option<(Tok, usize)>| {
        if let Some((tok, len)) = candidate
            && best.as_ref().is_none_or(|(_, longest)| len > *longest)
        {
            best = Some((tok, len));
        }
    };
    offer(mac(rest));
    let digits = number_length(rest);
    if digits > 0 {
        offer(Some((Tok::Number(0), digits)));
        offer(dotted(rest));
    }
    offer(ipv6(rest));
    if word > 0 {
        offer(Some((Tok::Name(String::new()), word)));
    }
    let slice = |len: usize| String::from_utf8_lossy(&rest[..len]).into_owned();
    match best {
        Some((Tok::Number(_), len)) => Ok((Tok::Number(number(&slice(len), at)?), len)),
        Some((Tok::Dotted(_), len)) => Ok((Tok::Dotted(slice(len)), len)),
        Some((Tok::Name(_), len)) => {
            let name = slice(len);
            let tok = match names::keyword(&name) {
                Some(word) => Tok::Word(word),
                None => match names::constant(&name) {
                    Some(value) => Tok::Number(value),
                    None => Tok::Name(name),
                },
            };
            Ok((tok, len))
        }
        Some(found) => Ok(found),
        None => symbol(text, at),
    }
}

fn symbol(text: &str, at: usize) -> Result<(Tok, usize), FilterError> {
    let rest = &text.as_bytes()[at..];
    if let [a, b, ..] = *rest {
        match [a, b] {
            [b'<', b'='] | [b'>', b'='] | [b'!', b'='] | [b'=', b'='] | [b'<', b'<'] | [b'>', b'>'] => {
                return Ok((Tok::Symbol2([a, b]), 2));
            }
            [b'&', b'&'] => return Ok((Tok::Word(Word::And), 2)),
            [b'|', b'|'] => return Ok((Tok::Word(Word::Or), 2)),
            _ => {}
        }
    }
    match rest[0] {
        b'!' => Ok((Tok::Word(Word::Not), 1)),
        c @ (b'(' | b')' | b'[' | b']' | b':' | b'/' | b'<' | b'>' | b'=' | b'+' | b'-' | b'*' | b'&'
        | b'|' | b'^' | b'%') => Ok((Tok::Symbol(c), 1)),
        b'$' if rest.get(1).is_some_and(u8::is_ascii_hexdigit) => {
            let len = if rest.get(2).is_some_and(u8::is_ascii_hexdigit) { 3 } else { 2 };
            Ok((Tok::Arcnet, len))
        }
        b'\\' => {
            let len = rest[1..].iter().take_while(|c| !b" !()\n\t".contains(c)).count();
            if len == 0 {
                return Err(unexpected(text, at));
            }
            Ok((Tok::Name(String::from_utf8_lossy(&rest[1..=len]).into_owned()), len + 1))
        }
        _ => Err(unexpected(text, at)),
    }
}

fn unexpected(text: &str, at: usize) -> FilterError {
    let found = text[at..].chars().next().map_or_else(String::new, |c| format!("`{}`", c.escape_default()));
    FilterError::Syntax { column: at + 1, found, expected: "a word, a number, an address or an operator" }
}

/// Letters, digits, hyphens, underscores and full stops, beginning with a letter or a digit and not ending with
/// a hyphen or an underscore.
fn name_length(rest: &[u8]) -> usize {
    if !rest.first().is_some_and(u8::is_ascii_alphanumeric) {
        return 0;
    }
    let run = rest.iter().take_while(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c)).count();
    let tail = rest[..run].iter().rev().take_while(|c| b"-_".contains(c)).count();
    run - tail
}

/// Decimal digits, or hexadecimal ones after `0x`.
fn number_length(rest: &[u8]) -> usize {
    if let [b'0', b'x' | b'X', digits @ ..] = rest {
        let hex = digits.iter().take_while(|c| c.is_ascii_hexdigit()).count();
        if hex > 0 {
            return hex + 2;
        }
    }
    rest.iter().take_while(|c| c.is_ascii_digit()).count()
}

fn dotted(rest: &[u8]) -> Option<(Tok, usize)> {
    let mut len = number_length(rest);
    let mut parts = 1;
    while parts < 4 && rest.get(len) == Some(&b'.') {
        let more = number_length(&rest[len + 1..]);
        if more == 0 {
            break;
        }
        len += more + 1;
        parts += 1;
    }
    (parts > 1).then(|| (Tok::Dotted(String::new()), len))
}

/// Six bytes with `:`, `-` or `.` between them, three groups of four digits with `.`, or twelve digits.
fn mac(rest: &[u8]) -> Option<(Tok, usize)> {
    let hex_run = |at: usize, most: usize| {
        rest[at.min(rest.len())..].iter().take(most).take_while(|c| c.is_ascii_hexdigit()).count()
    };
    let value = |from: usize, len: usize| {
        rest[from..from + len].iter().fold(0u32, |v, c| v << 4 | (*c as char).to_digit(16).unwrap_or(0))
    };
    let groups = |separator: u8, count: usize, least: usize, most: usize| {
        let (mut at, mut out) = (0, [0u32; 6]);
        for (i, slot) in out.iter_mut().take(count).enumerate() {
            if i > 0 {
                if rest.get(at) != Some(&separator) {
                    return None;
                }
                at += 1;
            }
            let len = hex_run(at, most);
            if len < least {
                return None;
            }
            *slot = value(at, len);
            at += len;
        }
        Some((out, at))
    };
    for separator in [b':', b'-', b'.'] {
        if let Some((bytes, len)) = groups(separator, 6, 1, 2) {
            return Some((Tok::Mac(bytes.map(|b| b as u8)), len));
        }
    }
    if let Some((words, len)) = groups(b'.', 3, 4, 4) {
        let [a, b, c, ..] = words;
        let bytes = [a >> 8, a, b >> 8, b, c >> 8, c].map(|v| v as u8);
        return Some((Tok::Mac(bytes), len));
    }
    (hex_run(0, 12) == 12).then(|| {
        let mut bytes = [0; 6];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = value(2 * i, 2) as u8;
        }
        (Tok::Mac(bytes), 12)
    })
}

/// The longest prefix that is an IPv6 address.
fn ipv6(rest: &[u8]) -> Option<(Tok, usize)> {
    // The longest text form has 45 characters.
    let run = rest.iter().take(46).take_while(|c| c.is_ascii_hexdigit() || b":.".contains(c)).count();
    (2..=run).rev().find_map(|len| {
        let text = std::str::from_utf8(&rest[..len]).ok()?;
        Some((Tok::V6(text.parse().ok()?), len))
    })
}

/// A number as in C: hexadecimal after `0x`, octal after `0`, else decimal.
fn number(text: &str, at: usize) -> Result<u32, FilterError> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    u32::from_str_radix(digits, radix).map_err(|_| FilterError::Malformed {
        column: at + 1,
        found: text.to_owned(),
        expected: "a number of 32 bits (octal after 0, hexadecimal after 0x)",
    })
}
