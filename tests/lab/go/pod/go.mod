module gitmesh.invalid/lab/pod

go 1.26.0
