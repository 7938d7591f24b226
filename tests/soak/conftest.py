"""Folders for soaks, which share one prepared database and one folder of bytecode."""

import shutil

import pytest

from tests.process import START_S
from tests.soak.contender import make_folder
from tests.watchdog import watchdog


@pytest.fixture(scope="session", autouse=True)
def bytecode(tmp_path_factory):
    """Have all servers share what the first one has compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("pycache")))
        yield


@pytest.fixture(scope="module", autouse=True)
def patience():
    """Let the watchdog wait longer than the start of two servers may take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.watchdog.TEST_TIMEOUT_S", 3 * START_S)
        yield


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("soak") / "prepared"
    make_folder(folder)
    return folder


@pytest.fixture
def folder(prepared, tmp_path):
    """Return the folder of one soak."""
    shutil.copytree(prepared, tmp_path / "prepared")
    return tmp_path
