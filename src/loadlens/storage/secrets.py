"""Credentials stay out of whatever is shown: options that do not print, and texts without their values."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from loadlens.errors import UsageError

__all__ = ["OBJECT_SCHEMES", "StorageOptions", "cause_of", "reason_of", "shown", "without_secrets"]

OBJECT_SCHEMES: Final = ("s3", "s3a", "gs", "gcs", "az", "azure", "adl", "abfs", "abfss")

_HIDDEN: Final = "***"
_SECRET_NAME: Final = re.compile(r"key|secret|token|sas|password|credential|service_account", re.IGNORECASE)
_FEWEST_CHARACTERS: Final = 4  # shorter ones are in every text by chance
_ADDRESS: Final = re.compile(r"\b([a-z][a-z0-9+.-]+):(/+)([^\s'\"<>]*)", re.IGNORECASE)
_WHOLE_ADDRESS: Final = re.compile(r"([a-z][a-z0-9+.-]+):(/+)(.*)", re.IGNORECASE | re.DOTALL)
_QUERY: Final = re.compile(r"([?#])[^)]*")
_QUERY_OF_OBJECT: Final = re.compile(r"(\?)(?=[\w.%-]+=)[^)]*")  # a ? alone is part of a name, or a glob
_WITH_PASSWORD: Final = re.compile(r"[^/?#]*:(?!\d*(?:[/?#]|$))[^@]*@|[^/?#]*@", re.DOTALL)
_CONTAINER: Final = re.compile(r"[^/?#@:]*@")
_STANDARD_INPUT: Final = "standard input"
_ANSWER: Final = re.compile(r"<Error>.*?<Code>(\w+)</Code>.*?<Message>([^<]*)</Message>", re.DOTALL)
_ATTEMPT: Final = re.compile(
    r"Error performing ([A-Z]+ \S+) in [^,\s]+(?:, after [^-]*)? +- Server returned non-2xx status code:"
)
_SIGNATURE: Final = re.compile(r"([?&](?:X-Amz-[\w-]+|X-Goog-[\w-]+|sig|sv|se|sp|Signature)=)[^\s&'\"<>)]*")


class StorageOptions(dict[str, str]):
    """Options of object stores, such as ``aws_region``, by name; printing it shows no value."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({{{', '.join(f'{name!r}: {_HIDDEN!r}' for name in self)}}})"

    @classmethod
    def parse(cls, given: Mapping[str, str] | Iterable[str] | None) -> "StorageOptions":
        """Understands a mapping, or texts such as ``aws_region=eu-central-1``.

        Raises:
            UsageError: a text has no name or no ``=``; it is not repeated, as it may be a secret.
        """
        if isinstance(given, Mapping):
            return cls({name.lower(): str(value) for name, value in given.items()})
        pairs = [text.partition("=") for text in given or ()]
        if any(not (name and separator) for name, separator, _ in pairs):
            raise UsageError(
                "--storage-option: got no name and value, expected one such as aws_region=eu-west-1"
            )
        return cls({name.lower(): value for name, _, value in pairs})

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that nobody may see, the longest first."""
        values = {value for name, value in self.items() if _SECRET_NAME.search(name)}
        return tuple(
            sorted((text for text in values if len(text) >= _FEWEST_CHARACTERS), key=len, reverse=True)
        )


def without_secrets(text: str, secrets: Iterable[str] = ()) -> str:
    """A text without users, passwords and queries in web addresses, without signatures and ``secrets``."""
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    text = _ADDRESS.sub(_without_credentials, text)
    return _SIGNATURE.sub(rf"\1{_HIDDEN}", text)


def shown(source: object) -> str:
    """A path as it was given; an address, of whatever scheme, without user, password and query."""
    text = str(source)
    if text == "-":
        return _STANDARD_INPUT
    address = _WHOLE_ADDRESS.fullmatch(text)
    return _without_credentials(address) if address else without_secrets(text)


def _without_credentials(address: re.Match[str]) -> str:
    scheme, slashes, rest = address.groups()
    of_objects = scheme.lower() in OBJECT_SCHEMES
    # In abfss://container@account the part before the @ is no user.
    if not (scheme.lower().startswith(("ab", "ad", "az")) and _CONTAINER.match(rest)):
        # A password may hold slashes and question marks: all up to the last @ goes.
        found = _WITH_PASSWORD.match(rest)
        rest = rest[found.end() :] if found else rest
        while found and (more := re.match(r"[^/?#]*@", rest)):
            rest = rest[more.end() :]
    return f"{scheme}:{slashes}" + (_QUERY_OF_OBJECT if of_objects else _QUERY).sub(r"\1...", rest, count=1)


def reason_of(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """What an error says in one line, without secrets; its type where it says nothing."""
    text = without_secrets(str(error), secrets).strip()
    answer = _ANSWER.search(text)
    if answer:
        return f"{answer[1]}: {_first_line(answer[2])}"
    return _ATTEMPT.sub(r"\1 answers", _first_line(text)) or type(error).__name__


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(" :.")


def cause_of(error: BaseException, secrets: Iterable[str] = ()) -> BaseException | None:
    """The error itself as a cause to show with another one; None if its text has secrets."""
    return error if without_secrets(str(error), secrets) == str(error) else None
