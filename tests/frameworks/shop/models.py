"""What the shop keeps."""

from __future__ import annotations

from django.db import models


class Customer(models.Model):
    name = models.CharField(max_length=80)
    city = models.CharField(max_length=80)
    joined = models.DateTimeField()
    is_active = models.BooleanField(default=True)

    class Meta:
        db_table = "customer"
        ordering = ("id",)


class Order(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    amount = models.DecimalField(max_digits=10, decimal_places=2)
    day = models.DateField()
    note = models.TextField(null=True)

    class Meta:
        db_table = "orders"
        ordering = ("id",)
