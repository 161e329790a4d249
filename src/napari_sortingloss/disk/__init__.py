"""Files that survive a crash: whole or not at all, locked against a second writer, in shards that are read through memory maps."""
