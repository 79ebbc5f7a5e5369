"""The app of the tests in Starlette."""

import os

import uvicorn
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from handstamp.fastapi import current_user, require_assurance
from handstamp.starlette import Handstamp


async def public(request):
    await request.body()
    user = request.user
    return JSONResponse({"name": user.display_name if user.is_authenticated else None, "email": user.email})


async def plain(request):
    return PlainTextResponse("plain")


async def me(request):
    user = await current_user(request)
    groups, session = list(user.groups), user.session_id
    shown = {"id": user.id, "name": user.name, "email": user.email, "groups": groups, "session": session}
    return JSONResponse({**shown, "old": user.legacy_id})


@requires("group:staff")
async def staff(request):
    return PlainTextResponse("staff")


async def payouts(request):
    await require_assurance(2)(request, await current_user(request))
    return PlainTextResponse("payouts")


async def form(request):
    await current_user(request)
    return PlainTextResponse("sent")


async def note(request):
    if request.method == "POST":
        # The form without python-multipart.
        request.session["note"] = (await request.body()).decode().removeprefix("note=")
    return JSONResponse({"note": request.session.get("note")})


routes = [
    Route("/public", public, methods=["GET", "POST", "OPTIONS"]),
    Route("/plain", plain),
    Route("/me", me),
    Route("/staff", staff),
    Route("/payouts", payouts),
    Route("/form", form, methods=["POST"]),
    Route("/note", note, methods=["GET", "POST"]),
]
app = Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, secret_key="of the tests")])
Handstamp(app)

if __name__ == "__main__":
    host, port = os.environ["LISTEN"].split(":")
    uvicorn.run(app, host=host, port=int(port), log_level="warning")
