//! Ports and ranges of ports.
use super::ether_protocol::{ETHER_IP, ETHER_IP6};
use super::load::From;
use super::*;
use crate::ast::{Dir, Quals};
use crate::names;

const TCP: u32 = 6;
const UDP: u32 = 17;
const SCTP: u32 = 132;

/// Which header the ports stand behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Four,
    Six,
}

impl Generator {
    /// A port, or with `last` a range, of one transport protocol or of the three that are known.
    pub(super) fn port_range(
        &mut self,
        quals: Quals,
        named: Option<u32>,
        first: u32,
        last: Option<u32>,
    ) -> Result<Frag> {
        let transport = match quals.proto {
            Proto::Default => named,
            _ => Some(self.transport(quals)?),
        };
        for port in [Some(first), last].into_iter().flatten() {
            self.in_range("port", port, 65535)?;
        }
        let bounds = (first, last.unwrap_or(first));
        let ordered = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
        let ports = Ports { range: last.is_some(), low: ordered.0, high: ordered.1 };
        let six = self.ports(Version::Six, transport, quals.dir, ports)?;
        let four = self.ports(Version::Four, transport, quals.dir, ports)?;
        Ok(self.graph.or(six, four))
    }

    fn transport(&self, quals: Quals) -> Result<u32> {
        match quals.proto {
            Proto::Tcp => Ok(TCP),
            Proto::Udp => Ok(UDP),
            Proto::Sctp => Ok(SCTP),
            _ => Err(self.not_for(quals.proto_text, "a port", "use tcp, udp, sctp or no protocol")),
        }
    }

    /// A name's port, and the only transport protocol it is known for, if it is known for one only.
    fn service_port(&self, name: &str) -> Option<(u32, Option<u32>)> {
        if let Ok(port) = name.parse::<u16>() {
            return Some((port.into(), None));
        }
        Some(match names::service(name)? {
            (tcp, 0) => (tcp.into(), Some(TCP)),
            (0, udp) => (udp.into(), Some(UDP)),
            (tcp, _) => (tcp.into(), None),
        })
    }

    pub(super) fn service(&self, name: &str, quals: Quals) -> Result<(u32, Option<u32>)> {
        let Some((port, known)) = self.service_port(name) else {
            return Err(FilterError::UnknownName {
                column: self.column,
                name: name.to_owned(),
                kind: "port",
                remedy: "write its number",
            });
        };
        self.transport_fits(quals, known)?;
        Ok((port, known))
    }

    fn transport_fits(&self, quals: Quals, known: Option<u32>) -> Result<()> {
        let wanted = match quals.proto {
            Proto::Default => return Ok(()),
            _ => self.transport(quals)?,
        };
        match known {
            Some(known) if known != wanted => Err(self.not_for(
                quals.proto_text,
                "a port name of another protocol",
                "leave the protocol out, or write the number",
            )),
            _ => Ok(()),
        }
    }

    /// `ssh-http`: two names or numbers around the first hyphen.
    pub(super) fn named_range(&mut self, quals: Quals, text: &str) -> Result<Frag> {
        let unknown = || FilterError::UnknownName {
            column: self.column,
            name: text.to_owned(),
            kind: "port range",
            remedy: "write two numbers, as in 6000-6063",
        };
        let (first, last) = text.split_once('-').ok_or_else(unknown)?;
        let (first, a) = self.service_port(first).ok_or_else(unknown)?;
        let (last, b) = self.service_port(last).ok_or_else(unknown)?;
        let known = if a == b { a } else { None };
        self.transport_fits(quals, known)?;
        self.port_range(quals, known, first, Some(last))
    }

    fn ports(&mut self, version: Version, transport: Option<u32>, dir: Dir, ports: Ports) -> Result<Frag> {
        let carried = self.link_protocol(if version == Version::Four { ETHER_IP } else { ETHER_IP6 })?;
        let test = match transport {
            Some(transport) => self.transport_ports(version, transport, dir, ports)?,
            None => {
                let sctp = self.transport_ports(version, SCTP, dir, ports)?;
                let tcp = self.transport_ports(version, TCP, dir, ports)?;
                let udp = self.transport_ports(version, UDP, dir, ports)?;
                let first = self.graph.or(sctp, tcp);
                self.graph.or(first, udp)
            }
        };
        Ok(self.graph.and(carried, test))
    }

    fn transport_ports(&mut self, version: Version, transport: u32, dir: Dir, ports: Ports) -> Result<Frag> {
        let offset = if version == Version::Four { 9 } else { 6 };
        let mut carried = self.equal(From::Network, offset, Width::Byte, transport)?;
        if version == Version::Four {
            let first = self.first_fragment()?;
            carried = self.graph.and(carried, first);
        }
        let test = self.both_ways(dir, "a port", |g, dir| {
            let offset = if dir == Dir::Src { 0 } else { 2 };
            let from = if version == Version::Four { From::Transport4 } else { From::Transport6 };
            g.port_test(from, offset, ports)
        })?;
        Ok(self.graph.and(carried, test))
    }

    fn port_test(&mut self, from: From, offset: u32, ports: Ports) -> Result<Frag> {
        if !ports.range {
            return self.equal(from, offset, Width::Half, ports.low);
        }
        let low = self.compare(from, offset, Width::Half, Cmp::Ge, ports.low)?;
        let high = self.compare(from, offset, Width::Half, Cmp::Gt, ports.high)?.not();
        Ok(self.graph.and(low, high))
    }

    /// An IPv4 packet that is whole or a first fragment.
    pub(super) fn first_fragment(&mut self) -> Result<Frag> {
        Ok(self.compare(From::Network, 6, Width::Half, Cmp::Set, 0x1fff)?.not())
    }
}

#[derive(Clone, Copy)]
struct Ports {
    range: bool,
    low: u32,
    high: u32,
}
