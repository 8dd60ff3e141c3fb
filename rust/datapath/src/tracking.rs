//! What a rule set needs of connections, by what it says.
use netfast_nft::ast::{ChainKind, MarkSource, MarkValue, RulesetAst, Statement};
use netfast_nft::field::Field;

/// True when a rule translates, or a chain could.
pub(crate) fn translates(rules: &RulesetAst) -> bool {
    let chains = || rules.tables.iter().flat_map(|table| &table.chains);
    chains().any(|chain| chain.base.is_some_and(|base| base.kind == ChainKind::Nat))
}

/// True when a rule asks for the connection of a packet, or says something of it.
pub(crate) fn asks_for_connections(rules: &RulesetAst) -> bool {
    statements(rules).any(asks_for_connection)
}

/// True when a statement asks for the connection of a packet, or says something of it: without one ([`Tracking::Off`]) it
/// finds nothing or does nothing.
///
/// [`Tracking::Off`]: crate::Tracking::Off
pub fn asks_for_connection(statement: &Statement) -> bool {
    let says = match statement {
        Statement::SetCtMark(_) | Statement::NoTrack | Statement::Nat(_) | Statement::FlowAdd(_) => true,
        Statement::SetMark(MarkValue::Computed { from, .. }) => *from == MarkSource::Connection,
        _ => false,
    };
    says || reads(statement, of_connection)
}

/// True when a rule asks for a connection's tuples: behind a translation they are others than before.
pub(crate) fn asks_for_tuples(rules: &RulesetAst) -> bool {
    statements(rules).any(|statement| reads(statement, |field| matches!(field, Field::CtTuple(..))))
}

fn statements(rules: &RulesetAst) -> impl Iterator<Item = &Statement> {
    let chains = rules.tables.iter().flat_map(|table| &table.chains);
    chains.flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements)
}

/// True when a field that the statement reads is of a kind.
pub(crate) fn reads(statement: &Statement, kind: fn(&Field) -> bool) -> bool {
    let key = match statement {
        Statement::Match(found) => &found.key,
        Statement::Dynamic(dynamic) => &dynamic.key,
        Statement::Vmap(lookup)
        | Statement::SetMark(MarkValue::Map(lookup))
        | Statement::SetCtMark(MarkValue::Map(lookup)) => &lookup.key,
        _ => return false,
    };
    key.fields.iter().any(kind)
}

fn of_connection(field: &Field) -> bool {
    matches!(
        field,
        Field::CtState
            | Field::CtDirection
            | Field::CtStatus
            | Field::CtMark
            | Field::CtExpiration
            | Field::CtTuple(..)
    )
}
