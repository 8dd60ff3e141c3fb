//! Words with qualifiers: hosts, networks and link-layer addresses.
use std::net::Ipv6Addr;

use super::ether_protocol::*;
use super::load::From;
use super::*;
use crate::ast::{Dir, Kind, Quals, Word};
use crate::names;

impl Generator {
    pub(super) fn qualified(&mut self, quals: Quals, word: &Word) -> Result<Frag> {
        if quals.kind == Kind::None {
            return Err(FilterError::Syntax {
                column: self.column,
                found: "a word without qualifiers".to_owned(),
                expected: "`host`, `net`, `port`, `proto` or the like before it",
            });
        }
        match word {
            Word::Name(name) => self.name(quals, name),
            Word::Number(value) => self.number(quals, *value),
            Word::Dotted(text) => self.dotted(quals, text),
            Word::Prefix(text, bits) => {
                self.in_range("prefix length", *bits, 32)?;
                let mask = if *bits == 0 { 0 } else { u32::MAX << (32 - bits) };
                let (address, _) = self.ipv4(text)?;
                self.network(quals, address, mask, text)
            }
            Word::Masked(text, mask) => {
                let (address, _) = self.ipv4(text)?;
                let (mask, _) = self.ipv4(mask)?;
                self.network(quals, address, mask, text)
            }
            Word::V6(address, prefix) => self.address6(quals, *address, *prefix),
            Word::Mac(bytes) => self.mac(quals, bytes),
            Word::Arcnet => Err(self.wrong_link("an ARCnet address")),
        }
    }

    /// A number stands for what its qualifier says.
    fn number(&mut self, quals: Quals, value: u32) -> Result<Frag> {
        match quals.kind {
            Kind::Default | Kind::Host | Kind::Net if quals.proto == Proto::Decnet => {
                self.decnet_host(quals.dir, value & 0xffff)
            }
            Kind::Default | Kind::Host => self.host(quals, value, u32::MAX),
            Kind::Net => {
                // `net 10` is 10.0.0.0/8.
                let (mut address, mut mask) = (value, u32::MAX);
                while address != 0 && address & 0xff00_0000 == 0 {
                    address <<= 8;
                    mask <<= 8;
                }
                self.host(quals, address, mask)
            }
            Kind::Port => self.port_range(quals, None, value, None),
            Kind::PortRange => self.port_range(quals, None, value, Some(value)),
            Kind::Proto => self.carries_qualified(quals, value),
            Kind::ProtoChain => self.proto_chain(quals, value),
            Kind::Gateway | Kind::None => Err(self.wrong_word("a number")),
        }
    }

    /// `10.1` is the network 10.1.0.0/16 even behind `host`.
    fn dotted(&mut self, quals: Quals, text: &str) -> Result<Frag> {
        if quals.proto == Proto::Decnet {
            let address = self.decnet_address(text)?;
            return match quals.kind {
                Kind::Default | Kind::Host | Kind::Net => self.decnet_host(quals.dir, address),
                _ => Err(self.wrong_word("an address")),
            };
        }
        let (address, mask) = self.ipv4(text)?;
        match quals.kind {
            Kind::Default | Kind::Host | Kind::Net => self.host(quals, address, mask),
            _ => Err(self.wrong_word("an address")),
        }
    }

    /// Two to four numbers, moved to the left, and the mask of those that are given.
    fn ipv4(&self, text: &str) -> Result<(u32, u32)> {
        let bad = || FilterError::Malformed {
            column: self.column,
            found: text.to_owned(),
            expected: "an IPv4 address or network (decimal numbers up to 255)",
        };
        let (mut address, mut mask) = (0u32, 0u32);
        for (i, part) in text.split('.').enumerate() {
            if i > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(bad());
            }
            let value: u8 = part.parse().map_err(|_| bad())?;
            let shift = 24 - 8 * i as u32;
            address |= u32::from(value) << shift;
            mask |= 0xff << shift;
        }
        Ok((address, mask))
    }

    fn decnet_address(&self, text: &str) -> Result<u32> {
        // What follows the second number is not looked at.
        let parts: Vec<Option<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        match parts[..] {
            [Some(area), Some(node), ..] => Ok(area << 10 & 0xfc00 | node & 0x3ff),
            _ => Err(FilterError::Malformed {
                column: self.column,
                found: text.to_owned(),
                expected: "a DECnet address (area.node)",
            }),
        }
    }

    fn network(&mut self, quals: Quals, address: u32, mask: u32, text: &str) -> Result<Frag> {
        if address & !mask != 0 {
            return Err(FilterError::HostBits { column: self.column, network: text.to_owned() });
        }
        if quals.kind != Kind::Net {
            return Err(self.not_for("a mask", "a host", "write `net`"));
        }
        self.host(quals, address, mask)
    }

    fn name(&mut self, quals: Quals, name: &str) -> Result<Frag> {
        let unknown =
            |column, kind, remedy| FilterError::UnknownName { column, name: name.to_owned(), kind, remedy };
        let numeric = "names are not resolved here: write its address";
        match quals.kind {
            Kind::Net => match names::network(name) {
                Some(address) => self.host(quals, address, u32::MAX),
                None => Err(unknown(self.column, "network", numeric)),
            },
            Kind::Default | Kind::Host if quals.proto == Proto::Link => {
                Err(unknown(self.column, "link-layer host", numeric))
            }
            Kind::Default | Kind::Host if quals.proto == Proto::Decnet => {
                Err(unknown(self.column, "DECnet host", numeric))
            }
            Kind::Default | Kind::Host if name == "localhost" => self.localhost(quals),
            Kind::Default | Kind::Host => Err(unknown(self.column, "host", numeric)),
            Kind::Port => {
                let (port, transport) = self.service(name, quals)?;
                self.port_range(quals, transport, port, None)
            }
            Kind::PortRange => self.named_range(quals, name),
            Kind::Proto | Kind::ProtoChain => {
                let found = match quals.proto {
                    Proto::Default | Proto::Ip | Proto::Ip6 => names::ip_protocol(name),
                    Proto::Iso => names::osi_protocol(name),
                    Proto::Link => names::ether_protocol(name),
                    _ => None,
                };
                let remedy = "write its number";
                let number = found.ok_or_else(|| unknown(self.column, "protocol", remedy))?;
                self.number(quals, number)
            }
            Kind::Gateway | Kind::None => Err(self.wrong_word("a name")),
        }
    }

    fn wrong_word(&self, subject: &'static str) -> FilterError {
        self.not_for("this qualifier", subject, "see pcap-filter(7)")
    }

    /// The one name that every resolver knows; `ip6` asks for its IPv6 address.
    fn localhost(&mut self, quals: Quals) -> Result<Frag> {
        if quals.proto == Proto::Ip6 {
            return self.address6(quals, Ipv6Addr::LOCALHOST, None);
        }
        // Where the link layer has no type, tcpdump looks a resolved name up as an IPv4 address only.
        let untyped = matches!(self.layout.link, Link::Raw(_) | Link::Ipv4 | Link::Ipv6);
        let proto = if untyped && quals.proto == Proto::Default { Proto::Ip } else { quals.proto };
        self.host(Quals { proto, ..quals }, 0x7f00_0001, u32::MAX)
    }

    fn host(&mut self, quals: Quals, address: u32, mask: u32) -> Result<Frag> {
        match quals.proto {
            Proto::Default => {
                let mut all = self.address4(quals.dir, address, mask, ETHER_IP, 12, 16)?;
                if self.layout.labels == 0 {
                    let arp = self.address4(quals.dir, address, mask, ETHER_ARP, 14, 24)?;
                    all = self.graph.or(all, arp);
                    let rarp = self.address4(quals.dir, address, mask, ETHER_RARP, 14, 24)?;
                    all = self.graph.or(all, rarp);
                }
                Ok(all)
            }
            Proto::Ip => self.address4(quals.dir, address, mask, ETHER_IP, 12, 16),
            Proto::Arp => self.address4(quals.dir, address, mask, ETHER_ARP, 14, 24),
            Proto::Rarp => self.address4(quals.dir, address, mask, ETHER_RARP, 14, 24),
            Proto::Link => {
                Err(self.not_for(quals.proto_text, "an IPv4 address", "write a link-layer address, or `ip`"))
            }
            _ => Err(self.not_for(quals.proto_text, "an IPv4 address", "use ip, arp, rarp or no protocol")),
        }
    }

    fn address4(
        &mut self,
        dir: Dir,
        address: u32,
        mask: u32,
        proto: u32,
        src: u32,
        dst: u32,
    ) -> Result<Frag> {
        let offset = match dir {
            Dir::Src => src,
            Dir::Dst => dst,
            _ => {
                return self.both_ways(dir, "an IP address", |g, dir| {
                    g.address4(dir, address, mask, proto, src, dst)
                });
            }
        };
        let carried = self.link_protocol(proto)?;
        let test = self.masked(From::Network, offset, Width::Word, address, mask)?;
        Ok(self.graph.and(carried, test))
    }

    /// Source and destination, either or both.
    pub(super) fn both_ways(
        &mut self,
        dir: Dir,
        subject: &'static str,
        mut one: impl FnMut(&mut Self, Dir) -> Result<Frag>,
    ) -> Result<Frag> {
        match dir {
            Dir::And => {
                let src = one(self, Dir::Src)?;
                let dst = one(self, Dir::Dst)?;
                Ok(self.graph.and(src, dst))
            }
            Dir::Default | Dir::Or => {
                let src = one(self, Dir::Src)?;
                let dst = one(self, Dir::Dst)?;
                Ok(self.graph.or(src, dst))
            }
            Dir::Addr(_) => Err(self.not_for("addr1 to addr4", subject, "they are for 802.11 addresses")),
            Dir::Ra | Dir::Ta => Err(self.not_for("ra or ta", subject, "they are for 802.11 addresses")),
            Dir::Src | Dir::Dst => one(self, dir),
        }
    }

    fn address6(&mut self, quals: Quals, address: Ipv6Addr, prefix: Option<u32>) -> Result<Frag> {
        let bits = prefix.unwrap_or(128);
        self.in_range("prefix length", bits, 128)?;
        let mask = if bits == 0 { 0 } else { u128::MAX << (128 - bits) };
        if u128::from(address) & !mask != 0 {
            return Err(FilterError::HostBits { column: self.column, network: address.to_string() });
        }
        match quals.kind {
            Kind::Default | Kind::Host if bits != 128 => Err(self.not_for("a mask", "a host", "write `net`")),
            Kind::Default | Kind::Host | Kind::Net => match quals.proto {
                Proto::Default | Proto::Ip6 => self.words6(quals.dir, u128::from(address), mask),
                _ => Err(self.not_for(quals.proto_text, "an IPv6 address", "use ip6 or no protocol")),
            },
            _ => Err(self.wrong_word("an IPv6 address")),
        }
    }

    fn words6(&mut self, dir: Dir, address: u128, mask: u128) -> Result<Frag> {
        let offset = match dir {
            Dir::Src => 8,
            Dir::Dst => 24,
            _ => return self.both_ways(dir, "an IP address", |g, dir| g.words6(dir, address, mask)),
        };
        // Made before the test for IPv6, so that scratch words are given out in tcpdump's order.
        let mut words = Vec::with_capacity(4);
        for i in 0..4 {
            let word = |value: u128| (value >> (96 - 32 * i)) as u32;
            words.push(self.masked(From::Network, offset + 4 * i, Width::Word, word(address), word(mask))?);
        }
        let mut all = self.link_protocol(ETHER_IP6)?;
        for word in words {
            all = self.graph.and(all, word);
        }
        Ok(all)
    }

    fn mac(&mut self, quals: Quals, bytes: &[u8; 6]) -> Result<Frag> {
        if quals.proto != Proto::Link || !matches!(quals.kind, Kind::Host | Kind::Default) {
            let remedy = "write `ether host`, `ether src` or `ether dst`";
            return Err(self.not_for("this qualifier", "a link-layer address", remedy));
        }
        match self.layout.link {
            Link::Ethernet => {
                let present = self.link_header_present()?;
                let test = self.ether_address(quals.dir, bytes)?;
                Ok(match present {
                    Some(present) => self.graph.and(present, test),
                    None => test,
                })
            }
            Link::Wlan | Link::WlanRadio => self.wlan_address(quals.dir, bytes),
            _ => Err(self.wrong_link("a link-layer address")),
        }
    }

    fn ether_address(&mut self, dir: Dir, bytes: &[u8; 6]) -> Result<Frag> {
        match dir {
            Dir::Src => self.bytes(From::LinkHeader, 6, bytes),
            Dir::Dst => self.bytes(From::LinkHeader, 0, bytes),
            Dir::Ra | Dir::Ta => Err(self.wrong_link("an 802.11 address (`ra`, `ta`)")),
            Dir::Addr(_) => Err(self.wrong_link("an 802.11 address (`addr1` to `addr4`)")),
            _ => self.both_ways(dir, "an Ethernet address", |g, dir| g.ether_address(dir, bytes)),
        }
    }

    fn carries_qualified(&mut self, quals: Quals, number: u32) -> Result<Frag> {
        self.carries(number, quals.proto).map_err(|error| match error {
            FilterError::Qualifier { column, qualifier: "", subject, remedy } => {
                FilterError::Qualifier { column, qualifier: quals.proto_text, subject, remedy }
            }
            other => other,
        })
    }

    /// DECnet's routing headers: short or long format, with or without a padding byte before them. Addresses
    /// are little-endian.
    fn decnet_host(&mut self, dir: Dir, address: u32) -> Result<Frag> {
        let (short, long) = match dir {
            Dir::Dst => (3, 9),
            Dir::Src => (5, 17),
            _ => return self.both_ways(dir, "a DECnet address", |g, dir| g.decnet_host(dir, address)),
        };
        let swapped = (address & 0xff) << 8 | address >> 8;
        let decnet = self.link_protocol(ETHER_DECNET)?;
        let mut all: Option<Frag> = None;
        // Offset and width of the flags, their mask and value, and where the address is.
        let forms = [
            (Width::Byte, 0x07, 0x02, short),
            (Width::Half, 0xff07, 0x8102, short + 1),
            (Width::Byte, 0x07, 0x06, long),
            (Width::Half, 0xff07, 0x8106, long + 1),
        ];
        for (width, mask, value, offset) in forms {
            let flags = self.masked(From::Network, 2, width, value, mask)?;
            let found = self.equal(From::Network, offset, Width::Half, swapped)?;
            let form = self.graph.and(flags, found);
            all = Some(match all {
                Some(all) => self.graph.or(all, form),
                None => form,
            });
        }
        match all {
            Some(all) => Ok(self.graph.and(decnet, all)),
            None => Ok(decnet),
        }
    }
}
