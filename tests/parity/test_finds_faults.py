"""The comparison sees what is wrong: each way to break Onehop is found, made small and printed as a script."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.parity import compare, drawn, fuzz, nouns
from tests.parity.mutants import MUTANTS

ROOT = Path(__file__).parents[2]
STACKS = 2000


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_onehop_is_found(world, name):
    with MUTANTS[name]():
        difference = fuzz.find(world, (1, name), STACKS, drawn.SMALL_CASES, compare.Counts(), shrink=False)
    assert difference
    compare.compare(difference.case, world)


def test_a_fault_is_made_small_and_printed_as_a_script(world, tmp_path):
    """The script finds the fault where it is, and nothing where it is not."""
    broken = MUTANTS["response hooks in the wrong order"]
    with broken():
        difference = fuzz.find(world, (1, 1), STACKS, drawn.HOOK_CASES, compare.Counts())
        assert len(difference.case.site.stack) <= 3
        script = str(difference).partition("# ---- reproduce ----\n")[2]
        case = eval(script.partition("reproduce(")[2].rpartition(")")[0].strip(), vars(nouns))
        assert case == difference.case
        with pytest.raises(compare.Difference):
            compare.compare(case, world)
    file = tmp_path / "case.py"
    file.write_text(script)
    done = subprocess.run([sys.executable, str(file)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "Both do the same.\n", done.stderr
