"""Postroom: business records with a timeline, and timelines that speak e-mail."""
