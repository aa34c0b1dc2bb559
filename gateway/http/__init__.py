"""HTTP/1.1 for short requests and short answers: strict, bounded in bytes and in time, at the speed of httptools.

httptools parses; what it lets pass and must not (headers beyond any bound, trailers among the headers, an
``Upgrade`` that swallows the body), and what a server owes its connections (deadlines, limits, an orderly end)
is here. A webhook that is refused is answered within the call that brought its last byte; only what is to be
published becomes a task. Health and metrics are served by an ASGI application.
"""
