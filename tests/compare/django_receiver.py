"""The receiver's job on one machine, as articles show it: a Django APIView with the official Python
SDK, which verifies, decrypts, parses, and answers 200 when the event is in a table of SQLite, with
a sync to the disk for each commit.

`python django_receiver.py` creates the table; gunicorn serves `django_receiver:application`."""

import json
import logging
import os

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="none is needed",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["rest_framework"],
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [], "UNAUTHENTICATED_USER": None},
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["DATABASE"],
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
        }
    },
)
django.setup()
logging.disable(logging.CRITICAL)

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from lark_oapi.core.model import RawRequest  # noqa: E402
from lark_oapi.event.custom import CustomizedEvent  # noqa: E402
from lark_oapi.event.dispatcher_handler import EventDispatcherHandler  # noqa: E402
from rest_framework.views import APIView  # noqa: E402


class Queued(models.Model):
    body = models.TextField()

    class Meta:
        app_label = "receiver"
        db_table = "queue"


def enqueue(event: CustomizedEvent) -> None:
    body = {"event_id": event.uuid, "instance_code": event.event["instance_code"]}
    Queued.objects.create(body=json.dumps(body))


dispatcher = (
    EventDispatcherHandler.builder(os.environ["ENCRYPT_KEY"], os.environ["VERIFICATION_TOKEN"])
    .register_p1_customized_event("approval_instance", enqueue)
    .build()
)


class Receiver(APIView):
    def post(self, request) -> HttpResponse:
        raw = RawRequest()
        raw.uri = request.path
        raw.headers = {name: value for name, value in request.headers.items()}
        raw.body = request._request.body
        response = dispatcher.do(raw)
        return HttpResponse(response.content, status=response.status_code)


urlpatterns = [path("api/event", Receiver.as_view())]
application = get_wsgi_application()

if __name__ == "__main__":
    with connection.schema_editor() as editor:
        editor.create_model(Queued)
