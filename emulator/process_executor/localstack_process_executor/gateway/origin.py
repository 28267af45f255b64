"""Distinguishes requests that a web page makes through a browser from those of a program on this machine.

A page can send requests to this machine and, by DNS rebinding (a name that first resolves to the page's own server,
then to 127.0.0.1), even read the answers. It cannot choose the headers that give it away: Host, Origin, Sec-Fetch-Site.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers

from .refusal import Reason, Refusal

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?P<port>:\d{1,5})?")
_LOCAL_NAMES = ("localhost", "localhost.localstack.cloud")
"""The second is LocalStack's own name for 127.0.0.1; if it resolves, its services use it to call each other."""
_OWN_SITES = {"none", "same-origin"}


def host_name(headers: Headers) -> str:
    """Return the name by which the request addresses this machine, in lower case and without the port.

    Raises
    ------
    Refusal
        If it does not name this machine.
    """
    found = headers.getlist("Host")
    match = _HOST.fullmatch(found[0]) if len(found) == 1 else None
    name = match["name"].lower() if match else ""
    if not (is_plain(name) or name.endswith(tuple(f".{local}" for local in _LOCAL_NAMES))):
        raise Refusal(Reason.FOREIGN, "The Host header does not name this machine; expected localhost or 127.0.0.1.")
    return name


def is_plain(name: str) -> bool:
    """Return whether a host name is exactly this machine's, without a bucket or an API in front."""
    if name in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def is_cross_site(headers: Headers) -> bool:
    """Return whether a browser sends the request for a page from another site; another port counts as another site."""
    if set(headers.getlist("Sec-Fetch-Site")) - _OWN_SITES:
        return True
    own = headers.get("Host", "").lower()
    origins = headers.getlist("Origin") or headers.getlist("Referer")
    return any(_authority(origin) != own for origin in origins)


def _authority(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
