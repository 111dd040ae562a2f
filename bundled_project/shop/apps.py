"""The shop as a Django application."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    """Users, orders and what is sent, charged and counted for them."""

    name = "bundled_project.shop"
    label = "shop"
