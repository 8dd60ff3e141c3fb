//! Optimizer.
use crate::cfg::Graph;
use crate::errors::FilterError;

pub(crate) fn optimize(_graph: &mut Graph) -> Result<(), FilterError> {
    Ok(())
}
