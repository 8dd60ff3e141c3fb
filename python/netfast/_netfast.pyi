"""
Native part of netfast; import from `netfast`, not from here.
"""

from collections.abc import Iterator
from os import PathLike
from typing import Any, Final, Never, Self, SupportsFloat, SupportsIndex, TypeVar, final, overload

from _typeshed import Incomplete, SupportsGetItem, SupportsLenAndGetItem
from typing_extensions import CapsuleType, disjoint_base

_Header = TypeVar("_Header", bound="Header")

BENCH_ATTACKS: Final[list[str]]
"""
Names of the attacks of `bench_attack`.
"""

FLOW_COLUMNS: Final[list[str]]
"""
Names of the flow columns, in order.
"""

FRAGMENT_REASONS: Final[list[str]]
"""
Names of what can be the matter with fragments.
"""

OVERLAP_POLICIES: Final[list[str]]
"""
Names of the policies for overlapping fragments.
"""

PACKET_COLUMNS: Final[list[str]]
"""
Names of the packet columns, in order.
"""

STATISTICS_COLUMNS: Final[list[str]]
"""
Names of the columns that statistics add to those of flows.
"""

@final
class AH(Header):
    """
    IP authentication header, RFC 4302 section 2.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        next_header: "int | None" = None,
        payload_len: "int | None" = None,
        reserved: "int | None" = None,
        spi: "int | None" = None,
        sequence: "int | None" = None,
        icv: "bytes | bytearray | memoryview | None" = None,
        **unknown: Never,
    ) -> AH: ...
    @property
    def icv(self, /) -> bytes:
        """
        Integrity check value
        """
    @property
    def next_header(self, /) -> int | None:
        """
        What follows
        """
    @property
    def payload_len(self, /) -> int | None:
        """
        Length in 32-bit words, less two
        """
    @property
    def reserved(self, /) -> int:
        """
        Zero
        """
    @property
    def sequence(self, /) -> int:
        """
        Sequence number
        """
    @property
    def spi(self, /) -> int:
        """
        Security parameters index
        """

@final
class ARP(Header):
    """
    Address resolution, RFC 826.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        hardware_type: "int | None" = None,
        protocol_type: "int | None" = None,
        hardware_len: "int | None" = None,
        protocol_len: "int | None" = None,
        operation: "int | None" = None,
        sender_mac: "str | bytes | int | None" = None,
        sender_ip: "object" = None,
        target_mac: "str | bytes | int | None" = None,
        target_ip: "object" = None,
        addresses: "bytes | bytearray | memoryview | None" = None,
        **unknown: Never,
    ) -> ARP: ...
    @property
    def addresses(self, /) -> bytes | None:
        """
        Addresses of other lengths
        """
    @property
    def hardware_len(self, /) -> int:
        """
        Bytes of a hardware address
        """
    @property
    def hardware_type(self, /) -> int:
        """
        Kind of hardware address
        """
    @property
    def operation(self, /) -> int:
        """
        Request, reply
        """
    @property
    def protocol_len(self, /) -> int:
        """
        Bytes of a protocol address
        """
    @property
    def protocol_type(self, /) -> int:
        """
        Kind of protocol address
        """
    @property
    def sender_ip(self, /) -> str | None:
        """
        Sender's IPv4 address
        """
    @property
    def sender_mac(self, /) -> str | None:
        """
        Sender's hardware address
        """
    @property
    def target_ip(self, /) -> str | None:
        """
        Target's IPv4 address
        """
    @property
    def target_mac(self, /) -> str | None:
        """
        Target's hardware address
        """

@final
class Batch:
    """
    Ethernet frames in native memory, in order: what a `Stack` takes most quickly, and what comes out of it.

    `Batch(packets)` copies frames: a list of bytes, `Packet`, headers, each perhaps with its time as `(time_ns, packet)`, a
    `PacketBatch` of a capture, or an `OffloadBatch`, whose marks it keeps. `OffloadBatch(batch)` shows those of what a
    stack put out. Indexing and iteration give `Packet`, a slice a list of them.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle the packets.
    """
    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Packet: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[Packet]: ...
    def __iter__(self, /) -> BatchIterator: ...
    def __len__(self, /) -> int: ...
    def __new__(cls, /, packets: Any | None = None) -> Batch: ...
    def __repr__(self, /) -> str: ...
    def _repr_html_(self, /) -> str:
        """
        A line for each of the first packets, for notebooks.
        """

@final
class BatchIterator:
    """
    The packets of a `Batch`, one by one.

    Threads: each packet goes to one of them. `fork`: shared as any memory. `pickle`: refused.
    """
    def __iter__(self, /) -> BatchIterator: ...
    def __next__(self, /) -> Packet: ...

@final
class BenchCollator:
    """
    Frames that become packets and are collated: `netfast.bench` uses it, nobody else should.

    All costs are nanoseconds a frame: making packets of them (their bytes are copied, as a driver does), work, letting
    go of what came out.

    Threads: runs share nothing. `fork`: the child has its own copy. `pickle`: refused.
    """
    def __new__(
        cls, /, frames: SupportsGetItem[int, bytes | bytearray], *, trust_checksums: bool = True
    ) -> BenchCollator: ...
    def run(self, /, collates: bool = True, batch: SupportsIndex = 128) -> tuple[float, float, float]:
        """
        One pass: cost, frames for each packet that came out, and bytes that were copied for each that came out, of which
        making packets does not count. Without `collates` nothing is merged: what the loop itself costs.
        """

@final
class BenchNode:
    """
    A node with established flows, whose packets are timed: `netfast.bench` uses it, nobody else should.

    All costs are nanoseconds a packet. Work that did not go the way that was to be measured raises `AssertionError`.

    Threads: a lock guards the node; other threads run meanwhile. `fork`: the child has its own copy. `pickle`: refused.
    """
    def __new__(
        cls,
        /,
        flows: SupportsIndex,
        *,
        destinations: SupportsIndex = ...,
        rules: SupportsIndex = 100,
        tcp: bool = False,
        nat: bool = False,
        room: SupportsIndex | None = None,
        seed: SupportsIndex = 1,
    ) -> BenchNode: ...
    @property
    def cache_bytes(self, /) -> int:
        """
        Bytes that the flow cache takes.
        """
    def first_frames(self, /, count: SupportsIndex) -> bytes:
        """
        The first frames of `count` flows that were never there, one after the other: for somebody else.
        """
    def first_packets(self, /, count: SupportsIndex) -> float:
        """
        The first packets of `count` flows that were never there.
        """
    @property
    def flow_bytes(self, /) -> float:
        """
        Bytes that the flow cache takes for each flow.
        """
    def flush(self, /) -> None:
        """
        Lets all flows go.
        """
    def frames(self, /, replies: bool, count: SupportsIndex) -> bytes:
        """
        The first `count` frames of a direction, one after the other.
        """
    def hits(self, /, batch: SupportsIndex = 256, frames: SupportsIndex = 524288) -> float:
        """
        Hits, both ways: the first `frames` of each direction again and again, in batches of `batch`.
        """
    def neighbours(
        self, /, known: SupportsIndex, count: SupportsIndex
    ) -> tuple[float, float, float, float, float, float, float]:
        """
        What `known` neighbours cost: `solicitation`, `arp`, `stranger`, `established`, `calm` and `lookup` in nanoseconds, and
        the part of their rate that flows keep beside a million solicitations a second.
        """
    def pieces(self, /, nonlinear: bool) -> float:
        """
        Hits in the node alone, of packets that were made beforehand, in one piece or with their payload in another.
        """
    def revalidate(self, /) -> tuple[float, float, float]:
        """
        A change of the rules: its own cost, that of each flow's first packet `after`, and of one without it (`calm`).
        """
    @staticmethod
    def rules(count: SupportsIndex, nat: bool = False) -> str:
        """
        Rules of the kind that the node has: `count` that no packet matches, and with `nat` a translation.
        """
    def scan(self, /, from_clients: bool, count: SupportsIndex) -> tuple[float, float, float, float, int]:
        """
        A scan beside established flows: costs of `scan`, `established`, `calm` and `pair`, and the number `evicted`.
        """

@final
class BenchReassembler:
    """
    Frames that become packets and are reassembled: `netfast.bench` uses it, nobody else should.

    Threads: runs share nothing. `fork`: the child has its own copy. `pickle`: refused.
    """
    def __new__(cls, /, frames: SupportsGetItem[int, bytes | bytearray]) -> BenchReassembler: ...
    def run(self, /, reassembles: bool = True, verifies: bool = False) -> tuple[float, int, float]:
        """
        One pass: nanoseconds a fragment, datagrams that the frames make, and bytes that were copied for each delivered, of
        which making packets does not count. Without `reassembles`: what the loop itself costs.
        """

@final
class BenchReplay:
    """
    A capture that goes through a node as it comes: `netfast.bench` uses it, nobody else should.

    Threads: a lock guards the frames; other threads run meanwhile. `fork`: the child has its own copy. `pickle`: refused.
    """
    def __new__(cls, /) -> BenchReplay: ...
    def add(self, /, batch: PacketBatch) -> None:
        """
        Adds the frames of a batch.
        """
    def run(self, /, rules: SupportsIndex = 100, seed: SupportsIndex = 1) -> tuple[float, float]:
        """
        All frames through a new node: nanoseconds a packet, and the part of them that one lookup decided.
        """

@final
class BenchSegmenter:
    """
    A super-packet that is cut again and again: `netfast.bench` uses it, nobody else should.

    All costs are nanoseconds a segment. Making the super-packet is not timed, letting the segments go is not either.

    Threads: runs share nothing. `fork`: the child has its own copy. `pickle`: refused.
    """
    def __new__(cls, /, packet: OffloadPacket) -> BenchSegmenter: ...
    def run(self, /, checksums: str = "partial") -> tuple[float, int, float]:
        """
        One pass: cost, segments, and bytes that were copied for each that came out.
        """

@final
class Capture:
    """
    Reads captures packet by packet: iterates over `PacketBatch` of up to 256 packets.

    A batch's packets stand in the block of memory that they were read into; a packet, or a memoryview of it, keeps that
    block alive, so keep what you need and let go of the rest.

    Threads: a lock guards the reader; one iteration at a time. `fork`: open captures after it. `pickle`: refused.
    """
    def __enter__(self, /) -> Capture: ...
    def __exit__(self, /, *_exception: object) -> None: ...
    def __iter__(self, /) -> Capture: ...
    def __new__(
        cls,
        /,
        paths: SupportsGetItem[int, str | PathLike[str]],
        *,
        filter: str | None = None,
        mmap: bool = False,
        lenient: bool = False,
        reassemble: dict[str, Any] | None = None,
    ) -> Capture: ...
    def __next__(self, /) -> PacketBatch: ...
    def __repr__(self, /) -> str: ...
    def close(self, /) -> None:
        """
        Closes the files; packets that were given stay valid. A read that waits in another thread ends.
        """
    @property
    def damage(self, /) -> list[dict[str, Any]]:
        """
        What is damaged of each capture, as far as it was read: `path`, `count` of places, bytes `skipped`, and
        `places` (the first thousand), each with `frame`, `offset`, `skipped` and `what`.
        """
    @property
    def error(self, /) -> BaseException | None:
        """
        The exception that ended the reading early, or `None`.
        """
    @property
    def link_types(self, /) -> list[int]:
        """
        Link types of the interfaces met so far (LINKTYPE_ numbers).
        """
    def progress(self, /) -> tuple[int, int]:
        """
        Packets and (decompressed) bytes read so far, those included that the filter did not keep.
        """
    @property
    def reassembly(self, /) -> dict[str, Any]:
        """
        Counters of reassembly; zeros without.
        """
    @property
    def unfiltered(self, /) -> dict[int, int]:
        """
        Packets that the filter could not be asked about, by link type (LINKTYPE_ numbers).
        """

@final
class CaptureWriter:
    """
    Writes packets to a capture file; used through `netfast.write`.

    Threads: each method is atomic. `fork`: write from one process only. `pickle`: refused.
    """
    def __new__(
        cls,
        /,
        path: str | PathLike[str],
        form: str,
        *,
        link: "int | str | None" = None,
        nanoseconds: bool = True,
    ) -> CaptureWriter: ...
    def close(self, /) -> int:
        """
        Ends the file and returns how many packets it holds.
        """
    def write(self, /, packet: Any) -> None:
        """
        Writes one packet in any of the forms that `netfast.write` takes, or those of a `PacketBatch`.
        """

@final
class CapturedBytes:
    """
    The bytes of a captured packet, where they were read: the exporter of its memoryviews, which keeps their block alive.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused; take `bytes()` of it.
    """
    def __len__(self, /) -> int: ...

@final
class Collator:
    """
    Collation of packets; used through `netfast.Collator`, which documents everything.

    Threads: each method is atomic. `fork`: the child has its own copy. `pickle`: refused.
    """
    def __new__(
        cls, /, settings: "dict[str, int]", *, link: "int | str | None" = None, trust_checksums: bool = False
    ) -> Collator: ...
    def flush(self, /) -> OffloadBatch:
        """
        Gives all that is held.
        """
    @property
    def next_timeout(self, /) -> int | None:
        """
        When `poll` has something to do, in ns; `None` while nothing is held.
        """
    def poll(self, /, now: Any) -> OffloadBatch:
        """
        Gives what was held as long as it may be.
        """
    def push(self, /, packets: Any, now: "int | None" = None) -> OffloadBatch:
        """
        Takes packets and gives those that are not held on.
        """
    @property
    def statistics(self, /) -> dict[str, Any]:
        """
        What it did, by name.
        """

@final
class ConnectionTable:
    """
    The connections of a node at one time; used through `netfast.Connections`.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle the rows.
    """
    def __arrow_c_array__(self, /, requested_schema: Any | None = None) -> tuple[CapsuleType, CapsuleType]:
        """
        Arrow PyCapsule interface; a requested schema is not negotiated.
        """
    def __arrow_c_schema__(self, /) -> CapsuleType: ...
    def __len__(self, /) -> int: ...
    def row(self, /, index: SupportsIndex) -> dict[str, Any]:
        """
        One connection, from 0.
        """
    def rows(self, /) -> list[dict[str, Any]]:
        """
        All connections as dictionaries.
        """

@final
class DCCP(Header):
    """
    DCCP generic header, RFC 4340 section 5.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        src_port: "int | None" = None,
        dst_port: "int | None" = None,
        data_offset: "int | None" = None,
        ccval: "int | None" = None,
        checksum_coverage: "int | None" = None,
        checksum: "int | None" = None,
        reserved: "int | None" = None,
        type: "int | None" = None,
        extended: "bool | int | None" = None,
        reserved2: "int | None" = None,
        sequence: "int | None" = None,
        reserved3: "int | None" = None,
        acknowledgment: "int | None" = None,
        code: "int | None" = None,
        options: "object" = None,
        **unknown: Never,
    ) -> DCCP: ...
    @property
    def acknowledgment(self, /) -> int | None:
        """
        Acknowledgment number
        """
    @property
    def ccval(self, /) -> int:
        """
        For the congestion control
        """
    @property
    def checksum(self, /) -> int | None:
        """
        Internet checksum with pseudo-header
        """
    @property
    def checksum_coverage(self, /) -> int:
        """
        0: all; else header and that many words, less one
        """
    @property
    def code(self, /) -> int | None:
        """
        Service code, or reset code and data
        """
    @property
    def data_offset(self, /) -> int | None:
        """
        Header length in 32-bit words
        """
    @property
    def dst_port(self, /) -> int:
        """
        Destination port
        """
    @property
    def extended(self, /) -> bool:
        """
        Sequence numbers have 48 bits
        """
    @property
    def options(self, /) -> Any:
        """
        Options, padded to 32 bits; `forms()` tells what each takes
        """
    @property
    def reserved(self, /) -> int:
        """
        Zero
        """
    @property
    def reserved2(self, /) -> int | None:
        """
        Zero
        """
    @property
    def reserved3(self, /) -> int | None:
        """
        Zero
        """
    @property
    def sequence(self, /) -> int | None:
        """
        Sequence number
        """
    @property
    def src_port(self, /) -> int:
        """
        Source port
        """
    @property
    def type(self, /) -> int:
        """
        Packet type
        """

@final
class Datagram:
    """
    A packet that came out of a `Reassembler`: whole, though its bytes may stand in pieces.

    `segments` are memoryviews of the pieces, without a copy; `bytes(datagram)` and `packet` bring them together.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle `packet`.
    """
    def __bytes__(self, /) -> bytes: ...
    def __len__(self, /) -> int: ...
    def __repr__(self, /) -> str: ...
    @property
    def checksum(self, /) -> str | None:
        """
        The transport checksum over all bytes: "good", "bad" (perhaps fragments of two datagrams, RFC 4963), or `None` where
        it was not verified: of packets that were not reassembled, of transports without one, and when verifying is off.
        """
    @property
    def fragments(self, /) -> int:
        """
        Fragments that it was made of: 0 for an unfragmented packet.
        """
    @property
    def identification(self, /) -> int | None:
        """
        What its fragments had in common; `None` where it was not reassembled. That of IPv6 went with the fragment header.
        """
    @property
    def kind(self, /) -> str:
        """
        "reassembled" from fragments; "atomic": an IPv6 packet whose only fragment it was, the fragment header is gone
        (RFC 6946); "unfragmented": as it was.
        """
    @property
    def largest_fragment(self, /) -> int:
        """
        IP bytes of the largest of them, header included: the MTU that it was cut to. 0 where it was not reassembled.
        """
    @property
    def link_type(self, /) -> int:
        """
        What its bytes begin with: LINKTYPE_ number.
        """
    @property
    def packet(self, /) -> Packet:
        """
        The packet dissected; its bytes are copied.
        """
    @property
    def segments(self, /) -> tuple[memoryview, ...]:
        """
        Its bytes in order, as read-only memoryviews of where they stand; they keep that memory alive.
        """
    @property
    def time_ns(self, /) -> int:
        """
        When it was whole, in ns: the time of the fragment that came last.
        """

@final
class DatagramIterator:
    """
    The packets of `Datagrams`, one by one.

    Threads: each packet goes to one of them. `fork`: shared as any memory. `pickle`: refused.
    """
    def __iter__(self, /) -> DatagramIterator: ...
    def __next__(self, /) -> Datagram: ...

@final
class Datagrams:
    """
    The packets that came out of one call of a `Reassembler`, in order: indexing and iteration give `Datagram`, a slice a
    list of them.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle the packets.
    """
    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Datagram: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[Datagram]: ...
    def __iter__(self, /) -> DatagramIterator: ...
    def __len__(self, /) -> int: ...
    def __repr__(self, /) -> str: ...

@final
class DestinationOptions(Header):
    """
    IPv6 destination options, RFC 8200 section 4.6.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        next_header: "int | None" = None,
        hdr_ext_len: "int | None" = None,
        options: "object" = None,
        **unknown: Never,
    ) -> DestinationOptions: ...
    @property
    def hdr_ext_len(self, /) -> int | None:
        """
        Length in units of eight bytes, less one
        """
    @property
    def next_header(self, /) -> int | None:
        """
        What follows
        """
    @property
    def options(self, /) -> Any:
        """
        Options, padded to eight bytes; `forms()` tells what each takes
        """

@final
class Device:
    """
    A device; used through `netfast.Tun` and its like, which document everything.

    Threads: each method is atomic. `fork`: parent and child share what the system has opened; use it in one. `pickle`:
    refused.
    """
    @staticmethod
    def around(kind: str, settings: dict[str, Any], device: Device) -> Device:
        """
        Opens a device around another one, which belongs to it from then on.
        """
    def close(self, /) -> None:
        """
        Ends it; at a port it is taken away from there.
        """
    def counters(self, /) -> dict[str, Any]: ...
    def fileno(self, /) -> int:
        """
        What is readable when frames have arrived; -1 when there is no such thing.
        """
    @property
    def is_open(self, /) -> bool:
        """
        Whether it is open, here or at a port.
        """
    @property
    def kind(self, /) -> str: ...
    def link(self, /) -> dict[str, Any]: ...
    @property
    def name(self, /) -> str: ...
    @staticmethod
    def open(kind: str, settings: dict[str, Any]) -> Device:
        """
        Opens a device.
        """
    @staticmethod
    def pair(
        names: SupportsLenAndGetItem[str], packets: SupportsIndex | None = None, mtu: SupportsIndex = 1500
    ) -> tuple[Device, Device]:
        """
        Two devices that are joined in memory.
        """
    def receive(self, /) -> tuple[list[bytes], bool]:
        """
        Takes frames that have arrived, at most a batch.
        """
    def send(self, /, frames: SupportsGetItem[int, SupportsGetItem[int, SupportsIndex]]) -> int:
        """
        Sends frames; those that do not fit now are left out, and their number is returned.
        """
    def traced(self, /) -> list[str]:
        """
        Takes what a tracer saw last, a line for each frame.
        """
    @staticmethod
    def tracer(device: Device, keep: SupportsIndex) -> Device:
        """
        A device that keeps the last frames of another one, which belongs to it from then on.
        """

@final
class Dot11(Header):
    """
    IEEE 802.11 MAC header, IEEE 802.11-2020 section 9.2.4; numbers are little-endian.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        subtype: "int | None" = None,
        type: "int | None" = None,
        version: "int | None" = None,
        order: "bool | int | None" = None,
        protected: "bool | int | None" = None,
        more_data: "bool | int | None" = None,
        power_management: "bool | int | None" = None,
        retry: "bool | int | None" = None,
        more_fragments: "bool | int | None" = None,
        from_ds: "bool | int | None" = None,
        to_ds: "bool | int | None" = None,
        duration: "int | None" = None,
        addr1: "str | bytes | int | None" = None,
        addr2: "str | bytes | int | None" = None,
        addr3: "str | bytes | int | None" = None,
        fragment: "int | None" = None,
        sequence: "int | None" = None,
        addr4: "str | bytes | int | None" = None,
        qos: "int | None" = None,
        ht_control: "int | None" = None,
        **unknown: Never,
    ) -> Dot11: ...
    @property
    def addr1(self, /) -> str:
        """
        Receiver
        """
    @property
    def addr2(self, /) -> str | None:
        """
        Transmitter
        """
    @property
    def addr3(self, /) -> str | None:
        """
        BSSID, source or destination
        """
    @property
    def addr4(self, /) -> str | None:
        """
        Source, between access points
        """
    @property
    def duration(self, /) -> int:
        """
        Duration in microseconds, or association identifier
        """
    @property
    def fragment(self, /) -> int | None:
        """
        Fragment number
        """
    @property
    def from_ds(self, /) -> bool:
        """
        From the distribution system
        """
    @property
    def ht_control(self, /) -> int | None:
        """
        HT control
        """
    @property
    def more_data(self, /) -> bool:
        """
        The access point holds more for a sleeper
        """
    @property
    def more_fragments(self, /) -> bool:
        """
        More fragments follow
        """
    @property
    def order(self, /) -> bool:
        """
        HT control follows (+HTC)
        """
    @property
    def power_management(self, /) -> bool:
        """
        The sender goes to sleep
        """
    @property
    def protected(self, /) -> bool:
        """
        The body is enciphered
        """
    @property
    def qos(self, /) -> int | None:
        """
        QoS control
        """
    @property
    def retry(self, /) -> bool:
        """
        Sent before
        """
    @property
    def sequence(self, /) -> int | None:
        """
        Sequence number
        """
    @property
    def subtype(self, /) -> int:
        """
        Subtype
        """
    @property
    def to_ds(self, /) -> bool:
        """
        To the distribution system
        """
    @property
    def type(self, /) -> int:
        """
        0 management, 1 control, 2 data, 3 extension
        """
    @property
    def version(self, /) -> int:
        """
        Protocol version
        """

@final
class ESP(Header):
    """
    IP encapsulating security payload, RFC 4303 section 2; what follows is enciphered.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls, /, *, spi: "int | None" = None, sequence: "int | None" = None, **unknown: Never
    ) -> ESP: ...
    @property
    def sequence(self, /) -> int:
        """
        Sequence number
        """
    @property
    def spi(self, /) -> int:
        """
        Security parameters index
        """

@final
class Ethernet(Header):
    """
    Ethernet II, or IEEE 802.3 when the type is below 1536 and counts bytes.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        dst: "str | bytes | int | None" = None,
        src: "str | bytes | int | None" = None,
        ethertype: "int | None" = None,
        **unknown: Never,
    ) -> Ethernet: ...
    @property
    def dst(self, /) -> str:
        """
        Destination address
        """
    @property
    def ethertype(self, /) -> int | None:
        """
        What follows; below 1536 the length of an 802.3 frame
        """
    @property
    def src(self, /) -> str:
        """
        Source address
        """

@final
class Expired:
    """
    The timers that one `expire` fired, in firing order, as columns.

    Iterating gives `(payload, deadline)` pairs; `len()` counts the timers. Immutable, so free to share between
    threads; `pickle` is refused: pickle `bytes(expired.payloads)` instead.
    """
    def __iter__(self, /) -> Any: ...
    def __len__(self, /) -> int: ...
    def __repr__(self, /) -> str: ...
    @property
    def deadlines(self, /) -> memoryview:
        """
        When each timer was to fire, in nanoseconds; never later than the `now` of the call.
        """
    @property
    def handles(self, /) -> memoryview:
        """
        The handles that named the timers; stale now.
        """
    @property
    def more(self, /) -> bool:
        """
        True when more timers are due, but the call's `limit` was reached.
        """
    @property
    def payloads(self, /) -> memoryview:
        """
        What each timer was armed with.
        """

@final
class FeatureChange:
    """
    What a wish changed at a port.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused.
    """
    def __repr__(self, /) -> str: ...
    @property
    def turned_off(self, /) -> Features:
        """
        What is off and was not.
        """
    @property
    def turned_on(self, /) -> Features:
        """
        What is on and was not.
        """
    @property
    def waiting(self, /) -> list[RemovedFeature]:
        """
        What is wanted and off, and why: it comes back by itself when its needs are met.
        """

@final
class Features:
    """
    Offload features of a port, by the names of `ethtool -k`: `Features("scatter-gather tx-tcp-segmentation")`.

    Each argument is a name, several with spaces or commas between them, or `Features`. Groups (`"tso"`,
    `"tx-checksumming"`) stand for their members. `|`, `&` and `-` make new ones, `in` asks for one, iteration gives names.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle `str()` of it.
    """
    def __and__(self, other: object, /) -> Features: ...
    def __bool__(self, /) -> bool: ...
    def __contains__(self, features: Any, /) -> bool:
        """
        True when all of these are in it.
        """
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...
    def __iter__(self, /) -> Any: ...
    def __len__(self, /) -> int: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __new__(cls, /, *names: object) -> Features: ...
    def __or__(self, other: object, /) -> Features: ...
    def __rand__(self, other: object, /) -> Features: ...
    def __repr__(self, /) -> str: ...
    def __ror__(self, other: object, /) -> Features: ...
    def __rsub__(self, other: object, /) -> Features: ...
    def __str__(self, /) -> str: ...
    def __sub__(self, other: object, /) -> Features: ...
    @staticmethod
    def all() -> Features:
        """
        Every feature that there is.
        """
    def common(self, /, other: Any) -> Features:
        """
        What both ports can do; checksums of one family are part of `tx-checksum-ip-generic`.
        """
    def fixed(self, /) -> tuple[Features, list[RemovedFeature]]:
        """
        Those whose needs are met, and what was removed, with the reason.
        """
    @staticmethod
    def from_virtio(bits: SupportsIndex, side: str) -> Features:
        """
        Features of a port with these feature bits of virtio; `side` is ours, `"driver"` or `"device"`.
        """
    def names(self, /) -> list[str]: ...
    def to_virtio(self, /, side: str) -> int:
        """
        Feature bits of virtio (`VIRTIO_NET_F_CSUM` is bit 0) for a port with these features.
        """

@final
class FlowBatch:
    """
    Flow records as columns.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused; convert to a DataFrame first.
    """
    def __arrow_c_array__(self, /, requested_schema: Any | None = None) -> tuple[CapsuleType, CapsuleType]:
        """
        Arrow PyCapsule interface; a requested schema is not negotiated.
        """
    def __arrow_c_schema__(self, /) -> CapsuleType: ...
    def __len__(self, /) -> int: ...
    def __repr__(self, /) -> str: ...
    def _repr_html_(self, /) -> str: ...
    def rows(self, /) -> list[dict[str, Any]]:
        """
        The rows as dictionaries, addresses as text.
        """
    def text(self, /, form: str) -> str:
        """
        The rows as text: "csv", "jsonl" or "tsv".
        """

@final
class FlowIterator:
    """
    Batches of flow records, as flows end.
    """
    def __iter__(self, /) -> FlowIterator: ...
    def __next__(self, /) -> FlowBatch: ...
    def progress(self, /) -> tuple[int, int]:
        """
        Packets and (decompressed) bytes read so far, those included that the filter did not keep.
        """

@final
class FlowStream:
    """
    The flows of one or more captures; made by `netfast.flows`.

    Threads: iterators are independent of each other, and each may be used from any thread. `fork`: open captures
    after it. `pickle`: refused; pickle the arguments instead.
    """
    def __arrow_c_schema__(self, /) -> CapsuleType: ...
    def __arrow_c_stream__(self, /, requested_schema: Any | None = None) -> CapsuleType:
        """
        Arrow PyCapsule interface; a requested schema is not negotiated.
        """
    def __iter__(self, /) -> FlowIterator: ...
    def __new__(
        cls,
        /,
        paths: SupportsGetItem[int, str | PathLike[str]],
        *,
        filter: str | None = None,
        idle: SupportsFloat | SupportsIndex = 120.0,
        active: SupportsFloat | SupportsIndex = 1800.0,
        max_flows: "int" = 1048576,
        inner: bool = False,
        stats: bool = False,
        first_packets: "int" = 20,
        text_addresses: bool = False,
        threads: "int" = 1,
        seed: SupportsIndex | None = None,
        mmap: bool = False,
        lenient: bool = False,
        write: SupportsIndex | str | PathLike[str] | None = None,
        reassemble: dict[str, Any] | None = None,
    ) -> FlowStream: ...
    def __repr__(self, /) -> str: ...
    def _repr_html_(self, /) -> str | None:
        """
        The first flows that end, as a table; a stream that can be read only once is not touched.
        """
    @property
    def copied(self, /) -> tuple[int, int, int]:
        """
        Packets that the latest run has written to `write`, how many of them were cut to what other programs read, and of
        how many the options (comments and the like) were lost because pcap has none.
        """
    @property
    def counters(self, /) -> dict[str, Any]:
        """
        Where the packets of the latest run went; complete when the run is.
        """
    @property
    def damage(self, /) -> list[dict[str, Any]]:
        """
        What is damaged of each capture, as far as it was read: `path`, `count` of places, bytes `skipped`, and
        `places` (the first thousand), each with `frame`, `offset`, `skipped` and `what`.
        """
    @property
    def error(self, /) -> BaseException | None:
        """
        The exception that ended the latest run early, or `None`.
        """
    @property
    def reassembly(self, /) -> dict[str, Any]:
        """
        Counters of the latest run's reassembly; zeros without.
        """
    @property
    def unfiltered(self, /) -> dict[int, int]:
        """
        Packets of the latest run that the filter could not be asked about, by link type (LINKTYPE_ numbers).
        """
    def write_text(
        self,
        /,
        target: SupportsIndex | str | PathLike[str],
        form: str | None = None,
        progress: Any | None = None,
    ) -> int:
        """
        Writes all rows as text: `target` is a path or a file descriptor, `form` "csv", "jsonl" or "tsv"; without it the
        path's ending says it.

        `progress` is called with (packets, bytes) read so far, about ten times a second. Returns the rows written.
        """

@final
class FlowTable:
    """
    A table of two-way flows that other programs feed: packets in with their times, flow records out.

    Time is an argument: nanoseconds on any clock, the packets' own or yours. At `max_flows` the flow longest unused of
    a few is evicted, and said so in its record; `seed` makes a run at that limit repeatable. `counters` tells where
    every packet went.

    A packet more than a day from the one before it may be a wild one: it waits, uncounted, for the next packet,
    `advance` or `finish`, which tell.

    Threads: each method is atomic, a lock guards the table. `fork`: the child has its own copy; do not fork while
    another thread is in a method. `pickle`: refused.
    """
    def __len__(self, /) -> int: ...
    def __new__(
        cls,
        /,
        *,
        idle: SupportsFloat | SupportsIndex = 120.0,
        active: SupportsFloat | SupportsIndex = 1800.0,
        max_flows: "int" = 1048576,
        inner: bool = False,
        stats: bool = False,
        first_packets: "int" = 20,
        text_addresses: bool = False,
        seed: SupportsIndex | None = None,
    ) -> FlowTable: ...
    def __repr__(self, /) -> str: ...
    def advance(self, /, now_ns: SupportsIndex) -> None:
        """
        Lets time pass, so that idle flows end although no packet comes.
        """
    @property
    def counters(self, /) -> dict[str, Any]:
        """
        Where every packet went: `packets = in_flows + sum(no_flow)`.
        """
    def ended(self, /) -> FlowBatch:
        """
        The flows that have ended since the last call.
        """
    def finish(self, /) -> FlowBatch:
        """
        Ends all flows and returns them, with those that ended before and were not taken.
        """
    @property
    def memory(self, /) -> int:
        """
        Bytes that the table occupies.
        """
    def push(self, /, packets: Any, *, link: "int | str | None" = None) -> int:
        """
        Takes packets in order: a `PacketBatch` of a `Capture`, or an iterable of `Packet`s that know their time and of
        `(time_ns, packet)` or `(time_ns, packet, wire_len)`, `packet` being bytes, headers or a `Packet`.

        `link` is what bytes begin with, as a LINKTYPE_ number or name; without it they are Ethernet, and headers know it
        themselves.

        Returns how many packets were taken. Nothing is taken when one of them is not of this form.
        """

@final
class Fragment(Header):
    """
    IPv6 fragment header, RFC 8200 section 4.5.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        next_header: "int | None" = None,
        reserved: "int | None" = None,
        fragment_offset: "int | None" = None,
        reserved2: "int | None" = None,
        more_fragments: "bool | int | None" = None,
        identification: "int | None" = None,
        **unknown: Never,
    ) -> Fragment: ...
    @property
    def fragment_offset(self, /) -> int:
        """
        Bytes of the fragmentable part before this one
        """
    @property
    def identification(self, /) -> int:
        """
        Same in all fragments of a packet
        """
    @property
    def more_fragments(self, /) -> bool:
        """
        More fragments follow
        """
    @property
    def next_header(self, /) -> int | None:
        """
        What follows in the first fragment
        """
    @property
    def reserved(self, /) -> int:
        """
        Zero
        """
    @property
    def reserved2(self, /) -> int:
        """
        Zero
        """

@final
class FrameIterator:
    """
    Frames by their numbers, one dictionary each; see `netfast.files.frames`.

    Threads: a lock guards the reader. `fork`: open captures after it. `pickle`: refused.
    """
    def __iter__(self, /) -> FrameIterator: ...
    def __new__(
        cls,
        /,
        paths: SupportsGetItem[int, str | PathLike[str]],
        wanted: SupportsGetItem[int, tuple[SupportsIndex, SupportsIndex]],
        *,
        filter: str | None = None,
        mmap: bool = False,
        lenient: bool = False,
    ) -> FrameIterator: ...
    def __next__(self, /) -> dict[str, Any]: ...
    @property
    def damage(self, /) -> list[dict[str, Any]]:
        """
        What is damaged of each capture, as far as it was read: `path`, `count` of places, bytes `skipped`, and
        `places` (the first thousand), each with `frame`, `offset`, `skipped` and `what`.
        """
    def progress(self, /) -> tuple[int, int]:
        """
        Packets and (decompressed) bytes read so far.
        """

@final
class GRE(Header):
    """
    GRE, RFC 2784 and RFC 2890; version 1 is PPTP's, RFC 2637.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        checksum_present: "bool | int | None" = None,
        routing_present: "bool | int | None" = None,
        key_present: "bool | int | None" = None,
        sequence_present: "bool | int | None" = None,
        strict_source_route: "bool | int | None" = None,
        recursion: "int | None" = None,
        acknowledgment_present: "bool | int | None" = None,
        reserved0: "int | None" = None,
        version: "int | None" = None,
        protocol: "int | None" = None,
        checksum: "int | None" = None,
        reserved1: "int | None" = None,
        key: "int | None" = None,
        payload_length: "int | None" = None,
        call_id: "int | None" = None,
        sequence: "int | None" = None,
        acknowledgment: "int | None" = None,
        **unknown: Never,
    ) -> GRE: ...
    @property
    def acknowledgment(self, /) -> int | None:
        """
        Acknowledgment number
        """
    @property
    def acknowledgment_present(self, /) -> bool:
        """
        Version 1: the acknowledgment follows
        """
    @property
    def call_id(self, /) -> int | None:
        """
        Version 1: the peer's call identifier, the lower half of the key
        """
    @property
    def checksum(self, /) -> int | None:
        """
        Internet checksum of header and payload
        """
    @property
    def checksum_present(self, /) -> bool:
        """
        The checksum follows
        """
    @property
    def key(self, /) -> int | None:
        """
        Key; version 1: payload length and call identifier
        """
    @property
    def key_present(self, /) -> bool:
        """
        The key follows
        """
    @property
    def payload_length(self, /) -> int | None:
        """
        Version 1: bytes behind this header, the upper half of the key
        """
    @property
    def protocol(self, /) -> int | None:
        """
        What follows
        """
    @property
    def recursion(self, /) -> int:
        """
        Zero since RFC 2784
        """
    @property
    def reserved0(self, /) -> int:
        """
        Zero
        """
    @property
    def reserved1(self, /) -> int | None:
        """
        Zero; the offset of RFC 1701
        """
    @property
    def routing_present(self, /) -> bool:
        """
        Zero since RFC 2784
        """
    @property
    def sequence(self, /) -> int | None:
        """
        Sequence number
        """
    @property
    def sequence_present(self, /) -> bool:
        """
        The sequence number follows
        """
    @property
    def strict_source_route(self, /) -> bool:
        """
        Zero since RFC 2784
        """
    @property
    def version(self, /) -> int:
        """
        0, or 1 for PPTP
        """

@final
class Geneve(Header):
    """
    Geneve, RFC 8926 section 3.4.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        version: "int | None" = None,
        opt_len: "int | None" = None,
        control: "bool | int | None" = None,
        critical: "bool | int | None" = None,
        reserved: "int | None" = None,
        protocol: "int | None" = None,
        vni: "int | None" = None,
        reserved2: "int | None" = None,
        options: "object" = None,
        **unknown: Never,
    ) -> Geneve: ...
    @property
    def control(self, /) -> bool:
        """
        A control packet
        """
    @property
    def critical(self, /) -> bool:
        """
        There are critical options
        """
    @property
    def opt_len(self, /) -> int | None:
        """
        Words of options
        """
    @property
    def options(self, /) -> Any:
        """
        Options; `forms()` tells what each takes
        """
    @property
    def protocol(self, /) -> int | None:
        """
        What follows
        """
    @property
    def reserved(self, /) -> int:
        """
        Zero
        """
    @property
    def reserved2(self, /) -> int:
        """
        Zero
        """
    @property
    def version(self, /) -> int:
        """
        Version
        """
    @property
    def vni(self, /) -> int:
        """
        Network identifier
        """

@disjoint_base
class Header:
    """
    What all headers have: the base of `IPv6`, `UDP` and the others, not to be built itself.

    A header is a value: its fields are read as attributes and changed by `replace(field=value)`, which gives another
    header. `header / header` and `header / bytes` stack; `bytes()` of a stack fills in lengths, the numbers that say what
    follows, and checksums. A field that is left to that reads as `None`; a field that was given is written as it is, even
    if it is wrong. Headers are equal when their bytes and their given fields are; `repr` evaluates back.

    Addresses are text; `str`, `bytes`, `int` and `ipaddress` objects are taken. Options are lists of `(name, value)`
    pairs or a dictionary; a name alone is enough for those without data, and a number stands for kinds without a name.
    `TCP.forms()` tells the names and what each takes. Raw `bytes` are taken as they are.

    Threads: immutable, so free to share. `pickle` and `copy` work.
    """
    def __bytes__(self, /) -> bytes: ...
    def __eq__(self, other: object, /) -> Any: ...
    def __ge__(self, other: object, /) -> Any: ...
    def __gt__(self, other: object, /) -> Any: ...
    def __hash__(self, /) -> int: ...
    def __le__(self, other: object, /) -> Any: ...
    def __len__(self, /) -> int: ...
    def __lt__(self, other: object, /) -> Any: ...
    def __ne__(self, other: object, /) -> Any: ...
    def __reduce__(self, /) -> Any: ...
    def __repr__(self, /) -> str: ...
    def __rtruediv__(self, value: object, /) -> HeaderStack: ...
    def __truediv__(self, other: object, /) -> HeaderStack: ...
    @classmethod
    def _restore(cls, /, data: bytes, auto: SupportsIndex) -> Self:
        """
        Rebuilds a pickled header.
        """
    @classmethod
    def forms(cls, /) -> dict[str, Any]:
        """
        What the options, chunks, tags, records or TLVs of this class are: for each field that lists such, their names with
        what each takes, in words.
        """
    @classmethod
    def parse(cls, /, data: Any) -> Self:
        """
        The header at the front of `data`; every field is what the bytes say. What is behind the header is left out:
        `len()` of it tells where that begins, and `netfast.dissect` takes a whole packet apart.

        Raises `ParseError` when they end before the header does.
        """
    def raw(self, /) -> bytes:
        """
        The header's own bytes, with zero in fields that are left to emission behind other headers.
        """
    def recompute(self, /) -> Self:
        """
        The header with its lengths and checksums, and what else emission can fill in, left to emission.
        """
    def replace(self, /, **fields: object) -> Self:
        """
        The header with other values in these fields; `None` leaves a field to emission again, or takes an optional one
        away.
        """
    def text(self, /, field: str) -> str:
        """
        A field's value for a reader, with what is known of it: `TCP(flags="SA").text("flags")` is `18 (SYN, ACK)`.
        """
    def to_dict(self, /) -> dict[str, Any]:
        """
        The fields by name, in wire order, as far as the header has them.
        """

@final
class HeaderStack:
    """
    Headers on each other, outermost first, and a payload: what `header / header / b"payload"` makes.

    `bytes(stack)` emits the packet. Fields that were not given are filled in: lengths, next headers and EtherTypes,
    counts, checksums with their pseudo-headers; options are padded. What was given is kept, right or wrong.
    `LocalProtocolError` says what cannot be expressed.

    `trailer` is what stands behind the packet by its own lengths: the padding of a short Ethernet frame, say. Lengths and
    checksums do not count it; `with_trailer(b"")` drops it. `cut` says that the capture has only the first bytes of the
    packet, which `recompute()` has regard for.

    `stack[IPv6]` is the first header of a class, `stack[0]` the outermost one, `stack[1:]` the stack without that;
    iteration gives the headers. `len()` is that of the emitted bytes; `len(stack.headers)` counts headers.

    Threads: immutable, so free to share. `pickle` and `copy` work.
    """
    def __bytes__(self, /) -> bytes: ...
    def __contains__(self, header: Any, /) -> bool: ...
    def __eq__(self, other: object, /) -> Any: ...
    def __ge__(self, other: object, /) -> Any: ...
    @overload
    def __getitem__(self, key: type[_Header], /) -> _Header: ...
    @overload
    def __getitem__(self, key: SupportsIndex, /) -> Header: ...
    @overload
    def __getitem__(self, key: slice, /) -> HeaderStack: ...
    def __gt__(self, other: object, /) -> Any: ...
    def __hash__(self, /) -> int: ...
    def __iter__(self, /) -> Iterator[Header]: ...
    def __le__(self, other: object, /) -> Any: ...
    def __len__(self, /) -> int:
        """
        Bytes of the emitted packet.
        """
    def __lt__(self, other: object, /) -> Any: ...
    def __ne__(self, other: object, /) -> Any: ...
    def __new__(
        cls, /, *parts: object, trailer: "bytes | list[tuple[int, bytes]] | None" = None, cut: bool = False
    ) -> HeaderStack:
        """
        A stack of these headers, stacks and bytes, in this order.

        `trailer` is bytes, or a list of `(uncounted, bytes)` for those of packets in tunnels, the innermost first, each
        with the index of the first header whose lengths do not count them.
        """
    def __reduce__(self, /) -> Any: ...
    def __repr__(self, /) -> str: ...
    def __rtruediv__(self, value: object, /) -> HeaderStack: ...
    def __truediv__(self, other: object, /) -> HeaderStack: ...
    def _repr_html_(self, /) -> str | None:
        """
        The emitted packet as a table for notebooks; nothing when it cannot be emitted or has no link type.
        """
    @staticmethod
    def _restore(headers: tuple[Header, ...], payload: Any, trailer: Any, cut: bool) -> HeaderStack:
        """
        Rebuilds a pickled stack.
        """
    @property
    def cut(self, /) -> bool:
        """
        The capture has only the first bytes of the packet.
        """
    @staticmethod
    def from_scapy(packet: Any) -> HeaderStack:
        """
        The headers of a scapy packet, which scapy builds. Needs scapy.
        """
    @property
    def headers(self, /) -> tuple[Header, ...]:
        """
        The headers, outermost first.
        """
    @property
    def link_type(self, /) -> int | None:
        """
        The link type of a capture whose packets begin with the outermost header; `None` when there is none.
        """
    @property
    def payload(self, /) -> bytes:
        """
        The bytes behind the last header.
        """
    def recompute(self, /) -> HeaderStack:
        """
        The stack with lengths, checksums and what says which header follows left to emission again: for a captured
        packet that was changed. Numbers that netfast could not derive are kept.

        What depends on bytes that are not there is kept, too. Behind a header that says that the packet is a fragment,
        lengths and checksums are those of the whole datagram; in a packet that the capture cut (`cut`), they are those of
        the whole packet. The checksum of an IPv4 header is always done again.
        """
    def replace(self, header: Any, /, **fields: object) -> HeaderStack:
        """
        The stack with other values in the fields of the first header of this class, or of the header of this index.
        """
    def to_scapy(self, /) -> Any:
        """
        The emitted packet as a scapy packet. Needs scapy.
        """
    @property
    def trailer(self, /) -> bytes:
        """
        What stands behind the packet by its own lengths.
        """
    def with_payload(self, /, payload: Any) -> HeaderStack:
        """
        The stack with this payload, all of it: without a trailer, and no longer cut.
        """
    def with_trailer(self, /, trailer: Any) -> HeaderStack:
        """
        The stack with these bytes behind the packet, which no length counts; `b""` for none.
        """

@final
class HopByHop(Header):
    """
    IPv6 hop-by-hop options, RFC 8200 section 4.3.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        next_header: "int | None" = None,
        hdr_ext_len: "int | None" = None,
        options: "object" = None,
        **unknown: Never,
    ) -> HopByHop: ...
    @property
    def hdr_ext_len(self, /) -> int | None:
        """
        Length in units of eight bytes, less one
        """
    @property
    def next_header(self, /) -> int | None:
        """
        What follows
        """
    @property
    def options(self, /) -> Any:
        """
        Options, padded to eight bytes; `forms()` tells what each takes
        """

@final
class ICMPv4(Header):
    """
    ICMP, RFC 792, with RFC 950, RFC 1191, RFC 4884 and RFC 8335.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        type: "int | None" = None,
        code: "int | None" = None,
        checksum: "int | None" = None,
        identifier: "int | None" = None,
        sequence: "int | None" = None,
        unused: "int | None" = None,
        length: "int | None" = None,
        mtu: "int | None" = None,
        gateway: "object" = None,
        pointer: "int | None" = None,
        unused2: "int | None" = None,
        extended_sequence: "int | None" = None,
        extended_flags: "int | None" = None,
        rest: "int | None" = None,
        originate: "int | None" = None,
        receive: "int | None" = None,
        transmit: "int | None" = None,
        mask: "object" = None,
        **unknown: Never,
    ) -> ICMPv4: ...
    @property
    def checksum(self, /) -> int | None:
        """
        Internet checksum
        """
    @property
    def code(self, /) -> int:
        """
        Code
        """
    @property
    def extended_flags(self, /) -> int | None:
        """
        Local bit, state
        """
    @property
    def extended_sequence(self, /) -> int | None:
        """
        Sequence number
        """
    @property
    def gateway(self, /) -> str | None:
        """
        Better router
        """
    @property
    def identifier(self, /) -> int | None:
        """
        Identifier
        """
    @property
    def length(self, /) -> int | None:
        """
        Words of the quoted packet, RFC 4884
        """
    @property
    def mask(self, /) -> str | None:
        """
        Address mask
        """
    @property
    def mtu(self, /) -> int | None:
        """
        Next-hop MTU, RFC 1191
        """
    @property
    def originate(self, /) -> int | None:
        """
        Sent, ms since midnight UT
        """
    @property
    def pointer(self, /) -> int | None:
        """
        Byte that is the problem
        """
    @property
    def receive(self, /) -> int | None:
        """
        Received, ms since midnight UT
        """
    @property
    def rest(self, /) -> int | None:
        """
        Rest of header
        """
    @property
    def sequence(self, /) -> int | None:
        """
        Sequence number
        """
    @property
    def transmit(self, /) -> int | None:
        """
        Returned, ms since midnight UT
        """
    @property
    def type(self, /) -> int:
        """
        Message
        """
    @property
    def unused(self, /) -> int | None:
        """
        Zero
        """
    @property
    def unused2(self, /) -> int | None:
        """
        Zero
        """

@final
class ICMPv6(Header):
    """
    ICMPv6, RFC 4443; neighbour discovery, RFC 4861; listeners, RFC 2710 and RFC 9777.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        type: "int | None" = None,
        code: "int | None" = None,
        checksum: "int | None" = None,
        identifier: "int | None" = None,
        sequence: "int | None" = None,
        mtu: "int | None" = None,
        pointer: "int | None" = None,
        cur_hop_limit: "int | None" = None,
        managed: "bool | int | None" = None,
        other: "bool | int | None" = None,
        home_agent: "bool | int | None" = None,
        preference: "int | None" = None,
        proxy: "bool | int | None" = None,
        reserved_bits: "int | None" = None,
        router_lifetime: "int | None" = None,
        reachable_time: "int | None" = None,
        retrans_timer: "int | None" = None,
        router: "bool | int | None" = None,
        solicited: "bool | int | None" = None,
        override_flag: "bool | int | None" = None,
        reserved_na: "int | None" = None,
        max_response_delay: "int | None" = None,
        reserved_mld: "int | None" = None,
        reserved_report: "int | None" = None,
        record_count: "int | None" = None,
        rest: "int | None" = None,
        group: "object" = None,
        target: "object" = None,
        destination: "object" = None,
        reserved_query: "int | None" = None,
        suppress: "bool | int | None" = None,
        robustness: "int | None" = None,
        query_interval: "int | None" = None,
        source_count: "int | None" = None,
        sources: "object" = None,
        options: "object" = None,
        records: "object" = None,
        **unknown: Never,
    ) -> ICMPv6: ...
    @property
    def checksum(self, /) -> int | None:
        """
        Internet checksum with pseudo-header
        """
    @property
    def code(self, /) -> int:
        """
        Code
        """
    @property
    def cur_hop_limit(self, /) -> int | None:
        """
        Hop limit to use
        """
    @property
    def destination(self, /) -> str | None:
        """
        Redirected destination
        """
    @property
    def group(self, /) -> str | None:
        """
        Multicast group; :: is all
        """
    @property
    def home_agent(self, /) -> bool | None:
        """
        A home agent
        """
    @property
    def identifier(self, /) -> int | None:
        """
        Identifier
        """
    @property
    def managed(self, /) -> bool | None:
        """
        Addresses by DHCPv6
        """
    @property
    def max_response_delay(self, /) -> int | None:
        """
        Milliseconds, or maximum response code
        """
    @property
    def mtu(self, /) -> int | None:
        """
        MTU of the next hop
        """
    @property
    def options(self, /) -> Any | None:
        """
        Options; `forms()` tells what each takes
        """
    @property
    def other(self, /) -> bool | None:
        """
        Other data by DHCPv6
        """
    @property
    def override_flag(self, /) -> bool | None:
        """
        Replace the cached address
        """
    @property
    def pointer(self, /) -> int | None:
        """
        Byte that is the problem
        """
    @property
    def preference(self, /) -> int | None:
        """
        Preference, RFC 4191
        """
    @property
    def proxy(self, /) -> bool | None:
        """
        Proxied, RFC 4389
        """
    @property
    def query_interval(self, /) -> int | None:
        """
        Querier's query interval code
        """
    @property
    def reachable_time(self, /) -> int | None:
        """
        Milliseconds a neighbour counts as reachable
        """
    @property
    def record_count(self, /) -> int | None:
        """
        Group records
        """
    @property
    def records(self, /) -> Any | None:
        """
        Group records; `forms()` tells what each takes
        """
    @property
    def reserved_bits(self, /) -> int | None:
        """
        Zero
        """
    @property
    def reserved_mld(self, /) -> int | None:
        """
        Zero
        """
    @property
    def reserved_na(self, /) -> int | None:
        """
        Zero
        """
    @property
    def reserved_query(self, /) -> int | None:
        """
        Zero
        """
    @property
    def reserved_report(self, /) -> int | None:
        """
        Zero
        """
    @property
    def rest(self, /) -> int | None:
        """
        Rest of header
        """
    @property
    def retrans_timer(self, /) -> int | None:
        """
        Milliseconds between solicitations
        """
    @property
    def robustness(self, /) -> int | None:
        """
        Querier's robustness variable
        """
    @property
    def router(self, /) -> bool | None:
        """
        From a router
        """
    @property
    def router_lifetime(self, /) -> int | None:
        """
        Seconds as default router
        """
    @property
    def sequence(self, /) -> int | None:
        """
        Sequence number
        """
    @property
    def solicited(self, /) -> bool | None:
        """
        An answer
        """
    @property
    def source_count(self, /) -> int | None:
        """
        Sources
        """
    @property
    def sources(self, /) -> Any | None:
        """
        Sources
        """
    @property
    def suppress(self, /) -> bool | None:
        """
        Routers keep their timers
        """
    @property
    def target(self, /) -> str | None:
        """
        Target address
        """
    @property
    def type(self, /) -> int:
        """
        Message
        """

@final
class IGMP(Header):
    """
    IGMP, RFC 2236 and RFC 9776.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        type: "int | None" = None,
        max_response_time: "int | None" = None,
        checksum: "int | None" = None,
        group: "object" = None,
        reserved: "int | None" = None,
        record_count: "int | None" = None,
        reserved_query: "int | None" = None,
        suppress: "bool | int | None" = None,
        robustness: "int | None" = None,
        query_interval: "int | None" = None,
        source_count: "int | None" = None,
        sources: "object" = None,
        records: "object" = None,
        **unknown: Never,
    ) -> IGMP: ...
    @property
    def checksum(self, /) -> int | None:
        """
        Internet checksum
        """
    @property
    def group(self, /) -> str | None:
        """
        Multicast group; 0.0.0.0 is all
        """
    @property
    def max_response_time(self, /) -> int:
        """
        Tenths of seconds, or maximum response code
        """
    @property
    def query_interval(self, /) -> int | None:
        """
        Querier's query interval code
        """
    @property
    def record_count(self, /) -> int | None:
        """
        Group records
        """
    @property
    def records(self, /) -> Any | None:
        """
        Group records; `forms()` tells what each takes
        """
    @property
    def reserved(self, /) -> int | None:
        """
        Zero
        """
    @property
    def reserved_query(self, /) -> int | None:
        """
        Zero
        """
    @property
    def robustness(self, /) -> int | None:
        """
        Querier's robustness variable
        """
    @property
    def source_count(self, /) -> int | None:
        """
        Sources
        """
    @property
    def sources(self, /) -> Any | None:
        """
        Sources
        """
    @property
    def suppress(self, /) -> bool | None:
        """
        Routers keep their timers
        """
    @property
    def type(self, /) -> int:
        """
        Message
        """

@final
class IPv4(Header):
    """
    IPv4, RFC 791 section 3.1, with DSCP (RFC 2474) and ECN (RFC 3168).

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        version: "int | None" = None,
        ihl: "int | None" = None,
        tos: "int | None" = None,
        dscp: "int | None" = None,
        ecn: "int | None" = None,
        total_length: "int | None" = None,
        identification: "int | None" = None,
        reserved_flag: "bool | int | None" = None,
        dont_fragment: "bool | int | None" = None,
        more_fragments: "bool | int | None" = None,
        fragment_offset: "int | None" = None,
        ttl: "int | None" = None,
        hop_limit: "int | None" = None,
        protocol: "int | None" = None,
        header_checksum: "int | None" = None,
        src: "object" = None,
        dst: "object" = None,
        options: "object" = None,
        **unknown: Never,
    ) -> IPv4: ...
    @property
    def dont_fragment(self, /) -> bool:
        """
        Routers must not fragment
        """
    @property
    def dscp(self, /) -> int:
        """
        Differentiated services code point
        """
    @property
    def dst(self, /) -> str:
        """
        Destination address
        """
    @property
    def ecn(self, /) -> int:
        """
        Explicit congestion notification
        """
    @property
    def fragment_offset(self, /) -> int:
        """
        Bytes of the datagram before this fragment
        """
    @property
    def header_checksum(self, /) -> int | None:
        """
        Internet checksum of the header
        """
    @property
    def hop_limit(self, /) -> int:
        """
        Time to live, by IPv6's name
        """
    @property
    def identification(self, /) -> int:
        """
        Same in all fragments of a datagram
        """
    @property
    def ihl(self, /) -> int | None:
        """
        Header length in 32-bit words
        """
    @property
    def more_fragments(self, /) -> bool:
        """
        More fragments follow
        """
    @property
    def options(self, /) -> Any:
        """
        Options, padded to 32 bits; `forms()` tells what each takes
        """
    @property
    def protocol(self, /) -> int | None:
        """
        What follows
        """
    @property
    def reserved_flag(self, /) -> bool:
        """
        Must be zero
        """
    @property
    def src(self, /) -> str:
        """
        Source address
        """
    @property
    def tos(self, /) -> int:
        """
        DSCP and ECN as one byte
        """
    @property
    def total_length(self, /) -> int | None:
        """
        Bytes of header and payload
        """
    @property
    def ttl(self, /) -> int:
        """
        Time to live
        """
    @property
    def version(self, /) -> int:
        """
        IP version
        """

@final
class IPv6(Header):
    """
    IPv6, RFC 8200 section 3.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        version: "int | None" = None,
        traffic_class: "int | None" = None,
        dscp: "int | None" = None,
        ecn: "int | None" = None,
        flow_label: "int | None" = None,
        payload_length: "int | None" = None,
        next_header: "int | None" = None,
        hop_limit: "int | None" = None,
        src: "object" = None,
        dst: "object" = None,
        **unknown: Never,
    ) -> IPv6: ...
    @property
    def dscp(self, /) -> int:
        """
        Differentiated services code point
        """
    @property
    def dst(self, /) -> str:
        """
        Destination address
        """
    @property
    def ecn(self, /) -> int:
        """
        Explicit congestion notification
        """
    @property
    def flow_label(self, /) -> int:
        """
        Flow label, RFC 6437
        """
    @property
    def hop_limit(self, /) -> int:
        """
        Hops left
        """
    @property
    def next_header(self, /) -> int | None:
        """
        What follows
        """
    @property
    def payload_length(self, /) -> int | None:
        """
        Bytes behind this header; 0 in a jumbogram
        """
    @property
    def src(self, /) -> str:
        """
        Source address
        """
    @property
    def traffic_class(self, /) -> int:
        """
        DSCP and ECN as one byte
        """
    @property
    def version(self, /) -> int:
        """
        IP version
        """

@final
class LLC(Header):
    """
    IEEE 802.2 logical link control.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        dsap: "int | None" = None,
        ssap: "int | None" = None,
        control: "int | None" = None,
        control_extended: "int | None" = None,
        **unknown: Never,
    ) -> LLC: ...
    @property
    def control(self, /) -> int:
        """
        Control; 3 is unnumbered information
        """
    @property
    def control_extended(self, /) -> int | None:
        """
        Second control byte of numbered frames
        """
    @property
    def dsap(self, /) -> int:
        """
        Destination service access point
        """
    @property
    def ssap(self, /) -> int:
        """
        Source service access point
        """

@final
class LinuxSLL(Header):
    """
    Linux cooked capture, version 1 (LINKTYPE_LINUX_SLL).

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        packet_type: "int | None" = None,
        arphrd_type: "int | None" = None,
        address_len: "int | None" = None,
        address: "bytes | bytearray | memoryview | None" = None,
        protocol: "int | None" = None,
        **unknown: Never,
    ) -> LinuxSLL: ...
    @property
    def address(self, /) -> bytes:
        """
        Source address, padded to eight bytes
        """
    @property
    def address_len(self, /) -> int:
        """
        Bytes of the address
        """
    @property
    def arphrd_type(self, /) -> int:
        """
        Kind of device
        """
    @property
    def packet_type(self, /) -> int:
        """
        To us, broadcast, multicast, to another, from us
        """
    @property
    def protocol(self, /) -> int | None:
        """
        What follows
        """

@final
class LinuxSLL2(Header):
    """
    Linux cooked capture, version 2 (LINKTYPE_LINUX_SLL2).

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        protocol: "int | None" = None,
        reserved: "int | None" = None,
        interface_index: "int | None" = None,
        arphrd_type: "int | None" = None,
        packet_type: "int | None" = None,
        address_len: "int | None" = None,
        address: "bytes | bytearray | memoryview | None" = None,
        **unknown: Never,
    ) -> LinuxSLL2: ...
    @property
    def address(self, /) -> bytes:
        """
        Source address, padded to eight bytes
        """
    @property
    def address_len(self, /) -> int:
        """
        Bytes of the address
        """
    @property
    def arphrd_type(self, /) -> int:
        """
        Kind of device
        """
    @property
    def interface_index(self, /) -> int:
        """
        Index of the interface
        """
    @property
    def packet_type(self, /) -> int:
        """
        To us, broadcast, multicast, to another, from us
        """
    @property
    def protocol(self, /) -> int | None:
        """
        What follows
        """
    @property
    def reserved(self, /) -> int:
        """
        Zero
        """

@final
class MPLS(Header):
    """
    One MPLS label stack entry, RFC 3032 section 2.1 and RFC 5462.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        label: "int | None" = None,
        traffic_class: "int | None" = None,
        bottom_of_stack: "int | None" = None,
        ttl: "int | None" = None,
        **unknown: Never,
    ) -> MPLS: ...
    @property
    def bottom_of_stack(self, /) -> int | None:
        """
        1 in the last label
        """
    @property
    def label(self, /) -> int:
        """
        Label
        """
    @property
    def traffic_class(self, /) -> int:
        """
        Traffic class
        """
    @property
    def ttl(self, /) -> int:
        """
        Time to live
        """

@final
class Mobility(Header):
    """
    Mobility header, RFC 6275 section 6.1.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        payload_proto: "int | None" = None,
        header_len: "int | None" = None,
        type: "int | None" = None,
        reserved: "int | None" = None,
        checksum: "int | None" = None,
        data: "bytes | bytearray | memoryview | None" = None,
        options: "object" = None,
        **unknown: Never,
    ) -> Mobility: ...
    @property
    def checksum(self, /) -> int | None:
        """
        Internet checksum with pseudo-header
        """
    @property
    def data(self, /) -> bytes | None:
        """
        Message data before the options
        """
    @property
    def header_len(self, /) -> int | None:
        """
        Length in units of eight bytes, less one
        """
    @property
    def options(self, /) -> Any | None:
        """
        Options, padded to eight bytes; `forms()` tells what each takes
        """
    @property
    def payload_proto(self, /) -> int | None:
        """
        59: nothing follows
        """
    @property
    def reserved(self, /) -> int:
        """
        Zero
        """
    @property
    def type(self, /) -> int:
        """
        Message
        """

@final
class NativeTransmitter:
    """
    Sends over a socket: `netfast.Transmitter` uses it, nobody else should.

    Threads: each method is atomic. `fork`: refused in the child, where closing it does nothing. `pickle`: refused.
    """
    def __new__(
        cls,
        /,
        socket: SupportsIndex,
        *,
        rung: str | None = None,
        zero_copy_from: SupportsIndex | None = None,
        adaptive: bool = True,
        max_messages: SupportsIndex = 1024,
        max_bytes: SupportsIndex = 67108864,
        close_timeout_ns: SupportsIndex = 1000000000,
        registered: SupportsIndex = 0,
        registered_size: SupportsIndex = 65536,
    ) -> NativeTransmitter:
        """
        Takes a copy of the descriptor `socket`.
        """
    def bench(
        self,
        /,
        size: SupportsIndex,
        segment: SupportsIndex,
        batch: SupportsIndex,
        seconds: SupportsFloat | SupportsIndex,
    ) -> tuple[int, int]:
        """
        Sends messages of `size` bytes again and again for `seconds`, up to `batch` before each drive, and gives how many,
        and how many datagrams these are. With `registered` memory the payload stands there, else in one buffer after the
        other of 64.
        """
    def cancel(self, /, ticket: SupportsIndex) -> str:
        """
        Takes a message back: `"now"`, `"asked"` or `"too late"`.
        """
    @property
    def change_count(self, /) -> int:
        """
        How many there are.
        """
    @property
    def changes(self, /) -> list[tuple[str, str, str]]:
        """
        Changes of the rung: from, to, why.
        """
    def close(self, /) -> tuple[dict[str, Any], list[tuple[int, bool, bool, int, int, int, int, int]]] | None:
        """
        Ends it; gives what it did in all and what ended. Afterwards it is closed.
        """
    def drive(self, /, collect: bool) -> list[tuple[int, bool, bool, int, int, int, int, int]]:
        """
        Sends what can be sent and looks for notifications; gives what ended when `collect`, else forgets it.
        """
    def fileno(self, /) -> int:
        """
        What is readable when `drive` has something to do.
        """
    @property
    def in_flight(self, /) -> int:
        """
        Messages that are not released.
        """
    @property
    def in_flight_bytes(self, /) -> int:
        """
        Their bytes.
        """
    @property
    def is_ours(self, /) -> bool:
        """
        Whether this process opened it, not one that it was forked from.
        """
    @property
    def queued(self, /) -> int:
        """
        Messages that the system has not taken to their end.
        """
    @property
    def rung(self, /) -> str:
        """
        The rung that long messages take.
        """
    @staticmethod
    def rungs(socket: SupportsIndex) -> list[tuple[str, str | None]]:
        """
        Each rung for a socket, and why it does not work.
        """
    @property
    def statistics(self, /) -> dict[str, Any]:
        """
        What it did, by name.
        """
    def submit(
        self, /, data: Any, to: tuple[Any, ...] | None = None, segment: SupportsIndex = 0
    ) -> int | None:
        """
        Takes a message; `None` when a limit is reached. `data` is one buffer, or a list or tuple of them.
        """

@final
class NewFlow:
    """
    A flow that begins, as a hook is asked about it.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused.
    """
    def __repr__(self, /) -> str: ...
    @property
    def dst(self, /) -> str:
        """
        Destination address of its first packet.
        """
    @property
    def dst_port(self, /) -> int | None:
        """
        Destination port; `None` for protocols without.
        """
    @property
    def index(self, /) -> int:
        """
        Which packet of the batch begins it, from 0.
        """
    @property
    def port(self, /) -> str:
        """
        The port that its first packet came in at.
        """
    @property
    def protocol(self, /) -> int:
        """
        Number of its protocol.
        """
    @property
    def src(self, /) -> str:
        """
        Source address of its first packet.
        """
    @property
    def src_port(self, /) -> int | None:
        """
        Source port; `None` for protocols without.
        """

@final
class Node:
    """
    A node; used through `netfast.Stack`, which documents everything.

    Threads: each method is atomic. `fork`: the child has its own copy. `pickle`: refused.
    """
    def __new__(cls, /, name: str, settings: dict[str, Any], timeouts: dict[str, Any]) -> Node: ...
    def add_address(self, /, port: str, address: str) -> None: ...
    def add_neighbour(self, /, port: str, ip: str, mac: str, now: Any | None = None) -> PushResult: ...
    def add_policy(
        self,
        /,
        priority: SupportsIndex,
        *,
        table: str | None = None,
        kind: str | None = None,
        source: str | None = None,
        destination: str | None = None,
        port: str | None = None,
        mark: SupportsIndex | None = None,
        mask: SupportsIndex = 4294967295,
        dscp: SupportsIndex | None = None,
        family: SupportsIndex | None = None,
        invert: bool = False,
        suppress_length: SupportsIndex | None = None,
    ) -> None: ...
    def add_port(
        self,
        /,
        name: str,
        *,
        mac: str | None = None,
        addresses: SupportsGetItem[int, str],
        mtu: SupportsIndex | None = None,
        parent: str | None = None,
        vlan: SupportsIndex | None = None,
        rp_filter: str = "off",
        directed_broadcast: bool = False,
        features: Any | None = None,
        gro_flush_timeout: SupportsFloat | SupportsIndex = 0.0,
        resolve: bool | None = None,
        point_to_point: bool = False,
    ) -> None: ...
    def add_route(
        self,
        /,
        prefix: str,
        via: SupportsGetItem[int, tuple[str | None, SupportsIndex, str | None]],
        *,
        port: str | None = None,
        kind: str = "unicast",
        metric: SupportsIndex = 0,
        table: str = "main",
        source: str | None = None,
        on_link: bool = False,
        mtu: SupportsIndex | None = None,
        replace: bool = False,
    ) -> None: ...
    def append_rule(self, /, kind: str, hook: str, rule: str, port: str | None = None) -> None:
        """
        Adds a rule to the table of short forms; `port` is one that must be there.
        """
    def attach(self, /, port: str, device: Device, *, reopen: bool = True, follows_mtu: bool = True) -> None:
        """
        Gives a port that is there a device.
        """
    def close(self, /) -> None:
        """
        Completes the files of all taps.
        """
    def close_ports(self, /) -> None:
        """
        Closes all devices, in order.
        """
    def connections(self, /) -> ConnectionTable: ...
    def counters(self, /) -> dict[str, Any]: ...
    def delete_connection(self, /, id: "int") -> None: ...
    def differences(self, /) -> list[str]:
        """
        Takes the differences that were found since the last call, each with its packet.
        """
    def events(self, /) -> list[dict[str, Any]]: ...
    def features(self, /, port: str) -> Features:
        """
        What is on at a port.
        """
    def findings(self, /) -> list[dict[str, Any]]:
        """
        What is odd in the configuration: dictionaries of `severity`, `file`, `line`, `column` and `what`.
        """
    def flush_connections(self, /) -> int: ...
    def flush_neighbours(self, /, port: str) -> int: ...
    @staticmethod
    def from_toml(file: str, text: str) -> Node:
        """
        The node that a text in TOML describes; `rules_file` is looked for beside the file.
        """
    @property
    def is_serving(self, /) -> bool:
        """
        Whether a server runs.
        """
    def live(self, /) -> dict[str, Any] | None:
        """
        What the loop and its ports did: `None` without devices.
        """
    def load_json(self, /, text: str) -> list[tuple[str, str]]:
        """
        Rules as `nft -j list ruleset` prints them; what is not in the language, and where, is left out and told.
        """
    def load_rules(self, /, text: str, file: str) -> None: ...
    @property
    def name(self, /) -> str: ...
    def neighbours(self, /) -> list[dict[str, Any]]: ...
    def next_timeout(self, /) -> int | None: ...
    def open_port(self, /, port: str) -> None:
        """
        Opens the device that the configuration names for a port.
        """
    def policies(self, /) -> list[dict[str, Any]]: ...
    def poll(self, /, now: Any) -> PushResult: ...
    def ports(self, /) -> list[dict[str, Any]]: ...
    def push(self, /, port: str, packets: Any, now: Any | None = None) -> PushResult: ...
    def remove_address(self, /, port: str, address: str) -> None: ...
    def remove_neighbour(self, /, port: str, ip: str) -> None: ...
    def remove_policy(self, /, priority: SupportsIndex, family: SupportsIndex | None = None) -> int: ...
    def remove_port(self, /, name: str) -> None: ...
    def remove_route(self, /, prefix: str, *, metric: SupportsIndex = 0, table: str = "main") -> None: ...
    def routes(self, /) -> list[dict[str, Any]]: ...
    def rules(self, /) -> list[dict[str, Any]]: ...
    def rules_text(self, /) -> str:
        """
        All rules in the language of nft.
        """
    def run(
        self,
        /,
        inputs: SupportsGetItem[int, tuple[str, str | PathLike[str]]],
        out: str | PathLike[str] | None = None,
        *,
        lenient: bool = False,
        progress: Any | None = None,
    ) -> dict[str, Any]:
        """
        Runs captures, each `(port, path)`; see `netfast.Stack.run`.
        """
    def send(self, /, packet: Any, now: Any | None = None) -> PushResult: ...
    def serve(
        self, /, *, busy_poll: SupportsFloat | SupportsIndex = 0.0, drain: SupportsFloat | SupportsIndex = 1.0
    ) -> Server:
        """
        Begins to serve: one server at a time.
        """
    def set_features(self, /, port: str, features: Any) -> None: ...
    def set_hook(self, /, hook: Any | None = None) -> None:
        """
        A function that is asked about new flows; `None` takes it away.
        """
    @staticmethod
    def settings_of(device: Device) -> dict[str, Any]:
        """
        What a port takes from a device: its link address (a new one where the device has none), MTU, features, and whether it
        is point-to-point.
        """
    def stop(self, /) -> None:
        """
        Lets the server that runs drain and end.
        """
    def tap(self, /, port: str, path: str | PathLike[str] | None = None) -> None:
        """
        Captures what goes through a port into a file; `None` completes it.
        """
    def to_toml(self, /) -> str:
        """
        The node as TOML.
        """
    def trace(self, /, packet: Any, port: str) -> dict[str, Any]: ...
    @property
    def verify(self, /) -> bool: ...
    @verify.setter
    def verify(self, /, verify: bool) -> None: ...
    def wanted_ports(self, /) -> list[str]:
        """
        Devices that the configuration names, by port; they are opened by `open_port`.
        """

@final
class Null(Header):
    """
    BSD loopback: the address family in the byte order of the capturing host.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(cls, /, *, family: "int | None" = None, **unknown: Never) -> Null: ...
    @property
    def family(self, /) -> int | None:
        """
        Address family
        """

@final
class OffloadBatch:
    """
    Packets with what offloads know of them, in order: what a `Collator` and `segment` give, and take most quickly.

    `OffloadBatch(packets)` takes a `PacketBatch` of a capture, what came out of a `Stack` (which is copied, with its
    marks), or an iterable of packets in any of the forms that `netfast.write` takes, all of one link type; other bytes are
    not copied. Indexing and iteration give `OffloadPacket`, a slice a list of them.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle `bytes()` of the packets.
    """
    @overload
    def __getitem__(self, index: SupportsIndex, /) -> OffloadPacket: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[OffloadPacket]: ...
    def __iter__(self, /) -> OffloadBatchIterator: ...
    def __len__(self, /) -> int: ...
    def __new__(cls, /, packets: Any | None = None, *, link: "int | str | None" = None) -> OffloadBatch: ...
    def __repr__(self, /) -> str: ...
    def _repr_html_(self, /) -> str:
        """
        A line for each of the first packets, for notebooks.
        """
    @property
    def link_type(self, /) -> int:
        """
        Number of the link type of all packets.
        """

@final
class OffloadBatchIterator:
    """
    The packets of an `OffloadBatch`, one by one.

    Threads: each packet goes to one of them. `fork`: shared as any memory. `pickle`: refused.
    """
    def __iter__(self, /) -> OffloadBatchIterator: ...
    def __next__(self, /) -> OffloadPacket: ...

@final
class OffloadPacket:
    """
    A packet with what offloads know of it: how it is cut into others (GSO), and the state of its checksums.

    `data` is a packet in any of the forms that `netfast.write` takes. `gso_type` is `"tcp4"`, `"tcp6"` or `"udp"`, the
    innermost protocol of a packet that stands for several, and `gso_size` the payload bytes of each. `checksum` is
    `"unchecked"`, `"good"`, `"bad"`, or `"partial"`: the transport checksum field holds the sum of the pseudo-header
    only, and whoever sends the packet fills it in. `fixed_id` (of a tunnel's inside `inner_fixed_id`) says that all
    IPv4 headers have the same identification; without it they count on. `link` is what bytes begin with, Ethernet
    without it.

    `bytes()` is the packet, `len()` its length, `segments` its pieces where they stand.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle `bytes()` of it.
    """
    def __bytes__(self, /) -> bytes: ...
    def __len__(self, /) -> int: ...
    def __new__(
        cls,
        /,
        data: Any,
        *,
        gso_type: str | None = None,
        gso_size: "int | None" = None,
        checksum: str = "unchecked",
        fixed_id: bool = False,
        inner_fixed_id: bool = False,
        link: "int | str | None" = None,
    ) -> OffloadPacket: ...
    def __repr__(self, /) -> str: ...
    @property
    def checksum(self, /) -> str:
        """
        `"unchecked"`, `"good"`, `"bad"` or `"partial"`.
        """
    @property
    def fixed_id(self, /) -> bool:
        """
        Whether all packets that it stands for have the same IPv4 identification, in the outermost header.
        """
    @property
    def gso_segments(self, /) -> int:
        """
        How many packets it stands for; 1 when it stands for itself, or says of itself what contradicts its headers.
        """
    @property
    def gso_size(self, /) -> int:
        """
        Payload bytes of each packet that it stands for; 0 when it stands for itself.
        """
    @property
    def gso_type(self, /) -> str | None:
        """
        How it is cut: `"tcp4"`, `"tcp6"`, `"udp"`; `None` for a packet that stands for itself.
        """
    @property
    def inner_fixed_id(self, /) -> bool:
        """
        The same of the IPv4 header inside of a tunnel.
        """
    @property
    def link_type(self, /) -> int:
        """
        Number of the link type.
        """
    @property
    def packet(self, /) -> Packet:
        """
        The packet dissected, with its time.
        """
    @property
    def segments(self, /) -> tuple[memoryview, ...]:
        """
        Its pieces in order: read-only memoryviews of the bytes where they stand, as `os.writev` takes them.
        """
    @property
    def time_ns(self, /) -> int:
        """
        When the first of the packets that it stands for was captured, in ns since the epoch; 0 where nobody said.
        """
    @property
    def tunnel(self, /) -> bool:
        """
        Whether what it stands for is in a tunnel.
        """

@final
class OffloadPlan:
    """
    What software does for a packet before a port sends it.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused.
    """
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __repr__(self, /) -> str: ...
    @property
    def checksum(self, /) -> bool:
        """
        Its checksum, or that of each segment, is filled in: `finish_checksums`, or `checksums="full"`.
        """
    @property
    def linearise(self, /) -> bool:
        """
        It, or each segment, is made one piece.
        """
    @property
    def segment(self, /) -> bool:
        """
        It is cut: `segment`.
        """

@final
class OwedError:
    """
    An ICMP or ICMPv6 error that the sender of a fragment is owed: time exceeded, where the first fragment came and others
    did not (RFC 792, RFC 8200 4.5), or parameter problem (RFC 792, RFC 8200 4.5, RFC 7112).

    How many errors are sent is the caller's to limit (RFC 1812 4.3.2.8, RFC 4443 2.4 f).

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle `packet`.
    """
    def __repr__(self, /) -> str: ...
    @property
    def code(self, /) -> int:
        """
        Its code.
        """
    def message(self, /, source: "Any", *, hop_limit: "int" = 64, identification: "int" = 0) -> Packet:
        """
        The message as an IP packet from `source` (an address of the packet's IP version) to the fragment's sender, which
        quotes the fragment.
        """
    @property
    def packet(self, /) -> Packet:
        """
        The fragment that the error is about.
        """
    @property
    def pointer(self, /) -> int | None:
        """
        Of a parameter problem: the octet of the IP packet where it is.
        """
    @property
    def reason(self, /) -> str:
        """
        Why the fragment or its datagram was given up.
        """
    @property
    def type(self, /) -> int:
        """
        Type of the ICMP message: 11 or 12 of ICMP, 3 or 4 of ICMPv6.
        """

@final
class PPP(Header):
    """
    PPP, RFC 1661 section 2, with address and control of RFC 1662 where they are sent.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        address: "int | None" = None,
        control: "int | None" = None,
        protocol: "int | None" = None,
        **unknown: Never,
    ) -> PPP: ...
    @property
    def address(self, /) -> int | None:
        """
        HDLC address, 255; absent when compressed
        """
    @property
    def control(self, /) -> int | None:
        """
        HDLC control, 3; absent when compressed
        """
    @property
    def protocol(self, /) -> int | None:
        """
        What follows
        """

@final
class PPPoE(Header):
    """
    PPP over Ethernet, RFC 2516 section 4; discovery packets with their tags.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        version: "int | None" = None,
        pppoe_type: "int | None" = None,
        code: "int | None" = None,
        session_id: "int | None" = None,
        length: "int | None" = None,
        tags: "object" = None,
        **unknown: Never,
    ) -> PPPoE: ...
    @property
    def code(self, /) -> int:
        """
        0 in a session, else the discovery packet
        """
    @property
    def length(self, /) -> int | None:
        """
        Bytes behind this header
        """
    @property
    def pppoe_type(self, /) -> int:
        """
        Always 1
        """
    @property
    def session_id(self, /) -> int:
        """
        Session
        """
    @property
    def tags(self, /) -> Any:
        """
        Tags of a discovery packet; `forms()` tells what each takes
        """
    @property
    def version(self, /) -> int:
        """
        Always 1
        """

@final
class Packet:
    """
    One packet, dissected.

    The attributes named like the packet columns (`src`, `dst`, `protocol`, `src_port` …) describe the outermost packet
    and are `None` where it has no such value or the capture cut it. `headers` are the headers of all layers, tunnels
    included, and what iteration gives; `packet[IPv6]` is the first of a class, `IPv6 in packet` asks for one. `len()`
    counts bytes. `inner` is the packet that a tunnel carries. `explain()` tells the packet in
    words, `show()` as a tree, `tree()` as data; `wrong` lists what is wrong with it. `to_stack()` gives headers to
    change and emit again.

    A `bytes` object is kept, not copied; anything that may change is copied.

    Packets are equal when bytes, link type and length on the wire are; `time_ns`, `frame` and `interface` do not count.

    Threads: immutable, so free to share. `pickle` and `copy` work, and keep time, frame and interface.
    """
    def __bytes__(self, /) -> bytes: ...
    def __contains__(self, header: Any, /) -> bool: ...
    def __eq__(self, other: object, /) -> Any: ...
    def __ge__(self, other: object, /) -> Any: ...
    @overload
    def __getitem__(self, key: type[_Header], /) -> _Header: ...
    @overload
    def __getitem__(self, key: SupportsIndex, /) -> Header: ...
    def __gt__(self, other: object, /) -> Any: ...
    def __hash__(self, /) -> int: ...
    def __iter__(self, /) -> Iterator[Header]:
        """
        The headers, outermost first.
        """
    def __le__(self, other: object, /) -> Any: ...
    def __len__(self, /) -> int: ...
    def __lt__(self, other: object, /) -> Any: ...
    def __ne__(self, other: object, /) -> Any: ...
    def __reduce__(self, /) -> Any: ...
    def __repr__(self, /) -> str: ...
    def _repr_html_(self, /) -> str: ...
    @staticmethod
    def _restore(
        data: bytes,
        link: SupportsIndex,
        wire_len: SupportsIndex,
        frame: SupportsIndex | None = None,
        time_ns: SupportsIndex | None = None,
        interface: SupportsIndex | None = None,
    ) -> Packet:
        """
        Rebuilds a pickled packet.
        """
    @property
    def caplen(self, /) -> int:
        """
        Captured bytes.
        """
    @property
    def data(self, /) -> memoryview:
        """
        The captured bytes: a read-only memoryview, without a copy. What it views never moves and is not used again
        while it lives. `bytes(packet)` gives bytes of its own.
        """
    @property
    def dst(self, /) -> str | None:
        """
        Destination address.
        """
    @property
    def dst_port(self, /) -> int | None:
        """
        Destination port.
        """
    def explain(self, /) -> str:
        """
        The packet in words: what it is, layer by layer, and what is wrong with it.
        """
    @property
    def five_tuple(self, /) -> tuple[str | None, str | None, int | None, int | None, int | None]:
        """
        The five-tuple: source, destination, protocol, source port, destination port.
        """
    @property
    def flow_label(self, /) -> int | None:
        """
        IPv6 flow label.
        """
    @property
    def fragment_id(self, /) -> int | None:
        """
        Identification that fragments of a datagram share.
        """
    @property
    def fragment_offset(self, /) -> int | None:
        """
        Bytes of the datagram before this fragment.
        """
    @property
    def frame(self, /) -> int | None:
        """
        Number of the packet in its capture, from 1; `None` for one that was not read from a capture.
        """
    @staticmethod
    def from_scapy(packet: Any) -> Any:
        """
        A scapy packet, built by scapy and dissected by netfast. Needs scapy.
        """
    def get(self, /, header: type[_Header]) -> _Header | None:
        """
        The first header of this class, or `None`.
        """
    @property
    def headers(self, /) -> tuple[Header, ...]:
        """
        The headers of all layers, outermost first.
        """
    @property
    def hop_limit(self, /) -> int | None:
        """
        Hop limit or time to live.
        """
    @property
    def inner(self, /) -> Packet | None:
        """
        The packet that a tunnel carries, with the time of this one; `None` when there is none. Its bytes are its own.
        """
    @property
    def interface(self, /) -> int | None:
        """
        Number of the interface in its capture, from 0; `None` for one that was not read from a capture.
        """
    @property
    def ip_version(self, /) -> int | None:
        """
        4 or 6.
        """
    @property
    def l3_checksum(self, /) -> str | None:
        """
        `good` or `bad`; `None` without IPv4 header checksum.
        """
    @property
    def l4_checksum(self, /) -> str | None:
        """
        `good`, `bad`, `absent`, or why it was not verified; `None` for protocols without.
        """
    @property
    def len(self, /) -> int:
        """
        Bytes on the wire.
        """
    @property
    def link_type(self, /) -> int:
        """
        Number of the link type.
        """
    @property
    def more_fragments(self, /) -> bool | None:
        """
        More fragments follow.
        """
    @property
    def payload(self, /) -> Any:
        """
        What the transport header of the outermost packet carries, or what follows the last header when there is none: a
        read-only view of the captured bytes.
        """
    @property
    def payload_len(self, /) -> int | None:
        """
        Bytes that the IP length leaves after the transport header.
        """
    @property
    def protocol(self, /) -> int | None:
        """
        Upper-layer protocol, after the extension headers.
        """
    def show(self, /) -> str:
        """
        The packet as a tree in text: every field with its offset, bytes and value.
        """
    @property
    def src(self, /) -> str | None:
        """
        Source address.
        """
    @property
    def src_port(self, /) -> int | None:
        """
        Source port.
        """
    @property
    def tcp_flags(self, /) -> int | None:
        """
        All twelve TCP flag bits as a number.
        """
    @property
    def time_ns(self, /) -> int | None:
        """
        When it was captured, in ns since the epoch; `None` where nobody said.
        """
    def to_scapy(self, /) -> Any:
        """
        The packet as a scapy packet, with its time and its length on the wire. Needs scapy.
        """
    def to_stack(self, /) -> HeaderStack:
        """
        Headers, payload and trailer to change and emit again: `bytes(packet.to_stack())` is `bytes(packet)`.

        Every field is what the packet says, lengths and checksums too; `HeaderStack.recompute()` leaves those to
        emission.
        """
    @property
    def traffic_class(self, /) -> int | None:
        """
        Traffic class or type of service: DSCP and ECN.
        """
    def tree(self, /) -> list[dict[str, Any]]:
        """
        The packet as data: a list of headers, each `{"header", "offset", "length", "fields", "wrong"}`; fields are
        `{"name", "value", "text", "offset", "bits", "bytes"}` with the bit offset in the frame and the bytes in
        hexadecimal. The headers of a packet that an ICMP error quotes follow those of the error, with `"quoted"` true.
        """
    @property
    def verdict(self, /) -> str:
        """
        `ok`, or why dissection stopped.
        """
    @property
    def vlan(self, /) -> int | None:
        """
        VLAN identifier of the outermost tag.
        """
    @property
    def wrong(self, /) -> list[tuple[str | None, int, str]]:
        """
        What is wrong or remarkable: `(header, offset, what)` in the order of the bytes.
        """

@final
class PacketBatch:
    """
    Up to 256 packets of a capture, in its order: indexing and iteration give `Packet`, a slice a list of them.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle the packets.
    """
    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Packet: ...
    @overload
    def __getitem__(self, index: slice, /) -> list[Packet]: ...
    def __iter__(self, /) -> PacketBatchIterator: ...
    def __len__(self, /) -> int: ...
    def __repr__(self, /) -> str: ...
    def _repr_html_(self, /) -> str:
        """
        A line for each of the first packets, for notebooks.
        """

@final
class PacketBatchIterator:
    """
    The packets of a `PacketBatch`, one by one.

    Threads: each packet goes to one of them. `fork`: shared as any memory. `pickle`: refused.
    """
    def __iter__(self, /) -> PacketBatchIterator: ...
    def __next__(self, /) -> Packet: ...

@final
class PacketColumns:
    """
    Up to some thousand packets as columns, in memory that is used again when nobody refers to it.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused; convert to a DataFrame first.
    """
    def __arrow_c_array__(self, /, requested_schema: Any | None = None) -> tuple[CapsuleType, CapsuleType]:
        """
        Arrow PyCapsule interface; a requested schema is not negotiated.
        """
    def __arrow_c_schema__(self, /) -> CapsuleType: ...
    def __len__(self, /) -> int: ...
    def __repr__(self, /) -> str: ...
    def _heads(self, /) -> list[bytes]:
        """
        The first bytes of each packet that has no ports, of a batch of `_with_heads`.
        """
    def _repr_html_(self, /) -> str: ...
    def rows(self, /) -> list[dict[str, Any]]:
        """
        The rows as dictionaries, addresses as text.
        """
    def text(self, /, form: str) -> str:
        """
        The rows as text: "csv", "jsonl" or "tsv".
        """

@final
class PacketIterator:
    """
    Batches of packets as columns, in constant memory.
    """
    def __iter__(self, /) -> PacketIterator: ...
    def __next__(self, /) -> PacketColumns: ...
    def progress(self, /) -> tuple[int, int]:
        """
        Packets and (decompressed) bytes read so far, those included that the filter did not keep.
        """

@final
class PacketStream:
    """
    The packets of one or more captures as Arrow columns; made by `netfast.packets`.

    Threads: iterators are independent of each other, and each may be used from any thread. `fork`: open captures
    after it. `pickle`: refused; pickle the arguments instead.
    """
    def __arrow_c_schema__(self, /) -> CapsuleType: ...
    def __arrow_c_stream__(self, /, requested_schema: Any | None = None) -> CapsuleType:
        """
        Arrow PyCapsule interface; a requested schema is not negotiated.
        """
    def __iter__(self, /) -> PacketIterator: ...
    def __new__(
        cls,
        /,
        paths: SupportsGetItem[int, str | PathLike[str]],
        *,
        filter: str | None = None,
        inner: bool = False,
        checksums: bool = True,
        text_addresses: bool = False,
        mmap: bool = False,
        lenient: bool = False,
        reassemble: dict[str, Any] | None = None,
    ) -> PacketStream: ...
    def __repr__(self, /) -> str: ...
    def _repr_html_(self, /) -> str | None:
        """
        The first rows as a table; a stream that can be read only once is not touched.
        """
    def _with_heads(self, /) -> PacketIterator:
        """
        Iterates over batches that have `_heads`, for lines that people read.
        """
    @property
    def counters(self, /) -> dict[str, Any]:
        """
        Packets of the latest run: `packets` that were read, `kept` by the filter, `unfiltered` because it could not be
        asked about them; and the (decompressed) `bytes` that were read.
        """
    @property
    def damage(self, /) -> list[dict[str, Any]]:
        """
        What is damaged of each capture, as far as it was read: `path`, `count` of places, bytes `skipped`, and
        `places` (the first thousand), each with `frame`, `offset`, `skipped` and `what`.
        """
    @property
    def error(self, /) -> BaseException | None:
        """
        The exception that ended the latest run early, or `None`.
        """
    @property
    def reassembly(self, /) -> dict[str, Any]:
        """
        Counters of the latest run's reassembly; zeros without.
        """
    @property
    def unfiltered(self, /) -> dict[int, int]:
        """
        Packets of the latest run that the filter could not be asked about, by link type (LINKTYPE_ numbers).
        """
    def write_text(
        self,
        /,
        target: SupportsIndex | str | PathLike[str],
        form: str | None = None,
        progress: Any | None = None,
    ) -> int:
        """
        Writes all rows as text: `target` is a path or a file descriptor, `form` "csv", "jsonl" or "tsv"; without it the
        path's ending says it.

        `progress` is called with (packets, bytes) read so far, about ten times a second. Returns the rows written.
        """

@final
class Patch:
    """
    Two devices that are joined, or one whose packets end here.

    Threads: one at a time. `fork`: refused in the child. `pickle`: refused.
    """
    def __new__(
        cls, /, one: Device, other: Device | None = None, *, limit: SupportsIndex | None = None
    ) -> Patch: ...
    def close(self, /) -> None:
        """
        Ends both devices, in order.
        """
    def counters(self, /) -> list[dict[str, Any]]:
        """
        What went through each device.
        """
    def run(self, /, seconds: SupportsFloat | SupportsIndex | None = None) -> bool:
        """
        Moves packets for some seconds, or until nothing comes any more from the first device or the limit is reached: then
        true.
        """

@final
class PortFeatures:
    """
    The features of a port: what it can do, what is wanted, what is on. Software does the rest, always.

    `supported` is what the port can do, `tagged` what of it for packets with VLAN tags, `encapsulated` for packets in
    tunnels. All of it is wanted, but for `large-receive-offload` and `rx-fcs`.

    Threads: each method is atomic. `fork`: the child has its own copy. `pickle`: refused.
    """
    def __new__(
        cls, /, supported: Any, *, tagged: Any | None = None, encapsulated: Any | None = None
    ) -> PortFeatures: ...
    def __repr__(self, /) -> str: ...
    @property
    def active(self, /) -> Features:
        """
        What is on: what is wanted, as far as its needs are met.
        """
    def inherited(self, /, upper: str) -> Features:
        """
        What a port that stands on this one can do: `"vlan"` or `"tunnel"`.
        """
    def plan(self, /, packet: Any) -> OffloadPlan:
        """
        What is left to software for a packet that is sent by this port: an `OffloadPacket`, or one in any of the forms
        that `netfast.write` takes.
        """
    def set_forwarding(self, /, forwarding: bool) -> FeatureChange:
        """
        Says whether packets that come in may be sent on; `large-receive-offload`, which loses what it merged, ends then.
        """
    @property
    def supported(self, /) -> Features:
        """
        What it can do, itself or by software.
        """
    def turn_off(self, /, features: Any) -> FeatureChange:
        """
        Wants these no more; what needs them goes off with them.
        """
    def turn_on(self, /, features: Any) -> FeatureChange:
        """
        Wants these, too. Raises `ConfigError` for what the port cannot do, and nothing changes then.
        """
    @property
    def waiting(self, /) -> list[RemovedFeature]:
        """
        What is wanted and off, and why.
        """
    @property
    def wanted(self, /) -> Features:
        """
        What is wanted.
        """

@final
class PushResult:
    """
    What came out of a stack in one call: a `Batch` for each port, `result["wan"]`, made when it is asked for.

    Iterating gives the names of the ports by which packets left. `local` are packets for the node itself.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle the packets.
    """
    def __contains__(self, port: str, /) -> bool:
        """
        Whether packets left by a port.
        """
    def __getitem__(self, port: str, /) -> Batch:
        """
        What left by a port; empty when nothing did. `ConfigError` for a port that is not there.
        """
    def __iter__(self, /) -> Any: ...
    def __len__(self, /) -> int:
        """
        Packets that came out, those for the node itself included.
        """
    def __repr__(self, /) -> str: ...
    def get(self, /, port: str, default: Any | None = None) -> Any:
        """
        What left by a port; `default` when nothing did, or when there is no such port.
        """
    def items(self, /) -> list[tuple[str, Batch]]:
        """
        Names and packets of the ports by which packets left.
        """
    def keys(self, /) -> list[str]:
        """
        The names of the ports by which packets left.
        """
    @property
    def local(self, /) -> Batch:
        """
        Packets for the node itself.
        """
    def values(self, /) -> list[Batch]:
        """
        The packets of the ports by which packets left.
        """

@final
class RadioTap(Header):
    """
    Radiotap: what the card said about an 802.11 frame. Numbers are little-endian.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        version: "int | None" = None,
        pad: "int | None" = None,
        length: "int | None" = None,
        present: "int | None" = None,
        fields: "object" = None,
        **unknown: Never,
    ) -> RadioTap: ...
    @property
    def fields(self, /) -> Any:
        """
        Present words and fields; `forms()` tells what each takes
        """
    @property
    def length(self, /) -> int | None:
        """
        Bytes of this header
        """
    @property
    def pad(self, /) -> int:
        """
        Zero
        """
    @property
    def present(self, /) -> int:
        """
        First present word
        """
    @property
    def version(self, /) -> int:
        """
        Always 0
        """

@final
class Raw(Header):
    """
    Bytes that no header claims.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(cls, /, *, data: "bytes | bytearray | memoryview | None" = None, **unknown: Never) -> Raw: ...
    @property
    def data(self, /) -> bytes:
        """
        The bytes
        """

@final
class Reassembler:
    """
    Puts fragments of IP datagrams together; `netfast.reassembly.Reassembler` says how.

    Threads: a lock guards it. `fork`: the child has its own copy. `pickle`: refused.
    """
    def __len__(self, /) -> int: ...
    def __new__(cls, /, settings: dict[str, Any]) -> Reassembler: ...
    @property
    def counters(self, /) -> dict[str, Any]:
        """
        Counters as a dictionary.
        """
    def dropped(self, /) -> list[tuple[str, Packet]]:
        """
        Fragments dropped since the last call, with the reason; only where `max_dropped` keeps them.
        """
    def events(self, /) -> list[dict[str, Any]]:
        """
        What happened since the last call, as dictionaries.
        """
    @property
    def memory(self, /) -> int:
        """
        Bytes that waiting datagrams and the tables occupy.
        """
    @property
    def next_timeout(self, /) -> int | None:
        """
        When `poll` will have something to do, in ns; `None` while nothing waits.
        """
    def owed(self, /) -> list[OwedError]:
        """
        Errors that senders are owed since the last call.
        """
    def poll(self, /, now: "int") -> int:
        """
        Gives up the datagrams whose time is over at `now`, and says how many.
        """
    def push(
        self,
        /,
        packets: Any,
        now: "int | None" = None,
        *,
        context: "int" = 0,
        link: "int | str | None" = None,
    ) -> Datagrams:
        """
        Takes packets, in order, and gives those that go on.
        """

@final
class RemovedFeature:
    """
    A feature that cannot be on, and because of what.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused.
    """
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __repr__(self, /) -> str: ...
    def __str__(self, /) -> str: ...
    @property
    def because(self, /) -> str:
        """
        What it needs, or what excludes it.
        """
    @property
    def feature(self, /) -> str:
        """
        Its name.
        """

@final
class Routing(Header):
    """
    IPv6 routing header, RFC 8200 section 4.4: source routes, mobility, RPL, segment routing.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        next_header: "int | None" = None,
        hdr_ext_len: "int | None" = None,
        type: "int | None" = None,
        segments_left: "int | None" = None,
        reserved: "int | None" = None,
        compressed_internal: "int | None" = None,
        compressed_last: "int | None" = None,
        pad: "int | None" = None,
        last_entry: "int | None" = None,
        flags: "int | None" = None,
        tag: "int | None" = None,
        addresses: "object" = None,
        tlvs: "object" = None,
        data: "bytes | bytearray | memoryview | None" = None,
        **unknown: Never,
    ) -> Routing: ...
    @property
    def addresses(self, /) -> Any | None:
        """
        Addresses to visit; of a segment list the last first
        """
    @property
    def compressed_internal(self, /) -> int | None:
        """
        Prefix bytes left out of all addresses but the last
        """
    @property
    def compressed_last(self, /) -> int | None:
        """
        Prefix bytes left out of the last address
        """
    @property
    def data(self, /) -> bytes | None:
        """
        What the type defines
        """
    @property
    def flags(self, /) -> int | None:
        """
        Zero so far
        """
    @property
    def hdr_ext_len(self, /) -> int | None:
        """
        Length in units of eight bytes, less one
        """
    @property
    def last_entry(self, /) -> int | None:
        """
        Index of the last segment
        """
    @property
    def next_header(self, /) -> int | None:
        """
        What follows
        """
    @property
    def pad(self, /) -> int | None:
        """
        Bytes of padding at the end
        """
    @property
    def reserved(self, /) -> int | None:
        """
        Zero
        """
    @property
    def segments_left(self, /) -> int | None:
        """
        Nodes still to visit
        """
    @property
    def tag(self, /) -> int | None:
        """
        Tag
        """
    @property
    def tlvs(self, /) -> Any | None:
        """
        TLVs; `forms()` tells what each takes
        """
    @property
    def type(self, /) -> int:
        """
        Routing type
        """

@final
class SCTP(Header):
    """
    SCTP common header and chunks, RFC 9260 section 3.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        src_port: "int | None" = None,
        dst_port: "int | None" = None,
        verification_tag: "int | None" = None,
        checksum: "int | None" = None,
        chunks: "object" = None,
        **unknown: Never,
    ) -> SCTP: ...
    @property
    def checksum(self, /) -> int | None:
        """
        CRC32c of header and chunks
        """
    @property
    def chunks(self, /) -> Any:
        """
        Chunks; `forms()` tells what each takes
        """
    @property
    def dst_port(self, /) -> int:
        """
        Destination port
        """
    @property
    def src_port(self, /) -> int:
        """
        Source port
        """
    @property
    def verification_tag(self, /) -> int:
        """
        Verification tag
        """

@final
class SNAP(Header):
    """
    Subnetwork access protocol, IEEE 802 and RFC 1042.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls, /, *, oui: "int | None" = None, protocol: "int | None" = None, **unknown: Never
    ) -> SNAP: ...
    @property
    def oui(self, /) -> int:
        """
        Organisation whose protocol numbers follow; 0 is Ethernet's
        """
    @property
    def protocol(self, /) -> int | None:
        """
        What follows
        """

@final
class Server:
    """
    A loop that runs; used through `Stack.serve` and its like.

    Threads: one at a time runs it, `stop` may come from any. `fork`: refused in the child. `pickle`: refused.
    """
    def fileno(self, /) -> int:
        """
        The descriptor that is readable when there is something to do.
        """
    def finish(self, /) -> None:
        """
        Gives the loop back.
        """
    def run(self, /, seconds: SupportsFloat | SupportsIndex | None = None, *, events: bool = False) -> str:
        """
        Runs for some seconds, or until it is stopped and drained: `"time"`, `"drained"`; with `events` also until there are
        some: `"events"`.
        """
    def turn(self, /) -> str:
        """
        One turn without waiting: `"more"`, `"idle"` or `"drained"`.
        """

@final
class TCP(Header):
    """
    TCP, RFC 9293 section 3.1.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        src_port: "int | None" = None,
        dst_port: "int | None" = None,
        seq: "int | None" = None,
        ack: "int | None" = None,
        data_offset: "int | None" = None,
        flags: "int | str | None" = None,
        window: "int | None" = None,
        checksum: "int | None" = None,
        urgent_pointer: "int | None" = None,
        options: "object" = None,
        **unknown: Never,
    ) -> TCP: ...
    @property
    def ack(self, /) -> int:
        """
        Acknowledgment number
        """
    @property
    def checksum(self, /) -> int | None:
        """
        Internet checksum with pseudo-header
        """
    @property
    def data_offset(self, /) -> int | None:
        """
        Header length in 32-bit words
        """
    @property
    def dst_port(self, /) -> int:
        """
        Destination port
        """
    @property
    def flags(self, /) -> int:
        """
        Control bits, the four reserved ones included
        """
    @property
    def options(self, /) -> Any:
        """
        Options, padded to 32 bits; `forms()` tells what each takes
        """
    @property
    def seq(self, /) -> int:
        """
        Sequence number
        """
    @property
    def src_port(self, /) -> int:
        """
        Source port
        """
    @property
    def urgent_pointer(self, /) -> int:
        """
        End of urgent data
        """
    @property
    def window(self, /) -> int:
        """
        Receive window, before scaling
        """

@final
class TimerWheel:
    """
    Holds up to millions of timers in constant time each: a hierarchical timer wheel that never fires early.

    `TimerWheel(now=0, *, limit=16777216, preallocate=False)`

    Time is an argument: an integer of nanoseconds from 0 to 2**64 - 1 on any clock that you own
    (`time.monotonic_ns()`, packet times, a simulation's). The wheel reads no clock and starts no thread: call
    `expire(now)`, at the latest at `next_expiry()`. A clock that goes back is clamped to the latest time seen.

    A timer is never early. It is due less than 4/63 (6.4 %) of its delay late, the delay counted from the latest
    `expire`; armed with `exact=True` (which costs O(log n)) it is due exactly at its deadline. A deadline that has
    passed is due at once. A payload is an integer of up to 64 bits, such as the index of what times out.

    A handle is an integer that names one armed timer. It goes stale when the timer fires or is cancelled; a stale one
    is refused. At `limit` armed timers, arming raises `ResourceError`; `preallocate` takes all memory at once (60 bytes
    a timer).

    Batches take an `array.array`, a numpy array or any other buffer of signed or unsigned 64-bit integers, or a
    sequence of ints; results are read-only memoryviews of unsigned 64-bit integers.

    Threads: each method is atomic, a lock guards the wheel; batches of some ten thousand let other threads run
    meanwhile. `fork`: the child has its own copy; do not fork while another thread is in a method. `pickle`: refused.
    """
    def __len__(self, /) -> int: ...
    def __new__(
        cls, /, now: "SupportsIndex" = 0, *, limit: SupportsIndex = 16777216, preallocate: bool = False
    ) -> TimerWheel: ...
    def __repr__(self, /) -> str: ...
    def arm(self, /, deadline: "SupportsIndex", payload: "SupportsIndex" = 0, *, exact: bool = False) -> int:
        """
        Arms a timer and returns its handle.
        """
    def arm_many(self, /, deadlines: Any, payloads: Any | None = None, *, exact: bool = False) -> memoryview:
        """
        Arms a timer for each deadline, with the payloads (each 0 without), and returns the handles in order.

        Raises `ResourceError`, with no timer armed, where they would be more than `limit`.
        """
    @property
    def backward_steps(self, /) -> int:
        """
        How often the clock went back and was clamped.
        """
    def cancel(self, handle: "SupportsIndex", /) -> int | None:
        """
        Disarms a timer and returns its payload; `None` when it fired or was cancelled before.
        """
    def cancel_many(self, handles: Any, /) -> int:
        """
        Disarms the timers of all handles that are not stale, and returns how many these were.
        """
    def expire(self, /, now: "SupportsIndex", limit: SupportsIndex | None = None) -> Expired:
        """
        Moves the clock to `now` and fires all timers that are due, at most `limit` of them.
        """
    def get(self, handle: "SupportsIndex", /) -> tuple[int, int] | None:
        """
        The `(payload, deadline)` of an armed timer; `None` when it fired or was cancelled before.
        """
    @property
    def limit(self, /) -> int:
        """
        The most timers that may be armed at the same time.
        """
    @property
    def memory(self, /) -> int:
        """
        Bytes of memory that the wheel holds.
        """
    def next_expiry(self, /) -> int | None:
        """
        When the next timer is due: an `expire` before that fires nothing, one at that time fires at least one. `None`
        when no timer is armed.
        """
    @property
    def now(self, /) -> int:
        """
        The latest time that the wheel was told, in nanoseconds.
        """
    def rearm(self, /, handle: "SupportsIndex", deadline: "SupportsIndex") -> bool:
        """
        Gives an armed timer a new deadline; false when it fired or was cancelled before.
        """
    def rearm_many(self, /, handles: Any, deadlines: Any) -> int:
        """
        Gives each timer its new deadline, where its handle is not stale, and returns how many these were.
        """

@final
class UDP(Header):
    """
    UDP, RFC 768.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        src_port: "int | None" = None,
        dst_port: "int | None" = None,
        length: "int | None" = None,
        checksum: "int | None" = None,
        **unknown: Never,
    ) -> UDP: ...
    @property
    def checksum(self, /) -> int | None:
        """
        Internet checksum with pseudo-header; 0 is none
        """
    @property
    def dst_port(self, /) -> int:
        """
        Destination port; that of the tunnel behind it unless set
        """
    @property
    def length(self, /) -> int | None:
        """
        Bytes of header and payload; 0 in a jumbogram
        """
    @property
    def src_port(self, /) -> int:
        """
        Source port
        """

@final
class UDPLite(Header):
    """
    UDP-Lite, RFC 3828 section 3.1.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        src_port: "int | None" = None,
        dst_port: "int | None" = None,
        coverage: "int | None" = None,
        checksum: "int | None" = None,
        **unknown: Never,
    ) -> UDPLite: ...
    @property
    def checksum(self, /) -> int | None:
        """
        Internet checksum with pseudo-header
        """
    @property
    def coverage(self, /) -> int | None:
        """
        Bytes under the checksum; 0 is all
        """
    @property
    def dst_port(self, /) -> int:
        """
        Destination port
        """
    @property
    def src_port(self, /) -> int:
        """
        Source port
        """

@final
class VLAN(Header):
    """
    One IEEE 802.1Q or 802.1ad tag: tag control information, then the type behind it.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        priority: "int | None" = None,
        drop_eligible: "bool | int | None" = None,
        vid: "int | None" = None,
        ethertype: "int | None" = None,
        **unknown: Never,
    ) -> VLAN: ...
    @property
    def drop_eligible(self, /) -> bool:
        """
        May be dropped first
        """
    @property
    def ethertype(self, /) -> int | None:
        """
        What follows
        """
    @property
    def priority(self, /) -> int:
        """
        Priority code point
        """
    @property
    def vid(self, /) -> int:
        """
        VLAN identifier
        """

@final
class VXLAN(Header):
    """
    VXLAN, RFC 7348 section 5.

    Every field is a keyword argument; what is not given has its default or is filled in when a stack is
    emitted. See `Header` for what all headers can do.
    """
    def __new__(
        cls,
        /,
        *,
        flags: "int | None" = None,
        reserved: "int | None" = None,
        vni: "int | None" = None,
        reserved2: "int | None" = None,
        **unknown: Never,
    ) -> VXLAN: ...
    @property
    def flags(self, /) -> int:
        """
        8: the network identifier is valid
        """
    @property
    def reserved(self, /) -> int:
        """
        Zero
        """
    @property
    def reserved2(self, /) -> int:
        """
        Zero
        """
    @property
    def vni(self, /) -> int:
        """
        Network identifier
        """

@final
class VirtioCodec:
    """
    Reads and writes the virtio headers of one port.

    `receive` takes packets that begin with a header and gives them without it, marked as it says; `send` puts headers
    before packets. Nothing in a header is believed that the packet contradicts. `link` is what packets begin with behind
    the header: Ethernet, or `"RAW"` for TUN. `form` and `order` are those of `VirtioHeader.parse`. `peer` is who is at
    the other end: `"tun"` (a kernel), `"device"` (we are its driver) or `"driver"` (we are its device). `features` are
    the feature bits that were negotiated, as a number (`VIRTIO_NET_F_CSUM` is bit 0); without them all offloads but UDP
    fragmentation. A super-packet of more than `max_segments` (2,048) is refused.

    Threads: each method is atomic. `fork`: the child has its own copy. `pickle`: refused.
    """
    def __new__(
        cls,
        /,
        *,
        link: "int | str | None" = None,
        form: str = "long",
        order: str = "little",
        peer: str = "tun",
        features: "int | None" = None,
        max_segments: "int | None" = None,
    ) -> VirtioCodec: ...
    def __repr__(self, /) -> str: ...
    @property
    def counters(self, /) -> dict[str, Any]:
        """
        What it did, by name: packets `received` and `sent`, super-packets among them, checksums of other protocols
        `filled` in, `wrong_hdr_len`, and those `refused` by reason.
        """
    def receive(self, /, packets: Any, *, drop: bool = False) -> OffloadBatch:
        """
        Takes the headers off packets, and marks the packets as they say.

        Raises `ParseError` for the first packet whose header or bytes are refused: it names field, value and remedy,
        `reason` is the name of the reason, `packet` the index; `ConfigError` where it needs what was not negotiated. With
        `drop` such packets are left out and only counted.
        """
    def send(self, /, packets: Any) -> OffloadBatch:
        """
        Puts headers before packets that say what the packets do: `os.writev(tun, packet.segments)`.

        Raises `ParseError` for the first packet that the peer does not take so: it is to be cut (`segment`), or its
        checksum to be filled in (`finish_checksums`), before; `ConfigError` where it needs what was not negotiated.
        """

@final
class VirtioHeader:
    """
    The header before a packet of a virtio network device, and of TUN or TAP with `IFF_VNET_HDR` (virtio 1.3, 5.1.6), as
    it stands: any values, believed by nobody. `VirtioCodec` compares them with the packet.

    `flags` are `NEEDS_CSUM`, `DATA_VALID` and `RSC_INFO`, `gso_type` one of the `GSO_` values, perhaps with `GSO_ECN`;
    `gso_size` are the payload bytes of a segment, `csum_start` is where checksumming begins and `csum_offset` where from
    there the checksum is put; all lengths in bytes. `num_buffers` is only in the long form.

    Threads: immutable. `fork`: shared as any memory. `pickle`: refused; pickle `to_bytes()`.
    """

    DATA_VALID: Final[int]
    """
    The checksum was found right.
    """
    GSO_ECN: Final[int]
    """
    The TCP packet has CWR set.
    """
    GSO_NONE: Final[int]
    """
    One packet.
    """
    GSO_TCPV4: Final[int]
    """
    TCP over IPv4.
    """
    GSO_TCPV6: Final[int]
    """
    TCP over IPv6.
    """
    GSO_UDP: Final[int]
    """
    UDP to be fragmented, which is not taken.
    """
    GSO_UDP_L4: Final[int]
    """
    UDP to be segmented.
    """
    NEEDS_CSUM: Final[int]
    """
    The checksum is to be filled in.
    """
    RSC_INFO: Final[int]
    """
    `csum_start` and `csum_offset` count merged segments and duplicate acknowledgements.
    """
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __new__(
        cls,
        /,
        *,
        flags: "int | None" = None,
        gso_type: "int | None" = None,
        hdr_len: "int | None" = None,
        gso_size: "int | None" = None,
        csum_start: "int | None" = None,
        csum_offset: "int | None" = None,
        num_buffers: "int | None" = None,
    ) -> VirtioHeader: ...
    def __repr__(self, /) -> str: ...
    @property
    def csum_offset(self, /) -> int: ...
    @property
    def csum_start(self, /) -> int: ...
    @property
    def flags(self, /) -> int: ...
    @property
    def gso_size(self, /) -> int: ...
    @property
    def gso_type(self, /) -> int: ...
    @property
    def hdr_len(self, /) -> int: ...
    @property
    def num_buffers(self, /) -> int: ...
    @staticmethod
    def parse(data: bytes | bytearray, *, form: str = "long", order: str = "little") -> VirtioHeader:
        """
        The header at the beginning of `data`: 12 bytes, 10 in the `form` `"short"`, which TUN has unless
        `TUNSETVNETHDRSZ` said otherwise. `order` is that of bytes: `"little"` (virtio 1.0 and later), `"big"`, or
        `"native"` (TUN as it is opened).

        Raises `ParseError` for fewer bytes.
        """
    def to_bytes(self, /, *, form: str = "long", order: str = "little") -> bytes:
        """
        The header as bytes.
        """

def bench_attack(
    name: str, fragments: SupportsIndex = ..., *, reassembles: bool = True, seed: SupportsIndex = 1
) -> dict[str, float]:
    """
    `fragments` hostile ones at a reassembler, those of others between them: `netfast.bench` uses it, nobody else should.

    Gives nanoseconds a fragment (`cost`) and comparisons for finding their places (`steps`), most bytes that waited (`held`)
    and the `limit` of these, most bytes with all tables (`memory`), datagrams of `others` and how many of them were lost
    (`others_lost`).

    Threads: runs share nothing.
    """

def bench_wrap(
    rate: SupportsIndex,
    loss: SupportsFloat | SupportsIndex,
    *,
    burst: SupportsFloat | SupportsIndex | None = None,
    datagrams: SupportsIndex = ...,
    stride: SupportsIndex = 1,
    ipv6: bool = False,
    wrap_safe: bool = True,
    max_disorder: SupportsIndex = 64,
    tombstone_ns: SupportsIndex = 1000000000,
    seed: SupportsIndex = 1,
) -> dict[str, int]:
    """
    The experiment of `netfast bench idwrap`, one run: `netfast.bench` uses it, nobody else should.

    A sender of `rate` bits a second, datagrams of 1,500 bytes in two fragments, one in `stride` of which take part; a network
    that loses a part `loss` of the fragments, `burst` of them one after the other on average; a receiver with the protections
    that are given. All in virtual time.

    Threads: runs share nothing.
    """

def collate(
    paths: SupportsGetItem[int, str | PathLike[str]],
    target: SupportsIndex | str | PathLike[str],
    settings: "dict[str, int]",
    *,
    filter: str | None = None,
    mmap: bool = False,
    lenient: bool = False,
    trust_checksums: bool = False,
    verify: bool = False,
    progress: Any | None = None,
) -> dict[str, Any]:
    """
    Writes what a collator makes of a capture; see `netfast.offload.collate`.
    """

def copy(
    paths: SupportsGetItem[int, str | PathLike[str]],
    target: SupportsIndex | str | PathLike[str],
    *,
    filter: str | None = None,
    limit: SupportsIndex | None = None,
    mmap: bool = False,
    lenient: bool = False,
    progress: Any | None = None,
    reassemble: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """
    Copies the packets that `filter` keeps to a file; see `netfast.files.copy`. Counts of `packets`, of those that were
    `cut` and those that lost their options (`bared`), of those `unfiltered` by link type, the `damage`, how many were
    `read`, and the counters of `reassembly`.
    """

def dissect(
    data: Any, *, link: "int | str | None" = None, wire_len: "int | None" = None, time_ns: "int | None" = None
) -> Packet:
    """
    Dissects one packet.

    `data` is bytes, or headers (`IPv6(...) / UDP()`), which are emitted, or a packet of scapy's. `link` is what bytes
    begin with: a link type's number or name as in captures (`"EN10MB"`, `"RAW"`, `"LINUX_SLL"`, `"IEEE802_11_RADIO"` …)
    or `"ethernet"`, which is the default; headers know it themselves. `wire_len` is the packet's length on the wire when
    a capture cut it, `time_ns` when it was seen, in ns since the epoch.

    Bytes never make it fail: `verdict` and `wrong` say what they are not. `ConfigError` for an unknown `link`.
    """

def finish_checksums(packets: Any, *, link: "int | str | None" = None) -> OffloadBatch:
    """
    Fills partial checksums in; see `netfast.finish_checksums`.
    """

def info(
    path: str | PathLike[str],
    *,
    filter: str | None = None,
    mmap: bool = False,
    lenient: bool = False,
    write: SupportsIndex | str | PathLike[str] | None = None,
    progress: Any | None = None,
) -> Any:
    """
    What one capture holds, as a dictionary; see `netfast.files.info`.
    """

def probe() -> list[dict[str, Any]]:
    """
    What works here: a row for each device and way to send, with `lack` where it does not work.
    """

def segment(
    packets: Any,
    *,
    gso_size: SupportsIndex | None = None,
    gso_type: "str | None" = None,
    fixed_id: bool | None = None,
    checksums: str = "full",
    max_segments: SupportsIndex = 2048,
    link: "int | str | None" = None,
) -> OffloadBatch:
    """
    Cuts super-packets; see `netfast.segment`.
    """

DEBUG_BUILD: Final[bool]
__version__: Final[str]

__all__ = [
    "AH",
    "ARP",
    "BENCH_ATTACKS",
    "Batch",
    "BatchIterator",
    "BenchCollator",
    "BenchNode",
    "BenchReassembler",
    "BenchReplay",
    "BenchSegmenter",
    "Capture",
    "CaptureWriter",
    "CapturedBytes",
    "Collator",
    "ConnectionTable",
    "DCCP",
    "DEBUG_BUILD",
    "Datagram",
    "DatagramIterator",
    "Datagrams",
    "DestinationOptions",
    "Device",
    "Dot11",
    "ESP",
    "Ethernet",
    "Expired",
    "FLOW_COLUMNS",
    "FRAGMENT_REASONS",
    "FeatureChange",
    "Features",
    "FlowBatch",
    "FlowIterator",
    "FlowStream",
    "FlowTable",
    "Fragment",
    "FrameIterator",
    "GRE",
    "Geneve",
    "Header",
    "HeaderStack",
    "HopByHop",
    "ICMPv4",
    "ICMPv6",
    "IGMP",
    "IPv4",
    "IPv6",
    "LLC",
    "LinuxSLL",
    "LinuxSLL2",
    "MPLS",
    "Mobility",
    "NativeTransmitter",
    "NewFlow",
    "Node",
    "Null",
    "OVERLAP_POLICIES",
    "OffloadBatch",
    "OffloadBatchIterator",
    "OffloadPacket",
    "OffloadPlan",
    "OwedError",
    "PACKET_COLUMNS",
    "PPP",
    "PPPoE",
    "Packet",
    "PacketBatch",
    "PacketBatchIterator",
    "PacketColumns",
    "PacketIterator",
    "PacketStream",
    "Patch",
    "PortFeatures",
    "PushResult",
    "RadioTap",
    "Raw",
    "Reassembler",
    "RemovedFeature",
    "Routing",
    "SCTP",
    "SNAP",
    "STATISTICS_COLUMNS",
    "Server",
    "TCP",
    "TimerWheel",
    "UDP",
    "UDPLite",
    "VLAN",
    "VXLAN",
    "VirtioCodec",
    "VirtioHeader",
    "__version__",
    "bench_attack",
    "bench_wrap",
    "collate",
    "copy",
    "dissect",
    "finish_checksums",
    "info",
    "probe",
    "segment",
]
