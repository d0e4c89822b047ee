"""Campaigns: one mailing to many, each of whom gets it once."""
