from django.urls import path

from . import views

urlpatterns = [
    path("account", views.account),
    path("account/register", views.register),
    path("account/logout", views.sign_out),
]
