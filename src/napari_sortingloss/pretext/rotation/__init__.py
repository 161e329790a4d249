"""RotationLoss: by which angle was one slice turned against another near it."""
