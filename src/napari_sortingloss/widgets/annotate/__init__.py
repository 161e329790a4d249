"""The *Annotate* stage: paint slices, mark them complete, go to the next one."""
