"""The spool: where events wait on disk while RabbitMQ does not take them.

An event is accepted when its row is on disk, and its row is deleted only after the broker's confirm. A crash
between the two publishes it once more, under the same id. A row that is damaged or that cannot be published is
set aside in a table of its own, and a file that is damaged is kept under another name: nothing is thrown away.

Every process owns one file, ``spool-<slot>.db``, and drains that one alone; the files of slots that are no longer
configured are drained by the remaining processes.
"""
