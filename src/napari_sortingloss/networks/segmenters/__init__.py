"""The decoders that turn an encoder's features into classes."""
