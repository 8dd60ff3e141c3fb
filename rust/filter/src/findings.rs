//! What is probably not meant, though it is no error.
use crate::ast::Span;

/// A variable that nothing uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusedDefine {
    /// Its name.
    pub name: String,
    /// Where it is defined.
    pub span: Span,
}
