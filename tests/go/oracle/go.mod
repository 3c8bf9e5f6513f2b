module nanoseg.dev/tests/oracle

go 1.26.0
