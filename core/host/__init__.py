"""Putting a host together: addons found, ordered, loaded; the database opened; the runtime handed down."""
