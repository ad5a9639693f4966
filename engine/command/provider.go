package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
)

// commandProvider answers the engine. All runs end when the engine cancels.
type commandProvider struct {
	plugin.UnimplementedProvider
	host   *provider.HostClient
	ctx    context.Context
	cancel context.CancelFunc
}

func newCommandProvider(host *provider.HostClient) *commandProvider {
	ctx, cancel := context.WithCancel(context.Background())
	return &commandProvider{host: host, ctx: ctx, cancel: cancel}
}

// reporter shows messages under one resource.
type reporter struct {
	host *provider.HostClient
	ctx  context.Context
	urn  resource.URN
}

func (r reporter) status(message string) {
	if r.host != nil {
		_ = r.host.LogStatus(r.ctx, diag.Info, r.urn, message)
	}
}

func (r reporter) warn(message string) {
	if r.host != nil {
		_ = r.host.Log(r.ctx, diag.Warning, r.urn, message)
	}
}

func (p *commandProvider) report(ctx context.Context, urn resource.URN) reporter {
	return reporter{host: p.host, ctx: context.WithoutCancel(ctx), urn: urn}
}

// until returns a context that ends with the call or with the engine's cancellation.
func (p *commandProvider) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(p.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

func specOf(token string) (spec, error) {
	for _, s := range resources {
		if s.token == token {
			return s, nil
		}
	}
	return spec{}, fmt.Errorf("the command package has no resource %q", token)
}

func (p *commandProvider) Close() error { return nil }

func (p *commandProvider) SignalCancellation(context.Context) error {
	p.cancel()
	return nil
}

func (p *commandProvider) Handshake(
	context.Context, plugin.ProviderHandshakeRequest,
) (*plugin.ProviderHandshakeResponse, error) {
	return &plugin.ProviderHandshakeResponse{AcceptSecrets: true, AcceptResources: true, AcceptOutputs: true}, nil
}

func (p *commandProvider) GetPluginInfo(context.Context) (plugin.PluginInfo, error) {
	return plugin.PluginInfo{Version: &version}, nil
}

func (p *commandProvider) GetSchema(context.Context, plugin.GetSchemaRequest) (plugin.GetSchemaResponse, error) {
	schema, err := schemaJSON()
	return plugin.GetSchemaResponse{Schema: schema}, err
}

func (p *commandProvider) CheckConfig(
	_ context.Context, req plugin.CheckConfigRequest,
) (plugin.CheckConfigResponse, error) {
	return plugin.CheckConfigResponse{Properties: req.News}, nil
}

func (p *commandProvider) DiffConfig(
	context.Context, plugin.DiffConfigRequest,
) (plugin.DiffConfigResponse, error) {
	return plugin.DiffResult{Changes: plugin.DiffNone}, nil
}

func (p *commandProvider) Configure(context.Context, plugin.ConfigureRequest) (plugin.ConfigureResponse, error) {
	return plugin.ConfigureResponse{}, nil
}

func (p *commandProvider) Check(_ context.Context, req plugin.CheckRequest) (plugin.CheckResponse, error) {
	s, err := specOf(string(req.URN.Type()))
	if err != nil {
		return plugin.CheckResponse{}, err
	}
	inputs, failures := checked(s.inputs, req.News, "")
	return plugin.CheckResponse{Properties: inputs, Failures: failures}, nil
}

func (p *commandProvider) Diff(_ context.Context, req plugin.DiffRequest) (plugin.DiffResponse, error) {
	s, err := specOf(string(req.URN.Type()))
	if err != nil {
		return plugin.DiffResult{}, err
	}
	olds, news := resource.PropertyMap{}, resource.PropertyMap{}
	replacing := map[string]bool{}
	for _, f := range s.inputs {
		replacing[f.name] = f.replace || s.everyChangeReplaces
		key := resource.PropertyKey(f.name)
		from := req.OldInputs
		if from == nil { // an engine that does not send them: the state holds every input
			from = req.OldOutputs
		}
		if v, ok := from[key]; ok {
			olds[key] = v
		}
		if v, ok := req.NewInputs[key]; ok {
			news[key] = v
		}
	}
	for _, ignored := range req.IgnoreChanges {
		if v, ok := olds[resource.PropertyKey(ignored)]; ok {
			news[resource.PropertyKey(ignored)] = v
		}
	}
	changes := olds.Diff(news)
	if changes == nil || !changes.AnyChanges() {
		return plugin.DiffResult{Changes: plugin.DiffNone}, nil
	}
	detailed := plugin.NewDetailedDiffFromObjectDiff(changes, true)
	for path, change := range detailed {
		if replacing[topOf(path)] {
			change.Kind = change.Kind.AsReplace()
			detailed[path] = change
		}
	}
	return plugin.DiffResult{Changes: plugin.DiffSome, DetailedDiff: detailed}, nil
}

// topOf is the name of the property that a path like triggers[0] or environment.HOME begins with.
func topOf(path string) string {
	if end := strings.IndexAny(path, ".["); end >= 0 {
		return path[:end]
	}
	return path
}

func (p *commandProvider) Create(ctx context.Context, req plugin.CreateRequest) (plugin.CreateResponse, error) {
	s, err := specOf(string(req.URN.Type()))
	if err != nil {
		return plugin.CreateResponse{}, err
	}
	prefix := ""
	if s.token == localCommand.token || s.token == remoteCommand.token {
		prefix = req.URN.Name()
	}
	id, err := resource.NewUniqueHexID(prefix, 8, 0)
	if err != nil {
		return plugin.CreateResponse{}, err
	}
	if req.Preview {
		if prefix == "" {
			id = ""
		}
		return plugin.CreateResponse{ID: id, Properties: foreseen(s, req.Properties)}, nil
	}
	ctx, done := p.until(ctx)
	defer done()
	state, err := s.apply(ctx, p.report(ctx, req.URN), req.Properties, nil, "create")
	if err != nil {
		return plugin.CreateResponse{}, err
	}
	return plugin.CreateResponse{ID: id, Properties: state}, nil
}

func (p *commandProvider) Read(_ context.Context, req plugin.ReadRequest) (plugin.ReadResponse, error) {
	return plugin.ReadResponse{ReadResult: plugin.ReadResult{ID: req.ID, Inputs: req.Inputs, Outputs: req.State}}, nil
}

func (p *commandProvider) Update(ctx context.Context, req plugin.UpdateRequest) (plugin.UpdateResponse, error) {
	s, err := specOf(string(req.URN.Type()))
	if err != nil {
		return plugin.UpdateResponse{}, err
	}
	if s.everyChangeReplaces {
		return plugin.UpdateResponse{}, fmt.Errorf("%s has no update: it is replaced", s.token)
	}
	if req.Preview {
		return plugin.UpdateResponse{Properties: foreseen(s, req.NewInputs)}, nil
	}
	ctx, done := p.until(ctx)
	defer done()
	state, err := s.apply(ctx, p.report(ctx, req.URN), req.NewInputs, req.OldOutputs, "update")
	return plugin.UpdateResponse{Properties: state}, err
}

func (p *commandProvider) Delete(ctx context.Context, req plugin.DeleteRequest) (plugin.DeleteResponse, error) {
	s, err := specOf(string(req.URN.Type()))
	if err != nil {
		return plugin.DeleteResponse{}, err
	}
	ctx, done := p.until(ctx)
	defer done()
	_, err = s.apply(ctx, p.report(ctx, req.URN), req.Outputs, req.Outputs, "delete")
	return plugin.DeleteResponse{}, err
}

func (p *commandProvider) Invoke(ctx context.Context, req plugin.InvokeRequest) (plugin.InvokeResponse, error) {
	if string(req.Tok) != localRun.token {
		return plugin.InvokeResponse{}, fmt.Errorf("the command package has no function %q", req.Tok)
	}
	inputs, failures := checked(localRun.inputs, req.Args, "")
	if len(failures) > 0 {
		return plugin.InvokeResponse{Failures: failures}, nil
	}
	ctx, done := p.until(ctx)
	defer done()
	command, _ := props(inputs).text("command")
	outputs, err := runLocal(ctx, p.report(ctx, ""), command, props(inputs), nil)
	if err != nil {
		return plugin.InvokeResponse{}, err
	}
	return plugin.InvokeResponse{Properties: merged(inputs, outputs)}, nil
}

// foreseen is the state that a preview shows: what a run prints and leaves is not known before it.
func foreseen(s spec, inputs resource.PropertyMap) resource.PropertyMap {
	state := inputs.Copy()
	for _, f := range s.outputs {
		asked := f.required
		switch f.kind {
		case kindAssets:
			_, asked = state["assetPaths"]
		case kindArchive:
			_, asked = state["archivePaths"]
		}
		if asked {
			state[resource.PropertyKey(f.name)] = resource.MakeComputed(resource.NewProperty(""))
		}
	}
	return state
}

// apply does what a resource does in one step (create, update or delete) and returns its new state.
// Without a command for the step nothing runs, and what was printed before is kept.
func (s spec) apply(
	ctx context.Context, report reporter, inputs, old resource.PropertyMap, step string,
) (resource.PropertyMap, error) {
	switch s.token {
	case copyToRemote.token:
		return inputs, copySource(ctx, report, props(inputs), props(old), step)
	case copyFile.token:
		return inputs, copyOneFile(ctx, report, props(inputs), step)
	}
	command, ok := props(inputs).text(step)
	if !ok && step == "update" {
		command, ok = props(inputs).text("create")
		step = "create"
	}
	outputs := resource.PropertyMap{}
	for _, f := range s.outputs {
		if v, kept := old[resource.PropertyKey(f.name)]; kept {
			outputs[resource.PropertyKey(f.name)] = v
		} else if f.required {
			outputs[resource.PropertyKey(f.name)] = resource.NewProperty("")
		}
	}
	if !ok {
		return merged(inputs, outputs), nil
	}
	run := runLocal
	if s.token == remoteCommand.token {
		run = runRemote
	}
	printed, err := run(ctx, report, command, props(inputs), props(old))
	if err != nil {
		return nil, err
	}
	return merged(inputs, merged(outputs, printed)), nil
}

func merged(under, over resource.PropertyMap) resource.PropertyMap {
	all := under.Copy()
	for k, v := range over {
		all[k] = v
	}
	return all
}
