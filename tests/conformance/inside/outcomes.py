"""A test runner that writes down what became of each test, and how many requests the tests made."""

import json
import os
import sys
import traceback
import unittest
from collections import Counter

from django.test.runner import DiscoverRunner, ParallelTestSuite, RemoteTestResult, RemoteTestRunner
from inside import requests

SEVERITY = ("skipped", "passed", "failed")


class Outcomes(unittest.TextTestResult):
    """
    The result of all tests, in the process that prints it.

    Attributes:
        outcomes: By the test's id, its outcome and, if it failed, the exceptions as text. Subtests count as their
            test; of a test that ran twice, the worse run counts.
        requests: How many requests of each kind the tests made.
    """

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.outcomes = {}
        self.requests = Counter()

    def startTestRun(self):
        super().startTestRun()
        requests.take()

    def stopTest(self, test):
        super().stopTest(test)
        self.addRequests(test, requests.take())
        with open(os.environ["CONFORMANCE_PROGRESS"], "a") as file:
            file.write(f"{test.id()}\n")

    def addRequests(self, test, seen):
        self.requests += seen

    def addSuccess(self, test):
        super().addSuccess(test)
        self._note(test, "passed")

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self._note(test, "passed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._note(test, "skipped")

    def addError(self, test, err):
        super().addError(test, err)
        self._note(test, "failed", err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._note(test, "failed", err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(test, "failed", err)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._note(test, "failed")

    def _note(self, test, outcome, err=None):
        name = getattr(test, "test_case", test).id()
        former, texts = self.outcomes.get(name, ("skipped", []))
        if err is not None:
            texts = [*texts, "".join(traceback.format_exception_only(err[0], err[1])).strip()]
        self.outcomes[name] = max(former, outcome, key=SEVERITY.index), texts


class RemoteOutcomes(RemoteTestResult):
    """The result of one test class in a process of a parallel run. Its events are replayed on ``Outcomes``."""

    def stopTest(self, test):
        super().stopTest(test)
        self.events.append(("addRequests", self.test_index, requests.take()))


class RemoteRunner(RemoteTestRunner):
    resultclass = RemoteOutcomes


class Suite(ParallelTestSuite):
    runner_class = RemoteRunner


class Runner(DiscoverRunner):
    """Django's test runner, which writes the outcomes to the file that the environment names."""

    parallel_test_suite = Suite

    def get_resultclass(self):
        return Outcomes

    def run_suite(self, suite, **keywords):
        result = super().run_suite(suite, **keywords)
        written = {
            "outcomes": result.outcomes,
            "requests": result.requests,
            "onehop_imported": "onehop" in sys.modules,
        }
        with open(os.environ["CONFORMANCE_OUTCOMES"], "w") as file:
            json.dump(written, file)
        return result
