"""uvicorn with our shutdown: not ready first, then no new connections, then the rest is answered, all within bounds."""

import asyncio
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI
from structlog.typing import FilteringBoundLogger

from intbert.config import Settings
from intbert.errors import ConfigError
from intbert.runtime.service import InferenceService
from intbert.telemetry.logs import log_libraries

BACKLOG = 2048


def bind(settings: Settings) -> socket.socket:
    """The listening socket. ConfigError when the address can't be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except (OSError, UnicodeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"can't listen on {settings.host}:{settings.port}: {reason}; choose another --host or --port"
        ) from None
    return listener


def serve(app: FastAPI, service: InferenceService, settings: Settings, logger: FilteringBoundLogger) -> None:
    """Serve until SIGTERM or SIGINT. A second signal stops waiting for idle clients, a third for all."""
    listener = bind(settings)
    log_libraries(["uvicorn.error"], logger, level="warning")
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout_s)),
    )
    host, port = listener.getsockname()[:2]
    logger.info("listening", address=f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    Server(config, service, settings, logger).run(sockets=[listener])


class Server(uvicorn.Server):
    """A signal first makes the service not ready; `drain_notice_s` later the listener closes."""

    def __init__(
        self, config: uvicorn.Config, service: InferenceService, settings: Settings, logger: FilteringBoundLogger
    ) -> None:
        super().__init__(config)
        self._service = service
        self._notice_s = settings.drain_notice_s
        self._logger = logger
        self._signals = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Runs between two instructions of the main thread: takes no lock, hands on to the loop."""
        self._signals += 1
        if self._signals > 1 or self._loop is None:
            self.force_exit = self._signals > 2
            self.should_exit = True
            return
        self._loop.call_soon_threadsafe(self._begin_drain, self._loop)

    def _begin_drain(self, loop: asyncio.AbstractEventLoop) -> None:
        self._logger.info("draining", notice_s=self._notice_s)
        self._service.drain()
        loop.call_later(self._notice_s, self._stop_listening)

    def _stop_listening(self) -> None:
        self.should_exit = True
