//! The features of a port, and what is left to software for a packet.
use netfast_buf::{ChecksumState, GsoFlags, GsoType, Offsets, Skb};
use netfast_wire::dissect::protocol as p;

use super::{Because, Feature, FeatureError, FeatureSet, Removed};

/// Bytes of an Ethernet header without tags.
const ETHERNET: u32 = 14;
const TCP_FLAGS: usize = 13;
const CWR: u8 = 0x80;

/// The state of a port: what it can do, what is wanted, what is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortFeatures {
    supported: FeatureSet,
    wanted: FeatureSet,
    tagged: FeatureSet,
    encapsulated: FeatureSet,
    forwarding: bool,
}

/// What a wish changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// What is on and was not.
    pub turned_on: FeatureSet,
    /// What is off and was not.
    pub turned_off: FeatureSet,
    /// What is wanted and off, and why. It comes back by itself when its needs are met.
    pub waiting: Vec<Removed>,
}

/// A port that stands on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upper {
    /// It puts a tag on each packet.
    Vlan,
    /// It puts packets into others.
    Tunnel,
}

impl PortFeatures {
    /// A port that can do `supported`; software is added, and everything but LRO, which loses, is wanted. For packets with a
    /// tag or in a tunnel it can do nothing until somebody says so.
    pub fn new(supported: FeatureSet) -> Self {
        let supported = supported.with(FeatureSet::SOFTWARE);
        let wanted = supported.without(FeatureSet::LARGE_RECEIVE).without(FeatureSet::RX_FCS);
        Self {
            supported,
            wanted,
            tagged: FeatureSet::NONE,
            encapsulated: FeatureSet::NONE,
            forwarding: false,
        }
    }

    /// What it can do for packets with VLAN tags (`vlan_features`).
    #[must_use]
    pub fn with_tagged(mut self, features: FeatureSet) -> Self {
        self.tagged = features;
        self
    }

    /// What it can do for packets in tunnels (`hw_enc_features`).
    #[must_use]
    pub fn with_encapsulated(mut self, features: FeatureSet) -> Self {
        self.encapsulated = features;
        self
    }

    /// What it can do.
    pub fn supported(&self) -> FeatureSet {
        self.supported
    }

    /// What is wanted.
    pub fn wanted(&self) -> FeatureSet {
        self.wanted
    }

    /// What is on.
    pub fn active(&self) -> FeatureSet {
        self.resolve().0
    }

    /// What is wanted and off, and why.
    pub fn waiting(&self) -> Vec<Removed> {
        self.resolve().1
    }

    fn resolve(&self) -> (FeatureSet, Vec<Removed>) {
        let mut wanted = FeatureSet(self.wanted.0 & self.supported.0);
        let lost = self.forwarding && wanted.has(FeatureSet::LARGE_RECEIVE);
        if lost {
            wanted = wanted.without(FeatureSet::LARGE_RECEIVE);
        }
        let (active, mut removed) = wanted.fixed();
        removed
            .extend(lost.then_some(Removed { feature: Feature::LargeReceive, because: Because::Forwarding }));
        (active, removed)
    }

    /// Wants `features`, too.
    ///
    /// # Errors
    /// [`FeatureError::Unsupported`], [`FeatureError::Forwarding`]; nothing changes then.
    pub fn turn_on(&mut self, features: FeatureSet) -> Result<Change, FeatureError> {
        let missing = features.without(self.supported);
        if !missing.is_empty() {
            return Err(FeatureError::Unsupported { features: missing, supported: self.supported });
        }
        if self.forwarding && features.has(FeatureSet::LARGE_RECEIVE) {
            return Err(FeatureError::Forwarding);
        }
        Ok(self.change(|port| port.wanted = port.wanted.with(features)))
    }

    /// Wants `features` no more. What needs them goes off with them.
    pub fn turn_off(&mut self, features: FeatureSet) -> Change {
        self.change(|port| port.wanted = port.wanted.without(features))
    }

    /// Says whether packets that come in may be sent on; LRO ends then.
    pub fn set_forwarding(&mut self, forwarding: bool) -> Change {
        self.change(|port| port.forwarding = forwarding)
    }

    fn change(&mut self, change: impl FnOnce(&mut Self)) -> Change {
        let before = self.active();
        change(self);
        let (active, waiting) = self.resolve();
        Change { turned_on: active.without(before), turned_off: before.without(active), waiting }
    }

    /// What a port that stands on this one can do: what this one does for its packets, and what software does.
    pub fn inherited(&self, upper: Upper) -> FeatureSet {
        let of_packets = match upper {
            Upper::Vlan => self.tagged,
            Upper::Tunnel => self.encapsulated,
        };
        self.active().common(of_packets).with(FeatureSet::SOFTWARE)
    }

    /// What is on for packets with these traits.
    pub fn for_packets(&self, tagged: bool, encapsulated: bool) -> FeatureSet {
        let mut features = self.active();
        if tagged {
            features = features.common(self.tagged);
        }
        if encapsulated {
            features = features.common(self.encapsulated);
        }
        features.fixed().0
    }

    /// What is left to software for a packet that is sent by this port.
    pub fn plan(&self, packet: &Skb) -> Plan {
        let hot = &packet.hot;
        let tagged = hot.outer.l2() == Some(0) && hot.outer.l3().is_some_and(|l3| l3 > ETHERNET);
        let encapsulated = hot.gso_flags.has(GsoFlags::TUNNEL) || hot.inner.l4().is_some();
        plan(self.for_packets(tagged, encapsulated), packet)
    }
}

/// What software does before a packet is sent, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// It is cut ([`crate::segment::Segmenter`]).
    pub segment: bool,
    /// Its checksum, or that of each segment, is filled in ([`crate::segment::finish_checksum`], or
    /// [`crate::segment::Checksums::Full`]); else segments are [`crate::segment::Checksums::Partial`].
    pub checksum: bool,
    /// It, or each segment, is made one piece ([`Skb::linearise`]).
    pub linearise: bool,
}

impl Plan {
    /// The packet goes as it is.
    pub const NOTHING: Self = Self { segment: false, checksum: false, linearise: false };
}

/// What is left to software for a packet, where `features` are on. What cannot be told from its marks is not expected
/// of a port.
pub fn plan(features: FeatureSet, packet: &Skb) -> Plan {
    let hot = &packet.hot;
    let is_super = hot.gso_size != 0 || hot.gso_type != GsoType::None;
    let checksummed = can_checksum(features, packet);
    let segment = is_super && !(checksummed && can_segment(features, packet));
    let checksum = (segment || hot.checksum == ChecksumState::Partial) && !checksummed;
    let pieces = segment || packet.segments().len() > 1;
    Plan { segment, checksum, linearise: pieces && !features.has(FeatureSet::SCATTER_GATHER) }
}

/// The headers whose transport checksum is to be filled in, and whose payload is cut.
fn innermost(packet: &Skb) -> Offsets {
    if packet.hot.inner.l4().is_some() { packet.hot.inner } else { packet.hot.outer }
}

fn can_checksum(features: FeatureSet, packet: &Skb) -> bool {
    if features.has(FeatureSet::TX_CHECKSUM_IP_GENERIC) {
        return true;
    }
    let Some(l3) = innermost(packet).l3() else { return false };
    match packet.head().get(l3 as usize).map(|first| first >> 4) {
        Some(4) => features.has(FeatureSet::TX_CHECKSUM_IPV4),
        Some(6) => features.has(FeatureSet::TX_CHECKSUM_IPV6),
        _ => false,
    }
}

fn can_segment(features: FeatureSet, packet: &Skb) -> bool {
    let (hot, head) = (&packet.hot, packet.head());
    let mut needed = match hot.gso_type {
        GsoType::None => return false,
        GsoType::Tcp4 => FeatureSet::TX_TCP_SEGMENTATION,
        GsoType::Tcp6 => FeatureSet::TX_TCP6_SEGMENTATION,
        GsoType::Udp => FeatureSet::TX_UDP_SEGMENTATION,
    };
    let flags = innermost(packet).l4().and_then(|l4| head.get(l4 as usize + TCP_FLAGS));
    if hot.gso_type != GsoType::Udp {
        let Some(flags) = flags else { return false };
        if flags & CWR != 0 {
            needed = needed.with(FeatureSet::TX_TCP_ECN_SEGMENTATION);
        }
    }
    if hot.gso_flags.has(GsoFlags::FIXED_ID) || hot.gso_flags.has(GsoFlags::INNER_FIXED_ID) {
        needed = needed.with(FeatureSet::TX_TCP_MANGLEID_SEGMENTATION);
    }
    if hot.gso_flags.has(GsoFlags::TUNNEL) {
        let Some(tunnel) = tunnel(packet) else { return false };
        needed = needed.with(tunnel);
    }
    features.has(needed)
}

/// The feature that a packet in a tunnel needs.
fn tunnel(packet: &Skb) -> Option<FeatureSet> {
    let (head, outer) = (packet.head(), packet.hot.outer);
    let (l3, l4) = (outer.l3()? as usize, outer.l4()? as usize);
    let version = head.get(l3)? >> 4;
    // Extension headers stand between where the transport does not follow the header.
    let protocol = match version {
        4 => *head.get(l3 + 9)?,
        6 if l4 == l3 + 40 => *head.get(l3 + 6)?,
        _ => return None,
    };
    match protocol {
        p::UDP if head.get(l4 + 6..l4 + 8)? == [0, 0] => Some(FeatureSet::TX_UDP_TNL_SEGMENTATION),
        p::UDP => Some(FeatureSet::TX_UDP_TNL_CSUM_SEGMENTATION),
        p::GRE if head.get(l4)? & 0x80 == 0 => Some(FeatureSet::TX_GRE_SEGMENTATION),
        p::GRE => Some(FeatureSet::TX_GRE_CSUM_SEGMENTATION),
        p::IPV4 | p::IPV6 if version == 4 => Some(FeatureSet::TX_IPXIP4_SEGMENTATION),
        p::IPV4 | p::IPV6 => Some(FeatureSet::TX_IPXIP6_SEGMENTATION),
        _ => None,
    }
}
