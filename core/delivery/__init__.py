"""The outbound engine: from queued rows to a server's answer, and nothing lost in between."""
