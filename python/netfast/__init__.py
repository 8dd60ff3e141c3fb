"""netfast: a network stack you can import.

>>> import netfast as nf                                    # doctest: +SKIP
>>> import polars as pl                                     # doctest: +SKIP
>>> pl.DataFrame(nf.flows("capture.pcapng"))                # doctest: +SKIP
"""

from netfast._netfast import DEBUG_BUILD, __version__
from netfast.capture import (
    FlowBatch,
    FlowIterator,
    FlowStream,
    FlowTable,
    PacketColumns,
    PacketIterator,
    PacketStream,
    flows,
    packets,
)
from netfast.errors import (
    ConfigError,
    FieldError,
    LocalProtocolError,
    NetfastError,
    ParseError,
    ProtocolError,
    RemoteProtocolError,
    ResourceError,
)
from netfast.timer import Expired, TimerWheel

__all__ = [
    "ConfigError",
    "Expired",
    "FieldError",
    "FlowBatch",
    "FlowIterator",
    "FlowStream",
    "FlowTable",
    "LocalProtocolError",
    "NetfastError",
    "PacketColumns",
    "PacketIterator",
    "PacketStream",
    "ParseError",
    "ProtocolError",
    "RemoteProtocolError",
    "ResourceError",
    "TimerWheel",
    "__version__",
    "flows",
    "packets",
]

if DEBUG_BUILD:
    import warnings

    warnings.warn("netfast was built without optimisation: it is slow", RuntimeWarning, stacklevel=2)
    del warnings
