"""The API, `/api/v1`: what pages and commands can do, for programs.

:mod:`.operation` says what an operation is, :mod:`.table` lists all of them, and from that list come the routes, the
roles, the checks of parameters and bodies, and the OpenAPI document.
"""
