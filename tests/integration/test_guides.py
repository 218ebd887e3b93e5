"""The commands of the guides for sites and operators, each carried out in a federation that runs."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.pages import ROOT, Block, blocks_of, followed, missing_lines

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LATER = "until hanse plan list{} | grep -q 'waits for a person'; do sleep 0.2; done"
"""Waits until the agent of a site has heard of a run; a reader has the time."""

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
  hanse collaborator signing-key --site $site --json | sed -n "s/.*fingerprint.: .\([0-9a-f]*\).*/$site \1/p" >> signers.txt
done
hanse run submit project/plan.yaml --watch
hanse run export project-1
cp project-1/journal.jsonl federation/ca/ca.crt .
cp -r east/receipts receipts-of-north && cp -r south/receipts receipts-of-south
"""
"""A federation with a finished run of three sites; a fourth is invited."""

AT_A_SITE = {
    "mkdir xrays && cd xrays": "mkdir xrays && cp -r journal.jsonl ca.crt signers.txt receipts-of-* xrays && cd xrays",
    "hanse join TOKEN --data xrays=/srv/xrays": "mkdir data && hanse join $(cat ../north.token) --data xrays=data",
    "hanse collaborator start": "hanse collaborator start 2> /dev/null & AGENT=$!\n"
    f"hanse run submit ../project/other.yaml -d ../federation\n{LATER.format('')}\n"
    "DIGEST=$(hanse plan list | sed -n '2s/ .*//p')",
    "hanse plan show DIGEST": "hanse plan show $DIGEST",
    'hanse plan approve DIGEST --reason "ethics vote 17/2026"': 'hanse plan approve $DIGEST --reason "vote 17/2026"',
    'hanse plan reject DIGEST --reason "no vote for this"': 'hanse plan reject $DIGEST --reason "no vote for this"',
    'hanse collaborator acknowledge --reason "the disk failed on 4 May"': "kill $AGENT && wait $AGENT\n"
    "head -c 4096 /dev/zero > journal.sqlite && rm -f journal.sqlite-*\n"
    'hanse collaborator acknowledge --reason "the disk failed on 4 May"',
    "hanse join --request north-hospital --federation chest-xray --url https://aggregator.example.org:8443 "
    "--output north-hospital.csr": "mkdir ../by-hand && cd ../by-hand\n"
    "hanse join --request by-hand --federation chest-xray --output north-hospital.csr "
    "--url $(sed -n 's/^url: //p' ../federation/aggregator.yaml)",
    "hanse federation sign north-hospital.csr --name north-hospital --output north-hospital.pem": "hanse federation "
    "sign north-hospital.csr --name by-hand --output north-hospital.pem -d ../federation",
}
"""What stands in the place of names and addresses of the page, by line."""

FOLDER = "/var/lib/hanse/federation"
AT_THE_AGGREGATOR = {
    f"hanse federation create {FOLDER} --name chest-xray --host aggregator.example.org": "export HANSE_FEDERATION=$PWD/f\n"
    "hanse federation create $HANSE_FEDERATION --name chest-xray",
    f"hanse aggregator start {FOLDER}": "hanse aggregator start $HANSE_FEDERATION 2> log & AGGREGATOR=$!",
    "hanse federation invite north-hospital": "hanse join $(hanse federation invite ada) --site ada\n"
    "hanse join $(hanse federation invite north-hospital) --site north",
    "hanse federation invite ada --role operator": "hanse federation invite eve --role operator",
    "hanse run submit plan.yaml --watch": "hanse new project && hanse run submit project/plan.yaml",
    "hanse run status RUN": "hanse run status project-1",
    "hanse run watch RUN": "timeout 5 hanse run watch project-1 || test $? = 124",
    'hanse run stop RUN --reason "wrong learning rate"': 'hanse run stop project-1 --reason "wrong learning rate"',
    "hanse run resume RUN": "hanse run resume project-1",
    "hanse run reinstate RUN SITE": "! hanse run reinstate project-1 ada",
    "hanse run export RUN --output results": "hanse run export project-1 --output results",
    'sqlite3 journal.sqlite ".backup backup/journal.sqlite"': "cd $HANSE_FEDERATION && mkdir backup",
    'hanse aggregator acknowledge --reason "the disk failed on 4 May; the copy is of 3 May"': "! hanse aggregator acknowledge",
}


def adapted(page: str, instead: Mapping[str, str]) -> list[Block]:
    """The blocks of a page with other names; what installs packages is left out."""
    blocks = [
        block
        for block in blocks_of(ROOT / "docs" / page)
        if "pip install" not in block.commands and "dist" not in block.commands
    ]
    lines = [line for block in blocks for line in block.commands.splitlines()]
    assert [line for line in instead if line not in lines] == [], "no line of the page any more"
    return [
        Block("\n".join(instead.get(line, line) for line in block.commands.splitlines()), block.shown)
        for block in blocks
    ]


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


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

    printed = followed(blocks, folder, free_port(), timeout_s=500)

    shown = [
        line for block, text in zip(blocks, printed, strict=True) for line in missing_lines(block.shown, text)
    ]
    assert shown == []
