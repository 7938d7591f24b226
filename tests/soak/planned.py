"""What goes wrong on purpose, and stays out of the log, so that whatever is in it was not meant to be."""

import logging


class Planned(Exception):
    """What the views raise."""


class Unplanned(logging.Filter):
    """Leave out what the load asks for: pages that are missing, and views that raise."""

    def filter(self, record):
        planned = record.exc_info and isinstance(record.exc_info[1], Planned)
        return not planned and getattr(record, "status_code", None) != 404
