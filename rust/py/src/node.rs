//! `netfast.Stack`, natively: a node, its tables from text, packets in and out.
mod build;
mod commands;
mod connections;
mod describe;
mod devices;
mod event;
mod findings;
mod hook;
mod include;
mod list;
mod mistake;
mod odd_rules;
mod packets;
mod place;
mod ports;
mod read;
mod rules;
mod run;
mod settings;
mod state;
mod tap;
pub mod value;
mod work;
mod write;

pub use connections::ConnectionTable;
pub use hook::NewFlow;
pub use mistake::{Mistake, Problem};
pub use packets::{Batch, BatchIterator, PushResult};
pub use state::State;
pub use value::mac_text;
pub use work::pass;

use crate::errors::{option_error, resource_error};
use crate::gate::lock;
use build::build;
use describe::Description;
use mistake::Problems;
use netfast_datapath::{NodeConfig, NodeError};
use netfast_fib::FibError;
use netfast_filter::CompileError;
use netfast_neigh::NeighError;
use netfast_nft::Problem as LanguageProblem;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::PyDict;
use settings::{SETTINGS, TIMEOUTS};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a stack and the results that came out of it share.
pub struct Shared {
    state: Mutex<State>,
    /// Whoever wants the state waits here first. A loop that takes the state again and again would otherwise get it each time
    /// before those who wait are awake.
    gate: Mutex<()>,
}

impl Shared {
    /// The lock; who waits for it lets the GIL go.
    pub fn lock(&self, py: Python<'_>) -> MutexGuard<'_, State> {
        // What a panic left is still valid memory, and the panic itself was raised in Python.
        let _next = self.gate.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, for whoever does not hold the GIL.
    pub fn lock_detached(&self) -> MutexGuard<'_, State> {
        let _next = lock(&self.gate);
        lock(&self.state)
    }
}

/// A node; used through `netfast.Stack`, which documents everything.
///
/// Threads: each method is atomic. `fork`: the child has its own copy. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct Node {
    shared: Arc<Shared>,
}

impl Node {
    fn of(state: State) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::new(state), gate: Mutex::new(()) }) }
    }

    pub fn lock(&self, py: Python<'_>) -> MutexGuard<'_, State> {
        self.shared.lock(py)
    }

    /// What it shares with the results that came out of it, and with the devices of its ports.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

/// Packets may come from strangers: nobody should know the seed.
pub fn random_seed() -> u64 {
    RandomState::new().hash_one(0)
}

#[pymethods]
impl Node {
    #[new]
    #[pyo3(signature = (name, settings, timeouts))]
    fn new(
        py: Python<'_>,
        name: String,
        settings: &Bound<'_, PyDict>,
        timeouts: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let mut config = NodeConfig { seed: random_seed(), ..NodeConfig::default() };
        settings::apply(&mut config, SETTINGS, settings)?;
        settings::apply(&mut config, TIMEOUTS, timeouts)?;
        let mut state = State::new(name, config).map_err(|error| raise_node(py, "settings", error))?;
        state.seed_given = settings.get_item("seed")?.is_some_and(|seed| !seed.is_none());
        Ok(Self::of(state))
    }

    /// The node that a text in TOML describes; `rules_file` is looked for beside the file.
    #[staticmethod]
    fn from_toml(py: Python<'_>, file: &str, text: &str) -> PyResult<Self> {
        let read = || {
            let folder = Path::new(file).parent().unwrap_or(Path::new(""));
            let (description, mut document) = Description::read(file, text, folder);
            match document.problems.is_empty() {
                true => build(&description, &mut document, random_seed()).ok_or(document.problems),
                false => Err(document.problems),
            }
        };
        py.detach(read).map(Self::of).map_err(|problems| problems.raise(py))
    }

    /// The node as TOML.
    fn to_toml(&self, py: Python<'_>) -> String {
        write::toml(&mut self.lock(py))
    }

    #[getter]
    fn name(&self, py: Python<'_>) -> String {
        self.lock(py).name.clone()
    }
}

/// The exception of a mistake in arguments.
pub fn raise(py: Python<'_>, mistake: Mistake) -> PyErr {
    match mistake {
        Mistake::Node { key, source } => raise_node(py, key, source),
        Mistake::UnknownKey { .. } | Mistake::Syntax { .. } => {
            Problems::of(Problem { file: None, place: None, mistake }).raise(py)
        }
        Mistake::Type { key, .. }
        | Mistake::Value { key, .. }
        | Mistake::Prefix { key, .. }
        | Mistake::Missing { key, .. }
        | Mistake::Duplicate { key, .. }
        | Mistake::Overwritten { key, .. }
        | Mistake::UnknownPort { key, .. } => option_error(py, key, &mistake.to_string()),
        _ => Problems::of(Problem { file: None, place: None, mistake }).raise(py),
    }
}

/// The exception of rules that cannot be loaded.
fn raise_rules(py: Python<'_>, problems: Problems) -> PyErr {
    let limit = problems.first().and_then(|problem| match &problem.mistake {
        Mistake::Rules(LanguageProblem::TooMany { limit, .. }) => Some(*limit),
        Mistake::Node { source, .. } => limit_of(source),
        _ => None,
    });
    match (limit, problems.first()) {
        (Some(limit), Some(problem)) => resource_error(py, &problem.to_string(), u64::try_from(limit).ok()),
        _ => problems.raise(py),
    }
}

/// The exception of what a node refuses: `ResourceError` where it is a limit.
pub fn raise_node(py: Python<'_>, key: &str, error: NodeError) -> PyErr {
    match limit_of(&error) {
        Some(limit) => resource_error(py, &error.to_string(), u64::try_from(limit).ok()),
        None => option_error(py, key, &error.to_string()),
    }
}

/// The limit that was reached, if it is one.
fn limit_of(error: &NodeError) -> Option<usize> {
    use FibError::{TooManyGroups, TooManyHops, TooManyPorts, TooManyRoutes, TooManyRules, TooManyTables};
    match error {
        NodeError::TooManyPorts(limit) => Some(*limit),
        NodeError::Neighbour(NeighError::TableFull { limit, .. }) => Some(*limit),
        NodeError::Rules(CompileError::TooMany { limit, .. }) => Some(*limit),
        NodeError::Fib(
            TooManyRoutes { limit }
            | TooManyTables { limit, .. }
            | TooManyRules { limit }
            | TooManyGroups { limit }
            | TooManyHops { limit, .. }
            | TooManyPorts { limit, .. },
        ) => Some(*limit),
        _ => None,
    }
}
