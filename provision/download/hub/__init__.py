"""The Hugging Face hub: addresses, listings, mirrors, its cache."""
