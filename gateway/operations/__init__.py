"""What an operator can ask and do: the answers and the actions, without the way in which they are shown.

The commands, the API and the console print, encode and draw what the functions of this room return.
"""
