//! Where packets go: by port, in order, and what is for the node itself.
use crate::port::PortId;
use netfast_buf::{PacketBatch, PacketPool, Skb};

/// What came out of one call: packets by port, in the order in which they left, and packets for the node itself.
#[derive(Debug, Default)]
pub struct Outputs {
    ports: Vec<Vec<Skb>>,
    local: Vec<Skb>,
}

impl Outputs {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn reserve_ports(&mut self, ports: usize) {
        if self.ports.len() < ports {
            self.ports.resize_with(ports, Vec::new);
        }
    }

    #[inline(always)]
    pub(crate) fn send(&mut self, port: PortId, packet: Skb) {
        self.ports[port as usize].push(packet);
    }

    /// Takes packets over, in order; what stays of them is empty.
    pub(crate) fn send_all(&mut self, port: PortId, packets: &mut [Skb]) {
        netfast_low::moves::take_all(packets, &mut self.ports[port as usize]);
    }

    /// Takes a whole batch over.
    pub(crate) fn send_batch(&mut self, port: PortId, packets: &mut PacketBatch) {
        packets.hand_over(&mut self.ports[port as usize]);
    }

    pub(crate) fn deliver(&mut self, packet: Skb) {
        self.local.push(packet);
    }

    /// Packets that leave by a port.
    pub fn port(&self, port: PortId) -> &[Skb] {
        self.ports.get(port as usize).map_or(&[], Vec::as_slice)
    }

    /// Takes the packets that leave by a port.
    pub fn take_port(&mut self, port: PortId) -> Vec<Skb> {
        self.ports.get_mut(port as usize).map(std::mem::take).unwrap_or_default()
    }

    /// Takes the packets that leave by a port, one by one; what held them stays allocated.
    pub fn drain_port(&mut self, port: PortId) -> impl Iterator<Item = Skb> + '_ {
        self.ports.get_mut(port as usize).into_iter().flat_map(|packets| packets.drain(..))
    }

    /// Packets for the node itself; each says which port it came from.
    pub fn local(&self) -> &[Skb] {
        &self.local
    }

    /// Takes the packets for the node itself.
    pub fn take_local(&mut self) -> Vec<Skb> {
        std::mem::take(&mut self.local)
    }

    /// Ports that this has room for.
    pub fn ports(&self) -> usize {
        self.ports.len()
    }

    /// Packets in it.
    pub fn len(&self) -> usize {
        self.local.len() + self.ports.iter().map(Vec::len).sum::<usize>()
    }

    /// True without packets.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets all packets go, their memory back to `pool`; what holds them stays allocated.
    pub fn recycle(&mut self, pool: &mut PacketPool) {
        for packets in self.ports.iter_mut().chain(std::iter::once(&mut self.local)) {
            pool.recycle_all(packets);
        }
    }
}
