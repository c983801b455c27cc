"""The application's configuration."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "benchmarks.django_app.shop"
    label = "shop"
