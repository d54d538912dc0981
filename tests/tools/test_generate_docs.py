import pytest

from candlecast.settings import Settings
from tools.generate_docs import CONFIGURATION, configuration


def test_the_configuration_page_is_fresh() -> None:
    assert CONFIGURATION.read_text() == configuration(), "stale; run make generate"


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_each_setting_is_documented(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description, f"write a docstring below {name} in candlecast/settings.py"
    assert f"| `CANDLECAST_{name.upper()}` |" in configuration()
