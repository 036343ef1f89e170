"""How numbers are made; nothing here knows about users, files or threads."""
