"""The shop's two pages."""

from __future__ import annotations

from typing import Any

from django.db.models import Sum
from django.http import JsonResponse
from django.urls import path

from .models import Customer


def totals(request: Any) -> JsonResponse:
    """What each customer has spent."""
    found = Customer.objects.annotate(total=Sum("orders__amount")).order_by("name")
    return JsonResponse({c.name: str(c.total) for c in found})


def join(request: Any) -> JsonResponse:
    """A new customer, as the form says."""
    made = Customer.objects.create(
        name=request.POST["name"], city=request.POST["city"], joined=request.POST["joined"]
    )
    return JsonResponse({"id": made.pk})


urlpatterns = [path("totals/", totals), path("join/", join)]
