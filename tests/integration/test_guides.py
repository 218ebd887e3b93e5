"""The commands of the guides for sites and operators, each carried out in a federation that runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.pages import ROOT, Block, blocks_of, followed, missing_lines

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PREPARED = r"""
hanse new project && sed 's/rounds: 10/rounds: 2/' -i project/plan.yaml
sed 's/seed: 1/seed: 2/' project/plan.yaml > project/other.yaml
hanse federation create --name chest-xray
for site in east south west; do hanse federation invite $site > $site.token; done
hanse federation invite north-hospital > north.token
hanse aggregator start 2> aggregator.log &
for site in east south west; do
  hanse join - --site $site < $site.token
  hanse plan approve project/plan.yaml --site $site
  hanse collaborator start --site $site 2> /dev/null &
  KEY=$(hanse collaborator signing-key --site $site --json | sed -n 's/.*fingerprint.: .\([0-9a-f]*\).*/\1/p')
  echo "$site $KEY" >> signers.txt
done
hanse run submit project/plan.yaml --watch
hanse run export project-1
cp project-1/journal.jsonl federation/ca/ca.crt .
cp -r east/receipts receipts-of-north && cp -r south/receipts receipts-of-south
"""
"""A federation with a finished run of three sites; a fourth is invited."""

AT_A_SITE = {
    "mkdir xrays && cd xrays": """
mkdir xrays && cp -r journal.jsonl ca.crt signers.txt receipts-of-* xrays && cd xrays""",
    "hanse join TOKEN --data xrays=/srv/xrays": """
mkdir data && hanse join $(cat ../north.token) --data xrays=data""",
    "hanse collaborator trust south-hospital": """
WORDS=$(hanse collaborator signing-key --site ../south --json | sed -n 's/.*"words": "\\(.*\\)".*/\\1/p')
hanse collaborator trust south --words "$WORDS" && grep -q '^    south: ' site.yaml""",
    "hanse collaborator start": """
hanse collaborator start 2> /dev/null & AGENT=$!
hanse run submit ../project/other.yaml -d ../federation
until hanse plan list | grep -q 'waits for a person'; do sleep 0.2; done  # a reader has the time
DIGEST=$(hanse plan list | sed -n '2s/ .*//p')""",
    "hanse audit show journal.jsonl --ca ca.crt --site north-hospital": """
hanse audit show journal.jsonl --ca ca.crt --site east""",
    'hanse collaborator acknowledge --reason "the disk failed on 4 May"': """
kill $AGENT && wait $AGENT
head -c 4096 /dev/zero > journal.sqlite && rm -f journal.sqlite-*
hanse collaborator acknowledge --reason "the disk failed on 4 May" """,
    "hanse join --request north-hospital --federation chest-xray --url https://aggregator.example.org:8443 "
    "--output north-hospital.csr": """
URL=$(sed -n 's/^url: //p' ../federation/aggregator.yaml) && mkdir ../by-hand && cd ../by-hand
hanse join --request by-hand --federation chest-xray --url $URL --output north-hospital.csr""",
    "hanse federation sign north-hospital.csr --name north-hospital --output north-hospital.pem": """
hanse federation sign north-hospital.csr --name by-hand --output north-hospital.pem -d ../federation""",
}
"""What is typed in the place of a line of the page, which names what is elsewhere."""

FOLDER = "/var/lib/hanse/federation"
AT_THE_AGGREGATOR = {
    f"hanse federation create {FOLDER} --name chest-xray --host aggregator.example.org": """
export HANSE_FEDERATION=$PWD/federation
hanse federation create $HANSE_FEDERATION --name chest-xray""",
    f"hanse aggregator start {FOLDER}": """
hanse aggregator start $HANSE_FEDERATION > ready 2> log &
until grep -q ready ready; do sleep 0.2; done""",
    "hanse federation invite north-hospital": """
hanse join $(hanse federation invite ada) --site ada
hanse join $(hanse federation invite north-hospital) --site north""",
    "hanse federation invite ada --role operator": """
hanse federation invite eve --role operator""",
    "hanse run submit plan.yaml --watch": """
hanse new project && hanse run submit project/plan.yaml""",
    "hanse run watch RUN": """
timeout 5 hanse run watch RUN || test $? = 124  # it waits for sites""",
    "hanse run reinstate RUN SITE": """
hanse run reinstate RUN ada && exit 1 || true  # ada is not suspended""",
    'sqlite3 journal.sqlite ".backup backup/journal.sqlite"': """
cd $HANSE_FEDERATION && mkdir backup""",
    'hanse aggregator acknowledge --reason "the disk failed on 4 May; the copy is of 3 May"': """
hanse aggregator acknowledge --reason test && exit 1 || true  # nothing was restored""",
}
"""The same."""

NAMES = {" RUN": " project-1", " DIGEST": " $DIGEST"}


def adapted(page: str, instead: Mapping[str, str]) -> list[Block]:
    """The blocks of a page with other names; what installs packages is left out."""
    blocks = [
        block
        for block in blocks_of(ROOT / "docs" / page)
        if "pip install" not in block.commands and "dist" not in block.commands
    ]
    lines = [line for block in blocks for line in block.commands.splitlines()]
    assert [line for line in instead if line not in lines] == [], "no line of the page any more"
    for block in blocks:
        block.commands = "\n".join(instead.get(line, line) for line in block.commands.splitlines())
        for name, value in NAMES.items():
            block.commands = block.commands.replace(name, value)
    return blocks


@pytest.mark.parametrize(
    ("page", "instead", "before"),
    [("join.md", AT_A_SITE, [Block(PREPARED)]), ("aggregator.md", AT_THE_AGGREGATOR, [])],
)
def test_commands_of_a_guide_can_be_carried_out_in_their_order(
    page: str, instead: Mapping[str, str], before: list[Block], tmp_path: Path
) -> None:
    blocks = [*before, *adapted(page, instead)]
    folder = tmp_path / "machine"
    folder.mkdir()

    printed = followed(blocks, folder, timeout_s=500)

    pairs = zip(blocks, printed, strict=True)
    assert [line for block, text in pairs for line in missing_lines(block.shown, text)] == []
