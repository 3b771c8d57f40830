"""Repositories of the Hugging Face hub and the cache they share. Never computes content."""
