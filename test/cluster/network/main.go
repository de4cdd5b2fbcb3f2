// Command network is Cilium in one file for `make test-cluster`: the agent that gives pods their network and enforces
// NetworkPolicies, and its CNI plugin. It is whichever the name of the link that starts it says. The
// programs are upstream's own, unchanged; only what chooses among them is here.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	agent "github.com/cilium/cilium/daemon/cmd"
	"github.com/cilium/cilium/pkg/hive"
	cni "github.com/cilium/cilium/plugins/cilium-cni/cmd"
)

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "cilium-agent":
		agent.Execute(agent.NewAgentCmd(func() *hive.Hive { return hive.New(agent.Agent) }))
	case "cilium-cni":
		// The plugin enters network namespaces, which belong to a thread.
		runtime.LockOSThread()
		cni.PluginMain()
	default:
		fmt.Fprintf(os.Stderr, "%s: start it by a link that bears the name of a program of Cilium\n", name)
		os.Exit(2)
	}
}
