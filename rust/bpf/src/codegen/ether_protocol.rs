//! "The link layer carries protocol so-and-so", for each link type.
use super::load::From;
use super::*;

pub(super) const ETHER_IP: u32 = 0x0800;
pub(super) const ETHER_ARP: u32 = 0x0806;
pub(super) const ETHER_RARP: u32 = 0x8035;
pub(super) const ETHER_IP6: u32 = 0x86dd;
pub(super) const ETHER_DECNET: u32 = 0x6003;
pub(super) const ETHER_ATALK: u32 = 0x809b;
const ETHER_AARP: u32 = 0x80f3;
const ETHER_IPX: u32 = 0x8137;
const ETHER_NS: u32 = 0x0600;

const SAP_IP: u32 = 0x06;
pub(super) const SAP_STP: u32 = 0x42;
pub(super) const SAP_IPX: u32 = 0xe0;
pub(super) const SAP_NETBEUI: u32 = 0xf0;
pub(super) const SAP_ISO: u32 = 0xfe;

/// The greatest value of an Ethernet type field that is a length.
const MAX_LENGTH: u32 = 1500;

impl Generator {
    /// An EtherType, or below 1501 an LLC service access point.
    pub(super) fn link_protocol(&mut self, proto: u32) -> Result<Frag> {
        if self.layout.labels > 0 {
            return self.mpls_protocol(proto);
        }
        match self.layout.link {
            Link::Ethernet => {
                let present = if self.layout.geneve { None } else { self.link_header_present()? };
                let test = self.ethernet_protocol(proto)?;
                Ok(match present {
                    Some(present) => self.graph.and(present, test),
                    None => test,
                })
            }
            Link::Wlan | Link::WlanRadio => {
                let data = self.wlan_data_frame()?;
                let test = self.llc_protocol(proto)?;
                Ok(self.graph.and(data, test))
            }
            Link::Raw(_) => match proto {
                ETHER_IP => self.masked(From::Network, 0, Width::Byte, 0x40, 0xf0),
                ETHER_IP6 => self.masked(From::Network, 0, Width::Byte, 0x60, 0xf0),
                _ => Ok(self.constant(false)),
            },
            Link::Ipv4 => Ok(self.constant(proto == ETHER_IP)),
            Link::Ipv6 => Ok(self.constant(proto == ETHER_IP6)),
            Link::Null | Link::Loop => self.loopback_protocol(proto),
            Link::Ppp | Link::PppSerial | Link::PppEther => {
                self.equal(From::LinkType, 0, Width::Half, ppp_protocol(proto))
            }
            Link::CiscoHdlc => {
                // OSI protocols stand there with their two service access points.
                let proto = if proto == SAP_ISO { proto << 8 | proto } else { proto };
                self.equal(From::LinkType, 0, Width::Half, proto)
            }
            Link::Sll => self.cooked_protocol(proto),
            Link::Sll2 => self.equal(From::LinkType, 0, Width::Half, proto),
        }
    }

    fn ethernet_protocol(&mut self, proto: u32) -> Result<Frag> {
        match proto {
            SAP_ISO | SAP_IP | SAP_NETBEUI => {
                let length = self.is_length()?;
                let test = self.equal(From::Llc, 0, Width::Half, proto << 8 | proto)?;
                Ok(self.graph.and(length, test))
            }
            SAP_IPX => {
                // With an EtherType, behind SNAP, behind LLC, or as "raw 802.3" without either.
                let raw = self.equal(From::Llc, 0, Width::Half, 0xffff)?;
                let sap = self.equal(From::Llc, 0, Width::Byte, SAP_IPX)?;
                let sap = self.graph.or(sap, raw);
                let snap = self.snap(0, ETHER_IPX)?;
                let framed = self.graph.or(snap, sap);
                let length = self.is_length()?;
                let framed = self.graph.and(length, framed);
                let typed = self.equal(From::LinkType, 0, Width::Half, ETHER_IPX)?;
                Ok(self.graph.or(typed, framed))
            }
            ETHER_ATALK | ETHER_AARP => {
                let length = self.is_length()?;
                let snap = self.apple_snap(proto)?;
                let framed = self.graph.and(length, snap);
                let typed = self.equal(From::LinkType, 0, Width::Half, proto)?;
                Ok(self.graph.or(typed, framed))
            }
            _ if proto <= MAX_LENGTH => {
                let length = self.is_length()?;
                let test = self.equal(From::LinkType, 2, Width::Byte, proto)?;
                Ok(self.graph.and(length, test))
            }
            _ => self.equal(From::LinkType, 0, Width::Half, proto),
        }
    }

    /// The type field is a length, so that LLC follows.
    pub(super) fn is_length(&mut self) -> Result<Frag> {
        Ok(self.compare(From::LinkType, 0, Width::Half, Cmp::Gt, MAX_LENGTH)?.not())
    }

    fn snap(&mut self, organization: u32, proto: u32) -> Result<Frag> {
        let [_, a, b, c] = organization.to_be_bytes();
        let [_, _, d, e] = proto.to_be_bytes();
        self.bytes(From::Llc, 0, &[0xaa, 0xaa, 0x03, a, b, c, d, e])
    }

    fn apple_snap(&mut self, proto: u32) -> Result<Frag> {
        self.snap(if proto == ETHER_ATALK { 0x08_0007 } else { 0 }, proto)
    }

    /// Behind an LLC header that is always there.
    fn llc_protocol(&mut self, proto: u32) -> Result<Frag> {
        match proto {
            SAP_IP | SAP_ISO | SAP_NETBEUI => self.equal(From::Llc, 0, Width::Half, proto << 8 | proto),
            SAP_IPX => self.equal(From::Llc, 0, Width::Byte, proto),
            ETHER_ATALK => self.apple_snap(proto),
            _ if proto <= MAX_LENGTH => self.equal(From::Llc, 0, Width::Byte, proto),
            _ => self.equal(From::Llc, 6, Width::Half, proto),
        }
    }

    /// Linux cooked captures say 4 for "802.2 follows" and 1 for "802.3 without LLC".
    fn cooked_protocol(&mut self, proto: u32) -> Result<Frag> {
        match proto {
            SAP_IP | SAP_ISO | SAP_NETBEUI => {
                let framed = self.equal(From::LinkType, 0, Width::Half, 4)?;
                let test = self.equal(From::Llc, 0, Width::Half, proto << 8 | proto)?;
                Ok(self.graph.and(framed, test))
            }
            SAP_IPX => {
                let sap = self.equal(From::Llc, 0, Width::Byte, SAP_IPX)?;
                let snap = self.snap(0, ETHER_IPX)?;
                let behind = self.graph.or(sap, snap);
                let framed = self.equal(From::LinkType, 0, Width::Half, 4)?;
                let framed = self.graph.and(framed, behind);
                let raw = self.equal(From::LinkType, 0, Width::Half, 1)?;
                let untyped = self.graph.or(raw, framed);
                let typed = self.equal(From::LinkType, 0, Width::Half, ETHER_IPX)?;
                Ok(self.graph.or(typed, untyped))
            }
            ETHER_ATALK | ETHER_AARP => {
                let framed = self.equal(From::LinkType, 0, Width::Half, 4)?;
                let snap = self.apple_snap(proto)?;
                let framed = self.graph.and(framed, snap);
                let typed = self.equal(From::LinkType, 0, Width::Half, proto)?;
                Ok(self.graph.or(typed, framed))
            }
            _ if proto <= MAX_LENGTH => {
                let framed = self.equal(From::LinkType, 0, Width::Half, 4)?;
                let test = self.equal(From::Llc, 0, Width::Byte, proto)?;
                Ok(self.graph.and(framed, test))
            }
            _ => self.equal(From::LinkType, 0, Width::Half, proto),
        }
    }

    /// BSD loopback: the address family. Each BSD numbers IPv6 in its own way: Darwin 30, NetBSD and OpenBSD 24,
    /// FreeBSD 28.
    fn loopback_protocol(&mut self, proto: u32) -> Result<Frag> {
        match proto {
            ETHER_IP => self.loopback_family(2),
            ETHER_IP6 => {
                let darwin = self.loopback_family(30)?;
                let bsd = self.loopback_family(24)?;
                let freebsd = self.loopback_family(28)?;
                let either = self.graph.or(darwin, bsd);
                Ok(self.graph.or(either, freebsd))
            }
            _ => Ok(self.constant(false)),
        }
    }

    fn loopback_family(&mut self, family: u32) -> Result<Frag> {
        let little = self.layout.link == Link::Null && self.order == ByteOrder::Little;
        self.equal(From::LinkHeader, 0, Width::Word, if little { family.swap_bytes() } else { family })
    }

    /// Behind MPLS only the bottom of the stack and the first nibble tell.
    fn mpls_protocol(&mut self, proto: u32) -> Result<Frag> {
        let version = match proto {
            ETHER_IP | PPP_IP => 0x40,
            ETHER_IP6 | PPP_IP6 => 0x60,
            _ => {
                return Err(FilterError::NotSupported {
                    column: self.column,
                    primitive: "mpls",
                    remedy: "behind it only IPv4 and IPv6 can be told apart",
                });
            }
        };
        let bottom = self.masked(From::LastLabel, 2, Width::Byte, 1, 1)?;
        let nibble = self.masked(From::Network, 0, Width::Byte, version, 0xf0)?;
        Ok(self.graph.and(bottom, nibble))
    }

    /// A Geneve payload has a link-layer header: its two offsets differ.
    pub(super) fn link_header_present(&mut self) -> Result<Option<Frag>> {
        if !self.layout.geneve {
            return Ok(None);
        }
        let mut stmts = Vec::new();
        if let Some(Stmt { k, .. }) = self.load_variable(|l| &mut l.link_header)? {
            stmts.push(Stmt::new(Op::LdMem, k));
        }
        stmts.extend(self.load_variable(|l| &mut l.payload)?);
        Ok(Some(self.graph.test_x(stmts, Cmp::Eq).not()))
    }
}

const PPP_IP: u32 = 0x21;
const PPP_IP6: u32 = 0x57;

fn ppp_protocol(proto: u32) -> u32 {
    match proto {
        ETHER_IP => PPP_IP,
        ETHER_IP6 => PPP_IP6,
        ETHER_DECNET => 0x27,
        ETHER_ATALK => 0x29,
        ETHER_NS => 0x25,
        SAP_ISO => 0x23,
        SAP_STP => 0x31,
        SAP_IPX => 0x2b,
        other => other,
    }
}
