"""Python environments: uv, torch, generations."""
