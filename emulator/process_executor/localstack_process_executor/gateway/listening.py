"""Keeps LocalStack's gateway on this machine: it listens where GATEWAY_LISTEN says, which must be a loopback address.

LocalStack itself ignores the host and listens on all addresses, and does not report it if it cannot listen at all.
"""

import ipaddress
from collections.abc import Iterable
from typing import Any

import psutil
from localstack import config
from localstack.aws.serving.twisted import TLSMultiplexerFactory
from localstack.runtime.exceptions import LocalstackExit
from localstack.runtime.server.twisted import TwistedRuntimeServer
from rolo.gateway import Gateway
from rolo.gateway.wsgi import WsgiGateway
from rolo.serving.twisted import HeaderPreservingWSGIResource, TwistedGateway
from twisted.internet import reactor, ssl
from twisted.internet.error import CannotListenError

from .. import repairs

# Twisted and LocalStack's server have no types for these.
_reactor: Any = reactor
_resource: Any = HeaderPreservingWSGIResource
_multiplexer: Any = TLSMultiplexerFactory
_certificates: Any = ssl.DefaultOpenSSLContextFactory


def install() -> None:
    """Make LocalStack's server listen through this module."""
    parameters = ("self", "gateway", "listen", "ssl_creds")
    repairs.replace(TwistedRuntimeServer, "register", lambda _usual: _register, parameters=parameters)


def check() -> None:
    """Check every socket on which this process listens.

    Raises
    ------
    LocalstackExit
        If one of them can be reached from another machine.
    """
    if exposed := exposed_sockets(psutil.Process().net_connections("inet")):
        raise LocalstackExit(code=1, reason=f"this process listens on {', '.join(exposed)}; expected loopback only")


def exposed_sockets(connections: Iterable[object]) -> list[str]:
    """Return those of psutil's addresses that other machines can reach."""
    listening = [one.laddr for one in connections if one.status == psutil.CONN_LISTEN]  # type: ignore[attr-defined]
    return [f"{address.ip}:{address.port}" for address in listening if not ipaddress.ip_address(address.ip).is_loopback]


def _register(
    _server: TwistedRuntimeServer,
    gateway: Gateway,
    listen: list[config.HostAndPort],
    ssl_creds: tuple[str, str] | None = None,
) -> None:
    factory: Any = TwistedGateway(gateway)
    # Without WebSockets, which nothing here serves: LocalStack would refuse them from a thread other than Twisted's,
    # after which connections hang. The guard refuses them like any other request.
    factory.resource = _resource(_reactor, _reactor.getThreadPool(), WsgiGateway(gateway))
    if ssl_creds:
        certificate, key = ssl_creds
        context = _certificates(key, certificate)
        context.getContext().use_certificate_chain_file(certificate)
        factory = _multiplexer(context, False, factory)
    for address in listen:
        if not _is_loopback(address.host):
            raise LocalstackExit(code=1, reason=f"GATEWAY_LISTEN names {address}; expected a loopback address")
        try:
            _reactor.listenTCP(address.port, factory, interface=address.host)
        except CannotListenError as error:
            raise LocalstackExit(code=1, reason=str(error)) from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
