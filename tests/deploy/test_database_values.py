"""How the pods are told where Postgres is, and as whom: rows 24 and 26 of the scorecard."""

from typing import Any

import pytest
from psycopg2.extensions import parse_dsn
from sqlalchemy.engine import make_url

from candlecast.store.roles import RIGHTS
from tests.deploy.manifests import CI, Manifest, helm, kind, needs_helm, objects, templates

OWN = ("--set", "database.external.existingSecret=mine")
PARTS = next(path for path in CI if path.stem == "parts")


def environment(manifests: list[Manifest], component: str) -> dict[str, Any]:
    """Return the variables of a component's own container: values, or (secret, key)."""
    pod = dict(templates(manifests))[component]
    return {
        one["name"]: one.get("value") or tuple(one["valueFrom"]["secretKeyRef"][part] for part in ("name", "key"))
        for one in pod["spec"]["containers"][0]["env"]
    }


@needs_helm
@pytest.mark.row(24)
def test_a_secret_of_yours_is_read_by_the_keys_that_you_name() -> None:
    keys = "database.external.urlKey=uri,database.external.directUrlKey=direct"
    found = environment(helm(*OWN, "--set", keys), "training")
    assert found["CANDLECAST_DATABASE_URL"] == ("mine", "uri")
    assert found["CANDLECAST_DATABASE_DIRECT_URL"] == ("mine", "direct")
    found = environment(
        helm(*OWN, "--set", "api.existingSecret=tokens,api.tokensKey=pairs,api.tokenKey=one"), "service"
    )
    assert found["CANDLECAST_API_TOKENS"] == ("tokens", "pairs")


@needs_helm
@pytest.mark.row(24)
def test_a_secret_of_parts_makes_an_address_without_user_and_password_in_it() -> None:
    found = environment(objects(PARTS), "migrate")
    assert found["CANDLECAST_DATABASE_URL"] == "postgresql://$(DATABASE_HOST):$(DATABASE_PORT)/$(DATABASE_NAME)"
    assert [found[f"DATABASE_{part}"] for part in ("HOST", "PORT", "NAME")] == [
        ("managed-postgres", "host"),
        ("managed-postgres", "port"),
        ("managed-postgres", "dbname"),
    ]
    assert found["CANDLECAST_DATABASE_USER"] == ("managed-postgres", "user")
    assert found["CANDLECAST_DATABASE_PASSWORD"] == ("managed-postgres", "password")
    # A variable is expanded only where those that it names come first.
    assert list(found).index("DATABASE_PORT") < list(found).index("CANDLECAST_DATABASE_URL")


@needs_helm
@pytest.mark.row(24)
def test_each_program_comes_as_its_own_user_where_there_are_users() -> None:
    users = {
        "service": "serve",
        "exporter": "monitor",
        "dispatcher": "dispatch",
        "ingestion": "ingest",
        "training": "train",
        "drift": "monitor",
        "retention": "retain",
    }
    for component, role in users.items():
        found = environment(objects(PARTS), component)
        assert found["CANDLECAST_DATABASE_USER"] == f"candlecast_{role}"
        assert found["CANDLECAST_DATABASE_PASSWORD"] == ("managed-postgres-users", role)


@needs_helm
@pytest.mark.row(24)
def test_the_migration_makes_the_users_only_where_it_is_told_to() -> None:
    (job,) = kind(helm(*OWN, "--set", "database.roles.mode=create"), "Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"][-2:] == ["--roles", "candlecast"]
    passwords = {one["name"] for one in container["env"] if one["name"].startswith("ROLE_PASSWORD_")}
    assert passwords == {f"ROLE_PASSWORD_{role.upper()}" for role in RIGHTS}
    (secret,) = [
        one for one in kind(helm(*OWN, "--set", "database.roles.mode=create"), "Secret") if "serve" in str(one)
    ]
    assert secret["stringData"].keys() == set(RIGHTS)
    assert len(set(secret["stringData"].values())) == len(RIGHTS)
    assert not [name for name in environment(objects(PARTS), "migrate") if name.startswith("ROLE_PASSWORD_")]


@needs_helm
@pytest.mark.row(24)
@pytest.mark.parametrize("password", ["p@s/s:w#r?d", "a b+c%20d&e"])
def test_a_trials_password_may_hold_any_letter(password: str) -> None:
    secrets = kind(
        helm("--set", "database.mode=trial", "--set-string", f"database.trial.password={password}"), "Secret"
    )
    (secret,) = [one["stringData"] for one in secrets if "url" in one["stringData"]]
    assert secret["password"] == password
    for key in ("url", "direct-url"):
        assert make_url(secret[key]).password == password
        assert parse_dsn(secret[key])["password"] == password
        assert make_url(secret[key]).host == "candlecast-database"


@needs_helm
@pytest.mark.row(10, 24)
def test_releases_on_one_server_have_users_of_their_own() -> None:
    def prefix(release: str, *options: str) -> str:
        manifests = helm(*OWN, "--set", "database.roles.mode=create", *options, release=release)
        (job,) = kind(manifests, "Job")
        told = str(job["spec"]["template"]["spec"]["containers"][0]["command"][-1])
        assert environment(manifests, "service")["CANDLECAST_DATABASE_USER"] == f"{told}_serve"
        return told

    assert prefix("candlecast") == "candlecast"
    assert prefix("team-a") == "team_a_candlecast"
    assert prefix("team-a", "--set", "database.roles.prefix=mine") == "mine"


@needs_helm
@pytest.mark.row(26)
def test_the_way_to_postgres_is_encrypted_and_its_certificate_checked_where_asked_for() -> None:
    options = (
        "database.external.sslMode=verify-full,database.external.caSecret=authority,database.external.caKey=ca.pem"
    )
    for component, pod in templates(helm(*OWN, "--set", options)):
        if component in ("ui", "test"):
            continue
        (container,) = pod["spec"]["containers"]
        values = {one["name"]: one.get("value") for one in container["env"]}
        assert (values["PGSSLMODE"], values["PGSSLROOTCERT"]) == ("verify-full", "/etc/candlecast/database/ca.crt")
        (volume,) = [one["secret"] for one in pod["spec"]["volumes"] if one["name"] == "database-ca"]
        assert volume == {"secretName": "authority", "items": [{"key": "ca.pem", "path": "ca.crt"}]}
        assert {"name": "database-ca", "mountPath": "/etc/candlecast/database", "readOnly": True} in container[
            "volumeMounts"
        ]
