//! 802.11 headers, and the radiotap header before them.
use super::load::From;
use super::*;
use crate::ast::Dir;

/// Frame control, first byte: the frame type's bits.
const CONTROL: u32 = 0x04;
const DATA: u32 = 0x08;
/// Frame control, second byte.
const TO_DS: u32 = 0x01;
const FROM_DS: u32 = 0x02;

const ADDRESS_1: u32 = 4;
const ADDRESS_2: u32 = 10;
const ADDRESS_3: u32 = 16;
const ADDRESS_4: u32 = 24;

impl Generator {
    fn frame_bit(&mut self, offset: u32, bit: u32) -> Result<Frag> {
        self.compare(From::LinkHeader, offset, Width::Byte, Cmp::Set, bit)
    }

    /// A data frame, so that LLC follows.
    pub(super) fn wlan_data_frame(&mut self) -> Result<Frag> {
        let control = self.frame_bit(0, CONTROL)?;
        let data = self.frame_bit(0, DATA)?;
        Ok(self.graph.and(control.not(), data))
    }

    /// A field of the frame control bytes.
    pub(super) fn wlan_field(&mut self, offset: u32, mask: u32, value: u32) -> Result<Frag> {
        if !self.layout.link.is_wlan() {
            return Err(self.wrong_link("an 802.11 frame type or direction"));
        }
        self.masked(From::LinkHeader, offset, Width::Byte, value, mask)
    }

    pub(super) fn wlan_address(&mut self, dir: Dir, bytes: &[u8; 6]) -> Result<Frag> {
        match dir {
            Dir::Src => self.wlan_source(bytes),
            Dir::Dst => self.wlan_destination(bytes),
            Dir::Addr(1) => self.bytes(From::LinkHeader, ADDRESS_1, bytes),
            Dir::Addr(2) => {
                let has = self.has_second_address()?;
                let test = self.bytes(From::LinkHeader, ADDRESS_2, bytes)?;
                Ok(self.graph.and(has, test))
            }
            Dir::Addr(3) => {
                let control = self.masked(From::LinkHeader, 0, Width::Byte, CONTROL, 0x0c)?;
                let test = self.bytes(From::LinkHeader, ADDRESS_3, bytes)?;
                Ok(self.graph.and(control.not(), test))
            }
            Dir::Addr(_) => {
                let relayed =
                    self.masked(From::LinkHeader, 1, Width::Byte, TO_DS | FROM_DS, TO_DS | FROM_DS)?;
                let test = self.bytes(From::LinkHeader, ADDRESS_4, bytes)?;
                Ok(self.graph.and(relayed, test))
            }
            Dir::Ra => {
                let data = self.frame_bit(0, DATA)?;
                let test = self.bytes(From::LinkHeader, ADDRESS_1, bytes)?;
                Ok(self.graph.and(data, test))
            }
            Dir::Ta => {
                let data = self.frame_bit(0, DATA)?;
                let has = self.has_second_address()?;
                let test = self.bytes(From::LinkHeader, ADDRESS_2, bytes)?;
                let test = self.graph.and(has, test);
                Ok(self.graph.and(data, test))
            }
            Dir::Default | Dir::Or | Dir::And => {
                self.both_ways(dir, "an 802.11 address", |g, dir| g.wlan_address(dir, bytes))
            }
        }
    }

    /// Not a control frame, or one that is neither CTS nor ACK.
    fn has_second_address(&mut self) -> Result<Frag> {
        let control = self.masked(From::LinkHeader, 0, Width::Byte, CONTROL, 0x0c)?;
        let cts = self.masked(From::LinkHeader, 0, Width::Byte, 0xc0, 0xf0)?;
        let ack = self.masked(From::LinkHeader, 0, Width::Byte, 0xd0, 0xf0)?;
        let neither = self.graph.and(cts.not(), ack.not());
        Ok(self.graph.or(control.not(), neither))
    }

    /// In data frames the source is the second, third or fourth address.
    fn wlan_source(&mut self, bytes: &[u8; 6]) -> Result<Frag> {
        let not_from = self.frame_bit(1, FROM_DS)?.not();
        let second = self.bytes(From::LinkHeader, ADDRESS_2, bytes)?;
        let second = self.graph.and(not_from, second);
        let from = self.frame_bit(1, FROM_DS)?;
        let not_to = self.frame_bit(1, TO_DS)?.not();
        let third = self.bytes(From::LinkHeader, ADDRESS_3, bytes)?;
        let third = self.graph.and(not_to, third);
        let to = self.frame_bit(1, TO_DS)?;
        let fourth = self.bytes(From::LinkHeader, ADDRESS_4, bytes)?;
        let fourth = self.graph.and(to, fourth);
        let relayed = self.graph.or(third, fourth);
        let relayed = self.graph.and(from, relayed);
        let data = self.graph.or(second, relayed);
        let management = self.bytes(From::LinkHeader, ADDRESS_2, bytes)?;
        self.by_frame_type(management, data)
    }

    /// In data frames the destination is the first or third address.
    pub(super) fn wlan_destination(&mut self, bytes: &[u8; 6]) -> Result<Frag> {
        let first = self.bytes(From::LinkHeader, ADDRESS_1, bytes)?;
        let third = self.bytes(From::LinkHeader, ADDRESS_3, bytes)?;
        let management = self.bytes(From::LinkHeader, ADDRESS_1, bytes)?;
        self.destination(first, third, management)
    }

    pub(super) fn wlan_multicast(&mut self) -> Result<Frag> {
        let first = self.frame_bit(ADDRESS_1, 1)?;
        let third = self.frame_bit(ADDRESS_3, 1)?;
        let management = self.frame_bit(ADDRESS_1, 1)?;
        self.destination(first, third, management)
    }

    fn destination(&mut self, first: Frag, third: Frag, management: Frag) -> Result<Frag> {
        let not_to = self.frame_bit(1, TO_DS)?.not();
        let direct = self.graph.and(not_to, first);
        let to = self.frame_bit(1, TO_DS)?;
        let relayed = self.graph.and(to, third);
        let data = self.graph.or(direct, relayed);
        self.by_frame_type(management, data)
    }

    /// One test for management frames, another for data frames, none for control frames.
    fn by_frame_type(&mut self, management: Frag, data: Frag) -> Result<Frag> {
        let is_management = self.frame_bit(0, DATA)?.not();
        let management = self.graph.and(is_management, management);
        let is_data = self.frame_bit(0, DATA)?;
        let data = self.graph.and(is_data, data);
        let either = self.graph.or(management, data);
        let not_control = self.frame_bit(0, CONTROL)?.not();
        Ok(self.graph.and(not_control, either))
    }

    /// Puts what computes the variable offsets before everything else.
    pub(super) fn prepend_offsets(&mut self, head: u32) -> Result<()> {
        if self.layout.payload.register.is_some()
            && self.layout.link_header.variable
            && self.layout.link_header.register.is_none()
        {
            self.layout.link_header.register = Some(self.register()?);
        }
        let mut stmts = Vec::new();
        if self.layout.outermost == Link::WlanRadio
            && let Some(register) = self.layout.link_header.register
        {
            stmts.extend(radiotap_length(register));
        }
        if self.layout.outermost.is_wlan()
            && let Some(register) = self.layout.payload.register
        {
            if stmts.is_empty() {
                stmts.push(Stmt::new(Op::LdxImm, 0));
            }
            // Behind a tunnel tcpdump's program does not look at radiotap's flags.
            stmts.extend(header_length(register, self.layout.link == Link::WlanRadio));
            self.jumps_inside = true;
        }
        if !stmts.is_empty() {
            let block = &mut self.graph.blocks[head as usize];
            stmts.append(&mut block.stmts);
            block.stmts = stmts;
        }
        Ok(())
    }
}

/// The radiotap header's length, little-endian in its third and fourth byte, goes to X and a scratch word.
fn radiotap_length(register: u32) -> [Stmt; 7] {
    [
        Stmt::new(Op::LdAbs(Width::Byte), 3),
        Stmt::new(Op::AluK(Alu::Lsh), 8),
        Stmt::new(Op::Tax, 0),
        Stmt::new(Op::LdAbs(Width::Byte), 2),
        Stmt::new(Op::AluX(Alu::Or), 0),
        Stmt::new(Op::St, register),
        Stmt::new(Op::Tax, 0),
    ]
}

/// Where the payload of a data frame begins: 24 bytes after X, 2 more with QoS, rounded up to 4 when radiotap's
/// flags say that the header is padded.
fn header_length(register: u32, radiotap: bool) -> Vec<Stmt> {
    let set = |bit: u32, yes: u8, no: u8| Stmt::new(Op::Branch(Cmp::Set, yes, no), bit);
    let mut stmts = vec![
        Stmt::new(Op::Txa, 0),
        Stmt::new(Op::AluK(Alu::Add), 24),
        Stmt::new(Op::St, register),
        Stmt::new(Op::LdInd(Width::Byte), 0),
    ];
    let padding = if radiotap {
        vec![
            // A word of flags, of which bit 1 (flags present), bit 31 (another word) and bit 0 (a time stamp
            // before the flags) matter; they are little-endian.
            Stmt::new(Op::LdAbs(Width::Word), 4),
            set(0x0200_0000, 0, 10),
            set(0x0000_0080, 9, 0),
            set(0x0100_0000, 0, 2),
            Stmt::new(Op::LdAbs(Width::Byte), 16),
            set(0x20, 2, 6),
            Stmt::new(Op::LdAbs(Width::Byte), 8),
            set(0x20, 0, 4),
            Stmt::new(Op::LdMem, register),
            Stmt::new(Op::AluK(Alu::Add), 3),
            Stmt::new(Op::AluK(Alu::And), !3),
            Stmt::new(Op::St, register),
        ]
    } else {
        Vec::new()
    };
    let rest = padding.len() as u8;
    stmts.extend([
        set(DATA, 0, 5 + rest),
        set(CONTROL, 4 + rest, 0),
        set(0x80, 0, 3),
        Stmt::new(Op::LdMem, register),
        Stmt::new(Op::AluK(Alu::Add), 2),
        Stmt::new(Op::St, register),
    ]);
    stmts.extend(padding);
    stmts
}
