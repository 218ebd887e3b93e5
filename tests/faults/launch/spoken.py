"""`hanse` as an older or a newer version would speak: `python spoken.py OLDEST-NEWEST COMMAND ...`."""

import sys
from dataclasses import replace

from hanse.assembly import tuning
from hanse.cli.main import main
from hanse.wire import protocol

oldest, _, newest = sys.argv.pop(1).partition("-")
protocol.SPOKEN = protocol.Versions(int(oldest), int(newest or oldest))
tuning.current = replace(tuning.current, upgrade_s=1.0)
main()
