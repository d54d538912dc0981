from pathlib import Path

import pytest

from candlecast.errors import CandlecastError, error_tree
from candlecast.settings import Settings
from tools.dictionary import MEANINGS, TABLES, data_dictionary, meaning, tables
from tools.generate_docs import DOCUMENTS, configuration, errors


@pytest.mark.parametrize("path", list(DOCUMENTS), ids=lambda path: path.name)
def test_every_generated_document_is_fresh(path: Path) -> None:
    assert path.read_text() == DOCUMENTS[path](), "stale; run make generate"


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_each_setting_is_documented(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description, f"write a docstring below {name} in candlecast/settings.py"
    assert f"| `CANDLECAST_{name.upper()}` |" in configuration()


@pytest.mark.parametrize("error", error_tree(), ids=lambda error: error.__name__)
def test_each_error_says_its_cause_and_what_to_do(error: type[CandlecastError]) -> None:
    assert "__doc__" in vars(error), "say in a docstring when it happens"
    assert error.__doc__
    assert "remedy" in vars(error), "say in `remedy` what to do"
    assert f"## {error.named()}\n" in errors()


def test_codes_are_unique() -> None:
    codes = [error.named() for error in error_tree()]
    assert len(codes) == len(set(codes))


def test_each_column_has_a_meaning_and_each_meaning_a_column() -> None:
    columns = [column for table in tables() for column in table.columns]
    described = {column.name for column in columns} | {f"{column.table.name}.{column.name}" for column in columns}
    assert [f"{one.table.name}.{one.name}" for one in columns if not _has_meaning(one.table.name, one.name)] == []
    assert set(MEANINGS) <= described, "tools/dictionary.py describes what is not there"
    assert {table.name for table in tables()} == set(TABLES)
    assert all(meaning(column) in data_dictionary().replace("\\|", "|") for column in columns)


def _has_meaning(table: str, column: str) -> bool:
    return f"{table}.{column}" in MEANINGS or column in MEANINGS
