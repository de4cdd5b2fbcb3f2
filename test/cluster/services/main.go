// Command services is what a cluster has for its pods besides Kubernetes, in one file for `make test-cluster`: the names of
// Services (CoreDNS with what that takes) and a bus of a version that Debian does not have. It is whichever program the
// name of the link that starts it says.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "coredns":
		dnsserver.Directives = []string{"errors", "ready", "kubernetes"}
		coremain.Run()
	case "nats-server":
		serveBus()
	default:
		fmt.Fprintf(os.Stderr, "%s: start it by a link that bears the name of a program\n", name)
		os.Exit(2)
	}
}

// serveBus does what nats-server's own main function does.
func serveBus() {
	flags := flag.NewFlagSet("nats-server", flag.ExitOnError)
	options, err := server.ConfigureOptions(flags, os.Args[1:], server.PrintServerAndExit, flags.Usage, server.PrintTLSHelpAndDie)
	if err != nil {
		server.PrintAndDie(err.Error())
	}
	bus, err := server.NewServer(options)
	if err != nil {
		server.PrintAndDie(err.Error())
	}
	bus.ConfigureLogger()
	if err := server.Run(bus); err != nil {
		server.PrintAndDie(err.Error())
	}
	bus.WaitForShutdown()
}
