"""What can go wrong, each with what a person needs to mend it.

Every error that this package raises on purpose is a :class:`GondolaError`. What a server answered is an :class:`ApiError`,
with the server's own message and the id of the request, by which its log names it.
"""

from __future__ import annotations


class GondolaError(Exception):
    """Anything that this package could not do."""


class ConnectionFailed(GondolaError):
    """No answer came: the server can't be reached, or the connection broke."""


class RequestTimeout(ConnectionFailed):
    """No answer came in time."""


class UnexpectedAnswer(GondolaError):
    """What answered is no Gondola, or one of another version: the body is not what the API promises."""


class ApiError(GondolaError):
    """The server refused or failed, and says why."""

    def __init__(self, status: int, code: str, message: str, request_id: str | None) -> None:
        super().__init__(status, code, message, request_id)
        #: The status of HTTP.
        self.status = status
        #: The name of a code of gRPC, such as ``INVALID_ARGUMENT``.
        self.code = code
        #: What is wrong, and what to do, in the server's words.
        self.message = message
        #: The request's id, which the server's log has as well.
        self.request_id = request_id

    def __str__(self) -> str:
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.status} {self.code}: {self.message}{request}"


class InvalidArgument(ApiError):
    """The request is wrong; the message says how."""


class Unauthenticated(ApiError):
    """There is no credential, or one that the server does not know."""


class PermissionDenied(ApiError):
    """The credential does not allow this, or a signature does not fit."""


class NotFound(ApiError):
    """There is no such item."""


class TooManyRequests(ApiError):
    """Too many requests, of this client or of all."""


class Unimplemented(ApiError):
    """This pipeline does not serve that: it has no online store, no experiment or no texts."""


class Unavailable(ApiError):
    """Not ready, or what answers is out of reach."""


class DeadlineExceeded(ApiError):
    """The server's own deadline passed."""


class Internal(ApiError):
    """A fault of the server."""


class PublishFailed(GondolaError):
    """A model was not published: it does not fit, or can't be read."""


class StartFailed(GondolaError):
    """A local pipeline did not become ready; the message has the last lines of its log."""


class ProgramMissing(GondolaError):
    """One of Gondola's programs is not on this machine."""


class BundleError(GondolaError):
    """A bundle can't be found or read, or is not what its manifest says."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidArgument,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    405: InvalidArgument,
    408: InvalidArgument,
    413: InvalidArgument,
    429: TooManyRequests,
    500: Internal,
    501: Unimplemented,
    503: Unavailable,
    504: DeadlineExceeded,
}


def of_answer(status: int, code: str, message: str, request_id: str | None) -> ApiError:
    """The error that an answer is."""
    return _BY_STATUS.get(status, ApiError)(status, code, message, request_id)
