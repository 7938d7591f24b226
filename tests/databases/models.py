"""One table, which the test makes."""

from django.db import models


class Row(models.Model):
    name = models.TextField()

    class Meta:
        managed = False
        db_table = "row"
