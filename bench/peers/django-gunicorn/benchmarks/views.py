"""What the three paths answer."""
import os

from django.db import connection
from django.http import JsonResponse

from .models import AgentFeature

# The service's own text of the query.
with open(os.environ["AGENTS_SQL"], encoding="utf-8") as file:
    AGENTS = file.read()


def index(request):
    return JsonResponse({"hello": "world"})


def agents(request):
    with connection.cursor() as cursor:
        cursor.execute(AGENTS)
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row)) for row in cursor.fetchall()]
    return JsonResponse(rows, safe=False)


def agents_with_orm(request):
    return JsonResponse(list(AgentFeature.objects.values()), safe=False)
