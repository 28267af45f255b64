"""Checks, from outside, that a LocalStack which has just started is closed to everybody else."""

import ipaddress
import urllib.error
import urllib.request
from http import HTTPStatus

import psutil
from p300.errors import P300Error
from p300_client.target import Target


def has_ipv6() -> bool:
    """Say whether this machine has the loopback address of IPv6."""
    return any(
        address.address == "::1" for address in psutil.net_if_addrs().get("lo", psutil.net_if_addrs().get("lo0", []))
    )


def verify(target: Target, process: psutil.Process) -> None:
    """Look at the sockets of LocalStack's process, and at what it answers to a request that nobody signed.

    Raises
    ------
    P300Error
        ``exposed``: others could use it.
    """
    listening = [one.laddr for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN]
    exposed = [
        f"{address.ip}:{address.port}" for address in listening if not ipaddress.ip_address(address.ip).is_loopback
    ]
    if exposed:
        raise _exposed(f"LocalStack listens on {', '.join(exposed)}, which other machines can reach")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(f"{target.endpoint}/_localstack/info", timeout=10).close()
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.FORBIDDEN:
            return
    except OSError as error:
        raise _exposed(f"LocalStack does not answer a request ({error}), so it is not known to be guarded") from error
    raise _exposed("LocalStack answers a request that is not signed: its guard is not installed")


def _exposed(what: str) -> P300Error:
    return P300Error("exposed", f"{what}. It must not go on like this: end it with `p300 down`, then run `make setup`.")
