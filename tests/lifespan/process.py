"""One server of the site of this folder, by its command."""

from tests.process import Server


class Process(Server):
    """One server, which starts now and is used once ``wait`` has returned."""

    def __init__(self, command, folder, **keywords):
        environment = {"DJANGO_SETTINGS_MODULE": "tests.lifespan.settings", **keywords}
        super().__init__(f"{command[1]} in {folder.name}", command, folder, **environment)

    def fetch(self, *arguments, **keywords):
        status, headers, body = super().fetch(*arguments, **keywords)
        return status, sorted(headers), body
