//! Which features can be on together.
use std::fmt;

use super::{Feature, FeatureSet};

/// A feature that cannot be on, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The feature.
    pub feature: Feature,
    /// Why.
    pub because: Because,
}

/// Why a feature cannot be on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Because {
    /// It needs one of these, and none is on.
    NeedsOne(FeatureSet),
    /// It needs one of the first, or all of the second.
    NeedsOneOrAll(FeatureSet, FeatureSet),
    /// It excludes, or is contained in, this one, which is on.
    Excluded(Feature),
    /// Packets are forwarded.
    Forwarding,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.feature)?;
        match self.because {
            Because::NeedsOne(set) => {
                f.write_str("needs ")?;
                list(f, set, " or ")
            }
            Because::NeedsOneOrAll(one, all) => {
                f.write_str("needs ")?;
                list(f, one, " or ")?;
                f.write_str(", or both ")?;
                list(f, all, " and ")
            }
            Because::Excluded(by) => write!(f, "is excluded by {by}"),
            Because::Forwarding => f.write_str("is excluded by forwarding"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, set: FeatureSet, between: &str) -> fmt::Result {
    for (index, feature) in set.iter().enumerate() {
        write!(f, "{}{feature}", if index > 0 { between } else { "" })?;
    }
    Ok(())
}

use FeatureSet as S;

/// What loses by a rule, and what it needs. Earlier rules may take away what later ones need.
const RULES: &[(FeatureSet, Because)] = &[
    (S::TX_CHECKSUM_IPV4.with(S::TX_CHECKSUM_IPV6), Because::Excluded(Feature::TxChecksumIpGeneric)),
    (S::TCP_SEGMENTATION, Because::NeedsOne(S::SCATTER_GATHER)),
    (S::TX_TCP_SEGMENTATION, Because::NeedsOne(S::TX_CHECKSUM_IPV4.with(S::TX_CHECKSUM_IP_GENERIC))),
    (S::TX_TCP6_SEGMENTATION, Because::NeedsOne(S::TX_CHECKSUM_IPV6.with(S::TX_CHECKSUM_IP_GENERIC))),
    (S::TX_TCP_MANGLEID_SEGMENTATION, Because::NeedsOne(S::TX_TCP_SEGMENTATION)),
    (S::TX_TCP_ECN_SEGMENTATION, Because::NeedsOne(S::TX_TCP_SEGMENTATION.with(S::TX_TCP6_SEGMENTATION))),
    (S::GENERIC_SEGMENTATION, Because::NeedsOne(S::SCATTER_GATHER)),
    (S::RX_GRO_HW, Because::NeedsOne(S::RX_CHECKSUM)),
    (S::LARGE_RECEIVE.with(S::RX_GRO_HW), Because::Excluded(Feature::RxFcs)),
    (S::LARGE_RECEIVE, Because::Excluded(Feature::RxGroHw)),
    (
        S::TX_UDP_SEGMENTATION,
        Because::NeedsOneOrAll(S::TX_CHECKSUM_IP_GENERIC, S::TX_CHECKSUM_IPV4.with(S::TX_CHECKSUM_IPV6)),
    ),
];

impl Because {
    /// True when nothing in `features` stands against it.
    fn allows(self, features: FeatureSet) -> bool {
        match self {
            Self::NeedsOne(set) => features.has_any(set),
            Self::NeedsOneOrAll(one, all) => features.has_any(one) || features.has(all),
            Self::Excluded(by) => !features.has(FeatureSet::of(by)),
            Self::Forwarding => false,
        }
    }
}

impl FeatureSet {
    /// These without those whose needs are not met, and what was taken away, in order ([the rules](super)).
    pub fn fixed(self) -> (Self, Vec<Removed>) {
        let (mut features, mut removed) = (self, Vec::new());
        for &(of, because) in RULES {
            let mut lost = Self(features.0 & of.0);
            if lost.is_empty() || because.allows(features) {
                continue;
            }
            // Linux takes the two away together, even where TCP over IPv6 stays.
            if of == S::TX_TCP_SEGMENTATION {
                lost = lost.with(Self(features.0 & S::TX_TCP_ECN_SEGMENTATION.0));
            }
            removed.extend(lost.iter().map(|feature| Removed { feature, because }));
            features = features.without(lost);
        }
        (features, removed)
    }
}
