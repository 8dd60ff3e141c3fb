//! The left side of a match: what is looked at.
use smallvec::SmallVec;

use super::{Fault, Parsed, Parser};
use crate::ast::{Key, Match};
use crate::context::Context;
use crate::error::Problem;
use crate::field::{
    DataType, FibQuery, FibResult, Field, OptionPart, TableFamily, TcpOption, TupleDirection, TuplePart,
};
use crate::lexer::Kind;
use crate::names;
use crate::nearest::nearest;

/// The most fields in one concatenation; nft has registers for no more.
const MAX_KEY_FIELDS: usize = 5;
/// The most bytes in one concatenation (`NFT_DATA_VALUE_MAXLEN` of Linux).
const MAX_KEY_BYTES: usize = 64;

impl Parser<'_, '_> {
    /// Whether a field begins here.
    pub(super) fn at_field(&self) -> bool {
        match self.peek() {
            Kind::Word("fib") => true,
            Kind::Word(word) => names::is_header(word) || names::BARE_META.contains(&word),
            _ => false,
        }
    }

    /// A key: a field, a masked field or a concatenation. The matches it implies are added to `implied`.
    pub(super) fn key(&mut self, context: &mut Context, implied: &mut Vec<Match>) -> Parsed<Key> {
        let fields = self.concatenation(context, implied)?;
        let mut key = Key { fields, mask: None };
        if self.eat_symbol("&") || self.eat_word("and") {
            let [field] = key.fields[..] else {
                return self.unsupported("&", "a mask can stand only behind a single field");
            };
            let of = field.data_type();
            if matches!(of, DataType::Boolean | DataType::IfName | DataType::IfIndex) || of.bits() % 8 != 0 {
                return self.unsupported("&", "this field cannot be masked; compare it with a set of values");
            }
            key.mask = Some(self.mask(of)?);
        }
        match self.peek() {
            Kind::Symbol(symbol @ ("&" | "|" | "^" | "<<" | ">>")) => self
                .unsupported(symbol, "of calculations only one mask is possible: `field & value == value`"),
            Kind::Word(word @ ("and" | "or" | "xor" | "lshift" | "rshift")) => {
                self.unsupported(word, "of calculations only one mask is possible: `field & value == value`")
            }
            _ => Ok(key),
        }
    }

    fn concatenation(
        &mut self,
        context: &mut Context,
        implied: &mut Vec<Match>,
    ) -> Parsed<SmallVec<[Field; 2]>> {
        let span = self.span();
        let mut fields = SmallVec::new();
        loop {
            let at = self.span();
            let field = self.field(context)?;
            // `meta l4proto . th dport`: the elements say which protocols have the ports.
            let asks =
                |field: &Field| matches!(field, Field::L4Proto | Field::IpProtocol | Field::Ip6NextHeader);
            let told = fields.iter().any(asks) && field.is_any_port();
            if !told {
                implied.extend(context.require(field).map_err(|problem| Fault { span: at, problem })?);
            }
            fields.push(context.specific(field));
            if !self.eat_symbol(".") {
                break;
            }
        }
        if fields.len() > 1 && fields.iter().any(|field| !field.fits_concatenation()) {
            let problem = Problem::Unsupported {
                what: "a part of a byte, a length or `exists` in a concatenation".to_owned(),
                instead: "match it on its own; nft compares it wrongly there",
            };
            return Err(Fault { span, problem });
        }
        let bytes: usize =
            fields.iter().map(|field: &Field| usize::from(field.bits()).div_ceil(32) * 4).sum();
        if fields.len() > MAX_KEY_FIELDS || bytes > MAX_KEY_BYTES {
            let problem = Problem::TooMany {
                what: "fields in a concatenation",
                limit: MAX_KEY_FIELDS,
                remedy: "use several matches",
            };
            return Err(Fault { span, problem });
        }
        Ok(fields)
    }

    /// Fields of `typeof`.
    pub(super) fn field_types(&mut self) -> Parsed<SmallVec<[Field; 2]>> {
        let mut fields: SmallVec<[Field; 2]> = SmallVec::new();
        loop {
            let context = Context::new(TableFamily::Inet);
            let field = self.field(&context)?;
            fields.push(field);
            if !self.eat_symbol(".") {
                break;
            }
        }
        let whole = fields.iter().all(|field| field.data_type() != DataType::Boolean)
            && (fields.len() == 1 || fields.iter().all(|field| field.fits_concatenation()));
        if whole {
            return Ok(fields);
        }
        self.unsupported(
            "typeof",
            "sets of parts of a byte in concatenations, or of `exists`, do not work in nft",
        )
    }

    fn field(&mut self, context: &Context) -> Parsed<Field> {
        const EXPECTED: &str = "a field, such as `ip saddr`, `tcp dport`, `meta mark`, `ct state`";
        let Kind::Word(header) = self.peek() else { return self.unexpected(EXPECTED) };
        if names::BARE_META.contains(&header) {
            self.at += 1;
            return names::header_field("meta", header).map_or_else(|| self.unexpected(EXPECTED), Ok);
        }
        if header == "fib" {
            self.at += 1;
            return self.fib();
        }
        if !names::is_header(header) {
            return match unsupported_expression(header) {
                Some(instead) => self.unsupported(header, instead),
                None => self.unexpected_word(EXPECTED, names::headers()),
            };
        }
        self.at += 1;
        let Kind::Word(name) = self.peek() else { return self.unexpected("the name of a field") };
        if (header, name) == ("tcp", "option") {
            return self.tcp_option().map(Field::TcpOption);
        }
        if let Some(field) = names::header_field(header, name) {
            if field == Field::NfProto && context.network().is_some() && !context.is_inet() {
                return self
                    .unsupported("meta nfproto", "it is of use only in tables of family inet; leave it out");
            }
            self.at += 1;
            return Ok(field);
        }
        if header == "ct" {
            return self.ct_tuple();
        }
        match unsupported_field(header, name) {
            Some(instead) => self.unsupported(&format!("{header} {name}"), instead),
            None => {
                let nearest = nearest(name, names::fields(header));
                let (header, name) = (header.to_owned(), name.to_owned());
                self.fault(Problem::UnknownField { header, name, nearest })
            }
        }
    }

    /// `option NAME [FIELD]` behind `tcp`. Without a field it is asked whether the option is there.
    pub(super) fn tcp_option(&mut self) -> Parsed<TcpOption> {
        self.at += 1;
        let known = || names::TCP_OPTIONS.iter().map(|&(name, _)| name);
        let kind = match self.peek() {
            Kind::Word(word) => {
                names::TCP_OPTIONS.iter().find(|(name, _)| *name == word).map(|found| found.1)
            }
            Kind::Number(kind) => u8::try_from(kind).ok(),
            _ => None,
        };
        let Some(kind) = kind else {
            return self.unexpected_word("the name or number of a TCP option, such as maxseg", known());
        };
        let named = matches!(self.peek(), Kind::Word(_));
        self.at += 1;
        let part = match self.peek() {
            Kind::Word("length") if kind > 1 => OptionPart::Bytes { at: 1, length: 1 },
            Kind::Word(word) if named => names::TCP_OPTION_PARTS
                .iter()
                .find(|(of, name, ..)| *of == kind && *name == word)
                .map_or(OptionPart::Exists, |&(_, _, at, length)| OptionPart::Bytes { at, length }),
            _ => OptionPart::Exists,
        };
        self.at += usize::from(part != OptionPart::Exists);
        Ok(TcpOption { kind, part })
    }

    fn ct_tuple(&mut self) -> Parsed<Field> {
        let direction = match self.peek() {
            Kind::Word("original") => Some(TupleDirection::Original),
            Kind::Word("reply") => Some(TupleDirection::Reply),
            Kind::Word("l3proto" | "protocol") => None,
            Kind::Word("proto-src" | "proto-dst" | "saddr" | "daddr") => {
                return self.unexpected("`original` or `reply` before it");
            }
            Kind::Word(word) => {
                return match unsupported_field("ct", word) {
                    Some(instead) => self.unsupported(&format!("ct {word}"), instead),
                    None => self.unexpected_word(
                        "state, direction, status, mark, expiration, original, reply, l3proto or protocol",
                        names::fields("ct").chain(["original", "reply", "l3proto", "protocol"]),
                    ),
                };
            }
            _ => return self.unexpected("what of the connection is asked for"),
        };
        if direction.is_some() {
            self.at += 1;
        }
        let family = match self.peek() {
            Kind::Word("ip") => Some(TableFamily::Ip),
            Kind::Word("ip6") => Some(TableFamily::Ip6),
            _ => None,
        };
        if family.is_some() {
            self.at += 1;
        }
        let part = match self.peek() {
            Kind::Word("l3proto") if family.is_none() => TuplePart::L3Proto,
            Kind::Word("protocol") if family.is_none() => TuplePart::Protocol,
            Kind::Word("proto-src") if family.is_none() => TuplePart::SourcePort,
            Kind::Word("proto-dst") if family.is_none() => TuplePart::DestinationPort,
            Kind::Word("saddr" | "daddr") if family.is_none() => {
                return self.unexpected("the address with its family: `ct original ip saddr`");
            }
            Kind::Word("saddr") if family == Some(TableFamily::Ip) => TuplePart::SourceIp,
            Kind::Word("daddr") if family == Some(TableFamily::Ip) => TuplePart::DestinationIp,
            Kind::Word("saddr") => TuplePart::SourceIp6,
            Kind::Word("daddr") => TuplePart::DestinationIp6,
            _ => {
                let known = ["saddr", "daddr", "proto-src", "proto-dst", "l3proto", "protocol"];
                let expected = "ip saddr, ip6 daddr, proto-src, proto-dst, l3proto or protocol";
                return self.unexpected_word(expected, known);
            }
        };
        self.at += 1;
        // Both directions have the same protocols, and nft prints them without a direction.
        let direction = match part {
            TuplePart::L3Proto | TuplePart::Protocol => TupleDirection::Original,
            _ => direction.unwrap_or(TupleDirection::Original),
        };
        Ok(Field::CtTuple(direction, part))
    }

    fn fib(&mut self) -> Parsed<Field> {
        let mut query =
            FibQuery { destination: false, mark: false, iif: false, oif: false, result: FibResult::Exists };
        let mut address = false;
        loop {
            match self.peek() {
                Kind::Word("saddr") if !address => address = true,
                Kind::Word("daddr") if !address => {
                    address = true;
                    query.destination = true;
                }
                Kind::Word("mark") => query.mark = true,
                Kind::Word("iif") if !query.oif => query.iif = true,
                Kind::Word("oif") if !query.iif => query.oif = true,
                _ => {
                    let expected = "saddr or daddr, then perhaps `. iif`, `. oif` or `. mark`";
                    return self.unexpected_word(expected, ["saddr", "daddr", "mark", "iif", "oif"]);
                }
            }
            self.at += 1;
            if !self.eat_symbol(".") {
                break;
            }
        }
        if !address {
            return self.unexpected("`saddr` or `daddr` in what the routing table is asked with");
        }
        query.result = match self.peek() {
            Kind::Word("oif") => FibResult::Exists,
            Kind::Word("type") => FibResult::AddressType,
            Kind::Word("oifname") => {
                return self.unsupported("fib … oifname", "ask whether there is a route: `fib … oif exists`");
            }
            _ => return self.unexpected_word("`oif` or `type`", ["oif", "type"]),
        };
        self.at += 1;
        Ok(Field::Fib(query))
    }
}

/// Whether nft knows an expression that begins with the word, be it one of the subset or not.
pub(super) fn is_expression(word: &str) -> bool {
    names::is_header(word) || unsupported_expression(word).is_some()
}

/// Expressions of nft that the subset has not, and what to do.
fn unsupported_expression(word: &str) -> Option<&'static str> {
    Some(match word {
        "arp" => "address resolution is not filtered",
        "vlan" => "use the name of the VLAN's port: `iifname \"lan.5\"`",
        "igmp" => "match `ip protocol igmp`",
        "ah" => "match the protocol: `meta l4proto ah`",
        "esp" => "match the protocol: `meta l4proto esp`",
        "comp" => "match the protocol: `meta l4proto comp`",
        "hbh" | "dst" | "mh" | "srh" => "ask whether the header is there: `exthdr hbh exists`",
        "socket" | "osf" | "ipsec" | "numgen" | "jhash" | "symhash" => {
            "match header fields, ports or marks instead"
        }
        "cpu" | "iiftype" | "oiftype" | "ibrname" | "obrname" | "rtclassid" | "nftrace" => {
            "match ports by name or marks instead"
        }
        _ => return None,
    })
}

fn unsupported_field(header: &str, name: &str) -> Option<&'static str> {
    Some(match (header, name) {
        ("ip" | "sctp" | "dccp", "option" | "chunk") => {
            "match header fields; options and chunks are not looked at"
        }
        ("tcp", "reserved") | ("frag", "reserved" | "reserved2") | ("ip6", "priority") => {
            "reserved bits are not looked at"
        }
        ("icmpv6", "taddr" | "daddr") => "match `type` and `code`",
        ("rt", "classid" | "nexthop" | "mtu" | "ipsec" | "ip" | "ip6") => {
            "match what was routed by ports or addresses"
        }
        ("ct", "zone") => "there is one zone; match marks to tell networks apart",
        (
            "ct",
            "helper" | "label" | "event" | "timeout" | "expectation" | "count" | "bytes" | "packets"
            | "avgpkt" | "id" | "secmark",
        ) => "match `ct state`, `ct status` or `ct mark`",
        (
            "meta",
            "priority" | "random" | "secpath" | "ipsec" | "rtclassid" | "cpu" | "time" | "day" | "hour"
            | "iiftype" | "oiftype" | "iifkind" | "oifkind" | "ibrname" | "obrname" | "ibriport" | "obriport"
            | "ibridgename" | "obridgename" | "ibrpvid" | "ibrvproto" | "ibrhwaddr" | "sdif" | "sdifname"
            | "broute" | "nftrace",
        ) => "match ports by name, protocols, marks or the length instead",
        _ => return None,
    })
}
