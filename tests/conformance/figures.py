"""What the parts of a result say, in figures and in lines."""

from collections import Counter

SIDES = {"stock": "stock", "onehop": "Onehop"}


def lines_of(part):
    """Yield what is to be said about a part beside its figures."""
    for each in part["differences"]:
        if each["reason"]:
            yield f"known {each['test']}: {each['reason']}"
        else:
            yield f"DIFFERENT {each['test']}: {first_line(each['onehop'])}"
    for each in part["stale"]:
        yield f"STALE {each}: known.py says that it fails, and it does not."
    if not seen_by_onehop(part):
        yield "VACUOUS: no request went through Onehop."
    for test, text in part["flakes"].items():
        yield f"flake {test}: not when it ran again alone; at first {first_line(text)}"
    for each in part["mended"]:
        yield f"only stock fails {each}"
    for test, text in part["baseline"].items():
        yield f"both fail {test}: {first_line(text)}"
    for each in part["otherwise"]:
        yield f"both fail, otherwise, {each['test']}: {first_line(each['stock'])} / {first_line(each['onehop'])}"


def complaints(part):
    """Return what makes the command fail."""
    found = [f"{each['test']} fails" for each in part["differences"] if not each["reason"]]
    found += [f"{test} passes" for test in part["stale"]]
    if not seen_by_onehop(part):
        found.append("Onehop has seen no request")
    return found


def seen_by_onehop(part):
    """Return how many requests went through a plan. It is 0 if nothing was shown."""
    return part["requests"]["onehop"].get("planned", 0)


def requests_of(seen):
    return seen.get("sync", 0) + seen.get("async", 0)


def total(part, side):
    return sum((Counter(counted[side]) for counted in part["modules"].values()), Counter())


def ratio(counted):
    skipped = f" ({counted['skipped']} skipped)" if counted["skipped"] else ""
    return f"{counted['passed']:,}/{counted['ran']:,}{skipped}"


def first_line(text):
    return text.strip().partition("\n")[0][:160]
