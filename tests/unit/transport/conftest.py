from tests.parties import run as run
