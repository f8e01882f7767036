"""waitress's connections and queue, as this server needs them.

Its own errors leave as JSON. A crowd is let in at once instead of one connection a round, and questions
about the server go before work, so that `/health` answers beside any crowd. Knows nothing of the app.
"""

from __future__ import annotations

from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, ThreadedTaskDispatcher

from ominix.http import access, answers

ACCEPTED_AT_ONCE = 256  # connections; between two such rounds those that are open are looked at


class JsonErrorTask(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """waitress's refusals (unparsable requests, sizes) in the one error shape and in the access log."""

    def execute(self) -> None:
        error = self.request.error
        kind = "server_error" if error.code == 500 else "invalid_request_error"
        message = f"{error.reason}: {error.body}" if error.code < 500 else error.reason
        body = answers.json_bytes(answers.error_body(message, kind, None, f"http_{error.code}"))
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        request_id = access.fresh_id()
        self.response_headers.append(("x-request-id", request_id))
        self.set_close_on_finish()
        self.content_length = len(body)
        read = vars(self.request)  # as far as it was read: the first line may be no request
        path = read.get("path", "")[: access.MAX_PATH] or None
        fields = {"id": request_id, "method": read.get("command"), "path": path, "status": error.code}
        access.write({**fields, "bytes": len(body)})
        self.write(body)  # last: it raises where the client has left after the first bytes


class Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    error_task_class = JsonErrorTask

    @property
    def asks(self) -> bool:
        """Whether the request starts no work, so that its answer is short."""
        request = self.requests[0]
        return request.error is not None or request.command in ("GET", "HEAD")


class Dispatcher(ThreadedTaskDispatcher):  # type: ignore[misc]  # waitress has no types
    def add_task(self, task: Channel) -> None:
        """As waitress does, but for the order, and without its warning that tasks wait: that is no news."""
        with self.lock:
            place = len(self.queue)
            if task.asks:  # after those that ask already
                place = next((i for i, waiting in enumerate(self.queue) if not waiting.asks), place)
            self.queue.insert(place, task)
            self.queue_cv.notify()


class Acceptor(TcpWSGIServer):  # type: ignore[misc]  # waitress has no types
    channel_class = Channel

    def handle_accept(self) -> None:
        for _ in range(min(ACCEPTED_AT_ONCE, self.adj.connection_limit - len(self._map))):
            before = len(self.active_channels)
            super().handle_accept()
            if len(self.active_channels) == before:  # nobody else is waiting
                return
