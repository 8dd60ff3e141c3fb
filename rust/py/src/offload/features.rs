//! `netfast.Features` and `netfast.PortFeatures`.
use super::packets::{Taken, named};
use super::segmentation::locate;
use crate::errors::{config_error, option_error};
use crate::gate::lock;
use crate::headers::hash;
use netfast_offload::features::{
    Change, Feature, FeatureError, FeatureSet, PortFeatures as Engine, Removed, Side, Upper, VirtioFeatures,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use std::sync::Mutex;

const UPPERS: [(&str, Upper); 2] = [("vlan", Upper::Vlan), ("tunnel", Upper::Tunnel)];
const SIDES: [(&str, Side); 2] = [("driver", Side::Driver), ("device", Side::Device)];

/// Offload features of a port, by the names of `ethtool -k`: `Features("scatter-gather tx-tcp-segmentation")`.
///
/// Each argument is a name, several with spaces or commas between them, or `Features`. Groups (`"tso"`,
/// `"tx-checksumming"`) stand for their members. `|`, `&` and `-` make new ones, `in` asks for one, iteration gives names.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle `str()` of it.
#[pyclass(frozen, eq, module = "netfast")]
#[derive(Clone, PartialEq)]
pub struct Features {
    set: FeatureSet,
}

/// A feature that cannot be on, and because of what.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused.
#[pyclass(frozen, eq, get_all, module = "netfast")]
#[derive(Clone, PartialEq)]
pub struct RemovedFeature {
    /// Its name.
    feature: &'static str,
    /// What it needs, or what excludes it.
    because: String,
}

#[pymethods]
impl RemovedFeature {
    fn __str__(&self) -> String {
        format!("{} {}", self.feature, self.because)
    }

    fn __repr__(&self) -> String {
        format!("<netfast.RemovedFeature: {}>", self.__str__())
    }
}

fn removed(list: Vec<Removed>) -> Vec<RemovedFeature> {
    let one = |removed: Removed| {
        let (feature, text) = (removed.feature.name(), removed.to_string());
        RemovedFeature { feature, because: text.trim_start_matches(feature).trim_start().to_owned() }
    };
    list.into_iter().map(one).collect()
}

impl Features {
    /// These.
    pub fn of(set: FeatureSet) -> Self {
        Self { set }
    }
}

/// Features of names, of `Features`, or of several of either.
pub fn features_of(object: &Bound<'_, PyAny>) -> PyResult<FeatureSet> {
    let refused =
        || PyTypeError::new_err("features are names of ethtool -k, as text or several of them, or Features");
    if let Some(set) = named_features(object)? {
        return Ok(set);
    }
    let mut each = object.try_iter().map_err(|_| refused())?;
    each.try_fold(FeatureSet::NONE, |all, some| Ok(all.with(named_features(&some?)?.ok_or_else(refused)?)))
}

/// Features of names in one text, or of `Features`.
fn named_features(object: &Bound<'_, PyAny>) -> PyResult<Option<FeatureSet>> {
    if let Ok(features) = object.cast::<Features>() {
        return Ok(Some(features.get().set));
    }
    let Ok(names) = object.cast::<PyString>() else { return Ok(None) };
    names.to_str()?.parse().map(Some).map_err(|error| raise(object.py(), &error))
}

fn raise(py: Python<'_>, error: &FeatureError) -> PyErr {
    option_error(py, "features", &error.to_string())
}

#[pymethods]
impl Features {
    #[new]
    #[pyo3(signature = (*names))]
    fn new(names: &Bound<'_, PyTuple>) -> PyResult<Self> {
        features_of(names.as_any()).map(|set| Self { set })
    }

    /// Every feature that there is.
    #[staticmethod]
    fn all() -> Self {
        Self { set: FeatureSet::ALL }
    }

    /// Those whose needs are met, and what was removed, with the reason.
    fn fixed(&self) -> (Self, Vec<RemovedFeature>) {
        let (set, list) = self.set.fixed();
        (Self { set }, removed(list))
    }

    /// What both ports can do; checksums of one family are part of `tx-checksum-ip-generic`.
    fn common(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { set: self.set.common(features_of(other)?) })
    }

    /// Features of a port with these feature bits of virtio; `side` is ours, `"driver"` or `"device"`.
    #[staticmethod]
    fn from_virtio(py: Python<'_>, bits: u64, side: &str) -> PyResult<Self> {
        Ok(Self { set: VirtioFeatures(bits).of_port(named(py, "side", side, &SIDES)?) })
    }

    /// Feature bits of virtio (`VIRTIO_NET_F_CSUM` is bit 0) for a port with these features.
    fn to_virtio(&self, py: Python<'_>, side: &str) -> PyResult<u64> {
        Ok(VirtioFeatures::from_port(self.set, named(py, "side", side, &SIDES)?).0)
    }

    fn __or__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { set: self.set.with(features_of(other)?) })
    }

    fn __ror__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        self.__or__(other)
    }

    fn __and__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { set: self.set.without(self.set.without(features_of(other)?)) })
    }

    fn __rand__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        self.__and__(other)
    }

    fn __sub__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { set: self.set.without(features_of(other)?) })
    }

    fn __rsub__(&self, other: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { set: features_of(other)?.without(self.set) })
    }

    /// True when all of these are in it.
    fn __contains__(&self, features: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.set.has(features_of(features)?))
    }

    fn names(&self) -> Vec<&'static str> {
        self.set.iter().map(Feature::name).collect()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.names().into_pyobject(py)?.call_method0("__iter__")
    }

    fn __len__(&self) -> usize {
        self.set.iter().count()
    }

    fn __bool__(&self) -> bool {
        !self.set.is_empty()
    }

    fn __hash__(&self) -> u64 {
        hash(&self.set)
    }

    fn __str__(&self) -> String {
        self.set.to_string()
    }

    fn __repr__(&self) -> String {
        if self.set.is_empty() { "Features()".to_owned() } else { format!("Features(\"{}\")", self.set) }
    }
}

/// What a wish changed at a port.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused.
#[pyclass(frozen, get_all, module = "netfast")]
pub struct FeatureChange {
    /// What is on and was not.
    turned_on: Features,
    /// What is off and was not.
    turned_off: Features,
    /// What is wanted and off, and why: it comes back by itself when its needs are met.
    waiting: Vec<RemovedFeature>,
}

impl From<Change> for FeatureChange {
    fn from(change: Change) -> Self {
        Self {
            turned_on: Features { set: change.turned_on },
            turned_off: Features { set: change.turned_off },
            waiting: removed(change.waiting),
        }
    }
}

#[pymethods]
impl FeatureChange {
    fn __repr__(&self) -> String {
        let (on, off) = (self.turned_on.__str__(), self.turned_off.__str__());
        format!("<netfast.FeatureChange: on {on}, off {off}, {} waiting>", self.waiting.len())
    }
}

/// What software does for a packet before a port sends it.
///
/// Threads: immutable. `fork`: shared as any memory. `pickle`: refused.
#[pyclass(frozen, eq, get_all, module = "netfast")]
#[derive(Clone, PartialEq)]
pub struct OffloadPlan {
    /// It is cut: `segment`.
    segment: bool,
    /// Its checksum, or that of each segment, is filled in: `finish_checksums`, or `checksums="full"`.
    checksum: bool,
    /// It, or each segment, is made one piece.
    linearise: bool,
}

#[pymethods]
impl OffloadPlan {
    fn __repr__(&self) -> String {
        let word = |is: bool| if is { "True" } else { "False" };
        format!(
            "OffloadPlan(segment={}, checksum={}, linearise={})",
            word(self.segment),
            word(self.checksum),
            word(self.linearise)
        )
    }
}

/// The features of a port: what it can do, what is wanted, what is on. Software does the rest, always.
///
/// `supported` is what the port can do, `tagged` what of it for packets with VLAN tags, `encapsulated` for packets in
/// tunnels. All of it is wanted, but for `large-receive-offload` and `rx-fcs`.
///
/// Threads: each method is atomic. `fork`: the child has its own copy. `pickle`: refused.
#[pyclass(frozen, module = "netfast")]
pub struct PortFeatures {
    engine: Mutex<Engine>,
}

#[pymethods]
impl PortFeatures {
    #[new]
    #[pyo3(signature = (supported, *, tagged=None, encapsulated=None))]
    fn new(
        supported: &Bound<'_, PyAny>,
        tagged: Option<&Bound<'_, PyAny>>,
        encapsulated: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let of = |given: Option<&Bound<'_, PyAny>>| given.map(features_of).transpose();
        let engine = Engine::new(features_of(supported)?)
            .with_tagged(of(tagged)?.unwrap_or_default())
            .with_encapsulated(of(encapsulated)?.unwrap_or_default());
        Ok(Self { engine: Mutex::new(engine) })
    }

    /// What it can do, itself or by software.
    #[getter]
    fn supported(&self) -> Features {
        Features { set: lock(&self.engine).supported() }
    }

    /// What is wanted.
    #[getter]
    fn wanted(&self) -> Features {
        Features { set: lock(&self.engine).wanted() }
    }

    /// What is on: what is wanted, as far as its needs are met.
    #[getter]
    fn active(&self) -> Features {
        Features { set: lock(&self.engine).active() }
    }

    /// What is wanted and off, and why.
    #[getter]
    fn waiting(&self) -> Vec<RemovedFeature> {
        removed(lock(&self.engine).waiting())
    }

    /// Wants these, too. Raises `ConfigError` for what the port cannot do, and nothing changes then.
    fn turn_on(&self, py: Python<'_>, features: &Bound<'_, PyAny>) -> PyResult<FeatureChange> {
        let features = features_of(features)?;
        lock(&self.engine).turn_on(features).map(FeatureChange::from).map_err(|error| raise(py, &error))
    }

    /// Wants these no more; what needs them goes off with them.
    fn turn_off(&self, features: &Bound<'_, PyAny>) -> PyResult<FeatureChange> {
        let features = features_of(features)?;
        Ok(lock(&self.engine).turn_off(features).into())
    }

    /// Says whether packets that come in may be sent on; `large-receive-offload`, which loses what it merged, ends then.
    fn set_forwarding(&self, forwarding: bool) -> FeatureChange {
        lock(&self.engine).set_forwarding(forwarding).into()
    }

    /// What a port that stands on this one can do: `"vlan"` or `"tunnel"`.
    fn inherited(&self, py: Python<'_>, upper: &str) -> PyResult<Features> {
        let upper = named(py, "upper", upper, &UPPERS)?;
        Ok(Features { set: lock(&self.engine).inherited(upper) })
    }

    /// What is left to software for a packet that is sent by this port: an `OffloadPacket`, or one in any of the forms
    /// that `netfast.write` takes.
    fn plan(&self, packet: &Bound<'_, PyAny>) -> PyResult<OffloadPlan> {
        let mut taken = Taken::of(packet, None)?;
        let [packet] = &mut taken.packets[..] else {
            return Err(config_error(packet.py(), "a plan is for one packet: ask for each"));
        };
        locate(packet, taken.link);
        let plan = lock(&self.engine).plan(packet);
        Ok(OffloadPlan { segment: plan.segment, checksum: plan.checksum, linearise: plan.linearise })
    }

    fn __repr__(&self) -> String {
        format!("<netfast.PortFeatures: {}>", lock(&self.engine).active())
    }
}
