from tests import diagrams


def test_the_diagrams_in_the_docs_are_those_of_the_tables():
    assert diagrams.FILE.read_text(encoding="utf-8") == diagrams.document(), "run `make diagrams`"
