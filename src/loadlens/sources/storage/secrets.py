"""Credentials stay out of whatever is shown: options that do not print, and texts without their values."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from loadlens.errors import UsageError

__all__ = ["StorageOptions", "cause_of", "reason_of", "without_secrets"]

_HIDDEN: Final = "***"
_SECRET_NAME: Final = re.compile(r"key|secret|token|sas|password|credential|service_account", re.IGNORECASE)
_FEWEST_CHARACTERS: Final = 4  # shorter ones are in every text by chance
_ADDRESS: Final = re.compile(
    r"([a-z][a-z0-9+.-]*://)([^\s/?#]*@)?([^\s?#'\"<>)]*)(\?[^\s'\"<>)]*)?", re.IGNORECASE
)
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


def _without_credentials(address: re.Match[str]) -> str:
    scheme, user, rest, query = address.groups(default="")
    is_web = scheme.lower().startswith("http")
    # In abfss://container@account the part before the @ is no user.
    is_container = scheme.lower().startswith(("ab", "ad", "az")) and ":" not in user
    shown_query = "?..." if query and is_web else query
    return f"{scheme}{user if is_container else ''}{rest}{shown_query}"


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
