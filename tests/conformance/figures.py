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
    if reason := vacuous(part):
        yield f"VACUOUS: {reason}."
    for each in part["flakes"]:
        sides = " and ".join(SIDES[side] for side in each["sides"])
        yield f"flake of {sides} {each['test']}: not when it ran again; before {first_line(each['text'])}"
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
    found += [f"{each['test']} fails now and then" for each in part["flakes"] if each["sides"] == ["onehop"]]
    if reason := vacuous(part):
        found.append(reason)
    return found


def vacuous(part):
    """
    Return why too few requests went through a plan; empty if enough did.

    Those on the async way must all be planned. In the modes B and C only what stock Django has on the sync way, too,
    as WSGI handlers have, may be left out; half of all where stock Django did not run.
    """
    seen = part["requests"]["onehop"]
    planned, asked = seen.get("planned", 0), requests_of(seen)
    if not planned:
        return "no request went through Onehop"
    if planned < seen.get("async", 0):
        return f"only {planned:,} of {seen['async']:,} async requests were planned"
    spared = part["requests"]["stock"].get("sync", 0) if "stock" in part["requests"] else asked // 2
    if part["mode"] != "A" and asked - planned > spared:
        return f"only {planned:,} of {asked:,} requests were planned"
    return ""


def requests_of(seen):
    return seen.get("sync", 0) + seen.get("async", 0)


def total(part, side):
    return sum((Counter(counted[side]) for counted in part["modules"].values()), Counter())


def ratio(counted):
    skipped = f" ({counted['skipped']} skipped)" if counted["skipped"] else ""
    return f"{counted['passed']:,}/{counted['ran']:,}{skipped}"


def first_line(text):
    return text.strip().partition("\n")[0][:160]
