"""What all speak: findings, steps, events, the manifest, the home, receipts, the lockfile."""
