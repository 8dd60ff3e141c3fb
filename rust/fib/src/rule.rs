//! Policy rules: which tables are looked into, in which order, for which packets.
use crate::{Family, FibError, PortId, Prefix, Query, TableId};
use std::fmt;

/// What a matching rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// Look into the table; the next rule is asked when nothing is found there.
    Lookup(TableId),
    /// Drop, and tell the sender that the destination is unreachable.
    Unreachable,
    /// Drop, silently.
    Blackhole,
    /// Drop, and tell the sender that it is administratively prohibited.
    Prohibit,
}

/// A policy rule, as `ip rule` has it; fields that are `None` match everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which packets it is for.
    pub family: Family,
    /// Rules are asked from the lowest on; of equal ones the older first.
    pub priority: u32,
    /// Matches what the other fields do not.
    pub invert: bool,
    /// The source address.
    pub from: Option<Prefix>,
    /// The destination address.
    pub to: Option<Prefix>,
    /// The port that the packet came in through.
    pub in_port: Option<PortId>,
    /// The packet's mark and which bits of it count.
    pub mark: Option<(u32, u32)>,
    /// Differentiated services code point, RFC 2474 section 3: 0 to 63. (`tos` in `ip rule` is four times that.)
    pub dscp: Option<u8>,
    /// What it says.
    pub action: RuleAction,
    /// Routes with prefixes of this length or shorter are not taken from the table.
    pub suppress_prefix_length: Option<u8>,
}

impl Rule {
    /// A rule that matches every packet of the family.
    pub const fn new(family: Family, priority: u32, action: RuleAction) -> Self {
        Self {
            family,
            priority,
            invert: false,
            from: None,
            to: None,
            in_port: None,
            mark: None,
            dscp: None,
            action,
            suppress_prefix_length: None,
        }
    }

    /// The rules that a node begins with: local, main and, for IPv4, default.
    pub(crate) fn defaults(family: Family) -> Vec<Self> {
        let lookup = |priority, table| Self::new(family, priority, RuleAction::Lookup(table));
        let mut rules = vec![lookup(0, TableId::LOCAL), lookup(32766, TableId::MAIN)];
        if family == Family::V4 {
            rules.push(lookup(32767, TableId::DEFAULT));
        }
        rules
    }

    /// True when the rule is for this packet.
    #[inline]
    pub fn matches(&self, query: &Query) -> bool {
        if query.family != self.family {
            return false;
        }
        match self {
            Self { from: None, to: None, in_port: None, mark: None, dscp: None, invert, .. } => !invert,
            _ => self.matches_fields(query),
        }
    }

    fn matches_fields(&self, query: &Query) -> bool {
        // An unknown source is the unspecified address, as when a socket asks before it is bound.
        let source = query.source.unwrap_or(0);
        let all = self.from.is_none_or(|prefix| prefix.contains(source))
            && self.to.is_none_or(|prefix| prefix.contains(query.destination))
            && self.in_port.is_none_or(|port| query.in_port == Some(port))
            && self.mark.is_none_or(|(mark, mask)| (query.mark ^ mark) & mask == 0)
            && self.dscp.is_none_or(|dscp| query.tos >> 2 == dscp);
        all != self.invert
    }

    pub(crate) fn validate(&self) -> Result<(), FibError> {
        let (priority, family) = (self.priority, self.family);
        if let Some(prefix) =
            [self.from, self.to].into_iter().flatten().find(|prefix| prefix.family() != family)
        {
            return Err(FibError::RuleFamily { priority, prefix, family });
        }
        match self.dscp {
            Some(dscp) if dscp > 63 => Err(FibError::RuleDscp { priority, dscp }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.priority, if self.invert { " not" } else { "" })?;
        match self.from {
            Some(prefix) => write!(f, " from {prefix}")?,
            None => f.write_str(" from all")?,
        }
        if let Some(prefix) = self.to {
            write!(f, " to {prefix}")?;
        }
        if let Some(port) = self.in_port {
            write!(f, " iif {port}")?;
        }
        match self.mark {
            Some((mark, u32::MAX)) => write!(f, " fwmark {mark:#x}")?,
            Some((mark, mask)) => write!(f, " fwmark {mark:#x}/{mask:#x}")?,
            None => {}
        }
        if let Some(dscp) = self.dscp {
            write!(f, " dscp {dscp}")?;
        }
        match self.action {
            RuleAction::Lookup(table) => write!(f, " lookup {table}")?,
            RuleAction::Unreachable => f.write_str(" unreachable")?,
            RuleAction::Blackhole => f.write_str(" blackhole")?,
            RuleAction::Prohibit => f.write_str(" prohibit")?,
        }
        self.suppress_prefix_length.map_or(Ok(()), |length| write!(f, " suppress_prefixlength {length}"))
    }
}
