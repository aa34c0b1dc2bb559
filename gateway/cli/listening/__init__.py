"""``gateway listen``: verified events on a laptop, from a cursor, signed anew.

:mod:`.source` follows the archive, :mod:`.sending` POSTs to the local application, :mod:`.session` has what came and how it
ended, and :mod:`.screen` draws that on a terminal.
"""
