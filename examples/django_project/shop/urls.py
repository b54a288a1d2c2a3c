"""One page that works, and one that does not."""

from django.http import HttpRequest, HttpResponse
from django.urls import path


def home(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("Fine. Now open /checkout/")


def checkout(_request: HttpRequest) -> HttpResponse:
    msg = "card was declined"
    raise ValueError(msg)


urlpatterns = [path("", home), path("checkout/", checkout)]
