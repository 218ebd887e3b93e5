"""`hanse` as an older or a newer version would speak: `python spoken.py OLDEST-NEWEST COMMAND ...`."""

import sys

from hanse import assembly
from hanse.cli.main import main
from hanse.wire import protocol

oldest, _, newest = sys.argv.pop(1).partition("-")
protocol.SPOKEN = protocol.Versions(int(oldest), int(newest or oldest))
assembly.UPGRADE_S = 1.0
main()
