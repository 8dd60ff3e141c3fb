"""Writes the page of options, chunks, tags, records and TLVs: `python tools/options.py docs/options.md`.

Names and forms are those of the header classes, which a test compares with the page.
"""

import sys
from pathlib import Path

import netfast.headers as headers

INTRODUCTION = """\
# Options, chunks, records

Fields such as `TCP.options`, `SCTP.chunks` or `RadioTap.fields` are lists of `(name, value)` pairs, or dictionaries.
A name alone is enough for what carries nothing. A number in place of the name stands for a kind that has no name here,
and takes bytes; with a number, bytes of any length are taken for kinds with a name, too, so that a malformed option
can be built. `("raw", bytes)` is written as it is. Padding is added where the header needs it.

```python
import netfast as nf

header = nf.TCP(flags="S", options=[("mss", 1460), "sack_permitted", "nop", ("window_scale", 7)])
print(nf.TCP.parse(bytes(header)).options[0])
try:
    nf.TCP(options=[("mss", b"abc")])
except nf.FieldError as error:
    print(error)
```

```output
('mss', 1460)
TCP.options: mss is b'abc'; it takes a number up to 65535; (2, b'...') takes any bytes
```

`forms()` of a class gives its table as a dictionary: `nf.TCP.forms()["options"]["mss"]`.
"""


def page() -> str:
    """The page as text."""
    text = INTRODUCTION
    for name in headers.__all__:
        header_class = getattr(headers, name)
        if name in ("Header", "HeaderStack"):
            continue
        for field, known in header_class.forms().items():
            text += f"\n## {name}.{field}\n\n"
            if not known:
                text += "By number only, with bytes.\n"
                continue
            text += "| Name | Takes |\n|---|---|\n"
            text += "".join(f"| `{option}` | {takes} |\n" for option, takes in known.items())
    return text


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
