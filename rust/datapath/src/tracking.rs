//! What a rule set needs of connections, by what it says.
use netfast_filter::ast::{ChainKind, Key, Lookup, MapSource, MarkSource, MarkValue, RulesetAst, Statement};
use netfast_filter::field::Field;

/// True when a rule translates, or a chain could.
pub(crate) fn translates(rules: &RulesetAst) -> bool {
    let chains = || rules.tables.iter().flat_map(|table| &table.chains);
    chains().any(|chain| chain.base.is_some_and(|base| base.kind == ChainKind::Nat))
}

/// True when a rule asks for the connection of a packet, or says something of it.
pub(crate) fn asks_for_connections(rules: &RulesetAst) -> bool {
    let statements = rules.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    statements.flat_map(|rule| &rule.statements).any(asks)
}

fn asks(statement: &Statement) -> bool {
    match statement {
        Statement::Match(found) => key(&found.key),
        Statement::Vmap(lookup) => in_lookup(lookup),
        Statement::SetCtMark(_) | Statement::NoTrack | Statement::Nat(_) => true,
        Statement::SetMark(MarkValue::Computed { from, .. }) => *from == MarkSource::Connection,
        Statement::SetMark(MarkValue::Map(lookup)) => in_lookup(lookup),
        _ => false,
    }
}

fn in_lookup(lookup: &Lookup) -> bool {
    debug_assert!(matches!(lookup.map, MapSource::Anonymous(_) | MapSource::Named(_)));
    key(&lookup.key)
}

fn key(key: &Key) -> bool {
    key.fields.iter().any(|field| {
        matches!(
            field,
            Field::CtState
                | Field::CtDirection
                | Field::CtStatus
                | Field::CtMark
                | Field::CtExpiration
                | Field::CtTuple(..)
        )
    })
}
