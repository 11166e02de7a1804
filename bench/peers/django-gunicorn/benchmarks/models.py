"""The table of agents."""
from django.db import models


class SecretField(models.CharField):
    """Never leaves the database; the empty string stands in its place, as in the service."""

    def select_format(self, compiler, sql, params):
        return "''", params


class AgentFeature(models.Model):
    """A row of agentfeatures, its fields in the order of the answer."""

    id = models.AutoField(primary_key=True)
    numgroup = models.IntegerField()
    firstname = models.CharField(max_length=128, default="")
    lastname = models.CharField(max_length=128, default="")
    number = models.CharField(max_length=40, unique=True)
    passwd = SecretField(max_length=128)
    context = models.CharField(max_length=39)
    language = models.CharField(max_length=20)
    autologoff = models.IntegerField(null=True)
    group = models.CharField(max_length=255, null=True)
    description = models.TextField()
    preprocess_subroutine = models.CharField(max_length=40, null=True)

    class Meta:
        managed = False
        db_table = "agentfeatures"
