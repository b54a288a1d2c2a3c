"""Django, from the oldest that is kept up to the newest: no secret of it comes to a phone."""

import os
import subprocess
import sys

import pytest
import requests

pytestmark = pytest.mark.process

SECRETS = [f"plant{number:02d}Kq7x" for number in range(20)]
SETTINGS = """
    import os
    from pathlib import Path
    SECRET_KEY = "{0}"
    DATABASES = {{"default": {{
        "ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).with_name("db.sqlite3"),
        "USER": "{1}", "PASSWORD": "{2}",
    }}}}
    EMAIL_HOST_PASSWORD = "{3}"
    AWS_SECRET_ACCESS_KEY = "{4}"
    CACHES = {{"default": {{
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "{5}",
    }}}}
    STRIPE = {{"live": {{"key": "{6}"}}}}
    ALLOWED_HOSTS = ["127.0.0.1"]
    ROOT_URLCONF = "views"
    INSTALLED_APPS = ["django.contrib.sessions"]
    MIDDLEWARE = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ]
    SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    USE_TZ = True
    LOGGING = {{
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {{
            "phone": {{"class": "pushover_logging.PushoverHandler", "throttle": False}},
        }},
        "root": {{"handlers": ["phone"]}},
    }}
"""
VIEWS = """
    import logging
    from django.conf import settings
    from django.core.exceptions import PermissionDenied, SuspiciousOperation
    from django.db import connection
    from django.http import HttpResponse
    from django.urls import path
    from django.views.decorators.csrf import csrf_exempt
    from django.views.decorators.debug import sensitive_variables

    log = logging.getLogger("shop")

    def home(request):
        return HttpResponse("fine")

    @csrf_exempt
    def checkout(request):
        key, password = settings.STRIPE["live"]["key"], request.POST["password"]
        request.session["card"] = request.POST["card"]
        raise ValueError("card was declined")

    @csrf_exempt
    def database(request):
        user = settings.DATABASES["default"]["USER"]
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM orders WHERE password = %s", [request.POST["password"]])

    @csrf_exempt
    def told(request):
        log.error("Order %s failed", 7, extra={"request": request, "user": request.session})
        log.critical("No settings", extra={"settings": settings, "meta": request.META})
        return HttpResponse("told", status=503)

    @csrf_exempt
    def suspicious(request):
        raise SuspiciousOperation("odd session")

    urlpatterns = [path("", home), path("checkout/", checkout), path("database/", database),
                   path("told/", told), path("suspicious/", suspicious)]
"""
SERVER = """
    import os
    import sys
    from wsgiref.simple_server import make_server
    import django
    sys.path.insert(0, os.path.dirname(__file__))
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings_of_shop"
    from django.core.wsgi import get_wsgi_application
    print(django.__version__, flush=True)
    make_server("127.0.0.1", int(os.environ["PORT"]), get_wsgi_application()).serve_forever()
"""


@pytest.fixture(scope="module", params=["4.2", "5.2", "newest"])
def django(request, tmp_path_factory):
    """Return a folder with that Django in it, from pip, and the version's first figures."""
    folder = tmp_path_factory.mktemp("django")
    wanted = "django" if request.param == "newest" else f"django~={request.param}.0"
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), wanted]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=180)
    except subprocess.TimeoutExpired:
        pytest.skip(f"pip has not brought {wanted} within 180 s")
    if done.returncode:
        pytest.skip(f"pip cannot bring {wanted}: {done.stderr.strip().splitlines()[-1]}")
    return folder, "" if request.param == "newest" else request.param


@pytest.fixture
def shop(program, django, free_port, tmp_path):
    """A server of that Django, with 20 secrets in its settings and in what it is asked."""
    folder, version = django
    for name, text in (("settings_of_shop", SETTINGS.format(*SECRETS)), ("views", VIEWS)):
        program.path(text).rename(tmp_path / f"{name}.py")
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    server = [sys.executable, "-W", "ignore", str(program.path(SERVER))]
    with program.serve(server, free_port, PORT=str(free_port), PYTHONPATH=path):
        yield f"http://127.0.0.1:{free_port}"
    assert program.said.startswith(version)


def ask(url, method="POST", **given):
    """Ask with a secret in each place that a request has."""
    secret = iter(SECRETS[7:])
    headers = {
        "Authorization": f"Bearer {next(secret)}", "X-Forwarded-User": next(secret),
        "User-Agent": next(secret), "Referer": f"https://shop.example/?code={next(secret)}",
    }  # fmt: skip
    cookies = {"sessionid": next(secret), "csrftoken": next(secret), "remember": next(secret)}
    data = {"password": next(secret), "card": next(secret), "note": next(secret)}
    query = {"token": next(secret), "email": next(secret), "q": next(secret)}
    assert [] == list(secret)
    return requests.request(
        method, url, params=query, data=data, headers={**headers, **given}, cookies=cookies,
        timeout=20,
    ).status_code  # fmt: skip


def test_no_secret_of_a_request_or_the_settings_is_pushed(shop, inbox):
    """20 are planted, in settings, cookies, fields, headers, query and session; none is seen."""
    assert [500, 500, 503, 400] == [
        ask(f"{shop}/{path}/") for path in ("checkout", "database", "told", "suspicious")
    ]
    pushes = inbox.wait_for(6)
    titles = [push["title"] for push in pushes]
    assert {"ValueError: card was declined", "Order 7 failed", "No settings"} < set(titles)
    (checkout,) = (push for push in pushes if push["title"].startswith("ValueError"))
    assert "POST /checkout/" == checkout["message"].splitlines()[2]
    assert [] == [(secret, push) for push in pushes for secret in SECRETS if secret in str(push)]


def test_bot_pushes_nothing(shop, inbox):
    """Pages that are not there, methods that are not meant, and a form without its token."""
    paths = ("wp-login.php", ".env", "admin/", "cgi-bin/test", "checkout/%00", "?x=../../etc")
    assert {404, 403} == {ask(f"{shop}/{path}") for path in paths}
    assert {200, 404} == {ask(f"{shop}/{path}", "GET") for path in paths}
    assert [] == inbox.attempts
