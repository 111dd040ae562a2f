"""The project's two addresses."""

from django.urls import path

from bundled_project.shop import views

urlpatterns = [
    path("register", views.register, name="register"),
    path("orders", views.place_order, name="place-order"),
]
