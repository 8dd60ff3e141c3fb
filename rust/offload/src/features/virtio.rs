//! Feature bits of virtio network devices.
use std::fmt;

use super::FeatureSet;

/// Whose port it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The driver's: it sends by what the device takes.
    Driver,
    /// The device's: it sends by what the driver takes.
    Device,
}

/// Feature bits of a virtio network device (virtio 1.3, 5.1.3), as they are negotiated. Bits without a name here are kept.
///
/// Seen from the driver: `HOST_` is what the device takes from it, `GUEST_` what it takes from the device. TUN's offloads
/// (`TUNSETOFFLOAD`) are the `GUEST_` bits of who reads from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VirtioFeatures(pub u64);

/// Name, bit, and the bits of which one is needed (5.1.3.1).
struct Bit {
    bit: VirtioFeatures,
    name: &'static str,
    needs: u64,
}

macro_rules! virtio_features {
    ($($(#[$doc:meta])* $name:ident = $number:literal $(needs $first:ident $(or $other:ident)*)?;)+) => {
        impl VirtioFeatures {
            $($(#[$doc])* pub const $name: Self = Self(1 << $number);)+
        }

        const BITS: &[Bit] = &[$(Bit {
            bit: VirtioFeatures::$name,
            name: concat!("VIRTIO_NET_F_", stringify!($name)),
            needs: 0 $(| VirtioFeatures::$first.0 $(| VirtioFeatures::$other.0)*)?,
        }),+];
    };
}

// In an order in which what is needed comes first.
virtio_features! {
    /// The device fills checksums in.
    CSUM = 0;
    /// The driver fills checksums in.
    GUEST_CSUM = 1;
    /// The driver takes TCP super-packets over IPv4.
    GUEST_TSO4 = 7 needs GUEST_CSUM;
    /// The driver takes TCP super-packets over IPv6.
    GUEST_TSO6 = 8 needs GUEST_CSUM;
    /// The driver takes them with CWR.
    GUEST_ECN = 9 needs GUEST_TSO4 or GUEST_TSO6;
    /// The driver takes UDP packets that are to be fragmented.
    GUEST_UFO = 10 needs GUEST_CSUM;
    /// The device takes TCP super-packets over IPv4.
    HOST_TSO4 = 11 needs CSUM;
    /// The device takes TCP super-packets over IPv6.
    HOST_TSO6 = 12 needs CSUM;
    /// The device takes them with CWR.
    HOST_ECN = 13 needs HOST_TSO4 or HOST_TSO6;
    /// The device takes UDP packets that are to be fragmented.
    HOST_UFO = 14 needs CSUM;
    /// A packet may be spread over several receive buffers.
    MRG_RXBUF = 15;
    /// The driver takes UDP super-packets over IPv4.
    GUEST_USO4 = 54 needs GUEST_CSUM;
    /// The driver takes UDP super-packets over IPv6.
    GUEST_USO6 = 55 needs GUEST_CSUM;
    /// The device takes UDP super-packets.
    HOST_USO = 56 needs CSUM;
    /// The driver says the exact length of headers.
    GUEST_HDRLEN = 59;
    /// The device counts what it merged.
    RSC_EXT = 61 needs HOST_TSO4 or HOST_TSO6;
}

/// The bits of one direction.
struct Direction {
    checksum: VirtioFeatures,
    tcp4: VirtioFeatures,
    tcp6: VirtioFeatures,
    ecn: VirtioFeatures,
    udp: VirtioFeatures,
}

const HOST: Direction = Direction {
    checksum: VirtioFeatures::CSUM,
    tcp4: VirtioFeatures::HOST_TSO4,
    tcp6: VirtioFeatures::HOST_TSO6,
    ecn: VirtioFeatures::HOST_ECN,
    udp: VirtioFeatures::HOST_USO,
};
const GUEST: Direction = Direction {
    checksum: VirtioFeatures::GUEST_CSUM,
    tcp4: VirtioFeatures::GUEST_TSO4,
    tcp6: VirtioFeatures::GUEST_TSO6,
    ecn: VirtioFeatures::GUEST_ECN,
    udp: VirtioFeatures::GUEST_USO4.with(VirtioFeatures::GUEST_USO6),
};

impl VirtioFeatures {
    /// What this crate can make and take in both directions: everything but UDP fragmentation.
    pub const OFFLOADS: Self = Self(
        Self::CSUM.0
            | Self::GUEST_CSUM.0
            | Self::GUEST_TSO4.0
            | Self::GUEST_TSO6.0
            | Self::GUEST_ECN.0
            | Self::HOST_TSO4.0
            | Self::HOST_TSO6.0
            | Self::HOST_ECN.0
            | Self::GUEST_USO4.0
            | Self::GUEST_USO6.0
            | Self::HOST_USO.0,
    );

    /// True when all of `features` are there.
    pub const fn has(self, features: Self) -> bool {
        self.0 & features.0 == features.0
    }

    /// These and `features`.
    pub const fn with(self, features: Self) -> Self {
        Self(self.0 | features.0)
    }

    /// These without `features`.
    pub const fn without(self, features: Self) -> Self {
        Self(self.0 & !features.0)
    }

    /// These without those whose requirements (5.1.3.1) are not met, among the bits that have a name here; and what was
    /// taken away.
    pub fn fixed(self) -> (Self, Self) {
        let kept = BITS.iter().fold(self, |kept, bit| {
            if bit.needs != 0 && kept.0 & bit.needs == 0 { kept.without(bit.bit) } else { kept }
        });
        (kept, self.without(kept))
    }

    /// The features of a port with these bits. Super-packets that the other side sends are what receive offloads of its
    /// own merged ([`FeatureSet::RX_GRO_HW`]).
    pub fn of_port(self, side: Side) -> FeatureSet {
        let (sends, receives) = match side {
            Side::Driver => (HOST, GUEST),
            Side::Device => (GUEST, HOST),
        };
        let (mut features, had) = (FeatureSet::NONE, self.fixed().0);
        for (bits, feature) in [
            (sends.checksum, FeatureSet::TX_CHECKSUM_IP_GENERIC.with(FeatureSet::SCATTER_GATHER)),
            (sends.tcp4, FeatureSet::TX_TCP_SEGMENTATION),
            (sends.tcp6, FeatureSet::TX_TCP6_SEGMENTATION),
            (sends.ecn, FeatureSet::TX_TCP_ECN_SEGMENTATION),
            (sends.udp, FeatureSet::TX_UDP_SEGMENTATION),
            (receives.checksum, FeatureSet::RX_CHECKSUM),
            (receives.tcp4.with(receives.tcp6), FeatureSet::RX_GRO_HW),
        ] {
            features = if had.has(bits) { features.with(feature) } else { features };
        }
        features
    }

    /// The bits for a port with these features, to be intersected with what the other side offers.
    pub fn from_port(features: FeatureSet, side: Side) -> Self {
        let (sends, receives) = match side {
            Side::Driver => (HOST, GUEST),
            Side::Device => (GUEST, HOST),
        };
        let mut bits = Self(0);
        for (on, more) in [
            (features.has(FeatureSet::TX_CHECKSUM_IP_GENERIC), sends.checksum),
            (features.has(FeatureSet::TX_TCP_SEGMENTATION), sends.tcp4),
            (features.has(FeatureSet::TX_TCP6_SEGMENTATION), sends.tcp6),
            (features.has(FeatureSet::TX_TCP_ECN_SEGMENTATION), sends.ecn),
            (features.has(FeatureSet::TX_UDP_SEGMENTATION), sends.udp),
            (features.has(FeatureSet::RX_CHECKSUM), receives.checksum),
            (
                features.has(FeatureSet::RX_GRO_HW),
                receives.tcp4.with(receives.tcp6).with(receives.ecn).with(receives.udp),
            ),
        ] {
            bits = if on { bits.with(more) } else { bits };
        }
        bits.fixed().0
    }

    /// The `TUN_F_` flags of `TUNSETOFFLOAD` (linux/if_tun.h) for what we take from TUN, the `GUEST_` bits. UDP
    /// segmentation, which is for both families or none, is known from Linux 6.2 on: where it is refused, ask again
    /// without [`VirtioFeatures::GUEST_USO4`] and [`VirtioFeatures::GUEST_USO6`].
    pub fn tun_offloads(self) -> u32 {
        let (had, mut flags) = (self.fixed().0, 0);
        for (bit, flag) in [
            (Self::GUEST_CSUM, 0x01),
            (Self::GUEST_TSO4, 0x02),
            (Self::GUEST_TSO6, 0x04),
            (Self::GUEST_ECN, 0x08),
            (Self::GUEST_USO4.with(Self::GUEST_USO6), 0x60),
        ] {
            flags |= if had.has(bit) { flag } else { 0 };
        }
        flags
    }

    /// The name of a single bit, `VIRTIO_NET_F_` and what the specification calls it; `None` for others.
    pub fn name(self) -> Option<&'static str> {
        BITS.iter().find(|bit| bit.bit == self).map(|bit| bit.name)
    }
}

impl fmt::Display for VirtioFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut left, mut separator) = (*self, "");
        for bit in BITS.iter().filter(|bit| self.has(bit.bit)) {
            write!(f, "{separator}{}", bit.name)?;
            (left, separator) = (left.without(bit.bit), " ");
        }
        if left.0 != 0 || self.0 == 0 {
            write!(f, "{separator}{:#x}", left.0)?;
        }
        Ok(())
    }
}
