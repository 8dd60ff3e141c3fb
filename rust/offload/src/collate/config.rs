//! Settings of a collator and what may be wrong with them.
use netfast_time::Duration;
use netfast_wire::LinkType;
use thiserror::Error;

/// How a [`Collator`](super::Collator) works, with its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollatorConfig {
    /// What packets begin with ([`LinkType::ETHERNET`]): Ethernet, raw IP, BSD loopback or Linux cooked.
    pub link: LinkType,
    /// Merge TCP segments (yes).
    pub tcp: bool,
    /// Merge UDP datagrams (yes). Whoever takes the super-packet has to know that it stands for several datagrams
    /// ([`HotLine::gso_size`](netfast_buf::HotLine::gso_size)): give it to the segmentation or to a reader of datagrams.
    pub udp: bool,
    /// Look into VXLAN, Geneve, GRE and IP in IP (yes). Without it what is in tunnels is not merged.
    pub tunnels: bool,
    /// UDP port of VXLAN (4789, RFC 7348 8).
    pub vxlan_port: u16,
    /// UDP port of Geneve (6081, RFC 8926 3.3).
    pub geneve_port: u16,
    /// Flows of which a packet is held (256; a power of two from 8 to 4,096: a fragment looks at the addresses of all). At the
    /// limit the oldest of eight is put out.
    pub max_flows: usize,
    /// Bytes held, of all flows (4 MiB). At the limit the oldest are put out.
    pub max_held_bytes: u64,
    /// How long a packet is held (zero: until its batch ends).
    pub max_hold: Duration,
    /// Packets that are merged into one (64, from 2 to 64: a packet of more pieces would be copied).
    pub max_segments: u16,
    /// Bytes of a merged IP packet, header included (65,535, from 576 to 65,535).
    pub max_length: u32,
}

impl Default for CollatorConfig {
    fn default() -> Self {
        Self {
            link: LinkType::ETHERNET,
            tcp: true,
            udp: true,
            tunnels: true,
            vxlan_port: 4789,
            geneve_port: 6081,
            max_flows: 256,
            max_held_bytes: 4 << 20,
            max_hold: Duration::ZERO,
            max_segments: 64,
            max_length: 65_535,
        }
    }
}

/// Why there is no collator of these settings.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CollatorError {
    /// A link type whose headers the collator does not read.
    #[error("link type {link} is not collated: Ethernet, raw IP, BSD loopback and Linux cooked are")]
    LinkType {
        /// The link type.
        link: LinkType,
    },
    /// A number outside of its range.
    #[error("{setting} is {value}: {remedy}")]
    Setting {
        /// The field of [`CollatorConfig`].
        setting: &'static str,
        /// What it was.
        value: u64,
        /// What it may be.
        remedy: &'static str,
    },
}

impl CollatorConfig {
    pub(super) fn check(&self) -> Result<(), CollatorError> {
        use LinkType as L;
        const LINKS: [LinkType; 10] = [
            L::ETHERNET,
            L::RAW,
            L::RAW_BSD_12,
            L::RAW_BSD_14,
            L::IPV4,
            L::IPV6,
            L::NULL,
            L::LOOP,
            L::LINUX_SLL,
            L::LINUX_SLL2,
        ];
        if !LINKS.contains(&self.link) {
            return Err(CollatorError::LinkType { link: self.link });
        }
        let wrong = |setting, value, remedy| Err(CollatorError::Setting { setting, value, remedy });
        if !(8..=4_096).contains(&self.max_flows) || !self.max_flows.is_power_of_two() {
            return wrong("max_flows", self.max_flows as u64, "give a power of two from 8 to 4,096");
        }
        if !(2..=64).contains(&self.max_segments) {
            return wrong("max_segments", u64::from(self.max_segments), "give 2 to 64");
        }
        if !(576..=65_535).contains(&self.max_length) {
            return wrong("max_length", u64::from(self.max_length), "give 576 to 65,535 bytes");
        }
        Ok(())
    }
}
