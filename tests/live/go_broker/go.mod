module gobroker

go 1.22
