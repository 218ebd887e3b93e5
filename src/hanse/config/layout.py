"""Names of what stands in the directories of parties."""

from __future__ import annotations

AUTHORITY = "ca"
"""Key and certificate of the authority, in a federation's directory."""
IDENTITY = "pki"
"""A party's own key and certificate."""
OPERATOR = "operator"
"""The directory, inside a federation's, of the operator who is at home there; its name as well."""
JOURNAL = "journal.sqlite"
"""The journal: of the runs in a federation's directory, of what left the site in a site's."""
RECEIPTS = "receipts"
"""The folder of a site's directory with the receipts that the aggregator has signed."""
PLANS = "plans"
"""The plans that a site has seen."""
AGENT_LOG = "agent.log"
"""What a site's agent logs."""
