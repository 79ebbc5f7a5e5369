"""The types of the package, as an app uses them. It is checked by mypy and not run."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, FastAPI
from flask import Flask
from starlette.applications import Starlette

from handstamp import Settings, User, Verifier
from handstamp.fastapi import CurrentUser, OptionalUser, require_assurance, require_group
from handstamp.flask import Handstamp, HandstampClient, assurance_required, group_required, handstamp_user, login_required
from handstamp.starlette import Handstamp as StarletteHandstamp
from handstamp.testing import headers_for, made_up_user

app = Flask(__name__)
app.test_client_class = HandstampClient
handstamp = Handstamp(app)


@app.get("/<int:number>")
@login_required
def view(number: int) -> str:
    user: User | None = handstamp_user()
    return f"{number}{user.name if user else ''}"


@app.get("/staff")
@group_required("staff")
def staff() -> str:
    return "staff"


@app.get("/payouts")
@assurance_required(2)
def payouts() -> str:
    return "payouts"


@handstamp.user_loader
def load(user: User) -> dict[str, str]:
    return {"id": user.id}


api = FastAPI()
StarletteHandstamp(api)
StarletteHandstamp(Starlette(), url="http://localhost:8000", groups=["staff"])


@api.get("/")
async def me(user: CurrentUser, other: OptionalUser, member: Annotated[User, Depends(require_group("staff"))]) -> str:
    return user.name + (other.name if other else "") + member.name


@api.get("/payouts")
async def payouts_of(user: Annotated[User, Depends(require_assurance(2))]) -> datetime | None:
    return user.authenticated_at if user.has_assurance(3) else None


assurance: int = made_up_user(assurance=2, methods=["pwd", "otp"]).assurance
email: str | None = made_up_user(groups=["staff"]).verified_email
headers: dict[str, str] = headers_for(made_up_user(), Verifier(Settings.read({"URL": "http://localhost:8000"})))
