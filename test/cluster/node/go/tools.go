//go:build tools

// Package main, with this tag, names what is built from this module beside its own command.
package main

import _ "helm.sh/helm/v3/cmd/helm"
