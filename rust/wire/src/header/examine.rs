//! What is wrong with a packet, in words.
use super::describe::value_text;
use super::link::{Dot11, Ethernet, Radiotap, Vlan};
use super::malformed;
use super::network::{Fragment, Ipv4, Ipv6, Routing};
use super::options::{self, OptionSpace, OptionValue, RAW};
use super::spec::{FieldType, HeaderError, Value};
use super::stack::{Stack, Trailer, extents};
use super::transport::{Geneve, Gre, Tcp, Udp, Vxlan};
use super::value::read;
use crate::HeaderKind;
use crate::checksum::{verify_l3, verify_l4};
use crate::dissect::{Frame, dissect, dissect_inner};
use crate::layers::{Checksum, Layers, Limits, Verdict};

/// UDP port of VXLAN's generic protocol extension.
const VXLAN_GPE: u16 = 4790;
/// Bytes of addresses and length before each packet of an aggregate.
const SUBFRAME: usize = 14;

/// Something wrong or remarkable in a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The header it is in; `None` when dissection could not name one.
    pub kind: Option<HeaderKind>,
    /// Byte offset in the frame.
    pub offset: usize,
    /// What it is.
    pub what: String,
}

/// A frame taken apart, tunnels included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dissection {
    /// The headers, with kind, offset and length in bytes.
    pub headers: Vec<(HeaderKind, usize, usize)>,
    /// The values of each packet, outermost first, and the index of its first header.
    pub packets: Vec<(Layers, usize)>,
    /// Where the innermost packet ends by the lengths in it; within the captured bytes.
    pub end: usize,
}

impl Dissection {
    /// Takes a frame apart, inner packets too.
    #[must_use]
    pub fn new(frame: &Frame<'_>, limits: &Limits) -> Self {
        let mut visits = Vec::with_capacity(8);
        let mut layers = Layers::default();
        let mut found = Self::default();
        dissect(frame, limits, &mut layers, &mut visits);
        let mut firsts = vec![(layers, 0)];
        loop {
            let first = visits.len();
            if !dissect_inner(frame, limits, &mut layers, &mut visits) {
                break;
            }
            firsts.push((layers, first));
        }
        let mut next = visits.len();
        let end_of = |(layers, first): &(Layers, usize)| {
            let headers = visits.get(*first..std::mem::replace(&mut next, *first)).unwrap_or(&[]);
            match layers.end {
                0 => link_end(frame, headers),
                end => Some(end as usize),
            }
        };
        let end = firsts.iter().rev().find_map(end_of);
        found.end = end.unwrap_or(frame.bytes.len()).min(frame.bytes.len());
        let offset_of = |index: usize| visits.get(index).map_or(usize::MAX, |(_, offset, _)| *offset);
        found.headers = extents(frame.bytes, &visits, found.end);
        let position = |offset: usize| found.headers.partition_point(|(_, at, _)| *at < offset);
        found.packets =
            firsts.into_iter().map(|(layers, first)| (layers, position(offset_of(first)))).collect();
        found
    }

    /// The headers to change and emit again, with the payload and what is behind each packet of the nest.
    ///
    /// # Errors
    /// [`HeaderError::Truncated`] when `frame` is not the one that was taken apart.
    pub fn stack(&self, frame: &Frame<'_>) -> Result<Stack, HeaderError> {
        let mut stack =
            Stack::from_visits(frame.bytes.get(..self.end).unwrap_or(frame.bytes), &self.headers, self.end)?;
        let mut behind = self.end;
        for (position, (_, first)) in self.packets.iter().enumerate().rev() {
            let outer = position.checked_sub(1).and_then(|outer| self.packets.get(outer));
            let end = outer.map_or(frame.bytes.len(), |(layers, _)| match layers.end {
                0 => behind,
                end => (end as usize).min(frame.bytes.len()),
            });
            if let Some(bytes) = frame.bytes.get(behind..end).filter(|bytes| !bytes.is_empty()) {
                stack.trailers.push(Trailer { uncounted: *first, bytes: bytes.to_vec() });
                behind = end;
            }
        }
        let reaches = self.packets.iter().map(|(layers, _)| layers.end as usize).max().unwrap_or(0);
        let captured = frame.bytes.len();
        let reaches = if reaches == 0 && self.end < captured { self.end } else { reaches };
        stack.cut = frame.wire_len as usize > captured && (reaches == 0 || reaches > captured);
        Ok(stack)
    }

    /// Where the payload begins: behind the last header.
    #[must_use]
    pub fn payload_offset(&self) -> usize {
        self.headers.last().map_or(0, |(_, offset, len)| offset + len).min(self.end)
    }
}

/// Where the link-layer headers of a packet say that it ends: the lengths of IEEE 802.3 and PPPoE, and radiotap's flag for
/// a frame check sequence.
fn link_end(frame: &Frame<'_>, visits: &[(HeaderKind, usize, usize)]) -> Option<usize> {
    let bytes = frame.bytes;
    let whole = frame.wire_len as usize <= bytes.len();
    let pairs = visits.iter().zip(visits.iter().skip(1).map(Some).chain([None]));
    let ends = pairs.filter_map(|((kind, offset, len), next)| {
        let behind = offset.checked_add(*len)?;
        let word = |at: usize| Some(usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?])));
        match (kind, next) {
            (HeaderKind::Ethernet | HeaderKind::Vlan, Some((HeaderKind::Llc, ..))) => {
                Some(behind + word(behind.checked_sub(2)?)?)
            }
            (HeaderKind::Radiotap, Some((HeaderKind::Dot11, at, len))) if whole => {
                let checked = has_check_sequence(bytes.get(*offset..behind)?);
                bytes.len().checked_sub(4).filter(|end| checked && *end >= at + len)
            }
            (HeaderKind::Pppoe, _) => Some(offset + 6 + word(offset + 4)?),
            _ => None,
        }
    });
    ends.min()
}

/// True when a radiotap header says that four bytes behind the frame are its check sequence.
fn has_check_sequence(radiotap: &[u8]) -> bool {
    let Some(field) = Radiotap::FIELDS.iter().find(|field| field.name == "fields") else { return false };
    let Value::Options(list) = read(radiotap, field) else { return false };
    let flags = options::code(OptionSpace::Radiotap, "flags");
    let given = list.iter().find(|opt| Some(opt.code) == flags);
    given.is_some_and(|opt| matches!(opt.value, OptionValue::Uint(bits) if bits & 0x10 != 0))
}

/// What is wrong with a frame, in the order of its bytes.
#[must_use]
pub fn examine(frame: &Frame<'_>, dissection: &Dissection) -> Vec<Finding> {
    let mut examination = Examination { frame, dissection, findings: Vec::new() };
    for (index, (kind, offset, len)) in dissection.headers.iter().enumerate() {
        let bytes = frame.bytes.get(*offset..offset.saturating_add(*len)).unwrap_or(&[]);
        examination.header(index, *kind, *offset, bytes);
    }
    for (position, (layers, first)) in dissection.packets.iter().enumerate() {
        let last = dissection.packets.get(position + 1).map_or(dissection.headers.len(), |(_, next)| *next);
        examination.packet(layers, *first, last);
    }
    let mut findings = examination.findings;
    findings.sort_by_key(|finding| finding.offset);
    findings
}

struct Examination<'a> {
    frame: &'a Frame<'a>,
    dissection: &'a Dissection,
    findings: Vec<Finding>,
}

impl Examination<'_> {
    fn say(&mut self, kind: HeaderKind, offset: usize, what: impl Into<String>) {
        self.findings.push(Finding { kind: Some(kind), offset, what: what.into() });
    }

    /// Verdict and checksums of one packet of the nest.
    fn packet(&mut self, layers: &Layers, first: usize, last: usize) {
        let headers = self.dissection.headers.get(first..last).unwrap_or(&[]);
        let at = layers.stop_offset as usize;
        let kind = headers.iter().rev().find(|(_, offset, _)| *offset <= at).map(|(kind, ..)| *kind);
        let need = layers.stop_need;
        let have = (self.frame.bytes.len()).saturating_sub(at);
        let what = match layers.verdict {
            Verdict::Ok | Verdict::NonFirstFragment => None,
            Verdict::Truncated => Some(format!("the capture ends {have} bytes into what needs {need}")),
            Verdict::Malformed if need > 0 => {
                let (named, what) = malformed::explain(self.frame, self.dissection, layers);
                self.findings.push(Finding { kind: named.or(kind), offset: at, what });
                None
            }
            Verdict::Malformed => Some("not a header that can stand here".into()),
            Verdict::TooManyHeaders => Some("more headers than netfast follows".into()),
            Verdict::TooDeep => Some("more nested packets than netfast follows".into()),
            Verdict::Encrypted => Some("the rest of the frame is enciphered".into()),
            Verdict::UnknownLinkType => Some("netfast does not dissect this link type".into()),
            Verdict::UnknownProtocol => Some("netfast does not dissect the protocol that follows".into()),
        };
        if let Some(what) = what {
            self.findings.push(Finding { kind, offset: at, what });
        }
        if verify_l3(self.frame, layers) == Checksum::Bad {
            let offset = layers.l3_offset as usize;
            let right = self.header_checksum(offset);
            self.say(HeaderKind::Ipv4, offset + 10, format!("bad header checksum{right}"));
        }
        // Where lengths are wrong nobody knows what the checksum covers.
        let covered = layers.verdict != Verdict::Malformed || at < layers.l4_offset as usize;
        if covered && verify_l4(self.frame, layers) == Checksum::Bad {
            let offset = layers.l4_offset as usize;
            let upper = headers.iter().find(|(_, at, _)| *at == offset).map(|(kind, ..)| *kind);
            let place = upper.and_then(checksum_place).unwrap_or(0);
            let what = "bad checksum (a capture on the sending host may show it before the card fills it in)";
            self.findings.push(Finding { kind: upper, offset: offset + place, what: what.into() });
        }
    }

    fn header_checksum(&self, offset: usize) -> String {
        let Some(Ok(view)) = self.frame.bytes.get(offset..).map(Ipv4::new_checked) else {
            return String::new();
        };
        let mut copy = view.as_bytes().to_vec();
        copy[10..12].fill(0);
        let right = crate::checksum::checksum(&copy);
        format!(": {:#06x} stands there, {right:#06x} is right", view.header_checksum())
    }

    /// What one header shows by itself.
    fn header(&mut self, index: usize, kind: HeaderKind, offset: usize, bytes: &[u8]) {
        for field in super::spec(kind).fields.iter().filter(|field| !field.alias) {
            let Some((bit, _)) = field.locate(bytes) else { continue };
            let place = offset + bit / 8;
            let value = read(bytes, field);
            let mut reserved = field.name.starts_with("reserved") || field.name.starts_with("unused");
            // The generic protocol extension has the next protocol there.
            reserved &= kind != HeaderKind::Vxlan || field.name != "reserved" || !self.is_vxlan_gpe(index);
            if reserved && value.uint().is_some_and(|number| number != 0) {
                let text = value_text(field, &value, bytes);
                self.say(kind, place, format!("{}: reserved bits are {text}, not zero", field.name));
            }
            if let (FieldType::Options(space), Value::Options(list)) = (field.ty, &value) {
                self.option_list(kind, place, field.name, space, list);
            }
        }
        match kind {
            HeaderKind::Ethernet => self.ethernet(offset, bytes),
            HeaderKind::Vlan if Vlan::new_checked(bytes).is_ok_and(|tag| tag.vid() == 0xfff) => {
                self.say(kind, offset, "VLAN identifier 4095 is reserved");
            }
            HeaderKind::Ipv4 => self.ipv4(offset, bytes),
            HeaderKind::Ipv6 => self.ipv6(offset, bytes),
            HeaderKind::HopByHop => {
                let before = index.checked_sub(1).and_then(|before| self.dissection.headers.get(before));
                if before.is_none_or(|(kind, ..)| *kind != HeaderKind::Ipv6) {
                    self.say(kind, offset, "hop-by-hop options stand only right behind the IPv6 header");
                }
            }
            HeaderKind::Routing => self.routing(offset, bytes),
            HeaderKind::Fragment => self.fragment(offset, bytes),
            HeaderKind::Tcp => self.tcp(offset, bytes),
            HeaderKind::Udp => self.udp(index, offset, bytes),
            HeaderKind::Icmpv6 => self.icmpv6(index, offset, bytes),
            HeaderKind::Vxlan
                if !self.is_vxlan_gpe(index)
                    && Vxlan::new_checked(bytes).is_ok_and(|vxlan| vxlan.flags() & !8 != 0) =>
            {
                self.say(kind, offset, "flags beside the one that RFC 7348 defines are set");
            }
            HeaderKind::Dot11 => self.aggregate(index, offset, bytes),
            HeaderKind::Geneve if Geneve::new_checked(bytes).is_ok_and(|geneve| geneve.version() != 0) => {
                self.say(kind, offset, "the version is not 0");
            }
            HeaderKind::Gre => {
                let routed = |gre: Gre<'_>| gre.routing_present() || gre.strict_source_route();
                if Gre::new_checked(bytes).is_ok_and(|gre| gre.version() == 0 && routed(gre)) {
                    self.say(kind, offset, "routing bits are set, which RFC 2784 took away");
                }
            }
            _ => {}
        }
    }

    /// True for a VXLAN header behind the port of its generic protocol extension (draft-ietf-nvo3-vxlan-gpe).
    fn is_vxlan_gpe(&self, index: usize) -> bool {
        let Some((HeaderKind::Udp, offset, len)) =
            index.checked_sub(1).and_then(|before| self.dissection.headers.get(before))
        else {
            return false;
        };
        let udp = self.frame.bytes.get(*offset..offset.saturating_add(*len)).unwrap_or(&[]);
        Udp::new_checked(udp).is_ok_and(|udp| udp.dst_port() == VXLAN_GPE)
    }

    /// IEEE 802.11-2020 section 9.3.2.2: an aggregate has more subframes behind the first, which alone is read.
    fn aggregate(&mut self, index: usize, offset: usize, bytes: &[u8]) {
        let aggregated = |frame: Dot11<'_>| frame.qos().is_some_and(|qos| qos & 0x80 != 0);
        if !Dot11::new_checked(bytes).is_ok_and(aggregated) {
            return;
        }
        // The addresses and the length of the subframe are a part of their own.
        let Some((HeaderKind::Payload, start, SUBFRAME)) = self.dissection.headers.get(index + 1) else {
            return;
        };
        let Some(&[high, low]) = self.frame.bytes.get(start + SUBFRAME - 2..start + SUBFRAME) else { return };
        let first = (SUBFRAME + usize::from(u16::from_be_bytes([high, low]))).next_multiple_of(4);
        let rest = self.frame.bytes.len().saturating_sub(start + first);
        if rest > SUBFRAME {
            let what = format!(
                "an aggregate: only its first subframe is read; {rest} bytes of other subframes stand behind it"
            );
            self.say(HeaderKind::Dot11, offset, what);
        }
    }

    fn option_list(
        &mut self,
        kind: HeaderKind,
        offset: usize,
        field: &str,
        space: OptionSpace,
        list: &[options::Opt],
    ) {
        let walks = !matches!(space, OptionSpace::Radiotap | OptionSpace::Pppoe);
        let raw = list.iter().find(|opt| opt.code == RAW).filter(|_| walks);
        if let Some(options::Opt { value: OptionValue::Bytes(bytes), .. }) = raw {
            self.say(kind, offset, format!("{field}: the last {} bytes are no option", bytes.len()));
        }
        let unshaped = |opt: &&options::Opt| {
            let known = options::spec(space, opt.code);
            let shaped = known.is_some_and(|spec| !matches!(spec.shape, options::Shape::Bytes));
            shaped && matches!(opt.value, OptionValue::Bytes(_)) && walks
        };
        for opt in list.iter().filter(unshaped) {
            let name = options::name(space, opt.code).unwrap_or_default();
            self.say(kind, offset, format!("{field}: {name} has data of the wrong length or form"));
        }
    }

    fn ethernet(&mut self, offset: usize, bytes: &[u8]) {
        let Ok(ethernet) = Ethernet::new_checked(bytes) else { return };
        if ethernet.src()[0] & 1 == 1 {
            self.say(HeaderKind::Ethernet, offset + 6, "the source is a group address");
        }
    }

    fn ipv4(&mut self, offset: usize, bytes: &[u8]) {
        let Ok(ip) = Ipv4::new_checked(bytes) else { return };
        let kind = HeaderKind::Ipv4;
        if ip.src().is_multicast() || ip.src().is_broadcast() {
            self.say(kind, offset + 12, "the source is a group address");
        }
        if ip.ttl() == 0 {
            self.say(kind, offset + 8, "time to live 0 should not be on the wire");
        }
        if ip.dont_fragment() && (ip.more_fragments() || ip.fragment_offset() != 0) {
            self.say(kind, offset + 6, "a fragment that says don't fragment");
        }
        let data = usize::from(ip.total_length()).saturating_sub(usize::from(ip.ihl()) * 4);
        if ip.more_fragments() && !data.is_multiple_of(8) {
            self.say(
                kind,
                offset + 2,
                "a fragment that is not the last has a length that is no multiple of 8",
            );
        }
        if usize::from(ip.fragment_offset()) + data > 0xffff {
            self.say(kind, offset + 6, "the fragment reaches beyond 65535 bytes");
        }
    }

    fn ipv6(&mut self, offset: usize, bytes: &[u8]) {
        let Ok(ip) = Ipv6::new_checked(bytes) else { return };
        let kind = HeaderKind::Ipv6;
        if ip.src().is_multicast() {
            self.say(kind, offset + 8, "the source is a group address");
        }
        if ip.dst().is_unspecified() {
            self.say(kind, offset + 24, "the destination is the unspecified address");
        }
        if ip.hop_limit() == 0 {
            self.say(kind, offset + 7, "hop limit 0 should not be on the wire");
        }
    }

    fn routing(&mut self, offset: usize, bytes: &[u8]) {
        let Ok(routing) = Routing::new_checked(bytes) else { return };
        let kind = HeaderKind::Routing;
        if routing.r#type() == 0 {
            self.say(kind, offset + 2, "routing type 0 is deprecated (RFC 5095)");
        }
        let most = match routing.addresses() {
            Some(list) if routing.r#type() == 4 => {
                usize::from(routing.last_entry().unwrap_or(0)).max(list.len())
            }
            Some(list) => list.len(),
            None => return,
        };
        if usize::from(routing.segments_left()) > most {
            self.say(kind, offset + 3, "more segments left than there are addresses");
        }
    }

    fn fragment(&mut self, offset: usize, bytes: &[u8]) {
        let Ok(fragment) = Fragment::new_checked(bytes) else { return };
        let data =
            self.dissection.packets.iter().map(|(layers, _)| layers.end as usize).find(|end| *end > offset);
        let data = data.map_or(0, |end| end.saturating_sub(offset + 8));
        if fragment.more_fragments() && !data.is_multiple_of(8) {
            let what = "a fragment that is not the last has a length that is no multiple of 8";
            self.say(HeaderKind::Fragment, offset, what);
        }
        if usize::from(fragment.fragment_offset()) + data > 0xffff {
            self.say(HeaderKind::Fragment, offset + 2, "the fragment reaches beyond 65535 bytes");
        }
    }

    fn tcp(&mut self, offset: usize, bytes: &[u8]) {
        let Ok(tcp) = Tcp::new_checked(bytes) else { return };
        let flags = tcp.flags();
        let has = |bits: u16| flags & bits == bits;
        let what = match flags & 0x3f {
            0 => Some("no flag is set"),
            _ if has(0x003) => Some("SYN and FIN are set together"),
            _ if has(0x006) => Some("SYN and RST are set together"),
            _ if flags & 0x16 == 0 => Some("neither SYN, RST nor ACK is set"),
            _ => None,
        };
        if let Some(what) = what {
            self.say(HeaderKind::Tcp, offset + 13, what);
        }
        if flags & 0xe00 != 0 {
            self.say(HeaderKind::Tcp, offset + 12, "reserved flags are set");
        }
        if tcp.urgent_pointer() != 0 && flags & 0x20 == 0 {
            self.say(HeaderKind::Tcp, offset + 18, "an urgent pointer without URG");
        }
    }

    fn udp(&mut self, index: usize, offset: usize, bytes: &[u8]) {
        let Ok(udp) = Udp::new_checked(bytes) else { return };
        let layers = self.dissection.packets.iter().rev().find(|(_, first)| *first <= index);
        let Some((layers, _)) = layers else { return };
        let room = (layers.end as usize).saturating_sub(offset);
        let len = usize::from(udp.length());
        // An IP packet longer than its frame says nothing about the lengths in it.
        let known = layers.end <= self.frame.wire_len.max(self.frame.bytes.len() as u32);
        let own = layers.l4_offset as usize == offset && !layers.is_fragment();
        if own && known && (8..room).contains(&len) {
            self.say(
                HeaderKind::Udp,
                offset + 4,
                format!("length {len} leaves {} bytes of the IP packet over", room - len),
            );
        }
        let tunnel = crate::dissect::is_tunnel_port(udp.dst_port());
        if layers.ip_version == 6 && udp.checksum() == 0 && !tunnel {
            self.say(
                HeaderKind::Udp,
                offset + 6,
                "no checksum, which IPv6 allows to tunnels only (RFC 6935)",
            );
        }
    }

    fn icmpv6(&mut self, index: usize, offset: usize, bytes: &[u8]) {
        let layers = self.dissection.packets.iter().rev().find(|(_, first)| *first <= index);
        let discovery = bytes.first().is_some_and(|kind| (133..=137).contains(kind));
        if discovery && layers.is_some_and(|(layers, _)| layers.hop_limit != 255) {
            self.say(
                HeaderKind::Icmpv6,
                offset,
                "neighbour discovery with a hop limit other than 255 (RFC 4861)",
            );
        }
    }
}

/// Byte of a header at which its checksum stands.
fn checksum_place(kind: HeaderKind) -> Option<usize> {
    let fields = super::spec(kind).fields;
    let field = fields.iter().find(|field| field.name == "checksum")?;
    match field.position {
        super::Position::Bits { offset, .. } => Some(usize::from(offset) / 8),
        _ => Some(4),
    }
}
