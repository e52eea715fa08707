"""The shop's two tables."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models

_KEY = models.BigAutoField(primary_key=True, serialize=False)


class Migration(migrations.Migration):
    initial = True
    operations = [  # noqa: RUF012 - as Django has it
        migrations.CreateModel(
            "Customer",
            [
                ("id", _KEY),
                ("name", models.CharField(max_length=80)),
                ("city", models.CharField(max_length=80)),
                ("joined", models.DateTimeField()),
                ("is_active", models.BooleanField(default=True)),
            ],
            {"db_table": "customer", "ordering": ("id",)},
        ),
        migrations.CreateModel(
            "Order",
            [
                ("id", _KEY.clone()),
                (
                    "customer",
                    models.ForeignKey(
                        "shop.Customer", django.db.models.deletion.CASCADE, related_name="orders"
                    ),
                ),
                ("amount", models.DecimalField(max_digits=10, decimal_places=2)),
                ("day", models.DateField()),
                ("note", models.TextField(null=True)),
            ],
            {"db_table": "orders", "ordering": ("id",)},
        ),
    ]
