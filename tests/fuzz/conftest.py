"""The server and the clients of the transport's own tests."""

from tests.integration.transport.conftest import aggregator as aggregator
from tests.integration.transport.conftest import authority as authority
from tests.integration.transport.conftest import context as context
from tests.integration.transport.conftest import service as service
from tests.integration.transport.conftest import site as site
from tests.parties import run as run
