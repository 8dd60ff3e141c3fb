"""What a `Stack` tells: results, counters, events, connections, traces. Plain values, free to share; `pickle` works."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from netfast.errors import ConfigError

if TYPE_CHECKING:
    from netfast._netfast import ConnectionTable

__all__ = [
    "Connection",
    "Connections",
    "Counters",
    "Event",
    "Finding",
    "FlowVerdict",
    "RunResult",
    "Trace",
    "TraceStep",
    "Unsupported",
    "table_of",
]


def table_of(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table for notebooks."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<table class="netfast"><tr>{head}</tr>{body}</table>'


def _lines(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values in two columns."""
    pairs = list(pairs)
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"{name:{width}}  {value}".rstrip() for name, value in pairs)


@dataclass(frozen=True, slots=True)
class FlowVerdict:
    """What a hook says of a new flow: drop it, mark it, translate its source or destination.

    Addresses are of the flow's family. Raises `ConfigError` for what can be of no flow: a text that is no address, a
    port without its address.
    """

    drop: bool = False
    mark: int | None = None
    source: str | None = None
    source_port: int | None = None
    destination: str | None = None
    destination_port: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.drop, bool):
            raise TypeError(f"drop: expected True or False, not {type(self.drop).__name__}")
        for name, most in (("mark", 0xFFFF_FFFF), ("source_port", 65_535), ("destination_port", 65_535)):
            number = getattr(self, name)
            if number is None:
                continue
            if not isinstance(number, int) or isinstance(number, bool):
                raise TypeError(f"{name}: expected a whole number, not {type(number).__name__}")
            if not 0 <= number <= most:
                raise ConfigError(f"{name}={number}: give a number from 0 to {most}", option=name)
        for name in ("source", "destination"):
            address = getattr(self, name)
            if address is not None and not isinstance(address, str):
                raise TypeError(f"{name}: expected an address as text, not {type(address).__name__}")
            port = f"{name}_port"
            if address is None:
                if getattr(self, port) is not None:
                    raise ConfigError(f"{port} needs {name}; give both", option=port)
                continue
            try:
                # A zone is no part of what stands in a packet.
                ip_address(address.replace("%", " "))
            except ValueError:
                raise ConfigError(
                    f"{name}={address!r}: give an address such as 192.0.2.1 or 2001:db8::1", option=name
                ) from None


@dataclass(frozen=True, slots=True)
class Counters:
    """What became of packets, and what the cache did.

    `packets_in + created == out + local + held + absorbed + dropped`, always; `held` are those that wait now, and
    `dropped_by` counts by reason. `ports` has `packets_in`, `bytes_in`, `packets_out`, `bytes_out`, `dropped` and
    `dropped_by` of each port, packets that came in and were `merged` into others, `super_packets` that left, and
    `segments` that those which were cut became; `cache` counts hits, misses and the like. `time_backwards` counts
    times that went back, `icmp_limited` errors that were not sent because of `icmp_rate`, `early_dropped`
    connections that the full table let go, `flows` how many the cache has now (connections, and flows that are not
    tracked), `hook_failed` new flows that the hook failed for, `discovery` messages
    about neighbours at ports that resolve them (`invalid` by reason).
    """

    packets_in: int
    created: int
    out: int
    local: int
    held: int
    absorbed: int
    dropped: int
    dropped_by: dict[str, int]
    ports: dict[str, dict[str, Any]]
    cache: dict[str, int]
    time_backwards: int
    icmp_limited: int
    early_dropped: int
    flows: int
    hook_failed: int
    discovery: dict[str, Any]

    @property
    def conserved(self) -> bool:
        """Whether every packet is accounted for; anything else is a defect of netfast."""
        ends = self.out + self.local + self.held + self.absorbed + self.dropped
        return self.packets_in + self.created == ends

    def __str__(self) -> str:
        pairs: list[tuple[str, object]] = [
            (name, f"{getattr(self, name):,}")
            for name in ("packets_in", "created", "out", "local", "held", "absorbed", "dropped")
        ]
        pairs += [(f"  {reason}", f"{count:,}") for reason, count in self.dropped_by.items()]
        pairs += [(f"cache {name}", f"{count:,}") for name, count in self.cache.items() if count]
        return _lines(pairs)

    def _repr_html_(self) -> str:
        rows = [
            (name, *(counts[key] for key in ("packets_in", "packets_out", "dropped")))
            for name, counts in self.ports.items()
        ]
        return table_of(("port", "in", "out", "dropped"), rows)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run did: packets by what became of them, and where they were written.

    The counts are those of `Counters`, each port's included, for this run. `seconds` is the time of the packets, from
    the first to the last; `files` the captures that were written, by port; `differences` what `verify` found; `damage`
    what is wrong with captures that were read with `lenient`.
    """

    packets_in: int
    created: int
    out: int
    local: int
    held: int
    absorbed: int
    dropped: int
    dropped_by: dict[str, int]
    ports: dict[str, dict[str, Any]]
    cache: dict[str, int]
    seconds: float
    files: dict[str, str] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    verified: bool = False
    damage: list[dict[str, Any]] = field(default_factory=list)

    @property
    def conserved(self) -> bool:
        """Whether every packet is accounted for; anything else is a defect of netfast. `held` is the change."""
        ends = self.out + self.local + self.held + self.absorbed + self.dropped
        return self.packets_in + self.created == ends

    def summary(self) -> str:
        """The result in words."""
        return _lines(self._pairs())

    def _pairs(self) -> Iterator[tuple[str, object]]:
        yield "in", f"{self.packets_in:,} packets in {self.seconds:,.3f} s"
        for name, counts in self.ports.items():
            yield f"  {name}", f"{counts['packets_in']:,} in, {counts['packets_out']:,} out"
        for name in ("created", "out", "local", "held", "absorbed", "dropped"):
            yield name, f"{getattr(self, name):,}"
        for reason, count in self.dropped_by.items():
            yield f"  {reason}", f"{count:,}"
        yield (
            "cache",
            ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.cache.items() if count),
        )
        for name, path in self.files.items():
            yield f"file {name}", path
        if self.verified:
            yield "verify", f"{len(self.differences):,} differences" if self.differences else "no difference"
        yield (
            "balance",
            "every packet is accounted for" if self.conserved else "PACKETS ARE MISSING: a defect",
        )

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return table_of(("", ""), self._pairs())


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One decision: the table that was asked, and what it said, with the rule or route."""

    table: str
    text: str

    def __str__(self) -> str:
        return f"{self.table:12} {self.text}"


@dataclass(frozen=True, slots=True)
class Trace:
    """What would become of a packet: the steps in their order, the verdict, and whether the cache knew it.

    `cache` is `"hit"`, `"miss"`, `"stale"` (a table has changed since), `"entry"` (only the connection is known) or
    `"uncached"` (packets like this walk the tables each time). `reason` is that of a drop, `out_port` where it leaves.
    """

    steps: tuple[TraceStep, ...]
    verdict: str
    cache: str
    reason: str | None = None
    out_port: str | None = None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Trace:
        """From what the native node says."""
        steps = tuple(TraceStep(*step) for step in found["steps"])
        return cls(**{**found, "steps": steps})

    def __str__(self) -> str:
        lines = [*map(str, self.steps), f"{'cache':12} {self.cache}", f"{'verdict':12} {self.verdict}"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [(step.table, step.text) for step in self.steps]
        return table_of(("table", "decision"), [*rows, ("cache", self.cache), ("verdict", self.verdict)])


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, with its time; `details` depend on the kind."""

    kind: str
    time_ns: int
    details: dict[str, Any]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Event:
        """From what the native node says."""
        details = {key: value for key, value in found.items() if key not in ("kind", "time_ns")}
        return cls(found["kind"], found["time_ns"], details)

    def __str__(self) -> str:
        details = " ".join(f"{key}={value}" for key, value in self.details.items() if value is not None)
        return f"{self.time_ns / 1e9:.6f} {self.kind} {details}".rstrip()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong (`error`) or odd (`warning`) in a configuration, with its place where that is known."""

    severity: str
    file: str | None
    line: int | None
    column: int | None
    what: str

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}:"
        if self.file is not None and self.line is not None:
            place += f"{self.line}:{self.column}:"
        return self.what if self.what.startswith(place) and place else f"{place} {self.what}".lstrip()


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Something of the kernel's configuration that a stack does not have: what, where, and why."""

    what: str
    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}: {self.why}"


@dataclass(frozen=True, slots=True)
class Connection:
    """A tracked connection: as its originator sends it, and as its replies arrive.

    `state` is that of TCP, as conntrack(8) names it; `status` has `seen_reply`, `assured`, `snat`, `dnat`; ICMP has
    an identifier in place of ports; the counts are packets and IP octets each way. Without packets it ends at
    `expires_ns`.
    """

    id: int
    protocol: int
    src: str
    dst: str
    src_port: int | None
    dst_port: int | None
    reply_src: str
    reply_dst: str
    reply_src_port: int | None
    reply_dst_port: int | None
    icmp_id: int | None
    reply_icmp_id: int | None
    state: str | None
    status: tuple[str, ...]
    mark: int
    packets: int
    bytes: int
    reply_packets: int
    reply_bytes: int
    created_ns: int
    expires_ns: int

    @property
    def translated(self) -> bool:
        """Whether an address or a port is translated."""
        there = (self.dst, self.dst_port, self.src, self.src_port, self.icmp_id)
        back = (
            self.reply_src,
            self.reply_src_port,
            self.reply_dst,
            self.reply_dst_port,
            self.reply_icmp_id,
        )
        return there != back


class Connections:
    """Connections as they stood: `Connection` by `Connection`, or as rows and columns.

    It gives Arrow data to whoever asks (`polars.DataFrame(stack.connections())`), with a column for each field of
    `Connection`; `status` is one text there.
    """

    __slots__ = ("_table",)

    def __init__(self, table: ConnectionTable) -> None:
        self._table = table

    def rows(self) -> list[dict[str, Any]]:
        """A dictionary for each."""
        return self._table.rows()

    def columns(self) -> dict[str, list[Any]]:
        """A list for each field."""
        rows = self.rows()
        return {name: [row[name] for row in rows] for name in Connection.__dataclass_fields__}

    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        """Arrow PyCapsule interface; a requested schema is not negotiated."""
        return self._table.__arrow_c_array__(requested_schema)

    def __arrow_c_schema__(self) -> Any:
        return self._table.__arrow_c_schema__()

    @overload
    def __getitem__(self, index: SupportsIndex) -> Connection: ...
    @overload
    def __getitem__(self, index: slice) -> list[Connection]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Connection | list[Connection]:
        numbers = range(len(self._table))[index]
        if isinstance(numbers, range):
            return [Connection(**self._table.row(number)) for number in numbers]
        return Connection(**self._table.row(numbers))

    def __iter__(self) -> Iterator[Connection]:
        return (Connection(**self._table.row(number)) for number in range(len(self._table)))

    def __len__(self) -> int:
        return len(self._table)

    def __repr__(self) -> str:
        return f"<netfast.Connections: {len(self):,}>"

    def _repr_html_(self) -> str:
        shown = ("protocol", "src", "src_port", "dst", "dst_port", "state", "packets", "reply_packets")
        return table_of(shown, ([getattr(each, name) for name in shown] for each in self[:50]))
