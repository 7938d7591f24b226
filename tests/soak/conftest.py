"""Folders for soaks, which share one prepared database and one folder of bytecode."""

import shutil

import pytest

from tests.soak.contender import make_folder
from tests.watchdog import watchdog


@pytest.fixture(scope="session", autouse=True)
def bytecode(tmp_path_factory):
    """Have all servers share what the first one has compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("pycache")))
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
