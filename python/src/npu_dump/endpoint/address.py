"""Where a server is: its API below ``/v1``, and what some servers have beside it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from ..errors import DumpError


@dataclass(frozen=True)
class Address:
    """The addresses of one server.

    Attributes:
        api: of the API, without a slash at the end.
        root: of what is beside it, such as ``/version``.
    """

    api: str
    root: str

    def shown(self, url: str) -> str:
        """Return an address as an error shows it: the path alone, the user knows the rest."""
        return urlsplit(url).path


def parse_address(text: str) -> Address:
    """Return the address that ``--url`` gives; one without a path is taken as ``…/v1``.

    Raises:
        DumpError: it is no address of a web server, or holds a name, a password, a query or a fragment.
    """
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise _invalid(text, str(error)) from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _invalid(text, "http:// or https:// and a host are needed")
    if parts.username is not None or parts.password is not None:
        # Not shown again: it may be a secret.
        raise _invalid(f"{parts.scheme}://…@{parts.hostname}", "a password has no place in it: use --api-key-env")
    if parts.query or parts.fragment or not text.isascii() or not text.isprintable() or " " in text:
        raise _invalid(text, "it ends after the path, in printable ASCII")
    host = f"{parts.scheme}://{parts.netloc}"
    api = f"{host}{parts.path.rstrip('/') or '/v1'}"
    return Address(api, api.removesuffix("/v1"))


def is_exposed(address: Address) -> bool:
    """Return whether what is sent there leaves the machine without encryption."""
    parts = urlsplit(address.api)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return False
    try:
        return not ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return True


def _invalid(text: str, reason: str) -> DumpError:
    return DumpError(
        "url-invalid",
        "--url is no address of a server",
        facts=[("given", text), ("reason", reason)],
        help="give e.g. http://127.0.0.1:8000/v1",
    )
