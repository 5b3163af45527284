"""What people ask of a campaign: queries, tables, exports, reports."""
