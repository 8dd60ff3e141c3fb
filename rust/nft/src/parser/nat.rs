//! Translations.
use super::rule::Draft;
use super::sets::Gives;
use super::{Fault, Parsed, Parser};
use crate::ast::{Data, Interval, Lookup, MapSource, Match, Nat, NatKind, NatValue, Statement};
use crate::context::Context;
use crate::error::Problem;
use crate::field::{DataType, TableFamily};
use crate::lexer::Kind;

impl Parser<'_, '_> {
    pub(super) fn nat(&mut self, draft: &mut Draft) -> Parsed<()> {
        let span = self.span();
        let kind = match self.bump().kind {
            Kind::Word("snat") => NatKind::Snat,
            Kind::Word("dnat") => NatKind::Dnat,
            Kind::Word("masquerade") => NatKind::Masquerade,
            _ => NatKind::Redirect,
        };
        let mut implied = Vec::new();
        let mut context = draft.context.clone();
        let family = context.network().unwrap_or(TableFamily::Inet);
        let mut nat = Nat {
            kind,
            family,
            address: None,
            port: None,
            random: false,
            fully_random: false,
            persistent: false,
        };
        match kind {
            NatKind::Snat | NatKind::Dnat => self.address_target(&mut nat, &mut context, &mut implied)?,
            NatKind::Masquerade | NatKind::Redirect => {
                if self.eat_word("to") {
                    self.eat_symbol(":");
                    nat.port = Some(self.nat_port(&mut context, &mut implied)?);
                }
            }
        }
        self.nat_flags(&mut nat)?;
        draft.context = context;
        draft.push(span, implied, Statement::Nat(nat));
        Ok(())
    }

    fn address_target(
        &mut self,
        nat: &mut Nat,
        context: &mut Context,
        implied: &mut Vec<Match>,
    ) -> Parsed<()> {
        let span = self.span();
        let explicit = match self.peek() {
            Kind::Word("ip") => Some(TableFamily::Ip),
            Kind::Word("ip6") => Some(TableFamily::Ip6),
            _ => None,
        };
        if let Some(family) = explicit {
            self.at += 1;
            if nat.family != TableFamily::Inet && nat.family != family {
                let problem = Problem::Conflict { earlier: nat.family.keyword(), later: family.keyword() };
                return Err(Fault { span, problem });
            }
            nat.family = family;
        }
        match self.peek() {
            Kind::Word("prefix") => {
                return self.unsupported("prefix", "give the range: `to 192.0.2.0-192.0.2.255`");
            }
            Kind::Word("interval") => self.at += 1,
            Kind::Word("addr") => {
                self.at += 1;
                self.expect_symbol(".", "`. port`")?;
                self.expect_word("port", "`port`")?;
            }
            _ => {}
        }
        self.expect_word("to", "`to` and an address or `:port`")?;
        if explicit.is_none() && self.eat_symbol(":") {
            nat.port = Some(self.nat_port(context, implied)?);
            return Ok(());
        }
        let statement = if nat.kind == NatKind::Snat { "snat" } else { "dnat" };
        let of = match nat.family {
            TableFamily::Ip => DataType::Ipv4Addr,
            TableFamily::Ip6 => DataType::Ipv6Addr,
            TableFamily::Inet => return Err(Fault { span, problem: Problem::NeedsFamily { statement } }),
        };
        nat.address = Some(self.nat_address(of, context, implied)?);
        if self.eat_symbol(":") {
            nat.port = Some(self.nat_port(context, implied)?);
        }
        Ok(())
    }

    fn nat_address(
        &mut self,
        of: DataType,
        context: &mut Context,
        implied: &mut Vec<Match>,
    ) -> Parsed<NatValue> {
        let span = self.span();
        if self.at_field() {
            let lookup = self.nat_map(context, implied, Gives::Address(of))?;
            let with_port = match &lookup.map {
                MapSource::Anonymous(elements) => {
                    elements[0].data.as_ref().is_some_and(|data| data.parts() > 1)
                }
                MapSource::Named(_) => false,
            };
            if with_port && !context.has_ports() {
                return Err(Fault { span, problem: Problem::NeedsTransport });
            }
            return Ok(NatValue::Map(lookup));
        }
        if of == DataType::Ipv6Addr && self.peek() == Kind::Symbol("[") {
            let low = self.bracketed()?;
            let high = if self.eat_symbol("-") { self.bracketed()? } else { low };
            if low > high {
                return Err(Fault { span, problem: Problem::BackwardRange });
            }
            return Ok(NatValue::Range(Interval { low, high }));
        }
        Ok(NatValue::Range(self.interval(of)?))
    }

    fn bracketed(&mut self) -> Parsed<u128> {
        self.expect_symbol("[", "`[` and an IPv6 address")?;
        let address = self.value(DataType::Ipv6Addr)?;
        self.expect_symbol("]", "`]`")?;
        Ok(address)
    }

    fn nat_port(&mut self, context: &mut Context, implied: &mut Vec<Match>) -> Parsed<NatValue> {
        if !context.has_ports() {
            return self.fault(Problem::NeedsTransport);
        }
        if self.at_field() {
            let gives = Gives::Values { types: smallvec::smallvec![DataType::InetService], ranges: false };
            return Ok(NatValue::Map(self.nat_map(context, implied, gives)?));
        }
        Ok(NatValue::Range(self.interval(DataType::InetService)?))
    }

    fn nat_map(&mut self, context: &mut Context, implied: &mut Vec<Match>, gives: Gives) -> Parsed<Lookup> {
        let span = self.span();
        let key = self.key(context, implied)?;
        self.expect_word("map", "`map` and a map")?;
        let lookup = self.lookup(key, gives)?;
        if let MapSource::Anonymous(elements) = &lookup.map {
            let range = |data: &Option<Data>| matches!(data, Some(Data::Values(values)) if values.iter().any(|value| !value.is_single()));
            let ranges = elements.iter().filter(|element| range(&element.data)).count();
            if ranges != 0 && ranges != elements.len() {
                let problem = Problem::Missing {
                    what: "a range in some elements",
                    remedy: "give all elements a range or none",
                };
                return Err(Fault { span, problem });
            }
        }
        Ok(lookup)
    }

    fn nat_flags(&mut self, nat: &mut Nat) -> Parsed<()> {
        loop {
            match self.peek() {
                Kind::Word("random") => nat.random = true,
                Kind::Word("fully-random") => nat.fully_random = true,
                Kind::Word("persistent") => nat.persistent = true,
                _ => return Ok(()),
            }
            self.at += 1;
            if !self.eat_symbol(",") {
                return Ok(());
            }
        }
    }
}
