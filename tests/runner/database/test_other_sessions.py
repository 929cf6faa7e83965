"""Who is in the way is told without what they are saying."""

import psycopg2
import pytest

from runner.database.sessions import blockers, longest_transaction

SECRETS = [
    "select 'TopSecret42'", "select $$TopSecret42$$", "select 4111111111111111",
    "select 1 /* TopSecret42 */", "select 1 -- TopSecret42", "select E'it''s TopSecret42'",
]  # fmt: skip


@pytest.mark.parametrize("said", SECRETS)
def test_words_of_other_sessions_are_shown_without_their_literals(database: str, said: str) -> None:
    other, ours = psycopg2.connect(database), psycopg2.connect(database)
    with other.cursor() as cursor:
        cursor.execute(f"select 1 where false; {said}")
    found = longest_transaction(ours)
    assert found
    assert found["query"]
    assert found["query"].startswith("select 1 where false")
    assert not {"TopSecret42", "4111111111111111"} & set(found["query"].replace("'", " ").split())
    assert blockers(ours, other.info.backend_pid) == []
    other.close()
    ours.close()
