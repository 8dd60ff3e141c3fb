//! Messages about neighbours, counted.
use netfast_neigh::MessageError;

/// Messages about neighbours at ports that resolve them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoveryCounters {
    /// Neighbor solicitations and ARP requests that were valid.
    pub solicitations_in: u64,
    /// Neighbor advertisements and ARP replies that were valid.
    pub advertisements_in: u64,
    /// Answers to solicitations.
    pub advertisements_out: u64,
    /// Neighbours that were asked: to all, or to one alone.
    pub solicitations_out: u64,
    /// Neighbours that could not be asked, as the port has no address of their family.
    pub no_source: u64,
    /// Others that claim an address of the node: they are not believed.
    pub conflicts: u64,
    /// Messages that were not valid ([`MessageError`] as index); dropped as `neighbour_message`.
    pub invalid: [u64; MessageError::ALL.len()],
}

impl DiscoveryCounters {
    /// Messages that were not valid, by reason, those that occurred.
    pub fn invalid(&self) -> impl Iterator<Item = (MessageError, u64)> + '_ {
        let all = MessageError::ALL.iter().copied().zip(self.invalid);
        all.filter(|(_, count)| *count > 0)
    }
}
