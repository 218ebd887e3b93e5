"""Plan code to test with: takes long to end as long as its site's data source holds a file `linger`."""

import atexit
import time

from momentum import Momentum


def learner(site):
    atexit.register(linger, site)
    return Momentum(site)


def linger(site):
    while (site.data["numbers"] / "linger").exists():
        (site.state_dir / "ending").touch()
        time.sleep(0.01)
