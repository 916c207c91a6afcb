"""Ways to move one file from a Hugging Face hub to the disk; each ends in the same bytes."""
