//! Headers within headers: each moves the offsets for the rest of the expression.
use super::layout::Offset;
use super::load::From;
use super::*;

const ETHER_VLAN: u32 = 0x8100;
const ETHER_VLAN_SERVICE: u32 = 0x88a8;
const ETHER_VLAN_OLD: u32 = 0x9100;
const ETHER_MPLS: u32 = 0x8847;
const ETHER_PPPOE_SESSION: u32 = 0x8864;
const PPP_MPLS: u32 = 0x0281;
const GENEVE_PORT: u32 = 6081;

impl Generator {
    pub(super) fn vlan(&mut self, id: Option<u32>) -> Result<Frag> {
        if self.layout.labels > 0 {
            return Err(FilterError::NotSupported {
                column: self.column,
                primitive: "vlan",
                remedy: "it cannot be found behind an MPLS label",
            });
        }
        if self.layout.link != Link::Ethernet && !self.layout.link.is_wlan() {
            return Err(self.wrong_link("`vlan`"));
        }
        let customer = self.link_protocol(ETHER_VLAN)?;
        let service = self.link_protocol(ETHER_VLAN_SERVICE)?;
        let old = self.link_protocol(ETHER_VLAN_OLD)?;
        let tagged = self.graph.or(customer, service);
        let mut tagged = self.graph.or(tagged, old);
        if let Some(id) = id {
            self.in_range("VLAN", id, 0xfff)?;
            let test = self.masked(From::Network, 0, Width::Half, id, 0x0fff)?;
            tagged = self.graph.and(tagged, test);
        }
        let layout = &mut self.layout;
        layout.payload.constant = layout.payload.constant.wrapping_add(4);
        layout.link_type.constant = layout.link_type.constant.wrapping_add(4);
        Ok(tagged)
    }

    pub(super) fn mpls(&mut self, label: Option<u32>) -> Result<Frag> {
        let mut found = if self.layout.labels > 0 {
            self.masked(From::LastLabel, 2, Width::Byte, 0, 1)?
        } else {
            match self.layout.link {
                Link::Ethernet | Link::CiscoHdlc => self.link_protocol(ETHER_MPLS)?,
                Link::Ppp => self.link_protocol(PPP_MPLS)?,
                _ => return Err(self.wrong_link("`mpls`")),
            }
        };
        if let Some(label) = label {
            self.in_range("MPLS label", label, 0xf_ffff)?;
            let test = self.masked(From::Network, 0, Width::Word, label << 12, 0xffff_f000)?;
            found = self.graph.and(found, test);
        }
        let layout = &mut self.layout;
        layout.network = layout.network.wrapping_add(4);
        layout.network_no_snap = layout.network_no_snap.wrapping_add(4);
        layout.labels += 1;
        Ok(found)
    }

    pub(super) fn pppoe_session(&mut self, id: Option<u32>) -> Result<Frag> {
        let mut found = self.link_protocol(ETHER_PPPOE_SESSION)?;
        if let Some(id) = id {
            self.in_range("PPPoE session", id, 0xffff)?;
            let test = self.masked(From::Network, 0, Width::Word, id, 0xffff)?;
            found = self.graph.and(found, test);
        }
        let payload = self.layout.payload;
        let header = Offset {
            constant: payload.constant.wrapping_add(self.layout.network).wrapping_add(6),
            ..payload
        };
        let layout = &mut self.layout;
        layout.push(Link::Ppp, header);
        layout.link_type = header;
        layout.payload.constant = header.constant.wrapping_add(2);
        layout.network = 0;
        layout.network_no_snap = 0;
        Ok(found)
    }

    pub(super) fn geneve(&mut self, vni: Option<u32>) -> Result<Frag> {
        let four = self.geneve_over_ipv4(vni)?;
        let six = self.geneve_over_ipv6(vni)?;
        let found = self.graph.or(four, six);
        let mut stmts = self.geneve_offsets()?;
        stmts.push(Stmt::new(Op::LdImm, 0));
        let entered = self.graph.test(stmts, Cmp::Eq, 0);
        self.layout.geneve = true;
        self.jumps_inside = true;
        Ok(self.graph.and(found, entered))
    }

    /// Version 0 on UDP's port, perhaps with a network identifier.
    fn geneve_header(&mut self, from: From, vni: Option<u32>) -> Result<Frag> {
        let port = self.equal(from, 2, Width::Half, GENEVE_PORT)?;
        let version = self.masked(from, 8, Width::Byte, 0, 0xc0)?;
        let mut all = self.graph.and(port, version);
        if let Some(vni) = vni {
            self.in_range("Geneve VNI", vni, 0xff_ffff)?;
            let test = self.masked(from, 12, Width::Word, vni << 8, 0xffff_ff00)?;
            all = self.graph.and(all, test);
        }
        Ok(all)
    }

    /// Leaves the length of what precedes UDP's header, without the constant part, in A and X.
    fn geneve_over_ipv4(&mut self, vni: Option<u32>) -> Result<Frag> {
        let udp = self.carries(17, Proto::Ip)?;
        let first = self.first_fragment()?;
        let udp = self.graph.and(udp, first);
        let header = self.geneve_header(From::Transport4, vni)?;
        let all = self.graph.and(udp, header);
        let mut stmts = self.load_ipv4_length()?;
        stmts.push(Stmt::new(Op::Txa, 0));
        let length = self.graph.test_x(stmts, Cmp::Eq);
        Ok(self.graph.and(all, length))
    }

    fn geneve_over_ipv6(&mut self, vni: Option<u32>) -> Result<Frag> {
        let ip6 = self.link_protocol(super::ether_protocol::ETHER_IP6)?;
        let udp = self.equal(From::Network, 6, Width::Byte, 17)?;
        let udp = self.graph.and(ip6, udp);
        let header = self.geneve_header(From::Transport6, vni)?;
        let all = self.graph.and(udp, header);
        let variable = self.load_variable(|l| &mut l.payload)?;
        let mut stmts: Vec<Stmt> = variable.into_iter().collect();
        stmts.push(Stmt::new(Op::LdImm, 40));
        if variable.is_some() {
            stmts.push(Stmt::new(Op::AluX(Alu::Add), 0));
        }
        stmts.push(Stmt::new(Op::Tax, 0));
        let length = self.graph.test_x(stmts, Cmp::Eq);
        Ok(self.graph.and(all, length))
    }

    /// Computes where the inner type field, link-layer header and payload begin, from A, the outer header's
    /// length. The inner link-layer header is missing unless the type is "Ethernet".
    fn geneve_offsets(&mut self) -> Result<Vec<Stmt>> {
        let start = self.layout.payload.constant.wrapping_add(self.layout.network).wrapping_add(8);
        let mut moving = || -> Result<Offset> {
            let register =
                Some(self.registers.take().ok_or(FilterError::OutOfRegisters { column: self.column })?);
            Ok(Offset { constant: 0, variable: true, register })
        };
        let (link_type, header, payload) = (moving()?, moving()?, moving()?);
        let layout = &mut self.layout;
        layout.push(Link::Ethernet, header);
        layout.link_type = link_type;
        layout.payload = payload;
        layout.network = 0;
        let word = |offset: Offset| offset.register.unwrap_or(0);
        Ok(vec![
            Stmt::new(Op::AluK(Alu::Add), start),
            Stmt::new(Op::Tax, 0),
            // The type field is 2 bytes into Geneve's header.
            Stmt::new(Op::AluK(Alu::Add), 2),
            Stmt::new(Op::St, word(link_type)),
            // Options are counted in words, after 8 fixed bytes.
            Stmt::new(Op::LdInd(Width::Byte), 0),
            Stmt::new(Op::AluK(Alu::And), 0x3f),
            Stmt::new(Op::AluK(Alu::Mul), 4),
            Stmt::new(Op::AluK(Alu::Add), 8),
            Stmt::new(Op::AluX(Alu::Add), 0),
            Stmt::new(Op::St, word(header)),
            Stmt::new(Op::LdInd(Width::Half), 2),
            Stmt::new(Op::LdxMem, word(header)),
            // An inner Ethernet header: its type field is 12 bytes in, its payload 14.
            Stmt::new(Op::Branch(Cmp::Eq, 0, 5), 0x6558),
            Stmt::new(Op::Txa, 0),
            Stmt::new(Op::AluK(Alu::Add), 12),
            Stmt::new(Op::St, word(link_type)),
            Stmt::new(Op::AluK(Alu::Add), 2),
            Stmt::new(Op::Tax, 0),
            Stmt::new(Op::Stx, word(payload)),
        ])
    }
}
