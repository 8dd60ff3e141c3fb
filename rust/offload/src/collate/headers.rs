//! What collation has to know of a packet's headers: where they stand, which flow it is of, and whether anything in
//! them forbids to merge it. One pass, without a look at the payload.
use super::config::CollatorConfig;
use super::reason::Reason;
use netfast_low::hash::Seed;
use netfast_low::sum;
use netfast_wire::LinkType;
use netfast_wire::dissect::{ethertype as et, protocol as p};

/// The most bytes of headers of a packet that is merged: Ethernet, two tags, IPv6, UDP, VXLAN, Ethernet, IPv6 and TCP with
/// all its options are 200.
pub(super) const MAX_HEADERS: usize = 256;
/// The most tags before an IP header, as much as anyone uses.
const MAX_TAGS: usize = 4;
/// The most extension headers of a packet.
const MAX_EXTENSIONS: usize = 8;
const ETHERNET: usize = 14;

/// An IP header and what it carries, by their first bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Network {
    pub at: u16,
    pub transport: u16,
    /// 4 or 6.
    pub version: u8,
    /// With IPv6 extension headers.
    pub extended: bool,
}

/// What is between the outer and the inner IP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Carrier {
    /// There is no outer one.
    #[default]
    None,
    /// Nothing.
    Ip,
    /// GRE, with or without a checksum.
    Gre { checksum: bool },
    /// UDP and VXLAN or Geneve.
    Udp,
}

/// Where the headers of a packet that may be merged stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// The IP header that carries the TCP or UDP that is merged.
    pub inner: Network,
    /// That of the tunnel around it, when `carrier` says that there is one.
    pub outer: Network,
    pub carrier: Carrier,
    /// An Ethernet header inside of the tunnel.
    pub inner_l2: Option<u16>,
    /// TCP, else UDP.
    pub tcp: bool,
    /// First byte of the payload, which is the length of all headers.
    pub payload: u16,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Headers {
    pub layout: Layout,
    /// A number for the flow, in one direction; `None` where no flow was found. Two flows have the same with a chance of
    /// 2⁻⁶⁴: then they are not merged, as their headers differ.
    pub flow: Option<u64>,
    /// Of a fragment, a number for its addresses: it may be of any flow between them.
    pub pair: Option<u32>,
    /// FIN or PSH is set: nothing may follow it.
    pub ends: bool,
    /// Why the packet cannot be merged, whatever is held.
    pub reason: Option<Reason>,
    /// The head ended within a header that the packet has.
    pub is_cut: bool,
}

/// Reads the headers in `head`, the beginning of a packet of `length` bytes.
pub(super) fn read(head: &[u8], length: u32, port: u32, config: &CollatorConfig, seed: Seed) -> Headers {
    let mut walk = Walk {
        head,
        end: length as usize,
        length: length as usize,
        config,
        seed,
        tags: 0,
        tunnel: 0,
        port,
        found: Headers::default(),
    };
    if let Err(reason) = walk.packet() {
        walk.found.reason = Some(reason);
    }
    walk.found
}

/// A number for the two addresses of an IP header that is whole, never zero.
pub(super) fn pair(head: &[u8], at: usize, version: u8, seed: Seed) -> u32 {
    let [a, b, c, d] = addresses(head, at, version).unwrap_or_default();
    (seed.hash5(&[a, b, c, d, u64::from(version)]) >> 32) as u32 | 1
}

/// The addresses as four words.
#[inline(always)]
fn addresses(head: &[u8], at: usize, version: u8) -> Option<[u64; 4]> {
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    if version == 4 {
        return Some([word(head.get(at + 12..)?.first_chunk()?), 0, 0, 0]);
    }
    let (words, _) = head.get(at + 8..at + 40)?.as_chunks::<8>();
    Some([word(&words[0]), word(&words[1]), word(&words[2]), word(&words[3])])
}

#[inline(always)]
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

struct Walk<'a> {
    head: &'a [u8],
    /// Where the packet ends that is being read.
    end: usize,
    length: usize,
    config: &'a CollatorConfig,
    seed: Seed,
    /// VLAN identifiers, twelve bits each.
    tags: u64,
    /// A number for the tunnel.
    tunnel: u64,
    port: u32,
    found: Headers,
}

impl Walk<'_> {
    /// A reason that leaves the flow to be found.
    #[inline(always)]
    fn note(&mut self, reason: Reason) {
        self.found.reason.get_or_insert(reason);
    }

    #[inline(always)]
    fn bytes<const N: usize>(&mut self, at: usize) -> Result<[u8; N], Reason> {
        match self.head.get(at..).and_then(|bytes| bytes.first_chunk()) {
            Some(bytes) if at + N <= self.end => Ok(*bytes),
            _ => Err(self.too_short(at + N)),
        }
    }

    /// The head has fewer bytes than `need`; the packet may have them.
    #[cold]
    fn too_short(&mut self, need: usize) -> Reason {
        self.found.is_cut |= need > self.head.len() && need <= self.length && self.head.len() < MAX_HEADERS;
        Reason::Malformed
    }

    #[inline(always)]
    fn word(&mut self, at: usize) -> Result<u16, Reason> {
        self.bytes(at).map(u16::from_be_bytes)
    }

    fn packet(&mut self) -> Result<(), Reason> {
        let (mut ethertype, mut at) = self.link()?;
        loop {
            let (protocol, network) = match ethertype {
                et::IPV4 => self.ipv4(at)?,
                et::IPV6 => self.ipv6(at)?,
                _ => return Err(Reason::NotIp),
            };
            let transport = usize::from(network.transport);
            let inside = match protocol {
                p::TCP => return self.tcp(network, transport),
                p::UDP => match self.udp(network, transport)? {
                    Some(inside) => inside,
                    None => return Ok(()),
                },
                p::IPV4 => self.carry(network, Carrier::Ip, 0, et::IPV4, transport)?,
                p::IPV6 => self.carry(network, Carrier::Ip, 0, et::IPV6, transport)?,
                p::GRE => self.gre(network, transport)?,
                _ => return Err(Reason::Protocol),
            };
            (ethertype, at) = inside;
        }
    }

    /// What the link header says is in it, and where.
    #[inline(always)]
    fn link(&mut self) -> Result<(u16, usize), Reason> {
        match self.config.link {
            LinkType::ETHERNET => self.ethernet(0),
            LinkType::LINUX_SLL => Ok((self.word(14)?, 16)),
            LinkType::LINUX_SLL2 => Ok((self.word(0)?, 20)),
            LinkType::NULL | LinkType::LOOP => self.by_version(4),
            _ => self.by_version(0),
        }
    }

    fn by_version(&mut self, at: usize) -> Result<(u16, usize), Reason> {
        match self.bytes::<1>(at)?[0] >> 4 {
            4 => Ok((et::IPV4, at)),
            6 => Ok((et::IPV6, at)),
            _ => Err(Reason::NotIp),
        }
    }

    #[inline(always)]
    fn ethernet(&mut self, at: usize) -> Result<(u16, usize), Reason> {
        let (mut ethertype, mut at) = (self.word(at + 12)?, at + ETHERNET);
        for _ in 0..MAX_TAGS {
            if !matches!(ethertype, et::VLAN | et::QINQ | et::QINQ_OLD) {
                break;
            }
            self.tags = self.tags << 12 | u64::from(self.word(at)? & 0x0fff);
            (ethertype, at) = (self.word(at + 2)?, at + 4);
        }
        Ok((ethertype, at))
    }

    /// The packet at `at` has `length` bytes, of which `least` are its header. Where that cannot be (a capture cut it, or it is
    /// a host's own super-packet, whose length is zero), its flow is looked for all the same, so that it is kept in turn.
    #[inline(always)]
    fn ends(&mut self, at: usize, length: usize, least: usize) {
        let end = at + length;
        if end != self.end {
            if end > self.end || length < least {
                self.note(Reason::Malformed);
            } else {
                self.note(Reason::Trailer);
                self.end = end;
            }
        }
    }

    #[inline(always)]
    fn ipv4(&mut self, at: usize) -> Result<(u8, Network), Reason> {
        let header = self.bytes::<20>(at)?;
        let header_length = usize::from(header[0] & 15) * 4;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] >> 4 != 4 || header_length < 20 {
            return Err(Reason::Malformed);
        }
        self.ends(at, total, header_length);
        let whole = if header_length == 20 {
            sum::sum_words(&header)
        } else {
            self.note(Reason::IpOptions);
            match self.head.get(at..at + header_length) {
                Some(header) => sum::sum_words(header),
                None => return Err(self.too_short(at + header_length)),
            }
        };
        if sum::fold(whole) != 0xffff {
            self.note(Reason::ChecksumBad);
        }
        if header[10..12] == [0xff, 0xff] {
            self.note(Reason::ChecksumForm);
        }
        let flags = u16::from_be_bytes([header[6], header[7]]);
        if flags & 0x3fff != 0 {
            return self.fragment(at, 4);
        }
        if flags & 0x8000 != 0 {
            self.note(Reason::ReservedFlag);
        }
        let network =
            Network { at: at as u16, transport: (at + header_length) as u16, version: 4, extended: false };
        Ok((header[9], network))
    }

    #[inline(always)]
    fn ipv6(&mut self, at: usize) -> Result<(u8, Network), Reason> {
        let header = self.bytes::<40>(at)?;
        let (first, protocol) = (header[0], header[6]);
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if first >> 4 != 6 {
            return Err(Reason::Malformed);
        }
        // Zero is a jumbogram (RFC 2675 3), or a packet of nothing.
        self.ends(at, 40 + length, 41);
        let plain = Network { at: at as u16, transport: at as u16 + 40, version: 6, extended: false };
        match protocol {
            p::TCP | p::UDP => Ok((protocol, plain)),
            _ => self.extensions(plain, protocol),
        }
    }

    /// Over the headers that may stand before the transport of a packet that is merged.
    fn extensions(&mut self, network: Network, mut protocol: u8) -> Result<(u8, Network), Reason> {
        let mut at = usize::from(network.transport);
        for count in 0..=MAX_EXTENSIONS {
            match protocol {
                p::HOP_BY_HOP | p::ROUTING | p::DESTINATION_OPTIONS => {
                    let header = self.bytes::<8>(at)?;
                    // The checksum of a packet that is yet to be routed elsewhere is of another destination.
                    if protocol == p::ROUTING && header[3] != 0 {
                        self.note(Reason::ExtensionHeader);
                    }
                    at += 8 + usize::from(header[1]) * 8;
                    protocol = header[0];
                }
                p::FRAGMENT => return self.fragment(usize::from(network.at), 6),
                p::AH => return Err(Reason::ExtensionHeader),
                _ if at > self.end => return Err(Reason::Malformed),
                // Beyond what fits u16 the headers are too long anyway.
                _ => {
                    let transport = u16::try_from(at).map_err(|_| Reason::HeadersTooLong)?;
                    return Ok((protocol, Network { transport, extended: count > 0, ..network }));
                }
            }
        }
        Err(Reason::ExtensionHeader)
    }

    #[cold]
    fn fragment(&mut self, at: usize, version: u8) -> Result<(u8, Network), Reason> {
        self.found.pair = Some(pair(self.head, at, version, self.seed));
        Err(Reason::Fragment)
    }

    #[inline(always)]
    fn tcp(&mut self, network: Network, at: usize) -> Result<(), Reason> {
        let Ok(header) = self.bytes::<20>(at) else { return self.ports(network, at) };
        let payload = at + usize::from(header[12] >> 4) * 4;
        if payload < at + 20 || payload > self.end {
            self.note(Reason::Malformed);
        }
        const SYN_RST_URG: u8 = 0x26;
        const FIN_PSH: u8 = 0x09;
        self.found.ends = header[13] & FIN_PSH != 0;
        if header[13] & SYN_RST_URG != 0 {
            self.note(Reason::TcpFlags);
        }
        if header[16..18] == [0xff, 0xff] {
            self.note(Reason::ChecksumForm);
        }
        if !self.config.tcp {
            self.note(Reason::Protocol);
        }
        self.flow(network, &header, payload, true)
    }

    /// What is in it, when it carries a tunnel.
    #[inline(always)]
    fn udp(&mut self, network: Network, at: usize) -> Result<Option<(u16, usize)>, Reason> {
        let Ok(header) = self.bytes::<8>(at) else { return self.ports(network, at).map(|()| None) };
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        self.ends(at, length, 8);
        let port = u16::from_be_bytes([header[2], header[3]]);
        if port == self.config.vxlan_port {
            return self.vxlan(network, at + 8).map(Some);
        }
        if port == self.config.geneve_port {
            return self.geneve(network, at + 8).map(Some);
        }
        if !self.config.udp {
            self.note(Reason::Protocol);
        }
        if network.version == 6 && header[6..8] == [0, 0] {
            self.note(Reason::ChecksumZero);
        }
        self.flow(network, &header, at + 8, false)?;
        Ok(None)
    }

    /// The packet ends within its transport header: it is of a flow all the same, when its ports are there.
    #[cold]
    fn ports(&mut self, network: Network, at: usize) -> Result<(), Reason> {
        let ports = self.bytes::<4>(at)?;
        self.note(Reason::Malformed);
        self.flow(network, &ports, at, true)
    }

    /// The packet is of a flow; `header` begins with its ports.
    #[inline(always)]
    fn flow(&mut self, network: Network, header: &[u8], payload: usize, tcp: bool) -> Result<(), Reason> {
        const UDP: u64 = 0x9e37_79b9_7f4a_7c15;
        let [a, b, c, d] =
            addresses(self.head, usize::from(network.at), network.version).ok_or(Reason::Malformed)?;
        let ports = header.first_chunk::<4>().map_or(0, |ports| u32::from_ne_bytes(*ports));
        let mut last =
            (u64::from(ports) << 32 | u64::from(self.port)) ^ self.tunnel ^ self.tags.rotate_left(16);
        if !tcp {
            last ^= UDP;
        }
        self.found.flow = Some(self.seed.hash5(&[a, b, c, d, last]));
        if payload >= self.end {
            // Told rather than the padding that such a packet often has.
            self.found.reason.take_if(|reason| *reason == Reason::Trailer);
            self.note(Reason::NoPayload);
        }
        if payload > self.head.len() {
            self.too_short(payload);
        }
        if payload > self.head.len() || payload > MAX_HEADERS {
            self.note(Reason::HeadersTooLong);
        }
        let layout = &mut self.found.layout;
        (layout.inner, layout.tcp, layout.payload) = (network, tcp, payload as u16);
        Ok(())
    }

    /// A tunnel begins, whose payload at `at` is of an Ethernet type. `id` tells tunnels between the same ends apart.
    fn carry(
        &mut self,
        network: Network,
        carrier: Carrier,
        id: u32,
        ethertype: u16,
        at: usize,
    ) -> Result<(u16, usize), Reason> {
        if self.found.layout.carrier != Carrier::None || !self.config.tunnels {
            return Err(Reason::Tunnel);
        }
        let [a, b, c, d] =
            addresses(self.head, usize::from(network.at), network.version).ok_or(Reason::Malformed)?;
        let kind = match carrier {
            Carrier::None | Carrier::Ip => 1,
            Carrier::Gre { .. } => 2,
            Carrier::Udp => 3,
        };
        self.tunnel = self.seed.hash5(&[a, b, c, d, u64::from(id) << 8 | kind]);
        (self.found.layout.outer, self.found.layout.carrier) = (network, carrier);
        if ethertype != et::BRIDGED {
            return Ok((ethertype, at));
        }
        self.found.layout.inner_l2 = u16::try_from(at).ok();
        self.ethernet(at)
    }

    /// RFC 7348 5.
    fn vxlan(&mut self, network: Network, at: usize) -> Result<(u16, usize), Reason> {
        let header = self.bytes::<8>(at)?;
        if header[0] & 0x08 == 0 {
            return Err(Reason::Tunnel);
        }
        let vni = u32::from_be_bytes([0, header[4], header[5], header[6]]);
        self.carry(network, Carrier::Udp, vni, et::BRIDGED, at + 8)
    }

    /// RFC 8926 3.4. Control packets (OAM) are not data.
    fn geneve(&mut self, network: Network, at: usize) -> Result<(u16, usize), Reason> {
        let header = self.bytes::<8>(at)?;
        if header[0] >> 6 != 0 || header[1] & 0x80 != 0 {
            return Err(Reason::Tunnel);
        }
        let options = usize::from(header[0] & 0x3f) * 4;
        let vni = u32::from_be_bytes([1, header[4], header[5], header[6]]);
        self.carry(network, Carrier::Udp, vni, u16::from_be_bytes([header[2], header[3]]), at + 8 + options)
    }

    /// RFC 2784 2, RFC 2890 2. A sequence number is each packet's own, so such packets stay alone, as in Linux.
    fn gre(&mut self, network: Network, at: usize) -> Result<(u16, usize), Reason> {
        const CHECKSUM: u16 = 0x8000;
        const KEY: u16 = 0x2000;
        let flags = self.word(at)?;
        let ethertype = self.word(at + 2)?;
        if flags & !(CHECKSUM | KEY) != 0 {
            return Err(Reason::Tunnel);
        }
        let checksum = flags & CHECKSUM != 0;
        let mut inside = at + 4;
        if checksum {
            if self.word(inside)? == 0xffff {
                self.note(Reason::ChecksumForm);
            }
            inside += 4;
        }
        let mut key = 0;
        if flags & KEY != 0 {
            key = u32::from_be_bytes(self.bytes::<4>(inside)?);
            inside += 4;
        }
        self.carry(network, Carrier::Gre { checksum }, key, ethertype, inside)
    }
}
