package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

const (
	previousStdout = "PULUMI_COMMAND_STDOUT"
	previousStderr = "PULUMI_COMMAND_STDERR"
	// killAfter is how long a cancelled command has to end by itself.
	killAfter = 5 * time.Second
)

// logs tells which streams are shown while a command runs.
type logs struct{ stdout, stderr bool }

func logsOf(name string) *logs {
	switch name {
	case "stdout":
		return &logs{stdout: true}
	case "stderr":
		return &logs{stderr: true}
	case "stdoutAndStderr":
		return &logs{stdout: true, stderr: true}
	case "none":
		return &logs{}
	}
	return nil
}

// capture collects what a command prints and shows it line by line.
type capture struct {
	stdout, stderr, both bytes.Buffer
	out, err             io.Writer
	lines                *lineWriter
	mu                   sync.Mutex
}

func newCapture(report reporter, inputs props) *capture {
	shown := &logs{stdout: true, stderr: true}
	if name, ok := inputs.text("logging"); ok {
		shown = logsOf(name)
	}
	c := &capture{lines: &lineWriter{show: report.status}}
	stream := func(own *bytes.Buffer, show bool) io.Writer {
		return writerFunc(func(b []byte) (int, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			own.Write(b)
			c.both.Write(b)
			if show {
				c.lines.write(b)
			}
			return len(b), nil
		})
	}
	c.out, c.err = stream(&c.stdout, shown.stdout), stream(&c.stderr, shown.stderr)
	return c
}

// failure is the error of a run, with all that it printed. A command that is a secret is not repeated.
func (c *capture) failure(err error, command string, secret bool) error {
	if secret {
		command = "[secret]"
	}
	return fmt.Errorf("%w: running %q:\n%s", err, command, text(&c.both))
}

func (c *capture) outputs() resource.PropertyMap {
	c.lines.flush()
	return resource.PropertyMap{
		"stdout": resource.NewProperty(strings.TrimSuffix(text(&c.stdout), "\n")),
		"stderr": resource.NewProperty(strings.TrimSuffix(text(&c.stderr), "\n")),
	}
}

// text is what was printed, as the UTF-8 that Pulumi's state must be.
func text(b *bytes.Buffer) string { return strings.ToValidUTF8(b.String(), "\uFFFD") }

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// lineWriter shows whole lines, however long they are.
type lineWriter struct {
	show func(string)
	rest []byte
}

func (l *lineWriter) write(b []byte) {
	l.rest = append(l.rest, b...)
	for {
		end := bytes.IndexByte(l.rest, '\n')
		if end < 0 {
			return
		}
		l.show(strings.ToValidUTF8(string(l.rest[:end]), "\uFFFD"))
		l.rest = l.rest[end+1:]
	}
}

func (l *lineWriter) flush() {
	if len(l.rest) > 0 {
		l.show(strings.ToValidUTF8(string(l.rest), "\uFFFD"))
		l.rest = nil
	}
}

// previousOutput is the environment that tells a run what the run before printed.
func previousOutput(inputs, old props) map[string]string {
	found := map[string]string{}
	if !inputs.flag("addPreviousOutputInEnv", true) {
		return found
	}
	for variable, output := range map[string]string{previousStdout: "stdout", previousStderr: "stderr"} {
		if printed, _ := old.text(output); printed != "" {
			found[variable] = printed
		}
	}
	return found
}

func environment(inputs props) map[string]string {
	found := map[string]string{}
	given, _ := inputs.object("environment")
	for name := range given {
		found[string(name)], _ = given.text(string(name))
	}
	return found
}

func runLocal(
	ctx context.Context, report reporter, command string, inputs, old props,
) (resource.PropertyMap, error) {
	arguments, _ := inputs.texts("interpreter")
	if len(arguments) == 0 {
		arguments = []string{"/bin/sh", "-c"}
	}
	arguments = append(arguments, command)
	dir, ok := inputs.text("dir")
	if !ok {
		var err error
		if dir, err = os.Getwd(); err != nil {
			return nil, err
		}
	}
	captured := newCapture(report, inputs)
	cmd := exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, captured.out, captured.err
	cmd.Env = os.Environ()
	for _, variables := range []map[string]string{environment(inputs), previousOutput(inputs, old)} {
		for name, value := range variables {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	if stdin, _ := inputs.text("stdin"); stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	// A cancelled command ends with all that it started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil && cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		captured.lines.flush()
		return nil, captured.failure(err, command, secretCommand(inputs, command))
	}
	outputs := captured.outputs()
	return outputs, collect(dir, inputs, outputs)
}

// secretCommand tells whether the text of a command came from an input that is a secret.
func secretCommand(inputs props, command string) bool {
	for _, name := range []string{"create", "update", "delete", "command"} {
		if given, ok := inputs.text(name); ok && given == command && inputs.secret(name) {
			return true
		}
	}
	return false
}
