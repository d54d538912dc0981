"""Monitoring: the drift job, the exporter, and what people look at."""
