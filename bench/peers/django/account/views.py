"""The pages of the peer. Forms are exempt from the protection against forgery: the load sends no tokens."""

from django.contrib.auth import login, logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST


@require_GET
@login_required
def account(request):
    return render(request, "account.html")


@csrf_exempt
@require_POST
def register(request):
    form = request.POST
    try:
        user = User.objects.create_user(form["email"], form["email"], form["password"], first_name=form["name"])
    except IntegrityError:
        return HttpResponse(status=409)
    login(request, user)
    return HttpResponseRedirect("/account", status=303)


@csrf_exempt
@require_POST
def sign_out(request):
    logout(request)
    return redirect("/")
