"""The analyst's screen. It speaks HTTP to the service and holds no database secret."""
