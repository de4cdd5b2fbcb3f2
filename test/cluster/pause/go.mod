module k8sclaw/test/cluster/pause

go 1.26.0
