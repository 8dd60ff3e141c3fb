//! The only door between netfast's Rust rooms and Python: one file per area, nothing else knows Python.
use pyo3::prelude::*;

mod arrow;
mod bench_frag;
mod bench_node;
mod bench_offload;
mod device;
mod errors;
mod flows;
mod gate;
mod headers;
mod info;
mod node;
mod offload;
mod packet;
mod packets;
mod reader;
mod reassembly;
mod serve;
mod signals;
mod source;
mod text;
mod timer;
#[cfg(target_os = "linux")]
mod transmit;
mod write;
mod writer;

/// Native part of netfast; import from `netfast`, not from here.
#[pymodule]
mod _netfast {
    use super::*;

    #[pymodule_export]
    use super::headers::{
        AH, ARP, DCCP, DestinationOptions, Dot11, ESP, Ethernet, Fragment, GRE, Geneve, Header, HopByHop,
        ICMPv4, ICMPv6, IGMP, IPv4, IPv6, LLC, LinuxSLL, LinuxSLL2, MPLS, Mobility, Null, PPP, PPPoE,
        RadioTap, Raw, Routing, SCTP, SNAP, Stack, TCP, UDP, UDPLite, VLAN, VXLAN,
    };

    #[pymodule_export]
    use super::packet::{Packet, dissect};

    #[pymodule_export]
    use super::bench_frag::{BenchReassembler, bench_attack, bench_wrap};
    #[pymodule_export]
    use super::bench_node::{BenchNode, BenchReplay};
    #[pymodule_export]
    use super::bench_offload::{BenchCollator, BenchSegmenter};
    #[pymodule_export]
    use super::device::{Device, probe};
    #[pymodule_export]
    use super::flows::{FlowBatch, FlowIterator, FlowStream, FlowTable};
    #[pymodule_export]
    use super::info::{FrameIterator, info};
    #[pymodule_export]
    use super::node::{Batch, BatchIterator, ConnectionTable, NewFlow, Node, PushResult};
    #[pymodule_export]
    use super::offload::{
        Collator, FeatureChange, Features, OffloadBatch, OffloadBatchIterator, OffloadPacket, OffloadPlan,
        PortFeatures, RemovedFeature, VirtioCodec, VirtioHeader, collate, finish_checksums, segment,
    };
    #[pymodule_export]
    use super::packets::{PacketColumns, PacketIterator, PacketStream};
    #[pymodule_export]
    use super::reader::{Capture, CapturedBytes, PacketBatch, PacketBatchIterator};
    #[pymodule_export]
    use super::reassembly::{Datagram, DatagramIterator, Datagrams, OwedError, Reassembler};
    #[pymodule_export]
    use super::serve::{Patch, Server};
    #[pymodule_export]
    use super::timer::{Expired, TimerWheel};
    #[cfg(target_os = "linux")]
    #[pymodule_export]
    use super::transmit::NativeTransmitter;
    #[pymodule_export]
    use super::write::copy;
    #[pymodule_export]
    use super::writer::CaptureWriter;

    /// Names of the packet columns, in order.
    #[pymodule_export]
    const PACKET_COLUMNS: &[&str] = netfast_capture::PACKET_COLUMNS;
    /// Names of the flow columns, in order.
    #[pymodule_export]
    const FLOW_COLUMNS: &[&str] = netfast_capture::FLOW_COLUMNS;
    /// Names of the columns that statistics add to those of flows.
    #[pymodule_export]
    const STATISTICS_COLUMNS: &[&str] = netfast_capture::STATISTICS_COLUMNS;

    /// Names of the policies for overlapping fragments.
    #[pymodule_export]
    const OVERLAP_POLICIES: &[&str] = super::reassembly::POLICIES;
    /// Names of what can be the matter with fragments.
    #[pymodule_export]
    const FRAGMENT_REASONS: &[&str] = super::reassembly::REASONS;

    /// Names of the attacks of `bench_attack`.
    #[pymodule_export]
    const BENCH_ATTACKS: &[&str] = &super::bench_frag::ATTACK_NAMES;

    /// True when the extension was built without optimisation; `netfast` warns then.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("DEBUG_BUILD", cfg!(debug_assertions))
    }
}
