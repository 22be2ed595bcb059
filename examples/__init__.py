"""Models to start from, one for each thing that `docs/your-model.md` tells."""
