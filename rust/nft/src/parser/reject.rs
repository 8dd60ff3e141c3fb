//! How packets are rejected.
use super::rule::Draft;
use super::{Fault, Parsed, Parser};
use crate::ast::{IcmpX, RejectKind, Statement};
use crate::context::TCP;
use crate::error::Problem;
use crate::field::{DataType, TableFamily};
use crate::lexer::Kind;
use crate::names;

impl Parser<'_, '_> {
    pub(super) fn reject(&mut self, draft: &mut Draft) -> Parsed<()> {
        let span = self.span();
        self.at += 1;
        let mut implied = Vec::new();
        let kind = if self.eat_word("with") {
            let at = self.span();
            let kind = self.reject_kind()?;
            let required = match kind {
                RejectKind::TcpReset => draft.context.require_upper(TCP, &mut implied),
                RejectKind::Icmp(_) => draft.context.require_network(TableFamily::Ip, &mut implied),
                RejectKind::Icmp6(_) => draft.context.require_network(TableFamily::Ip6, &mut implied),
                RejectKind::IcmpX(_) => Ok(()),
            };
            required.map_err(|problem| Fault { span: at, problem })?;
            // nft prints the protocol that a reset needs.
            implied.iter_mut().for_each(|found| found.implicit = kind != RejectKind::TcpReset);
            kind
        } else {
            match draft.context.network() {
                Some(TableFamily::Ip) => RejectKind::Icmp(3),
                Some(TableFamily::Ip6) => RejectKind::Icmp6(4),
                _ => RejectKind::IcmpX(IcmpX::PortUnreachable),
            }
        };
        // nft asks for the packets that can be answered so before all else, so that counters before do not see others.
        for found in implied.into_iter().rev() {
            draft.statements.insert(0, Statement::Match(found));
            draft.spans.insert(0, span);
        }
        draft.push(span, Vec::new(), Statement::Reject(kind));
        Ok(())
    }

    fn reject_kind(&mut self) -> Parsed<RejectKind> {
        let Kind::Word(word) = self.peek() else {
            return self.unexpected("tcp reset, icmp, icmpv6 or icmpx");
        };
        self.at += 1;
        if word == "tcp" {
            self.expect_word("reset", "`reset`")?;
            return Ok(RejectKind::TcpReset);
        }
        if !matches!(word, "icmp" | "icmpv6" | "icmpx") {
            self.at -= 1;
            return self
                .unexpected_word("tcp reset, icmp, icmpv6 or icmpx", ["tcp", "icmp", "icmpv6", "icmpx"]);
        }
        self.eat_word("type");
        let span = self.span();
        if word == "icmpx" {
            let code = match self.peek() {
                Kind::Word(name) => names::find(names::ICMPX_CODES, name),
                Kind::Number(value) => u32::try_from(value).ok(),
                _ => None,
            };
            let kind = match code {
                Some(0) => IcmpX::NoRoute,
                Some(1) => IcmpX::PortUnreachable,
                Some(2) => IcmpX::HostUnreachable,
                Some(3) => IcmpX::AdminProhibited,
                _ => {
                    return self.unexpected_word(
                        "no-route, port-unreachable, host-unreachable or admin-prohibited",
                        names::ICMPX_CODES.iter().map(|&(name, _)| name),
                    );
                }
            };
            self.at += 1;
            return Ok(RejectKind::IcmpX(kind));
        }
        let of = if word == "icmp" { DataType::IcmpCode } else { DataType::Icmpv6Code };
        let code = self.value(of)?;
        if names::name_of(of, code).is_none() {
            let problem = Problem::UnknownValue { of, name: code.to_string(), nearest: None };
            return Err(Fault { span, problem });
        }
        let code = u8::try_from(code).unwrap_or(u8::MAX);
        Ok(if word == "icmp" { RejectKind::Icmp(code) } else { RejectKind::Icmp6(code) })
    }
}
