"""The exceptions of netfast, all of them under `NetfastError`.

    NetfastError
    ├── ParseError (also ValueError)     bytes that are not what they should be
    ├── ProtocolError                    a protocol's rules were broken
    │   ├── LocalProtocolError           ... by the program that uses netfast
    │   │   └── FieldError (also ValueError)  a header's field cannot have this value
    │   └── RemoteProtocolError          ... by the other side
    ├── ResourceError                    a named limit was reached
    └── ConfigError (also ValueError)    arguments or settings that cannot be

Errors of the operating system stay `OSError`. What a program may want to know stands in attributes, not only
in the text. All of them can be pickled.
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "FieldError",
    "LocalProtocolError",
    "NetfastError",
    "ParseError",
    "ProtocolError",
    "RemoteProtocolError",
    "ResourceError",
]


class NetfastError(Exception):
    """Anything that netfast itself raises."""


class ParseError(NetfastError, ValueError):
    """Bytes that are not what they should be.

    `frame` is the number of the packet in its capture (from 1), `offset` the position in bytes in the file or
    in the packet, `layer` the header's name, `need` and `have` how many bytes were needed there and how many
    were left. Each is `None` where it does not apply.
    """

    def __init__(
        self,
        message: str = "",
        *,
        frame: int | None = None,
        offset: int | None = None,
        layer: str | None = None,
        need: int | None = None,
        have: int | None = None,
    ) -> None:
        super().__init__(message)
        self.frame = frame
        self.offset = offset
        self.layer = layer
        self.need = need
        self.have = have


class ProtocolError(NetfastError):
    """The rules of a protocol were broken; the subclass says by whom."""


class LocalProtocolError(ProtocolError):
    """This program asked for something that the protocol forbids in its present state."""


class FieldError(LocalProtocolError, ValueError):
    """A header's field cannot have a value: out of range, without a place, or not to be derived.

    `header` and `field` are their names.
    """

    def __init__(self, message: str = "", *, header: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.header = header
        self.field = field


class RemoteProtocolError(ProtocolError):
    """The other side sent something that the protocol forbids."""


class ResourceError(NetfastError):
    """A named limit was reached; `limit` is its value, or `None` where it is not a number."""

    def __init__(self, message: str = "", *, limit: int | None = None) -> None:
        super().__init__(message)
        self.limit = limit


class ConfigError(NetfastError, ValueError):
    """An argument, a setting or a combination of them that cannot be; `option` is its name, if it has one.

    Of text, `file`, `line` and `column` (from 1, in characters) say where it stands, as far as that is known;
    `others` are further mistakes that were found in the same text, in its order.
    """

    def __init__(
        self,
        message: str = "",
        *,
        option: str | None = None,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        others: tuple[ConfigError, ...] = (),
    ) -> None:
        super().__init__(message)
        self.option = option
        self.file = file
        self.line = line
        self.column = column
        self.others = others
