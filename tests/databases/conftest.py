"""PostgreSQL and Redis, as the distribution packages them, each in a process that the tests may kill."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from tests.process import PATIENCE_S, START_S, Server, free_port, wait_until

LOAD_S = 60
psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
redis = pytest.importorskip("redis", reason="redis is not installed")


class Daemon:
    """A server of the distribution's, in a folder of its own, that can be killed and started again."""

    def __init__(self, folder, user=None):
        self.folder, self.user, self.port, self.process = folder, user, free_port(), None

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, user=self.user, cwd=self.folder)
        wait_until(self.is_up, f"the start of {self.command[0]}", START_S)

    def kill(self):
        """Kill it as a crash does: nobody is told goodbye."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(PATIENCE_S)
        shutil.rmtree(self.folder)


class PostgreSQL(Daemon):
    """A cluster in which every name is the name of a database with the table of the site."""

    def __init__(self, folder, programs):
        super().__init__(folder, "postgres" if os.getuid() == 0 else None)
        self.data = folder / "data"
        if self.user:
            shutil.chown(folder, self.user)
        initdb = [programs / "initdb", "-A", "trust", "-U", "onehop", "--no-sync", "-D", self.data]
        subprocess.run(initdb, check=True, capture_output=True, user=self.user, cwd=folder)
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        options["fsync"] = "off"  # The machine goes on when it is killed; recovery would sync every file, for 30 s.
        self.command = [programs / "postgres", "-D", self.data]
        self.command += [f"--{name}={value}" for name, value in options.items()]

    def start(self):
        """Start it; behind a kill, its children may hold on to the memory for a moment."""
        deadline = time.monotonic() + START_S
        while True:
            try:
                return super().start()
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def is_up(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def connect(self, name):
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="onehop", dbname=name, autocommit=True, connect_timeout=2
        )

    def make(self, name):
        with self.connect("postgres") as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        with self.connect(name) as connection:
            connection.execute("CREATE TABLE row (id serial PRIMARY KEY, name text NOT NULL)")

    def rows(self, name):
        """Return the names of all rows, and how often each is there."""
        with self.connect(name) as connection:
            return Counter(each for (each,) in connection.execute("SELECT name FROM row"))

    def connected(self, name):
        """Return how many connections a site has open."""
        with self.connect("postgres") as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
            return connection.execute(query, [name]).fetchone()[0]

    def sessions(self, name):
        """Return how many connections were made to a database so far, this one not counted."""
        with self.connect("postgres") as connection:
            query = "SELECT sessions FROM pg_stat_database WHERE datname = %s"
            return connection.execute(query, [name]).fetchone()[0]


class Redis(Daemon):
    """A Redis that has written each key to the disk before it answers."""

    def __init__(self, folder):
        super().__init__(folder)
        self.command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        self.command += ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]

    def client(self):
        return redis.Redis("127.0.0.1", self.port)

    def is_up(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        with self.client() as client:
            try:
                return client.ping()
            except redis.ConnectionError:
                return False


def find_postgres():
    """Return the folder of PostgreSQL's programs, the newest of the distribution's; skip without one."""
    folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))]
    if found := shutil.which("initdb"):
        folders.insert(0, Path(found).parent)
    if not folders:
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    return folders[-1]


@pytest.fixture(scope="session")
def postgres():
    daemon = PostgreSQL(Path(tempfile.mkdtemp(prefix="onehop-postgres-")), find_postgres())
    daemon.start()
    yield daemon
    daemon.end()


@pytest.fixture(scope="session")
def redis_server():
    if not shutil.which("redis-server"):
        pytest.skip("Redis is not installed: apt install redis-server")
    daemon = Redis(Path(tempfile.mkdtemp(prefix="onehop-redis-")))
    daemon.start()
    yield daemon
    daemon.end()


class Site(Server):
    """The site behind uvicorn, with a database that is called like it."""

    def __init__(self, name, folder, postgres, redis_server, *, stock=False, max_age="0"):
        command = ["-m", "uvicorn", "--port", "{port}", "--no-access-log", "tests.databases.asgi:application"]
        self.name, self.postgres = name, postgres
        postgres.make(name)
        super().__init__(
            *(name, command, folder),
            stock=stock,
            DJANGO_SETTINGS_MODULE="tests.databases.settings",
            MAX_AGE=max_age,
            PG_NAME=name,
            PG_PORT=str(postgres.port),
            REDIS_PORT=str(redis_server.port),
        )


@pytest.fixture
def serve(postgres, redis_server, tmp_path_factory):
    """Return a function that starts Onehop and stock Django beside each other; both are ended behind the test."""
    sites = []

    def start(**keywords):
        for stock in (False, True):
            folder = tmp_path_factory.mktemp("stock" if stock else "onehop")
            sites.append(Site(folder.name, folder, postgres, redis_server, stock=stock, **keywords))
            sites[-1].wait()  # The second one finds what the first has compiled.
        return sites[-2:]

    yield start
    for site in sites:
        site.end()


class Load:
    """
    Clients that ask a site, one request after the other, until they are stopped.

    Attributes:
        answers: For each name that was asked for: when, how it was answered (status, or the exception), the body.
    """

    def __init__(self, site, views, clients=12):
        self.site, self.views, self.answers = site, views, {}
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self, client):
        number = 0
        while not self._stopped.is_set():
            number += 1
            name, view = f"{client}-{number}", self.views[(client + number) % len(self.views)]
            begun = time.monotonic()
            connection = HTTPConnection("127.0.0.1", self.site.port, timeout=3 * PATIENCE_S)
            try:
                connection.request("GET", f"/{view}/{name}/", headers={"Host": "localhost"})
                answer = connection.getresponse()
                self.answers[name] = begun, answer.status, answer.read().decode()
            except (OSError, HTTPException) as error:
                self.answers[name] = begun, error, ""
            finally:
                connection.close()

    def wait_for(self, count, since=0):
        """Wait until a number of requests that began after a moment were answered well."""
        wait_until(lambda: len(self.confirmed_since(since)) >= count, f"{count} answers", LOAD_S)

    def wait_for_failure(self):
        wait_until(lambda: self.failed(since=0), "a request that failed", LOAD_S)

    def stop(self):
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        return self

    @property
    def confirmed(self):
        """The names that were answered well."""
        return self.confirmed_since(0)

    def confirmed_since(self, since):
        return [name for name, (begun, status, _) in list(self.answers.items()) if status == 200 and begun > since]

    @property
    def foreign(self):
        """Those that were answered with another name."""
        return [name for name in self.confirmed if self.answers[name][2] != name]

    def failed(self, since):
        """Return the answers to what was asked after a moment that were not good."""
        return [answer for answer in list(self.answers.values()) if answer[0] > since and answer[1] != 200]
