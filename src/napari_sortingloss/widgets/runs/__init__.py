"""What the two stages that train share: forms, curves, tables and verbs of runs."""
