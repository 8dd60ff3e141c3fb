//! Settings of reassembly as Python gives them: a dictionary of what differs from the defaults.
use crate::errors::{config_error, number_of, option_error};
use netfast_capture::ReassembleOptions;
use netfast_frag::{FragmentReason, OverlapPolicy, ReassemblyConfig};
use netfast_time::Duration;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// Names of the overlap policies.
pub const POLICIES: &[&str] = &{
    let (mut names, mut at) = ([""; OverlapPolicy::ALL.len()], 0);
    while at < names.len() {
        names[at] = OverlapPolicy::ALL[at].name();
        at += 1;
    }
    names
};

/// Names of what can be the matter with fragments.
pub const REASONS: &[&str] = &{
    let (mut names, mut at) = ([""; FragmentReason::ALL.len()], 0);
    while at < names.len() {
        names[at] = FragmentReason::ALL[at].name();
        at += 1;
    }
    names
};

/// Owed errors that wait for the caller.
const DEFAULT_OWED: usize = 256;

/// Most of what is counted: beyond it memory would be no limit any more.
const MOST: u64 = 1 << 30;

/// The settings; `ConfigError` names the first that cannot be.
fn config_of(settings: &Bound<'_, PyDict>) -> PyResult<ReassemblyConfig> {
    // Fragments may come from strangers; below the limits, results do not depend on the seed.
    let seed = RandomState::new().hash_one(0);
    let mut config = ReassemblyConfig { seed, ..ReassemblyConfig::default() };
    for (name, value) in settings {
        let name: String = name.extract()?;
        set(&mut config, &name, &value)?;
    }
    Ok(config)
}

/// What a `Reassembler` is made of.
pub struct Settings {
    pub config: ReassemblyConfig,
    /// Most owed errors that wait for the caller.
    pub max_owed: usize,
}

impl Settings {
    pub fn of(settings: &Bound<'_, PyDict>) -> PyResult<Self> {
        let settings = settings.copy()?;
        let max_owed = taken(&settings, "max_owed")?.map(|most| count("max_owed", &most, 0)).transpose()?;
        Ok(Self { config: config_of(&settings)?, max_owed: max_owed.unwrap_or(DEFAULT_OWED) })
    }
}

/// A setting that is not one of the engine's.
fn taken<'py>(settings: &Bound<'py, PyDict>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let value = settings.get_item(name)?;
    if value.is_some() {
        settings.del_item(name)?;
    }
    Ok(value)
}

/// The settings of a capture's reassembly, which also say whether to `keep_incomplete`.
pub fn reassemble_options(settings: &Bound<'_, PyDict>) -> PyResult<ReassembleOptions> {
    let settings = settings.copy()?;
    let keep =
        taken(&settings, "keep_incomplete")?.map(|keep| truth("keep_incomplete", &keep)).transpose()?;
    Ok(ReassembleOptions { config: config_of(&settings)?, keep_incomplete: keep.unwrap_or(true) })
}

fn set(config: &mut ReassemblyConfig, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match name {
        "policy" => config.overlap = policy(name, value)?,
        "policy_ipv6" => config.overlap_ipv6 = policy(name, value)?,
        "timeout" => config.timeout_ipv4 = seconds(name, value)?,
        "timeout_ipv6" => config.timeout_ipv6 = seconds(name, value)?,
        "max_datagrams" => config.max_datagrams = count(name, value, 1)?,
        "max_memory" => config.max_memory = count(name, value, 1)?,
        "source_share" => config.source_share = count(name, value, 1)?,
        "max_fragments" => config.max_fragments = count(name, value, 1)?,
        "max_disorder" => config.max_disorder = count(name, value, 0)? as u32,
        "wrap_safe" => config.wrap_safe = truth(name, value)?,
        "tombstone" => config.tombstone = seconds(name, value)?,
        "max_tombstones" => config.max_tombstones = count(name, value, 0)?,
        "max_pairs" => config.max_pairs = count(name, value, 0)?,
        "verify_checksums" => config.verify_checksum = truth(name, value)?,
        "verify_headers" => config.verify_header = truth(name, value)?,
        "min_fragment" => config.min_fragment = count(name, value, 0)? as u32,
        "max_events" => config.max_events = count(name, value, 0)?,
        "report_completed" => config.report_completed = truth(name, value)?,
        "max_dropped" => config.max_dropped = count(name, value, 0)?,
        "seed" if value.is_none() => {}
        "seed" => config.seed = number_of(value, name, "a number from 0 to 2**64 - 1")?,
        _ => {
            let message =
                format!("reassembly has no setting {name:?}; see netfast.Reassembler for those it has");
            return Err(option_error(value.py(), name, &message));
        }
    }
    Ok(())
}

fn policy(name: &str, value: &Bound<'_, PyAny>) -> PyResult<OverlapPolicy> {
    let known = || OverlapPolicy::ALL.map(OverlapPolicy::name).join(", ");
    let given = || value.repr().map(|text| text.to_string()).unwrap_or_default();
    let Ok(text) = value.extract::<&str>() else {
        return Err(PyTypeError::new_err(format!("{name}={}: give the name of one of {}", given(), known())));
    };
    OverlapPolicy::from_name(text).ok_or_else(|| {
        option_error(
            value.py(),
            name,
            &format!("{name}={}: there is no such policy; give one of {}", given(), known()),
        )
    })
}

/// Seconds, as a number that may have a fraction.
fn seconds(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Duration> {
    let given = || value.repr().map(|text| text.to_string()).unwrap_or_default();
    let Ok(seconds) = value.extract::<f64>() else {
        return Err(PyTypeError::new_err(format!("{name}={}: give seconds as a number", given())));
    };
    if seconds.is_nan() || seconds < 0.0 {
        return Err(option_error(value.py(), name, &format!("{name}={}: give seconds from 0 up", given())));
    }
    // The conversion saturates: infinity is never.
    Ok(Duration::from_nanos((seconds * 1e9) as u64))
}

fn count(name: &str, value: &Bound<'_, PyAny>, least: u64) -> PyResult<usize> {
    let takes = format!("a number from {least} to {MOST}");
    let number: u64 = number_of(value, name, &takes)?;
    if !(least..=MOST).contains(&number) {
        return Err(option_error(value.py(), name, &format!("{name}={number}: give {takes}")));
    }
    usize::try_from(number).map_err(|_| config_error(value.py(), &format!("{name}={number}: give {takes}")))
}

fn truth(name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let given = || value.repr().map(|text| text.to_string()).unwrap_or_default();
    let truth = value.cast::<PyBool>().map(|truth| truth.is_true());
    truth.map_err(|_| PyTypeError::new_err(format!("{name}={}: give True or False", given())))
}
