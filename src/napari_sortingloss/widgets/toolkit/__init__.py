"""Qt without the study: messages, forms, keys, layouts, threads."""
