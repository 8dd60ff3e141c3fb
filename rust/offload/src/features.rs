//! Offload features of a port, and what each of them needs.
//!
//! A [`Feature`] is something that whoever sends or receives for a port does, so that we need not; its names are those of
//! `ethtool -k` and of Linux's feature strings. A [`FeatureSet`] may hold any of them; [`FeatureSet::fixed`] leaves those
//! whose needs are met. [`PortFeatures`] is the state of a port: what it can do, what is wanted, what is on. [`plan`] says
//! what is left to software for a packet, which can do everything.
//!
//! # What needs what
//! As Linux 6.11 has it (`netdev_fix_features`), in this order:
//!
//! | feature | needs |
//! |---|---|
//! | `tx-checksum-ipv4`, `tx-checksum-ipv6` | not `tx-checksum-ip-generic`, which does more |
//! | all `tx-tcp…-segmentation` | `scatter-gather` |
//! | `tx-tcp-segmentation` | `tx-checksum-ipv4` or `tx-checksum-ip-generic`; it takes `tx-tcp-ecn-segmentation` with it |
//! | `tx-tcp6-segmentation` | `tx-checksum-ipv6` or `tx-checksum-ip-generic` |
//! | `tx-tcp-mangleid-segmentation` | `tx-tcp-segmentation` |
//! | `tx-tcp-ecn-segmentation` | `tx-tcp-segmentation` or `tx-tcp6-segmentation` |
//! | `generic-segmentation-offload` | `scatter-gather` |
//! | `rx-gro-hw` | `rx-checksum`, and not `rx-fcs` |
//! | `large-receive-offload` | neither `rx-fcs` nor `rx-gro-hw`; and no forwarding, since it loses what it merged |
//! | `tx-udp-segmentation` | `tx-checksum-ip-generic`, or both of `tx-checksum-ipv4` and `tx-checksum-ipv6` |
//!
//! Scatter-gather needed checksums until Linux 3.10 only.
mod closure;
mod port;
mod virtio;

pub use closure::{Because, Removed};
pub use port::{Change, Plan, PortFeatures, Upper, plan};
pub use virtio::{Side, VirtioFeatures};

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

macro_rules! features {
    ($($(#[$doc:meta])* $feature:ident $constant:ident = $name:literal $(also $alias:literal)*;)+) => {
        /// One offload, by the name of its flag in Linux (`NETIF_F_…`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Feature {
            $($(#[$doc])* $feature,)+
        }

        impl Feature {
            /// Every feature, in the order of its number.
            pub const ALL: &[Self] = &[$(Self::$feature),+];

            /// What `ethtool -k` calls it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$feature => $name,)+
                }
            }

            fn named(name: &str) -> Option<Self> {
                match name {
                    $($name $(| $alias)* => Some(Self::$feature),)+
                    _ => None,
                }
            }
        }

        impl FeatureSet {
            $(#[doc = concat!("Only [`Feature::", stringify!($feature), "`].")]
            pub const $constant: Self = Self::of(Feature::$feature);)+
        }
    };
}

features! {
    /// Packets in pieces are sent (`NETIF_F_SG`).
    ScatterGather SCATTER_GATHER = "scatter-gather" also "tx-scatter-gather" also "sg";
    /// TCP and UDP checksums over IPv4 are filled in (`NETIF_F_IP_CSUM`).
    TxChecksumIpv4 TX_CHECKSUM_IPV4 = "tx-checksum-ipv4";
    /// Those over IPv6 (`NETIF_F_IPV6_CSUM`).
    TxChecksumIpv6 TX_CHECKSUM_IPV6 = "tx-checksum-ipv6";
    /// Any Internet checksum is filled in (`NETIF_F_HW_CSUM`).
    TxChecksumIpGeneric TX_CHECKSUM_IP_GENERIC = "tx-checksum-ip-generic";
    /// TCP over IPv4 is cut (`NETIF_F_TSO`).
    TxTcpSegmentation TX_TCP_SEGMENTATION = "tx-tcp-segmentation";
    /// TCP over IPv6 is cut (`NETIF_F_TSO6`).
    TxTcp6Segmentation TX_TCP6_SEGMENTATION = "tx-tcp6-segmentation";
    /// And CWR is left to the first segment (`NETIF_F_TSO_ECN`).
    TxTcpEcnSegmentation TX_TCP_ECN_SEGMENTATION = "tx-tcp-ecn-segmentation";
    /// And the IPv4 identification may stay the same (`NETIF_F_TSO_MANGLEID`).
    TxTcpMangleidSegmentation TX_TCP_MANGLEID_SEGMENTATION = "tx-tcp-mangleid-segmentation";
    /// UDP is cut (`NETIF_F_GSO_UDP_L4`).
    TxUdpSegmentation TX_UDP_SEGMENTATION = "tx-udp-segmentation";
    /// What is in a UDP tunnel without checksum is cut (`NETIF_F_GSO_UDP_TUNNEL`).
    TxUdpTnlSegmentation TX_UDP_TNL_SEGMENTATION = "tx-udp_tnl-segmentation";
    /// With checksum (`NETIF_F_GSO_UDP_TUNNEL_CSUM`).
    TxUdpTnlCsumSegmentation TX_UDP_TNL_CSUM_SEGMENTATION = "tx-udp_tnl-csum-segmentation";
    /// What is in a GRE tunnel without checksum is cut (`NETIF_F_GSO_GRE`).
    TxGreSegmentation TX_GRE_SEGMENTATION = "tx-gre-segmentation";
    /// With checksum (`NETIF_F_GSO_GRE_CSUM`).
    TxGreCsumSegmentation TX_GRE_CSUM_SEGMENTATION = "tx-gre-csum-segmentation";
    /// IP in IPv4 is cut (`NETIF_F_GSO_IPXIP4`).
    TxIpxip4Segmentation TX_IPXIP4_SEGMENTATION = "tx-ipxip4-segmentation";
    /// IP in IPv6 is cut (`NETIF_F_GSO_IPXIP6`).
    TxIpxip6Segmentation TX_IPXIP6_SEGMENTATION = "tx-ipxip6-segmentation";
    /// Super-packets are cut by us just before they are sent (`NETIF_F_GSO`).
    GenericSegmentation GENERIC_SEGMENTATION = "generic-segmentation-offload" also "tx-generic-segmentation" also "gso";
    /// Checksums of what comes in are verified (`NETIF_F_RXCSUM`).
    RxChecksum RX_CHECKSUM = "rx-checksum" also "rx-checksumming" also "rx";
    /// What comes in is merged by us (`NETIF_F_GRO`).
    GenericReceive GENERIC_RECEIVE = "generic-receive-offload" also "rx-gro" also "gro";
    /// It is merged before, so that it can be cut again (`NETIF_F_GRO_HW`).
    RxGroHw RX_GRO_HW = "rx-gro-hw";
    /// It is merged before, and may lose by it (`NETIF_F_LRO`).
    LargeReceive LARGE_RECEIVE = "large-receive-offload" also "rx-lro" also "lro";
    /// UDP of whomever is merged, too (`NETIF_F_GRO_UDP_FWD`).
    RxUdpGroForwarding RX_UDP_GRO_FORWARDING = "rx-udp-gro-forwarding";
    /// Frames come with their check sequence (`NETIF_F_RXFCS`).
    RxFcs RX_FCS = "rx-fcs";
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong with a wish.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeatureError {
    /// No feature has this name.
    #[error(
        "there is no feature {name:?}: take names of ethtool -k, such as tx-tcp-segmentation or scatter-gather"
    )]
    UnknownName {
        /// The name.
        name: String,
    },
    /// The port cannot do it.
    #[error("the port cannot do {features}: it supports {supported}")]
    Unsupported {
        /// What was wanted and cannot be.
        features: FeatureSet,
        /// What can.
        supported: FeatureSet,
    },
    /// What was merged without a way back must not be sent on.
    #[error(
        "large-receive-offload is refused at a port that forwards: use generic-receive-offload, or end forwarding first"
    )]
    Forwarding,
}

/// A set of features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FeatureSet(u32);

const _: () = assert!(Feature::ALL.len() <= 32);

impl FeatureSet {
    /// No feature.
    pub const NONE: Self = Self(0);
    /// Every feature.
    pub const ALL: Self = Self(u32::MAX >> (32 - Feature::ALL.len()));
    /// All that cut TCP (`tcp-segmentation-offload` of `ethtool -k`).
    pub const TCP_SEGMENTATION: Self = Self::TX_TCP_SEGMENTATION
        .with(Self::TX_TCP6_SEGMENTATION)
        .with(Self::TX_TCP_ECN_SEGMENTATION)
        .with(Self::TX_TCP_MANGLEID_SEGMENTATION);
    /// All that fill checksums in (`tx-checksumming`).
    pub const TX_CHECKSUMMING: Self =
        Self::TX_CHECKSUM_IPV4.with(Self::TX_CHECKSUM_IPV6).with(Self::TX_CHECKSUM_IP_GENERIC);
    /// What we do ourselves, whatever the port can (`NETIF_F_SOFT_FEATURES`).
    pub const SOFTWARE: Self =
        Self::GENERIC_SEGMENTATION.with(Self::GENERIC_RECEIVE).with(Self::RX_UDP_GRO_FORWARDING);

    /// One feature.
    pub const fn of(feature: Feature) -> Self {
        Self(1 << feature as u32)
    }

    /// True when all of `features` are in it.
    pub const fn has(self, features: Self) -> bool {
        self.0 & features.0 == features.0
    }

    /// True when one of `features` is in it.
    pub const fn has_any(self, features: Self) -> bool {
        self.0 & features.0 != 0
    }

    /// True without any.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// These and `features`.
    pub const fn with(self, features: Self) -> Self {
        Self(self.0 | features.0)
    }

    /// These without `features`.
    pub const fn without(self, features: Self) -> Self {
        Self(self.0 & !features.0)
    }

    /// What is in both; checksums of one family are in [`Feature::TxChecksumIpGeneric`] (`netdev_intersect_features`).
    pub const fn common(self, other: Self) -> Self {
        let families = Self::TX_CHECKSUM_IPV4.with(Self::TX_CHECKSUM_IPV6);
        let generic = Self::TX_CHECKSUM_IP_GENERIC;
        let (mut one, mut two) = (self, other);
        if one.has(generic) && !two.has(generic) {
            one = one.with(families);
        } else if two.has(generic) && !one.has(generic) {
            two = two.with(families);
        }
        Self(one.0 & two.0)
    }

    /// The features in it, in order.
    pub fn iter(self) -> impl Iterator<Item = Feature> {
        Feature::ALL.iter().copied().filter(move |feature| self.has(Self::of(*feature)))
    }

    /// What a name stands for: a feature, or one of the groups of `ethtool -k`.
    fn named(name: &str) -> Option<Self> {
        match name {
            "tcp-segmentation-offload" | "tso" => Some(Self::TCP_SEGMENTATION),
            "tx-checksumming" | "tx" => Some(Self::TX_CHECKSUMMING),
            name => Feature::named(name).map(Self::of),
        }
    }
}

impl From<Feature> for FeatureSet {
    fn from(feature: Feature) -> Self {
        Self::of(feature)
    }
}

impl FromIterator<Feature> for FeatureSet {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Self {
        features.into_iter().fold(Self::NONE, |set, feature| set.with(Self::of(feature)))
    }
}

impl fmt::Display for FeatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        for (index, feature) in self.iter().enumerate() {
            write!(f, "{}{feature}", if index > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

impl FromStr for Feature {
    type Err = FeatureError;

    fn from_str(name: &str) -> Result<Self, FeatureError> {
        Self::named(name).ok_or_else(|| FeatureError::UnknownName { name: name.to_owned() })
    }
}

/// Names with spaces or commas between them; `none` and nothing are the empty set.
impl FromStr for FeatureSet {
    type Err = FeatureError;

    fn from_str(names: &str) -> Result<Self, FeatureError> {
        let names = names.split(|c: char| c == ',' || c.is_whitespace());
        names.filter(|name| !name.is_empty() && *name != "none").try_fold(Self::NONE, |set, name| {
            let named =
                Self::named(name).ok_or_else(|| FeatureError::UnknownName { name: name.to_owned() })?;
            Ok(set.with(named))
        })
    }
}

#[cfg(test)]
mod tests;
