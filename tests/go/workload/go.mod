module nanoseg.dev/tests/workload

go 1.23.0
