package main

import (
	"encoding/json"

	"github.com/blang/semver"
)

// version is the release of the package whose surface this plugin has.
var version = semver.MustParse("1.2.1")

// kind is the type of an input or output, as Pulumi's schema names it.
type kind string

const (
	kindString  kind = "string"
	kindBoolean kind = "boolean"
	kindNumber  kind = "number"
	kindInteger kind = "integer"
	kindStrings kind = "strings" // array of string
	kindMap     kind = "map"     // map of string to string
	kindAnys    kind = "anys"    // array of anything
	kindLogging kind = "logging" // stdout, stderr, stdoutAndStderr or none
	kindSource  kind = "source"  // asset or archive
	kindObject  kind = "object"  // the field's own fields
	kindAssets  kind = "assets"  // map of string to asset
	kindArchive kind = "archive"
)

// field is one property: everything that check, diff and the schema need to know of it.
type field struct {
	name     string
	kind     kind
	doc      string
	required bool
	secret   bool
	replace  bool // a change replaces the resource
	fallback any  // the value where none is given
	fields   []field
	ref      string // the schema's name of an object's type
}

// spec is a resource or function: a token, what goes in, and what comes out beside the inputs.
type spec struct {
	token      string
	doc        string
	deprecated string
	inputs     []field
	outputs    []field
	// everyChangeReplaces is true where there is no update.
	everyChangeReplaces bool
}

const triggersDoc = "Any change of these values replaces the resource. They can be of any type."

func lifecycle() []field {
	return []field{
		{name: "create", kind: kindString, doc: "Runs when the resource is created, and when its inputs change and there is no `update`."},
		{name: "update", kind: kindString, doc: "Runs when the inputs change. PULUMI_COMMAND_STDOUT and PULUMI_COMMAND_STDERR hold the output of the run before."},
		{name: "delete", kind: kindString, doc: "Runs when the resource is deleted. PULUMI_COMMAND_STDOUT and PULUMI_COMMAND_STDERR hold the output of the last run."},
		{name: "triggers", kind: kindAnys, replace: true, doc: triggersDoc},
	}
}

func process(logging string) []field {
	return []field{
		{name: "stdin", kind: kindString, doc: "What the command reads on its standard input."},
		{name: "logging", kind: kindLogging, ref: logging, doc: "Which of stdout and stderr are shown while the command runs; both, where nothing is said."},
		{name: "environment", kind: kindMap, doc: "Environment variables of the command. Over SSH the server must accept them (AcceptEnv)."},
		{name: "addPreviousOutputInEnv", kind: kindBoolean, doc: "Whether PULUMI_COMMAND_STDOUT and PULUMI_COMMAND_STDERR hold the output of the run before; true where nothing is said."},
	}
}

func localProcess() []field {
	globs := " as globs relative to the working directory: `*` stops at `/`, `**` does not, a leading `!` takes away what earlier ones matched. Only files."
	return append(process("command:local:Logging"),
		field{name: "dir", kind: kindString, doc: "The working directory; it must exist."},
		field{name: "interpreter", kind: kindStrings, doc: "The program and arguments before the command; [\"/bin/sh\", \"-c\"] where nothing is said."},
		field{name: "assetPaths", kind: kindStrings, doc: "Files to return in `assets`," + globs},
		field{name: "archivePaths", kind: kindStrings, doc: "Files to return in `archive`," + globs},
	)
}

func endpoint(of string) []field {
	return []field{
		{name: "host", kind: kindString, required: true, doc: "The address of " + of + "."},
		{name: "port", kind: kindNumber, fallback: 22.0, doc: "The SSH port of " + of + "."},
		{name: "user", kind: kindString, fallback: "root", doc: "The user to log in as."},
		{name: "password", kind: kindString, secret: true, doc: "The password to log in with."},
		{name: "privateKey", kind: kindString, secret: true, doc: "The text of the private key to log in with; it is tried before the password."},
		{name: "privateKeyPassword", kind: kindString, secret: true, doc: "The passphrase of the private key."},
		{name: "agentSocketPath", kind: kindString, doc: "The socket of an SSH agent; SSH_AUTH_SOCK where nothing is said."},
		{name: "hostKey", kind: kindString, doc: "The host key that is expected. Where nothing is said, any is taken."},
		{name: "dialErrorLimit", kind: kindInteger, fallback: 10.0, doc: "How many attempts to connect may fail; -1 is no limit."},
		{name: "perDialTimeout", kind: kindInteger, fallback: 15.0, doc: "Seconds for one attempt to connect; 0 is no limit."},
	}
}

var (
	proxyField = field{
		name: "proxy", kind: kindObject, ref: "command:remote:ProxyConnection", fields: endpoint("the bastion host"),
		doc: "The bastion host to connect through.",
	}
	connectionField = field{
		name: "connection", kind: kindObject, ref: "command:remote:Connection", required: true, secret: true,
		fields: append(endpoint("the remote host"), proxyField), doc: "How to connect to the remote host.",
	}

	printed = []field{
		{name: "stdout", kind: kindString, required: true, doc: "What the command wrote to stdout, without the last newline."},
		{name: "stderr", kind: kindString, required: true, doc: "What the command wrote to stderr, without the last newline."},
	}
	printedAndFiles = append(printed[:2:2],
		field{name: "assets", kind: kindAssets, doc: "The files that `assetPaths` matched, by path relative to the working directory."},
		field{name: "archive", kind: kindArchive, doc: "The files that `archivePaths` matched."},
	)

	localCommand = spec{
		token: "command:local:Command", doc: "A command that runs on this machine when the resource is created, updated and deleted.",
		inputs: append(lifecycle(), localProcess()...), outputs: printedAndFiles,
	}
	remoteCommand = spec{
		token: "command:remote:Command", doc: "A command that runs over SSH when the resource is created, updated and deleted.",
		inputs:  append(append(lifecycle(), process("command:remote:Logging")...), connectionField),
		outputs: printed,
	}
	copyToRemote = spec{
		token: "command:remote:CopyToRemote", doc: "A file or folder that is copied to a remote host.",
		inputs: []field{
			connectionField,
			{name: "source", kind: kindSource, required: true, doc: "An asset or archive; archives are copied as they are, folders with all they hold."},
			{name: "remotePath", kind: kindString, required: true, doc: "Where to on the remote host. Missing folders are made; what is copied to a folder that exists goes into it."},
			{name: "triggers", kind: kindAnys, replace: true, doc: triggersDoc},
		},
	}
	copyFile = spec{
		token: "command:remote:CopyFile", doc: "A local file that is copied to a remote host.",
		deprecated: "Use CopyToRemote instead.", everyChangeReplaces: true,
		inputs: []field{
			connectionField,
			{name: "localPath", kind: kindString, required: true, doc: "The file to copy."},
			{name: "remotePath", kind: kindString, required: true, doc: "Where to on the remote host."},
			{name: "triggers", kind: kindAnys, doc: triggersDoc},
		},
	}
	localRun = spec{
		token: "command:local:run", doc: "Runs a command on this machine in every preview and update.",
		inputs:  append(localProcess(), field{name: "command", kind: kindString, required: true, doc: "The command to run."}),
		outputs: printedAndFiles,
	}

	resources = []spec{localCommand, remoteCommand, copyToRemote, copyFile}
)

// schemaJSON is the package's schema in Pulumi's format.
func schemaJSON() ([]byte, error) {
	logging := map[string]any{"type": "string", "enum": []map[string]any{
		{"name": "stdout", "value": "stdout"}, {"name": "stderr", "value": "stderr"},
		{"name": "stdoutAndStderr", "value": "stdoutAndStderr"}, {"name": "none", "value": "none"},
	}}
	described := map[string]any{}
	for _, s := range resources {
		r := object(append(s.inputs[:len(s.inputs):len(s.inputs)], s.outputs...))
		in := object(s.inputs)
		r["description"], r["inputProperties"], r["requiredInputs"] = s.doc, in["properties"], in["required"]
		if s.deprecated != "" {
			r["deprecationMessage"] = s.deprecated
		}
		described[s.token] = r
	}
	run := map[string]any{
		"description": localRun.doc,
		"inputs":      object(localRun.inputs),
		"outputs":     object(append(localRun.inputs[:len(localRun.inputs):len(localRun.inputs)], localRun.outputs...)),
	}
	return json.Marshal(map[string]any{
		"name":        "command",
		"displayName": "Command",
		"version":     version.String(),
		"config":      map[string]any{},
		"provider":    map[string]any{},
		"resources":   described,
		"functions":   map[string]any{localRun.token: run},
		"types": map[string]any{
			"command:local:Logging":  logging,
			"command:remote:Logging": logging,
			connectionField.ref:      object(connectionField.fields),
			proxyField.ref:           object(proxyField.fields),
		},
	})
}

func object(fields []field) map[string]any {
	properties := map[string]any{}
	required := []string{}
	for _, f := range fields {
		properties[f.name] = f.schema()
		if f.required {
			required = append(required, f.name)
		}
	}
	return map[string]any{"type": "object", "properties": properties, "required": required}
}

func (f field) schema() map[string]any {
	var s map[string]any
	switch f.kind {
	case kindString, kindBoolean, kindNumber, kindInteger:
		s = map[string]any{"type": f.kind}
	case kindStrings:
		s = map[string]any{"type": "array", "items": map[string]any{"type": "string"}}
	case kindMap:
		s = map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}}
	case kindAnys:
		s = map[string]any{"type": "array", "items": map[string]any{"$ref": "pulumi.json#/Any"}}
	case kindLogging, kindObject:
		s = map[string]any{"$ref": "#/types/" + f.ref}
	case kindSource:
		s = map[string]any{"$ref": "pulumi.json#/Asset"}
	case kindAssets:
		s = map[string]any{"type": "object", "additionalProperties": map[string]any{"$ref": "pulumi.json#/Asset"}}
	case kindArchive:
		s = map[string]any{"$ref": "pulumi.json#/Archive"}
	}
	s["description"] = f.doc
	if f.secret {
		s["secret"] = true
	}
	if f.replace {
		s["replaceOnChanges"] = true
	}
	if f.fallback != nil {
		s["default"] = f.fallback
	}
	return s
}
