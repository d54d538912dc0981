"""What else serves forecasts: the servers that ours is held against, each as its own users would write it."""
