"""Submit a job over the admin's mutually authenticated connection, once all clients are there."""

from __future__ import annotations

import sys
import time

from nvflare.fuel.flare_api.flare_api import new_secure_session

kit, job, clients, timeout_s = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
until = time.monotonic() + timeout_s
session = new_secure_session("admin@bench.org", kit)
while len(session.get_system_info().client_info) < clients:
    if time.monotonic() > until:
        sys.exit("not all clients came")
    time.sleep(0.2)
print(session.submit_job(job))
session.close()
