"""Sealed models and updates at a site."""

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.sealed_runs import HUB, FakeInstance, an_owner, first_model, sealed
from tests.unit.collaborator.aggregators import TRAIN

from hanse.collaborator.sealed.runs import SealedRun, vouched_run
from hanse.core.plan.manifest import CodeFile, Manifest
from hanse.core.plan.plan import Plan
from hanse.core.values.canonical import sha256
from hanse.core.values.evidence.sealed_key import WrappedKey
from hanse.errors import PolicyError
from hanse.sealing.file import SealedFile, open_sealed
from hanse.sealing.header import file_key, read_header
from hanse.sealing.keys import wrap_key
from hanse.sealing.owner import OwnerKey
from hanse.sealing.run_files import AGGREGATOR_INSTANCE, FOR_SITES, SEALED_KEY, RunLabels
from hanse.wire.messages.evidence import Shown

SITE, OTHER = FakeInstance(2), FakeInstance(3)
MODEL = b"weights, " * 1000


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> OwnerKey:
    return an_owner(tmp_path_factory.mktemp("owner"))


def plan_of(owner: OwnerKey, first: SealedFile | None = None) -> Manifest:
    code = {"heart.py": b"", "policy.toml": b"", "owner.json": owner.public.to_bytes()}
    plan = Plan.model_validate(
        {
            "name": "demo",
            "code": list(code),
            "learner": "heart:learner",
            "rounds": 2,
            "tasks": {"train": TRAIN},
            "attestation": {"collaborators": "policy.toml"},
            "sealed": {"owner": "owner.json"},
            "initial_model": "first.sealed",
        }
    )
    digest, size = ("0" * 64, 1) if first is None else (first.digest, first.size)
    files = tuple(CodeFile(path=path, sha256=sha256(data), size=len(data)) for path, data in code.items())
    return Manifest(
        plan=plan, files=files, initial_model=CodeFile(path="first.sealed", sha256=digest, size=size)
    )


class Place:
    """A site in a sealed run, and what its aggregator does."""

    def __init__(self, folder: Path, owner: OwnerKey) -> None:
        self.folder, self.owner = folder, owner
        self.first = first_model(MODEL, folder / "first.sealed", owner)
        self.manifest = plan_of(owner, self.first)
        self.labels = RunLabels("north", "demo-1", self.manifest.digest)
        (folder / "owner.json").write_bytes(owner.public.to_bytes())

    def vouched(self, instance: FakeInstance = HUB, by: OwnerKey | None = None, **other: Any) -> Shown:
        body = replace(self.labels, **other).instance_body(instance.seal_public, instance.speak_public)
        word = (by or self.owner).sign(AGGREGATOR_INSTANCE, body).signature
        return Shown(seal=instance.seal_public, speak=instance.speak_public, owner=word)

    def run(self, shown: Shown | None = None) -> SealedRun:
        return vouched_run(self.labels, self.manifest, self.folder, SITE, shown or self.vouched())

    def model(self, content: bytes = MODEL, **label: Any) -> tuple[Path, SealedFile]:
        """A model as the aggregator seals it."""
        path = self.folder / "model"
        made = sealed(
            content, path, replace(self.labels, **label).of("model", "model"), self.owner.seal.public
        )
        return path, made

    def given(
        self, made: SealedFile, to: FakeInstance = SITE, by: FakeInstance = HUB, digest: str = ""
    ) -> WrappedKey:
        """The key of a file as the aggregator gives it."""
        file = digest or made.digest
        wrapped = wrap_key(made.key, to.seal.public, self.labels.key_info(to.name, file))
        text = base64.b64encode(wrapped).decode()
        return WrappedKey(wrapped=text, said=by.say(SEALED_KEY, self.labels.key_body(to.name, file, text)))

    def opened(self, path: Path, digest: str, key: WrappedKey | None) -> bytes:
        place = self.folder / "plain"
        self.run().open_input(path, place, digest, key, *FOR_SITES)
        return place.read_bytes()

    def refused(self, path: Path, digest: str, key: WrappedKey | None, reason: str) -> None:
        with pytest.raises(PolicyError, match=reason):
            self.opened(path, digest, key)
        assert not (self.folder / "plain").exists()


@pytest.fixture
def place(tmp_path: Path, owner: OwnerKey) -> Place:
    return Place(tmp_path, owner)


class TestAggregators:
    def test_the_owner_has_to_vouch_for_this_instance_in_this_run(self, place: Place, tmp_path: Path) -> None:
        mallory = an_owner(tmp_path, "mallory")
        refused = (
            place.vouched(by=mallory),
            place.vouched(run="demo-2"),
            place.vouched(plan="cd" * 32),
            place.vouched(rehearsal=True),
            place.vouched().model_copy(update={"seal": OTHER.seal_public}),
            place.vouched().model_copy(update={"speak": OTHER.speak_public}),
            place.vouched().model_copy(update={"owner": ""}),
        )

        for shown in refused:
            with pytest.raises(PolicyError, match="does not vouch for the aggregator's instance"):
                place.run(shown)


class TestModels:
    def test_a_model_opens_with_the_key_that_came_for_it(self, place: Place) -> None:
        path, made = place.model()

        assert place.opened(path, made.digest, place.given(made)) == MODEL

    def test_the_first_model_opens_where_the_plan_names_it(self, place: Place) -> None:
        key = place.given(place.first)

        assert place.opened(place.folder / "first.sealed", place.first.digest, key) == MODEL

    def test_a_first_model_that_the_plan_does_not_name_is_refused(self, place: Place) -> None:
        path = place.folder / "planted"
        made = first_model(b"planted", path, place.owner)

        place.refused(path, made.digest, place.given(made), "is not the one that the plan names")

    def test_a_first_model_that_its_owner_has_not_signed_is_refused(
        self, place: Place, tmp_path: Path
    ) -> None:
        path = place.folder / "planted"
        made = first_model(b"planted", path, an_owner(tmp_path, "mallory"))
        place.manifest = plan_of(place.owner, made)
        place.labels = RunLabels("north", "demo-1", place.manifest.digest)

        place.refused(path, made.digest, place.given(made), "signed with another key")

    def test_without_a_key_none_is_opened(self, place: Place) -> None:
        path, made = place.model()

        place.refused(path, made.digest, None, "came without its key")

    def test_a_key_for_another_instance_is_refused(self, place: Place) -> None:
        path, made = place.model()

        place.refused(path, made.digest, place.given(made, to=OTHER), "is refused")

    def test_a_key_for_another_file_is_refused(self, place: Place) -> None:
        path, made = place.model()

        place.refused(path, made.digest, place.given(made, digest="ab" * 32), "is refused")

    def test_a_key_that_another_than_the_aggregators_instance_gave_is_refused(self, place: Place) -> None:
        path, made = place.model()

        place.refused(path, made.digest, place.given(made, by=OTHER), "is refused")

    @pytest.mark.parametrize(
        "label", [{"run": "demo-2"}, {"plan": "cd" * 32}, {"federation": "south"}, {"rehearsal": True}]
    )
    def test_a_model_of_another_run_is_refused(self, place: Place, label: dict[str, Any]) -> None:
        path, made = place.model(**label)

        place.refused(path, made.digest, place.given(made), "should be")

    def test_an_update_does_not_pass_for_a_model(self, place: Place) -> None:
        path = place.folder / "update"
        made = sealed(MODEL, path, place.labels.update(1, "b"), HUB.seal.public)

        place.refused(path, made.digest, place.given(made), "should be a file for model")

    def test_one_that_was_cut_is_refused(self, place: Place) -> None:
        path, made = place.model()
        path.write_bytes(path.read_bytes()[:-20])

        place.refused(path, made.digest, place.given(made), "is refused")


class TestUpdates:
    def sealed_update(self, place: Place) -> Path:
        (place.folder / "update").write_bytes(b"update")
        target = place.folder / "update.sealed"
        place.run().seal_update(place.folder / "update", target, 3, "blake3", "a")
        return target

    def test_the_aggregators_instance_opens_an_update(self, place: Place, tmp_path: Path) -> None:
        path = self.sealed_update(place)
        key = file_key(read_header(path), HUB.seal)

        assert key is not None
        open_sealed(path, tmp_path / "opened", key, place.labels.update(3, "a"))
        assert (tmp_path / "opened").read_bytes() == b"update"

    def test_neither_another_site_nor_the_owner_opens_it(self, place: Place) -> None:
        header = read_header(self.sealed_update(place))

        assert file_key(header, OTHER.seal) is None
        assert file_key(header, place.owner.seal) is None
