"""Request of a party that joins by files: certificate signing request and statement of its signing key."""

from __future__ import annotations

import base64
import re
import textwrap

from pydantic import ValidationError

from hanse.core.values.statements import SignedStatement
from hanse.errors import CredentialError

_BEGIN, _END = "-----BEGIN HANSE ENROLMENT-----", "-----END HANSE ENROLMENT-----"
_BLOCK = re.compile(rf"{_BEGIN}\s(.*?){_END}", re.DOTALL)


def write_request(csr: str, enrolment: SignedStatement) -> str:
    """Write a request as one text: the certificate signing request (PEM), and below it the statement."""
    encoded = base64.b64encode(enrolment.model_dump_json().encode()).decode("ascii")
    return "\n".join([csr.rstrip("\n"), _BEGIN, *textwrap.wrap(encoded, 64), _END, ""])


def read_request(text: str) -> tuple[str, SignedStatement]:
    """Take a request apart; neither of the two is believed yet.

    Raises:
        CredentialError: The statement of the signing key is missing or damaged.
    """
    found = _BLOCK.search(text)
    if found is None:
        raise CredentialError(
            "the request states no signing key",
            mend="Make it again with `hanse join --request` of Hanse 0.2 or later.",
        )
    try:
        data = base64.b64decode("".join(found[1].split()), validate=True)
        return text[: found.start()], SignedStatement.model_validate_json(data)
    except (ValueError, ValidationError) as error:
        raise CredentialError(
            "the statement of the signing key in the request cannot be read",
            mend="Copy the file again, whole.",
        ) from error
