"""The senders' own libraries, asked whether what we sign is theirs, and made to sign what we then verify."""
