"""What went wrong on the way to an aggregator, in words, and whether trying again can help."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import aiohttp

from hanse.errors import ConfigError, CredentialError, HanseError, ProtocolError, TransportError

_UNTRUSTED = {
    # By the result of OpenSSL's verification (X509_V_ERR_...).
    9: ("its certificate is not valid yet", "Is the clock of this machine right?"),
    10: ("its certificate has expired", "Its operator has to renew it; is the clock of this machine right?"),
    62: ("its certificate is for another host name", "Use the address that the operator gave you."),
    64: ("its certificate is for another IP address", "Use the address that the operator gave you."),
}
_FOREIGN = (
    "its certificate is from another authority than this federation's",
    "Check the address. A proxy that opens TLS connections has to let this one through unopened.",
)
_ALERTS = {
    "CERTIFICATE_EXPIRED": (
        "this party's certificate has expired",
        "Ask the federation's operator for a new invitation; are the clocks at both ends right?",
    ),
    "UNKNOWN_CA": (
        "this party's certificate is from another authority",
        "Join this federation with `hanse join TOKEN`.",
    ),
}
_NOT_TLS_1_3 = ("WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION", "HANDSHAKE_FAILURE")


def explain(error: Exception, url: str, proxy: str | None) -> HanseError:
    """Turn what the network threw into an error for whoever has to act.

    Args:
        error: From aiohttp, http.client, ssl or the operating system.
        url: The aggregator's address.
        proxy: Address of the proxy on the way, without its password; None where there is none.
    """
    for cause in _causes(error):
        match cause:
            case HanseError():
                return cause  # raised while a file was read that was to be sent
            case aiohttp.ClientHttpProxyError():
                return proxy_refused(cause.status, url, proxy)
            case aiohttp.ClientError():
                pass  # some are errors of `ssl` too, and know less than the one behind them
            case ssl.SSLCertVerificationError():
                what, mend = _UNTRUSTED.get(cause.verify_code, _FOREIGN)
                return CredentialError(f"{url} cannot be trusted: {what}", mend=mend)
            case ssl.SSLError():
                return _handshake(cause, url)
            case _:
                pass
    return _network(error, url, proxy)


def not_hanse(url: str, what: str) -> ProtocolError:
    """Somebody else answers at the aggregator's address."""
    return ProtocolError(
        f"{url} does not answer like a Hanse aggregator: {what}",
        mend="Check host and port, and whether a proxy or a login page answers in its place.",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _handshake(error: ssl.SSLError, url: str) -> HanseError:
    reason = error.reason or ""
    _, is_alert, alert = reason.partition("_ALERT_")
    if alert in _ALERTS:
        what, mend = _ALERTS[alert]
        return CredentialError(f"{url} refused the connection: {what}", mend=mend)
    if is_alert and "CERTIFICATE" in alert:
        return CredentialError(
            f"{url} refused this party's certificate ({alert.lower().replace('_', ' ')})",
            mend="`hanse doctor` says more about it.",
        )
    if reason.endswith(_NOT_TLS_1_3):
        return not_hanse(url, "no TLS 1.3 is spoken there")
    return TransportError(f"the TLS connection to {url} broke: {reason or error}")


def unknown_host(url: str) -> TransportError:
    """The host name in an address is not known."""
    return TransportError(
        f"the host name in {url} is not known here",
        mend="Check the address, and the name service (DNS) of this machine.",
    )


def unreachable(url: str, proxy: str | None, reason: str) -> TransportError:
    """No connection comes about.

    Args:
        url: The aggregator's address.
        proxy: Address of the proxy that was to be reached in its place, without its password.
        reason: What the operating system says.
    """
    if proxy is not None:
        what = f"the proxy {proxy} cannot be reached: {reason}"
        return TransportError(what, mend="Check the setting of the proxy, and that it is up.")
    return TransportError(
        f"{url} cannot be reached: {reason}",
        mend="Is the aggregator running, is the port right, and does the firewall let this through?",
    )


def proxy_refused(status: int, url: str, proxy: str | None) -> HanseError:
    """A proxy does not let a connection through."""
    what = f"the proxy {proxy} answered {status} when asked for {url}"
    if status >= 500:
        return TransportError(what, mend="Is the aggregator up, and may the proxy reach it?")
    return ConfigError(what, mend="Ask the proxy's administrator to allow this address, or for a password.")


def _network(error: Exception, url: str, proxy: str | None) -> HanseError:
    match error:
        case aiohttp.ClientProxyConnectionError():
            return unreachable(url, proxy, _reason(error))
        case aiohttp.ClientConnectorDNSError():
            return unknown_host(url)
        case aiohttp.ClientConnectorError():
            return unreachable(url, None, _reason(error))
        case TimeoutError():
            what = f"{url} did not answer in time" + (f" through the proxy {proxy}" if proxy else "")
            return TransportError(
                what, mend="Is the aggregator running, and does the firewall let this through?"
            )
        case aiohttp.InvalidURL():
            return ConfigError(
                f"{url} is not an address", mend="Give it as in https://aggregator.example.org:8443."
            )
        case OSError() | aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError():
            return TransportError(f"the connection to {url} was cut")
        case _:
            return not_hanse(url, "what came is not HTTP")


def _reason(error: aiohttp.ClientConnectorError) -> str:
    return error.strerror or str(error.os_error) or "it hung up at once"
