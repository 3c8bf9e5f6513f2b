//go:build tools

// The NetworkPolicy enforcer of the cluster tests, pinned in go.mod.
package tools

import _ "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"
