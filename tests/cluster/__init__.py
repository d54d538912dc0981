"""What is installed on a cluster, tried on a real one: `make test-cluster`."""
