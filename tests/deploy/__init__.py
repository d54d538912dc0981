"""What is installed on a cluster, judged by its files alone."""
