"""Commands about questions that a site's agent has for a person: list them, and permit what they ask."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from hanse.assembly.site_journal import user_name
from hanse.assembly.tuning import now
from hanse.collaborator.site_journal import SiteJournal
from hanse.collaborator.sums.questions import Question, Questions
from hanse.config.layout import QUESTIONS
from hanse.config.settings import load_site
from hanse.core.journal.site_records import MOST_REASON_CHARS, MOST_USER_CHARS
from hanse.core.values.identity import Party, Role
from hanse.core.values.wording import bounded


def questions(directory: Path) -> tuple[Question, ...]:
    """The open questions of a site, the oldest first; the agent may run meanwhile.

    Raises:
        ConfigError: It is not the folder of a site.
        StorageError: They cannot be read.
    """
    load_site(directory)
    return Questions(directory / QUESTIONS).all()


def permit(directory: Path, name: str, reason: str) -> Question:
    """Record a person's yes in the site's journal, and take the question off; the agent may run meanwhile.

    Args:
        directory: The site's folder.
        name: Of the question, or how its name begins.
        reason: A sentence for the journal.

    Returns:
        What was permitted.

    Raises:
        ConfigError: There is no such question, or it is not the folder of a site.
        StorageError: The folder cannot be written.
        TamperedError: The journal is damaged.
    """
    settings, open_questions = load_site(directory), Questions(directory / QUESTIONS)
    asked = open_questions.find(name)
    record = asked.permission(bounded(user_name(), MOST_USER_CHARS), bounded(reason, MOST_REASON_CHARS))
    party = Party(settings.federation, Role.COLLABORATOR, settings.name)
    with closing(SiteJournal(directory, party, now)) as journal:
        journal.append(record)
    open_questions.drop(asked.id)  # by which the agent learns of it
    return asked
