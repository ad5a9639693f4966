// Command pulumi-resource-command is a plugin for Pulumi's `command` package, for sites that cannot
// download the official one: local.Command, remote.Command, remote.CopyToRemote, remote.CopyFile and
// local.run, with the inputs, outputs and behaviour that the package documents.
package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// server fits the SDK's server to what the engine reads: that a diff is detailed, and the names of the
// properties that changed, which it shows in one line.
type server struct {
	pulumirpc.ResourceProviderServer
}

func (s server) Diff(ctx context.Context, req *pulumirpc.DiffRequest) (*pulumirpc.DiffResponse, error) {
	answer, err := s.ResourceProviderServer.Diff(ctx, req)
	if err == nil {
		answer.HasDetailedDiff = len(answer.DetailedDiff) > 0
		for i, path := range answer.Diffs {
			answer.Diffs[i] = topOf(path)
		}
		slices.Sort(answer.Diffs)
		answer.Diffs = slices.Compact(answer.Diffs)
	}
	return answer, err
}

func main() {
	err := provider.Main("command", func(host *provider.HostClient) (pulumirpc.ResourceProviderServer, error) {
		return server{plugin.NewProviderServer(newCommandProvider(host))}, nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
