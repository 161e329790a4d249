"""The *Localize* stage: where the specimen is, checked box by box, and cropped."""
