"""The spool: events wait on disk while RabbitMQ does not take them.

An event is accepted once its row is on disk; the row is deleted only after the broker's confirm. A crash between the
two publishes the event once more, under the same id. A row that is damaged or cannot be published is moved to a table
of its own, and a damaged file is kept under another name: nothing is thrown away.

Each process owns one file, ``spool-<slot>.db``, and drains that file only. The files of processes that no longer exist
are drained by those that do.
"""
