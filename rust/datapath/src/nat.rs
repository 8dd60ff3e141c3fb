//! Translations in a decision: which rule's, to which address and port.
use crate::decide::{HookVerdict, Pass};
use crate::reason::DropReason;
use crate::route::number;
use crate::trace::{Tell, show};
use crate::track::inverse;
use netfast_fib::Prefix;
use netfast_filter::outcome::NatSpec;
use netfast_flow::FlowKey;
use netfast_flow::conntrack::{
    Endpoint, NatRange, PortRange, Status, Tuple, select_destination, select_source,
};
use netfast_low::hash::Seed;
use netfast_nft::ast::{Hook, NatKind};
use std::net::IpAddr;

pub(crate) fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// True for an address that reaches beyond the link.
fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_loopback(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_loopback(),
    }
}

/// The port, or the identifier, at which an answer arrives.
fn outer_port(reply: &Tuple) -> u16 {
    if reply.is_icmp() { reply.source_port } else { reply.destination_port }
}

impl<T: Tell> Pass<'_, '_, T> {
    /// A rule translates the connection that this packet begins.
    pub(crate) fn bind(&mut self, hook: Hook, spec: &NatSpec) -> Result<(), DropReason> {
        self.by_class = false;
        let ports = spec.ports.map(|(first, last)| PortRange::new(first, last));
        let range = NatRange {
            addresses: spec.addresses,
            ports,
            random: spec.random,
            fully_random: spec.fully_random,
            persistent: spec.persistent,
        };
        match spec.kind {
            NatKind::Dnat => self.bind_destination(&range),
            NatKind::Redirect => {
                let address = self.redirect_address(hook).ok_or(DropReason::NoAddress)?;
                self.bind_destination(&NatRange { addresses: Some((address, address)), ..range })
            }
            NatKind::Snat => self.bind_source(&range),
            NatKind::Masquerade => {
                let address = self.masquerade_address().ok_or(DropReason::NoAddress)?;
                self.bind_source(&NatRange { addresses: Some((address, address)), ..range })
            }
        }
    }

    /// What the caller's hook asks for, as if rules had said it.
    pub(crate) fn hook_translation(&mut self, said: &HookVerdict) -> Result<(), DropReason> {
        let range = |(address, port): ([u8; 16], Option<u16>)| NatRange {
            ports: port.map(|port| PortRange::new(port, port)),
            ..NatRange::to_address(address)
        };
        if let Some(to) = said.destination.filter(|_| self.track.begins() && !self.has(Status::DNAT_DONE)) {
            self.bind_destination(&range(to))?;
        }
        if let Some(from) = said.source.filter(|_| self.track.begins() && !self.has(Status::SNAT_DONE)) {
            self.bind_source(&range(from))?;
        }
        Ok(())
    }

    fn has(&self, status: Status) -> bool {
        self.track.status.has(status)
    }

    fn bind_destination(&mut self, range: &NatRange) -> Result<(), DropReason> {
        let current = inverse(&self.track.reply);
        let (tracker, now, except) = (self.node.tracker(), self.subject.now, self.track.replaces());
        let mut random = self.random(&current);
        let taken = |reply: &Tuple| tracker.taken(reply, now, except);
        let chosen = select_destination(&current, range, taken, &mut random);
        let chosen = chosen.map_err(|_| self.out_of_ports(current))?;
        self.bound(
            &chosen,
            Status::DNAT_DONE,
            chosen.destination != current.destination
                || (current.has_ports() && chosen.destination_port != current.destination_port),
            Status::DNAT,
        );
        Ok(())
    }

    fn bind_source(&mut self, range: &NatRange) -> Result<(), DropReason> {
        let current = inverse(&self.track.reply);
        let (tracker, now, except) = (self.node.tracker(), self.subject.now, self.track.replaces());
        let source =
            Endpoint { protocol: current.protocol, address: current.source, port: current.source_port };
        let (eim, mappings) = (self.node.config.endpoint_independent, &self.node.mappings);
        let known = eim.then(|| mappings.external(&source, now)).flatten();
        let mut random = self.random(&current);
        let chosen = match known {
            Some(outer) => {
                let chosen = Tuple { source: outer.address, source_port: outer.port, ..current };
                if tracker.taken(&inverse(&chosen), now, except) {
                    return Err(self.out_of_ports(current));
                }
                chosen
            }
            None => {
                let taken = |reply: &Tuple| {
                    let outer = Endpoint { address: reply.destination, port: outer_port(reply), ..source };
                    tracker.taken(reply, now, except) || (eim && mappings.internal(&outer, now).is_some())
                };
                let chosen = select_source(&current, range, None, taken, &mut random);
                chosen.map_err(|_| self.out_of_ports(current))?
            }
        };
        if eim {
            let outer = Endpoint { address: chosen.source, port: chosen.source_port, ..source };
            self.mapping = Some((current.protocol, source, outer));
        }
        self.bound(
            &chosen,
            Status::SNAT_DONE,
            chosen.source != current.source || chosen.source_port != current.source_port,
            Status::SNAT,
        );
        Ok(())
    }

    fn bound(&mut self, chosen: &Tuple, done: Status, changed: bool, bit: Status) {
        self.track.reply = inverse(chosen);
        self.track.status = self.track.status.with(done);
        if changed {
            self.track.status = self.track.status.with(bit);
        }
        self.refresh_connection();
    }

    fn out_of_ports(&mut self, tuple: Tuple) -> DropReason {
        self.exhausted = Some(tuple);
        DropReason::NatExhausted
    }

    /// Behind the chains of a hook every new connection is settled there, so that its replies' tuple is nobody else's: it
    /// keeps address and port where it can.
    pub(crate) fn bind_rest(&mut self, source: bool) -> Result<(), DropReason> {
        if !self.track.begins() {
            return Ok(());
        }
        // Each flow's destination may be a mapping's.
        self.by_class &= !self.node.config.endpoint_independent_filtering;
        // Connections may be translated without a chain: by the hook, or by rules that are gone.
        let has_chains = self.node.translates;
        if !has_chains && self.node.cache.translated() == 0 {
            return Ok(());
        }
        let done = if source { Status::SNAT_DONE } else { Status::DNAT_DONE };
        if self.has(done) {
            return Ok(());
        }
        let current = inverse(&self.track.reply);
        if source {
            let (reply, except) = (&self.track.reply, self.track.replaces());
            let reply_taken = self.node.tracker().taken(reply, self.subject.now, except);
            if reply_taken {
                return self.bind_source(&NatRange::to_address(current.source));
            }
        } else if let Some(inner) = self.mapped_destination(&current) {
            return self.bind_destination(&NatRange {
                ports: Some(PortRange::new(inner.port, inner.port)),
                ..NatRange::to_address(inner.address)
            });
        }
        if has_chains {
            self.track.status = self.track.status.with(done);
        }
        Ok(())
    }

    /// With endpoint-independent filtering, and in hairpins, what is sent to a mapping's outer endpoint goes to the inner one (RFC
    /// 4787 REQ-8, REQ-9).
    fn mapped_destination(&self, current: &Tuple) -> Option<Endpoint> {
        let config = &self.node.config;
        if !config.endpoint_independent || !config.endpoint_independent_filtering {
            return None;
        }
        let outer = Endpoint {
            protocol: current.protocol,
            address: current.destination,
            port: if current.is_icmp() { current.source_port } else { current.destination_port },
        };
        self.node.mappings.internal(&outer, self.subject.now)
    }

    /// The address of the port that the packet leaves by: of the next hop's network, else the first; for IPv6 else the
    /// one that has the most leading bits of the destination (RFC 6724 5, rule 8).
    fn masquerade_address(&self) -> Option<[u8; 16]> {
        let port = self.node.port(self.facts.out_port?)?;
        let first = port.global_address(self.subject.v6())?;
        let all = || {
            let of_family = |(address, _): &&(IpAddr, u8)| address.is_ipv6() == self.subject.v6();
            port.config.addresses.iter().filter(of_family).filter(|(address, _)| is_global(*address))
        };
        let holds = |(address, length): &&(IpAddr, u8)| {
            let network = Prefix::containing(*address, *length);
            self.next.is_some_and(|next| network.is_ok_and(|network| network.contains(number(next))))
        };
        if let Some((address, _)) = all().find(holds) {
            return Some(mapped(*address));
        }
        if !self.subject.v6() {
            return Some(mapped(first));
        }
        let destination = u128::from_be_bytes(self.facts.destination);
        let common = |address: &IpAddr| (number(*address) ^ destination).leading_zeros();
        let mut best = first;
        for (address, _) in all() {
            if common(address) > common(&best) {
                best = *address;
            }
        }
        Some(mapped(best))
    }

    /// The node itself, as the packet's port knows it.
    fn redirect_address(&self, hook: Hook) -> Option<[u8; 16]> {
        let v6 = self.subject.v6();
        if hook == Hook::Output {
            let loopback: IpAddr =
                if v6 { std::net::Ipv6Addr::LOCALHOST.into() } else { std::net::Ipv4Addr::LOCALHOST.into() };
            return Some(mapped(loopback));
        }
        let port = self.node.port(self.facts.in_port?)?;
        // What was sent to a link-local address stays on the link.
        let of_link = |address: IpAddr| matches!(address, IpAddr::V6(own) if own.is_unicast_link_local());
        if of_link(show(&self.facts.destination)) {
            let mut all = port.config.addresses.iter().map(|(address, _)| *address);
            return all.find(|address| of_link(*address)).map(mapped);
        }
        port.global_address(v6).or_else(|| port.address(v6)).map(mapped)
    }

    /// Random ports that follow from the node's seed, the connection and the moment: a decision made twice is the same.
    fn random(&self, tuple: &Tuple) -> impl FnMut() -> u16 + use<T> {
        let (key, _) = FlowKey::of_tuple(0, tuple);
        let counts = self.node.cache.counts();
        let seed = Seed::new(self.node.config.seed ^ 0x6e_61_74);
        let mut state = key.seeded_hash(seed) ^ counts.inserted.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        move || {
            state = seed.hash5(&[state, 1, 2, 3, 4]);
            (state >> 24) as u16
        }
    }
}
