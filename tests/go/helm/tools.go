//go:build tools

// Helm, which the tests render the chart with, pinned in go.mod.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
