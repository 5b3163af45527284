"""Output of campaigns: queries, tables, exports, reports."""
