"""Small files that say what to do: prices, gates, maps of columns, rates of traffic."""

import errno
from typing import Final

from loadlens.sources.storage.location import PathSource, location, read_part

__all__ = ["read_document"]

_MOST_BYTES: Final = 16 * 2**20


def read_document(path: PathSource) -> str:
    """The text of a small file, which may be an endless one such as ``/dev/zero``.

    Raises:
        OSError: it cannot be read, or holds more than 16 MiB.
        UnicodeDecodeError: it is not UTF-8.
    """
    data = read_part(location(path), 0, _MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise OSError(errno.EFBIG, f"it holds more than {_MOST_BYTES:,} bytes")
    return data.decode()
