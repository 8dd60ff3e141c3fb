//! What the node is told of neighbours.
use crate::error::NodeError;
use crate::node::Node;
use crate::outputs::Outputs;
use crate::port::{Mac, Port, PortId};
use crate::reason::DropReason;
use crate::route::neighbour_part;
use netfast_neigh::Neighbours;
use netfast_time::Instant;
use std::net::IpAddr;

impl Node {
    /// Says which link address a neighbour has; packets that waited for it are sent.
    ///
    /// # Errors
    /// [`NodeError::NoPort`], [`NodeError::Neighbour`].
    pub fn set_neighbour(
        &mut self,
        now: Instant,
        port: PortId,
        address: IpAddr,
        mac: Mac,
        out: &mut Outputs,
    ) -> Result<(), NodeError> {
        self.port(port).ok_or(NodeError::NoPort(port))?;
        let now = self.clock(now);
        let (waiting, displaced) = self.neighbours.set(port, address, mac)?;
        self.partitions.touch_neighbour(neighbour_part(port, address));
        if let Some(entry) = displaced {
            self.forget_neighbour(now, &entry);
        }
        out.reserve_ports(self.ports.len());
        self.count_held();
        for packet in waiting {
            self.emit(now, packet, port, mac, out);
        }
        Ok(())
    }

    /// Forgets a neighbour; true when it was known.
    pub fn remove_neighbour(&mut self, port: PortId, address: IpAddr) -> bool {
        let known = self.neighbours.remove(port, address);
        self.partitions.touch_neighbour(neighbour_part(port, address));
        known.is_some()
    }

    /// Forgets what was found out about the neighbours at a port and its sub-interfaces, which is to be asked anew: its link went
    /// down or is another one. (Linux: `neigh_ifdown`.) Those that were set stay; what waited is dropped.
    pub fn forget_neighbours(&mut self, port: PortId) {
        let on_wire = |(id, other): (PortId, &Port)| (other.wire == port).then_some(id);
        let ports: Vec<_> = self.ports().filter_map(on_wire).collect();
        for port in ports {
            let _ = self.flush_neighbours(port);
        }
    }

    /// Its neighbours.
    pub fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }

    /// Forgets the neighbours of a port that were found out, as when its link is gone; how many were known. Those that were set
    /// stay; what waited is dropped.
    ///
    /// # Errors
    /// [`NodeError::NoPort`].
    pub fn flush_neighbours(&mut self, port: PortId) -> Result<usize, NodeError> {
        self.port(port).ok_or(NodeError::NoPort(port))?;
        let (mut known, partitions) = (0, &mut self.partitions);
        let waited = self.neighbours.flush(port, |entry| {
            known += 1;
            if entry.is_kept {
                partitions.touch_neighbour(neighbour_part(port, entry.address));
            }
        });
        for packet in waited {
            self.drop_packet(self.now, port, packet, DropReason::NoNextHop, None);
        }
        self.count_held();
        Ok(known)
    }

    /// Forgets the neighbours of a port.
    pub(crate) fn drop_neighbours(&mut self, id: PortId) {
        for packet in self.neighbours.remove_port(id) {
            self.drop_packet(self.now, id, packet, DropReason::NoNextHop, None);
        }
        self.count_held();
    }

    /// What an upper layer knows: packets to a neighbour arrive there (RFC 4861 7.3.1). It need not be asked for a while.
    pub fn confirm_neighbour(&mut self, now: Instant, port: PortId, address: IpAddr) {
        let now = self.clock(now);
        self.neighbours.confirm(now, port, address);
    }
}
