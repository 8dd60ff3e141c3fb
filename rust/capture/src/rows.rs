//! Rows of text: CSV, JSON lines and tab-separated columns, without anything to install.
use crate::columns::{Columns, HAS_L3_CHECKSUM, HAS_L4_CHECKSUM};
use crate::{Error, FLOW_COLUMNS, FlowColumns, PACKET_COLUMNS, STATISTICS_COLUMNS};
use netfast_flow::{FlowRecord, FlowStatistics};
use netfast_io::capture::LATEST_NS;
use netfast_wire::dissect::protocol;
use netfast_wire::{Checksum, Present, Verdict, address};
use serde::Serialize;
use std::io::Write;
use std::net::IpAddr;

/// One packet as a row.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct PacketRow {
    pub frame: u64,
    pub time_ns: i64,
    pub caplen: u32,
    pub len: u32,
    pub link_type: u16,
    pub vlan: Option<u16>,
    pub ip_version: Option<u8>,
    pub src: Option<IpAddr>,
    pub dst: Option<IpAddr>,
    pub protocol: Option<u8>,
    pub src_port: Option<u16>,
    pub dst_port: Option<u16>,
    pub tcp_flags: Option<u16>,
    pub payload_len: Option<u32>,
    pub hop_limit: Option<u8>,
    pub traffic_class: Option<u8>,
    pub flow_label: Option<u32>,
    pub fragment_offset: Option<u16>,
    pub fragment_id: Option<u32>,
    pub more_fragments: Option<bool>,
    pub l3_checksum: Option<&'static str>,
    pub l4_checksum: Option<&'static str>,
    pub verdict: &'static str,
}

impl PacketRow {
    /// The row at this place.
    pub fn new(columns: &Columns, row: usize) -> Self {
        let has = |bit| columns.has(row, bit);
        let [ip, ports, fragment] = [Present::IP, Present::PORTS, Present::FRAGMENT].map(has);
        let version = columns.ip_version[row];
        let checksum = |bit, value: u8| has(bit).then(|| Checksum::ALL[usize::from(value)].name());
        Self {
            frame: columns.frame[row],
            time_ns: columns.time_ns[row],
            caplen: columns.caplen[row],
            len: columns.wire_len[row],
            link_type: columns.link_type[row],
            vlan: has(Present::VLAN).then_some(columns.vlan[row]),
            ip_version: ip.then_some(version),
            src: address(version, columns.src[row]),
            dst: address(version, columns.dst[row]),
            protocol: has(Present::PROTOCOL).then_some(columns.protocol[row]),
            src_port: ports.then_some(columns.src_port[row]),
            dst_port: ports.then_some(columns.dst_port[row]),
            tcp_flags: has(Present::TCP_FLAGS).then_some(columns.tcp_flags[row]),
            payload_len: has(Present::PAYLOAD).then_some(columns.payload_len[row]),
            hop_limit: ip.then_some(columns.hop_limit[row]),
            traffic_class: ip.then_some(columns.traffic_class[row]),
            flow_label: has(Present::FLOW_LABEL).then_some(columns.flow_label[row]),
            fragment_offset: fragment.then_some(columns.fragment_offset[row]),
            fragment_id: fragment.then_some(columns.fragment_id[row]),
            more_fragments: fragment.then(|| has(Present::MORE_FRAGMENTS)),
            l3_checksum: checksum(HAS_L3_CHECKSUM, columns.l3_checksum[row]),
            l4_checksum: checksum(HAS_L4_CHECKSUM, columns.l4_checksum[row]),
            verdict: Verdict::ALL[usize::from(columns.verdict[row])].name(),
        }
    }
}

/// One flow as a row.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct FlowRow {
    pub first_ns: u64,
    pub last_ns: u64,
    pub ip_version: u8,
    pub src: Option<IpAddr>,
    pub dst: Option<IpAddr>,
    pub protocol: u8,
    pub src_port: Option<u16>,
    pub dst_port: Option<u16>,
    pub vlan: Option<u16>,
    pub packets_fwd: u64,
    pub packets_rev: u64,
    pub bytes_fwd: u64,
    pub bytes_rev: u64,
    pub l2_bytes_fwd: u64,
    pub l2_bytes_rev: u64,
    pub tcp_flags_fwd: Option<u16>,
    pub tcp_flags_rev: Option<u16>,
    pub state: &'static str,
    pub end_reason: &'static str,
    pub community_id: String,
}

impl FlowRow {
    /// The row of a record.
    pub fn new(record: &FlowRecord) -> Self {
        let version = record.key.ip_version();
        let is_tcp = record.key.protocol() == protocol::TCP;
        Self {
            // As in Arrow, where times are signed.
            first_ns: record.first_ns.min(LATEST_NS),
            last_ns: record.last_ns.min(LATEST_NS),
            ip_version: version,
            src: address(version, record.src.address),
            dst: address(version, record.dst.address),
            protocol: record.key.protocol(),
            src_port: record.src.port,
            dst_port: record.dst.port,
            vlan: record.key.vlan(),
            packets_fwd: record.packets[0],
            packets_rev: record.packets[1],
            bytes_fwd: record.bytes[0],
            bytes_rev: record.bytes[1],
            l2_bytes_fwd: record.l2_bytes[0],
            l2_bytes_rev: record.l2_bytes[1],
            tcp_flags_fwd: is_tcp.then_some(record.tcp_flags[0]),
            tcp_flags_rev: is_tcp.then_some(record.tcp_flags[1]),
            state: record.state.name(),
            end_reason: record.end_reason.name(),
            community_id: String::from_utf8_lossy(&record.community_id()).into_owned(),
        }
    }
}

/// The columns of `--stats`; lists stand as text in CSV (numbers separated by spaces).
#[derive(Clone, Debug, Default, Serialize)]
struct StatisticsRow {
    size_min_fwd: Option<u64>,
    size_mean_fwd: Option<f64>,
    size_max_fwd: Option<u64>,
    size_stddev_fwd: Option<f64>,
    size_min_rev: Option<u64>,
    size_mean_rev: Option<f64>,
    size_max_rev: Option<u64>,
    size_stddev_rev: Option<f64>,
    iat_min_fwd: Option<u64>,
    iat_mean_fwd: Option<f64>,
    iat_max_fwd: Option<u64>,
    iat_stddev_fwd: Option<f64>,
    iat_min_rev: Option<u64>,
    iat_mean_rev: Option<f64>,
    iat_max_rev: Option<u64>,
    iat_stddev_rev: Option<f64>,
}

impl StatisticsRow {
    fn new(s: &FlowStatistics) -> Self {
        let ([size, size_rev], [gap, gap_rev]) = (&s.size, &s.gap);
        Self {
            size_min_fwd: size.min(),
            size_mean_fwd: size.mean(),
            size_max_fwd: size.max(),
            size_stddev_fwd: size.deviation(),
            size_min_rev: size_rev.min(),
            size_mean_rev: size_rev.mean(),
            size_max_rev: size_rev.max(),
            size_stddev_rev: size_rev.deviation(),
            iat_min_fwd: gap.min(),
            iat_mean_fwd: gap.mean(),
            iat_max_fwd: gap.max(),
            iat_stddev_fwd: gap.deviation(),
            iat_min_rev: gap_rev.min(),
            iat_mean_rev: gap_rev.mean(),
            iat_max_rev: gap_rev.max(),
            iat_stddev_rev: gap_rev.deviation(),
        }
    }
}

#[derive(Serialize)]
struct JsonFlow<'a> {
    #[serde(flatten)]
    row: FlowRow,
    #[serde(flatten)]
    statistics: Option<StatisticsRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet_lengths: Option<&'a [u32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet_directions: Option<&'a [u8]>,
}

/// The rows of flows, with their statistics when they have some, as a serializer sees them.
pub fn json_flows(flows: &FlowColumns) -> impl ExactSizeIterator<Item = impl Serialize> {
    flows.records().iter().map(|record| {
        let statistics = record.statistics.as_deref();
        JsonFlow {
            row: FlowRow::new(record),
            statistics: statistics.map(StatisticsRow::new),
            packet_lengths: statistics.map(|s| &s.lengths[..]),
            packet_directions: statistics.map(|s| &s.directions[..]),
        }
    })
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// RFC 4180, with a header line.
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// Columns separated by tabs, with a header line.
    Tabs,
}

/// Writes rows to a sink; every call ends with whole lines.
#[derive(Debug)]
pub struct TextWriter<W: Write> {
    sink: W,
    format: TextFormat,
    began: bool,
}

impl<W: Write> TextWriter<W> {
    /// Writes to this sink.
    pub fn new(sink: W, format: TextFormat) -> Self {
        Self { sink, format, began: false }
    }

    /// The sink.
    pub fn sink_mut(&mut self) -> &mut W {
        &mut self.sink
    }

    /// Writes a batch of packets.
    ///
    /// # Errors
    /// The sink's.
    pub fn packets(&mut self, columns: &Columns) -> Result<(), Error> {
        let rows = (0..columns.len()).map(|row| PacketRow::new(columns, row));
        if self.format == TextFormat::JsonLines {
            return self.json(rows);
        }
        self.begin_packets()?;
        let mut lines = self.lines();
        for row in rows {
            lines.serialize(row).map_err(csv_error)?;
        }
        lines.flush().map_err(Error::Write)
    }

    /// Writes a batch of flows.
    ///
    /// # Errors
    /// The sink's.
    pub fn flows(&mut self, flows: &FlowColumns) -> Result<(), Error> {
        if self.format == TextFormat::JsonLines {
            return self.json(json_flows(flows));
        }
        self.begin_flows(flows.has_statistics())?;
        let statistics = flows.has_statistics();
        let mut lines = self.lines();
        for record in flows.records() {
            let row = FlowRow::new(record);
            match record.statistics.as_deref() {
                _ if !statistics => lines.serialize(row).map_err(csv_error)?,
                Some(s) => {
                    let lists = (list(&s.lengths), list(&s.directions));
                    lines.serialize((row, StatisticsRow::new(s), lists)).map_err(csv_error)?;
                }
                None => lines.serialize((row, StatisticsRow::default(), ("", ""))).map_err(csv_error)?,
            }
        }
        lines.flush().map_err(Error::Write)
    }

    /// Hands all that was written to the sink's owner.
    ///
    /// # Errors
    /// The sink's.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.sink.flush().map_err(Error::Write)
    }

    /// Writes the header of packets, where the format has one and it is not written yet.
    ///
    /// # Errors
    /// The sink's.
    pub fn begin_packets(&mut self) -> Result<(), Error> {
        self.header(PACKET_COLUMNS, &[])
    }

    /// Writes the header of flows, with or without their statistics, where the format has one and it is not written
    /// yet.
    ///
    /// # Errors
    /// The sink's.
    pub fn begin_flows(&mut self, statistics: bool) -> Result<(), Error> {
        self.header(FLOW_COLUMNS, if statistics { STATISTICS_COLUMNS } else { &[] })
    }

    fn header(&mut self, columns: &[&str], more: &[&str]) -> Result<(), Error> {
        if std::mem::replace(&mut self.began, true) || self.format == TextFormat::JsonLines {
            return Ok(());
        }
        self.lines().write_record(columns.iter().chain(more)).map_err(csv_error)
    }

    fn lines(&mut self) -> csv::Writer<&mut W> {
        let delimiter = if self.format == TextFormat::Tabs { b'\t' } else { b',' };
        csv::WriterBuilder::new().has_headers(false).delimiter(delimiter).from_writer(&mut self.sink)
    }

    fn json(&mut self, rows: impl Iterator<Item = impl Serialize>) -> Result<(), Error> {
        let mut text = Vec::with_capacity(64 << 10);
        for row in rows {
            serde_json::to_writer(&mut text, &row).map_err(std::io::Error::from)?;
            text.push(b'\n');
            if text.len() > 60 << 10 {
                self.sink.write_all(&text)?;
                text.clear();
            }
        }
        Ok(self.sink.write_all(&text)?)
    }
}

fn list<T: ToString>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}

fn csv_error(error: csv::Error) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Error::Write(error),
        other => Error::Write(std::io::Error::other(format!("{other:?}"))),
    }
}
