"""Invoices, credit notes and quotations."""
