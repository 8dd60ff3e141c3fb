//! Protocol names, `proto` with a number, and what else depends on the protocol alone.
use super::ether_protocol::*;
use super::load::From;
use super::*;

impl Generator {
    /// A protocol's name that stands alone.
    pub(super) fn protocol(&mut self, proto: Proto, text: &'static str) -> Result<Frag> {
        match proto {
            Proto::Tcp => self.carries(6, Proto::Default),
            Proto::Udp => self.carries(17, Proto::Default),
            Proto::Sctp => self.carries(132, Proto::Default),
            Proto::Pim => self.carries(103, Proto::Default),
            Proto::Ah => self.carries(51, Proto::Default),
            Proto::Esp => self.carries(50, Proto::Default),
            Proto::Icmp => self.carries(1, Proto::Ip),
            Proto::Igmp => self.carries(2, Proto::Ip),
            Proto::Igrp => self.carries(9, Proto::Ip),
            Proto::Vrrp | Proto::Carp => self.carries(112, Proto::Ip),
            Proto::Icmp6 => self.carries(58, Proto::Ip6),
            Proto::Ip => self.link_protocol(ETHER_IP),
            Proto::Ip6 => self.link_protocol(ETHER_IP6),
            Proto::Arp => self.link_protocol(ETHER_ARP),
            Proto::Rarp => self.link_protocol(ETHER_RARP),
            Proto::Atalk => self.link_protocol(ETHER_ATALK),
            Proto::Aarp => self.link_protocol(0x80f3),
            Proto::Decnet => self.link_protocol(ETHER_DECNET),
            Proto::Sca => self.link_protocol(0x6007),
            Proto::Lat => self.link_protocol(0x6004),
            Proto::Mopdl => self.link_protocol(0x6001),
            Proto::Moprc => self.link_protocol(0x6002),
            Proto::Iso => self.link_protocol(SAP_ISO),
            Proto::Stp => self.link_protocol(SAP_STP),
            Proto::Ipx => self.link_protocol(SAP_IPX),
            Proto::Netbeui => self.link_protocol(SAP_NETBEUI),
            Proto::Esis => self.carries(0x82, Proto::Iso),
            Proto::Isis => self.carries(0x83, Proto::Iso),
            Proto::Clnp => self.carries(0x81, Proto::Iso),
            Proto::IsisL1 => self.isis_types(&[26, 24, 18, 15, 17]),
            Proto::IsisL2 => self.isis_types(&[27, 25, 20, 16, 17]),
            Proto::IsisIih => self.isis_types(&[17, 15, 16]),
            Proto::IsisLsp => self.isis_types(&[18, 20]),
            Proto::IsisSnp => self.isis_types(&[27, 26, 24, 25]),
            Proto::IsisCsnp => self.isis_types(&[24, 25]),
            Proto::IsisPsnp => self.isis_types(&[26, 27]),
            Proto::Link | Proto::Radio | Proto::Default => Err(FilterError::Qualifier {
                column: self.column,
                qualifier: text,
                subject: "nothing at all",
                remedy: "let `host`, `proto`, `broadcast` or an index follow",
            }),
        }
    }

    fn isis_types(&mut self, types: &[u32]) -> Result<Frag> {
        let mut all: Option<Frag> = None;
        for kind in types {
            let test = self.carries(*kind, Proto::Isis)?;
            all = Some(match all {
                Some(all) => self.graph.or(all, test),
                None => test,
            });
        }
        match all {
            Some(all) => Ok(all),
            None => Ok(self.constant(false)),
        }
    }

    /// `proto` carries the upper-layer protocol `number`.
    pub(super) fn carries(&mut self, number: u32, proto: Proto) -> Result<Frag> {
        match proto {
            Proto::Default => {
                let four = self.carries(number, Proto::Ip)?;
                let six = self.carries(number, Proto::Ip6)?;
                Ok(self.graph.or(four, six))
            }
            Proto::Link => self.link_protocol(number),
            Proto::Ip => {
                let ip = self.link_protocol(ETHER_IP)?;
                let test = self.equal(From::Network, 9, Width::Byte, number)?;
                Ok(self.graph.and(ip, test))
            }
            Proto::Ip6 => {
                // Extension headers are not followed, but for a fragment header that comes first.
                let ip6 = self.link_protocol(ETHER_IP6)?;
                let fragment = self.equal(From::Network, 6, Width::Byte, 44)?;
                let within = self.equal(From::Network, 40, Width::Byte, number)?;
                let within = self.graph.and(fragment, within);
                let next = self.equal(From::Network, 6, Width::Byte, number)?;
                let test = self.graph.or(next, within);
                Ok(self.graph.and(ip6, test))
            }
            Proto::Iso => {
                let iso = self.link_protocol(SAP_ISO)?;
                // In Cisco HDLC a byte of padding stands before it.
                let at = u32::from(self.layout.link == Link::CiscoHdlc);
                let test = self.equal(From::NetworkNoSnap, at, Width::Byte, number)?;
                Ok(self.graph.and(iso, test))
            }
            Proto::Isis => {
                let isis = self.carries(0x83, Proto::Iso)?;
                let test = self.equal(From::NetworkNoSnap, 4, Width::Byte, number)?;
                Ok(self.graph.and(isis, test))
            }
            _ => Err(self.bad_qualifier("`proto`", "use ip, ip6, iso, isis, ether or no protocol")),
        }
    }

    /// The qualifier's name is filled in by the caller that knows it.
    pub(super) fn bad_qualifier(&self, subject: &'static str, remedy: &'static str) -> FilterError {
        FilterError::Qualifier { column: self.column, qualifier: "", subject, remedy }
    }

    pub(super) fn llc(&mut self, test: LlcTest) -> Result<Frag> {
        let llc = match self.layout.link {
            Link::Ethernet => {
                // A length, and not raw 802.3.
                let length = self.is_length()?;
                let raw = self.equal(From::Llc, 0, Width::Half, 0xffff)?;
                self.graph.and(length, raw.not())
            }
            Link::Wlan | Link::WlanRadio => self.wlan_data_frame()?,
            _ => return Err(self.wrong_link("`llc`")),
        };
        let control = match test {
            LlcTest::Any => return Ok(llc),
            LlcTest::Information => self.compare(From::Llc, 2, Width::Byte, Cmp::Set, 1)?.not(),
            LlcTest::Control { mask, value } => self.masked(From::Llc, 2, Width::Byte, value, mask)?,
        };
        Ok(self.graph.and(llc, control))
    }

    /// The direction that Linux cooked captures record.
    pub(super) fn outbound(&mut self, outbound: bool) -> Result<Frag> {
        let (offset, width) = match self.layout.outermost {
            Link::Sll => (0, Width::Half),
            Link::Sll2 => (10, Width::Byte),
            _ => return Err(self.wrong_link("`inbound` or `outbound`")),
        };
        let test = self.equal(From::LinkHeader, offset, width, 4)?;
        Ok(if outbound { test } else { test.not() })
    }

    pub(super) fn if_index(&mut self, index: u32) -> Result<Frag> {
        if self.layout.link != Link::Sll2 {
            return Err(self.wrong_link("`ifindex`"));
        }
        self.equal(From::LinkHeader, 4, Width::Word, index)
    }

    pub(super) fn broadcast(&mut self, proto: Proto, text: &'static str) -> Result<Frag> {
        match proto {
            Proto::Default | Proto::Link => match self.layout.link {
                Link::Ethernet => {
                    let present = self.link_header_present()?;
                    let test = self.bytes(From::LinkHeader, 0, &[0xff; 6])?;
                    Ok(match present {
                        Some(present) => self.graph.and(present, test),
                        None => test,
                    })
                }
                Link::Wlan | Link::WlanRadio => self.wlan_destination(&[0xff; 6]),
                _ => Err(self.wrong_link("`broadcast`")),
            },
            Proto::Ip => {
                // A capture has no netmask, so that only the two limited broadcast addresses are known.
                let ip = self.link_protocol(ETHER_IP)?;
                let zeros = self.masked(From::Network, 16, Width::Word, 0, u32::MAX)?;
                let ones = self.masked(From::Network, 16, Width::Word, u32::MAX, u32::MAX)?;
                let either = self.graph.or(zeros, ones);
                Ok(self.graph.and(ip, either))
            }
            _ => Err(self.not_for(text, "`broadcast`", "use ether, ip or no protocol")),
        }
    }

    pub(super) fn multicast(&mut self, proto: Proto, text: &'static str) -> Result<Frag> {
        match proto {
            Proto::Default | Proto::Link => match self.layout.link {
                Link::Ethernet => {
                    let present = self.link_header_present()?;
                    let test = self.compare(From::LinkHeader, 0, Width::Byte, Cmp::Set, 1)?;
                    Ok(match present {
                        Some(present) => self.graph.and(present, test),
                        None => test,
                    })
                }
                Link::Wlan | Link::WlanRadio => self.wlan_multicast(),
                _ => Err(self.wrong_link("`multicast`")),
            },
            Proto::Ip => {
                let ip = self.link_protocol(ETHER_IP)?;
                let test = self.compare(From::Network, 16, Width::Byte, Cmp::Ge, 224)?;
                Ok(self.graph.and(ip, test))
            }
            Proto::Ip6 => {
                let ip6 = self.link_protocol(ETHER_IP6)?;
                let test = self.equal(From::Network, 24, Width::Byte, 255)?;
                Ok(self.graph.and(ip6, test))
            }
            _ => Err(self.not_for(text, "`multicast`", "use ether, ip, ip6 or no protocol")),
        }
    }

    pub(super) fn not_for(
        &self,
        qualifier: &'static str,
        subject: &'static str,
        remedy: &'static str,
    ) -> FilterError {
        FilterError::Qualifier { column: self.column, qualifier, subject, remedy }
    }
}
