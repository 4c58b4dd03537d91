"""Second implementations, one sample at a time, written for reading; tests and the benchmark compare against them."""
