"""The models that every host has. They meet by name, through the registry."""
