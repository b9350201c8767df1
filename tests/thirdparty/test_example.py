"""A third party's package in a fresh environment: it gets all that built-in pages get, and leaves a working console behind."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "pilothouse-deploys"


class Environment:
    """A fresh virtual environment that sees this one's packages, with a data folder and a database of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=True)
        self.python = folder / "venv" / "bin" / "python"
        packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
        here = [path for path in sys.path if path.endswith("site-packages")]
        # the editable install's finder comes along by the same way
        (packages / "outer.pth").write_text("\n".join(f"import site; site.addsitedir({path!r})" for path in here))
        self.environ = {
            **os.environ, "PILOTHOUSE_DATA_DIR": str(folder / "data"), "PILOTHOUSE_SECRET_KEY": "0" * 32,
            "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }  # fmt: skip
        (folder / "data").mkdir()

    def pip(self, *words: str) -> None:
        subprocess.run([self.python, "-m", "pip", "-q", *words], check=True, capture_output=True, env=self.environ)

    def pilothouse(self, *words: str) -> str:
        done = subprocess.run(
            [self.python, "-m", "pilothouse", *words], check=False, capture_output=True, text=True, env=self.environ
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, code: str) -> str:
        done = subprocess.run([self.python, "-c", code], check=False, capture_output=True, text=True, env=self.environ)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    made = Environment(tmp_path_factory.mktemp("thirdparty"))
    made.pilothouse("db", "upgrade")
    made.pip("install", "--no-deps", "--no-build-isolation", str(EXAMPLE))
    return made


def routes(environment: Environment) -> dict[str, str]:
    return {route["path"]: route["permission"] for route in json.loads(environment.pilothouse("routes", "--json"))}


def test_installing_it_adds_its_table_page_endpoint_task_and_measure(environment):
    environment.pilothouse("db", "upgrade")
    environment.pilothouse("db", "check")  # fails where the table is not as the model says
    found = routes(environment)
    assert found["/api/deploys"] == found["/deploys/"] == "deploys.list.view"
    code = (
        "from pilothouse.app import create_app\napp = create_app()\nwith app.app_context():\n"
        "    from pilothouse.runtime import runtime\n    r = runtime().registry\n"
        "    print(r.task('deploys.forget') is not None, any(m.name == 'deploys.count' for _, m in r.all('measures')))"
    )
    assert environment.run(code).strip() == "True True"


def test_its_own_tests_pass_with_the_fixtures_that_pilothouse_ships(environment):
    command = [environment.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment.environ, cwd=environment.folder, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_uninstalling_it_leaves_a_working_console_with_its_data_untouched(environment):
    environment.pip("uninstall", "-y", "pilothouse-deploys")
    environment.pilothouse("db", "upgrade")
    found = routes(environment)
    assert "/api/deploys" not in found
    assert "/executions/" in found
    with sqlite3.connect(environment.folder / "data" / "pilothouse.db") as connection:
        assert connection.execute("SELECT count(*) FROM deploys").fetchone() == (0,)
