package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// errHostKey ends the attempts to connect: another one would meet the same key.
var errHostKey = errors.New("the host key is not the one that hostKey expects")

const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// remote is one end of an SSH connection, as its inputs describe it.
type remote struct {
	inputs  props
	address string
	limit   int // attempts that may fail; negative is no limit
	timeout time.Duration
	config  *ssh.ClientConfig
	agent   net.Conn
}

// newRemote reads a `connection` or a `proxy`. The caller closes it.
func newRemote(inputs props) (*remote, error) {
	host, _ := inputs.text("host")
	user, ok := inputs.text("user")
	if !ok {
		user = "root"
	}
	r := &remote{
		inputs:  inputs,
		address: net.JoinHostPort(host, strconv.Itoa(int(inputs.number("port", 22)))),
		limit:   int(inputs.number("dialErrorLimit", 10)),
		timeout: time.Duration(inputs.number("perDialTimeout", 15)) * time.Second,
		config:  &ssh.ClientConfig{User: user, HostKeyCallback: ssh.InsecureIgnoreHostKey()},
	}
	if err := r.expectHostKey(); err != nil {
		return nil, err
	}
	if err := r.authenticate(); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *remote) close() {
	if r.agent != nil {
		r.agent.Close()
	}
}

func (r *remote) expectHostKey() error {
	given, ok := r.inputs.text("hostKey")
	if !ok {
		return nil
	}
	expected, _, _, _, err := ssh.ParseAuthorizedKey([]byte(given))
	if err != nil {
		return fmt.Errorf("hostKey cannot be read (it is written like 'ssh-ed25519 AAAA…'): %w", err)
	}
	r.config.HostKeyAlgorithms = []string{expected.Type()}
	if expected.Type() == ssh.KeyAlgoRSA { // the same key, with the signatures that servers accept today
		r.config.HostKeyAlgorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	r.config.HostKeyCallback = func(_ string, _ net.Addr, key ssh.PublicKey) error {
		if !bytes.Equal(key.Marshal(), expected.Marshal()) {
			return fmt.Errorf("%w (it is %s)", errHostKey, ssh.FingerprintSHA256(key))
		}
		return nil
	}
	return nil
}

// authenticate offers the private key, then the agent's keys, then the password.
func (r *remote) authenticate() error {
	var own []ssh.Signer
	if key, ok := r.inputs.text("privateKey"); ok {
		signer, err := parseKey(key, r.inputs)
		if err != nil {
			return fmt.Errorf("privateKey cannot be read: %w", err)
		}
		own = append(own, signer)
	}
	password, hasPassword := r.inputs.text("password")
	client, err := r.dialAgent(len(own) > 0 || hasPassword)
	if err != nil {
		return err
	}
	// One method, since SSH clients try each kind only once.
	r.config.Auth = append(r.config.Auth, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
		if client == nil {
			return own, nil
		}
		theirs, err := client.Signers()
		if err != nil && len(own) == 0 {
			return nil, err
		}
		return append(own[:len(own):len(own)], theirs...), nil
	}))
	if hasPassword {
		answer := func(_, _ string, questions []string, _ []bool) ([]string, error) {
			answers := make([]string, len(questions))
			for i := range answers {
				answers[i] = password
			}
			return answers, nil
		}
		r.config.Auth = append(r.config.Auth, ssh.Password(password), ssh.KeyboardInteractive(answer))
	}
	return nil
}

func parseKey(key string, inputs props) (ssh.Signer, error) {
	if passphrase, ok := inputs.text("privateKeyPassword"); ok {
		return ssh.ParsePrivateKeyWithPassphrase([]byte(key), []byte(passphrase))
	}
	return ssh.ParsePrivateKey([]byte(key))
}

// dialAgent connects to the agent. One that only the environment names may be gone, if there is another way in.
func (r *remote) dialAgent(otherWay bool) (agent.ExtendedAgent, error) {
	socket, named := r.inputs.text("agentSocketPath")
	if !named {
		socket = os.Getenv("SSH_AUTH_SOCK")
	}
	if socket == "" {
		return nil, nil
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		if !named && otherWay {
			return nil, nil
		}
		return nil, fmt.Errorf("the SSH agent cannot be reached: %w", err)
	}
	r.agent = conn
	return agent.NewClient(conn), nil
}

// connect opens the connection, by way of another client where there is one.
func (r *remote) connect(ctx context.Context, report reporter, through *ssh.Client, what string) (*ssh.Client, error) {
	pause := firstPause
	for failed := 0; ; {
		client, err := r.attempt(ctx, through)
		if err == nil {
			return client, nil
		}
		failed++
		if errors.Is(err, errHostKey) || ctx.Err() != nil {
			return nil, fmt.Errorf("%s %s: %w", what, r.address, err)
		}
		if r.limit >= 0 && failed > r.limit {
			return nil, fmt.Errorf("%s %s: after %d failed attempts: %w", what, r.address, failed, err)
		}
		report.status(fmt.Sprintf("%s %s failed (%d of %s): trying again", what, r.address, failed, r.limitText()))
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s %s: %w", what, r.address, ctx.Err())
		case <-time.After(pause):
		}
		pause = min(pause*3/2, lastPause)
	}
}

func (r *remote) limitText() string {
	if r.limit < 0 {
		return "any number"
	}
	return strconv.Itoa(r.limit)
}

// attempt makes one connection; its time covers the handshake too.
func (r *remote) attempt(ctx context.Context, through *ssh.Client) (*ssh.Client, error) {
	if r.timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, r.timeout)
		defer cancel()
		ctx = limited
	}
	var conn net.Conn
	var err error
	if through != nil {
		conn, err = through.DialContext(ctx, "tcp", r.address)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", r.address)
	}
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	handshaken, channels, requests, err := ssh.NewClientConn(conn, r.address, r.config)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return ssh.NewClient(handshaken, channels, requests), nil
}

// dial opens the connection of a resource and returns what closes it.
func dial(ctx context.Context, report reporter, inputs props) (*ssh.Client, func(), error) {
	var closers []func()
	done := func() {
		for i := len(closers) - 1; i >= 0; i-- {
			closers[i]()
		}
	}
	described, _ := inputs.object("connection")
	target, err := newRemote(described)
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, target.close)
	var through *ssh.Client
	if bastion, ok := described.object("proxy"); ok {
		proxy, err := newRemote(bastion)
		if err != nil {
			done()
			return nil, nil, fmt.Errorf("proxy: %w", err)
		}
		closers = append(closers, proxy.close)
		if through, err = proxy.connect(ctx, report, nil, "connecting to the proxy"); err != nil {
			done()
			return nil, nil, err
		}
		closers = append(closers, func() { through.Close() })
	}
	client, err := target.connect(ctx, report, through, "connecting to")
	if err != nil {
		done()
		return nil, nil, err
	}
	closers = append(closers, func() { client.Close() })
	return client, done, nil
}

func runRemote(
	ctx context.Context, report reporter, command string, inputs, old props,
) (resource.PropertyMap, error) {
	client, done, err := dial(ctx, report, inputs)
	if err != nil {
		return nil, err
	}
	defer done()
	session, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	defer session.Close()
	for name, value := range environment(inputs) {
		if err := session.Setenv(name, value); err != nil {
			return nil, fmt.Errorf("the SSH server does not accept the environment variable %s: name it in its AcceptEnv, "+
				"or write it before the command ('%s=value command'): %w", name, name, err)
		}
	}
	for name, value := range previousOutput(inputs, old) {
		if err := session.Setenv(name, value); err != nil {
			report.warn(fmt.Sprintf("the SSH server does not accept %s: name it in its AcceptEnv, "+
				"or set addPreviousOutputInEnv to false", name))
		}
	}
	if stdin, _ := inputs.text("stdin"); stdin != "" {
		session.Stdin = bytes.NewBufferString(stdin)
	}
	captured := newCapture(report, inputs)
	session.Stdout, session.Stderr = captured.out, captured.err
	stop := context.AfterFunc(ctx, func() { _ = session.Signal(ssh.SIGTERM); client.Close() })
	defer stop()
	if err := session.Run(command); err != nil {
		captured.lines.flush()
		return nil, captured.failure(err, command, secretCommand(inputs, command))
	}
	return captured.outputs(), nil
}
