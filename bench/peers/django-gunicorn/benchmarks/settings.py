"""Only what the three paths need: no middleware, no application beside this one. CONN_MAX_AGE comes from the form."""
import os

# Signs nothing here, but Django does not start without.
SECRET_KEY = "nothing is signed with it"
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["benchmarks"]
MIDDLEWARE = []
ROOT_URLCONF = "benchmarks.urls"
WSGI_APPLICATION = "benchmarks.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
LOGGING_CONFIG = None

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["PGHOST"],
        "PORT": os.environ["PGPORT"],
        "USER": os.environ["PGUSER"],
        "NAME": os.environ["PGDATABASE"],
        # 0 closes the connection behind each request, as published (and by default); "None" keeps it.
        "CONN_MAX_AGE": None if os.environ["CONN_MAX_AGE"] == "None" else int(os.environ["CONN_MAX_AGE"]),
        # In the start-up packet, for else Django would set it with a query of its own.
        "OPTIONS": {"options": "-c TimeZone=UTC"},
    }
}
