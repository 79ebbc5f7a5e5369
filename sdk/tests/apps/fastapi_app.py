"""The app of the tests in FastAPI."""

import os
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Form, Request, WebSocket
from starlette.middleware.sessions import SessionMiddleware

from handstamp import User
from handstamp.fastapi import CurrentUser, Handstamp, OptionalUser, require_assurance, require_group

app = FastAPI()
Handstamp(app)
app.add_middleware(SessionMiddleware, secret_key="of the tests")


@app.api_route("/public", methods=["GET", "POST", "OPTIONS"])
async def public(user: OptionalUser, request: Request):
    await request.body()
    return {"name": user and user.name, "email": user and user.email}


@app.get("/plain")
async def plain():
    return "plain"


@app.get("/me")
async def me(user: CurrentUser):
    shown = {"id": user.id, "name": user.name, "email": user.email, "groups": user.groups, "session": user.session_id}
    return {**shown, "old": user.legacy_id}


@app.get("/staff")
def staff(user: Annotated[User, Depends(require_group("staff"))]):
    return user.name


@app.get("/payouts")
async def payouts(user: Annotated[User, Depends(require_assurance(2))]):
    return user.assurance


@app.post("/form")
def form(user: CurrentUser):
    return "sent"


@app.get("/note")
async def note(request: Request):
    return {"note": request.session.get("note")}


@app.post("/note")
async def write_note(request: Request, note: Annotated[str, Form()]):
    request.session["note"] = note
    return "written"


@app.websocket("/socket")
async def socket(websocket: WebSocket, user: CurrentUser):
    await websocket.accept()
    await websocket.send_text(user.name)
    # Until the client closes it.
    await websocket.receive()


if __name__ == "__main__":
    host, port = os.environ["LISTEN"].split(":")
    uvicorn.run(app, host=host, port=int(port), log_level="warning")
