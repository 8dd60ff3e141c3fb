//! What a rule has already asked about protocols, and the matches that follow from it.
//!
//! nft(8) lets rules leave out what goes without saying: `tcp dport 22` looks at TCP only, `ip saddr` in a table of both
//! families at IPv4 only. The context adds these matches and refuses what cannot be true together.
use smallvec::{SmallVec, smallvec};

use crate::ast::{Interval, Key, Match, Operator, Rhs, SetElement, Statement};
use crate::error::Problem;
use crate::field::{Field, TableFamily, Transport, TuplePart};

pub(crate) const TCP: u8 = 6;
const UDP: u8 = 17;
const DCCP: u8 = 33;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

const NFPROTO_IPV4: u128 = 2;
const NFPROTO_IPV6: u128 = 10;

/// What is known of the upper-layer protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upper {
    Unknown,
    One(u8),
    /// One of several, all of which have ports or not.
    Several {
        ports: bool,
    },
}

/// What is known of the packet at a point within a rule.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    family: TableFamily,
    /// Never `Inet`.
    network: Option<TableFamily>,
    upper: Upper,
    /// The ICMP or ICMPv6 types that were asked for; empty if it can be any.
    icmp_types: SmallVec<[u128; 2]>,
}

impl Context {
    pub(crate) fn new(family: TableFamily) -> Self {
        let network = (family != TableFamily::Inet).then_some(family);
        Self { family, network, upper: Upper::Unknown, icmp_types: SmallVec::new() }
    }

    /// The context behind some statements.
    pub(crate) fn after(family: TableFamily, statements: &[Statement]) -> Self {
        let mut context = Self::new(family);
        for statement in statements {
            if let Statement::Match(found) = statement {
                context.learn(found);
            }
        }
        context
    }

    /// The family of the packet, if it is known.
    pub(crate) fn network(&self) -> Option<TableFamily> {
        self.network
    }

    /// Whether the table has both families.
    pub(crate) fn is_inet(&self) -> bool {
        self.family == TableFamily::Inet
    }

    /// Whether the packet is known to have ports.
    pub(crate) fn has_ports(&self) -> bool {
        match self.upper {
            Upper::Unknown => false,
            Upper::One(protocol) => has_ports(protocol),
            Upper::Several { ports } => ports,
        }
    }

    /// The field by the name of its protocol, where that is known.
    pub(crate) fn specific(&self, field: Field) -> Field {
        let transport = match self.upper {
            Upper::One(TCP) => Transport::Tcp,
            Upper::One(UDP) => Transport::Udp,
            Upper::One(UDP_LITE) => Transport::UdpLite,
            Upper::One(SCTP) => Transport::Sctp,
            Upper::One(DCCP) => Transport::Dccp,
            _ => return field,
        };
        match field {
            Field::SourcePort(Transport::Any) => Field::SourcePort(transport),
            Field::DestinationPort(Transport::Any) => Field::DestinationPort(transport),
            _ => field,
        }
    }

    /// The matches that a look at the field implies.
    pub(crate) fn require(&mut self, field: Field) -> Result<Vec<Match>, Problem> {
        let mut implied = Vec::new();
        match network_of(field) {
            Some(network) => self.require_network(network, &mut implied)?,
            None => self.require_upper_of(field, &mut implied)?,
        }
        Ok(implied)
    }

    fn require_upper_of(&mut self, field: Field, implied: &mut Vec<Match>) -> Result<(), Problem> {
        match field {
            // Where no port is, nft would compare whatever stands there.
            Field::SourcePort(Transport::Any) | Field::DestinationPort(Transport::Any)
                if !self.has_ports() =>
            {
                return Err(Problem::NeedsTransport);
            }
            Field::CtTuple(_, part) if part.is_port() && !self.has_ports() => {
                return Err(Problem::NeedsTransport);
            }
            Field::CtTuple(_, part) => return self.require_same_network(part),
            _ => {}
        }
        let Some(protocol) = upper_of(field) else { return Ok(()) };
        self.require_upper(protocol, implied)?;
        let Some((of, types)) = icmp_types_of(field) else { return Ok(()) };
        if self.icmp_types.is_empty() {
            self.icmp_types = types.into();
            let mut asked = match *types {
                [only] => implicit(of, Rhs::Value(only)),
                _ => implicit(
                    of,
                    Rhs::Anonymous(types.iter().map(|&value| SetElement::single(value)).collect()),
                ),
            };
            // nft prints the types where there are two.
            asked.implicit = types.len() == 1;
            implied.push(asked);
        } else if !self.icmp_types.iter().all(|known| types.contains(known)) {
            return Err(Problem::Conflict {
                earlier: "the ICMP type before",
                later: "a field of another type",
            });
        }
        Ok(())
    }

    /// The tuple's addresses are those of the packet's family.
    fn require_same_network(&self, part: TuplePart) -> Result<(), Problem> {
        let family = match part {
            TuplePart::SourceIp | TuplePart::DestinationIp => TableFamily::Ip,
            TuplePart::SourceIp6 | TuplePart::DestinationIp6 => TableFamily::Ip6,
            _ => return Ok(()),
        };
        match self.network {
            Some(known) if known != family => {
                Err(Problem::Conflict { earlier: known.keyword(), later: family.keyword() })
            }
            _ => Ok(()),
        }
    }

    /// Asks for packets of one family.
    pub(crate) fn require_network(
        &mut self,
        network: TableFamily,
        implied: &mut Vec<Match>,
    ) -> Result<(), Problem> {
        match self.network {
            Some(known) if known == network => {}
            Some(known) => {
                return Err(Problem::Conflict { earlier: known.keyword(), later: network.keyword() });
            }
            None => {
                self.network = Some(network);
                let value = if network == TableFamily::Ip { NFPROTO_IPV4 } else { NFPROTO_IPV6 };
                implied.push(implicit(Field::NfProto, Rhs::Value(value)));
            }
        }
        Ok(())
    }

    /// Asks for packets of one upper-layer protocol.
    pub(crate) fn require_upper(&mut self, protocol: u8, implied: &mut Vec<Match>) -> Result<(), Problem> {
        match self.upper {
            Upper::One(known) if known == protocol => Ok(()),
            Upper::Unknown => {
                match protocol {
                    ICMP if self.family == TableFamily::Inet => {
                        self.require_network(TableFamily::Ip, implied)?
                    }
                    ICMPV6 if self.family == TableFamily::Inet => {
                        self.require_network(TableFamily::Ip6, implied)?;
                    }
                    _ => {}
                }
                self.upper = Upper::One(protocol);
                implied.push(implicit(Field::L4Proto, Rhs::Value(u128::from(protocol))));
                Ok(())
            }
            Upper::One(_) | Upper::Several { .. } => Err(Problem::Conflict {
                earlier: "the protocol before",
                later: "this one (for several protocols `th` has the ports)",
            }),
        }
    }

    /// Takes note of a match.
    pub(crate) fn learn(&mut self, found: &Match) {
        if found.operator != Operator::Equal || found.key.mask.is_some() {
            return;
        }
        let [field] = found.key.fields[..] else { return };
        match (field, &found.rhs) {
            (Field::NfProto, Rhs::Value(NFPROTO_IPV4)) => self.network = Some(TableFamily::Ip),
            (Field::NfProto, Rhs::Value(NFPROTO_IPV6)) => self.network = Some(TableFamily::Ip6),
            (Field::L4Proto | Field::IpProtocol | Field::Ip6NextHeader, Rhs::Value(protocol)) => {
                self.upper = u8::try_from(*protocol).map_or(Upper::Unknown, Upper::One);
            }
            (Field::L4Proto | Field::IpProtocol | Field::Ip6NextHeader, Rhs::Anonymous(elements))
                if !matches!(self.upper, Upper::One(_)) =>
            {
                let ports = elements.iter().all(|element| {
                    element
                        .key
                        .iter()
                        .all(|range| range.is_single() && u8::try_from(range.low).is_ok_and(has_ports))
                });
                self.upper = Upper::Several { ports };
            }
            (Field::IcmpType | Field::Icmpv6Type, Rhs::Value(value)) => {
                self.icmp_types = smallvec![*value];
            }
            (Field::IcmpType | Field::Icmpv6Type, Rhs::Anonymous(elements))
                if elements.iter().all(|element| element.key[0].is_single()) =>
            {
                self.icmp_types = elements.iter().map(|element| element.key[0].low).collect();
            }
            _ => {}
        }
    }

    /// Whether a match contradicts what is known.
    pub(crate) fn check(&self, found: &Match) -> Result<(), Problem> {
        if found.operator != Operator::Equal || found.key.mask.is_some() {
            return Ok(());
        }
        let ([field], Rhs::Value(value)) = (&found.key.fields[..], &found.rhs) else { return Ok(()) };
        let family = match (*field, *value) {
            (Field::NfProto, NFPROTO_IPV4) | (Field::Protocol | Field::EtherType, 0x800) => TableFamily::Ip,
            (Field::NfProto, NFPROTO_IPV6) | (Field::Protocol | Field::EtherType, 0x86dd) => TableFamily::Ip6,
            (Field::L4Proto | Field::IpProtocol | Field::Ip6NextHeader, protocol) => {
                return match self.upper {
                    Upper::One(known) if u128::from(known) != protocol => {
                        Err(Problem::Conflict { earlier: "the protocol before", later: "this one" })
                    }
                    _ => Ok(()),
                };
            }
            _ => return Ok(()),
        };
        match self.network {
            Some(known) if known != family => {
                Err(Problem::Conflict { earlier: known.keyword(), later: family.keyword() })
            }
            _ => Ok(()),
        }
    }
}

fn implicit(field: Field, rhs: Rhs) -> Match {
    Match {
        key: Key { fields: smallvec![field], mask: None },
        operator: Operator::Equal,
        rhs,
        implicit: true,
    }
}

impl SetElement {
    /// An element of a set that is one value.
    pub(crate) fn single(value: u128) -> Self {
        Self { key: smallvec![Interval::single(value)], data: None, timeout: None, comment: None }
    }
}

/// Whether packets of a protocol have ports where rules look for them.
fn has_ports(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | UDP_LITE | SCTP | DCCP)
}

/// The family whose packets have the field.
fn network_of(field: Field) -> Option<TableFamily> {
    use Field as F;
    Some(match field {
        F::IpVersion
        | F::IpHeaderLength
        | F::IpDscp
        | F::IpEcn
        | F::IpLength
        | F::IpId
        | F::IpFragmentOffset
        | F::IpTtl
        | F::IpProtocol
        | F::IpChecksum
        | F::IpSource
        | F::IpDestination => TableFamily::Ip,
        F::Ip6Version
        | F::Ip6Dscp
        | F::Ip6Ecn
        | F::Ip6FlowLabel
        | F::Ip6Length
        | F::Ip6NextHeader
        | F::Ip6HopLimit
        | F::Ip6Source
        | F::Ip6Destination
        | F::ExtensionHeaderExists(_)
        | F::FragNextHeader
        | F::FragOffset
        | F::FragMoreFragments
        | F::FragId
        | F::RtNextHeader
        | F::RtHeaderLength
        | F::RtType
        | F::RtSegmentsLeft => TableFamily::Ip6,
        _ => return None,
    })
}

/// The upper-layer protocol whose packets have the field.
fn upper_of(field: Field) -> Option<u8> {
    use Field as F;
    Some(match field {
        F::SourcePort(transport) | F::DestinationPort(transport) => match transport {
            Transport::Any => return None,
            Transport::Tcp => TCP,
            Transport::Udp => UDP,
            Transport::UdpLite => UDP_LITE,
            Transport::Sctp => SCTP,
            Transport::Dccp => DCCP,
        },
        F::TcpSequence
        | F::TcpAcknowledgement
        | F::TcpDataOffset
        | F::TcpFlags
        | F::TcpWindow
        | F::TcpChecksum
        | F::TcpUrgentPointer => TCP,
        F::UdpLength | F::UdpChecksum => UDP,
        F::UdpLiteCoverage | F::UdpLiteChecksum => UDP_LITE,
        F::SctpVerificationTag | F::SctpChecksum => SCTP,
        F::DccpType => DCCP,
        F::IcmpType
        | F::IcmpCode
        | F::IcmpChecksum
        | F::IcmpId
        | F::IcmpSequence
        | F::IcmpMtu
        | F::IcmpGateway => ICMP,
        F::Icmpv6Type
        | F::Icmpv6Code
        | F::Icmpv6Checksum
        | F::Icmpv6Id
        | F::Icmpv6Sequence
        | F::Icmpv6Mtu
        | F::Icmpv6Pointer
        | F::Icmpv6MaxDelay => ICMPV6,
        _ => return None,
    })
}

/// The types of ICMP (RFC 792) or ICMPv6 (RFC 4443) messages that have the field.
fn icmp_types_of(field: Field) -> Option<(Field, &'static [u128])> {
    Some(match field {
        Field::IcmpId | Field::IcmpSequence => (Field::IcmpType, &[0, 8]),
        Field::IcmpMtu => (Field::IcmpType, &[3]),
        Field::IcmpGateway => (Field::IcmpType, &[5]),
        Field::Icmpv6Id | Field::Icmpv6Sequence => (Field::Icmpv6Type, &[128, 129]),
        Field::Icmpv6Mtu => (Field::Icmpv6Type, &[2]),
        Field::Icmpv6Pointer => (Field::Icmpv6Type, &[4]),
        Field::Icmpv6MaxDelay => (Field::Icmpv6Type, &[130]),
        _ => return None,
    })
}
