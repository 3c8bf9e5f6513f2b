//go:build tools

// The store of the cluster tests' API server, pinned in go.mod.
package tools

import _ "go.etcd.io/etcd/server/v3"
