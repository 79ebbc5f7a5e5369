"""A mail server for tests, by aiosmtpd: mail_server.py FOLDER BEHAVIOUR [--port PORT] [--tls starttls|smtps] [--user USER:PASSWORD]

It keeps each mail in FOLDER/mails, and the lines of all conversations in FOLDER/lines. A certificate for TLS is in FOLDER.
"""

import argparse
import asyncio
import itertools
import logging
import os
import ssl
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("behaviour")
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--tls", choices=["starttls", "smtps"])
parser.add_argument("--user")
options = parser.parse_args()

numbers = itertools.count()
later = {}


def behaves(name):
    return options.behaviour == name


class Handler:
    """The behaviour at each step."""

    async def handle_MAIL(self, server, session, envelope, address, mail_options):
        if behaves("hang"):
            await asyncio.Event().wait()
        if behaves("refuse_sender"):
            return f"550 5.1.8 {address} is not welcome"
        envelope.mail_from = address
        return "250 2.1.0 ok"

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if behaves("refuse"):
            return f"550 5.1.1 {address} is unknown here"
        if behaves("escape"):
            return "550 5.1.1 \x1b[31m unknown\x07"
        if behaves("relay_denied"):
            return f"554 5.7.1 {address}: relay access denied"
        if behaves("greylist"):
            later[address] = later.get(address, 0) + 1
            if later[address] == 1:
                return f"451 4.7.1 try {address} again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        if behaves("refuse_mail"):
            return "554 5.6.0 the link in it is not welcome"
        if behaves("slow"):
            await asyncio.sleep(2)
        number = next(numbers)
        part = options.folder / f"mails/{os.getpid()}-{number}.part"
        head = f"{envelope.mail_from}\n{' '.join(envelope.rcpt_tos)}\n".encode()
        part.write_bytes(head + envelope.original_content)
        part.rename(part.with_suffix(".eml"))
        if behaves("hang_after"):
            await asyncio.Event().wait()
        return f"250 2.0.0 kept as {number}"


class Server(SMTP):
    async def push(self, status):
        if not behaves("drip"):
            return await super().push(status)
        for byte in (status if isinstance(status, bytes) else status.encode()) + b"\r\n":
            self._writer.write(bytes([byte]))
            await self._writer.drain()
            await asyncio.sleep(1)

    async def smtp_DATA(self, arg):
        if behaves("shift"):
            # As if one answer had been put in between.
            await self.push("354 go ahead")
            while (await self._reader.readline()).strip() != b".":
                pass
            return await self.push("354 go ahead")
        if not behaves("close"):
            return await super().smtp_DATA(arg)
        await self.push("354 go ahead")
        await self._reader.readline()
        self.transport.abort()


def authenticate(server, session, envelope, mechanism, data):
    good = f"{data.login.decode()}:{data.password.decode()}" == options.user
    return AuthResult(success=good, handled=False, message=None if good else "535 5.7.8 wrong user or password")


async def main():
    (options.folder / "mails").mkdir(exist_ok=True)
    log = logging.getLogger("mail.log")
    log.setLevel(logging.DEBUG)
    log.addHandler(logging.FileHandler(options.folder / "lines"))
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.folder / "server.pem", options.folder / "server.key")
    settings = {"enable_SMTPUTF8": True, "hostname": "mail.test", "ident": "a server for tests"}
    if options.tls == "starttls":
        settings.update(tls_context=context, require_starttls=True)
    if options.user:
        encrypted = options.tls == "starttls"
        settings.update(authenticator=authenticate, auth_required=True, auth_require_tls=encrypted)
    loop = asyncio.get_running_loop()
    at_once = context if options.tls == "smtps" else None
    server = await loop.create_server(
        lambda: Server(Handler(), **settings), "127.0.0.1", options.port, ssl=at_once, reuse_address=True
    )
    print("listening on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
