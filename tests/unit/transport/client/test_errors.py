import ssl

import pytest

from hanse.errors import CredentialError, HanseError, ProtocolError, StorageError, TransportError
from hanse.transport.client.errors import explain

URL = "https://aggregator.example.org"


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


def distrust(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (distrust(9), CredentialError, "not valid yet"),
        (distrust(10), CredentialError, "has expired"),
        (distrust(18), CredentialError, "another authority"),
        (distrust(20), CredentialError, "another authority"),
        (distrust(62), CredentialError, "another host name"),
        (
            tls_error("SSLV3_ALERT_CERTIFICATE_EXPIRED"),
            CredentialError,
            "this party's certificate has expired",
        ),
        (tls_error("SSLV3_ALERT_CERTIFICATE_REVOKED"), CredentialError, "certificate revoked"),
        (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), CredentialError, "certificate required"),
        (tls_error("TLSV1_ALERT_UNKNOWN_CA"), CredentialError, "from another authority"),
        (tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), ProtocolError, "TLS 1.3"),
        (tls_error("WRONG_VERSION_NUMBER"), ProtocolError, "TLS 1.3"),
        (tls_error("TLSV1_ALERT_INTERNAL_ERROR"), TransportError, "broke: TLSV1_ALERT_INTERNAL_ERROR"),
        (tls_error("DECRYPTION_FAILED_OR_BAD_RECORD_MAC"), TransportError, "broke: DECRYPTION_FAILED"),
        (ConnectionResetError(), TransportError, "was cut"),
        (TimeoutError(), TransportError, "did not answer in time"),
    ],
)
def test_what_will_not_pass_is_told_from_what_may(error: OSError, kind: type[HanseError], words: str) -> None:
    explained = explain(error, URL, None)

    assert type(explained) is kind
    assert URL in str(explained)
    assert words in str(explained)


def test_the_reason_may_stand_behind_the_error() -> None:
    error = ConnectionResetError()
    error.__cause__ = tls_error("TLSV1_ALERT_UNKNOWN_CA")

    assert isinstance(explain(error, URL, None), CredentialError)


def test_what_was_handled_before_is_not_the_reason() -> None:
    error = ConnectionResetError()
    error.__context__ = tls_error("TLSV1_ALERT_UNKNOWN_CA")

    assert isinstance(explain(error, URL, None), TransportError)


def test_an_error_of_our_own_stays_what_it_is() -> None:
    error, own = ConnectionResetError(), StorageError("cannot read the update")
    error.__cause__ = own

    assert explain(error, URL, None) is own


def test_a_proxy_on_the_way_is_named_where_nobody_answered() -> None:
    assert "through the proxy http://proxy:3128" in str(explain(TimeoutError(), URL, "http://proxy:3128"))
