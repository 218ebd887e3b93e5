"""The authority and everybody's certificate, by the functions behind `fx`'s commands.

One interpreter instead of one a command: `fx` takes over a second to start, and eight sites
need twenty-six commands.
"""

from __future__ import annotations

import sys

from openfl.interface import aggregator, collaborator, workspace

workspace.certify()
aggregator.generate_cert_request("localhost")
aggregator.certify("localhost", True)
for number in range(int(sys.argv[1])):
    name = f"site-{number}"
    collaborator.create(name, name, True)
    collaborator.generate_cert_request(name, True, True)
    collaborator.certify(name, True)
