"""netfast: a network stack you can import."""

from netfast._netfast import __version__

__all__ = ["__version__"]
