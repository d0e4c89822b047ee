"""Inputs that nobody thought of, for what reads mail: mutated mails, and the properties that hold for every one."""
